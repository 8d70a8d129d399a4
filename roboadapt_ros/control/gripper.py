"""Calm commands for a gripper: clamped, with hysteresis, a least dwell and a limited speed.

A Franka hand takes up to a second for a command, so a noisy width must not become a stream of
reversals. This module imports the standard library and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from roboadapt_ros.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GripperLimitConfig:
    """How calm the gripper is."""

    hysteresis_m: float = 0.005
    """A target nearer to the last one than this changes nothing [m]."""
    dwell_s: float = 0.3
    """Least time between two reversals of direction [s]."""
    speed_m_s: float = 0.2
    """Largest speed of the commanded width [m/s]; the hand itself reaches about 0.1..0.4."""
    snap_m: float = 0.003
    """A target within this of an end goes to the end [m]."""
    jam_s: float = 3.0
    """Time in which fingers that should open must have moved [s]: a Franka hand takes up to one
    second to begin; infinite: they are not watched."""
    jam_m: float = 0.01
    """How far short of the wanted width fingers may stay [m]."""

    def __post_init__(self) -> None:
        """Check the signs."""
        for name in ('hysteresis_m', 'dwell_s', 'snap_m'):
            if not getattr(self, name) >= 0:
                raise ConfigError(f'gripper.{name}', getattr(self, name), 'must be zero or more')
        for name in ('speed_m_s', 'jam_s', 'jam_m'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'gripper.{name}', getattr(self, name), 'must be positive')


class GripperLimiter:
    """Turns wanted widths into commanded ones.

    Example: at 0.08 m, a target of 0.02 m moves the command by 0.002 m each 10 ms; a target of
    0.08 m within 0.3 s of that change is not followed until the 0.3 s are over.
    """

    def __init__(self, config: GripperLimitConfig, width_max_m: float):
        """Store the limits; the gripper does nothing before `reset`."""
        self._config, self._width_max_m = config, width_max_m
        self._goal_m = self._width_m = 0.0
        self._direction = 0
        self._changed_ns: int | None = None

    @property
    def width_m(self) -> float:
        """The commanded width [m]."""
        return self._width_m

    @property
    def goal_m(self) -> float:
        """The width the command is on its way to [m]."""
        return self._goal_m

    def reset(self, width_m: float) -> None:
        """Start from a measured width [m], at rest."""
        self._goal_m = self._width_m = self._clamp(width_m)
        self._direction, self._changed_ns = 0, None

    def aim(self, width_m: float, now_ns: int) -> None:
        """Take a wanted width [m]; hysteresis and dwell decide whether it becomes the goal."""
        wanted = self._clamp(width_m)
        change = wanted - self._goal_m
        if change == 0.0 or (
            abs(change) <= self._config.hysteresis_m and wanted not in (0.0, self._width_max_m)
        ):
            return
        direction = 1 if change > 0 else -1
        dwelt_s = math.inf if self._changed_ns is None else abs(now_ns - self._changed_ns) / 1e9
        if direction == -self._direction and dwelt_s < self._config.dwell_s:
            return
        if direction != self._direction:
            self._direction, self._changed_ns = direction, now_ns
        self._goal_m = wanted

    def step(self, dt_s: float) -> float:
        """Move the command towards the goal for a time [s] and return it [m]."""
        reach = self._config.speed_m_s * dt_s
        self._width_m += min(max(self._goal_m - self._width_m, -reach), reach)
        return self._width_m

    def _clamp(self, width_m: float) -> float:
        """Return the width within the hand's range, snapped to its ends; NaN changes nothing."""
        if not math.isfinite(width_m):
            return self._goal_m
        width_m = min(max(float(width_m), 0.0), self._width_max_m)
        if width_m <= self._config.snap_m:
            return 0.0
        if width_m >= self._width_max_m - self._config.snap_m:
            return self._width_max_m
        return width_m


class JamWatch:
    """Notices fingers that do not open.

    Fingers that do not close are held apart by what they grasp, which is their purpose; so only
    opening is watched.

    Example, fingers at 0.02 m with 0.08 m wanted: 3 s without a move of 1 mm are a jam.
    """

    _PROGRESS_M = 0.001

    def __init__(self, config: GripperLimitConfig):
        """Store the bounds; nothing is wanted yet."""
        self._config = config
        self._from_m, self._since_ns = 0.0, 0
        self._is_waiting = False

    def reset(self) -> None:
        """Forget what was seen."""
        self._is_waiting = False

    def observe(self, goal_m: float, width_m: float, now_ns: int) -> str | None:
        """Take what is wanted and measured.

        Args:
            goal_m: Width the command is on its way to [m].
            width_m: Measured width [m].
            now_ns: Time now [ns].

        Returns:
            What is wrong with the hand, or None.
        """
        if goal_m - width_m <= self._config.jam_m:
            self._is_waiting = False
            return None
        has_moved = abs(width_m - self._from_m) > self._PROGRESS_M
        if not self._is_waiting or has_moved or now_ns < self._since_ns:
            self._is_waiting, self._from_m, self._since_ns = True, width_m, now_ns
        if now_ns - self._since_ns < self._config.jam_s * 1e9:
            return None
        return (
            f'the fingers do not open: {width_m:.3f} m for {self._config.jam_s:g} s, '
            f'{goal_m:.3f} m wanted'
        )
