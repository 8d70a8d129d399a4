"""The arm as it was last measured, and whether that may be moved on.

This module imports numpy, `limits` and `errors` only.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.errors import RefusedError

FloatArray = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """One measured state."""

    q: FloatArray
    """(7,) [rad]."""
    dq: FloatArray
    """(7,) [rad/s]."""
    gripper_width_m: float
    stamp_ns: int


class MeasuredState:
    """Keeps the newest good measurement.

    Example: after a state stamped 10.00 s, one stamped 9.99 s or with a NaN is only counted;
    at 10.11 s, with a timeout of 0.1 s, the state is stale.
    """

    def __init__(self, limits: RobotLimits, timeout_s: float):
        """Start without a measurement.

        Args:
            limits: The arm's own limits.
            timeout_s: Oldest state that may be moved on [s].
        """
        self._limits, self._timeout_s = limits, timeout_s
        self.newest: Measured | None = None
        self.counts: Counter[str] = Counter()
        """States that were dropped, by cause."""

    def observe(
        self, q: FloatArray, dq: FloatArray, gripper_width_m: float, stamp_ns: int
    ) -> None:
        """Take a measurement, or count why not; see `Governor.observe`."""
        q, dq = np.array(q, dtype=np.float64), np.array(dq, dtype=np.float64)
        is_well_formed = q.shape == dq.shape == (JOINTS,) and bool(
            np.isfinite(q).all() and np.isfinite(dq).all() and np.isfinite(gripper_width_m)
        )
        if not is_well_formed or stamp_ns <= 0:
            self.counts['bad_state'] += 1
        elif self._is_reordered(stamp_ns):
            self.counts['reordered_state'] += 1
        else:
            self.newest = Measured(q, dq, float(gripper_width_m), stamp_ns)

    def _is_reordered(self, stamp_ns: int) -> bool:
        """Return whether a state is a little older than the newest.

        One that is much older comes from a clock that was set back: it is taken, and it is
        stale by itself where it is not.
        """
        behind_ns = 0 if self.newest is None else self.newest.stamp_ns - stamp_ns
        return 0 < behind_ns <= self._timeout_s * 1e9

    def fresh(self, now_ns: int) -> Measured:
        """Return the newest state.

        Raises:
            RefusedError: 'not_ready' before the first, 'state_stale' when it is too old.
        """
        if self.newest is None:
            raise RefusedError('not_ready', 'no joint state was received')
        trouble = self.staleness(now_ns)
        if trouble is not None:
            raise RefusedError('state_stale', trouble)
        return self.newest

    def check_rest(self, most_rad_s: float) -> None:
        """Refuse to start from an arm that moves faster than a speed [rad/s].

        Raises:
            RefusedError: 'moving'.
        """
        speed = 0.0 if self.newest is None else float(np.abs(self.newest.dq).max())
        if speed > most_rad_s:
            raise RefusedError(
                'moving', f'the arm moves at {speed:.2f} rad/s; let it come to rest'
            )

    def staleness(self, now_ns: int) -> str | None:
        """Return how old the newest state is, where that is too old, or too far ahead.

        A stamp from the future says nothing about the age of what it is on.
        """
        age_s = np.inf if self.newest is None else (now_ns - self.newest.stamp_ns) / 1e9
        if abs(age_s) <= self._timeout_s:
            return None
        if age_s < 0.0:
            return f'joint state is {-age_s:.3f} s ahead; are the clocks synchronised?'
        return f'joint state is {age_s:.3f} s old, at most {self._timeout_s:g} s'

    def distance(self, q: FloatArray, most_rad: float) -> str | None:
        """Return how far the arm is from a command (7,) [rad], where that is too far."""
        if self.newest is None:
            return None
        error = np.abs(q - self.newest.q)
        joint = int(np.argmax(error))
        if error[joint] <= most_rad:
            return None
        name = self._limits.joint_names[joint]
        return f'{name} is {error[joint]:.3f} rad from its command, at most {most_rad:g} rad'
