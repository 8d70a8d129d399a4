"""What an evaluation found: one record per episode, and the JSON that holds them."""

from __future__ import annotations

from dataclasses import dataclass
import enum
from typing import Any

from roboadapt_ros.config import to_mapping
from roboadapt_ros.evaluation.statistics import Proportion, wilson


class Through(enum.Enum):
    """Where the episodes ran."""

    ROS = 'ros'
    """Through the whole graph, nodes in separate processes."""
    IN_PROCESS = 'in-process'
    """Through the same core in one process, without ROS."""


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """One judged episode."""

    seed: int
    """Seed of the object poses."""
    success: bool
    duration_s: float
    """From the start of the episode to success or to its end [s]."""
    message: str = ''
    """The judge's words."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """All episodes of one task under one adapter."""

    task: str
    """Task whose success was judged."""
    adapter: str
    """Task package that was served, or 'none' for the bare backbone with the task's head."""
    seed: int
    """Seed of the first episode; episode i used seed + i."""
    through: Through
    records: tuple[EpisodeRecord, ...]
    package_digest: str = ''
    """Digest of the package that was served ('' when not known)."""

    @property
    def episodes(self) -> int:
        """Number of judged episodes."""
        return len(self.records)

    @property
    def successes(self) -> int:
        """Number of successful episodes."""
        return sum(record.success for record in self.records)

    @property
    def proportion(self) -> Proportion:
        """Success rate with its Wilson interval."""
        return wilson(self.successes, self.episodes)

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that `roboadapt eval --json` writes."""
        proportion = self.proportion
        return {
            'episodes': self.episodes,
            'successes': self.successes,
            'wilson_95': [proportion.low, proportion.high],
            'task': self.task,
            'adapter': self.adapter,
            'seed': self.seed,
            'through': self.through.value,
            'package_digest': self.package_digest,
            'records': to_mapping(self.records),
        }
