"""How regular and how quick the ticks of a node are, for its own diagnostics."""

from __future__ import annotations

from collections import deque
import time

import numpy as np

WINDOW = 6000
"""Ticks looked back on: a minute at 100 Hz."""


class TickTimes:
    """Times of the last ticks.

    Example: at 100 Hz, ticks that began 0.0, 10.5 and 20.0 ms after the first have intervals
    that are 0.5 ms off; where the point was there 0.2 ms after `begin` and out after 0.5 ms, the
    compute time is 0.2 ms and the tick's 0.5 ms.
    """

    def __init__(self, period_s: float):
        """Start with no ticks of a period [s]."""
        self._period_ms = 1e3 * period_s
        self._compute_ms: deque[float] = deque(maxlen=WINDOW)
        self._tick_ms: deque[float] = deque(maxlen=WINDOW)
        self._off_ms: deque[float] = deque(maxlen=WINDOW)
        self._began_s = 0.0

    def begin(self) -> None:
        """Note that a tick begins."""
        start_s = time.perf_counter()
        if self._began_s:
            self._off_ms.append(abs(1e3 * (start_s - self._began_s) - self._period_ms))
        self._began_s = start_s

    def computed(self) -> None:
        """Note that the tick's result is there."""
        self._compute_ms.append(1e3 * (time.perf_counter() - self._began_s))

    def end(self) -> None:
        """Note that it is published."""
        self._tick_ms.append(1e3 * (time.perf_counter() - self._began_s))

    def values(self) -> dict[str, float]:
        """Return the times of the window [ms], for /diagnostics."""
        values: dict[str, float] = {'ticks': len(self._tick_ms)}
        for name, times in (
            ('compute', self._compute_ms),
            ('tick', self._tick_ms),
            ('jitter', self._off_ms),
        ):
            if times:
                p50, p99, most = np.percentile(times, (50, 99, 100))
                values |= {
                    f'{name}_ms_p50': round(float(p50), 3),
                    f'{name}_ms_p99': round(float(p99), 3),
                    f'{name}_ms_max': round(float(most), 3),
                }
        return values
