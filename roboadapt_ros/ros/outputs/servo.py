"""Speeds for moveit_servo, and what must be called before it takes any.

Humble's servo is started by a service and knows no poses; from Jazzy on the type of command is
chosen by a service. Both halt 0.1 s after the last command.
https://moveit.picknik.ai/main/doc/examples/realtime_servo/realtime_servo_tutorial.html
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.recovery import Outcome
from roboadapt_ros.control.speed_motion import within
from roboadapt_ros.ros.calls import Clients, interface_class, ServiceCall, trigger_outcome
from roboadapt_ros.ros.convert import to_float64s, to_time
from roboadapt_ros.ros.outputs.settings import (
    checked_servo_release,
    OutputConfig,
    SERVO_JOG,
    SERVO_POSE,
    SERVO_TWIST,
)
from roboadapt_ros.ros.outputs.velocity import SpeedOutput
from std_msgs.msg import Header
from std_srvs.srv import Trigger

FloatArray = npt.NDArray[np.float64]
_COMMAND_TYPES = {SERVO_JOG: 0, SERVO_TWIST: 1, SERVO_POSE: 2}
"""moveit_msgs/srv/ServoCommandType."""
_RETRY_NS = 1_000_000_000
_DEADLINE_NS = 5_000_000_000
"""Longest wait for an answer: a request sent to a process that ends is never answered."""
_STATES = {
    'jazzy': {
        1: 'slows down near a singularity',
        2: 'has halted at a singularity',
        3: 'slows down while it leaves a singularity',
        4: 'slows down near a collision',
        5: 'has halted before a collision',
        6: 'has halted at the end of a joint',
    },
    'humble': {
        1: 'slows down near a singularity',
        2: 'has halted at a singularity',
        3: 'slows down near a collision',
        4: 'has halted before a collision',
        5: 'has halted at the end of a joint',
        6: 'slows down while it leaves a singularity',
    },
}
"""Meaning of a status by release: the numbers differ."""


class ServoTwistOutput(SpeedOutput):
    """TwistStamped: speed of the hand's tool centre point, in axes of the base frame.

    It is that of the joints' speeds where the points are: servo finds joints of its own for it.
    """

    def excess(self, dq: FloatArray) -> float:
        """Return by which factor the hand is too fast, for its limit or for servo's scales."""
        beyond = super().excess(dq)
        if self.config.units == 'unitless':
            beyond = max(beyond, float((np.abs(self.jacobian @ dq) / self._scales()).max()))
        return beyond

    def say(self, dq: FloatArray, now_ns: int) -> Any:
        """Return the twist."""
        twist = self.jacobian @ dq
        if self.config.units == 'unitless':
            twist = within(twist / self._scales(), np.ones(6))
        header = Header(stamp=to_time(now_ns), frame_id=self.model.base_frame)
        message = self.message_type(header=header)
        for axis, linear, angular in zip('xyz', twist[:3], twist[3:], strict=True):
            setattr(message.twist.linear, axis, float(linear))
            setattr(message.twist.angular, axis, float(angular))
        return message

    def _scales(self) -> FloatArray:
        return np.repeat((self.config.scale_linear_m_s, self.config.scale_rotational_rad_s), 3)


class ServoJogOutput(SpeedOutput):
    """control_msgs/JointJog: speed of every joint."""

    def excess(self, dq: FloatArray) -> float:
        """Return by which factor the hand, or a joint for servo's scale, is too fast."""
        beyond = super().excess(dq)
        if self.config.units == 'unitless':
            beyond = max(beyond, float(np.abs(dq).max()) / self.config.scale_joint_rad_s)
        return beyond

    def say(self, dq: FloatArray, now_ns: int) -> Any:
        """Return the speeds in the controller's order."""
        if self.config.units == 'unitless':
            dq = within(dq / self.config.scale_joint_rad_s, np.ones(len(dq)))
        message = self.message_type(joint_names=list(self.names))
        message.header.stamp, message.header.frame_id = to_time(now_ns), self.model.base_frame
        message.velocities = to_float64s(self.ordered(dq))
        message.duration = self.ticks_per_message / self.model.rate_hz
        return message


class Servo:
    """Makes moveit_servo listen, and tells how it does.

    `problem` is why it does not listen yet; nothing is to be sent before it is ''.
    """

    def __init__(self, node: Any, config: OutputConfig):
        """Prepare; raises `ConfigError` where the message types are not installed."""
        self._node, self._config = node, config
        self.release = checked_servo_release(config)
        self._clients = Clients(node)
        self._call: ServiceCall | None = None
        self._asked_ns = self._looked_ns = 0
        self.problem, self.state = 'moveit_servo was not asked yet', ''
        if self.release == 'jazzy':
            self._kind = interface_class('moveit_msgs/srv/ServoCommandType')
            self._service = f'{config.servo_node}/switch_command_type'
            self._request = self._kind.Request(command_type=_COMMAND_TYPES[config.driver])
            self.status_type = interface_class('moveit_msgs/msg/ServoStatus')
        else:
            self._kind, self._request = Trigger, Trigger.Request()
            self._service = f'{config.servo_node}/start_servo'
            self.status_type = interface_class('std_msgs/msg/Int8')

    @property
    def status_topic(self) -> str:
        """Where servo says how it does."""
        return f'{self._config.servo_node}/status'

    def begin(self) -> None:
        """Ask servo to listen; `poll` sees to the answer."""
        self.problem, self.state = f'service {self._service} is not there', ''
        self._ask()

    def renew(self, now_ns: int) -> None:
        """Ask again, where it listened when last heard: it may have been started anew since."""
        if self._call is None and not self.problem:
            self._asked_ns = now_ns
            self._ask()

    def _ask(self) -> None:
        client = self._clients.service(self._kind, self._service)
        self._call = ServiceCall(client, self._request, self._outcome)

    def poll(self, now_ns: int) -> None:
        """Look for the answer; ask again where it was no, or where servo has gone meanwhile."""
        if abs(now_ns - self._looked_ns) > _RETRY_NS:
            self._looked_ns = now_ns
            if not self._clients.service(self._kind, self._service).service_is_ready():
                self.problem = f'service {self._service} is not there'
        is_late = self._call is not None and abs(now_ns - self._asked_ns) > _DEADLINE_NS
        if is_late and not self.problem:
            self.problem = f'service {self._service} does not answer'
        is_due = self._call is None and abs(now_ns - self._asked_ns) > _RETRY_NS
        if self.problem and (is_late or is_due):
            self._asked_ns = now_ns
            self._ask()
        outcome = None if self._call is None else self._call.poll(now_ns)
        if outcome is None:
            return
        self._call, self._asked_ns = None, now_ns
        self.problem = '' if outcome.is_good else f'{self._service}: {outcome.detail or "refused"}'

    def on_status(self, message: Any) -> None:
        """Take servo's own status."""
        code = int(message.code if hasattr(message, 'code') else message.data)
        self.state = _STATES[self.release].get(code, '')

    def end(self) -> None:
        """Forget it."""
        self._call, self.problem = None, 'moveit_servo was not asked yet'
        self._clients.destroy()

    def _outcome(self, response: Any) -> Outcome:
        if self.release == 'humble':
            return trigger_outcome(response)
        return Outcome(bool(response.success), 'it does not take this type of command')
