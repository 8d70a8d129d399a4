"""Where a chunk would lead: joint limits, jumps, workspace and the arm itself, beforehand.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.bounds import Bounds
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.control.self_collision import SelfDistance
from roboadapt_ros.control.workspace import Kinematics
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import RefusedError

FloatArray = npt.NDArray[np.float64]

_PUSHES = 4
_DAMPING = 1e-6
_SELF_SLACK_M = 1e-6
_WIDTH_SLACK = 0.25
"""Part of the hand's range that a width may lie beyond it, to be clamped."""


class PathGate:
    """Judges the rows of chunks.

    A row beyond the arm's own joint limits refuses the chunk. Of the rows still due, a jump
    refuses it. One a little outside the workspace is moved to its side; the first one further
    outside, and what follows, is cut off, so that the arm stops inside; a chunk whose first due
    row is that far outside is refused, and so is one with a row in which the arm would touch
    itself.
    """

    def __init__(
        self,
        bounds: Bounds,
        kinematics: Kinematics,
        self_distance: SelfDistance,
        self_distance_min_m: float,
        config: AdmissionConfig,
    ):
        """Store the rules.

        Args:
            bounds: The arm's own limits, and where the hand may be.
            kinematics: The arm's geometry.
            self_distance: The arm's outside.
            self_distance_min_m: Least distance between two links [m].
            config: Largest jump and largest push.
        """
        self.bounds = bounds
        """What is kept; replaced where a task has tighter ones."""
        self._kinematics = kinematics
        self._self_distance, self._self_distance_min_m = self_distance, self_distance_min_m
        self._max_jump_rad, self._max_push_m = config.max_jump_rad, config.max_push_m
        self.counts: Counter[str] = Counter()
        """Rows that were moved or cut off."""

    def admit(
        self, chunk: ActionChunk, time_ns: int, origins: dict[str, FloatArray]
    ) -> FloatArray:
        """Return the rows (n, 7) [rad] that may be followed, from row 0 on.

        Args:
            chunk: Joint positions in the arm's order.
            time_ns: Time on the chunk now [ns].
            origins: Where the arm is (7,) [rad], by what that is: 'command', 'measured'.

        Raises:
            RefusedError: 'limits', 'degrees', 'gripper_width', 'jump', 'workspace' or
                'self_collision'.
        """
        self._check_widths(chunk.actions[:, JOINTS])
        rows = np.asarray(chunk.actions[:, :JOINTS], dtype=np.float64)
        passed = int((time_ns - chunk.start_ns) / (chunk.period_s * 1e9)) - 1
        due = min(max(passed, 0), len(rows) - 1)
        self.check_limits(rows)
        for name, origin in origins.items():
            self._check_step(f'from the {name} position', rows[due] - origin)
        for row, step in enumerate(np.diff(rows[due:], axis=0), start=due + 1):
            self._check_step(f'before row {row}', step)
        inside = self._inside(rows[due:])
        self._check_distances(inside, origins['command'])
        return np.vstack([rows[:due], *inside])

    def check_limits(self, rows: FloatArray) -> None:
        """Refuse rows (n, 7) [rad] beyond the arm's own positions.

        Degrees never pass for radians: no position of joint 4 in degrees is one in radians.

        Raises:
            RefusedError: 'limits', or 'degrees' where the rows make sense as such.
        """
        outside = self._outside(rows)
        if outside.any():
            if not self._outside(np.radians(rows)).any():
                raise RefusedError('degrees', 'the rows look like degrees, required radians')
            row, joint = (int(i) for i in np.argwhere(outside)[0])
            raise RefusedError(
                'limits',
                f'{self.bounds.arm.joint_names[joint]} of row {row} is '
                f'{rows[row, joint]:.4f} rad, range {self.bounds.arm.q_min[joint]:.4f}..'
                f'{self.bounds.arm.q_max[joint]:.4f}',
            )

    def _outside(self, rows: FloatArray) -> npt.NDArray[np.bool_]:
        return (rows < self.bounds.arm.q_min) | (rows > self.bounds.arm.q_max)

    def _check_widths(self, widths_m: FloatArray) -> None:
        """Refuse widths (n,) that are no noise about the hand's range but another unit."""
        most_m = self.bounds.arm.gripper_width_max_m
        far = (widths_m < -_WIDTH_SLACK * most_m) | (widths_m > (1.0 + _WIDTH_SLACK) * most_m)
        if far.any():
            row = int(np.argmax(far))
            raise RefusedError(
                'gripper_width',
                f'row {row} wants {widths_m[row]:.4g} m between the fingers, range 0..{most_m:g}',
            )

    def _check_step(self, where: str, step: FloatArray) -> None:
        joint = int(np.argmax(np.abs(step)))
        if not abs(step[joint]) <= self._max_jump_rad:
            raise RefusedError(
                'jump',
                f'{self.bounds.arm.joint_names[joint]} steps {step[joint]:.3f} rad {where}, '
                f'at most {self._max_jump_rad:g} rad',
            )

    def _inside(self, rows: FloatArray) -> list[FloatArray]:
        """Return the rows, moved inside where need be, up to the first one far outside."""
        kept: list[FloatArray] = []
        for q in rows:
            excess = self.bounds.workspace.excess(*self._kinematics.forward(q))
            if excess.amount > 0.0:
                moved = self._pushed(q) if excess.amount <= self._max_push_m else None
                if moved is None and not kept:
                    raise RefusedError('workspace', f'the hand would be at {excess.detail}')
                if moved is None:
                    self.counts['rows_cut_off'] += len(rows) - len(kept)
                    break
                self.counts['rows_pushed_inside'] += 1
                q = moved
            kept.append(q)
        return kept

    def _check_distances(self, rows: list[FloatArray], origin: FloatArray) -> None:
        """Refuse rows in which the arm would be too near to itself, and nearer than it is."""
        least_m: float | None = None
        for q in rows:
            if self._self_distance.distance(q) >= self._self_distance_min_m:
                continue
            if least_m is None:
                own = self._self_distance.distance(origin) - _SELF_SLACK_M
                least_m = min(self._self_distance_min_m, own)
            nearest = self._self_distance.nearest(q)
            if nearest.distance_m < least_m:
                raise RefusedError(
                    'self_collision',
                    f'{nearest.one} and {nearest.other} would be {nearest.distance_m:.3f} m '
                    f'apart, at least {least_m:.3f} m',
                )

    def _pushed(self, q: FloatArray) -> FloatArray | None:
        """Return joints (7,) [rad] near `q` inside the workspace, or None.

        Newton steps with the smallest joint motion that moves the hand without turning it.
        """
        for _ in range(_PUSHES):
            pose = self._kinematics.forward(q)
            wanted = np.concatenate([self.bounds.workspace.push(*pose), np.zeros(3)])
            jacobian = self._kinematics.jacobian(q)
            square = jacobian @ jacobian.T + _DAMPING * np.eye(6)
            q = q + jacobian.T @ np.linalg.solve(square, wanted)
            q = np.clip(q, self.bounds.arm.q_min, self.bounds.arm.q_max)
            if self.bounds.workspace.excess(*self._kinematics.forward(q)).amount <= 0.0:
                return q
        return None
