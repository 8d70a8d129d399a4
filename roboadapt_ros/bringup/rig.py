"""The rig file: what a rig's topics, joints, cameras and controllers are called.

Simulated and real rigs differ in this file only. Learned numbers are not here: they are in the
task packages. This module must not import rclpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roboadapt_ros.bringup.names import require_path
from roboadapt_ros.bringup.paths import config_dir
from roboadapt_ros.bringup.rig_checks import check_rig
from roboadapt_ros.config import load_yaml
from roboadapt_ros.control.limits import JOINTS, robot_limits
from roboadapt_ros.errors import ConfigError, UnknownNameError
from roboadapt_ros.ros.field import read_section
from roboadapt_ros.ros.hands.settings import GripperConfig, TOPIC
from roboadapt_ros.ros.node_parameters import NODE_PARAMETERS
from roboadapt_ros.ros.outputs.settings import OutputConfig
from roboadapt_ros.ros.robot_settings import (
    CollisionSettings,
    ContactSettings,
    LoadSettings,
    RecoverySettings,
    WatchSettings,
)

TELLS_FORCES = 'franka_msgs/FrankaRobotState'
"""The one type of robot state with a wrench in it."""


@dataclass(frozen=True, kw_only=True)
class ArmOutput(OutputConfig):
    """Where points go to, and by which driver."""

    topic: str
    """Topic of the controller."""


@dataclass(frozen=True, kw_only=True)
class ArmNames:
    """The arm's side of the rig."""

    joint_prefix: str = ''
    """Joints are this with 1 to 7 behind it: 'fr3_joint', 'left_fr3_joint'."""
    joint_names: tuple[str, ...] = ()
    """Or their names one by one, from the base to the flange."""
    robot_type: str = ''
    """What franka_ros2 calls the arm, for its launch file; '' = an FR3's, by the joints' names."""
    joint_states: str
    """Topic, sensor_msgs/JointState, 50 Hz or more."""
    joint_states_hz: float = 0.0
    """Rate the driver is set to [Hz]; 0 = not known. The doctor asks for half of it."""
    output: ArmOutput
    """How points reach the controller."""
    controllers: tuple[str, ...] = ()
    """Controllers that move the arm, by their names in ros2_control; empty: there are none."""
    current_pose: str = ''
    """Topic of the hand's pose, geometry_msgs/PoseStamped. Where it is named, the arm moves only
    after it agreed with the kinematics once."""
    pose_tolerance_m: float = 0.005
    """Largest distance of that pose from the forward kinematics of the joints [m]."""
    pose_tolerance_rad: float = 0.05
    """Largest angle between the two [rad]."""
    base_frame: str = 'base'
    """Frame the arm stands in: of current_pose, and of the poses and twists that are sent."""
    ee_frame: str = ''
    """Frame of the hand's tool centre point; '' = not checked against robot_description."""
    robot_description: str = 'robot_description'
    """Topic of its URDF, std_msgs/String, latched: where its limits are narrower, they hold."""
    robot_state: str = ''
    """Topic of the robot's own error state; '' where there is none."""
    robot_state_type: str = ''
    """Its type: franka_msgs/FrankaRobotState or diagnostic_msgs/DiagnosticStatus."""
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    """What brings the arm back from an error, and stops it hard."""
    watch: WatchSettings = field(default_factory=WatchSettings)
    """What is too much for the arm, of what its robot state tells."""
    contact: ContactSettings = field(default_factory=ContactSettings)
    """How hard the arm may press under an impedance controller, by its gains."""
    collision: CollisionSettings = field(default_factory=CollisionSettings)
    """Thresholds of contact and reflex, set while the robot is idle."""
    load: LoadSettings = field(default_factory=LoadSettings)
    """What the hand carries, set while the robot is idle."""

    def __post_init__(self) -> None:
        """Spell out the joints; check their number, and what goes together."""
        if bool(self.joint_prefix) == bool(self.joint_names):
            raise ConfigError(
                'arm.joint_prefix', self.joint_prefix, 'give either joint_prefix or joint_names'
            )
        if self.joint_prefix:
            names = tuple(f'{self.joint_prefix}{n}' for n in range(1, JOINTS + 1))
            object.__setattr__(self, 'joint_names', names)
        if len(self.joint_names) != JOINTS or len(set(self.joint_names)) != JOINTS:
            raise ConfigError('arm.joint_names', self.joint_names, f'must be {JOINTS} names')
        if bool(self.robot_state) != bool(self.robot_state_type):
            raise ConfigError(
                'arm.robot_state_type', self.robot_state_type, 'goes together with robot_state'
            )
        watches = self.watch.force_max_n or self.watch.torque_max_nm
        if watches and self.robot_state_type != TELLS_FORCES:
            raise ConfigError(
                'arm.robot_state_type',
                self.robot_state_type,
                f'must be {TELLS_FORCES} for the force and torque of arm.watch',
            )
        order = self.output.joint_order
        if order and sorted(order) != sorted(self.joint_names):
            raise ConfigError(
                'arm.output.joint_order', order, f'must hold {", ".join(self.joint_names)}'
            )


@dataclass(frozen=True, kw_only=True)
class GripperNames(GripperConfig):
    """The hand's side of the rig, and the driver that moves it."""

    joint_names: tuple[str, ...]
    """Finger joints; their positions [m] add up to the width."""
    joint_states: str
    """Topic, sensor_msgs/JointState."""
    joint_states_hz: float = 0.0
    """Rate the driver is set to [Hz]; 0 = not known. The doctor asks for half of it."""
    command: str = ''
    """Topic of the wanted width, for driver topic."""

    def __post_init__(self) -> None:
        """Check that a topic is named where, and only where, the driver has one."""
        super().__post_init__()
        if bool(self.command) != (self.driver == TOPIC):
            raise ConfigError(
                'gripper.command', self.command, f'a topic for driver {TOPIC}, else left out'
            )


@dataclass(frozen=True, kw_only=True)
class CameraNames:
    """One camera of the rig."""

    name: str
    """As in the contracts of the tasks."""
    image: str
    """Image topic; with `compressed` on the rig, the topic without '/compressed'."""
    camera_info: str = ''
    """CameraInfo topic; '' = beside the image."""
    driver: str = ''
    """File in config/cameras/ for `camera_node`; '' = another driver publishes the image."""
    rate_hz: float = 0.0
    """Rate the driver is set to [Hz]; 0 = not known. The doctor asks for half of it."""


@dataclass(frozen=True, kw_only=True)
class RigConfig:
    """What `config/rigs/<name>.yaml` holds."""

    description: str
    robot: str
    """Whose limits hold: panda or fr3."""
    arm: ArmNames
    gripper: GripperNames
    cameras: tuple[CameraNames, ...]
    namespace: str = ''
    """Namespace of every node and topic that has no leading slash."""
    controller_manager: str = 'controller_manager'
    """Node of ros2_control's controller manager; '' where there is none."""
    simulated: bool = False
    """Whether the graph has a simulated rig in it."""
    compressed: bool = False
    """Whether images are listened to as CompressedImage."""
    backbone_id: str = ''
    """Backbone to serve; '' = the only one in the models folder."""
    tasks: tuple[str, ...] = ()
    """Tasks to make resident; empty: all that fit the backbone."""
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Parameters by node, over those that follow from this file; checked and converted."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables of every process."""

    def __post_init__(self) -> None:
        """Check the robot is known, names are unique, and nodes have what is set of them."""
        robot_limits(self.robot)
        names = [camera.name for camera in self.cameras]
        if not names or len(set(names)) != len(names):
            raise ConfigError('cameras', names, 'must be one or more different names')
        self._check_topics()
        if not self.controller_manager:
            needed = {
                'arm.controllers': self.arm.controllers,
                'arm.recovery.hardware_component': self.arm.recovery.hardware_component,
            }
            for name, value in needed.items():
                if value:
                    raise ConfigError(name, value, 'needs a controller_manager')
        for name in self.nodes:
            if name not in NODE_PARAMETERS:
                raise UnknownNameError('section of nodes', name, NODE_PARAMETERS)
        checked = {
            name: read_section(NODE_PARAMETERS[name], given, f'nodes.{name}')
            for name, given in self.nodes.items()
        }
        object.__setattr__(self, 'nodes', checked)  # frozen for everybody else
        check_rig(self)

    def _check_topics(self) -> None:
        """Check that what names a topic is one."""
        arm, gripper = self.arm, self.gripper
        required = {
            'arm.joint_states': arm.joint_states,
            'arm.output.topic': arm.output.topic,
            'gripper.joint_states': gripper.joint_states,
            **{f'cameras.{camera.name}.image': camera.image for camera in self.cameras},
        }
        optional = {
            'namespace': self.namespace,
            'controller_manager': self.controller_manager,
            'arm.current_pose': arm.current_pose,
            'arm.robot_description': arm.robot_description,
            'arm.robot_state': arm.robot_state,
            'gripper.command': gripper.command,
            **{
                f'cameras.{camera.name}.camera_info': camera.camera_info for camera in self.cameras
            },
        }
        for name, value in {**required, **optional}.items():
            if value or name in required:
                require_path(name, value)


def rig_names() -> tuple[str, ...]:
    """Return the rigs that have a file in config/rigs/."""
    return tuple(sorted(path.stem for path in (config_dir() / 'rigs').glob('*.yaml')))


def load_rig(name_or_path: str) -> RigConfig:
    """Read a rig by the name of its file in config/rigs/, or by a path ending in .yaml.

    Raises:
        UnknownNameError: No such rig; the message has the nearest name.
        RoboAdaptError: As `config.load_yaml`.
    """
    if name_or_path.endswith('.yaml'):
        return load_yaml(RigConfig, Path(name_or_path))
    if name_or_path not in rig_names():
        raise UnknownNameError('rig', name_or_path, rig_names())
    return load_yaml(RigConfig, config_dir() / 'rigs' / f'{name_or_path}.yaml')
