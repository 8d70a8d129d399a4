"""Whether a state may be commanded: it, and the stop that follows it, must be within bounds.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.bounds import Bounds
from roboadapt_ros.control.motion import MotionState, Step
from roboadapt_ros.control.self_collision import SelfDistance
from roboadapt_ros.control.workspace import Kinematics

FloatArray = npt.NDArray[np.float64]

_POSITION_SLACK_RAD = 1e-9
_WORKSPACE_SLACK_M = 1e-6
_CLOSE_M = 0.05
"""Distance from a side within which the way to the stop is looked at too."""
_FAST = 0.5
"""Part of the hand's largest speed from which on the way to the stop is looked at too."""
_PARTS = (0.2, 0.4, 0.6, 0.8)
"""Parts of the stop's time at which it is looked at."""
_REACH_M = np.array([1.15, 1.15, 0.85, 0.75, 0.4, 0.4, 0.15])
"""(7,) further than any part of arm and hand from each joint's axis [m]."""
_STRIDE_M = 0.04
"""Motion of the arm between two looks at its distance from itself [m]; between them it may be
nearer by what its way is curved, well below a millimetre."""
_STRIDES_MAX = 5


class MotionGuard:
    """Judges steps.

    What is checked bounds the whole stop, not only the next state, so a step that passes can
    always be followed by a stop that stays inside. An arm that starts outside (moved there by
    hand, or given tighter bounds) may move, but not further out.
    """

    def __init__(
        self,
        bounds: Bounds,
        kinematics: Kinematics,
        self_distance: SelfDistance,
        self_distance_min_m: float,
    ):
        """Store the bounds.

        Args:
            bounds: What is kept; replaced where a task has tighter ones.
            kinematics: The arm's geometry.
            self_distance: The arm's outside.
            self_distance_min_m: Least distance between two links [m].
        """
        self.bounds = bounds
        self._kinematics = kinematics
        self._self_distance, self._self_distance_min_m = self_distance, self_distance_min_m

    def objection(self, now: MotionState, step: Step) -> str | None:
        """Return why a step may not be taken, or None.

        Args:
            now: The commanded state.
            step: The state that would follow, with its stop.

        Returns:
            'position', 'joint_speed', 'hand_speed', 'workspace', 'self_collision' or None.
        """
        limits = self.bounds.limits
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
        if self._is_hand_fast(step, np.where(step.state.dq > 0, fastest, slowest)):
            return 'hand_speed'
        if self._leaves_workspace(now, step):
            return 'workspace'
        return 'self_collision' if self._nears_itself(now, step) else None

    def _is_hand_fast(self, step: Step, peak: FloatArray) -> bool:
        """Return whether the hand is too fast now or while stopping.

        A hand that is too fast because the bound has become tighter has to brake until it is
        not: there is no exception for one that is.
        """
        most = self.bounds.hand_speed_max_m_s
        speed = self._hand_speed(step.state.q, peak)
        if speed > most:
            return True
        # Where joints move the hand against each other, one that stops first makes it faster.
        return speed > _FAST * most and any(
            self._hand_speed(*step.at(part)) > most for part in _PARTS
        )

    def _hand_speed(self, q: FloatArray, dq: FloatArray) -> float:
        linear = self._kinematics.jacobian(q)[:3] @ dq
        return math.sqrt(float(linear @ linear))

    def _leaves_workspace(self, now: MotionState, step: Step) -> bool:
        amount = max(self._excess(step.state.q), self._excess(step.q_end))
        if amount > -_CLOSE_M:  # the hand's way to the stop is curved
            amount = max(amount, *(self._excess(step.at(part)[0]) for part in _PARTS))
        return amount > _WORKSPACE_SLACK_M and amount > self._excess(now.q)

    def _excess(self, q: FloatArray) -> float:
        return self.bounds.workspace.excess(*self._kinematics.forward(q)).amount

    def _nears_itself(self, now: MotionState, step: Step) -> bool:
        """Return whether the arm comes too near to itself, and nearer than it is."""
        distance = self._self_distance.distance
        way = float(_REACH_M @ (step.q_high - step.q_low))
        nearest = distance(step.q_end)
        strides = min(int(way / _STRIDE_M), _STRIDES_MAX)
        # From the stop's end backwards nothing is nearer than by the way between.
        if nearest - way < self._self_distance_min_m:
            parts = (stride / (strides + 1) for stride in range(1, strides + 1))
            nearest = min(
                nearest, distance(step.state.q), *(distance(step.at(part)[0]) for part in parts)
            )
        if nearest >= self._self_distance_min_m:
            return False
        return nearest < distance(now.q) - _WORKSPACE_SLACK_M
