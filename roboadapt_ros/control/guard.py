"""Whether a state may be commanded: it, and the stop that follows it, must be within bounds.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
import math

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.anchor import Anchor
from roboadapt_ros.control.bounds import Bounds
from roboadapt_ros.control.motion import MotionState, Step
from roboadapt_ros.control.self_collision import PairDistances, SelfDistance
from roboadapt_ros.control.workspace import Kinematics

FloatArray = npt.NDArray[np.float64]

_POSITION_SLACK_RAD = 1e-9
_SPEED_SLACK_RAD_S = 1e-7
_WORKSPACE_SLACK_M = _DISTANCE_SLACK_M = 1e-6
_LOOKS_MAX = 12
"""Points of the way to the stop that are looked at, at most."""
_HAND_ACCELERATION_M_S2 = 10.0
"""About the largest of the hand: what bends its way between two looks [m/s^2]."""
_CLOSE_M = 0.05
"""Distance from a side within which the way to the stop is looked at too."""
_CALM = 0.97
"""Part of the hand's speed limit aimed at where a step would pass it."""
_CRAWL_RAD_S = 1e-3
"""Speed that each joint is left, so that one at rest can begin to move [rad/s]."""
_EARLY_TICKS = (0.0, 0.5, 1.0, 1.5)
"""First ticks of a stop at which the hand's speed is looked at: within them, joints that
accelerated turn to braking. From there on it is looked at at every tick."""
_JACOBIANS = 5
"""How many Jacobians of a stop are computed: in between they are interpolated, for they change
evenly, while a joint's speed may turn within a tick."""
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
        dt_s: float,
    ):
        """Store the bounds.

        Args:
            bounds: What is kept.
            kinematics: The arm's geometry.
            self_distance: The arm's outside.
            self_distance_min_m: Least distance between two links [m].
            dt_s: Time of one tick [s].
        """
        self._kinematics, self._dt_s = kinematics, dt_s
        self._hand_share = 0.0
        self._box_anchor = Anchor()
        self.keep(bounds)
        self._self_distance, self._self_distance_min_m = self_distance, self_distance_min_m

    def keep(self, bounds: Bounds) -> None:
        """Judge by other bounds from now on."""
        self.bounds = bounds
        moving, turning = bounds.hand_speed_max_m_s, bounds.hand_turn_max_rad_s
        self._hand_most = np.repeat([moving, turning], 3)[:, None]
        self._box_anchor.forget()

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
        slowest, fastest = step.slowest, step.fastest
        # No exception for a joint that is too fast already, because its bounds have become
        # tighter or its end nearer: it brakes until it is not.
        most = limits.dq_max + _SPEED_SLACK_RAD_S
        if (slowest < -most).any() or (fastest > most).any():
            return 'joint_speed'
        if limits.velocity_offset is not None:
            # Speeds only fall and the room only shrinks while stopping, so the peak speed
            # against the bound at the far end covers every moment between. Before, on the way to
            # the step, a joint may go towards its end and turn round.
            mean = (step.state.q - now.q) / self._dt_s
            slowest, fastest = np.minimum(slowest, mean), np.maximum(fastest, mean)
            downward = self.bounds.arm.lowest_velocity(step.q_low)
            upward = self.bounds.arm.highest_velocity(step.q_high)
            if (slowest < downward - _SPEED_SLACK_RAD_S).any():
                return 'joint_speed'
            if (fastest > upward + _SPEED_SLACK_RAD_S).any():
                return 'joint_speed'
        self._hand_share = self._hand_speed(now, step)
        if self._hand_share > 1.0:
            return 'hand_speed'
        if self._leaves_workspace(now, step):
            return 'workspace'
        return 'self_collision' if self._nears_itself(now, step) else None

    def slower(self, step: Step) -> FloatArray:
        """Return joint speeds (7,) [rad/s] with which the hand would not be too fast.

        Args:
            step: The step that was judged last, whose hand is.
        """
        share = _CALM / self._hand_share
        return np.minimum(
            np.maximum(share * np.abs(step.peak), _CRAWL_RAD_S), self.bounds.limits.dq_max
        )

    def _hand_speed(self, now: MotionState, step: Step) -> float:
        """Return the hand's speed where it is too fast now, else its largest until the stop.

        It is a part of what the hand may: of its speed or its turning, whichever is nearer.
        A hand that is too fast because the bound has become tighter has to brake until it is
        not: there is no exception for one that is.
        """
        jacobian = self._kinematics.jacobian(step.state.q) / self._hand_most
        peak = step.peak
        mean = (step.state.q - now.q) / self._dt_s  # a short step speeds up and slows down again
        fastest = _longest(np.array([step.state.dq, mean, peak]) @ jacobian.T)
        if fastest > 1.0 or _longest(np.abs(jacobian) @ np.abs(peak)) <= 1.0:
            return fastest
        return max(fastest, self._hand_speed_stopping(step, jacobian))

    def _hand_speed_stopping(self, step: Step, jacobian: FloatArray) -> float:
        """Return the hand's largest speed at the ticks of a stop, and of its way between.

        Joints that move the hand against each other do not come to rest together. Where one
        does, nothing takes off the others' motion any more, and for a tick the hand may be
        faster than before and after.

        Args:
            step: The step with its stop.
            jacobian: The hand's where the stop begins (6, 7), as parts of what it may.
        """
        ticks, looks, shares = _grid(math.ceil(step.stop.duration / self._dt_s))
        q, dq = step.way((self._dt_s * ticks).tolist())
        later = (self._kinematics.jacobian(q[look]) / self._hand_most for look in looks)
        known = np.array([jacobian, *later])
        jacobians = (shares @ known.reshape(len(known), -1)).reshape(-1, *jacobian.shape)
        means = (q[1:] - q[:-1]) / (self._dt_s * (ticks[1:] - ticks[:-1]))[:, None]
        between = (jacobians[1:] + jacobians[:-1]) / 2.0
        speeds = np.concatenate([jacobians @ dq[..., None], between @ means[..., None]])
        return _longest(speeds)

    def _leaves_workspace(self, now: MotionState, step: Step) -> bool:
        if self._box_anchor.least(step.q_low, step.q_high) > 0.0:
            return False
        here, end = self._excess(step.state.q), self._excess(step.q_end)
        if self.bounds.box.max_tilt_rad is None:  # a tilt is no distance
            self._box_anchor.note(step.state.q, -here)
        if max(here, end) <= -_CLOSE_M:
            return False
        # The hand's way to the stop is curved. Beyond a side, it has to lead inwards all along:
        # side by side, for a hand that comes in through one may not leave through another.
        ticks, gap = _looks(int(step.stop.duration / self._dt_s))
        # Where every point of the stop is looked at, none lies between two looks.
        curved_m = _HAND_ACCELERATION_M_S2 * (gap * self._dt_s) ** 2 / 8.0 if gap > 1 else 0.0
        way = [step.state.q, *(step.at(tick * self._dt_s)[0] for tick in ticks), step.q_end]
        least = self._amounts(now.q)
        for place, q in enumerate(way):
            is_between = 0 < place < len(way) - 1
            inside = -curved_m if is_between else _WORKSPACE_SLACK_M
            amounts = self._amounts(q)
            for amount, low in zip(amounts, least, strict=True):
                if amount > (low if low > 0.0 else inside):
                    return True
            least = [min(pair) for pair in zip(amounts, least, strict=True)]
        return False

    def _amounts(self, q: FloatArray) -> list[float]:
        return self.bounds.workspace.amounts(*self._kinematics.forward(q))

    def _excess(self, q: FloatArray) -> float:
        return self.bounds.workspace.excess(*self._kinematics.forward(q)).amount

    def _nears_itself(self, now: MotionState, step: Step) -> bool:
        """Return whether links come too near to each other, and nearer than they are."""
        least_m = self._self_distance_min_m
        for pairs in self._self_distance.groups:
            if pairs.anchor.least(step.q_low, step.q_high) >= least_m:
                continue
            nearest = self._nearest(pairs, step)
            if nearest < least_m and nearest < pairs.distance(now.q) - _DISTANCE_SLACK_M:
                return True
        return False

    def _nearest(self, pairs: PairDistances, step: Step) -> float:
        """Return how near links come to each other while stopping."""
        nearest = min(pairs.distance(step.q_end), pairs.distance(step.state.q))
        strides = min(int(pairs.anchor.way(step.q_low, step.q_high) / _STRIDE_M), _STRIDES_MAX)
        spacing_s = step.stop.duration / (strides + 1)
        times = (stride * spacing_s for stride in range(1, strides + 1))
        return min((nearest, *(pairs.distance(step.at(time)[0]) for time in times)))


def _looks(count: int) -> tuple[list[int], int]:
    """Return which of so many points to look at, and the longest way between two of them.

    Example: of 4 points all, with 1 between; of 34 the first, the last and ten more, 3 apart.
    """
    if count <= _LOOKS_MAX:
        return list(range(1, count + 1)), 1
    spread = np.linspace(1, count, _LOOKS_MAX).round().astype(int).tolist()
    return spread, max(later - earlier for earlier, later in pairwise(spread))


@cache
def _grid(count: int) -> tuple[FloatArray, list[int], FloatArray]:
    """Return where to look at the hand's speed in a stop of so many ticks.

    Returns:
        Ticks (n,); at which of them to compute the Jacobian, besides the first; the shares of
        the first and these k in each tick (n, 1 + k), for linear interpolation.
    """
    ticks = np.array([*_EARLY_TICKS, *range(2, max(count, 2) + 1)], dtype=np.float64)
    looks = np.linspace(0, len(ticks) - 1, _JACOBIANS).round().astype(int)
    shares = [np.interp(ticks, ticks[looks], one) for one in np.eye(len(looks))]
    return ticks, looks[1:].tolist(), np.array(shares).T


def _longest(twists: FloatArray) -> float:
    """Return the length of the longest half of twists (..., 6): linear, then angular."""
    return math.sqrt(float((twists.reshape(-1, 2, 3) ** 2).sum(axis=2).max()))
