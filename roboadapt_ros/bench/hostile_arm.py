"""An arm that does not always do what it is told, nor always say what it does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Measured = tuple[FloatArray, FloatArray, float, int]

MS = 1_000_000
MANNERS = ('follows', 'lags', 'noisy', 'frozen', 'pushed', 'silent', 'late', 'early', 'odd')
_SHARES = (0.5, 0.15, 0.15, 0.03, 0.04, 0.03, 0.04, 0.02, 0.04)


FOLDED = (
    (0.55, 0.54, -0.36, -2.83, 0.05, 1.70, 0.77),  # fingers, hand, links 5 to 7 and the base
    (1.38, 0.51, 0.14, -2.88, -0.94, 1.74, 1.12),
    (-0.16, 1.45, -0.02, -2.32, -1.40, 0.93, 0.37),
    (-0.84, 1.08, 0.01, -2.91, 0.14, 1.40, 1.02),
    (0.17, 0.99, -0.58, -2.90, 1.05, 0.61, -0.16),
    (0.90, -0.84, -0.03, -2.95, -0.55, 1.00, 1.11),  # the same and the column
    (0.87, -0.42, -0.47, -2.97, -1.04, 0.87, 0.37),
    (0.23, 0.77, 0.03, -2.86, -1.33, 1.39, -0.04),
    (-0.97, -0.32, 0.62, -2.84, 0.59, 0.71, 0.94),  # and the upper arm
    (0.47, -0.59, 1.12, -2.92, -1.27, 2.15, 1.23),
)
"""Poses within the ends of both arms [rad] in which the arm would be in itself."""


class HostileArm:
    """Where the arm is, and what it tells the governor.

    Example: in the manner 'lags' it goes a fifth of the way to its command at each tick; in
    'silent' it says nothing; in 'odd' it says NaN, six joints, or degrees.
    """

    def __init__(
        self, rng: np.random.Generator, low: FloatArray, high: FloatArray, home: FloatArray
    ):
        """Put it somewhere between its ends (7,) [rad], at rest."""
        self._rng, self._low, self._high, self._home = rng, low, high, home
        self.manner, self.width_m = 'follows', 0.04
        self.carry()
        self.commanded = self.q
        """(7,) the last point it was sent [rad]; before the first, where it is."""

    def carry(self) -> None:
        """Put it elsewhere, at rest: near its usual pose, folded, anywhere, or near an end."""
        rng, middle = self._rng, (self._low + self._high) / 2.0
        self.dq = np.zeros(7)
        if rng.random() < 0.1:
            folded = np.array(FOLDED[rng.integers(len(FOLDED))])
            self.q = self._home + rng.uniform(0.3, 1.0) * (folded - self._home)
            return
        if rng.random() < 0.6:
            self.q = np.clip(self._home + rng.normal(size=7) * 0.15, self._low, self._high)
            return
        share = float(rng.choice([0.1, 0.6, 0.9, 0.999]))
        spread = rng.uniform(-1.0, 1.0, 7) * (self._high - self._low) / 2.0
        self.q = middle + share * spread

    def go_home(self) -> None:
        """Be at rest at its usual pose."""
        self.q, self.dq = self._home.copy(), np.zeros(7)

    def draw_manner(self) -> None:
        """Take on another manner."""
        self.manner = str(self._rng.choice(MANNERS, p=_SHARES))
        if self.manner == 'pushed':
            push = self._rng.normal(size=7) * float(self._rng.choice([0.02, 0.2, 1.0]))
            self.q = np.clip(self.q + push, self._low, self._high)

    def behave(self) -> None:
        """Follow and tell the truth from now on."""
        self.manner = 'follows'

    def follow(self, q: FloatArray, dq: FloatArray, width_m: float) -> None:
        """Take a point (7,) [rad], its speeds [rad/s] and the fingers' distance [m]."""
        self.commanded = q
        if self.manner != 'frozen':
            self.width_m = width_m
        if self.manner == 'frozen':
            self.dq = np.zeros(7)
        elif self.manner in ('lags', 'pushed'):
            self.q, self.dq = self.q + 0.2 * (q - self.q), dq
        else:
            self.q, self.dq = q, dq

    def measure(self, now_ns: int) -> Measured | None:
        """Return positions, speeds, gripper's width and stamp, or None for silence."""
        rng, q, dq, stamp_ns = self._rng, self.q, self.dq, now_ns
        if self.manner == 'silent':
            return None
        if self.manner == 'odd':
            return self._odd(now_ns)
        if self.manner == 'noisy':
            q = q + rng.normal(size=7) * 2e-3
            dq = dq + rng.normal(size=7) * 2e-2
        elif self.manner == 'late':
            stamp_ns -= int(rng.choice([5, 40, 99, 101, 3000])) * MS
        elif self.manner == 'early':
            stamp_ns += int(rng.choice([1, 15, 90, 110, 60_000])) * MS
        return q, dq, self.width_m, stamp_ns

    def _odd(self, now_ns: int) -> Measured:
        odd = (np.full(7, np.nan), self.q[:6], self.q[:, None], np.degrees(self.q), self.q * 1e300)
        return odd[self._rng.integers(len(odd))], self.dq, self.width_m, now_ns
