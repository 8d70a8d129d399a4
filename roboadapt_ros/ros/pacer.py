"""A thread that ticks in real time, never faster, and says when it can't keep up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import threading
import time
import traceback


class Pacer:
    """Calls `tick` once a period from its own thread.

    A tick that comes late is followed by shorter waits until the schedule is met again, as
    long as the lag stays within `max_lag_s`; beyond it the time is lost for good, which shows
    in `factor`. Example: period 10 ms, one tick of 25 ms: the next two follow at once.
    """

    def __init__(
        self,
        period_s: float,
        tick: Callable[[], None],
        *,
        max_lag_s: float = 0.03,
        window_s: float = 5.0,
        failed: Callable[[str], None],
        ended: Callable[[], None],
    ):
        """Prepare; `start` begins.

        Args:
            period_s: Time from tick to tick [s].
            tick: Called in the thread.
            max_lag_s: Lag that is caught up [s].
            window_s: Time over which `factor` is taken [s].
            failed: Told the traceback when a tick raised; there are no more ticks then.
            ended: Called in the thread at its end, to free what belongs to it.
        """
        self._period_s, self._tick, self._max_lag_s = period_s, tick, max_lag_s
        self._failed, self._ended = failed, ended
        self._marks: deque[float] = deque(maxlen=max(2, round(window_s / period_s)))
        self._stop = threading.Event()
        self.lost_s = 0.0
        """Time given up since the start [s]."""
        self._thread = threading.Thread(target=self._run, name='pacer', daemon=True)

    def start(self) -> None:
        """Begin ticking."""
        self._thread.start()

    def stop(self) -> None:
        """End after the tick at hand."""
        self._stop.set()
        self._thread.join()

    @property
    def factor(self) -> float:
        """Ticked time by passed time over the window; 1.0 in real time."""
        marks = list(self._marks)
        if len(marks) < 2:
            return 1.0
        return min((len(marks) - 1) * self._period_s / (marks[-1] - marks[0]), 1.0)

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # noqa: BLE001 - the edge of this thread; reported with its traceback
            self._failed(traceback.format_exc())
        finally:
            self._ended()

    def _loop(self) -> None:
        due_s = time.monotonic()
        while not self._stop.is_set():
            self._tick()
            now_s = time.monotonic()
            self._marks.append(now_s)
            due_s += self._period_s
            lag_s = now_s - due_s
            if lag_s > self._max_lag_s:
                self.lost_s += lag_s
                due_s = now_s
            elif lag_s < 0:
                time.sleep(-lag_s)
