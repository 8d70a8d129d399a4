"""Small statistics with their uncertainty: proportions and percentiles.

Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference",
JASA 22:209-212, as computed by `scipy.stats.binomtest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError

CONFIDENCE = 0.95
"""Level of every interval this project reports."""


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """How often something happened, with its Wilson interval.

    Example: 9 of 10 is 0.90, interval [0.596, 0.982]; 0 of 0 is unknown, [0, 1].
    """

    successes: int
    trials: int
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    @property
    def rate(self) -> float:
        """Observed proportion; NaN without trials."""
        return self.successes / self.trials if self.trials else float('nan')

    def __str__(self) -> str:
        """Return '9 of 10 (90 %, 95 % interval 60 to 98 %)'."""
        if not self.trials:
            return '0 of 0'
        return (
            f'{self.successes} of {self.trials} ({100 * self.rate:.0f} %, '
            f'95 % interval {100 * self.low:.0f} to {100 * self.high:.0f} %)'
        )


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Where a set of measurements lies, in their own unit."""

    count: int
    p50: float
    p99: float
    maximum: float


def wilson(successes: int, trials: int) -> Proportion:
    """Return the proportion with its 95 % Wilson score interval.

    Args:
        successes: How often it happened.
        trials: How often it was tried.

    Raises:
        ConfigError: Negative counts, or more successes than trials.
    """
    if not 0 <= successes <= trials:
        raise ConfigError('successes', successes, f'must be 0..{trials} (the number of trials)')
    if trials == 0:
        return Proportion(successes=0, trials=0, low=0.0, high=1.0)
    # scipy.stats takes half a second to import; only the reports need it.
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method='wilson')
    return Proportion(
        successes=successes, trials=trials, low=float(interval.low), high=float(interval.high)
    )


def percentile(values: Sequence[float] | npt.NDArray[np.float64], level: float) -> float:
    """Return the value at or below which `level` percent of the measurements lie.

    The result is always one of the measurements (numpy's `inverted_cdf`), so a p99 of fewer
    than 100 measurements is their largest.

    Raises:
        ConfigError: No measurements, or a level outside 0..100.
    """
    if len(values) == 0:
        raise ConfigError('values', '[]', 'must hold at least one measurement')
    if not 0 <= level <= 100:
        raise ConfigError('level', level, 'must be 0..100')
    return float(np.percentile(np.asarray(values, float), level, method='inverted_cdf'))


def spread(values: Sequence[float] | npt.NDArray[np.float64]) -> Spread:
    """Return count, p50, p99 and maximum of at least one measurement.

    Raises:
        ConfigError: No measurements.
    """
    return Spread(
        count=len(values),
        p50=percentile(values, 50),
        p99=percentile(values, 99),
        maximum=float(np.max(np.asarray(values, float))),
    )
