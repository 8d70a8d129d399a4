"""How points reach the arm: section `arm.output` of a rig file, parameters `output.*`.

This module must not import rclpy.
"""

from __future__ import annotations

from dataclasses import dataclass
import os

from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.field import check_fields, check_options, param

JOINT_IMPEDANCE = 'joint_impedance'
JOINT_TRAJECTORY = 'joint_trajectory'
CARTESIAN_POSE = 'cartesian_pose'
SERVO_TWIST = 'servo_twist'
SERVO_JOG = 'servo_jog'
SERVO_POSE = 'servo_pose'
FLOAT64_ARRAY = 'float64_array'

_ALWAYS = ('driver', 'rate_hz', 'reliable', 'depth')
_SERVO = ('servo_node', 'servo_release')
_UNITS = ('units', 'scale_linear_m_s', 'scale_rotational_rad_s', 'scale_joint_rad_s')
OPTIONS: dict[str, tuple[str, ...]] = {
    JOINT_IMPEDANCE: (*_ALWAYS, 'joint_order', 'velocities', 'keep_alive'),
    JOINT_TRAJECTORY: (*_ALWAYS, 'joint_order', 'horizon_s', 'stamped'),
    CARTESIAN_POSE: (*_ALWAYS, 'keep_alive'),
    SERVO_TWIST: (*_ALWAYS, *_SERVO, *_UNITS, 'feedback_1_s'),
    SERVO_JOG: (*_ALWAYS, *_SERVO, *_UNITS, 'feedback_1_s', 'joint_order'),
    SERVO_POSE: (*_ALWAYS, *_SERVO),
    FLOAT64_ARRAY: (*_ALWAYS, 'joint_order', 'quantity', 'feedback_1_s'),
}
"""Driver -> options it takes."""
TOPICS: dict[str, str] = {
    JOINT_IMPEDANCE: 'target_joint',
    JOINT_TRAJECTORY: 'joint_trajectory',
    CARTESIAN_POSE: 'target_pose',
    SERVO_TWIST: 'delta_twist_cmds',
    SERVO_JOG: 'delta_joint_cmds',
    SERVO_POSE: 'pose_target_cmds',
    FLOAT64_ARRAY: 'commands',
}
"""Driver -> what the governor calls its topic; the rig file says what the rig calls it."""
TYPES: dict[str, str] = {
    JOINT_IMPEDANCE: 'sensor_msgs/JointState',
    JOINT_TRAJECTORY: 'trajectory_msgs/JointTrajectory',
    CARTESIAN_POSE: 'geometry_msgs/PoseStamped',
    SERVO_TWIST: 'geometry_msgs/TwistStamped',
    SERVO_JOG: 'control_msgs/JointJog',
    SERVO_POSE: 'geometry_msgs/PoseStamped',
    FLOAT64_ARRAY: 'std_msgs/Float64MultiArray',
}
"""Driver -> message type."""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Which driver sends the points, and how."""

    driver: str = param(
        JOINT_IMPEDANCE, help='in which messages points go to the arm', choices=tuple(OPTIONS)
    )
    rate_hz: float = param(
        0.0,
        help="rate of messages; 0 = the governor's, lower takes every n-th point",
        unit='Hz',
        minimum=0.0,
        maximum=500.0,
    )
    reliable: bool = param(True, help='whether messages are sent reliably (QoS)')
    depth: int = param(
        1, help='messages kept for a slow reader (QoS); more are older', minimum=1, maximum=10
    )
    joint_order: tuple[str, ...] = param(
        (), help='order of joints the controller assumes; empty: that of arm.joint_names'
    )
    velocities: bool = param(True, help='whether velocities are sent with positions')
    keep_alive: bool = param(
        False,
        help='whether the position to keep is sent on while the arm rests, to a controller that '
        'minds silence or starts from the last target it heard',
    )
    horizon_s: float = param(
        0.0,
        help='time_from_start of the point, at least 2 periods; more is smoother and lags more; '
        '0 = 2 periods',
        unit='s',
        minimum=0.0,
        maximum=0.5,
    )
    stamped: bool = param(
        False,
        help='whether a trajectory begins in its turn, by the clock that stamps joint_states, '
        "else when it comes; only where that is the controller's clock",
    )
    quantity: str = param(
        'position', help='what the numbers of an array are', choices=('position', 'velocity')
    )
    feedback_1_s: float = param(
        2.0,
        help='speed added for each radian that the arm is behind, at most a quarter of the speed '
        'limit; raising it follows closer, until it swings',
        unit='1/s',
        minimum=0.0,
        maximum=20.0,
    )
    servo_node: str = param('servo_node', help='name of the moveit_servo node')
    servo_release: str = param(
        '',
        help="whose moveit_servo it is; '' = that of ROS_DISTRO, and jazzy where unset",
        choices=('', 'humble', 'jazzy'),
    )
    units: str = param(
        'speed',
        help="servo's command_in_type: speed for speed_units, else unitless",
        choices=('speed', 'unitless'),
    )
    scale_linear_m_s: float = param(
        0.4, help="servo's scale.linear, where unitless", unit='m/s', minimum=0.01, maximum=3.0
    )
    scale_rotational_rad_s: float = param(
        0.8, help="servo's scale.rotational", unit='rad/s', minimum=0.01, maximum=3.0
    )
    scale_joint_rad_s: float = param(
        0.5, help="servo's scale.joint", unit='rad/s', minimum=0.01, maximum=6.0
    )

    def __post_init__(self) -> None:
        """Check bounds, and that every option set is one of the driver's.

        Raises:
            UnknownNameError: No such driver or choice.
            ConfigError: Out of bounds, or an option of another driver.
        """
        check_fields(self, 'arm.output')
        check_options(self, 'arm.output', OPTIONS)


def servo_release(config: OutputConfig) -> str:
    """Return whose moveit_servo a rig has: 'humble' or 'jazzy' (and later)."""
    here = 'humble' if os.environ.get('ROS_DISTRO') == 'humble' else 'jazzy'
    return config.servo_release or here


def checked_servo_release(config: OutputConfig) -> str:
    """Return the same where that servo takes what the driver sends.

    Raises:
        ConfigError: Poses for Humble's, which takes none.
    """
    release = servo_release(config)
    if release == 'humble' and config.driver == SERVO_POSE:
        raise ConfigError(
            'output.driver', SERVO_POSE, f"humble's servo takes {SERVO_TWIST} or {SERVO_JOG} only"
        )
    return release
