"""Whether a state may be commanded: it, and the stop that follows it, must be within bounds.

This module imports numpy only.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.control.motion import MotionState, Step
from roboadapt_ros.control.workspace import Kinematics, Workspace

FloatArray = npt.NDArray[np.float64]

_POSITION_SLACK_RAD = 1e-9
_WORKSPACE_SLACK_M = 1e-6
_CLOSE_M = 0.05
"""Distance from a side within which the way to the stop is looked at too."""
_PARTS = (0.2, 0.4, 0.6, 0.8)
"""Parts of the stop's time at which it is looked at."""


class MotionGuard:
    """Judges steps.

    What is checked bounds the whole stop, not only the next state, so a step that passes can
    always be followed by a stop that stays inside. An arm that starts outside (moved there by
    hand) may move, but not further out.
    """

    def __init__(
        self,
        limits: RobotLimits,
        workspace: Workspace,
        kinematics: Kinematics,
        hand_speed_max_m_s: float,
    ):
        """Store the bounds.

        Args:
            limits: Limits with margins and scales.
            workspace: Where the hand may be.
            kinematics: The arm's geometry.
            hand_speed_max_m_s: Largest translational speed of the TCP [m/s].
        """
        self._limits, self._workspace, self._kinematics = limits, workspace, kinematics
        self._hand_speed_max = hand_speed_max_m_s

    def objection(self, now: MotionState, step: Step) -> str | None:
        """Return why a step may not be taken, or None.

        Args:
            now: The commanded state.
            step: The state that would follow, with its stop.

        Returns:
            'position', 'joint_speed', 'hand_speed', 'workspace' or None.
        """
        limits = self._limits
        low = np.minimum(limits.q_min, now.q) - _POSITION_SLACK_RAD
        high = np.maximum(limits.q_max, now.q) + _POSITION_SLACK_RAD
        if (step.q_low < low).any() or (step.q_high > high).any():
            return 'position'
        slowest, fastest = step.peak_speeds(limits.dddq_max)
        if limits.velocity_offset is not None:
            # Speeds only fall and the room only shrinks while stopping, so the peak speed
            # against the bound at the far end covers every moment between.
            downward, _ = limits.velocity_bounds(step.q_low)
            _, upward = limits.velocity_bounds(step.q_high)
            if (slowest < np.minimum(downward, now.dq)).any():
                return 'joint_speed'
            if (fastest > np.maximum(upward, now.dq)).any():
                return 'joint_speed'
        peak = np.where(step.state.dq > 0, fastest, slowest)
        linear = self._kinematics.jacobian(step.state.q)[:3]
        speed = _length(linear @ peak)
        if speed > self._hand_speed_max and speed > _length(linear @ now.dq):
            return 'hand_speed'
        return 'workspace' if self._leaves_workspace(now, step) else None

    def _leaves_workspace(self, now: MotionState, step: Step) -> bool:
        amount = max(self._excess(step.state.q), self._excess(step.q_end))
        if amount > -_CLOSE_M:  # the hand's way to the stop is curved
            amount = max(amount, *(self._excess(step.q_at(part)) for part in _PARTS))
        return amount > _WORKSPACE_SLACK_M and amount > self._excess(now.q)

    def _excess(self, q: FloatArray) -> float:
        return self._workspace.excess(*self._kinematics.forward(q)).amount


def _length(vector: FloatArray) -> float:
    return math.sqrt(float(vector @ vector))
