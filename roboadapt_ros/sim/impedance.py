"""The control laws that run inside the simulation at 1 kHz: joint impedance and gripper drive.

They stand for what runs on a real arm behind its command interface: a torque controller with a
target filter on the Franka Control Interface, and the Franka hand's own drive. Torques exclude
gravity, which the arm compensates itself. This module imports numpy and parts of the control only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.contact import ContactConfig
from roboadapt_ros.sim.arm_check import TORQUE_MAX_NM, TORQUE_RATE_NM_S

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ImpedanceConfig:
    """Gains of the arm and the filter of its targets."""

    stiffness: tuple[float, ...] = (600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0)
    """Joint stiffness [Nm/rad] (Franka's joint impedance example)."""
    damping: tuple[float, ...] = (30.0, 30.0, 30.0, 30.0, 10.0, 10.0, 5.0)
    """Joint damping [Nm s/rad]; damping / stiffness is the lag behind a moving target [s]."""
    command_period_s: float = 0.01
    """Time over which a new target is blended in: the period of the command stream [s]."""
    limits_torque_rate: bool = True
    """Whether torques are kept to the arm's rate, as franka_hardware does unless told not to."""


def contact_config(gains: ImpedanceConfig) -> ContactConfig:
    """Return how hard an arm with these gains may press, for its governor."""
    return ContactConfig(stiffness_nm_rad=gains.stiffness, damping_nm_s_rad=gains.damping)


@dataclass(frozen=True, kw_only=True)
class GripperConfig:
    """The hand's drive."""

    max_width_m: float = 0.08
    max_speed_m_s: float = 0.1
    """Largest speed of the width [m/s]."""
    max_force_n: float = 40.0
    """Largest force of a finger [N]."""
    stiffness_n_m: float = 3000.0
    """Force per finger position error [N/m]."""
    damping_n_s_m: float = 30.0


class JointImpedance:
    """Joint impedance with linear interpolation of targets and limited torque rate.

    Example: at 1 kHz with a period of 10 ms, a target 0.01 rad away moves the reference by
    0.001 rad a step for ten steps; then the reference rests there until the next target.
    """

    def __init__(self, config: ImpedanceConfig, timestep_s: float):
        """Store the gains."""
        self._stiffness = np.array(config.stiffness)
        self._damping = np.array(config.damping)
        self._blend_steps = max(1, round(config.command_period_s / timestep_s))
        self._rate = TORQUE_RATE_NM_S * timestep_s if config.limits_torque_rate else np.inf
        self.reset(np.zeros(7))

    def reset(self, q: FloatArray) -> None:
        """Hold `q` (7,) [rad] from now on, starting without torque."""
        self._torque = np.zeros(7)
        self.hold(q)

    def hold(self, q: FloatArray) -> None:
        """Hold `q` (7,) [rad] from now on."""
        self.target = np.array(q, dtype=np.float64)
        self._reference = self.target.copy()
        self._increment = np.zeros(7)
        self._left = 0

    def set_target(self, q: FloatArray) -> None:
        """Blend the reference to `q` (7,) [rad] over one command period."""
        self.target = np.array(q, dtype=np.float64)
        self._increment = (self.target - self._reference) / self._blend_steps
        self._left = self._blend_steps

    def step(self, q: FloatArray, dq: FloatArray, coriolis: FloatArray) -> FloatArray:
        """Return the torque (7,) [Nm] for one time step.

        Args:
            q: Measured angles (7,) [rad].
            dq: Measured velocities (7,) [rad/s].
            coriolis: Coriolis and centrifugal torques (7,) [Nm].
        """
        if self._left:
            self._reference += self._increment
            self._left -= 1
        wanted = self._stiffness * (self._reference - q) - self._damping * dq + coriolis
        change = np.minimum(np.maximum(wanted - self._torque, -self._rate), self._rate)
        torque = self._torque + change
        self._torque = np.minimum(np.maximum(torque, -TORQUE_MAX_NM), TORQUE_MAX_NM)
        return self._torque


class GripperDrive:
    """Moves the fingers to a width with limited speed and force."""

    def __init__(self, config: GripperConfig, timestep_s: float):
        """Store the limits."""
        self._config, self._timestep_s = config, timestep_s
        self.is_stuck = False
        """Whether the fingers stay where they are, whatever is asked of them."""
        self.reset(config.max_width_m)

    def reset(self, width_m: float) -> None:
        """Hold `width_m` from now on."""
        self.target_width_m = width_m
        self._reference_m = 0.5 * width_m
        self.set_limits(None, None)

    def set_limits(self, speed_m_s: float | None, force_n: float | None) -> None:
        """Set the largest speed of the width [m/s] and force [N]; None: the configured one."""
        speed = self._config.max_speed_m_s if speed_m_s is None else speed_m_s
        self._force_n = self._config.max_force_n if force_n is None else force_n
        self._step_m = 0.5 * speed * self._timestep_s

    def step(self, left_m: float, right_m: float, speed_m_s: float) -> float:
        """Return the force [N] on each finger for one time step.

        Args:
            left_m: Position of the left finger [m], half the width when open evenly.
            right_m: Position of the right finger [m].
            speed_m_s: Mean speed of the two fingers [m/s].
        """
        config = self._config
        gap = 0.0 if self.is_stuck else 0.5 * self.target_width_m - self._reference_m
        self._reference_m += min(max(gap, -self._step_m), self._step_m)
        error = self._reference_m - 0.5 * (left_m + right_m)
        force = config.stiffness_n_m * error - config.damping_n_s_m * speed_m_s
        return min(max(force, -self._force_n), self._force_n)
