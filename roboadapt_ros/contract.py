"""What a task saw and what its actions mean: the contract inside every task package.

Recording, training, evaluation and serving all read a task through these types. Imports
`errors` only, so that the robot side can read a contract without numpy-heavy modules.
"""

from __future__ import annotations

from dataclasses import dataclass
import enum
import math

from roboadapt_ros.errors import ConfigError


class ActionSpace(enum.Enum):
    """What a row of actions is."""

    JOINT_POSITION = 'joint_position'
    """Absolute joint positions [rad], contract joint order, then the gripper."""
    JOINT_VELOCITY = 'joint_velocity'
    """Joint velocities [rad/s], integrated from the reference, then the gripper."""
    EE_POSE = 'ee_pose'
    """End-effector position [m] and rotation in the base frame, then the gripper."""
    EE_DELTA = 'ee_delta'
    """Displacement [m] of the end effector from the reference at the observation, then the
    gripper. Row k is measured from the reference, not from row k - 1."""


class Reference(enum.Enum):
    """What deltas are relative to."""

    MEASURED = 'measured'
    COMMANDED = 'commanded'
    """Successive chunks then join without a step: what a chunk starts from does not lag."""


class Rotation(enum.Enum):
    """How rotation is written in an action."""

    FIXED = 'fixed'
    """Not in the action: the hand keeps `fixed_quat_xyzw`."""
    QUAT_XYZW = 'quat_xyzw'
    ROTVEC = 'rotvec'


class GripperConvention(enum.Enum):
    """What the gripper number means."""

    WIDTH_M = 'width_m'
    """Distance between the fingers [m]."""
    FINGER_M = 'finger_m'
    """Position of one finger [m]: half the width."""
    ZERO_OPEN = 'zero_open'
    """0 open, 1 closed (DROID)."""
    ONE_OPEN = 'one_open'
    """1 open, 0 closed."""
    MINUS_OPEN = 'minus_open'
    """-1 open, +1 closed (robosuite)."""
    BYTE_OPEN = 'byte_open'
    """0 closed .. 255 open (Menagerie)."""


class ProprioField(enum.Enum):
    """A part of the proprioceptive vector, in the contract's order."""

    JOINT_POSITION = 'joint_position'
    EE_POSITION = 'ee_position'
    """Measured position of the hand."""
    EE_COMMANDED = 'ee_commanded'
    """Position the newest command wants the hand at."""
    GRIPPER_WIDTH = 'gripper_width'

    @property
    def size(self) -> int:
        """Number of values."""
        return (
            7
            if self is ProprioField.JOINT_POSITION
            else 1
            if self is ProprioField.GRIPPER_WIDTH
            else 3
        )

    @property
    def unit(self) -> str:
        """Unit of each value; positions are in the base frame."""
        return 'rad' if self is ProprioField.JOINT_POSITION else 'm'


@dataclass(frozen=True, kw_only=True)
class CameraContract:
    """One camera as the task saw it in training."""

    name: str
    width: int
    """Source width [px]."""
    height: int
    """Source height [px]."""
    crop: tuple[int, int, int, int]
    """Crop of the source before resizing: left, top, width, height [px]."""
    colour: str
    """Channel order at the network: 'rgb'."""
    intrinsics: tuple[float, float, float, float]
    """fx, fy, cx, cy of the source image [px]."""
    base_from_camera: tuple[float, ...] | None
    """Row-major 4x4 pose of the optical frame in the base frame (None: moves with the arm)."""

    @property
    def view(self) -> tuple[str, int, int, tuple[int, int, int, int], str]:
        """Return what decides which pixels the network is given; where it stands does not."""
        return self.name, self.width, self.height, self.crop, self.colour

    def __post_init__(self) -> None:
        """Check the crop lies in the image and the pose is 4x4."""
        left, top, width, height = self.crop
        inside = left >= 0 and top >= 0 and width > 0 and height > 0
        if not inside or left + width > self.width or top + height > self.height:
            raise ConfigError(
                f'camera {self.name}.crop', self.crop, f'must lie in {self.width}x{self.height}'
            )
        if self.colour != 'rgb':
            raise ConfigError(f'camera {self.name}.colour', self.colour, "must be 'rgb'")
        if self.base_from_camera is not None and len(self.base_from_camera) != 16:
            raise ConfigError(
                f'camera {self.name}.base_from_camera',
                self.base_from_camera,
                'must have 16 values',
            )


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Bounds that a task sets itself; a rig keeps its own where those are tighter.

    Not checked when made, because a message may hold anything: see `problem`.

    Example: ``Envelope(velocity_scale=0.3, low_m=(None, None, 0.05))`` moves at no more than
    0.3 of the joint speeds, with the hand 0.05 m or more above the base.
    """

    velocity_scale: float = 1.0
    """Part of the arm's joint speed, in (0, 1]."""
    hand_speed_max_m_s: float | None = None
    """Largest speed of the hand [m/s]; None: the rig's."""
    low_m: tuple[float | None, float | None, float | None] = (None, None, None)
    """Lower corner of a box the hand stays in [m], base frame; None: an open side."""
    high_m: tuple[float | None, float | None, float | None] = (None, None, None)
    """Upper corner [m]."""

    def problem(self) -> str | None:
        """Return what is wrong with it, for a person, or None."""
        if not 0.0 < self.velocity_scale <= 1.0:  # false for NaN
            return f'velocity_scale is {self.velocity_scale}, required 0..1, above 0'
        speed = self.hand_speed_max_m_s
        if speed is not None and not 0.0 < speed < math.inf:
            return f'hand_speed_max_m_s is {speed}, required above 0'
        for axis, low, high in zip('xyz', self.low_m, self.high_m, strict=True):
            if not all(side is None or math.isfinite(side) for side in (low, high)):
                return f'the box is {low}..{high} along {axis}, required finite or open sides'
            if low is not None and high is not None and not low < high:
                return f'the box is {low}..{high} along {axis}, required low below high'
        return None


_RANGES = {'rate_hz': (0.1, 1000.0), 'max_observation_age_s': (0.001, 60.0)}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Everything that must agree between where a task was trained and where it runs."""

    robot: str
    """Robot the joint order and limits refer to: panda or fr3."""
    cameras: tuple[CameraContract, ...]
    """In feature order."""
    proprioception: tuple[ProprioField, ...]
    action_space: ActionSpace
    reference: Reference
    frame: str
    """Frame of Cartesian actions: 'base'."""
    rotation: Rotation
    fixed_quat_xyzw: tuple[float, float, float, float] | None
    """End-effector rotation in the base frame when `rotation` is fixed."""
    gripper: GripperConvention
    rate_hz: float
    """Rate at which observations were taken and rows of a chunk are spaced [Hz]."""
    chunk_length: int
    """Rows the head predicts."""
    execute_length: int
    """Rows executed before the next chunk is needed."""
    max_observation_age_s: float
    """Oldest exposure a command may answer to [s]."""
    envelope: Envelope | None = None
    """Bounds of the task's own; None: those of the rig alone."""

    def __post_init__(self) -> None:
        """Check the fields agree with each other."""
        if not self.cameras:
            raise ConfigError('contract.cameras', (), 'must name at least one camera')
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise ConfigError('contract.cameras', names, 'names must differ')
        if not 1 <= self.execute_length <= self.chunk_length:
            raise ConfigError(
                'contract.execute_length', self.execute_length, f'must be 1..{self.chunk_length}'
            )
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f'contract.{name}', value, f'must be {least:g}..{most:g}')
        if self.frame != 'base':
            raise ConfigError('contract.frame', self.frame, "must be 'base'")
        if (self.rotation is Rotation.FIXED) != (self.fixed_quat_xyzw is not None):
            raise ConfigError(
                'contract.fixed_quat_xyzw',
                self.fixed_quat_xyzw,
                "given exactly when rotation is 'fixed'",
            )
        problem = None if self.envelope is None else self.envelope.problem()
        if problem is not None:
            raise ConfigError('contract.envelope', self.envelope, problem)

    @property
    def period_s(self) -> float:
        """Spacing of observations and of rows [s]."""
        return 1.0 / self.rate_hz

    @property
    def proprio_size(self) -> int:
        """Length of the proprioceptive vector."""
        return sum(field.size for field in self.proprioception)

    @property
    def action_size(self) -> int:
        """Columns of the head's output, the gripper last."""
        if self.action_space in (ActionSpace.JOINT_POSITION, ActionSpace.JOINT_VELOCITY):
            return 8
        return {Rotation.FIXED: 4, Rotation.ROTVEC: 7, Rotation.QUAT_XYZW: 8}[self.rotation]
