"""What the doctor knows about a rig, its host and its graph, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
FAST_DDS_VENDOR = b'\x01\x0f'
VENDORS = {FAST_DDS_VENDOR: 'Fast DDS', b'\x01\x10': 'Cyclone DDS', b'\x01\x01': 'Connext'}
"""First two bytes of an endpoint's GUID (RTPS 2.5, section 9.3.1.5) by vendor."""


@dataclass(frozen=True, kw_only=True)
class CameraFacts:
    """A camera of the rig file."""

    name: str
    topic: str
    """Full name of the image topic, with '/compressed' where that is listened to."""
    has_driver: bool
    """Whether this project's `camera_node` publishes it."""


@dataclass(frozen=True, kw_only=True)
class ServiceFacts:
    """A service or an action that the governor calls."""

    name: str
    """Full name; an action is its '/_action/send_goal'."""
    key: str
    """Which key of the rig file names it."""
    use: str
    """What it is called for, for a person."""


@dataclass(frozen=True, kw_only=True)
class RigFacts:
    """What the rig file promises; topics are full names."""

    name: str
    """As it was asked for, for the fixes."""
    simulated: bool
    robot: str
    """Whose limits hold: panda or fr3."""
    joint_names: tuple[str, ...]
    joint_states: str
    command: str
    """Topic the arm is moved by."""
    gripper_command: str
    """Topic the hand is moved by; '' where that is done by actions."""
    robot_state_type: str
    cameras: tuple[CameraFacts, ...]
    nodes: tuple[str, ...]
    """Full names of this project's nodes on the rig."""
    workspace_m: tuple[tuple[float, ...], tuple[float, ...]]
    """Lower and upper corner of the box the governor keeps the hand in, base frame [m]."""
    packages: tuple[str, ...] = ()
    """Message packages without which the governor does not configure."""
    services: tuple[ServiceFacts, ...] = ()
    """What the governor calls."""
    controllers: tuple[str, ...] = ()
    """Controllers that move the arm; empty where the rig file names none."""
    controller_manager: str = '/controller_manager'
    """Full name of its node."""
    hardware_component: str = ''
    """Component that a recovery activates; '' = none."""
    setup: str = ''
    """Full name of the service that sets thresholds and load; '' = there are none to set."""
    base_frame: str = 'base'
    ee_frame: str = ''
    pose_tolerance_m: float = 0.005
    """Largest distance of current_pose from the kinematics that the governor takes [m]."""
    pose_tolerance_rad: float = 0.05


@dataclass(frozen=True, kw_only=True)
class ProfileFacts:
    """A Fast DDS profile file."""

    path: str
    problem: str = ''
    """Why it can't be read; '' when it can."""
    segment_bytes: int = 0
    """Size of a shared-memory segment; 0 = no shared-memory transport in it."""
    message_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """A GPU as nvidia-smi sees it."""

    name: str
    clock_mhz: float
    clock_max_mhz: float
    persistent: bool
    """Whether the driver stays loaded between processes."""
    throttle_bits: int
    """Why the clock is below what was asked for, as nvidia-smi's bit mask."""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """This host and this Python."""

    environment: Mapping[str, str]
    """Variables the processes of the graph get."""
    rmw: str
    """ROS middleware in use."""
    python: str
    """'3.11'."""
    extension_suffix: str
    """How compiled modules of this Python end."""
    rclpy_path: str
    """Folder of rclpy; '' where it is not found."""
    rclpy_builds: tuple[str, ...]
    """Its compiled modules."""
    rclpy_problem: str
    """Why it can't be imported; '' when it can."""
    kernel: str
    is_realtime: bool
    cpu_governors: tuple[str, ...]
    """How the kernel sets the clock of the cores; empty where it does not."""
    gpus: tuple[GpuFacts, ...] | None
    """None: there is no nvidia-smi."""
    profile: ProfileFacts | None
    """The profile Fast DDS is pointed at; None: its own defaults."""
    shared_memory_free: int | None
    """Free bytes of /dev/shm."""
    receive_buffer_max: int | None
    """Largest receive buffer that a socket can have [bytes]; None where that is not told."""
    datagrams_lost: int
    """Datagrams that found no room in one since this host came up."""
    installed: Mapping[str, bool]
    """Python package -> whether it is found."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A publisher or a subscription in the graph."""

    node: str
    type: str
    reliable: bool
    transient_local: bool
    deadline_ns: int | None = None
    """None: none is offered or asked for."""
    manual_liveliness: bool = False
    guid: bytes = b''

    @property
    def vendor(self) -> str:
        """Return the DDS implementation behind it, '' where it can't be told."""
        return VENDORS.get(self.guid[:2], '')

    @property
    def host(self) -> str:
        """Return a mark of its host, '' where it can't be told; only Fast DDS has one."""
        return self.guid[2:4].hex() if self.guid[:2] == FAST_DDS_VENDOR else ''


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Who publishes and who listens."""

    name: str
    publishers: tuple[Endpoint, ...] = ()
    subscribers: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StreamRule:
    """What a topic's messages have to be like."""

    topic: str
    role: str
    """For a person: 'joint states of the arm'."""
    minimum_hz: float
    """Rate its readers need [Hz]."""
    max_age_s: float | None
    """Oldest message its readers take [s]; None: they do not look."""
    is_camera: bool = False
    is_optional: bool = False
    """Whether the graph works without it."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What came on a topic while the doctor listened."""

    rule: StreamRule
    seconds: float
    """How long it listened [s]."""
    received_ns: tuple[int, ...] = ()
    """Arrival of each message [ns]."""
    stamps_ns: tuple[int, ...] | None = ()
    """Stamp of each message [ns]; None: the type has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """The newest image of a camera and what its CameraInfo says."""

    width: int
    height: int
    encoding: str
    """Encoding of a raw image; '' of a compressed one."""
    frame_id: str
    rgb: npt.NDArray[np.uint8] | None = None
    """(H, W, 3) uint8 RGB, None where it can't be decoded."""
    problem: str = ''
    """Why it can't be decoded."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy [px] of its CameraInfo; None: none came."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmState:
    """The newest joint state and pose."""

    names: tuple[str, ...]
    """As in the message."""
    q: FloatArray | None
    """(7,) [rad], the rig's order; None where joints are missing in the message."""
    hand_m: FloatArray | None = None
    """(3,) hand by forward kinematics, base frame [m]."""
    hand_quat_xyzw: FloatArray | None = None
    """(4,) its rotation."""
    reported_hand_m: FloatArray | None = None
    """(3,) hand as `current_pose` has it [m]."""
    reported_quat_xyzw: FloatArray | None = None
    """(4,) its rotation there."""
    pose_frame: str = ''
    """Frame of `current_pose`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstAction:
    """The first row of the newest action chunk of the policy."""

    task: str
    space: str
    names: tuple[str, ...]
    values: FloatArray
    """(len(names),)."""


@dataclass(frozen=True, kw_only=True)
class Controller:
    """A controller of ros2_control."""

    name: str
    state: str
    claimed: tuple[str, ...]
    """Claimed command interfaces: 'fr3_joint1/effort'."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a node says of itself on /diagnostics."""

    level: int
    """0 ok, 1 warning, 2 error, 3 stale."""
    message: str


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What was seen of the running graph."""

    domain: str
    seconds: float
    """How long it was listened to [s]."""
    nodes: frozenset[str] = frozenset()
    """Full names of the nodes that are there."""
    topics: Mapping[str, Topic] = field(default_factory=dict)
    services: frozenset[str] = frozenset()
    """Full names of the services that a node serves."""
    streams: tuple[Stream, ...] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    """By camera."""
    arm: ArmState | None = None
    robot_problem: str | None = None
    """Why the robot says it can't move."""
    first_action: FirstAction | None = None
    active_task: str | None = None
    """What the encoder serves, '' = nothing; None: no status came."""
    base_intact: bool = True
    controllers: tuple[Controller, ...] | None = None
    controllers_reason: str = ''
    """Why `controllers` is None."""
    controllers_fix: str = ''
    """What would make them known."""
    hardware: Mapping[str, str] | None = None
    """Hardware component -> its state; None: not asked, or no answer."""
    urdf_limits: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Joint -> lower, upper [rad] and speed [rad/s] of the robot description."""
    urdf_links: frozenset[str] = frozenset()
    """Links of the robot description."""
    reports: Mapping[str, Report] = field(default_factory=dict)
    """By node."""
    own_guid: bytes = b''
    """GUID of an endpoint of the doctor's."""
