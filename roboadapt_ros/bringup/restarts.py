"""Which processes of a graph may be started again by themselves, and how often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
import time

from roboadapt_ros.bringup.processes import ProcessDescription

MOST_RESTARTS = 3
WITHIN_S = 600.0
"""More restarts than that in this time: the cause is not chance, and a person has to look."""


class Restarts:
    """Counts the restarts of each process.

    None of them opens the gate, which closes where chunks, states or the governor are missing.

    Example::

        if refusal := restarts.claim(description):
            raise process.fail(refusal)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Begin with no restarts; `clock` gives the time [s]."""
        self._clock = clock
        self._times_s: dict[str, list[float]] = defaultdict(list)

    def claim(self, process: ProcessDescription) -> str:
        """Count a restart, or return why there must be none; '' where it may be started."""
        if process.no_restart:
            return process.no_restart
        now_s = self._clock()
        recent = [at_s for at_s in self._times_s[process.name] if now_s - at_s < WITHIN_S]
        if len(recent) >= MOST_RESTARTS:
            return f'it was started again {len(recent)} times in {WITHIN_S / 60:g} minutes'
        self._times_s[process.name] = [*recent, now_s]
        return ''
