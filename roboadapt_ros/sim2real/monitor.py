"""Gaps worth watching: in a stream's timing, and between what was commanded and measured.

Time is an argument. This module imports numpy only.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class StreamReport(NamedTuple):
    """How a stream comes in, over the window."""

    rate_hz: float
    """Mean rate [Hz]; 0 with fewer than two messages."""
    longest_gap_s: float
    """Longest time between two messages, or since the last one [s]."""
    age_p99_s: float
    """99th percentile of the age at arrival [s]; 0 without messages."""
    out_of_order: int
    """Messages older than one before, since the start."""


class StreamMonitor:
    """Watches the timing of one stream.

    Example: messages received at 0.0, 0.1 and 0.5 s give 4 Hz and a longest gap of 0.4 s.
    """

    def __init__(self, window: int = 100):
        """Keep the last `window` messages."""
        self._times: deque[tuple[int, int]] = deque(maxlen=window)
        self._newest_stamp_ns = 0
        self._out_of_order = 0

    def note(self, stamp_ns: int, received_ns: int) -> None:
        """Note a message.

        Args:
            stamp_ns: Its own stamp [ns].
            received_ns: When it came [ns].
        """
        self._out_of_order += stamp_ns < self._newest_stamp_ns
        self._newest_stamp_ns = max(stamp_ns, self._newest_stamp_ns)
        self._times.append((stamp_ns, received_ns))

    def report(self, now_ns: int) -> StreamReport:
        """Return how the stream came in up to now [ns]."""
        if not self._times:
            return StreamReport(0.0, float('inf'), 0.0, self._out_of_order)
        stamps, received = np.array(self._times, dtype=np.int64).T
        span_s = (received[-1] - received[0]) / 1e9
        gaps_s = np.diff(np.append(received, now_ns)) / 1e9
        return StreamReport(
            rate_hz=float((len(received) - 1) / span_s) if span_s > 0 else 0.0,
            longest_gap_s=float(gaps_s.max()),
            age_p99_s=float(np.percentile((received - stamps) / 1e9, 99)),
            out_of_order=int(self._out_of_order),
        )


class TrackingReport(NamedTuple):
    """How far the arm was from its commands, over the window."""

    rms_rad: float
    """Root mean square over joints and time [rad]."""
    worst_rad: float
    """Largest distance of a joint [rad]."""
    worst_joint: int
    """Which joint that was, from 0."""


class TrackingMonitor:
    """Watches the distance between commanded and measured joints."""

    def __init__(self, window: int = 200):
        """Keep the last `window` pairs."""
        self._errors: deque[FloatArray] = deque(maxlen=window)

    def note(self, commanded: FloatArray, measured: FloatArray) -> None:
        """Note a pair of positions (7,) [rad]."""
        self._errors.append(np.asarray(commanded, float) - np.asarray(measured, float))

    def report(self) -> TrackingReport | None:
        """Return how far the arm was, or None before the first pair."""
        if not self._errors:
            return None
        errors = np.abs(np.array(self._errors))
        joint = int(errors.max(axis=0).argmax())
        return TrackingReport(
            float(np.sqrt((errors**2).mean())), float(errors[:, joint].max()), joint
        )
