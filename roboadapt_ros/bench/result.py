"""What a benchmark found, and the JSON every one writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from roboadapt_ros.evaluation.machine import machine_facts


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """Figures by fixed names, and the machine they are from."""

    bench: str
    figures: Mapping[str, float]
    """Units are in the names; counts are whole numbers."""
    machine: Mapping[str, str | int | float] = field(default_factory=machine_facts)
    notes: tuple[str, ...] = ()
    """What a reader of the table should know, for instance what was left out."""

    def plus(self, other: BenchResult) -> BenchResult:
        """Return this with another part's figures and notes after its own."""
        return replace(
            self, figures={**self.figures, **other.figures}, notes=self.notes + other.notes
        )

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that `roboadapt bench NAME --json` writes."""
        return {
            'bench': self.bench,
            'machine': dict(self.machine),
            'figures': dict(self.figures),
        }
