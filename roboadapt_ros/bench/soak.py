"""`roboadapt bench soak`: the demo tasks for half an hour of robot time, switched at random.

The simulated rig judges what it receives by the limits of Franka's control interface and ends
a motion that breaks one. Governed, there must be no error; without the governor the same
policy output must raise some, or the checker would prove nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
import time
from typing import Protocol

import numpy as np
from roboadapt_ros.bench.live_rig import LiveRig
from roboadapt_ros.bench.observer import COMMAND_PERIOD_S, GraphObserver
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.protocol import EpisodeRules, JudgeView, POLL_S
from roboadapt_ros.learning.progress import Progress, silent

EPISODE_S = 5.0
"""Commanded time of an episode, roughly: what the number of switches in it is planned with."""


@dataclass(frozen=True, kw_only=True)
class SoakConfig:
    """Settings of the soak."""

    tasks: tuple[str, ...] = field(
        default=('lift_red', 'push_blue'), metadata={'help': 'tasks to run and switch among'}
    )
    minutes: float = field(
        default=30.0, metadata={'help': 'time for which the arm is commanded', 'unit': 'min'}
    )
    switches: int = field(default=200, metadata={'help': 'switches at random times meanwhile'})
    seed: int = field(default=0, metadata={'help': 'seed of scenes, tasks and times'})
    in_process: bool = field(
        default=False, metadata={'help': 'run without ROS, on simulated time'}
    )
    governor: bool = field(
        default=True,
        metadata={'help': 'whether the governor is in the loop; without it: in process'},
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        if len(self.tasks) < 2:
            raise ConfigError('tasks', self.tasks, 'must be at least two, to switch between them')
        for name in ('minutes', 'switches'):
            if not getattr(self, name) > 0:
                raise ConfigError(name, getattr(self, name), 'must be positive')

    @property
    def needs_graph(self) -> bool:
        """Whether the whole graph is brought up."""
        return self.governor and not self.in_process


class SoakRig(Protocol):
    """What the soak asks of a rig: an episode's calls, and what its judges have counted."""

    def reset(self, task: str, seed: int) -> None:
        """Close the gate, place the objects, start the judge's clock."""

    def switch(self, adapter: str) -> bool:
        """Switch to a task package; return whether the arm moved."""

    def arm(self) -> None:
        """Open the gate."""

    def disarm(self) -> None:
        """Close the gate and wait until the arm is let go."""

    def judge(self) -> JudgeView:
        """Return how the episode stands."""

    def wait(self, duration_s: float) -> None:
        """Let time pass."""

    @property
    def robot_s(self) -> float:
        """Time the arm was commanded [s]."""

    @property
    def stops(self) -> int:
        """How often the robot stopped with an error."""

    @property
    def errors(self) -> Counter[str]:
        """The errors it named; one stop may have several."""

    def mixed_messages(self) -> int:
        """Return the messages that mixed two tasks."""

    def limit_violations(self) -> int:
        """Return the points beyond the arm's limits."""


class LiveSoak:
    """The running graph as a `SoakRig`."""

    def __init__(self, graph: Graph, rules: EpisodeRules):
        """Listen to `graph`."""
        self._observer = GraphObserver(graph.client, graph.rig)
        self._observer.start()
        self._rig = LiveRig(graph, self._observer, moving_rad_s=rules.moving_rad_s)
        self.reset, self.disarm = self._rig.reset, self._rig.disarm
        self.arm, self.judge, self.wait = self._rig.arm, self._rig.judge, self._rig.wait

    def switch(self, adapter: str) -> bool:
        """Switch to a task package; return whether the arm moved."""
        return self._rig.switch(adapter).moving

    @property
    def robot_s(self) -> float:
        """Time the arm was commanded [s]."""
        return len(self._observer.commands) * COMMAND_PERIOD_S

    @property
    def stops(self) -> int:
        """How often the robot stopped with an error."""
        return len(self._observer.robot_errors)

    @property
    def errors(self) -> Counter[str]:
        """The errors it named."""
        return Counter(name for text in self._observer.robot_errors for name in text.split(', '))

    def mixed_messages(self) -> int:
        """Return the messages that mixed two tasks."""
        return self._observer.identities.finish()

    def limit_violations(self) -> int:
        """Return the points beyond the arm's limits."""
        return len(self._observer.motion.violations)

    def real_time_factor(self) -> float:
        """Return how fast the simulated rig ran."""
        return float(np.median(self._observer.real_time_factors or [0.0]))


def run(graph: Graph, config: SoakConfig, progress: Progress = silent) -> BenchResult:
    """Soak a graph that is up.

    Raises:
        BringupError: A process ended, or something did not answer.
        RefusedError: A switch or arming was refused.
    """
    rig = LiveSoak(graph, EpisodeRules())
    result = _soak(rig, config, progress)
    return result.plus(
        BenchResult(bench='soak', figures={'real_time_factor_p50': rig.real_time_factor()})
    )


def run_alone(models: Path, config: SoakConfig, progress: Progress = silent) -> BenchResult:
    """Soak in this process, on simulated time.

    Raises:
        RoboAdaptError: A package is missing or can't be read.
    """
    from roboadapt_ros.bench.soak_loop import SimulatedSoak

    progress(0, 0, 'loading the tasks')
    rig = SimulatedSoak(models, config.tasks, governed=config.governor)
    started_s = time.monotonic()
    try:
        result = _soak(rig, config, progress)
    finally:
        rig.close()
    factor = rig.robot_s / (time.monotonic() - started_s)
    return result.plus(BenchResult(bench='soak', figures={'commanded_by_passed_time': factor}))


def _soak(rig: SoakRig, config: SoakConfig, progress: Progress) -> BenchResult:
    """Run episodes until both the time and the switches are full."""
    rng = np.random.default_rng(config.seed)
    counts: Counter[str] = Counter()
    total_s = 60.0 * config.minutes
    while rig.robot_s < total_s or counts['switches'] < config.switches:
        progress(
            round(rig.robot_s),
            round(total_s),
            f'{counts["switches"]} switches, {rig.stops} stops of the robot',
        )
        due = config.switches * (rig.robot_s + EPISODE_S) / total_s - counts['switches']
        task = config.tasks[counts['episodes'] % len(config.tasks)]
        success = _episode(rig, task, config, round(max(due, 0.0)), rng, counts)
        counts['episodes'] += 1
        counts['successes'] += success
    figures = {
        'robot_minutes': rig.robot_s / 60.0,
        'switches': counts['switches'],
        'switches_while_moving': counts['moving'],
        'robot_errors': rig.stops,
        'limit_violations': rig.limit_violations(),
        'mixed_messages': rig.mixed_messages(),
        'episodes': counts['episodes'],
        'successes': counts['successes'],
    }
    figures |= {f'error_{name}': count for name, count in sorted(rig.errors.items())}
    return BenchResult(bench='soak', figures=figures)


def _episode(
    rig: SoakRig,
    task: str,
    config: SoakConfig,
    switches: int,
    rng: np.random.Generator,
    counts: Counter[str],
) -> bool:
    """Run one episode with so many switches at random times, the last one to its own task."""
    rig.reset(task, config.seed + counts['episodes'])
    served = [task]
    for _ in range(switches):
        served.append(str(rng.choice([name for name in config.tasks if name != served[-1]])))
    rig.switch(served.pop())
    rig.arm()
    while served:
        rig.wait(float(rng.uniform(0.1, 1.0)))
        counts['moving'] += rig.switch(served.pop())
        counts['switches'] += 1
    success = _await_verdict(rig, EpisodeRules().timeout_s)
    rig.disarm()
    return success


def _await_verdict(rig: SoakRig, timeout_s: float) -> bool:
    """Return whether the episode succeeded; one without a verdict in time did not."""
    for _ in range(round(timeout_s / POLL_S)):
        view = rig.judge()
        if not view.running:
            return view.success
        rig.wait(POLL_S)
    return False
