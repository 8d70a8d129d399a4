"""How episodes are run: what is asked of a rig, in which order, and what counts.

The rig is anything that offers `EpisodeRig`: the running graph, or a fake in a test. Time
passes inside its `wait`, so a test runs the same protocol in no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from roboadapt_ros.dataflow import NO_ADAPTERS
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.evaluation.results import EpisodeRecord
from roboadapt_ros.evaluation.run_record import DemoEpisode, SwitchRecord

POLL_S = 0.05
"""How often the judge is asked [s]."""


@dataclass(frozen=True, kw_only=True)
class JudgeView:
    """The judge's view of the running episode."""

    task: str
    seed: int
    running: bool
    success: bool
    elapsed_s: float
    message: str


class EpisodeRig(Protocol):
    """What a protocol asks of a rig. Every call returns when done, or raises."""

    def reset(self, task: str, seed: int) -> None:
        """Close the gate, place the objects, start the judge's clock."""

    def switch(self, adapter: str) -> SwitchRecord:
        """Switch to a task package, or 'none:<task>'."""

    def arm(self) -> None:
        """Open the gate, as soon as a command for the present scene is there."""

    def disarm(self) -> None:
        """Close the gate and wait until the arm is held by its controller."""

    def judge(self) -> JudgeView:
        """Return the latest view of the episode."""

    def joint_speed_rad_s(self) -> float:
        """Return the measured speed of the fastest joint."""

    def wait(self, duration_s: float) -> None:
        """Let time pass; raise when a process of the graph has ended."""


@dataclass(frozen=True, kw_only=True)
class EpisodePlan:
    """One episode to run."""

    task: str
    """Task whose success is judged."""
    adapter: str
    """Task package that decides the outcome, or 'none:<task>'."""
    seed: int
    start_adapter: str | None = None
    """Package the episode starts under; it is switched away from while the arm moves."""
    handover_s: float = 0.0
    """When, after arming [s]."""


@dataclass(frozen=True, kw_only=True)
class EpisodeRules:
    """When an episode is over whatever the judge says, and what counts as moving."""

    timeout_s: float = field(
        default=60.0, metadata={'help': 'longest wait for the judge', 'unit': 's'}
    )
    moving_rad_s: float = field(
        default=0.03,
        metadata={'help': 'joint speed above which the arm moves', 'unit': 'rad/s'},
    )
    moving_wait_s: float = field(
        default=2.0, metadata={'help': 'longest wait for the arm to move', 'unit': 's'}
    )


def run_episode(rig: EpisodeRig, plan: EpisodePlan, rules: EpisodeRules) -> DemoEpisode:
    """Run one episode from reset to the judge's verdict.

    Raises:
        BringupError: The judge reached no verdict in time, or the graph broke down.
    """
    rig.reset(plan.task, plan.seed)
    rig.switch(plan.start_adapter or plan.adapter)
    rig.arm()
    switch = None
    if plan.start_adapter is not None and _start_moving(rig, plan.handover_s, rules):
        switch = rig.switch(plan.adapter)
    view = _await_verdict(rig, plan, rules)
    rig.disarm()
    record = EpisodeRecord(
        seed=plan.seed, success=view.success, duration_s=view.elapsed_s, message=view.message
    )
    return DemoEpisode(task=plan.task, record=record, switch=switch)


def _start_moving(rig: EpisodeRig, handover_s: float, rules: EpisodeRules) -> bool:
    """Wait for the handover and for motion; return whether the episode still runs."""
    rig.wait(handover_s)
    waited_s = 0.0
    while rig.joint_speed_rad_s() < rules.moving_rad_s and waited_s < rules.moving_wait_s:
        rig.wait(POLL_S)
        waited_s += POLL_S
    return rig.judge().running


def _await_verdict(rig: EpisodeRig, plan: EpisodePlan, rules: EpisodeRules) -> JudgeView:
    waited_s = 0.0
    while waited_s < rules.timeout_s:
        view = rig.judge()
        if not view.running:
            return view
        rig.wait(POLL_S)
        waited_s += POLL_S
    raise BringupError(
        f'The judge of {plan.task} (seed {plan.seed}) reached no verdict in '
        f'{rules.timeout_s:g} s; see the log of sim_rig_node'
    )


def alternate(
    tasks: Sequence[str], *, episodes: int, seed: int, handover_s: tuple[float, float]
) -> Iterator[EpisodePlan]:
    """Yield `episodes` of each task in turn, each handed over from the one before.

    The first episode runs under its own adapter throughout. Every later one starts under
    the previous task's, which sets the arm moving toward its own goal; between the two
    handover times the task is switched in motion, and the episode's own task must be done
    from wherever the arm is.

    Args:
        tasks: At least two task names.
        episodes: Episodes of each.
        seed: Seed of the first episode and of the handover times; later ones count up.
        handover_s: Earliest and latest handover after arming [s].

    Raises:
        ConfigError: Fewer than two tasks, no episodes, or times that are not in order.
    """
    if len(tasks) < 2:
        raise ConfigError('tasks', tuple(tasks), 'must be at least two, to switch between them')
    if episodes < 1:
        raise ConfigError('episodes', episodes, 'must be at least 1')
    if not 0 <= handover_s[0] <= handover_s[1]:
        raise ConfigError('handover_s', handover_s, 'must be two times in order, 0 or later')
    rng = np.random.default_rng(seed)
    for index in range(episodes * len(tasks)):
        task, before = tasks[index % len(tasks)], tasks[(index - 1) % len(tasks)]
        yield EpisodePlan(
            task=task,
            adapter=task,
            seed=seed + index,
            start_adapter=before if index else None,
            handover_s=float(rng.uniform(*handover_s)),
        )


def repeat(task: str, adapter: str, *, episodes: int, seed: int) -> Iterable[EpisodePlan]:
    """Return the plans of an evaluation: episode i has seed `seed` + i.

    Args:
        task: Task whose success is judged.
        adapter: Task package, or 'none': the bare backbone under the task's own head.
        episodes: Number of episodes.
        seed: Seed of the first.

    Raises:
        ConfigError: No episodes.
    """
    if episodes < 1:
        raise ConfigError('episodes', episodes, 'must be at least 1')
    served = f'{NO_ADAPTERS}{task}' if adapter == 'none' else adapter
    return [EpisodePlan(task=task, adapter=served, seed=seed + i) for i in range(episodes)]
