"""An arm, its hand and its driver's services, on a client's node: what a governor talks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_fakes import make_chunk
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np
from rclpy.qos import QoSProfile
from roboadapt_interfaces.msg import ActionChunk, GateStatus
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.control.kinematics import Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.ros.convert import to_chunk, to_time
from roboadapt_ros.ros.qos import COMMAND, DATA, STATE_OUT, STATUS, TRACE
from roboadapt_ros.ros.rig_messages import finger_state, joint_state
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

FINGERS = ('left', 'right')
IDLE, MOVE, GUIDING, REFLEX, USER_STOPPED = 1, 2, 3, 4, 5
_SWING_RAD, _SWING_S = 0.1, 2.0


class FakeArm:
    """Follows targets at once, reports its mode, and sends chunks while it is asked to.

    Example: ``arm.mode = REFLEX`` is reported within 50 ms; ``arm.recovers = False`` makes its
    service refuse; ``arm.answers = False`` leaves the services away.
    """

    state_type: type = DiagnosticStatus
    """Type of `robot_state`."""

    def __init__(self, connection: Connection):
        """Begin to publish."""
        self._node = connection._node
        self._names = robot_limits('panda').joint_names
        self.q = Q_HOME.copy()
        self.mode, self.errors = MOVE, ''
        self.recovers = True
        self.has_controller = True
        self.sends_chunks = False
        self.follows = self.moves = True
        self.is_measured = True
        """Whether joint states come."""
        self.sag = np.zeros(7)
        """How far a load holds it off from its targets [rad]."""
        self.targets: list[tuple[int, np.ndarray]] = []
        self.target_speed = np.zeros(7)
        self.points: list[ActionChunk] = []
        self.calls: list[str] = []
        self.status: list[GateStatus] = []
        node = self._node
        self._made: list[tuple[Callable[[Any], Any], Any]] = []
        self._arm_out = self._publisher(JointState, 'joint_states', STATE_OUT)
        self._hand_out = self._publisher(JointState, 'gripper/joint_states', STATE_OUT)
        self._robot_out = self._publisher(self.state_type, 'robot_state', STATUS)
        self._chunk_out = self._publisher(ActionChunk, 'sim2real/action_chunk', DATA)
        for kind, topic, keep, qos in (
            (JointState, 'target_joint', self._on_target, COMMAND),
            (GateStatus, 'governor/status', self.status.append, STATUS),
            (ActionChunk, 'governor/command', self.points.append, TRACE),
        ):
            made = node.create_subscription(kind, topic, keep, qos)
            self._made.append((node.destroy_subscription, made))
        for period_s, publish in (
            (0.01, self._publish_arm),
            (0.05, self._publish_slow),
            (0.1, self._publish_chunk),
        ):
            self._made.append((node.destroy_timer, node.create_timer(period_s, publish)))

    def _publisher(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        made = self._node.create_publisher(kind, topic, qos)
        self._made.append((self._node.destroy_publisher, made))
        return made

    def serve(self, name: str) -> None:
        """Offer a Trigger that does what the arm's driver does."""

        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            self.calls.append(name)
            response.success = self.recovers
            response.message = '' if self.recovers else 'the brakes are closed'
            if self.recovers and name == 'recover':
                self.mode, self.errors = IDLE, ''
            return response

        made = self._node.create_service(Trigger, name, answer)
        self._made.append((self._node.destroy_service, made))

    def close(self) -> None:
        """Publish and serve no more."""
        for destroy, entity in reversed(self._made):
            destroy(entity)

    @property
    def state(self) -> str:
        """The governor's newest state."""
        return self.status[-1].state if self.status else ''

    @property
    def reason(self) -> str:
        """Why the governor is in it."""
        return self.status[-1].reason if self.status else ''

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _on_target(self, message: JointState) -> None:
        target, self.target_speed = np.array(message.position), np.array(message.velocity)
        self.targets.append((self._now_ns(), target))
        if self.follows:
            self.q = target + self.sag
        if self.mode == IDLE and self.has_controller and self.moves:
            self.mode = MOVE

    def _publish_arm(self) -> None:
        if not self.is_measured:
            return
        stamp = to_time(self._now_ns())
        self._arm_out.publish(joint_state(stamp, self._names, self.q, np.zeros(7)))

    def _publish_slow(self) -> None:
        self._publish_hand()
        self._robot_out.publish(self._report())

    def _publish_hand(self) -> None:
        self._hand_out.publish(finger_state(to_time(self._now_ns()), FINGERS, 0.08))

    def _report(self) -> Any:
        """Return the state of the robot as a message."""
        is_well = self.mode in (IDLE, MOVE) and not self.errors
        return DiagnosticStatus(
            level=DiagnosticStatus.OK if is_well else DiagnosticStatus.ERROR,
            message=self.errors or 'mode',
            values=[
                KeyValue(key='robot_mode', value=str(self.mode)),
                KeyValue(key='current_errors', value=self.errors),
            ],
        )

    def _publish_chunk(self) -> None:
        """Swing the first joint."""
        if not self.sends_chunks:
            return
        now_ns = self._now_ns()
        rows = np.tile(Q_HOME, (8, 1))
        phase = (now_ns / 1e9 % _SWING_S + 0.1 * np.arange(8)) / _SWING_S
        rows[:, 0] += _SWING_RAD * np.sin(2.0 * np.pi * phase)
        self._chunk_out.publish(to_chunk(make_chunk(rows, now_ns)))
