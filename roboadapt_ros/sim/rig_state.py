"""What can be chosen about a simulated rig, and what it measures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.sim.arm_check import CollisionConfig
from roboadapt_ros.sim.impedance import GripperConfig, ImpedanceConfig
from roboadapt_ros.sim.scene import SceneConfig
from roboadapt_ros.sim.stream_check import StreamConfig

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RigConfig:
    """Everything about a simulated rig that can be chosen."""

    width: int = 160
    """Image width [px], at most 640."""
    height: int = 120
    """Image height [px], at most 480."""
    scene: SceneConfig = field(default_factory=SceneConfig)
    impedance: ImpedanceConfig = field(default_factory=ImpedanceConfig)
    gripper: GripperConfig = field(default_factory=GripperConfig)
    robot: str = 'panda'
    """Whose limits hold: panda or fr3. The model is a Panda, whose geometry the FR3 shares."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    collision: CollisionConfig = field(default_factory=CollisionConfig)

    def __post_init__(self) -> None:
        """Refuse image sizes that the off-screen buffer does not hold."""
        if not (16 <= self.width <= 640 and 16 <= self.height <= 480):
            raise ConfigError(
                'width, height', (self.width, self.height), 'must be within 16x16..640x480'
            )


@dataclass(frozen=True)
class RigState:
    """What the arm and hand measure."""

    time_s: float
    q: FloatArray
    """Joint angles (7,) [rad]."""
    dq: FloatArray
    """Joint velocities (7,) [rad/s]."""
    tau: FloatArray
    """Joint torques (7,) [Nm], gravity included."""
    ee_position: FloatArray
    """Hand TCP (3,) [m], base frame."""
    ee_quat_xyzw: FloatArray
    """Hand TCP orientation (4,), base frame."""
    gripper_width_m: float
    tau_external: FloatArray
    """What the joints feel of contacts (7,) [Nm], as the arm estimates it."""
    q_desired: FloatArray
    """Where the arm is held, or moved to (7,) [rad]."""
