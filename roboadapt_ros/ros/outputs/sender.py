"""The one publisher that moves the arm: points in, messages of the rig's controller out."""

from __future__ import annotations

from dataclasses import replace
import time
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.outputs.joint import (
    FloatArrayOutput,
    JointImpedanceOutput,
    JointTrajectoryOutput,
)
from roboadapt_ros.ros.outputs.output import ArmModel, Output, Point
from roboadapt_ros.ros.outputs.pose import PoseOutput
from roboadapt_ros.ros.outputs.servo import Servo, ServoJogOutput, ServoTwistOutput
from roboadapt_ros.ros.outputs.settings import (
    CARTESIAN_POSE,
    FLOAT64_ARRAY,
    JOINT_IMPEDANCE,
    JOINT_TRAJECTORY,
    OutputConfig,
    SERVO_JOG,
    SERVO_POSE,
    SERVO_TWIST,
    TOPICS,
)
from roboadapt_ros.ros.qos import STATUS

OUTPUTS: dict[str, type[Output]] = {
    JOINT_IMPEDANCE: JointImpedanceOutput,
    JOINT_TRAJECTORY: JointTrajectoryOutput,
    CARTESIAN_POSE: PoseOutput,
    SERVO_TWIST: ServoTwistOutput,
    SERVO_JOG: ServoJogOutput,
    SERVO_POSE: PoseOutput,
    FLOAT64_ARRAY: FloatArrayOutput,
}
"""Driver -> its class."""
ZEROS = 10
"""Zero speeds sent before falling silent: the reader keeps one, and one may be lost."""
END_S = 1.0
"""Longest braking at the end [s]; an FR3's fastest joint needs 0.6 s."""


class ArmSender:
    """Sends points by the driver of the rig, and zero speeds when there are no more points.

    Example, governor at 100 Hz, messages at 50 Hz: of the points 1, 2, 3, 4 the first and third
    are sent; the first point after a silence always is. With a driver of speeds the arm brakes as
    hard as it may after the last point, and ten zeros follow, at the rate of the points.
    """

    def __init__(self, node: GraphNode[Any], config: OutputConfig, model: ArmModel):
        """Create the publisher; for `configure`.

        Raises:
            ConfigError: A type that is not installed, or options that contradict each other.
        """
        self._node = node
        self.driver = OUTPUTS[config.driver](config, model)
        self._servo = Servo(node, config) if config.driver.startswith('servo') else None
        reliable = ReliabilityPolicy.RELIABLE if config.reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=config.depth,
            reliability=reliable,
            durability=DurabilityPolicy.VOLATILE,
        )
        self._out = node.publisher(self.driver.message_type, TOPICS[config.driver], qos)
        self._ticks, self._zeros_left = 0, 0

    @property
    def problem(self) -> str:
        """Why the controller would not listen; '' where that is not known."""
        return '' if self._servo is None else self._servo.problem

    @property
    def can_hold(self) -> bool:
        """Whether messages are positions, which an arm at rest may be sent."""
        return not self.driver.is_velocity and self._servo is None

    @property
    def remark(self) -> str:
        """What the controller says of itself, for a person; '' = nothing."""
        return '' if self._servo is None or not self._servo.state else f'servo {self._servo.state}'

    def begin(self) -> None:
        """Make the controller listen; for `activate`.

        Where messages are speeds, zeros come first: a governor that was killed may have left one.
        """
        self._ticks, self._zeros_left = 0, ZEROS if self.driver.is_velocity else 0
        if self._servo is not None:
            servo = self._servo
            self._node.subscribe(servo.status_type, servo.status_topic, servo.on_status, STATUS)
            servo.begin()

    def keep(self, limits: RobotLimits, hand_speed_max_m_s: float) -> None:
        """Let messages of speeds keep these limits from now on."""
        self.driver.model = replace(
            self.driver.model, limits=limits, hand_speed_max_m_s=hand_speed_max_m_s
        )

    def require(self) -> None:
        """Pass where the controller listens.

        Raises:
            RefusedError: 'output'.
        """
        if self.problem:
            raise RefusedError('output', self.problem)

    def send(self, point: Point, now_ns: int) -> None:
        """Send a point, where it is one that is due."""
        if self._servo is not None:
            if self._ticks == 0:
                self._servo.renew(now_ns)
            self._servo.poll(now_ns)
        if self._ticks % self.driver.ticks_per_message == 0:
            self._out.publish(self.driver.message(point, now_ns))
        self._ticks += 1
        self._zeros_left = ZEROS if self.driver.is_velocity else 0

    def quiet(self, now_ns: int) -> None:
        """Send no point in this tick; where the messages are speeds: brake, then zeros."""
        if self._servo is not None:
            self._servo.poll(now_ns)
        self._ticks = 0
        if self._zeros_left:
            message = self.driver.braking(now_ns)
            if message is None:
                self._zeros_left -= 1
                message = self.driver.zero(now_ns)
            self._out.publish(message)

    def end(self, now_ns: int) -> None:
        """Come to rest, and wait for that; for `deactivate`, while the publisher still speaks."""
        if self._zeros_left:
            began_ns, period_s = time.monotonic_ns(), 1.0 / self.driver.model.rate_hz
            passed_ns = 0
            while passed_ns < END_S * 1e9:
                message = self.driver.braking(now_ns + passed_ns)
                if message is None:
                    break
                self._out.publish(message)
                time.sleep(period_s)
                passed_ns = time.monotonic_ns() - began_ns
            for _ in range(ZEROS):
                self._out.publish(self.driver.zero(now_ns + time.monotonic_ns() - began_ns))
                time.sleep(period_s)
        self._ticks, self._zeros_left = 0, 0
        if self._servo is not None:
            self._servo.end()
