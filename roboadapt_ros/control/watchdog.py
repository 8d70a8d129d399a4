"""When to stop waiting for commands. Time is an argument; nothing here reads a clock."""

from __future__ import annotations

from dataclasses import dataclass
import enum

from roboadapt_ros.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WatchdogConfig:
    """How long silence is borne."""

    hold_periods: float = 2.0
    """Policy periods without an accepted chunk until the arm holds."""
    release_s: float = 0.5
    """Time without an accepted chunk until the arm is ramped down and released [s]."""

    def __post_init__(self) -> None:
        """Check both are positive."""
        if not self.hold_periods > 0 or not self.release_s > 0:
            raise ConfigError('watchdog', (self.hold_periods, self.release_s), 'must be positive')


class Silence(enum.Enum):
    """How long it has been quiet."""

    NONE = 'none'
    """Commands come in time."""
    HOLD = 'hold'
    """Two periods without one: stop and keep the position."""
    RELEASE = 'release'
    """Half a second without one: ramp down, then publish nothing."""


class Watchdog:
    """Counts the time since the last accepted chunk.

    Example: fed at 10.00 s with a period of 0.1 s, it says NONE until 10.20 s, HOLD until
    10.50 s, then RELEASE. Unfed, it says RELEASE.
    """

    def __init__(self, config: WatchdogConfig):
        """Start unfed."""
        self._config = config
        self._hold_ns = 0
        self._fed_ns: int | None = None

    def feed(self, now_ns: int, period_s: float) -> None:
        """Note a command.

        Args:
            now_ns: When it was accepted [ns].
            period_s: The policy's period [s].
        """
        self._fed_ns = now_ns
        self._hold_ns = int(self._config.hold_periods * period_s * 1e9)

    def reset(self) -> None:
        """Forget that there was a command."""
        self._fed_ns = None

    def silence(self, now_ns: int) -> Silence:
        """Return how long it has been quiet at a time [ns]."""
        if self._fed_ns is None:
            return Silence.RELEASE
        # A clock that was set back must not put the watchdog to sleep until it has caught up.
        quiet_ns = abs(now_ns - self._fed_ns)
        if quiet_ns >= self._config.release_s * 1e9:
            return Silence.RELEASE
        return Silence.HOLD if quiet_ns >= self._hold_ns else Silence.NONE

    def quiet_s(self, now_ns: int) -> float:
        """Return the time since the last command [s]; infinite when there was none."""
        return float('inf') if self._fed_ns is None else (now_ns - self._fed_ns) / 1e9
