"""The parameters of every node: one frozen dataclass each, the only place with defaults.

`ros.params` turns the fields into ROS parameters; a rig file's sections of nodes are checked by
them. This module must not import rclpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.governor_config import (
    FollowerConfig,
    MIN_DISTANCE_MAX_M,
    SelfCollisionConfig,
)
from roboadapt_ros.control.limits import HAND_WIDTH_MAX_M
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.ros.field import param
from roboadapt_ros.ros.hands.settings import GripperConfig, TOPIC_TYPES
from roboadapt_ros.ros.outputs.settings import OutputConfig
from roboadapt_ros.ros.robot_settings import (
    CollisionSettings,
    ContactSettings,
    LoadSettings,
    RecoverySettings,
    ROBOT_STATE_TYPES,
    WatchSettings,
)

CONVENTIONS = tuple(convention.value for convention in GripperConvention)
ROBOTS = ('panda', 'fr3')
_ADMISSION, _FOLLOWER, _SELF = AdmissionConfig(), FollowerConfig(), SelfCollisionConfig()


@dataclass(frozen=True, kw_only=True)
class SimRigParameters:
    """Parameters of `sim_rig_node`."""

    joint_names: tuple[str, ...] = param(help="names of the arm joints, in the arm's order")
    gripper_joint_names: tuple[str, ...] = param(help='names of the two finger joints')
    gripper_message: str = param(help='type of the gripper command', choices=TOPIC_TYPES)
    gripper_convention: str = param('width_m', help='meaning of its number', choices=CONVENTIONS)
    width: int = param(192, help='image width', unit='px', minimum=16, maximum=640)
    height: int = param(144, help='image height', unit='px', minimum=16, maximum=480)
    camera_rate_hz: float = param(
        10.0, help='exposures of every camera, all at once', unit='Hz', minimum=1.0, maximum=100.0
    )
    seed: int = param(0, help='seed of the first scene', minimum=0)
    base_frame: str = param('base', help='frame of current_pose')
    robot: str = param('panda', help='arm whose limits are enforced', choices=ROBOTS)
    output: OutputConfig = field(default_factory=OutputConfig)
    """What its controller takes: as the governor's, by which it is sent."""
    target_rate_hz: float = param(
        100.0,
        help='rate of targets, by which their motion is judged where they are passed on as they '
        'were sent',
        unit='Hz',
        minimum=20.0,
    )
    target_timeout_s: float = param(
        0.2,
        help='silence in motion that is an error; 0: the last target is held',
        unit='s',
        minimum=0.0,
        maximum=10.0,
    )
    joint_state_rate_hz: float = param(
        100.0, help='rate of joint states', unit='Hz', minimum=100.0, maximum=1000.0
    )
    finger_rate_hz: float = param(
        20.0, help='rate of the finger joints', unit='Hz', minimum=1.0, maximum=100.0
    )
    pose_rate_hz: float = param(
        20.0, help='rate of current_pose', unit='Hz', minimum=1.0, maximum=1000.0
    )
    robot_state_rate_hz: float = param(
        10.0, help='rate of robot_state', unit='Hz', minimum=1.0, maximum=1000.0
    )
    robot_state_type: str = param(
        'diagnostic_msgs/DiagnosticStatus',
        help='type of robot_state',
        choices=ROBOT_STATE_TYPES,
    )
    fake_driver: bool = param(
        False, help='whether it also offers the topics, services and actions of franka_ros2'
    )
    controllers: tuple[str, ...] = param(
        (), help='controllers that move the arm, of a fake driver'
    )
    hardware_component: str = param(
        'FrankaHardwareInterface', help='hardware component of a fake driver'
    )
    driver_release: str = param(
        'jazzy',
        help='whose franka_ros2 a fake driver is: after an error in motion broadcasters end, or '
        "repeat their last report (humble's)",
        choices=('humble', 'jazzy'),
    )
    gripper_node: str = param('franka_gripper', help='name of the hand of a fake driver')
    faults: str = param('', help="faults to have, with commas between; '' = none", dynamic=True)


@dataclass(frozen=True, kw_only=True)
class CameraParameters:
    """Parameters of `camera_node`."""

    camera: str = param(help='name of the camera, as in the rig file')
    kind: str = param(help='what the source is', choices=('device', 'video', 'folder'))
    source: str = param(help='device file or its number, video file or folder')
    width: int = param(help='width every frame must have', unit='px', minimum=1, maximum=8192)
    height: int = param(help='height every frame must have', unit='px', minimum=1, maximum=8192)
    rate_hz: float = param(
        30.0, help='rate of frames; a device decides in the end', unit='Hz', minimum=0.1
    )
    loop: bool = param(True, help='whether a file or folder starts again at its end')
    exposure_lag_s: float = param(
        0.0,
        help="time from exposure to a device's stamp, or to the frame being read without one",
        unit='s',
        minimum=0.0,
        maximum=0.5,
    )
    intrinsics: tuple[float, ...] = param(
        (0.0, 0.0, 0.0, 0.0), help='fx, fy, cx, cy; zeros: not calibrated', unit='px', length=4
    )
    frame_id: str = param('', help="frame of the images; '' = <camera>_optical_frame")


@dataclass(frozen=True, kw_only=True)
class EncoderParameters:
    """Parameters of `encoder_node`."""

    models_dir: str = param(help='folder with backbones/ and tasks/')
    backbone_id: str = param(help='backbone to serve')
    cameras: tuple[str, ...] = param(help='cameras to listen to, by name')
    compressed: bool = param(False, help='listen to CompressedImage instead of Image')
    tasks: tuple[str, ...] = param((), help='tasks to make resident; empty: all that fit')
    initial_task: str = param(
        '', help="task to activate at start, or 'none:TASK' for it without its adapters; '' = none"
    )
    engine: str = param(
        'auto',
        help='what runs the backbone; auto: the fastest exact one here',
        choices=tuple(kind.value for kind in EngineKind),
    )
    threads: int = param(1, help='threads of one forward pass', minimum=1, maximum=64)
    max_resident_mb: float = param(
        1024.0, help='bound on the adapters of resident tasks', unit='MB', minimum=0.001
    )
    pairing_tolerance_s: float = param(
        0.02, help='largest distance of exposures in a set', unit='s', minimum=0.0, maximum=1.0
    )
    max_frame_age_s: float = param(
        0.3, help='oldest frame encoded', unit='s', minimum=0.01, maximum=5.0
    )
    switch_timeout_s: float = param(
        2.0, help='longest wait for the first frame of a new task', unit='s', minimum=0.1
    )
    verify_every_switches: int = param(
        200, help='switches between two checks of the backbone; 0 = only on demand', minimum=0
    )


def base_offset() -> Any:
    """Return the parameter of where the tasks' base is; two nodes have it and must agree."""
    return param(
        (0.0, 0.0, 0.0), help="the tasks' base seen from the rig's base", unit='m', length=3
    )


def base_yaw() -> Any:
    """Return the parameter of how the tasks' base is turned."""
    return param(0.0, help="turn of the tasks' base about the rig's vertical axis", unit='rad')


def hand_width() -> Any:
    """Return the parameter of how far the hand opens; two nodes have it and must agree."""
    return param(
        HAND_WIDTH_MAX_M,
        help="distance between the rig's fingers when open; tasks see it as that of their hand",
        unit='m',
        minimum=0.01,
        maximum=0.2,
    )


@dataclass(frozen=True, kw_only=True)
class PolicyParameters:
    """Parameters of `policy_node`."""

    models_dir: str = param(help='folder with tasks/')
    joint_names: tuple[str, ...] = param(help="the rig's arm joints, in the arm's order")
    gripper_joint_names: tuple[str, ...] = param(help='finger joints; positions add up to width')
    ensemble_chunks: int = param(
        4, help='chunks averaged in time; more is smoother and lags more', minimum=1, maximum=16
    )
    ensemble_decay: float = param(
        0.5, help='weight lost per age; raising it trusts the newest chunk more', minimum=0.0
    )
    state_tolerance_s: float = param(
        0.05, help='longest time between exposure and robot state', unit='s', minimum=0.005
    )
    base_offset_m: tuple[float, ...] = base_offset()
    base_yaw_rad: float = base_yaw()
    gripper_width_max_m: float = hand_width()


@dataclass(frozen=True, kw_only=True)
class Sim2RealParameters:
    """Parameters of `sim2real_node`."""

    models_dir: str = param(help='folder with tasks/, whose manifests hold the contracts')
    robot: str = param(help="the rig's arm", choices=ROBOTS)
    joint_names: tuple[str, ...] = param(help="the rig's arm joints, in the arm's order")
    gripper_joint_names: tuple[str, ...] = param(help='finger joints; positions add up to width')
    robot_state_type: str = param(
        '', help="type of robot_state; '' = the rig has none", choices=('', *ROBOT_STATE_TYPES)
    )
    chunk_timeout_s: float = param(
        0.5, help='longest time without a good chunk while armed', unit='s', minimum=0.05
    )
    governor_timeout_s: float = param(
        0.5, help='longest time without a status of the governor', unit='s', minimum=0.1
    )
    robot_timeout_s: float = param(
        0.25, help='longest time without a joint state', unit='s', minimum=0.02
    )
    base_offset_m: tuple[float, ...] = base_offset()
    base_yaw_rad: float = base_yaw()
    gripper_width_max_m: float = hand_width()


@dataclass(frozen=True, kw_only=True)
class GovernorParameters:
    """Parameters of `governor_node`."""

    robot: str = param(help='arm whose limits hold', choices=ROBOTS)
    joint_names: tuple[str, ...] = param(help="the rig's arm joints, in the arm's order")
    gripper_joint_names: tuple[str, ...] = param(help='finger joints; positions add up to width')
    output: OutputConfig = field(default_factory=OutputConfig)
    """How points reach the arm's controller."""
    gripper: GripperConfig = field(default_factory=GripperConfig)
    """How widths reach the hand."""
    base_frame: str = param('base', help='frame of the poses and twists that are sent')
    fault_before: str = param(
        '', help="why the governor before this one was in fault; '' = it was not. Ends by recovery"
    )
    check_pose: bool = param(
        False, help='whether the arm moves only after current_pose agreed with the kinematics'
    )
    pose_tolerance_m: float = param(
        0.005, help='largest distance between the two', unit='m', minimum=0.0005, maximum=0.1
    )
    pose_tolerance_rad: float = param(
        0.05, help='largest angle between the two', unit='rad', minimum=0.001, maximum=0.5
    )
    controllers: tuple[str, ...] = param(
        (), help='controllers that move the arm, for recovery and hard stop'
    )
    controller_manager: str = param('', help="node of the controller manager; '' = none")
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    """What brings the arm back."""
    watch: WatchSettings = field(default_factory=WatchSettings)
    """What is too much for the arm."""
    contact: ContactSettings = field(default_factory=ContactSettings)
    """How hard the arm may press."""
    collision: CollisionSettings = field(default_factory=CollisionSettings)
    """Thresholds the robot is told while it is idle."""
    load: LoadSettings = field(default_factory=LoadSettings)
    """Load the robot is told while it is idle."""
    robot_state_type: str = param(
        '', help="type of robot_state; '' = the rig has none", choices=('', *ROBOT_STATE_TYPES)
    )
    rate_hz: float = param(100.0, help='rate of points', unit='Hz', minimum=20.0, maximum=500.0)
    lookahead_s: float = param(
        0.0, help='how far ahead chunks are sampled', unit='s', minimum=0.0, maximum=0.3
    )
    velocity_scale: float = param(
        _FOLLOWER.velocity_scale, help='part of the joint speed used', minimum=0.01, maximum=1.0
    )
    acceleration_scale: float = param(
        _FOLLOWER.acceleration_scale,
        help='part of the joint acceleration used',
        minimum=0.01,
        maximum=1.0,
    )
    jerk_scale: float = param(
        _FOLLOWER.jerk_scale, help='part of the joint jerk used', minimum=0.001, maximum=1.0
    )
    hand_speed_max_m_s: float = param(
        _FOLLOWER.hand_speed_max_m_s,
        help='largest speed of the hand',
        unit='m/s',
        minimum=0.01,
        maximum=2.0,
    )
    hand_turn_max_rad_s: float = param(
        _FOLLOWER.hand_turn_max_rad_s,
        help='largest rotational speed of the hand',
        unit='rad/s',
        minimum=0.05,
        maximum=2.5,
    )
    workspace_low_m: tuple[float, ...] = param(
        (0.1, -0.5, 0.0),
        help='lower corner of the box the hand stays in, base frame',
        unit='m',
        length=3,
    )
    workspace_high_m: tuple[float, ...] = param(
        (0.8, 0.5, 0.8), help='upper corner of that box', unit='m', length=3
    )
    tilt_max_rad: float = param(
        0.0,
        help='largest angle between the tool and straight down; 0 = any',
        unit='rad',
        minimum=0.0,
        maximum=3.2,
    )
    position_margin_rad: float = param(
        _FOLLOWER.position_margin_rad,
        help='distance kept from the joint limits',
        unit='rad',
        minimum=0.001,
        maximum=0.5,
    )
    jump_max_rad: float = param(
        _ADMISSION.max_jump_rad,
        help='largest step of a joint that a chunk may ask for: from the command, from the '
        'measured position, and from row to row',
        unit='rad',
        minimum=0.005,
        maximum=1.0,
    )
    self_distance_min_m: float = param(
        _SELF.min_distance_m,
        help='least distance of the arm from itself, between capsules round its links',
        unit='m',
        minimum=0.0,
        maximum=MIN_DISTANCE_MAX_M,
    )


@dataclass(frozen=True, kw_only=True)
class RecorderParameters:
    """Parameters of `recorder_node`."""

    folder: str = param(help='folder to write to; made when missing')
    cameras: tuple[str, ...] = param((), help='cameras whose images are recorded too')
    target_type: str = param(
        'sensor_msgs/JointState', help='type of `target`, what is sent to the arm'
    )


NODE_PARAMETERS: dict[str, type] = {
    'sim_rig': SimRigParameters,
    'camera': CameraParameters,
    'encoder': EncoderParameters,
    'policy': PolicyParameters,
    'sim2real': Sim2RealParameters,
    'governor': GovernorParameters,
    'recorder': RecorderParameters,
}
"""Node -> its parameters: the sections a rig file's `nodes` may have."""
