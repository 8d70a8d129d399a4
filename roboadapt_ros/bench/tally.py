"""What hostile sequences found, added up over batches and processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

BINS_PER_MS = 100


@dataclass(frozen=True)
class Batch:
    """What is to be done, small enough to be sent to another process."""

    seed: int
    number: int
    sequences: int


@dataclass
class Tally:
    """What was found; tallies add up."""

    sequences: int = 0
    ticks: int = 0
    points: int = 0
    moving: int = 0
    """Points away from the one before."""
    accepted: int = 0
    refused: int = 0
    unresponsive: int = 0
    """Ticks without a defined answer, and batches after which a good chunk was not followed."""
    violations: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    used: dict[str, float] = field(default_factory=dict)
    tick_times: Counter[int] = field(default_factory=Counter)
    """Ticks by the processor time they took, in steps of 1 / BINS_PER_MS ms."""
    first: str = ''
    """Where the first trouble was, for a person who wants to see it again."""

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        for name in ('sequences', 'ticks', 'points', 'moving', 'accepted', 'refused'):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unresponsive += other.unresponsive
        for name in ('violations', 'kinds', 'causes', 'tick_times'):
            getattr(self, name).update(getattr(other, name))
        for name, part in other.used.items():
            self.used[name] = max(self.used.get(name, 0.0), part)
        self.first = self.first or other.first

    def tick_ms(self, percent: float) -> float:
        """Return the processor time of a tick that this part [%] stayed within [ms]."""
        left = self.tick_times.total() * percent / 100.0
        for step in sorted(self.tick_times):
            left -= self.tick_times[step]
            if left <= 0:
                return (step + 1) / BINS_PER_MS
        return 0.0
