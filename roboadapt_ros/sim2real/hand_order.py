"""What a hand can be told, how that ends, and how a wanted width becomes orders.

This module imports `errors` and the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
import enum
from typing import NamedTuple

from roboadapt_ros.errors import ConfigError


class HandMode(enum.Enum):
    """What becomes of a wanted width."""

    BINARY = 'binary'
    """Open wide, or grasp; or go to a width between that is wanted for long."""
    WIDTH = 'width'
    """Go there: narrower is a grasp that ends at the width, wider a move."""


class Act(enum.Enum):
    """What a hand can be told."""

    MOVE = 'move'
    GRASP = 'grasp'
    HOME = 'home'
    STOP = 'stop'


class Outcome(enum.Enum):
    """How an order ended."""

    DONE = 'done'
    FAILED = 'failed'
    """It was tried: aborted, or not where it should have gone."""
    UNAVAILABLE = 'unavailable'
    """It was not tried: nobody answers, or the goal was rejected."""


class HandOrder(NamedTuple):
    """One order to send; `number` comes back with its answer."""

    act: Act
    width_m: float
    number: int


@dataclass(frozen=True, kw_only=True)
class HandConfig:
    """How a wanted width becomes orders."""

    mode: HandMode = HandMode.BINARY
    """What becomes of a wanted width."""
    close_below_m: float = 0.02
    """Binary: a width below this is a grasp [m]."""
    open_above_m: float = 0.05
    """Binary: a width above this opens [m]; on the way between the two nothing changes."""
    goes_between: bool = True
    """Binary: whether a width between the two is gone to where it stays for `dwell_s`."""
    change_m: float = 0.005
    """Least change of a width, or of one between, that is worth an order [m]."""
    dwell_s: float = 0.5
    """Least time from the start of an order to that of the next [s]."""
    timeout_s: float = 5.0
    """Longest wait for a result [s]."""
    attempts: int = 2
    """Times one order is tried before it is given up."""
    grasp_takes_anything: bool = False
    """Whether a grasp succeeds at any width: one that fails was then not carried out."""

    def __post_init__(self) -> None:
        """Check the order of the thresholds and the signs."""
        if not 0.0 <= self.close_below_m < self.open_above_m:
            raise ConfigError(
                'gripper.close_below_m',
                self.close_below_m,
                f'must be zero or more and below open_above_m ({self.open_above_m:g})',
            )
        for name in ('change_m', 'timeout_s', 'attempts'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'gripper.{name}', getattr(self, name), 'must be positive')
        if not self.dwell_s >= 0:
            raise ConfigError('gripper.dwell_s', self.dwell_s, 'must be zero or more')
