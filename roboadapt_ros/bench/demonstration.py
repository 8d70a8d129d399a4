"""`roboadapt demo`: two tasks in turn on a running graph, every switch made in motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
import time

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.live_rig import LiveRig
from roboadapt_ros.bench.observer import COMMAND_PERIOD_S, GraphObserver, PAUSE_S
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.machine import machine_facts
from roboadapt_ros.evaluation.protocol import alternate, EpisodePlan, EpisodeRules, run_episode
from roboadapt_ros.evaluation.recording import FilmRecorder
from roboadapt_ros.evaluation.run_record import (
    DemoEpisode,
    FilmStrip,
    ModelFact,
    Motion,
    RunRecord,
    SwitchRecord,
    Trace,
)
from roboadapt_ros.evaluation.statistics import spread

FILM_PHASES = 6
TRACE_S = 1.0
"""Commanded motion shown before and after a switch [s]."""
KEEPS_UP = 0.9
"""Part of real time below which the simulated rig's pace is mentioned."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Settings of the demonstration."""

    tasks: tuple[str, ...] = field(
        default=('lift_red', 'push_blue'), metadata={'help': 'two or more tasks, in turn'}
    )
    episodes: int = field(default=10, metadata={'help': 'episodes of each task'})
    seed: int = field(default=1000, metadata={'help': 'seed of the first episode'})
    handover_s: tuple[float, ...] = field(
        default=(0.3, 0.8),
        metadata={'help': 'earliest and latest switch after arming', 'unit': 's'},
    )
    budget_s: float = field(
        default=330.0,
        metadata={'help': 'wall-clock time after which no episode begins', 'unit': 's'},
    )

    def __post_init__(self) -> None:
        """Check the times."""
        if len(self.handover_s) != 2:
            raise ConfigError('handover_s', self.handover_s, 'must be two times')
        if not self.budget_s > 0:
            raise ConfigError('budget_s', self.budget_s, 'must be positive')

    def plans(self) -> list[EpisodePlan]:
        """Return the episodes in order; raises `ConfigError` where they make no sense."""
        window = (self.handover_s[0], self.handover_s[1])
        return list(
            alternate(self.tasks, episodes=self.episodes, seed=self.seed, handover_s=window)
        )


class Demonstration:
    """One run over a graph that is up; collects what the report needs."""

    def __init__(
        self,
        graph: Graph,
        config: DemoConfig,
        *,
        started_s: float,
        progress: Callable[[int, int, str], None],
    ):
        """Prepare.

        Args:
            graph: A running graph with a simulated rig.
            config: Settings.
            started_s: `time.monotonic` when the whole run began; the budget counts from there.
            progress: Told after every episode, and of every switch.
        """
        self._graph, self._config = graph, config
        self._started_s, self._progress = started_s, progress
        self._started = time.strftime('%Y-%m-%dT%H:%M:%S')
        rules = EpisodeRules()
        self._observer = GraphObserver(graph.client, graph.rig)
        self._rig = _FilmedRig(graph, self._observer, moving_rad_s=rules.moving_rad_s)
        self._rules = rules
        self._episodes: list[DemoEpisode] = []
        self._strips: dict[str, tuple[bool, FilmStrip]] = {}
        self._notes: list[str] = []
        self._is_complete = True

    def run(self) -> RunRecord:
        """Run the episodes and return what was found."""
        plans = self._config.plans()
        self._observer.start()
        for number, plan in enumerate(plans):
            if time.monotonic() - self._started_s > self._config.budget_s:
                self._is_complete = False
                self._notes.append(
                    f'The wall-clock budget of {self._config.budget_s:g} s ended the run after '
                    f'{number} of {len(plans)} episodes.'
                )
                break
            self._progress(number, len(plans), self._tally(plan))
            episode = run_episode(self._rig, plan, self._rules)
            self._episodes.append(episode)
            self._keep_film(plan, episode)
        self._progress(len(self._episodes), len(plans), 'writing the report')
        return self._record()

    def _tally(self, plan: EpisodePlan) -> str:
        counts = [
            f'{task} {sum(e.record.success for e in done)}/{len(done)}'
            for task in self._config.tasks
            if (done := [e for e in self._episodes if e.task == task])
        ]
        return f'running {plan.task}' + (f' (so far: {", ".join(counts)})' if counts else '')

    def _keep_film(self, plan: EpisodePlan, episode: DemoEpisode) -> None:
        """Keep the strip of a task's first good episode, handed over ones preferred."""
        result = episode.record
        rank = result.success and episode.switch is not None
        kept = self._strips.get(plan.task)
        if kept is not None and (kept[0] or not rank):
            return
        ending = 'succeeded' if result.success else f'did not succeed ({result.message})'
        began = (
            f' It began under {episode.switch.from_task}, and was switched while the arm moved.'
            if episode.switch
            else ''
        )
        title = (
            f'{plan.task}, seed {result.seed}: {ending} after {result.duration_s:.1f} s.{began}'
        )
        if episode.switch:
            self._rig.film.mark(0.0, f'under {episode.switch.from_task}')
        self._rig.film.end('success' if result.success else 'end')
        strip = self._rig.film.strip(plan.task, title, phases=FILM_PHASES)
        self._strips[plan.task] = (rank, strip)

    def _record(self) -> RunRecord:
        observer = self._observer
        self._note_pace(observer.real_time_factors)
        switches = self._rig.switches()
        observer.identities.finish()
        ledgers = observer.ledgers
        return RunRecord(
            started=self._started,
            wall_s=round(time.monotonic() - self._started_s, 1),
            tasks=self._config.tasks,
            episodes=tuple(self._episodes),
            switches=switches,
            messages=dict(observer.identities.counts),
            mixed=tuple(
                f'{m.stage}: {m.identity.task} ({m.identity.package_digest[:12]}) under '
                f'generation {m.identity.generation}, which is {m.expected[0]}'
                for m in observer.identities.mixed
            ),
            stages_ms=ledgers.stages_ms(),
            frame_to_command_ms=spread(ledgers.total_ms) if ledgers.total_ms else None,
            motion=Motion(
                points=dict(observer.motion.counts),
                used=dict(observer.motion.used),
                violations=tuple(observer.limit_violations()),
            ),
            refused=dict(observer.refused()),
            strips=tuple(strip for _, strip in self._strips.values()),
            trace=switch_trace(observer.commands, switches, observer.dq_max),
            models=_models(self._graph),
            machine=machine_facts(),
            commands=self._commands(),
            is_complete=self._is_complete,
            notes=tuple(self._notes),
        )

    def _note_pace(self, factors: list[float]) -> None:
        """Say so where the simulated rig could not keep up with real time."""
        if factors and float(np.median(factors)) < KEEPS_UP:
            self._notes.append(
                f'The simulated rig ran at {np.median(factors):.2f} of real time: this machine '
                'is too slow or too busy for the figures to mean much.'
            )

    def _commands(self) -> tuple[str, ...]:
        config = self._config
        return (
            f'roboadapt demo --tasks {" ".join(config.tasks)} --episodes {config.episodes} '
            f'--seed {config.seed}',
            *(
                f'roboadapt eval --task {task} --adapter {task} --episodes 50 --seed 5000 '
                f'--json {task}.json'
                for task in config.tasks
            ),
            'roboadapt bench switch --json switch.json',
        )


class _FilmedRig(LiveRig):
    """A live rig that films each episode from reset to verdict."""

    def __init__(self, graph: Graph, observer: GraphObserver, *, moving_rad_s: float):
        super().__init__(graph, observer, moving_rad_s=moving_rad_s)
        self.film = FilmRecorder()
        self._latest: dict[str, npt.NDArray[np.uint8]] = {}
        self._is_filming = False
        self._cameras = tuple(camera.name for camera in graph.rig.cameras)
        observer.on_frame = self._on_frame

    def reset(self, task: str, seed: int) -> None:
        """Begin a new film with the new scene."""
        self._is_filming = False
        super().reset(task, seed)
        self.film.clear()
        self._latest.clear()
        self._is_filming = True

    def switch(self, adapter: str) -> SwitchRecord:
        """Switch, and mark the moment where the arm was moving."""
        record = super().switch(adapter)
        if record.moving:
            self.film.mark((record.stamp_ns - self.scene_ns) / 1e9, f'switched to {adapter}')
        return record

    def disarm(self) -> None:
        """End the film with the episode."""
        self._is_filming = False
        super().disarm()

    def _on_frame(self, camera: str, stamp_ns: int, frame_rgb: npt.NDArray[np.uint8]) -> None:
        """Keep the frames of one exposure together; called in the client's thread."""
        if not self._is_filming or stamp_ns < self.scene_ns:
            return
        self._latest[camera] = frame_rgb
        if len(self._latest) == len(self._cameras):
            frames = {name: self._latest[name] for name in self._cameras}
            self.film.add((stamp_ns - self.scene_ns) / 1e9, frames)
            self._latest.clear()


def switch_trace(
    commands: list[tuple[int, npt.NDArray[np.float64]]],
    switches: Iterable[SwitchRecord],
    dq_max: npt.NDArray[np.float64],
) -> Trace | None:
    """Return commanded velocities around the switch that found the arm fastest.

    Args:
        commands: (stamp [ns], (7,) positions [rad]) of successive points.
        switches: Switches of the run.
        dq_max: (7,) the robot's joint speed limits [rad/s].

    Returns:
        The trace, or None when no switch was made in motion.
    """
    moving = [switch for switch in switches if switch.moving]
    if not moving or len(commands) < 2:
        return None
    switch = max(moving, key=lambda s: s.speed_rad_s)
    asked_ns = switch.stamp_ns - int(switch.boundary_ms * 1e6)
    times = (np.array([stamp for stamp, _ in commands]) - asked_ns) / 1e9
    # Only the stretch without a pause that holds the switch: before it, another episode ended.
    stretch = np.concatenate([[0], np.cumsum(np.diff(times) > PAUSE_S)])
    is_same = stretch == stretch[min(int(np.searchsorted(times, 0.0)), len(times) - 1)]
    near = np.flatnonzero(is_same & (np.abs(times) <= TRACE_S))
    if len(near) < 2:
        return None
    q = np.array([commands[index][1] for index in near])
    parts = np.diff(q, axis=0) / COMMAND_PERIOD_S / dq_max
    return Trace(
        title=f'{switch.from_task} to {switch.to_task}, generation {switch.generation}.',
        times_s=tuple(times[near[1:]].round(3).tolist()),
        velocities=tuple(map(tuple, parts.round(5).tolist())),
    )


def _models(graph: Graph) -> tuple[ModelFact, ...]:
    """Return the models the encoder serves, as it says, and its check of the backbone."""
    served, check = graph.client.list_adapters(), graph.client.verify_base()
    state = 'unchanged after the run' if check.intact else f'NOT INTACT: {check.message}'
    tasks: Mapping[str, str] = served.resident
    return (
        ModelFact(
            kind='backbone',
            name=served.backbone_id,
            digest=served.backbone_digest,
            detail=f'digest and probe features {state}',
        ),
        *(ModelFact(kind='task', name=name, digest=digest) for name, digest in tasks.items()),
    )
