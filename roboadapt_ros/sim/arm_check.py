"""Which errors the arm itself would raise, a thousand times a second: measured and torque limits.

It stands for the arm's own supervision behind the Franka Control Interface: measured positions
and speeds, torques, their rate, and what the arm feels beyond its collision thresholds.
This module imports numpy and the limits only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.contact import hand_force
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

TORQUE_MAX_NM = np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])
TORQUE_RATE_NM_S = 1000.0
"""frankarobotics/docs control_parameters: the same for Panda and FR3."""

MEASURED_POSITION = 'joint_position_limits_violation'
MEASURED_VELOCITY = 'joint_velocity_violation'
TORQUE_RANGE = 'tau_j_range_violation'
TORQUE_STEP = 'controller_torque_discontinuity'
JOINT_REFLEX = 'joint_reflex'
CARTESIAN_REFLEX = 'cartesian_reflex'
HAND_VELOCITY = 'cartesian_velocity_violation'

_ROWS = (MEASURED_POSITION, MEASURED_VELOCITY, TORQUE_RANGE, TORQUE_STEP, JOINT_REFLEX)
_SLACK = 1.0 + 1e-6
_FELT_NM = 1.0
"""Largest external torque that can't be a force beyond any threshold in use [Nm]."""


@dataclass(frozen=True, kw_only=True)
class CollisionConfig:
    """What the arm may feel before it stops."""

    torque_nm: tuple[float, ...] = (40.0,) * JOINTS
    """Largest external torque of each joint [Nm] (polymetis and DROID)."""
    force_n: tuple[float, ...] = (100.0,) * 6
    """Largest external force [N] and torque [Nm] at the hand, base frame (pylibfranka's example
    for motions in contact); the 40 N of franka_example_controllers end some pushes."""
    filter_s: float = 0.01
    """Time constant of the estimate of external torques [s]."""

    def __post_init__(self) -> None:
        """Check lengths and signs."""
        for name, length in (('torque_nm', JOINTS), ('force_n', 6)):
            values = getattr(self, name)
            if len(values) != length or not all(value > 0 for value in values):
                raise ConfigError(f'collision.{name}', values, f'must be {length} above 0')
        if not self.filter_s > 0:
            raise ConfigError('collision.filter_s', self.filter_s, 'must be positive')


class ArmCheck:
    """Judges every millisecond of the arm.

    Example: a torque that is 1.5 Nm from that of the millisecond before is a
    `controller_torque_discontinuity`: 1500 Nm/s, over a limit of 1000.
    """

    def __init__(
        self,
        config: CollisionConfig,
        limits: RobotLimits,
        timestep_s: float,
        friction_nm: FloatArray,
    ):
        """Prepare.

        Args:
            config: Collision thresholds.
            limits: The arm's own limits.
            timestep_s: Time of one step [s].
            friction_nm: Dry friction of the joints (7,) [Nm]: what is felt of a contact starts
                beyond it.
        """
        self._limits = limits
        self._share = min(1.0, timestep_s / config.filter_s)
        self._friction_nm = np.array(friction_nm)
        self._values = np.zeros((len(_ROWS), JOINTS))
        self._low, self._high = np.zeros_like(self._values), np.zeros_like(self._values)
        self._below, self._above = np.zeros((2, *self._values.shape), dtype=bool)
        self._torque = np.zeros(JOINTS)
        self._felt = self._values[4]
        self._high[0], self._low[0] = limits.q_max, limits.q_min
        self._high[2] = TORQUE_MAX_NM
        self._high[3] = _SLACK * TORQUE_RATE_NM_S * timestep_s
        self.set_collision(config.torque_nm, config.force_n)
        self.restart(0.5 * (limits.q_min + limits.q_max), np.zeros(JOINTS))

    def set_collision(self, torque_nm: tuple[float, ...], force_n: tuple[float, ...]) -> None:
        """Set the thresholds: (7,) [Nm] of the joints, (6,) [N], [Nm] at the hand."""
        self._force_max = np.array(force_n)
        self._high[4] = np.array(torque_nm) + self._friction_nm
        self._low[2:] = -self._high[2:]

    def restart(self, q: FloatArray, torque: FloatArray) -> None:
        """Go on at `q` (7,) [rad] from a torque (7,) [Nm], nothing felt."""
        self._torque = np.array(torque)
        self._felt[:] = 0.0
        self._low[1], self._high[1] = self._limits.velocity_bounds(q)

    @property
    def external_nm(self) -> FloatArray:
        """What the joints feel beyond their friction (7,) [Nm], filtered."""
        felt: FloatArray = self._felt
        return np.sign(felt) * np.maximum(np.abs(felt) - self._friction_nm, 0.0)

    def step(
        self,
        q: FloatArray,
        dq: FloatArray,
        torque: FloatArray,
        gravity: FloatArray,
        felt: FloatArray,
    ) -> tuple[str, ...]:
        """Return the errors of one time step.

        Args:
            q: Measured positions (7,) [rad].
            dq: Measured velocities (7,) [rad/s].
            torque: What the controller sends (7,) [Nm], without gravity.
            gravity: What the arm adds for gravity (7,) [Nm].
            felt: Torques of friction and contacts (7,) [Nm].
        """
        values = self._values
        values[0], values[1] = q, dq
        np.add(torque, gravity, out=values[2])
        np.subtract(torque, self._torque, out=values[3])
        values[4] += self._share * (felt - values[4])
        self._torque[:] = torque
        np.greater(values, self._high, out=self._above)
        np.less(values, self._low, out=self._below)
        if not (self._above.any() or self._below.any()):
            return ()
        broken = (self._above | self._below).any(axis=1)
        return tuple(name for name, is_so in zip(_ROWS, broken, strict=True) if is_so)

    def look(
        self,
        q: FloatArray,
        hand_speeds: tuple[float, float] = (0.0, 0.0),
        jacobian: Callable[[], FloatArray] | None = None,
    ) -> tuple[str, ...]:
        """Return the errors of the hand; called less often, and sets the speed limits for `q`.

        Args:
            q: Measured positions (7,) [rad].
            hand_speeds: Measured speed of the hand [m/s] and of its turning [rad/s].
            jacobian: Gives that of the hand (6, 7), base frame, linear rows first; asked for
                where something is felt.
        """
        self._low[1], self._high[1] = self._limits.velocity_bounds(q)
        errors: tuple[str, ...] = ()
        moving, turning = hand_speeds
        if moving > self._limits.ee_speed_max or turning > self._limits.ee_turn_max:
            errors += (HAND_VELOCITY,)
        external = self.external_nm
        is_felt = bool((np.abs(external) > _FELT_NM).any())
        if jacobian is not None and is_felt:
            excess = np.abs(hand_force(jacobian(), external)) > self._force_max
            errors += (CARTESIAN_REFLEX,) if excess.any() else ()
        return errors
