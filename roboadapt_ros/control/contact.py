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
from roboadapt_ros.control.spline import Target
from roboadapt_ros.control.workspace import Kinematics
from roboadapt_ros.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

_LEVER_M = 0.05
"""A force at the hand turns some joint with a longer lever than this; what is felt below it
needs no Jacobian."""
_DAMPING = 1e-4


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
        for name in ('force_max_n', 'torque_max_nm'):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError(f'arm.contact.{name}', getattr(self, name), 'must be positive')


class ContactLeash:
    """Keeps targets so near to the measured arm that it presses no harder than allowed.

    Example: stiffness 600 Nm/rad and at most 25 Nm let the target of a joint at rest be 0.042
    rad away; one 0.1 rad away is held back there, and its speed away from the arm is taken.
    """

    def __init__(self, config: ContactConfig, kinematics: Kinematics):
        """Store the gains."""
        self._config, self._kinematics = config, kinematics
        self._stiffness = np.array(config.stiffness_nm_rad)
        self._damping = np.array(config.damping_nm_s_rad)

    def hold(self, target: Target, measured: Measured | None) -> Target | None:
        """Return the target to go to instead, or None where it presses no harder than allowed.

        Args:
            target: Where to be.
            measured: The arm; None: not known, nothing is held back.
        """
        if measured is None or not self._config.is_known:
            return None
        # The lag at the speed that is asked for, not at the measured one: with that, an arm that
        # slips off what it presses on would be pushed on without damping.
        most = self._config.torque_max_nm
        drag = np.clip(self._damping * target.dq, -most, most)
        torque = self._stiffness * (target.q - measured.q) - drag
        held, dq = torque, target.dq
        beyond_n, push = self._beyond(torque, measured.q)
        if beyond_n > 0.0:
            held = torque - beyond_n * push
            give = push / self._stiffness
            dq = dq - give * (max(float(push @ dq), 0.0) / float(push @ give))
        share = np.abs(held) / most
        if beyond_n <= 0.0 and share.max() <= 1.0:
            return None
        dq = np.where((share > 1.0) & (dq * held > 0.0), 0.0, dq)
        held = held / max(share.max(), 1.0)  # all alike, or the force could become larger
        q = measured.q + (held + drag) / self._stiffness
        return Target(q, dq, np.zeros(JOINTS))

    def _beyond(self, torque: FloatArray, q: FloatArray) -> tuple[float, FloatArray]:
        """Return by how much torques press too hard [N], and those of 1 N (7,) [Nm]."""
        most_n = self._config.force_max_n
        if np.abs(torque).max() < _LEVER_M * most_n:
            return 0.0, torque
        jacobian = self._kinematics.jacobian(q)
        force = hand_force(jacobian, torque)[:3]
        size_n = float(np.linalg.norm(force))
        if size_n <= most_n:
            return 0.0, torque
        return size_n - most_n, jacobian[:3].T @ (force / size_n)


def hand_force(jacobian: FloatArray, torque_nm: FloatArray) -> FloatArray:
    """Return the force [N] and torque [Nm] at the hand (6,) that explain joint torques (7,).

    Args:
        jacobian: Of the hand (6, 7), linear rows first.
        torque_nm: Torques (7,) [Nm].
    """
    damped = jacobian @ jacobian.T + _DAMPING * np.eye(6)
    force: FloatArray = np.linalg.solve(damped, jacobian @ torque_nm)
    return force
