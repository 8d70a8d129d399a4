"""A joint_trajectory_controller's sampling: the running trajectory, one point a period.

As ros2_controllers' has it with `interpolate_from_desired_state: true`, from the state it desires
now: straight lines through points that have positions only, cubics where they have velocities,
quintics where they have accelerations too; the last point is held. A new trajectory replaces the
running one, points whose time has passed are skipped, and one at time zero is jumped to:
https://control.ros.org/rolling/doc/ros2_controllers/joint_trajectory_controller/doc/trajectory.html
Another than that is refused here: numbers that are not finite. This module imports numpy only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import SpecError

FloatArray = npt.NDArray[np.float64]
AT_REST_RAD_S = float(np.finfo(np.float32).eps)
"""Largest speed that counts as zero at the end of a trajectory [rad/s]."""


class Knot(NamedTuple):
    """A point of a trajectory."""

    time_s: float
    """Time from the start [s]."""
    q: FloatArray
    """(n,) positions [rad]."""
    dq: FloatArray | None = None
    """(n,) velocities [rad/s]; None where the point has none."""
    ddq: FloatArray | None = None
    """(n,) accelerations [rad/s^2]; None where the point has none."""


class Motion(NamedTuple):
    """What is desired at a time, (n,) each."""

    q: FloatArray
    dq: FloatArray
    ddq: FloatArray


def check_trajectory(
    knots: Sequence[Knot],
    names: Sequence[str],
    *,
    start_in_s: float = 0.0,
    may_end_moving: bool = False,
) -> None:
    """Pass where a joint_trajectory_controller takes these points.

    Args:
        knots: The points, each with one number for each joint.
        names: The joints, for messages.
        start_in_s: When its time zero is, from now [s]; below zero: that has passed.
        may_end_moving: `allow_nonzero_velocity_at_trajectory_end`: true by default on Humble.

    Raises:
        SpecError: No points, times that do not increase, accelerations without velocities, a
            number that is not finite, an end that has passed, or one in motion.
    """
    if not knots:
        raise SpecError('trajectory.points', 'none', 'one or more')
    end_in_s = start_in_s + knots[-1].time_s
    if end_in_s < 0.0:
        found = f'an end {-end_in_s:g} s ago'
        raise SpecError('trajectory', found, 'an end that is to come; a stamp of zero is now')
    for number, knot in enumerate(knots):
        where = f'trajectory.points[{number}]'
        if number and knot.time_s <= knots[number - 1].time_s:
            found = f'{knot.time_s:g} s after {knots[number - 1].time_s:g} s'
            raise SpecError(f'{where}.time_from_start', found, 'times that strictly increase')
        if knot.ddq is not None and knot.dq is None:
            raise SpecError(f'{where}.accelerations', 'no velocities', 'velocities with them')
        for values in knot[1:]:
            if values is not None and not np.isfinite(values).all():
                raise SpecError(where, str(values.tolist()), 'finite numbers')
    last = knots[-1].dq
    if may_end_moving or last is None or not (np.abs(last) > AT_REST_RAD_S).any():
        return
    joint = int(np.argmax(np.abs(last)))
    raise SpecError(
        f'velocity of {names[joint]} in the last point',
        f'{last[joint]:g} rad/s',
        'zero, for allow_nonzero_velocity_at_trajectory_end is false',
    )


class TrajectorySampler:
    """Samples trajectories, each from where the one before is.

    Example, at rest at 0.0 rad, period 0.01 s: after ``take([Knot(0.02, [0.2])])`` `step` gives
    0.1 rad with 10 rad/s, 0.2 rad with 10 rad/s, and 0.2 rad at rest from then on.
    """

    def __init__(self, period_s: float, q: FloatArray):
        """Rest at `q` (n,) [rad], without a trajectory.

        Args:
            period_s: Time between two samples [s].
            q: Where to begin.
        """
        self._period_s, self.time_s = period_s, 0.0
        """Time of the last sample, from zero on [s]."""
        self.rest(q)

    def rest(self, q: FloatArray) -> None:
        """Forget the trajectory; the next one begins at rest at `q` (n,) [rad]."""
        zero = np.zeros(len(q))
        self.desired = Motion(np.array(q, dtype=np.float64), zero, zero)
        """What the last sample was."""
        self._knots: list[Knot] = []
        self._starts_s: list[float] = []

    @property
    def has_trajectory(self) -> bool:
        """Whether there is one, be it that its last point is held."""
        return len(self._knots) > 0

    @property
    def is_under_way(self) -> bool:
        """Whether there is one whose last point is still to come."""
        return self.has_trajectory and self.time_s < self._starts_s[-1]

    def take(self, knots: Sequence[Knot], *, start_in_s: float = 0.0) -> None:
        """Replace the trajectory.

        Args:
            knots: The points, as `check_trajectory` passes them.
            start_in_s: When its time zero is, from now [s]; below zero: that has passed.
        """
        # What is desired now stands before the points, wherever their start is.
        self._knots = [Knot(0.0, *self.desired), *knots]
        self._starts_s = [self.time_s]
        self._starts_s += [self.time_s + start_in_s + knot.time_s for knot in knots]

    def step(self) -> Motion | None:
        """Let a period pass; return what is desired then, None without a trajectory."""
        self.time_s += self._period_s
        if not self._knots:
            return None
        # Rounding must not make a sample of a knot fall short of it.
        time_s = self.time_s + 1e-9
        after = self._next_knot(time_s)
        if after == len(self._knots):
            self.desired = _held(self._knots[-1])
        else:
            begin_s, end_s = self._starts_s[after - 1], self._starts_s[after]
            before, ahead = self._knots[after - 1], self._knots[after]
            self.desired = _between(before, ahead, end_s - begin_s, self.time_s - begin_s)
        return self.desired

    def _next_knot(self, time_s: float) -> int:
        """Return the number of the first knot that is still to come."""
        # The first, what was desired, counts until the first point's time, before the start too.
        return 1 + bisect_right(self._starts_s[1:], time_s)


def _held(knot: Knot) -> Motion:
    """Return what is desired once a point is the last: its position, its velocity in name only."""
    zero = np.zeros_like(knot.q)
    return Motion(knot.q, zero if knot.dq is None else knot.dq, zero)


def _between(one: Knot, other: Knot, span_s: float, passed_s: float) -> Motion:
    """Return what is desired some time after the first of two points.

    Args:
        one: The point before.
        other: The point after.
        span_s: Time between them [s].
        passed_s: Time since the first [s].
    """
    way = other.q - one.q
    if one.dq is None or other.dq is None:
        return Motion(one.q + way * passed_s / span_s, way / span_s, np.zeros_like(way))
    rest = way - one.dq * span_s  # what is left for the powers above one
    turn = (other.dq - one.dq) * span_s
    if one.ddq is None or other.ddq is None:
        powers = np.array([3.0 * rest - turn, turn - 2.0 * rest])
    else:
        half, bend = 0.5 * one.ddq * span_s**2, (other.ddq - one.ddq) * span_s**2
        rest, turn = rest - half, turn - 2.0 * half
        powers = np.array(
            [
                half,
                10.0 * rest - 4.0 * turn + 0.5 * bend,
                7.0 * turn - 15.0 * rest - bend,
                6.0 * rest - 3.0 * turn + 0.5 * bend,
            ]
        )
    part, number = passed_s / span_s, np.arange(2, 2 + len(powers))
    q = one.q + one.dq * passed_s + (part**number) @ powers
    dq = one.dq + (number * part ** (number - 1)) @ powers / span_s
    ddq = (number * (number - 1) * part ** (number - 2)) @ powers / span_s**2
    return Motion(q, dq, ddq)
