"""The governor's way to the rig: arm, hand, and the check that the arm is where it should be.

Which driver sends what is said by the rig file: see `ros.outputs` and `ros.hands`.
Subscribes:
    current_pose (geometry_msgs/PoseStamped): pose of the hand; where `check_pose` is set, no chunk
        is taken before it agreed with the kinematics, and none after it did not.
    <servo_node>/status (moveit_msgs/ServoStatus or std_msgs/Int8): how moveit_servo does.
Serves:
    governor/home_hand (std_srvs/Trigger): the fingers open and close fully, to find their range;
        refused while the arm is moved. Driver franka_actions only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from rclpy.subscription import Subscription
from roboadapt_ros.control.command import FloatArray, GovernorCommand, GovernorState
from roboadapt_ros.control.governor import Governor
from roboadapt_ros.control.governor_config import KEPT_RAD
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.pose_check import PoseCheck
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.nodes.arm_holder import Hold
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.hands.make import make_hand
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import GovernorParameters
from roboadapt_ros.ros.outputs.output import ArmModel, Point
from roboadapt_ros.ros.outputs.sender import ArmSender
from roboadapt_ros.ros.polled import poll
from roboadapt_ros.ros.qos import STATE
from roboadapt_ros.ros.rig_messages import read_pose
from roboadapt_ros.ros.robot import ArmSample
from std_srvs.srv import Trigger

FRESH_S = 0.1
"""Oldest joint state that speeds are corrected by [s]."""


class RigLink:
    """Sends points to the arm and widths to the hand, by the drivers of the rig file.

    Example, each tick: ``send(command, now_ns)`` with a point; without one ``keep`` or ``quiet``.
    An arm with 1 kg in its hand, 0.03 rad below where its controller holds it, keeps that target.
    """

    def __init__(
        self,
        node: GraphNode[GovernorParameters],
        config: GovernorParameters,
        governor: Governor,
        kinematics: PandaKinematics,
    ):
        """Create the publishers; for `configure`.

        Raises:
            ConfigError: A type that is not installed, or options that contradict each other.
        """
        self._node, self._config, self._governor = node, config, governor
        self._limits = limits = governor.commanded_limits
        model = ArmModel(
            limits=limits,
            hand_speed_max_m_s=min(config.hand_speed_max_m_s, limits.ee_speed_max),
            forward=kinematics.forward,
            jacobian=kinematics.jacobian,
            base_frame=config.base_frame,
            brake_ddq_max=robot_limits(config.robot).ddq_max,
            brake_dddq_max=robot_limits(config.robot).dddq_max,
            rate_hz=config.rate_hz,
        )
        self.arm = ArmSender(node, config.output, model)
        self.hand = make_hand(node, config.gripper, limits.gripper_width_max_m)
        self.pose = PoseCheck(
            kinematics.forward,
            config.pose_tolerance_m,
            config.pose_tolerance_rad,
            node.resolve_topic_name('current_pose'),
        )
        self._newest: ArmSample | None = None
        self._kept: FloatArray | None = None
        """The position to keep: the last point, or where the arm was found (7,) [rad]."""
        self._refused: Counter[str] = Counter()
        self._pose_in: Subscription | None = None

    def begin(self) -> None:
        """Connect, and ask for the pose anew; for `activate`."""
        self.pose.reset()
        self._kept = None
        self.arm.begin()
        self.hand.begin()
        self._node.serve(Trigger, 'governor/home_hand', self._on_home)
        if self._config.check_pose:
            self._pose_in, self._look_at_pose = poll(
                self._node, PoseStamped, 'current_pose', self._on_pose, STATE
            )

    def end(self, now_ns: int) -> None:
        """Bring the arm to rest, and disconnect; for `deactivate`."""
        self.arm.end(now_ns)
        self.hand.end()
        self._forget_pose()

    @property
    def problem(self) -> str:
        """Why the arm can't be moved, or the hand does not follow; '' while all is well."""
        if self._config.check_pose and self.pose.problem:
            return self.pose.problem
        return self.arm.problem or self.hand.problem

    @property
    def remark(self) -> str:
        """What a person should know; '' = nothing."""
        return self.arm.remark or self.hand.remark

    @property
    def counts(self) -> dict[str, int]:
        """Chunks refused here, and orders to the hand, by cause."""
        return {**self._refused, **self.hand.counts}

    @property
    def refused(self) -> int:
        """Number of chunks refused here."""
        return sum(self._refused.values())

    def look(self) -> None:
        """Look for the pose of the hand until it is known whether it agrees, and no longer."""
        if self._pose_in is not None:
            self._look_at_pose()
            if self.pose.is_decided:
                self._forget_pose()

    def observe(self, sample: ArmSample, came_ns: int) -> None:
        """Take a joint state, and when it came [ns]."""
        self._newest = sample
        self.arm.driver.observe(sample.stamp_ns, came_ns)
        self.pose.observe_joints(sample.q, sample.dq, sample.stamp_ns)

    def require(self) -> None:
        """Pass where the rig may be moved.

        Raises:
            RefusedError: 'frame' or 'output'.
        """
        checks: list[Callable[[], None]] = [self.arm.require]
        if self._config.check_pose:
            checks.insert(0, self.pose.require)
        for check in checks:
            try:
                check()
            except RefusedError as error:
                self._refused[error.cause] += 1
                raise

    def send(self, command: GovernorCommand, now_ns: int) -> None:
        """Send a point to the arm, and its width to the hand."""
        governor = self._governor
        if governor.commanded_limits is not self._limits:
            self._limits = governor.commanded_limits
            self.arm.keep(self._limits, governor.bounds.hand_speed_max_m_s)
        self.arm.send(Point(command.q, command.dq, self._measured(now_ns)), now_ns)
        self._kept = command.q
        self.hand.tell(self._governor.gripper_goal_m, command.gripper_width_m, now_ns)

    def keep(self, now_ns: int, hold: Hold) -> FloatArray | None:
        """Send the position that the arm at rest is to keep; nothing where none is known.

        Args:
            now_ns: Time now [ns].
            hold: Who holds the arm.

        Returns:
            What was sent (7,) [rad]; None where nothing was.
        """
        measured, kept = self._measured(now_ns), self._kept
        if measured is not None and (kept is None or self._gives_way(measured - kept, hold)):
            kept = self._kept = measured
        if kept is None or not self.arm.can_hold:
            self.quiet(now_ns)
            return None
        self.arm.send(Point(kept, np.zeros_like(kept), measured), now_ns)
        self.hand.quiet()
        return kept

    def is_off(self, now_ns: int) -> bool:
        """Return whether the arm is far from what it is to keep."""
        measured, kept = self._measured(now_ns), self._kept
        return measured is not None and kept is not None and _is_far(measured - kept)

    def quiet(self, now_ns: int) -> None:
        """Send no point in this tick."""
        self.arm.quiet(now_ns)
        self.hand.quiet()

    def _gives_way(self, off: FloatArray, hold: Hold) -> bool:
        """Return whether the position to keep follows an arm that is off from it (7,) [rad]."""
        if hold is Hold.UNKNOWN:
            return _is_far(off)
        return hold is Hold.NOBODY

    def _measured(self, now_ns: int) -> FloatArray | None:
        newest = self._newest
        is_fresh = newest is not None and abs(now_ns - newest.stamp_ns) <= FRESH_S * 1e9
        return newest.q if newest is not None and is_fresh else None

    def _on_pose(self, message: PoseStamped, came_ns: int) -> None:
        stamp_ns = from_time(message.header.stamp) or came_ns
        was_decided = self.pose.is_decided
        self.pose.observe_pose(*read_pose(message), stamp_ns)
        if self.pose.is_decided and not was_decided and self.pose.problem:
            self._node.get_logger().error(f'The arm is not moved: {self.pose.problem}')

    def _forget_pose(self) -> None:
        if self._pose_in is not None:
            self._node.destroy_subscription(self._pose_in)
            self._pose_in = None

    def _on_home(self, _: Any, response: Any) -> Any:
        try:
            if self._governor.state not in (GovernorState.IDLE, GovernorState.FAULT):
                raise RefusedError('moving', 'the arm is being moved: disarm first')
            self.hand.home()
            response.success, response.message = True, 'begun; see gripper/joint_states'
        except RefusedError as error:
            response.success, response.message = False, error.detail
        return response


def _is_far(off: FloatArray) -> bool:
    return float(np.abs(off).max()) > KEPT_RAD
