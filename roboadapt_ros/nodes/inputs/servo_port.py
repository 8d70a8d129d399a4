"""What moveit_servo asks for before it listens, and what it says of itself, by release."""

from __future__ import annotations

import threading
from typing import Any

from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import STATUS
from roboadapt_ros.sim.servo import CommandType, ServoStatus, SimulatedServo
from std_msgs.msg import Int8
from std_srvs.srv import SetBool, Trigger

_CODES = {
    'jazzy': {
        ServoStatus.NEARS_SINGULARITY: 1,
        ServoStatus.AT_SINGULARITY: 2,
        ServoStatus.LEAVES_SINGULARITY: 3,
        ServoStatus.JOINT_BOUND: 6,
    },
    'humble': {
        ServoStatus.NEARS_SINGULARITY: 1,
        ServoStatus.AT_SINGULARITY: 2,
        ServoStatus.JOINT_BOUND: 5,
        ServoStatus.LEAVES_SINGULARITY: 6,
    },
}
"""Numbers of a status by release."""
_INVALID, _NO_WARNING = -1, 0


class ServoPort:
    """Opens and closes one simulated servo by its services, and publishes its status."""

    def __init__(
        self,
        node: GraphNode[Any],
        name: str,
        release: str,
        servo: SimulatedServo,
        lock: threading.Lock,
    ):
        """Create the publisher; `serve` begins.

        Args:
            node: The node that serves.
            name: Name of the servo node.
            release: 'humble' or 'jazzy' (and later).
            servo: Touched under the lock only.
            lock: Held by the node's ticks.

        Raises:
            ConfigError: moveit_msgs is not installed here.
        """
        self._node, self._name, self._release = node, name, release
        self._servo, self._lock = servo, lock
        self._status: Any = Int8
        self._halted = 'servo was not started' if release == 'humble' else ''
        if release != 'humble':
            self._switch = interface_class('moveit_msgs/srv/ServoCommandType')
            self._status = interface_class('moveit_msgs/msg/ServoStatus')
        self._out = node.publisher(self._status, f'{name}/status', STATUS)

    @property
    def closed(self) -> str:
        """Why it does not listen; '' where it does."""
        is_undecided = self._release != 'humble' and self._servo.kind is None
        return self._halted or ('no command type was chosen' if is_undecided else '')

    def serve(self) -> None:
        """Offer the services of the release."""
        serve, name = self._node.serve, self._name
        if self._release != 'humble':
            serve(self._switch, f'{name}/switch_command_type', self._on_switch)
            serve(SetBool, f'{name}/pause_servo', self._on_pause)
            return
        for leaf, halted in (
            ('start_servo', ''),
            ('stop_servo', 'servo was stopped'),
            ('pause_servo', 'servo is paused'),
            ('unpause_servo', ''),
        ):
            serve(Trigger, f'{name}/{leaf}', lambda _, answer, why=halted: self._set(answer, why))

    def publish(self) -> None:
        """Say how servo does."""
        status = self._servo.status
        code = _CODES[self._release].get(status, _NO_WARNING)
        code = _INVALID if status is ServoStatus.INVALID else code
        if self._release == 'humble':
            self._out.publish(Int8(data=code))
        else:
            self._out.publish(self._status(code=code, message=status.value))

    def _on_switch(self, request: Any, response: Any) -> Any:
        response.success = request.command_type in tuple(CommandType)
        if response.success:
            with self._lock:
                kind = CommandType(request.command_type)
                if kind is not self._servo.kind:
                    self._servo.halt()
                self._servo.kind = kind
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        return self._set(response, 'servo is paused' if request.data else '')

    def _set(self, response: Any, halted: str) -> Any:
        with self._lock:
            self._halted = halted
            if halted:
                self._servo.halt()
        response.success, response.message = True, halted or 'servo listens'
        return response
