"""Which error a stream of joint targets would raise: the limits of a joint motion generator.

Targets come as points of a motion, one a period; between two of them the arm moves by as many
periods as there are points, however late they were sent and whether or not some were lost. How
many lie between two points is not known, so an error is raised only where no number that their
stamps allow explains them. Limits hold for divided differences, whose values lie between those
of the derivative itself (mean value theorem): a motion within the limits never fails.
This module imports numpy and the limits only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PREFIX = 'joint_motion_generator_'
POSITION_LIMIT = f'{_PREFIX}position_limits_violation'
VELOCITY_LIMIT = f'{_PREFIX}velocity_limits_violation'
ACCELERATION_LIMIT = f'{_PREFIX}velocity_discontinuity'
"""The name of an acceleration beyond its limit."""
JERK_LIMIT = f'{_PREFIX}acceleration_discontinuity'
"""The name of a jerk beyond its limit."""
WRONG_START = 'joint_position_motion_generator_start_pose_invalid'
SILENCE = 'communication_constraints_violation'

_SLACK = 1.0 + 1e-6
_LATEST = 0.05
"""A stamp may be read this part of a period too late: clocks are read in floats."""
_FORGET_S = 0.2
"""Silence after which a motion is over where silence is no error [s]."""
_LATE, _CAUGHT_UP, _MISSING_MAX = 2.0, 0.25, 40.0
"""A stream with too few points: beyond so many periods from point to point the rest is missing,
each point makes up for a part of a period, and so many missing ones break the communication."""
_MOST_STORIES = 64
_DERIVATIVES = (VELOCITY_LIMIT, ACCELERATION_LIMIT, JERK_LIMIT)


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How a stream of targets is read."""

    period_s: float = 0.01
    """Time by which a point moves the arm [s]: the period of the sender."""
    lost_at_once: int = 9
    """Points that may be lost one after another."""
    lost_share: float = 0.1
    """Part of the points that may be lost over time."""
    start_tolerance_rad: float = 0.02
    """Distance of a motion's first point from where the arm is, or is held [rad]."""
    rest_pause_s: float = 0.05
    """Pause at rest after which a new motion may begin [s]."""
    timeout_s: float = 0.2
    """Silence in motion that breaks the communication [s]; 0: the last target is held."""

    def __post_init__(self) -> None:
        """Check what must be positive."""
        for name in ('period_s', 'start_tolerance_rad', 'rest_pause_s'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'stream.{name}', getattr(self, name), 'must be positive')
        for name in ('lost_at_once', 'lost_share', 'timeout_s'):
            if not getattr(self, name) >= 0:
                raise ConfigError(f'stream.{name}', getattr(self, name), 'must be 0 or more')


class _Stories(NamedTuple):
    """What may have happened so far: every row explains the points without an error."""

    last: IntArray
    """(k,) periods between the last two points."""
    before: IntArray
    """(k,) periods between the two before."""
    ahead: FloatArray
    """(k,) periods by which the motion may be ahead of the stamps, 0..1."""
    credit: FloatArray
    """(k,) points that may still be lost."""


class StreamCheck:
    """Judges targets one by one.

    Example, Panda at 100 Hz: joint 1 at a steady 0.5 rad/s gives steps of 0.005 rad. One step
    of 0.01 rad is a lost point. Two are an acceleration of 50 rad/s^2, over a limit of 15: a
    velocity discontinuity.
    """

    def __init__(self, config: StreamConfig, limits: RobotLimits):
        """Prepare for the first motion."""
        self._config, self._limits = config, limits
        self.restart()

    def restart(self) -> None:
        """Forget the motion: what comes next is the start of another."""
        self._points: list[FloatArray] = []
        self._sent_s = 0.0
        self._speed = np.zeros(JOINTS)
        self._stories = self._fresh()
        self._missing = 0.0

    @property
    def is_moving(self) -> bool:
        """Whether the last points could not be brought to rest within a period."""
        return bool((self._speed > self._limits.ddq_max * self._config.period_s).any())

    def is_silent(self, quiet_s: float) -> bool:
        """Return whether a silence [s] breaks the communication: in motion, and too long."""
        timeout_s = self._config.timeout_s
        return timeout_s > 0.0 and quiet_s > timeout_s and self.is_moving

    def judge(
        self,
        q: FloatArray,
        sent_s: float,
        *,
        is_exact: bool,
        held: FloatArray,
        measured: FloatArray,
    ) -> tuple[str, ...]:
        """Return the errors a target raises; the motion is forgotten where there are any.

        Args:
            q: Target (7,) [rad].
            sent_s: When it was sent, on the sender's clock [s].
            is_exact: Whether points are sent on time, as in simulated time.
            held: Target before (7,) [rad].
            measured: Measured positions (7,) [rad].
        """
        errors = self._judge(q, sent_s, 0.0 if is_exact else 1.0, held, measured)
        if errors:
            self.restart()
        return errors

    def _judge(
        self, q: FloatArray, sent_s: float, jitter: float, held: FloatArray, measured: FloatArray
    ) -> tuple[str, ...]:
        config, limits = self._config, self._limits
        if (q < limits.q_min).any() or (q > limits.q_max).any():
            return (POSITION_LIMIT,)
        elapsed_s = max(sent_s - self._sent_s, 0.0)
        if self._points and elapsed_s == 0.0 and np.array_equal(q, self._points[-1]):
            return ()  # the same message again
        if self._points and not self._may_begin(elapsed_s):
            if self.is_silent(elapsed_s):
                return (SILENCE,)
            return self._go_on(q, sent_s, elapsed_s / config.period_s, jitter)
        low, high = np.minimum(held, measured), np.maximum(held, measured)
        off = np.maximum(low - q, q - high)
        if (off > config.start_tolerance_rad).any():
            return (WRONG_START,)
        self.restart()
        self._points, self._sent_s = [q], sent_s
        return ()

    def _may_begin(self, quiet_s: float) -> bool:
        """Return whether a point after a silence [s] may be the first of another motion."""
        config = self._config
        if quiet_s > (config.timeout_s or _FORGET_S):
            return config.timeout_s == 0.0 or not self.is_moving
        return len(self._points) > 1 and quiet_s >= config.rest_pause_s and not self.is_moving

    def _go_on(
        self, q: FloatArray, sent_s: float, elapsed: float, jitter: float
    ) -> tuple[str, ...]:
        """Judge a point of the motion that is going on, `elapsed` periods after the last."""
        stories, period_s = self._stories, self._config.period_s
        self._missing = max(self._missing + max(elapsed - _LATE, 0.0) - _CAUGHT_UP, 0.0)
        if self._missing > _MISSING_MAX and self.is_moving:
            return (SILENCE,)
        most = min(int(elapsed + jitter + _LATEST), self._config.lost_at_once + 1)
        steps = np.arange(1, max(most, 1) + 1)
        ahead = np.maximum(stories.ahead[:, None] + steps - elapsed, 0.0)  # (k, n)
        credit = stories.credit[:, None] + self._config.lost_share - (steps - 1)
        allowed = (ahead <= jitter + _LATEST) & (credit >= 0.0)
        # Points closer than a period are taken as they come: that makes the motion slower.
        allowed[:, 0] = True
        ahead = np.minimum(ahead, jitter)
        ratios, speed = self._ratios(q, steps, period_s)  # (k, n, 3), (n, 7)
        good = allowed & (ratios <= _SLACK).all(axis=2)
        if not good.any():
            return self._names(np.where(allowed[:, :, None], ratios, np.inf))
        row, column = np.nonzero(good)
        self._stories = self._keep(
            steps[column], stories.last[row], ahead[row, column], credit[row, column]
        )
        self._speed = speed[np.unique(column)].min(axis=0)
        self._points, self._sent_s = [*self._points[-3:], q], sent_s
        return ()

    def _ratios(
        self, q: FloatArray, steps: IntArray, period_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return used parts of the limits (k, n, 3), and speeds (n, 7) [rad/s]."""
        limits, points = self._limits, self._points
        last, before = self._stories.last, self._stories.before
        ratios = np.zeros((len(last), len(steps), 3))
        new_s = steps * period_s
        velocity = (q - points[-1]) / new_s[:, None]  # (n, 7)
        lower, upper = limits.velocity_bounds(points[-1])
        bound = np.maximum(np.where(velocity < 0.0, -lower, upper), 1e-9)
        ratios[:, :, 0] = (np.abs(velocity) / bound).max(axis=1)
        if len(points) == 1:
            # Not seen before: it began from rest, at most two periods earlier.
            reach = limits.ddq_max * (new_s + 2.0 * period_s)[:, None]
            ratios[:, :, 1] = (np.abs(velocity) / reach).max(axis=1)
            return ratios, np.abs(velocity)
        last_s = last * period_s
        slope = (points[-1] - points[-2]) / last_s[:, None]  # (k, 7)
        span = (new_s[None] + last_s[:, None])[:, :, None]  # (k, n, 1)
        bend = 2.0 * (velocity[None] - slope[:, None]) / span
        ratios[:, :, 1] = (np.abs(bend) / limits.ddq_max).max(axis=2)
        if len(points) > 2:
            before_s = before * period_s
            old = (points[-2] - points[-3]) / before_s[:, None]
            old_bend = 2.0 * (slope - old) / (last_s + before_s)[:, None]  # (k, 7)
            jerk = 3.0 * (bend - old_bend[:, None]) / (span + before_s[:, None, None])
            ratios[:, :, 2] = (np.abs(jerk) / limits.dddq_max).max(axis=2)
        return ratios, np.abs(velocity)

    def _names(self, ratios: FloatArray) -> tuple[str, ...]:
        """Return what is broken in the story that breaks least."""
        flat = ratios.reshape(-1, 3)
        flat = flat[np.isfinite(flat).all(axis=1)]
        broken = flat > _SLACK
        best = np.lexsort((flat.max(axis=1), broken.sum(axis=1)))[0]
        return tuple(name for name, is_so in zip(_DERIVATIVES, broken[best], strict=True) if is_so)

    def _fresh(self) -> _Stories:
        one = np.ones(1, dtype=np.int64)
        return _Stories(one, one, np.zeros(1), np.full(1, float(self._config.lost_at_once)))

    def _keep(
        self, last: IntArray, before: IntArray, ahead: FloatArray, credit: FloatArray
    ) -> _Stories:
        """Return one story for each pair of intervals: the one that allows most hereafter."""
        order = np.lexsort((-credit, ahead, before, last))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(last[order]) != 0) | (np.diff(before[order]) != 0)
        kept = order[first]
        if len(kept) > _MOST_STORIES:
            kept = kept[np.argsort(last[kept] + before[kept], kind='stable')[:_MOST_STORIES]]
        credit = np.minimum(credit[kept], float(self._config.lost_at_once))
        return _Stories(last[kept], before[kept], ahead[kept], credit)
