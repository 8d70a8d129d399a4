"""`roboadapt train`: clone an expert into one task's adapters and head.

Two stages over the frozen backbone. First the head and the top adapter learn from the bare
backbone's final tokens, computed once. Then the bottom and middle adapters join: a fresh
adapter is exactly the identity, so the second stage starts where the first ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import math
import time

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.package import Normaliser, TaskPackage, VERSION_MARK
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.config import to_mapping
from roboadapt_ros.contract import Contract
from roboadapt_ros.errors import PackageError
from roboadapt_ros.files import require_free
from roboadapt_ros.learning.checkpoint import Checkpoint, Done, Part
from roboadapt_ros.learning.dataset import (
    data_hash,
    episode_paths,
    load_samples,
    require_task,
    Samples,
)
from roboadapt_ros.learning.model import TaskModel
from roboadapt_ros.learning.packaging import package_task
from roboadapt_ros.learning.plan import make_plan, Plan
from roboadapt_ros.learning.pretrain import cosine
from roboadapt_ros.learning.progress import Progress, silent, Tell, untold
from roboadapt_ros.learning.settings import TrainConfig
import torch
import torch.nn.functional as F


def fit_normaliser(samples: Samples) -> Normaliser:
    """Return means and deviations over all steps; each row of a chunk has its own.

    Deviations have floors (1 mm), so that a column that never varies stays finite.
    """
    flat = samples.actions.reshape(len(samples.actions), -1)
    return Normaliser(
        proprio_mean=tuple(samples.proprio.mean(0).tolist()),
        proprio_std=tuple(np.maximum(samples.proprio.std(0), 1e-3).tolist()),
        action_mean=tuple(flat.mean(0).tolist()),
        action_std=tuple(np.maximum(flat.std(0), 1e-3).tolist()),
    )


@dataclass(frozen=True)
class _Tensors:
    """Training arrays as tensors, normalised."""

    images: torch.Tensor
    proprio: torch.Tensor
    actions: torch.Tensor
    objects: torch.Tensor
    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def _tensors(samples: Samples, normaliser: Normaliser) -> _Tensors:
    """Normalise, and hold out every twentieth episode."""
    flat = samples.actions.reshape(len(samples.actions), -1)

    def scale(values: npt.NDArray[np.float64], mean: object, std: object) -> torch.Tensor:
        return torch.from_numpy(((values - np.array(mean)) / np.array(std)).astype(np.float32))

    held_out = samples.episode % 20 == 19
    return _Tensors(
        torch.from_numpy(samples.images),
        scale(samples.proprio, normaliser.proprio_mean, normaliser.proprio_std),
        scale(flat, normaliser.action_mean, normaliser.action_std),
        scale(samples.objects, samples.objects.mean(0), np.maximum(samples.objects.std(0), 0.01)),
        np.flatnonzero(~held_out),
        np.flatnonzero(held_out),
    )


def _jitter(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Vary brightness and contrast of each image of a uint8 batch (B, n, S, S, 3)."""
    shape = (*images.shape[:2], 1, 1, 1)
    gain = 1.0 + strength * (2 * torch.rand(shape) - 1)
    shift = 255 * strength * 0.5 * (2 * torch.rand(shape) - 1)
    return ((images.float() - 127.5) * gain + 127.5 + shift).clamp_(0, 255)


class Trainer:
    """Runs the two stages of one task."""

    def __init__(self, plan: Plan, samples: Samples):
        """Build the model and normalise the data."""
        self.plan, self.config, self.contract = plan, plan.config, plan.contract
        start = plan.start
        self.normaliser = start.manifest.normaliser if start else fit_normaliser(samples)
        self.data = _tensors(samples, self.normaliser)
        objects_size = samples.objects.shape[1]
        self.model = TaskModel(
            plan.backbone, plan.adapters, plan.head, objects_size, self.config.dropout
        )
        if start is not None:
            self._start_from(start)
        self.rng = np.random.default_rng(self.config.seed)

    def _start_from(self, package: TaskPackage) -> None:
        """Load a package's adapters and head."""
        for part, module in (('adapters', self.model.adapters), ('head', self.model.head)):
            module.load_state_dict(
                {name: torch.from_numpy(t.copy()) for name, t in package.part(part).items()}
            )

    def loss(self, features: torch.Tensor, index: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return the cloning loss plus the weighted position loss."""
        actions, objects = self.model(features, self.data.proprio[index])
        cloning = F.smooth_l1_loss(actions, self.data.actions[index], beta=0.2)
        positions = F.smooth_l1_loss(objects, self.data.objects[index], beta=0.2)
        return cloning + self.config.probe_weight * positions

    def first_stage(self, progress: Progress) -> None:
        """Train the head and the top adapter on the bare backbone's tokens."""
        tokens = self._bare_map(progress)
        config = self.config
        optimiser = self._optimiser()
        held_out = self._held_out_top(tokens)
        self.model.train()
        for step in range(config.top_steps):
            self._set_rate(optimiser, step, config.top_steps)
            index = self.rng.choice(self.data.train, config.top_batch)
            features = self.model.top_features(tokens[index].float())
            value = self._step(optimiser, self.loss(features, index))
            if (step + 1) % 200 == 0:
                held_out = self._held_out_top(tokens)
            progress(step + 1, config.top_steps, f'top: loss {value:.4f}, {self._told(held_out)}')

    def second_stage(self, progress: Progress, checkpoint: Checkpoint) -> Done:
        """Train all adapters and the head end to end through the frozen backbone.

        Returns:
            What was done, by this process and by those it went on from.
        """
        config = self.config
        optimiser = self._optimiser()
        before = checkpoint.restore(self.model, optimiser) if config.resume else Done()
        held_out = self.held_out()
        self.model.train()
        for step in range(before.step, config.steps):
            self._set_rate(optimiser, step, config.steps)
            index = self.rng.choice(self.data.train, config.batch)
            images = _jitter(self.data.images[index], config.brightness)
            value = self._step(optimiser, self.loss(self.model.features(images), index))
            if (step + 1) % 200 == 0:
                held_out = self.held_out()
            if (step + 1) % config.checkpoint_every == 0:
                checkpoint.save(self.model, optimiser, self._done(before, step + 1))
            progress(step + 1, config.steps, f'all: loss {value:.4f}, {self._told(held_out)}')
        return self._done(before, config.steps)

    def _done(self, before: Done, step: int) -> Done:
        part = (Part(to=step, of=self.config.steps),) if step > before.step else ()
        seconds = before.seconds + time.monotonic() - self.plan.began
        return Done(parts=before.parts + part, seconds=round(seconds, 1))

    @torch.inference_mode()
    def held_out(self) -> float:
        """Return the loss on (at most 512 steps of) the held-out episodes."""
        index = self.data.held_out[:: max(1, len(self.data.held_out) // 512)]
        if len(index) == 0:
            return float('nan')
        self.model.eval()
        losses = [
            float(self.loss(self.model.features(self.data.images[part]), part)) * len(part)
            for part in np.array_split(index, max(1, len(index) // 64))
        ]
        self.model.train()
        return sum(losses) / len(index)

    @torch.inference_mode()
    def _held_out_top(self, tokens: torch.Tensor) -> float:
        if len(self.data.held_out) == 0:
            return float('nan')
        self.model.eval()
        index = self.data.held_out
        value = float(self.loss(self.model.top_features(tokens[index].float()), index))
        self.model.train()
        return value

    def _told(self, held_out: float) -> str:
        if len(self.data.held_out) == 0:
            return 'no episodes held out'
        return f'held out {held_out:.4f}'

    def _bare_map(self, progress: Progress) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        batches = list(_batches(len(self.data.images), 128))
        for number, part in enumerate(batches):
            parts.append(self.model.bare_map(self.data.images[part]))
            progress(number + 1, len(batches), 'encoding frames once')
        return torch.cat(parts).clone()

    def _optimiser(self) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            self.model.trainable(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )

    def _set_rate(self, optimiser: torch.optim.Optimizer, step: int, total: int) -> None:
        rate = self.config.learning_rate * cosine(step, total, max(1, total // 20))
        for group in optimiser.param_groups:
            group['lr'] = rate

    def _step(self, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> float:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.trainable(), 1.0)
        optimiser.step()
        return float(loss.detach())


def _batches(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def train(
    config: TrainConfig, contract: Contract, progress: Progress = silent, tell: Tell = untold
) -> TaskPackage:
    """Clone an expert into a task package.

    Args:
        config: Settings.
        contract: Contract the data was recorded under.
        progress: Told after every step.
        tell: Told what is odd about the data.

    Returns:
        The package as written.

    Raises:
        PackageError: A package of that name is there, and it is not to be replaced.
        TrainingError: There are no episodes, or they are of another task.
        BaseChangedError: Training has written to the backbone (it can't; this is checked).
        RoboAdaptError: Data, backbone or checkpoint can't be read.
    """
    other = f'--task {config.task.partition(VERSION_MARK)[0]}@VERSION, another --out'
    require_free(config.out / config.task, other, force=config.force)
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    backbone = FrozenBackbone.load(config.backbone)
    plan = make_plan(config, backbone, contract)
    paths = [path for folder in config.data for path in episode_paths(folder)]
    require_task(config.data, config.task, tell)
    data_sha256 = data_hash(paths)
    checkpoint = Checkpoint(
        config.out / f'.{config.task}.checkpoint.safetensors', plan.identity(data_sha256)
    )
    resumes = config.resume and _can_resume(checkpoint, config.steps, tell)
    samples = load_samples(paths, contract, backbone.manifest.image_size, progress)
    trainer = Trainer(plan, samples)
    if plan.start is None and not resumes:
        trainer.first_stage(progress)
    done = trainer.second_stage(progress, checkpoint)
    held_out = trainer.held_out()
    backbone.check(config.backbone).require()
    package = package_task(
        config,
        trainer,
        provenance={
            'recipe': 'behaviour cloning of a scripted expert (roboadapt train)',
            'episodes': len(paths),
            'samples': len(samples.images),
            'data_sha256': data_sha256,
            'data': [folder.name for folder in config.data],
            'top_steps': config.top_steps,
            'steps': done.step,
            **({'parts': to_mapping(done.parts)} if len(done.parts) > 1 else {}),
            'batch': config.batch,
            'learning_rate': config.learning_rate,
            'seed': config.seed,
            'parents': [] if plan.start is None else [plan.start.digest],
            'held_out_loss': round(held_out, 5) if math.isfinite(held_out) else None,
            'seconds': round(done.seconds),
        },
    )
    checkpoint.remove()
    return package


def _can_resume(checkpoint: Checkpoint, steps: int, tell: Tell) -> bool:
    """Return whether there is a checkpoint to go on from.

    Raises:
        PackageError: It has more steps than are asked for.
        RoboAdaptError: As `Checkpoint.done`.
    """
    if not checkpoint.exists():
        tell(f'No checkpoint ({checkpoint.path}): starting anew.')
        return False
    found = checkpoint.done().step
    if found > steps:
        raise PackageError(
            checkpoint.path,
            f'has come to step {found}',
            f'--steps {found} or more (found {steps}); delete it to begin anew',
        )
    return True
