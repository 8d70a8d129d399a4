"""A judge of motion: commands and measured joints held against the robot's limits.

Independent of the governor: it sees only the points that were sent and the joints that were
measured, and takes derivatives by finite differences.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import RobotLimits

Joints = npt.NDArray[np.float64]
"""(7,) one value per arm joint, in the limits' joint order."""


DERIVATIVES = ('velocity', 'acceleration', 'jerk')


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One joint that went beyond one limit at one time."""

    quantity: str
    """'commanded position', 'commanded velocity', ... 'measured velocity'."""
    joint: str
    value: float
    """What it was, SI units of the quantity."""
    limit: float
    """The limit it went beyond."""
    stamp_ns: int

    def __str__(self) -> str:
        """Return 'commanded velocity of panda_joint4 = 2.91, limit 2.62'."""
        return f'{self.quantity} of {self.joint} = {self.value:.6g}, limit {self.limit:.6g}'


class LimitMonitor:
    """Count points outside the limits.

    Commands come at a fixed rate, so the k-th difference of k + 1 successive points divided
    by period^k is the mean k-th derivative over them, which cannot exceed the limit where
    the derivative itself does not. Measured time is not used: a late publication does not
    make the motion faster, and a gap in the stamps starts a new sequence.

    Example: at 100 Hz, two points 0.03 rad apart are 3 rad/s: beyond a limit of 2.175.
    """

    def __init__(
        self,
        limits: RobotLimits,
        *,
        period_s: float,
        max_gap_s: float,
        relative_tolerance: float = 1e-6,
    ):
        """Build the judge.

        Args:
            limits: The robot's own limits, not the governor's scaled ones.
            period_s: Spacing of commanded points [s].
            max_gap_s: A longer pause between two stamps starts a new sequence [s].
            relative_tolerance: Slack for the rounding of floats, as a part of each limit.
        """
        self._limits, self._period_s = limits, period_s
        self._max_gap_ns = int(max_gap_s * 1e9)
        self._slack = 1.0 + relative_tolerance
        self._points: deque[Joints] = deque(maxlen=4)
        self._last_ns = self._last_sequence = 0
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        """Points looked at: 'commanded' and 'measured'; 'lost' are those that did not arrive."""
        self.used: dict[str, float] = {}
        """Largest part of each limit that was used, by quantity (1.0 = at the limit)."""

    def restart(self) -> None:
        """Take the next point for the first of another motion."""
        self._points.clear()

    def command(self, stamp_ns: int, q: Joints, sequence: int = 0) -> None:
        """Judge one commanded point.

        Args:
            stamp_ns: When it was sent [ns].
            q: (7,) commanded positions [rad].
            sequence: Its place in the sender's stream, from 1; 0 where points are not counted.
        """
        lost = sequence - self._last_sequence - 1 if sequence and self._last_sequence else 0
        if lost or stamp_ns - self._last_ns > self._max_gap_ns:
            self._points.clear()
        if lost > 0:
            self.counts['lost'] += lost
        self._last_ns, self._last_sequence = stamp_ns, sequence
        self._points.append(np.asarray(q, float))
        self.counts['commanded'] += 1
        self._check_position('commanded position', q, stamp_ns)
        points = np.array(self._points)  # (k, 7), oldest first
        for order in range(1, len(points)):
            mean = np.diff(points[-order - 1 :], n=order, axis=0)[0] / self._period_s**order
            bound = (
                self._speed_bounds(points[-2], mean)
                if order == 1
                else (self._limits.ddq_max, self._limits.dddq_max)[order - 2]
            )
            self._check(f'commanded {DERIVATIVES[order - 1]}', mean, bound, stamp_ns)

    def measured(self, stamp_ns: int, q: Joints, dq: Joints) -> None:
        """Judge one measured state.

        Args:
            stamp_ns: When it was measured [ns].
            q: (7,) measured positions [rad].
            dq: (7,) measured velocities [rad/s].
        """
        self.counts['measured'] += 1
        self._check_position('measured position', q, stamp_ns)
        dq = np.asarray(dq, float)
        self._check('measured velocity', dq, self._speed_bounds(q, dq), stamp_ns)

    def _speed_bounds(self, q: Joints, dq: Joints) -> Joints:
        """Return the largest speed of each joint in the direction it moves [rad/s]."""
        lower, upper = self._limits.velocity_bounds(q)
        return np.maximum(np.where(dq < 0, -lower, upper), np.finfo(float).tiny)

    def _check_position(self, quantity: str, q: Joints, stamp_ns: int) -> None:
        middle = (self._limits.q_max + self._limits.q_min) / 2
        half = (self._limits.q_max - self._limits.q_min) / 2
        self._check(quantity, np.asarray(q, float) - middle, half, stamp_ns, middle)

    def _check(
        self,
        quantity: str,
        values: Joints,
        bounds: Joints,
        stamp_ns: int,
        offset: Joints | None = None,
    ) -> None:
        """Record joints whose |value| is beyond its bound; `offset` restores absolute values."""
        used = np.abs(values) / bounds
        self.used[quantity] = max(self.used.get(quantity, 0.0), float(used.max()))
        for joint in np.flatnonzero(~(used <= self._slack)):
            shift = 0.0 if offset is None else float(offset[joint])
            sign = float(np.sign(values[joint]))
            self.violations.append(
                Violation(
                    quantity=quantity,
                    joint=self._limits.joint_names[joint],
                    value=float(values[joint]) + shift,
                    limit=sign * float(bounds[joint]) + shift,
                    stamp_ns=stamp_ns,
                )
            )
