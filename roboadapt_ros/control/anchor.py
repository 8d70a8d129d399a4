"""How far a distance can have changed since it was measured, by how far the joints have turned.

Measuring costs more than bounding, and an arm far from everything stays so for many ticks. This
module imports numpy only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

REACH_M = np.array([1.15, 1.15, 0.85, 0.75, 0.4, 0.4, 0.15])
"""(7,) further than any part of arm and hand from each joint's axis [m]."""


class Anchor:
    """One measurement of a distance, and a bound on it elsewhere.

    Example: measured 0.3 m, the distance is at least 0.185 m wherever joint 1 is no more than
    0.1 rad from where it was, the other joints being where they were.
    """

    def __init__(self, reach_m: FloatArray = REACH_M):
        """Start without a measurement.

        Args:
            reach_m: (7,) largest change of the distance for each joint's turn [m/rad].
        """
        self._reach_m = reach_m
        self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self._q, self._distance_m = np.zeros_like(self._reach_m), -np.inf

    def note(self, q: FloatArray, distance_m: float) -> None:
        """Remember a distance [m] at joints (7,) [rad]."""
        self._q, self._distance_m = q, distance_m

    def least(self, q_low: FloatArray, q_high: FloatArray) -> float:
        """Return what the distance is at least, for joints between two bounds (7,) [rad]."""
        away = np.maximum(self._q - q_low, q_high - self._q)
        return self._distance_m - float(self._reach_m @ away)

    def way(self, q_low: FloatArray, q_high: FloatArray) -> float:
        """Return how much the distance changes at most between two bounds (7,) [rad]."""
        return float(self._reach_m @ (q_high - q_low))
