"""Episodes of a learned policy in one process: `roboadapt eval --in-process`."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path

from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import load_package, TaskPackage
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.evaluation.loop import ClosedLoop, make_sim_rig, Observation
from roboadapt_ros.evaluation.results import EpisodeRecord, EvaluationResult, Through
from roboadapt_ros.policy.policy import TaskPolicies
from roboadapt_ros.sim.tasks import make_task, Task

logger = logging.getLogger(__name__)

NO_ADAPTER = 'none'
"""Adapter name for the bare backbone with the judged task's own head."""


class LearnedPolicy:
    """Encoder and heads behind one call: an observation to a chunk."""

    def __init__(self, encoder: TaskEncoder, policies: TaskPolicies):
        """Serve whatever the encoder has active."""
        self.encoder, self.policies = encoder, policies

    def add(self, package: TaskPackage) -> None:
        """Make a task resident in both."""
        self.encoder.add(package)
        note = self.encoder.note(package.task)
        if note:
            logger.warning("Task '%s': %s", package.task, note)
        self.policies.add(package)

    def activate(self, task: str, adapter: str) -> str:
        """Serve `adapter` (a task package, or 'none' for `task` without adapters).

        Returns:
            The digest of the package served.
        """
        served = task if adapter == NO_ADAPTER else adapter
        activation = self.encoder.activate(served, with_adapters=adapter != NO_ADAPTER)
        return activation.package_digest

    def __call__(self, observation: Observation, clock: Callable[[], int]) -> ActionChunk:
        """Return the chunk that answers to an observation."""
        stamps = dict.fromkeys(observation.frames, observation.stamp_ns)
        features = self.encoder.encode(observation.frames, stamps, clock(), clock)
        return self.policies.act(features, observation.state, clock)


def run_episode(loop: ClosedLoop, policy: LearnedPolicy, task: Task, seed: int) -> EpisodeRecord:
    """Run one episode until success, failure or the time limit."""
    loop.reset(seed)
    policy.policies.reset()
    task.start(loop.rig)
    started_s = loop.rig.time_s
    while True:
        observation = loop.observe()
        try:
            chunk = policy(observation, lambda: loop.now_ns)
        except RefusedError as error:
            loop.refusals[error.cause] += 1
            chunk = None
        loop.run_period(chunk)
        outcome = task.outcome(loop.rig)
        if outcome.success or outcome.failed:
            return EpisodeRecord(
                seed=seed,
                success=outcome.success,
                duration_s=loop.rig.time_s - started_s,
                message=outcome.message,
            )


def run_episodes(
    models_dir: Path,
    task: str,
    adapter: str,
    episodes: int,
    seed: int,
    progress: Callable[[int, int, str], None],
    threads: int = 1,
    engine: EngineKind = EngineKind.TORCH,
) -> EvaluationResult:
    """Judge one task under one adapter over randomised scenes.

    Args:
        models_dir: Folder holding `backbones/` and `tasks/`.
        task: Task whose success is judged.
        adapter: Task package to serve, or 'none'.
        episodes: Number of episodes.
        seed: Episode i uses seed + i.
        progress: Told after every episode.
        threads: Threads of the encoder's engine.
        engine: What runs the backbone.

    Raises:
        RoboAdaptError: A name is unknown or a package can't be read.
    """
    judge = make_task(task)
    served = task if adapter == NO_ADAPTER else adapter
    policy = load_policy(models_dir, served, threads, engine)
    digest = policy.activate(task, adapter)
    rig = make_sim_rig(seed)
    loop = ClosedLoop(rig, policy.encoder.contract(served))
    records: list[EpisodeRecord] = []
    for index in range(episodes):
        records.append(run_episode(loop, policy, judge, seed + index))
        successes = sum(record.success for record in records)
        progress(index + 1, episodes, f'{successes} of {index + 1}')
    rig.close()
    return EvaluationResult(
        task=task,
        adapter=adapter,
        seed=seed,
        through=Through.IN_PROCESS,
        records=tuple(records),
        package_digest=digest,
    )


def load_policy(
    models_dir: Path, task: str, threads: int = 1, engine: EngineKind = EngineKind.TORCH
) -> LearnedPolicy:
    """Load the backbone of a task's package, and the task, from `models_dir`."""
    package = load_package(TaskLibrary(models_dir / 'tasks').path(task))
    backbone_id = package.manifest.backbone_id
    encoder = load_encoder(models_dir, backbone_id, kind=engine, threads=threads)
    policy = LearnedPolicy(encoder, TaskPolicies())
    policy.add(package)
    return policy
