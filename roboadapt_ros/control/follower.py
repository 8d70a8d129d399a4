"""How the arm is moved: along curves, within limits, with a stop always at hand.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.bounds import Bounds
from roboadapt_ros.control.contact import ContactLeash
from roboadapt_ros.control.governor_config import FollowerConfig
from roboadapt_ros.control.guard import MotionGuard
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.control.measured import Measured
from roboadapt_ros.control.motion import JointMotion, MotionState
from roboadapt_ros.control.spline import Fade, FadedCurve, RowCurve

FloatArray = npt.NDArray[np.float64]


class Follower:
    """Moves the commanded state along a curve, or stops it.

    Example: from rest at 0.0 rad, `join` rows at 0.1 rad; after the start ramp of 0.5 s the
    command is at 0.1 rad. `brake` at any time instead: the command comes to rest within the
    limits and stays there.
    """

    def __init__(
        self, config: FollowerConfig, guard: MotionGuard, leash: ContactLeash, dt_s: float
    ):
        """Build the planner.

        Args:
            config: How fast and how smoothly.
            guard: Judges each step; its bounds are the planner's, too.
            leash: Holds back what would press too hard.
            dt_s: Time of one tick [s].
        """
        self._config, self._guard, self._leash = config, guard, leash
        self._motion = JointMotion(guard.bounds.limits, dt_s)
        self._curve: FadedCurve | None = None
        self._has_started, self._easing_ns = False, (0, 0)
        self.is_held = False
        """Whether the last tick was held back, so that the arm presses no harder."""
        self.counts: Counter[str] = Counter()
        """Ticks that braked or went elsewhere instead of following, by cause."""

    @property
    def limits(self) -> RobotLimits:
        """The limits that are kept."""
        return self._motion.limits

    def keep(self, bounds: Bounds) -> None:
        """Keep other bounds from now on.

        An arm that is faster than they allow brakes until it is not, within acceleration and
        jerk; one that is outside goes no further out.
        """
        self._guard.keep(bounds)
        self._motion.limits = bounds.limits

    @property
    def state(self) -> MotionState:
        """The commanded state."""
        return self._motion.state

    @property
    def is_at_rest(self) -> bool:
        """Whether the commanded speed and acceleration are zero."""
        return self._motion.is_at_rest

    def start_position(self, measured: FloatArray) -> FloatArray:
        """Return where a start from rest would begin (7,) [rad].

        Args:
            measured: Measured positions (7,) [rad].
        """
        command = self._motion.state.q
        near = np.abs(command - measured).max() <= self._config.restart_tolerance_rad
        return command if self._has_started and near else measured

    def start(self, q: FloatArray) -> None:
        """Be at rest at (7,) [rad]."""
        self._motion.reset(q)
        self._curve, self._has_started = None, True

    def join(self, rows: FloatArray, start_ns: int, period_s: float, time_ns: int) -> None:
        """Pass over from the current motion to rows.

        Args:
            rows: (n, 7) positions [rad].
            start_ns: One period before row 0 [ns].
            period_s: Spacing of rows [s].
            time_ns: Time on the rows now [ns].
        """
        config = self._config
        if self._curve is None:
            origin, duration_s = self.state.q, config.start_ramp_s
        else:
            origin, duration_s = self._curve.sample(start_ns).q, config.blend_s
        self._fade_into(RowCurve(origin, rows, start_ns, period_s), time_ns, duration_s)

    def ease(self, measured: FloatArray, time_ns: int) -> None:
        """Begin to bring the command to a measured position; see `is_easing`.

        Args:
            measured: Measured positions (7,) [rad].
            time_ns: Time now [ns].
        """
        most = self._config.ease_max_rad
        q = self.state.q + np.clip(measured - self.state.q, -most, most)
        self._curve = None
        self._fade_into(RowCurve(q, q[None], time_ns, 1.0), time_ns, self._config.ramp_down_s)
        self._easing_ns = (time_ns, time_ns + int(self._config.ramp_down_s * 1e9))

    def is_easing(self, time_ns: int) -> bool:
        """Return whether that lasts; a clock that was set back ends it."""
        start_ns, end_ns = self._easing_ns
        return start_ns <= time_ns < end_ns

    def follow(self, time_ns: int, now_ns: int, measured: Measured | None = None) -> str | None:
        """Move one tick along the curve; where that is not allowed, along the stop.

        Args:
            time_ns: Time on the curve at the coming point [ns].
            now_ns: Time now [ns].
            measured: The arm, so that it does not press too hard; None: whatever it presses.

        Returns:
            What forbade it, or None.
        """
        self.is_held = False
        if self._curve is None:
            self._motion.brake()
            return None
        target = self._curve.sample(time_ns)
        held = self._leash.hold(target, self.state, now_ns, measured)
        if held is not None:
            self.is_held = True
            self.counts['held_back_contact'] += 1
            target = held
        step = self._motion.propose(target)
        cause = 'plan' if step is None else self._guard.objection(self.state, step)
        if step is not None and cause == 'hand_speed':
            # Braking and letting go in turn would shake the arm: plan again, slower.
            slower = self._motion.propose(target, self._guard.slower(step))
            if slower is not None and self._guard.objection(self.state, slower) is None:
                self.counts['slowed_hand_speed'] += 1
                step, cause = slower, None
        if step is not None and cause is None:
            self._motion.take(step)
            return None
        self.counts[f'braked_{cause}'] += 1
        self._motion.brake()
        return cause

    def brake(self) -> None:
        """Move one tick along the stop and forget the curve."""
        self._curve = None
        self._motion.brake()

    def forget(self) -> None:
        """Take the last point for no start any more: the next motion starts where the arm is."""
        self._has_started = False

    def halt(self) -> None:
        """Be at rest where the command is, and forget the curve."""
        self._curve = None
        self._motion.reset(self.state.q)

    def _fade_into(self, curve: RowCurve, time_ns: int, duration_s: float) -> None:
        """Follow a curve from now on, beginning with the position and velocity there are."""
        old_q, old_dq, _ = self.state if self._curve is None else self._curve.sample(time_ns)
        new = curve.sample(time_ns)
        limits = self.limits
        distance = np.clip(old_q, limits.q_min, limits.q_max) - new.q
        speed = np.clip(old_dq - new.dq, -2.0 * limits.dq_max, 2.0 * limits.dq_max)
        # A fade's top speed is 1.5 times its mean speed; give it the time the arm needs.
        needed_s = float((1.5 * np.abs(distance) / limits.dq_max).max())
        fade = Fade(distance, speed, time_ns, (max(duration_s, needed_s), self._config.blend_s))
        self._curve = FadedCurve(curve, fade)
