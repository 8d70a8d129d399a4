"""Where a chunk would lead: joint limits, jumps and the workspace, before the arm follows it.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.control.workspace import Kinematics, Workspace
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import RefusedError

FloatArray = npt.NDArray[np.float64]

_PUSHES = 4
_DAMPING = 1e-6
_WIDTH_SLACK = 0.25
"""Part of the hand's range that a width may lie beyond it, to be clamped."""


class PathGate:
    """Judges the rows of chunks.

    A row beyond the arm's own joint limits refuses the chunk. Of the rows still due, a jump
    refuses it. One a little outside the workspace is moved to its side; the first one further
    outside, and what follows, is cut off, so that the arm stops inside; a chunk whose first due
    row is that far outside is refused.
    """

    def __init__(
        self,
        limits: RobotLimits,
        kinematics: Kinematics,
        workspace: Workspace,
        config: AdmissionConfig,
    ):
        """Store the rules.

        Args:
            limits: The arm's own limits.
            kinematics: The arm's geometry.
            workspace: Where the hand may be.
            config: Largest jump and largest push.
        """
        self._limits, self._kinematics, self._workspace = limits, kinematics, workspace
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
            RefusedError: 'limits', 'degrees', 'gripper_width', 'jump' or 'workspace'.
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
        return np.vstack([rows[:due], *self._inside(rows[due:])])

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
                f'{self._limits.joint_names[joint]} of row {row} is '
                f'{rows[row, joint]:.4f} rad, range {self._limits.q_min[joint]:.4f}..'
                f'{self._limits.q_max[joint]:.4f}',
            )

    def _outside(self, rows: FloatArray) -> npt.NDArray[np.bool_]:
        return (rows < self._limits.q_min) | (rows > self._limits.q_max)

    def _check_widths(self, widths_m: FloatArray) -> None:
        """Refuse widths (n,) that are no noise about the hand's range but another unit."""
        most_m = self._limits.gripper_width_max_m
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
                f'{self._limits.joint_names[joint]} steps {step[joint]:.3f} rad {where}, '
                f'at most {self._max_jump_rad:g} rad',
            )

    def _inside(self, rows: FloatArray) -> list[FloatArray]:
        """Return the rows, moved inside where need be, up to the first one far outside."""
        kept: list[FloatArray] = []
        for q in rows:
            excess = self._workspace.excess(*self._kinematics.forward(q))
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

    def _pushed(self, q: FloatArray) -> FloatArray | None:
        """Return joints (7,) [rad] near `q` inside the workspace, or None.

        Newton steps with the smallest joint motion that moves the hand without turning it.
        """
        for _ in range(_PUSHES):
            pose = self._kinematics.forward(q)
            wanted = np.concatenate([self._workspace.push(*pose), np.zeros(3)])
            jacobian = self._kinematics.jacobian(q)
            square = jacobian @ jacobian.T + _DAMPING * np.eye(6)
            q = q + jacobian.T @ np.linalg.solve(square, wanted)
            q = np.clip(q, self._limits.q_min, self._limits.q_max)
            if self._workspace.excess(*self._kinematics.forward(q)).amount <= 0.0:
                return q
        return None
