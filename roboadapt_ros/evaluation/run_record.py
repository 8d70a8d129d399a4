"""Everything a demonstration run found, as plain values: what the report is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roboadapt_ros.evaluation.results import EpisodeRecord
from roboadapt_ros.evaluation.statistics import percentile, Proportion, Spread, wilson


@dataclass(frozen=True, kw_only=True)
class SwitchRecord:
    """One applied switch, as the service answered and as the arm moved."""

    from_task: str
    """Task active before ('' = none)."""
    to_task: str
    generation: int
    switch_us: float
    """Time to make the new task active in the running encoder [us]."""
    boundary_ms: float
    """Request to first features of the new task [ms]."""
    frames_dropped: int
    """Exposures between the last frame before and the first frame after."""
    stamp_ns: int
    """When the answer arrived [ns]."""
    speed_rad_s: float
    """Speed of the fastest joint when the switch was asked for [rad/s]."""
    moving: bool
    """Whether the arm was moving under an armed gate when the switch was asked for."""


@dataclass(frozen=True, kw_only=True)
class DemoEpisode:
    """One episode of the demonstration."""

    task: str
    record: EpisodeRecord
    switch: SwitchRecord | None
    """The switch made while the arm was moving in this episode (None: started under its own)."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A picture of a film strip."""

    camera: str
    caption: str
    """What is happening, e.g. '1.2 s, switched'."""
    jpeg: bytes


@dataclass(frozen=True, kw_only=True)
class FilmStrip:
    """Pictures of one episode, phases in order, every camera at every phase."""

    task: str
    title: str
    """Which episode, and how it ended."""
    cameras: tuple[str, ...]
    frames: tuple[Frame, ...]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Commanded joint velocities around one switch."""

    title: str
    times_s: tuple[float, ...]
    """Relative to the switch [s]."""
    velocities: tuple[tuple[float, ...], ...]
    """(n, 7) commanded joint velocities as a part of each joint's limit."""


@dataclass(frozen=True, kw_only=True)
class ModelFact:
    """A model that was served."""

    kind: str
    """'backbone' or 'task'."""
    name: str
    digest: str
    detail: str = ''


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What the limit judge saw."""

    points: Mapping[str, int]
    """Commanded and measured points looked at."""
    used: Mapping[str, float]
    """Largest part of each limit that was used (1.0 = at the limit)."""
    violations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A whole run."""

    started: str
    """Local date and time, ISO 8601."""
    wall_s: float
    tasks: tuple[str, ...]
    episodes: tuple[DemoEpisode, ...]
    switches: tuple[SwitchRecord, ...]
    messages: Mapping[str, int]
    """Messages whose identity was judged, by stage."""
    mixed: tuple[str, ...]
    """A line for each message whose task did not match its generation."""
    stages_ms: Mapping[str, Spread]
    """Time each stage of the latency ledger took [ms], in order."""
    frame_to_command_ms: Spread | None
    """Exposure to published command [ms]."""
    motion: Motion
    refused: Mapping[str, int]
    """What the gate and the governor counted, by cause: refusals, holds, releases."""
    strips: tuple[FilmStrip, ...]
    trace: Trace | None
    models: tuple[ModelFact, ...]
    machine: Mapping[str, str | int | float]
    commands: tuple[str, ...]
    """Shell lines that reproduce the run."""
    is_complete: bool = True
    """False: the run was cut short; `notes` says by what."""
    notes: tuple[str, ...] = ()
    """What a reader must know, such as a machine too slow for the simulator."""

    def proportion(self, task: str) -> Proportion:
        """Return the success of one task."""
        outcomes = [e.record.success for e in self.episodes if e.task == task]
        return wilson(sum(outcomes), len(outcomes))

    @property
    def frames_dropped(self) -> int:
        """Frames lost at all switches together."""
        return sum(switch.frames_dropped for switch in self.switches)

    @property
    def is_sound(self) -> bool:
        """Whether what must be zero is zero and nothing was cut short."""
        failed = self.mixed or self.motion.violations or self.frames_dropped
        return self.is_complete and not failed

    def summary(self) -> dict[str, Any]:
        """Return the mapping `summary.json` holds; names are fixed, more may be added."""
        times = [switch.switch_us for switch in self.switches]
        return {
            'tasks': {
                task: {
                    'episodes': self.proportion(task).trials,
                    'successes': self.proportion(task).successes,
                    'wilson_95': [self.proportion(task).low, self.proportion(task).high],
                }
                for task in self.tasks
            },
            'mixed_task_messages': len(self.mixed),
            'limit_violations': len(self.motion.violations),
            'frames_dropped_at_switch': self.frames_dropped,
            'switches': len(self.switches),
            'switches_while_moving': sum(switch.moving for switch in self.switches),
            'switch_us_p50': percentile(times, 50) if times else None,
            'switch_us_p99': percentile(times, 99) if times else None,
            'wall_s': self.wall_s,
            'messages_judged': sum(self.messages.values()),
            'complete': self.is_complete,
            'notes': list(self.notes),
        }
