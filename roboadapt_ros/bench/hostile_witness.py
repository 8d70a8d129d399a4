"""Who watches the points of a governor under hostile streams, and has them judged.

This module imports numpy and core parts only.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.hostile_arm import HostileArm
from roboadapt_ros.bench.hostile_bounds import demand_of, Narrower
from roboadapt_ros.bench.hostile_config import promise_of
from roboadapt_ros.bench.motion_judge import Demand, MotionJudge, Stretch
from roboadapt_ros.contract import Envelope
from roboadapt_ros.control.governor_config import GovernorConfig
from roboadapt_ros.control.limits import robot_limits

FloatArray = npt.NDArray[np.float64]

TICK_S = 0.01
MEMORY = 2500
"""States that are remembered: a clock that is set back by 20 s makes those of then fresh again."""
_FAR_RAD = 10.0


class CollisionJudge(Protocol):
    """Who looks whether the arm comes too near to itself: see `collision_judge`."""

    def touches(self, stretch: Stretch, least_m: float) -> bool:
        """Return whether it does in a stretch, somewhere nearer than a distance [m]."""


class Witness:
    """Keeps the points between two silences with what was demanded meanwhile, then judges them.

    Example: ``see`` a point at every tick, ``close`` where there is none.
    """

    def __init__(
        self,
        config: GovernorConfig,
        robot: str,
        arm: HostileArm,
        collisions: CollisionJudge | None,
    ):
        """Watch a governor with these settings, whose points go to `arm`."""
        self.judge = MotionJudge(promise_of(config, robot), TICK_S)
        self._collisions, self._arm = collisions, arm
        self._self_distance_min_m = config.self_collision.min_distance_m
        self._margin_rad = config.motion.position_margin_rad
        self._speed = robot_limits(robot).dq_max
        self._demanded: tuple[Envelope | None, Narrower | None] = (None, None)
        self._stretch: Stretch | None = None
        self._timeout_ns = int(config.state_timeout_s * 1e9)
        self._told: deque[tuple[int, FloatArray]] = deque(maxlen=MEMORY)
        self._fresh: list[FloatArray] = []
        self.kept: FloatArray | None = None
        """(7,) what the arm at rest was told to keep [rad]: where the next motion has to start."""

    @property
    def is_moving(self) -> bool:
        """Whether points come."""
        return self._stretch is not None

    def hear(self, q: FloatArray, stamp_ns: int) -> None:
        """Take what the arm has just told: positions [rad], whatever their form, and a stamp."""
        if q.shape == (7,) and (np.abs(q) < _FAR_RAD).all():
            self._told.append((stamp_ns, q))

    def offered(self, now_ns: int) -> None:
        """Note that a chunk is offered now: a motion would start at a state that is fresh now."""
        if self._stretch is None:
            self._fresh = [q for at, q in self._told if abs(now_ns - at) <= self._timeout_ns]

    def narrow(self, narrower: Narrower) -> None:
        """Demand a URDF's limits, too, from the next point on."""
        envelope, before = self._demanded
        if before is not None:
            narrower = (
                np.maximum(before[0], narrower[0]),
                np.minimum(before[1], narrower[1]),
                np.minimum(before[2], narrower[2]),
            )
        self._demand(envelope, narrower)

    def envelop(self, envelope: Envelope | None) -> None:
        """Demand a task's bounds, in place of the last one's, from the next point on."""
        if envelope != self._demanded[0]:
            self._demand(envelope, self._demanded[1])

    def see(self, q: FloatArray, dq: FloatArray) -> None:
        """Take a point (7,) [rad] with its speeds [rad/s], before the arm follows it."""
        if self._stretch is None:
            demands = [(0, self._demand_now())]
            self._stretch = Stretch(rests=self._rests(q), demands=demands)
        self._stretch.q.append(q)
        self._stretch.dq.append(dq)

    def close(self) -> str:
        """Judge the points that ended with this silence.

        Returns:
            All that was found so far, or '' where nothing was found in them.
        """
        if self._stretch is None:
            return ''
        stretch, self._stretch = self._stretch, None
        found = self.judge.judge(stretch)
        if self._collisions is not None and self._collisions.touches(
            stretch, self._self_distance_min_m
        ):
            self.judge.counts['self_collision'] += 1
            found += 1
        return f'{dict(+self.judge.counts)}' if found else ''

    def _demand(self, envelope: Envelope | None, narrower: Narrower | None) -> None:
        self._demanded = envelope, narrower
        if self._stretch is not None:
            self._stretch.demands.append((len(self._stretch.q), self._demand_now()))

    def _demand_now(self) -> Demand | None:
        return demand_of(*self._demanded, self._speed, self._margin_rad)

    def _rests(self, first: FloatArray) -> tuple[FloatArray, ...]:
        """Return where motion may have begun: the last point that was sent, a fresh state."""
        if self.kept is not None:
            return (self.kept,)
        origins = [self._arm.commanded, *self._fresh]
        origins.sort(key=lambda origin: float(np.abs(first - origin).max()))
        return tuple(origins)
