"""A judge of joint points that shares nothing with the governor: own tables, own differences.

It reads `arm_tables` instead of `control`, so that an error there is not repeated here. This
module imports numpy and these tables only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.arm_tables import hand_points, hand_turns, TABLES

FloatArray = npt.NDArray[np.float64]

SLACK = 1e-6
"""Part by which a limit may be passed: rounding, divided by the tick to the third power."""
POSITION_SLACK_RAD = 1e-8
BOX_SLACK_M = 1e-4
SPEED_SLACK_RAD_S = 1e-6
DELAY_TICKS = 3
"""Ticks until what came to be demanded is followed: on its way, planned, sent."""
FAR = 10.0
"""Stands for no bound [m] or [rad]."""
HAND_SPEED_SLACK = 0.05
"""Part by which the hand may be faster than demanded or promised: while stopping, the governor
looks at it a few times only, and between these it can be a little faster."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What came to be demanded under way, by a task or a URDF, beyond the promise."""

    speed: FloatArray
    """(7,) [rad/s]."""
    low: FloatArray = field(default_factory=lambda: np.full(7, -np.inf))
    """(7,) [rad]."""
    high: FloatArray = field(default_factory=lambda: np.full(7, np.inf))
    hand_speed_m_s: float = np.inf
    box_low_m: tuple[float, ...] = (-np.inf,) * 3
    box_high_m: tuple[float, ...] = (np.inf,) * 3


@dataclass
class Stretch:
    """Points that were sent without a silence between them."""

    rests: tuple[FloatArray, ...]
    """Where the arm may have been before the first point, (7,) each [rad], likeliest first: the
    last point it was sent, and every state it has told whose stamp was fresh."""
    q: list[FloatArray] = field(default_factory=list)
    dq: list[FloatArray] = field(default_factory=list)
    is_held: bool = True
    """Whether silence followed: the controller then holds the last point."""
    demands: list[tuple[int, Demand | None]] = field(default_factory=list)
    """From which point on something else was demanded, in order."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What the governor was told to keep, beyond what the arm can do."""

    robot: str
    velocity_scale: float = 1.0
    acceleration_scale: float = 1.0
    jerk_scale: float = 1.0
    margin_rad: float = 0.0
    hand_turn_rad_s: float = np.inf
    box_low_m: tuple[float, float, float] = (-np.inf, -np.inf, -np.inf)
    box_high_m: tuple[float, float, float] = (np.inf, np.inf, np.inf)


class MotionJudge:
    """Counts points beyond a limit.

    The k-th difference of k + 1 points by tick^k is the mean k-th derivative over them, which
    is within a limit where the derivative is. Before a stretch the arm rests; where silence
    follows, it is to rest too.

    Example: at 100 Hz, 0.0 and 0.03 rad are 3 rad/s: beyond a Panda's 2.175 rad/s; that the
    arm was at rest before makes it 300 rad/s^2 and 30,000 rad/s^3 as well.
    """

    def __init__(self, promise: Promise, period_s: float):
        """Judge points of a spacing [s] by a promise."""
        self._table, self._promise = TABLES[promise.robot], promise
        self._period_s = period_s
        self.counts: Counter[str] = Counter()
        """Violations by quantity."""
        self.used: dict[str, float] = {}
        """Largest part of what was promised that was used, by quantity."""

    def judge(self, stretch: Stretch) -> int:
        """Count the violations in a stretch and return their number.

        Where the arm has said several things of itself, one is to explain the motion: the
        governor may start from any of them, but from there on within the limits.
        """
        if not stretch.q:
            return 0
        counts, used = self.counts, self.used
        least: tuple[int, Counter[str], dict[str, float]] | None = None
        for rest in stretch.rests:
            self.counts, self.used = counts.copy(), dict(used)
            found = self._judge_from(rest, stretch)
            if least is None or found < least[0]:
                least = found, self.counts, self.used
            if not found:
                break
        assert least is not None, 'a stretch has a start'
        found, self.counts, self.used = least
        return found

    def _judge_from(self, rest: FloatArray, stretch: Stretch) -> int:
        before = self.counts.total()
        q = np.array([rest, *stretch.q])
        if q.shape[1:] != (7,) or not np.isfinite(q).all():
            self.counts['not_finite'] += 1
            return 1
        self._positions(q)
        self._derivatives(q, is_held=stretch.is_held)
        self._speed_laws(q, np.array(stretch.dq))
        self._hand(q)
        starts = [start for start, _ in stretch.demands]
        for (start, demand), end in zip(
            stretch.demands, [*starts[1:], len(stretch.q)], strict=False
        ):
            if demand is not None and start < end:
                self._demanded(q, np.array(stretch.dq), demand, start, end)
        return self.counts.total() - before

    def _positions(self, q: FloatArray) -> None:
        """Within the margins; an arm that began outside comes no nearer to the end."""
        table, margin = self._table, self._promise.margin_rad
        low = np.minimum(table.low + margin, q[0]) - POSITION_SLACK_RAD
        high = np.maximum(table.high - margin, q[0]) + POSITION_SLACK_RAD
        outside = (q < low) | (q > high)
        outside[1:] |= (q[1:] < table.low) | (q[1:] > table.high)
        self.counts['position'] += int(outside.sum())

    def _derivatives(self, q: FloatArray, *, is_held: bool) -> None:
        rest, end = [q[:1]] * 2, [q[-1:]] * 3
        track = np.concatenate([*rest, q, *(end if is_held else [])])
        table, promise = self._table, self._promise
        bounds = (
            ('velocity', promise.velocity_scale * table.speed),
            ('acceleration', promise.acceleration_scale * table.acceleration),
            ('jerk', promise.jerk_scale * table.jerk),
        )
        for name, bound in bounds:
            track = np.diff(track, axis=0) / self._period_s
            self._note(name, np.abs(track) / bound)

    def _speed_laws(self, q: FloatArray, dq: FloatArray) -> None:
        """Hold mean speeds, and the speeds that were sent, against the laws of position."""
        mean = np.diff(q, axis=0) / self._period_s
        told = np.vstack([np.zeros(7), dq])
        # Two speeds and the way between them agree up to what the jerk can do in a tick.
        most = self._promise.jerk_scale * self._table.jerk * self._period_s**2 / 8.0
        self._note('told_speed', np.abs(mean - (told[1:] + told[:-1]) / 2.0) / most)
        for law in self._table.laws:
            for speed, at in ((mean, q[:-1]), (dq, q[1:])):
                bound = np.where(speed > 0.0, law.towards_high(at), law.towards_low(at))
                beyond = np.abs(speed) > bound * (1.0 + SLACK) + SPEED_SLACK_RAD_S
                self.counts['velocity_at_position'] += int(beyond.sum())

    def _hand(self, q: FloatArray) -> None:
        """In the box, or no further outside than at the start; never faster than it may."""
        tcp, tip = hand_points(q)
        low, high = np.array(self._promise.box_low_m), np.array(self._promise.box_high_m)
        beyond = np.hstack([low - np.minimum(tcp, tip), np.maximum(tcp, tip) - high])
        most = np.maximum(beyond[0] + 1e-6, BOX_SLACK_M)
        self.counts['workspace'] += int((beyond > most).any(axis=1).sum())
        speed = np.linalg.norm(np.diff(tcp, axis=0), axis=1) / self._period_s
        self._note('hand_speed', speed[:, None] / self._table.hand_speed_m_s)
        promised = self._promise.hand_turn_rad_s * (1.0 + HAND_SPEED_SLACK)
        most = min(self._table.hand_turn_rad_s, promised)
        self._note('hand_turn', hand_turns(q) / self._period_s / most)

    def _demanded(
        self, q: FloatArray, dq: FloatArray, demand: Demand, start: int, end: int
    ) -> None:
        """Hold points from `start` to before `end` against what was demanded then.

        An arm that was faster may be so for as long as it needs to brake within acceleration
        and jerk: to turn acceleration into braking, to brake, to let go. Where it has come to
        then it may be outside, but from there on no further.
        """
        track, dt = q[start : end + 1], self._period_s
        most = self._promise.acceleration_scale * self._table.acceleration
        jerk = self._promise.jerk_scale * self._table.jerk
        speed = np.abs(np.diff(track, axis=0)) / dt
        before = np.zeros(7)
        if start > 0:
            mean = np.abs(q[start] - q[start - 1]) / dt
            before = np.maximum(mean, np.abs(dq[start - 1])) + most**2 / (2.0 * jerk)
        delay = 3.0 * most / jerk + DELAY_TICKS * dt
        time = dt * np.arange(1, len(speed) + 1)[:, None]
        braking = before - most * np.maximum(time - delay, 0.0)
        bound = np.maximum(demand.speed, braking) * (1.0 + SLACK) + SPEED_SLACK_RAD_S
        self.counts['demanded_speed'] += int((speed > bound).sum())
        settled = int(np.ceil((before / most + delay).max() / dt)) if start > 0 else 0
        if settled >= len(track) - 1:
            return
        track = track[settled:]
        outside = np.maximum(demand.low - track, track - demand.high)
        self._no_further('demanded_position', outside, POSITION_SLACK_RAD)
        tcp, tip = hand_points(track)
        low, high = np.array(demand.box_low_m), np.array(demand.box_high_m)
        beyond = np.hstack([low - np.minimum(tcp, tip), np.maximum(tcp, tip) - high])
        self._no_further('demanded_box', beyond, BOX_SLACK_M)
        hand = np.linalg.norm(np.diff(tcp, axis=0), axis=1) / dt
        used = hand / demand.hand_speed_m_s
        self.used['demanded_hand_speed'] = max(
            self.used.get('demanded_hand_speed', 0.0), float(used.max())
        )
        self.counts['demanded_hand_speed'] += int((used > 1.0 + HAND_SPEED_SLACK).sum())

    def _no_further(self, name: str, outside: FloatArray, slack: float) -> None:
        """Count what is outside (n, k) and further out than it was at some time before.

        A stop is held against where the arm was a tick before it, so what came in during one
        tick may go out again.
        """
        outside = np.maximum(outside, -FAR)
        least = np.minimum.accumulate(outside, axis=0)
        in_a_tick = np.maximum(-np.diff(outside, axis=0, append=outside[-1:]), 0.0).max(axis=0)
        bound = np.where(least > 0.0, least + in_a_tick, 0.0)
        self.counts[name] += int((outside > bound + slack).sum())

    def _note(self, name: str, parts: FloatArray) -> None:
        self.used[name] = max(self.used.get(name, 0.0), float(parts.max()))
        self.counts[name] += int((parts > 1.0 + SLACK).sum())
