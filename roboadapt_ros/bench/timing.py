"""Times of things that are compared, taken in turn in one process.

Another process on the machine, or a change of its clock, then meets all of them alike. The
ratio of two is taken round by round, and the median over the rounds is what is reported; the
ratio of the fastest times and the quartiles stand beside it to show what noise there was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import gc
import time

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError

WARM_UP_ROUNDS = 3
"""Rounds before those that count: kernels are chosen and caches filled in them."""


@dataclass(frozen=True)
class Timings:
    """What `interleave` measured.

    Example: with 2, 4 and 3 s under 'a' and 1, 1 and 1 s under 'b', the ratio of 'a' to 'b' is
    3, the ratio of the fastest 2, and the quartiles lie 1 apart.
    """

    seconds: Mapping[str, npt.NDArray[np.float64]]
    """Time of each round [s] by name; a round has one of every name."""

    def median_s(self, name: str) -> float:
        """Return the median time [s]."""
        return float(np.median(self.seconds[name]))

    def ratio(self, name: str, base: str) -> float:
        """Return the median over the rounds of one time by the other."""
        return float(np.median(self._ratios(name, base)))

    def ratio_of_fastest(self, name: str, base: str) -> float:
        """Return the shortest time by the other's shortest."""
        return float(self.seconds[name].min() / self.seconds[base].min())

    def ratio_iqr(self, name: str, base: str) -> float:
        """Return the distance of the quartiles of the rounds' ratios."""
        low, high = np.percentile(self._ratios(name, base), (25, 75))
        return float(high - low)

    def figures(self, prefix: str, name: str, base: str) -> dict[str, float]:
        """Return figures of `name` by `base`: ratio, noise, and both times in ms."""
        return {
            f'{prefix}_ratio': self.ratio(name, base),
            f'{prefix}_ratio_fastest': self.ratio_of_fastest(name, base),
            f'{prefix}_ratio_iqr': self.ratio_iqr(name, base),
            f'{prefix}_ms': 1e3 * self.median_s(name),
            f'{prefix}_base_ms': 1e3 * self.median_s(base),
        }

    def _ratios(self, name: str, base: str) -> npt.NDArray[np.float64]:
        return self.seconds[name] / self.seconds[base]


def interleave(
    subjects: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    each: Callable[[int], None] = lambda done: None,
) -> Timings:
    """Call every subject once a round, every other round in the opposite order.

    Args:
        subjects: What to time, by name.
        rounds: Rounds that count.
        each: Told the number of rounds done after each.

    Raises:
        ConfigError: No rounds.
    """
    if rounds < 1:
        raise ConfigError('rounds', rounds, 'must be 1 or more')
    for _ in range(WARM_UP_ROUNDS):
        for subject in subjects.values():
            subject()
    seconds = {name: np.empty(rounds) for name in subjects}
    collects = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            for name in list(subjects)[:: 1 if number % 2 else -1]:
                start_s = time.perf_counter()
                subjects[name]()
                seconds[name][number] = time.perf_counter() - start_s
            each(number + 1)
    finally:
        if collects:
            gc.enable()
    return Timings(seconds)
