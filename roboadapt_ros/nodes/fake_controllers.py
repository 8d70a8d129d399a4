"""The services of a ros2_control controller manager, for the controllers of a simulated arm."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any

from roboadapt_ros.errors import RoboAdaptError
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import SimRigParameters
from roboadapt_ros.sim.driver_state import DriverState

_ACTIVE, _INACTIVE = 3, 2
"""lifecycle_msgs/State."""
_STRICT = 2


class FakeControllerManager:
    """Answers as `controller_manager` for one driver."""

    def __init__(
        self,
        node: GraphNode[SimRigParameters],
        state: DriverState,
        joint_names: tuple[str, ...],
        lock: threading.Lock,
    ):
        """Prepare; `serve` begins."""
        self._node, self._state, self._joints, self._lock = node, state, joint_names, lock

    def serve(self) -> None:
        """Offer the services; raises `ConfigError` without controller_manager_msgs."""
        answers: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = (
            ('ListControllers', self._on_list),
            ('SwitchController', self._on_switch),
            ('ListHardwareComponents', self._on_components),
            ('SetHardwareComponentState', self._on_set),
        )
        found = [interface_class(f'controller_manager_msgs/srv/{kind}') for kind, _ in answers]
        names = ('list_controllers', 'switch_controller')
        names += ('list_hardware_components', 'set_hardware_component_state')
        for kind, name, (_, answer) in zip(found, names, answers, strict=True):
            self._node.serve(kind, f'controller_manager/{name}', answer)

    def _on_list(self, _: Any, response: Any) -> Any:
        kind = interface_class('controller_manager_msgs/msg/ControllerState')
        effort = [f'{joint}/effort' for joint in self._joints]
        with self._lock:
            broadcasters = dict(self._state.broadcasters)
            states = {**broadcasters, **self._state.controllers}
        for name, is_active in states.items():
            found = kind(name=name, state='active' if is_active else 'inactive', type='simulated')
            if name not in broadcasters:
                found.required_command_interfaces = effort
                found.claimed_interfaces = effort if is_active else []
            response.controller.append(found)
        return response

    def _on_switch(self, request: Any, response: Any) -> Any:
        def switch() -> None:
            self._state.switch(
                request.activate_controllers,
                request.deactivate_controllers,
                is_strict=request.strictness == _STRICT,
            )

        response.ok, message = self._try(switch)
        if hasattr(response, 'message'):  # not on Humble
            response.message = message
        return response

    def _on_components(self, _: Any, response: Any) -> Any:
        kind = interface_class('controller_manager_msgs/msg/HardwareComponentState')
        found = kind(name=self._state.component, type='system')
        self._fill(found.state)
        response.component.append(found)
        return response

    def _on_set(self, request: Any, response: Any) -> Any:
        target = request.target_state
        is_active = target.id == _ACTIVE or target.label == 'active'
        if request.name == self._state.component:
            response.ok, _ = self._try(lambda: self._state.set_hardware(active=is_active))
        self._fill(response.state)
        return response

    def _try(self, change: Callable[[], None]) -> tuple[bool, str]:
        try:
            with self._lock:
                change()
        except RoboAdaptError as error:
            self._node.get_logger().warning(str(error))
            return False, str(error)
        return True, ''

    def _fill(self, state: Any) -> None:
        is_active = self._state.is_hardware_active
        state.id, state.label = (_ACTIVE, 'active') if is_active else (_INACTIVE, 'inactive')
