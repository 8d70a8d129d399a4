"""When a controller is to begin each message of a stream, by the controller's own clock.

A message that says so is not bent by coming late. This module imports nothing.
"""

from __future__ import annotations

_SPAN_NS = 1_000_000_000
"""Youngest states of this long, and of up to as long before, tell the other clock [ns]."""
_PULL = 0.02
"""Part of what a message is late by which the stream gives up."""


class RemoteClock:
    """Another host's clock, by the stamps of messages from there.

    What is between a stamp and its arrival is the distance of the clocks and the time on the way,
    which is never negative: the least of the last second or two is the distance, and that much of
    the way as every message needs.

    Example: states stamped 1000.000 s and 1000.010 s that came at 5.004 s and 5.012 s are of a
    clock that shows 999.998 s at 5.000 s.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._began_ns: int | None = None
        self._least_ns: int | None = None
        self._before_ns: int | None = None
        """The least of the span before."""

    def observe(self, stamp_ns: int, came_ns: int) -> None:
        """Take a message's stamp [ns], that clock, and when it came [ns], ours; 0 is no stamp."""
        if stamp_ns <= 0:
            return
        apart_ns = came_ns - stamp_ns
        if self._began_ns is None or not 0 <= came_ns - self._began_ns < _SPAN_NS:
            is_next = self._began_ns is not None and 0 <= came_ns - self._began_ns < 2 * _SPAN_NS
            self._before_ns = self._least_ns if is_next else None
            self._began_ns, self._least_ns = came_ns, apart_ns
        elif self._least_ns is None or apart_ns < self._least_ns:
            self._least_ns = apart_ns

    def at(self, time_ns: int) -> int | None:
        """Return what that clock shows at a time [ns] of ours; None where nothing is known."""
        known = [apart for apart in (self._least_ns, self._before_ns) if apart is not None]
        return time_ns - min(known) if known else None


class StreamTimes:
    """Times of a stream's messages, even where they are sent unevenly.

    A sender's tick moves the arm by one period, however late it is. So a message that is sent
    late keeps its place after the one before; what it is late by is made up slowly, for ticks may
    have been left out. One that is too late, as after a silence, begins a stream.

    Example, period 0.02 s, at most 0.04 s late: sent at 5.000, 5.035 and 5.041 s, messages are of
    5.0, 5.0203 and 5.0403 s; one sent at 5.2 s is of 5.2 s.
    """

    def __init__(self, period_s: float, late_max_s: float):
        """Begin with the next message.

        Args:
            period_s: Time from message to message [s].
            late_max_s: Most that one may be late by [s].
        """
        self._period_ns, self._late_max_ns = round(period_s * 1e9), round(late_max_s * 1e9)
        self._last_ns: int | None = None

    def next(self, now_ns: int) -> int:
        """Return the time of the message that is sent now [ns]."""
        if self._last_ns is not None:
            due_ns = self._last_ns + self._period_ns
            late_ns = now_ns - due_ns
            if abs(late_ns) <= self._late_max_ns:
                now_ns = due_ns + round(_PULL * late_ns)
        self._last_ns = now_ns
        return now_ns
