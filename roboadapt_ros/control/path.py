"""Where a chunk would lead: joint limits, jumps and the workspace, before the arm follows it.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.control.workspace import Kinematics, Workspace
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import RefusedError

FloatArray = npt.NDArray[np.float64]


class PathGate:
    """Judges the rows of chunks.

    A row beyond the arm's own joint limits refuses the chunk. Of the rows still due, a jump
    refuses it; the first one outside the workspace, and what follows, is cut off, so that the
    arm stops inside; a chunk whose first due row is outside is refused.
    """

    def __init__(
        self,
        limits: RobotLimits,
        kinematics: Kinematics,
        workspace: Workspace,
        max_jump_rad: float,
    ):
        """Store the rules.

        Args:
            limits: The arm's own limits.
            kinematics: The arm's geometry.
            workspace: Where the hand may be.
            max_jump_rad: Largest step of a joint [rad].
        """
        self._limits, self._kinematics, self._workspace = limits, kinematics, workspace
        self._max_jump_rad = max_jump_rad

    def admit(
        self, chunk: ActionChunk, time_ns: int, origins: dict[str, FloatArray]
    ) -> FloatArray:
        """Return the rows (n, 7) [rad] that may be followed, from row 0 on.

        Args:
            chunk: Joint positions in the arm's order.
            time_ns: Time on the chunk now [ns].
            origins: Where the arm is (7,) [rad], by what that is: 'command', 'measured'.

        Raises:
            RefusedError: 'limits', 'jump' or 'workspace'.
        """
        rows = np.asarray(chunk.actions[:, :JOINTS], dtype=np.float64)
        passed = int((time_ns - chunk.start_ns) / (chunk.period_s * 1e9)) - 1
        due = min(max(passed, 0), len(rows) - 1)
        self.check_limits(rows)
        for name, origin in origins.items():
            self._check_step(f'from the {name} position', rows[due] - origin)
        for row, step in enumerate(np.diff(rows[due:], axis=0), start=due + 1):
            self._check_step(f'before row {row}', step)
        return rows[: due + self._count_inside(rows[due:])]

    def check_limits(self, rows: FloatArray) -> None:
        """Refuse rows (n, 7) [rad] beyond the arm's own positions.

        Raises:
            RefusedError: 'limits'.
        """
        outside = (rows < self._limits.q_min) | (rows > self._limits.q_max)
        if outside.any():
            row, joint = (int(i) for i in np.argwhere(outside)[0])
            raise RefusedError(
                'limits',
                f'{self._limits.joint_names[joint]} of row {row} is '
                f'{rows[row, joint]:.4f} rad, range {self._limits.q_min[joint]:.4f}..'
                f'{self._limits.q_max[joint]:.4f}',
            )

    def _check_step(self, where: str, step: FloatArray) -> None:
        joint = int(np.argmax(np.abs(step)))
        if not abs(step[joint]) <= self._max_jump_rad:
            raise RefusedError(
                'jump',
                f'{self._limits.joint_names[joint]} steps {step[joint]:.3f} rad {where}, '
                f'at most {self._max_jump_rad:g} rad',
            )

    def _count_inside(self, rows: FloatArray) -> int:
        """Return how many rows come before the first one outside the workspace."""
        for row, q in enumerate(rows):
            excess = self._workspace.excess(*self._kinematics.forward(q))
            if excess.amount > 0.0:
                if row == 0:
                    raise RefusedError('workspace', f'the hand would be at {excess.detail}')
                return row
        return len(rows)
