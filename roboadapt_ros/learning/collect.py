"""`roboadapt collect`: demonstrations of a scripted expert on the simulated rig.

Episodes run through the same loop as evaluation (bridge and governor included). In part of
them the executed motion is disturbed, or driven by a learned policy, while every state is
labelled with what the expert would do from there ("DART", CoRL 2017,
https://arxiv.org/abs/1703.09327; "DAgger", AISTATS 2011, https://arxiv.org/abs/1011.0686).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import ActionSpace, Contract
from roboadapt_ros.dataflow import ActionChunk, EE_POSE_NAMES, Identity, LatencyLedger
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.evaluation.inprocess import LearnedPolicy, load_policy
from roboadapt_ros.evaluation.loop import ClosedLoop, make_sim_rig, Observation
from roboadapt_ros.learning.contracts import sim_contract
from roboadapt_ros.learning.dataset import EPISODES, require_task
from roboadapt_ros.learning.episode import Episode, OBJECTS, save_episode
from roboadapt_ros.learning.progress import Progress, silent, Tell, untold
from roboadapt_ros.learning.settings import CollectConfig
from roboadapt_ros.sim.expert import Motion
from roboadapt_ros.sim.experts import make_expert
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.tasks import make_task


def rig_contract(rig: SimRig) -> Contract:
    """Return the contract of tasks recorded on `rig`, cameras at their nominal pose."""
    return sim_contract({name: rig.camera_model(name) for name in rig.camera_names})


def plan_chunk(
    plan: npt.NDArray[np.float64], observation: Observation, contract: Contract, task: str
) -> ActionChunk:
    """Return an expert's plan (H, 8) as the chunk that answers to an observation."""
    stamps = (observation.stamp_ns,) * len(contract.cameras)
    return ActionChunk(
        stamp_ns=observation.stamp_ns,
        identity=Identity(
            task=task, package_digest='expert', generation=1, frame_stamps_ns=stamps
        ),
        ledger=LatencyLedger(exposure=observation.stamp_ns),
        space=ActionSpace.EE_POSE,
        names=EE_POSE_NAMES,
        period_s=contract.period_s,
        start_ns=observation.stamp_ns,
        actions=plan,
    )


class Disturbance:
    """A slowly wandering offset (Ornstein-Uhlenbeck) added to executed positions."""

    def __init__(self, rng: np.random.Generator, deviation_m: float, correlation: float = 0.85):
        """Start at rest; `correlation` is that of successive periods."""
        self._rng, self._deviation, self._correlation = rng, deviation_m, correlation
        self._offset = np.zeros(3)

    def __call__(self, plan: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the plan (H, 8) with its positions moved by the present offset."""
        kick = np.sqrt(1.0 - self._correlation**2) * self._deviation
        self._offset = self._correlation * self._offset + kick * self._rng.normal(size=3)
        moved = plan.copy()
        moved[:, :3] += self._offset
        return moved


class Recorder:
    """Records episodes of one task."""

    def __init__(self, config: CollectConfig, rig: SimRig, policy: LearnedPolicy | None):
        """Build the expert, the judge and the loop."""
        self.config, self.rig, self.policy = config, rig, policy
        self.contract = rig_contract(rig)
        self.loop = ClosedLoop(rig, self.contract)
        self.expert, self.judge = make_expert(config.task), make_task(config.task)

    def record(self, seed: int) -> Episode:
        """Run and record one episode."""
        rng = np.random.default_rng(seed)
        self.loop.reset(seed, latency_s=float(rng.uniform(0.03, 0.1)))
        drive = self._driver(rng)
        self.judge.start(self.rig)
        rows: list[tuple[Observation, npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        success, left = False, round(self.config.time_limit_s * self.contract.rate_hz)
        while left > 0:
            observation = self.loop.observe()
            plan = self.expert.plan(
                self.rig,
                self.contract.chunk_length,
                self.contract.period_s,
                commanded=Motion(observation.state.ee_commanded, self.loop.wanted_velocity()),
            )
            objects = np.array([self.rig.object_pose(name)[0] for name in OBJECTS])
            rows.append((observation, plan, objects))
            self.loop.run_period(drive(observation, plan))
            outcome = self.judge.outcome(self.rig)
            if outcome.success and not success:
                success, left = True, min(left, self.config.linger_steps + 1)
            left = 0 if outcome.failed else left - 1
        return _episode(rows, success, self.config.task)

    def _driver(
        self, rng: np.random.Generator
    ) -> Callable[[Observation, npt.NDArray[np.float64]], ActionChunk | None]:
        """Return what turns an observation and the expert's plan into the executed chunk."""
        if self.policy is not None:
            return self._policy_driver(rng, self.policy)
        noisy = rng.random() < self.config.noisy_share
        deviation = self.config.noise_m * rng.uniform(0.5, 1.5) if noisy else 0.0
        disturb = Disturbance(rng, deviation)
        return lambda observation, plan: plan_chunk(
            disturb(plan), observation, self.contract, self.config.task
        )

    def _policy_driver(
        self, rng: np.random.Generator, policy: LearnedPolicy
    ) -> Callable[[Observation, npt.NDArray[np.float64]], ActionChunk | None]:
        """Let the policy drive, with stretches of about a second by the expert."""
        policy.activate(self.config.task, self.config.task)
        policy.policies.reset()
        expert_drives = False

        def drive(observation: Observation, plan: npt.NDArray[np.float64]) -> ActionChunk | None:
            nonlocal expert_drives
            if rng.random() < self.contract.period_s:
                expert_drives = bool(rng.random() < self.config.expert_share)
            try:
                chunk = policy(observation, lambda: self.loop.now_ns)
            except RefusedError:
                chunk = None
            if expert_drives or chunk is None:
                chunk = plan_chunk(plan, observation, self.contract, self.config.task)
            return chunk

        return drive


def _episode(
    rows: list[tuple[Observation, npt.NDArray[np.float64], npt.NDArray[np.float64]]],
    success: bool,
    task: str,
) -> Episode:
    """Stack recorded steps."""
    seen = [row[0] for row in rows]
    return Episode(
        frames={n: np.stack([o.frames[n] for o in seen]) for n in seen[0].frames},
        stamps_ns=np.array([o.stamp_ns for o in seen]),
        q=np.stack([o.state.q for o in seen]),
        dq=np.stack([o.state.dq for o in seen]),
        ee_position=np.stack([o.state.ee_position for o in seen]),
        ee_quat_xyzw=np.stack([o.state.ee_quat_xyzw for o in seen]),
        ee_commanded=np.stack([o.state.ee_commanded for o in seen]),
        gripper_width_m=np.array([o.state.gripper_width_m for o in seen]),
        plan=np.stack([row[1] for row in rows]),
        objects=np.stack([row[2] for row in rows]),
        success=success,
        task=task,
    )


def collect(
    config: CollectConfig, progress: Progress = silent, tell: Tell = untold
) -> tuple[int, int]:
    """Record episodes; those already on disk are kept, so a stopped run goes on.

    Episodes in which an undisturbed or disturbed expert failed are kept out; with a policy
    driving, failures are what the labels are for and stay in.

    Args:
        config: Settings.
        progress: Told after every episode.
        tell: Told what is odd about the episodes that are there.

    Returns:
        Episodes on disk and successes among those run now.

    Raises:
        TrainingError: The folder holds episodes of another task.
    """
    require_task((config.out,), config.task, tell)
    config.out.mkdir(parents=True, exist_ok=True)
    policy = None if config.policy is None else load_policy(config.policy, config.task)
    rig = make_sim_rig(config.seed)
    recorder = Recorder(config, rig, policy)
    ran = successes = 0
    for index in range(config.episodes):
        path = config.out / f'episode_{config.seed + index:07d}.npz'
        if not path.exists():
            episode = recorder.record(config.seed + index)
            ran += 1
            successes += episode.success
            if episode.success or policy is not None:
                save_episode(path, episode)
        progress(index + 1, config.episodes, f'{successes} of {ran} succeeded')
    rig.close()
    return len(list(config.out.glob(EPISODES))), successes
