"""How hard the arm may press: a target that would press harder is held back.

Under an impedance controller the arm presses as hard as its command is ahead of it. The command
is therefore kept near enough to the measured arm, as serl_franka_controllers does inside its
controller (https://github.com/rail-berkeley/serl_franka_controllers). This module imports numpy
and the control parts only.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.control.measured import Measured
from roboadapt_ros.control.motion import MotionState
from roboadapt_ros.control.spline import Target
from roboadapt_ros.control.workspace import Kinematics
from roboadapt_ros.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

_LEVER_M = 0.05
"""A force at the hand turns some joint with a longer lever than this; what is felt below it
needs no Jacobian."""
_DAMPING = 1e-4
_DELAY_TICKS = 2.0
"""By how much an arm that moves along is behind its command, beside its damping and the age of
its state: a tick to send it, and one in which the controller blends it in."""
_AGE_MAX_S = 0.5
_PRESSES = 0.5
"""An arm presses on something where its command asks for more than this part of what is allowed;
less of it may be its own inertia."""
_STILL_RAD_S = 0.1
"""An arm that is faster than this is not blocked."""


@dataclass(frozen=True, kw_only=True)
class ContactConfig:
    """The gains of the arm's controller, and how hard it may press with them."""

    stiffness_nm_rad: tuple[float, ...] = ()
    """Joint stiffness (7,) [Nm/rad]; empty: not known, nothing is held back."""
    damping_nm_s_rad: tuple[float, ...] = ()
    """Joint damping (7,) [Nm s/rad]: what the arm lags behind a moving command by."""
    force_max_n: float = 50.0
    """Largest force at the hand [N]."""
    torque_max_nm: float = 25.0
    """Largest torque of a joint, beyond gravity [Nm]."""
    patience_s: float = 3.0
    """Time for which an arm may be held back before it is stopped [s]."""

    @property
    def is_known(self) -> bool:
        """Whether the gains are given."""
        return bool(self.stiffness_nm_rad)

    def __post_init__(self) -> None:
        """Check lengths and signs."""
        for name in ('stiffness_nm_rad', 'damping_nm_s_rad'):
            values = getattr(self, name)
            is_good = len(values) == JOINTS and all(0.0 < v < math.inf for v in values)
            if not is_good and (self.stiffness_nm_rad or self.damping_nm_s_rad):
                rule = f'must be {JOINTS} positive numbers'
                raise ConfigError(f'arm.contact.{name}', values, rule)
        for name in ('force_max_n', 'torque_max_nm', 'patience_s'):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError(f'arm.contact.{name}', getattr(self, name), 'must be positive')


class ContactLeash:
    """Keeps the target of a pressing arm so near that it presses no harder than allowed.

    A target too far ahead is brought back on the straight line to where the arm is (or would be
    by its lag): so it is slowed or held, and never led aside.

    Example: stiffness 600 Nm/rad and at most 25 Nm let the command of a joint at rest come to
    0.042 rad. With a command 0.03 rad away and a target of 0.084 rad, every joint is left half
    the target's way; with a command 0.02 rad away the target is left alone.
    """

    def __init__(
        self, config: ContactConfig, kinematics: Kinematics, dt_s: float, behind_s: float = 0.0
    ):
        """Store the gains.

        Args:
            config: Gains and limits.
            kinematics: The arm's geometry.
            dt_s: Time of one tick [s].
            behind_s: Time after which a point is due at the controller, as in a trajectory [s].
        """
        self._config, self._kinematics = config, kinematics
        self._stiffness = np.array(config.stiffness_nm_rad)
        if config.is_known:
            delay_s = _DELAY_TICKS * dt_s + behind_s
            self._lag_s = np.array(config.damping_nm_s_rad) / self._stiffness + delay_s

    def hold(
        self, target: Target, command: MotionState, now_ns: int, measured: Measured | None
    ) -> Target | None:
        """Return the target to go to instead, or None where the arm may go on.

        It may while it does not press: what a target is ahead of the arm's command is no force
        yet, and an arm that moves freely keeps up.

        Args:
            target: Where to be.
            command: What the arm was last told.
            now_ns: Time now [ns].
            measured: The arm; None: not known, nothing is held back.
        """
        if measured is None or not self._config.is_known:
            return None
        # What an arm that moves along lags by is no force. No more than at the speed it was told:
        # an arm that slips off what it presses on is not to be pushed on without damping.
        way = np.sign(command.dq)
        speed = way * np.minimum(np.maximum(way * measured.dq, 0.0), way * command.dq)
        age_s = min(max((now_ns - measured.stamp_ns) / 1e9, 0.0), _AGE_MAX_S)
        lag = (self._lag_s + age_s) * speed
        presses = self._stiffness * _beyond(command.q - measured.q, lag)
        if self._share(presses / _PRESSES, measured.q) == 1.0:
            return None
        excess = _beyond(target.q - measured.q, lag)
        share = self._share(self._stiffness * excess, measured.q)
        if share == 1.0:
            return None
        rest = np.zeros(JOINTS)
        return Target(target.q - (1.0 - share) * excess, rest, rest)

    def _share(self, torque: FloatArray, q: FloatArray) -> float:
        """Return the part of torques (7,) [Nm] that the arm may press with."""
        config, largest = self._config, float(np.abs(torque).max())
        share = min(1.0, config.torque_max_nm / largest) if largest > 0.0 else 1.0
        if largest < _LEVER_M * config.force_max_n:
            return share
        force = hand_force(self._kinematics.jacobian(q), torque)[:3]
        return min(share, config.force_max_n / max(float(np.linalg.norm(force)), 1e-9))


class PressWatch:
    """Notices an arm that is held back for long and does not move: blocked, or without targets.

    Time in which it is not held back counts against it.

    Example, patience 3 s: held back for 2 s, free for 1 s, held back for 2 s more is too long.
    """

    def __init__(self, config: ContactConfig, dt_s: float):
        """Count in ticks of `dt_s` [s]."""
        self._patience_s, self._dt_s = config.patience_s, dt_s
        self.reset()

    def reset(self) -> None:
        """Forget what was."""
        self._held_s = 0.0

    def tick(self, measured: Measured, *, is_held: bool) -> str | None:
        """Count a tick.

        Args:
            measured: The arm; while it moves it is not blocked.
            is_held: Whether the target was held back.

        Returns:
            What is wrong with the arm, or None.
        """
        is_held = is_held and float(np.abs(measured.dq).max()) < _STILL_RAD_S
        self._held_s = max(0.0, self._held_s + (self._dt_s if is_held else -self._dt_s))
        if self._held_s < self._patience_s:
            return None
        return (
            f'the arm was held back for {self._patience_s:g} s: it is blocked, or its controller '
            'does not hear the targets'
        )


def _beyond(ahead: FloatArray, lag: FloatArray) -> FloatArray:
    """Return by how much more than its lag an arm is behind (7,) [rad], or ahead.

    An arm that lags less than it may is no nearer to pressing the other way.

    Example: 0.05 rad ahead with a lag of 0.02 is 0.03; with one of 0.07, or of -0.02, it is 0
    and 0.05.
    """
    way = np.sign(ahead)
    rest: FloatArray = way * np.maximum(way * ahead - np.maximum(way * lag, 0.0), 0.0)
    return rest


def hand_force(jacobian: FloatArray, torque_nm: FloatArray) -> FloatArray:
    """Return the force [N] and torque [Nm] at the hand (6,) that explain joint torques (7,).

    Args:
        jacobian: Of the hand (6, 7), linear rows first.
        torque_nm: Torques (7,) [Nm].
    """
    damped = jacobian @ jacobian.T + _DAMPING * np.eye(6)
    force: FloatArray = np.linalg.solve(damped, jacobian @ torque_nm)
    return force
