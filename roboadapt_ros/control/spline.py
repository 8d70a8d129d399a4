"""Smooth targets from the rows of a chunk: position, velocity and acceleration at any time.

Rows are joined by cubic Hermite pieces with Catmull-Rom tangents, and one chunk passes over
into the next by letting their difference fade out, so that targets have no step in position
or velocity. This module imports numpy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Weights = tuple[float, float, float]
"""What something weighs in position, velocity and acceleration."""

_GONE: Weights = (0.0, 0.0, 0.0)


class Target(NamedTuple):
    """Where to be at a time."""

    q: FloatArray
    """(7,) [rad]."""
    dq: FloatArray
    """(7,) [rad/s]."""
    ddq: FloatArray
    """(7,) [rad/s^2]."""


class RowCurve:
    """A curve through the rows of a chunk; row k is met at ``start + (k + 1) * period``.

    At the start, one period before row 0, it is where the arm was meant to be then. It rests
    before the start, and ends at rest in the last row.

    Example: from 0.0, rows 1.0, 2.0, 3.0 rad at 0.1 s make q(start) = 0.0 and
    q(start + 0.1 s) = 1.0 with dq = 10 rad/s, q(start + 0.3 s) = 3.0 with dq = 0, and 3.0 rad
    ever after.
    """

    def __init__(self, origin: FloatArray, rows: FloatArray, start_ns: int, period_s: float):
        """Store the knots.

        Args:
            origin: (7,) position at the start [rad].
            rows: (n, 7) positions [rad], n >= 1.
            start_ns: One period before row 0 [ns].
            period_s: Spacing of rows [s].
        """
        self._knots = np.vstack([origin, rows])
        tangents = np.zeros_like(self._knots)  # times period [rad]
        tangents[1:-1] = 0.5 * (self._knots[2:] - self._knots[:-2])
        tangents[0] = self._knots[1] - self._knots[0]
        self._pieces = np.stack(  # (n, 4, 7)
            [self._knots[:-1], self._knots[1:], tangents[:-1], tangents[1:]], axis=1
        )
        self._rest = np.zeros_like(self._knots[0])
        self._start_ns, self._period_s = start_ns, period_s

    def sample(self, time_ns: int) -> Target:
        """Return the target at a time [ns]."""
        position = (time_ns - self._start_ns) / (self._period_s * 1e9)
        last = len(self._knots) - 1
        if position < 0.0 or position >= last:
            return Target(self._knots[0 if position < 0.0 else last], self._rest, self._rest)
        low = int(position)
        return Target(*(np.array(_basis(position - low, self._period_s)).T @ self._pieces[low]))


class Fade:
    """A difference that goes smoothly to nothing: added to a new curve, it starts as the old.

    Position and speed fade over times of their own, so that a long way to go does not carry a
    speed along.

    Example: a difference of 0.1 rad at rest over 0.1 s is 0.05 rad after 0.05 s, with a speed
    of -1.5 rad/s, and zero from 0.1 s on.
    """

    def __init__(
        self, dq: FloatArray, dv: FloatArray, start_ns: int, durations_s: tuple[float, float]
    ):
        """Store the difference.

        Args:
            dq: (7,) old minus new position at the start [rad].
            dv: (7,) old minus new velocity at the start [rad/s].
            start_ns: When it starts [ns].
            durations_s: How long the position's and the speed's part last [s].
        """
        self._start_ns, (self._q_s, self._v_s) = start_ns, durations_s
        self._dq, self._way = dq, dv * self._v_s

    def sample(self, time_ns: int) -> Target:
        """Return what is left of the difference at a time [ns]."""
        gone_s = max((time_ns - self._start_ns) / 1e9, 0.0)
        from_q, from_v = _GONE, _GONE
        if gone_s < self._q_s:
            from_q = _basis(gone_s / self._q_s, self._q_s)[0]
        if gone_s < self._v_s:
            from_v = _basis(gone_s / self._v_s, self._v_s)[2]
        return Target(*(a * self._dq + b * self._way for a, b in zip(from_q, from_v, strict=True)))


class FadedCurve:
    """A curve that begins where another motion is."""

    def __init__(self, curve: RowCurve, fade: Fade):
        """Store the curve and the difference it begins with."""
        self._curve, self._fade = curve, fade

    def sample(self, time_ns: int) -> Target:
        """Return the target at a time [ns]."""
        return _sum(self._curve.sample(time_ns), self._fade.sample(time_ns))


def _sum(one: Target, other: Target) -> Target:
    return Target(one.q + other.q, one.dq + other.dq, one.ddq + other.ddq)


def _basis(part: float, duration_s: float) -> tuple[Weights, Weights, Weights, Weights]:
    """Return the Hermite basis at `part` in [0, 1) of a cubic piece.

    These are the weights of both ends, and of the tangents there times the duration.
    """
    t, t2 = part, part * part
    t3, v = t2 * t, 1.0 / duration_s
    v2 = v * v
    p, m = 3.0 * t2 - 2.0 * t3, t3 - t2
    dp, ddp = 6.0 * (t - t2) * v, (6.0 - 12.0 * t) * v2
    return (
        (1.0 - p, -dp, -ddp),
        (p, dp, ddp),
        (m - t2 + t, (3.0 * t2 - 4.0 * t + 1.0) * v, (6.0 * t - 4.0) * v2),
        (m, (3.0 * t2 - 2.0 * t) * v, (6.0 * t - 2.0) * v2),
    )
