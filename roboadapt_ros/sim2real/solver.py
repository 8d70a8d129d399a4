"""End-effector rows to joints, one chunk after the other, without jumps of the elbow.

This module imports numpy and the core only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.sim2real.frame import BaseFrame

FloatArray = npt.NDArray[np.float64]


class IkSolution(Protocol):
    """What an inverse gives."""

    @property
    def q(self) -> FloatArray:
        """(7,) joint positions [rad]."""

    @property
    def position_error_m(self) -> float:
        """Distance left [m]."""

    @property
    def rotation_error_rad(self) -> float:
        """Angle left [rad]."""


class InverseKinematics(Protocol):
    """What the bridge needs to know about the arm's geometry."""

    def inverse(
        self,
        position: FloatArray,
        quat_xyzw: FloatArray,
        q_seed: FloatArray,
        q_nullspace: FloatArray | None = None,
    ) -> IkSolution:
        """Return joints (7,) [rad] near a seed for a TCP pose in the base frame."""


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """What counts as solved, and where the elbow goes."""

    q_posture: tuple[float, ...] | None = None
    """Model joints (7) [rad] that the null space is drawn to; None: the kinematics' home."""
    position_tolerance_m: float = 0.005
    """Largest distance left by the inverse kinematics [m]."""
    rotation_tolerance_rad: float = 0.05
    """Largest angle left by the inverse kinematics [rad]."""
    attempts: int = 3
    """Runs of the inverse kinematics, each from where the last one ended."""
    seed_tolerance_rad: float = 0.4
    """Distance from the measured joints at which the last solution is forgotten [rad]."""

    def __post_init__(self) -> None:
        """Check the posture's length and that there is something to try."""
        if self.q_posture is not None and len(self.q_posture) != JOINTS:
            raise ConfigError('solver.q_posture', self.q_posture, f'must have {JOINTS} entries')
        if self.attempts < 1:
            raise ConfigError('solver.attempts', self.attempts, 'must be 1 or more')


class PoseSolver:
    """Solves chunk after chunk, each row seeded by the one before.

    The first row is seeded by the last chunk's solution at the time the row is due, as long as
    the arm is near it, and by the measured joints otherwise.
    """

    def __init__(self, config: SolverConfig, kinematics: InverseKinematics, frame: BaseFrame):
        """Store the geometry.

        Args:
            config: What counts as solved.
            kinematics: Geometry of the rig's arm, model joints.
            frame: From the contract's base frame to the rig's.
        """
        self._config, self._kinematics, self._frame = config, kinematics, frame
        self._posture = None if config.q_posture is None else np.array(config.q_posture)
        self._last: tuple[FloatArray, FloatArray] | None = None
        self.counts: Counter[str] = Counter()
        """Rows cut off because they are out of reach."""

    def reset(self) -> None:
        """Forget the last solution."""
        self._last = None

    def solve(self, chunk: ActionChunk, measured: FloatArray) -> FloatArray:
        """Return model joints (n, 7) [rad] for the rows before the first one out of reach.

        Args:
            chunk: Columns x, y, z, qx, qy, qz, qw first, in the contract's base frame.
            measured: Model joints (7,) [rad] now.

        Raises:
            RefusedError: 'rotation', or 'ik' when row 0 is out of reach.
        """
        steps = np.arange(1, len(chunk.actions) + 1, dtype=np.float64)
        due_s = chunk.start_ns / 1e9 + chunk.period_s * steps
        solutions: list[FloatArray] = []
        seed = self._seed(float(due_s[0]), measured)
        for number, row in enumerate(chunk.actions):
            found = self._solve_row(number, row, seed)
            if isinstance(found, RefusedError):
                if not solutions:
                    raise found
                self.counts['rows_out_of_reach'] += len(chunk.actions) - number
                break
            seed = found
            solutions.append(found)
        rows = np.array(solutions)
        self._last = (due_s[: len(rows)], rows)
        return rows

    def _solve_row(
        self, number: int, row: FloatArray, seed: FloatArray
    ) -> FloatArray | RefusedError:
        """Return the joints for one row, or the refusal when they are out of reach."""
        norm = float(np.linalg.norm(row[3:7]))
        if norm < 0.5:
            raise RefusedError('rotation', f'quaternion of row {number} has norm {norm:.3f}')
        position, quat_xyzw = self._frame.to_rig(row[:3], row[3:7] / norm)
        config = self._config
        for _ in range(config.attempts):
            found = self._kinematics.inverse(position, quat_xyzw, seed, self._posture)
            seed = np.asarray(found.q, dtype=np.float64)
            if (
                found.position_error_m <= config.position_tolerance_m
                and found.rotation_error_rad <= config.rotation_tolerance_rad
            ):
                return seed
        place = ', '.join(f'{value:.3f}' for value in position)
        return RefusedError(
            'ik',
            f'row {number} at ({place}) m is out of reach by '
            f'{found.position_error_m * 1e3:.1f} mm, {found.rotation_error_rad:.3f} rad',
        )

    def _seed(self, due_s: float, measured: FloatArray) -> FloatArray:
        """Return where to start: the last solution when row 0 is due, or the measured joints."""
        if self._last is None:
            return measured
        times, rows = self._last
        seed = np.array([np.interp(due_s, times, column) for column in rows.T])
        near = np.abs(seed - measured).max() <= self._config.seed_tolerance_rad
        return seed if near else measured
