"""What recovery, hard stop and setup do on a rig: its drivers' services and actions, begun.

Nothing here waits, and what rclpy raises ends nothing: each action is begun and polled, and one
that can't be begun has failed, see `ros.calls`. Message types that a rig file asks for and the
machine lacks are named when the node configures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from roboadapt_ros.control.recovery import Action, Outcome, Pending, Step
from roboadapt_ros.ros.calls import Clients, interface_class, Sequence, trigger_outcome
from roboadapt_ros.ros.node_parameters import GovernorParameters
from std_srvs.srv import Trigger

BEST_EFFORT, STRICT = 1, 2
"""Strictness of controller_manager_msgs/SwitchController."""
SWITCH_TIMEOUT_S = 3
"""Time the controller manager itself waits for a switch [s]."""
SWITCH, LIST = 'switch_controller', 'list_controllers'
SET_HARDWARE = 'set_hardware_component_state'
"""Services of a controller manager."""
_ACTIVE_ID, _ACTIVE_LABEL = 3, 'active'
"""lifecycle_msgs/State."""


class RobotActions:
    """The actions of one rig.

    Example: ``actions.recovery()`` maps `Step.CLEAR` to the action of franka_ros2 on a rig with
    `arm.recovery.error_recovery`, to sim_rig/recover on the simulated one, and leaves it out where
    the rig file names neither.
    """

    def __init__(self, node: Node, config: GovernorParameters):
        """Import what the rig file asks for; no client is made yet.

        Raises:
            ConfigError: A package is not installed here.
        """
        self._config, self._clients = config, Clients(node)
        self._has_controllers = bool(config.controllers and config.controller_manager)
        recovery = config.recovery
        self._switch = self._type(
            self._has_controllers or bool(recovery.broadcasters),
            'controller_manager_msgs/srv/SwitchController',
        )
        self._list = self._type(
            self._has_controllers, 'controller_manager_msgs/srv/ListControllers'
        )
        self._set_hardware = self._type(
            bool(recovery.hardware_component),
            'controller_manager_msgs/srv/SetHardwareComponentState',
        )
        self._clear = self._type(bool(recovery.error_recovery), 'franka_msgs/action/ErrorRecovery')
        self._set_collision = self._type(
            config.collision.is_given, 'franka_msgs/srv/SetFullCollisionBehavior'
        )
        self._set_load = self._type(config.load.is_given, 'franka_msgs/srv/SetLoad')

    def recovery(self) -> dict[Step, Action]:
        """Return what the steps of a recovery do with the rig's drivers."""
        names, settings = ', '.join(self._config.controllers), self._config.recovery
        found: dict[Step, Action] = {}
        if self._has_controllers:
            found[Step.DEACTIVATE] = Action(
                summary=f'deactivate {names}', begin=self._begin_deactivation
            )
            found[Step.ACTIVATE] = Action(
                summary=f'activate {names} (strictly: all or none)',
                begin=self._begin_activation,
            )
        if settings.error_recovery:
            found[Step.CLEAR] = Action(
                summary=f'let the robot clear its errors ({settings.error_recovery})',
                begin=self._begin_clear,
            )
        elif settings.recover_service:
            found[Step.CLEAR] = Action(
                summary=f'let the robot clear its errors ({settings.recover_service})',
                begin=partial(self._begin_trigger, settings.recover_service),
            )
        if settings.hardware_component:
            also = ''.join(f', {name}' for name in settings.broadcasters)
            found[Step.HARDWARE] = Action(
                summary=f'activate {settings.hardware_component}{also}',
                begin=self._begin_hardware,
            )
        if self.has_setup:
            found[Step.SETUP] = Action(
                summary='set collision thresholds and load', begin=self.begin_setup
            )
        return found

    @property
    def has_setup(self) -> bool:
        """Whether the rig file gives collision thresholds or a load."""
        return self._config.collision.is_given or self._config.load.is_given

    def begin_setup(self) -> Pending:
        """Begin to set collision thresholds and load; a Franka takes them only while idle."""
        steps: list[Callable[[], Pending]] = []
        if self._set_collision is not None:
            steps.append(self._begin_collision)
        if self._set_load is not None:
            steps.append(self._begin_load)
        return Sequence(steps)

    def begin_hard_stop(self) -> Pending | None:
        """Begin to take the arm from its controllers; None where the rig file names no way."""
        if self._has_controllers:
            return self._begin_deactivation()
        if self._config.recovery.stop_service:
            return self._begin_trigger(self._config.recovery.stop_service)
        return None

    def begin_look(self) -> Pending | None:
        """Begin to see that the rig's controllers are active; None where nobody can say."""
        return self._begin_look(is_active=True) if self._has_controllers else None

    def meet(self) -> None:
        """Make the clients of a hard stop, so that it need not wait for their servers."""
        if self._has_controllers:
            manager = self._config.controller_manager
            self._clients.meet_service(self._switch, f'{manager}/{SWITCH}')
            self._clients.meet_service(self._list, f'{manager}/{LIST}')
        elif self._config.recovery.stop_service:
            self._clients.meet_service(Trigger, self._config.recovery.stop_service)

    def meet_all(self) -> None:
        """Make those of a recovery too: a server that meets a client too late answers nobody."""
        if self._set_hardware is not None:
            name = f'{self._config.controller_manager}/{SET_HARDWARE}'
            self._clients.meet_service(self._set_hardware, name)
        if self._clear is not None:
            self._clients.meet_action(self._clear, self._config.recovery.error_recovery)
        elif self._config.recovery.recover_service:
            self._clients.meet_service(Trigger, self._config.recovery.recover_service)
        if self._set_collision is not None:
            self._clients.meet_service(self._set_collision, self._config.collision.service)
        if self._set_load is not None:
            self._clients.meet_service(self._set_load, self._config.load.service)

    def close(self) -> None:
        """Destroy the clients."""
        self._clients.destroy()

    # ---- inside ----

    def _type(self, is_needed: bool, name: str) -> Any:
        return interface_class(name) if is_needed else None

    def _begin_trigger(self, name: str) -> Pending:
        return self._clients.call(Trigger, name, Trigger.Request(), trigger_outcome)

    def _begin_switch(
        self, strictness: int, *, on: tuple[str, ...] = (), off: tuple[str, ...] = ()
    ) -> Pending:
        """Begin to switch controllers; with best effort what is so already is no failure."""
        request = self._switch.Request(strictness=strictness)
        request.activate_controllers, request.deactivate_controllers = list(on), list(off)
        request.timeout.sec = SWITCH_TIMEOUT_S
        name = f'{self._config.controller_manager}/{SWITCH}'

        def read(answer: Any) -> Outcome:
            # Humble's answer has no message.
            said = getattr(answer, 'message', '') or 'the controller manager refused; see its log'
            return Outcome(bool(answer.ok), '' if answer.ok else said)

        return self._clients.call(self._switch, name, request, read)

    def _begin_deactivation(self) -> Pending:
        """Begin to deactivate the rig's controllers, and to see that they are not active then.

        With best effort, a controller manager calls it a success that it left some out: those
        whose names it does not know, and those that others depend on.
        """
        switch = partial(self._begin_switch, BEST_EFFORT, off=self._config.controllers)
        return Sequence([switch, partial(self._begin_look, is_active=False)])

    def _begin_activation(self) -> Pending:
        """Begin to activate the rig's controllers, all or none, and to see that they are active.

        A controller manager calls it a success where a controller has refused meanwhile, or where
        the hardware has gone down again.
        """
        switch = partial(self._begin_switch, STRICT, on=self._config.controllers)
        return Sequence([switch, partial(self._begin_look, is_active=True)])

    def _begin_look(self, *, is_active: bool) -> Pending:
        """Begin to see that all of the rig's controllers are active, or that none is."""
        names = self._config.controllers

        def read(answer: Any) -> Outcome:
            states = {controller.name: controller.state for controller in answer.controller}
            unknown = [name for name in names if name not in states]
            wrong = [name for name in names if (states.get(name) == 'active') is not is_active]
            if wrong and not (unknown and is_active):
                said = 'not active' if is_active else 'still active'
                return Outcome(False, f'{said}: {", ".join(wrong)}')
            if unknown:
                known = ', '.join(sorted(states)) or 'none'
                return Outcome(False, f'no controller {", ".join(unknown)}; there are: {known}')
            return Outcome(True)

        name = f'{self._config.controller_manager}/{LIST}'
        return self._clients.call(self._list, name, self._list.Request(), read)

    def _begin_clear(self) -> Pending:
        name = self._config.recovery.error_recovery
        return self._clients.send(self._clear, name, self._clear.Goal())

    def _begin_hardware(self) -> Pending:
        """Begin to activate the component, and what reports for it."""
        names = self._config.recovery.broadcasters
        if not names:
            return self._begin_component()
        broadcast = partial(self._begin_switch, BEST_EFFORT, on=names)
        return Sequence([self._begin_component, broadcast])

    def _begin_component(self) -> Pending:
        request = self._set_hardware.Request(name=self._config.recovery.hardware_component)
        request.target_state.id, request.target_state.label = _ACTIVE_ID, _ACTIVE_LABEL
        name = f'{self._config.controller_manager}/{SET_HARDWARE}'

        def read(answer: Any) -> Outcome:
            return Outcome(bool(answer.ok), '' if answer.ok else f'it is {answer.state.label}')

        return self._clients.call(self._set_hardware, name, request, read)

    def _begin_collision(self) -> Pending:
        settings = self._config.collision
        request = self._set_collision.Request()
        for phase in ('acceleration', 'nominal'):
            for side, kind in (('lower', 'contact'), ('upper', 'collision')):
                torques = list(getattr(settings, f'{kind}_torque_nm'))
                forces = list(getattr(settings, f'{kind}_force_n'))
                setattr(request, f'{side}_torque_thresholds_{phase}', torques)
                setattr(request, f'{side}_force_thresholds_{phase}', forces)
        read = partial(_franka_outcome, 'collision thresholds')
        return self._clients.call(self._set_collision, settings.service, request, read)

    def _begin_load(self) -> Pending:
        settings = self._config.load
        request = self._set_load.Request(mass=settings.mass_kg)
        request.center_of_mass = list(settings.center_m)
        request.load_inertia = list(settings.inertia_kg_m2)
        read = partial(_franka_outcome, 'load')
        return self._clients.call(self._set_load, settings.service, request, read)


def _franka_outcome(what: str, answer: Any) -> Outcome:
    said = f'{what} set' if answer.success else f'{what} not set: {answer.error or "refused"}'
    return Outcome(bool(answer.success), said)
