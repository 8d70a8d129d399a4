"""The serving engine: one frozen backbone, resident adapters, a switch between two frames.

A switch replaces one reference to an immutable record, and an encode reads that reference
once. So whatever thread asks, every frame is encoded wholly under one task, and its
features carry that task's name, digest and generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
import threading
import time

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.bottleneck import adapted_features, TaskAdapters
from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.backbones.frozen import BaseCheck, FrozenBackbone
from roboadapt_ros.backbones.manifest import backbone_path
from roboadapt_ros.contract import Contract
from roboadapt_ros.dataflow import Features, Identity, LatencyLedger
from roboadapt_ros.encoder.preprocess import preprocess
from roboadapt_ros.errors import ImageError, RefusedError, UnknownNameError
import torch


@dataclass(frozen=True)
class ResidentTask:
    """A task held in memory, ready to serve."""

    package: TaskPackage
    adapters: TaskAdapters


@dataclass(frozen=True)
class Activation:
    """The outcome of a switch."""

    task: str
    package_digest: str
    generation: int
    switch_us: float
    """Time to make the task active in the running engine [us]."""


@dataclass(frozen=True)
class _Active:
    """What the next encode uses; immutable and replaced whole."""

    resident: ResidentTask
    adapters: TaskAdapters | None
    generation: int


class TorchEncoder:
    """Encodes frames with torch on the CPU, one task at a time, several resident."""

    def __init__(self, models_dir: Path, backbone_id: str, *, threads: int = 1):
        """Load and check the backbone.

        Args:
            models_dir: Folder holding `backbones/` and `tasks/`.
            backbone_id: Backbone to serve.
            threads: Torch threads of this process.

        Raises:
            RoboAdaptError: The backbone is unknown, unreadable or not intact.
        """
        torch.set_num_threads(threads)
        self._path = backbone_path(models_dir, backbone_id)
        self.backbone = FrozenBackbone.load(self._path)
        self.library = TaskLibrary(models_dir / 'tasks')
        self._resident: dict[str, ResidentTask] = {}
        self._active: _Active | None = None
        self._generation = 0
        self._lock = threading.Lock()
        self.verify_base().require()

    @property
    def backbone_id(self) -> str:
        """Name of the backbone."""
        return self.backbone.manifest.id

    @property
    def backbone_digest(self) -> str:
        """Digest of the backbone's tensors at load."""
        return self.backbone.manifest.digest

    @property
    def active(self) -> str | None:
        """Task the next frame is encoded under."""
        active = self._active
        return active.resident.package.task if active else None

    @property
    def generation(self) -> int:
        """Number of switches applied."""
        return self._generation

    @property
    def resident(self) -> tuple[str, ...]:
        """Tasks held in memory."""
        return tuple(sorted(self._resident))

    def contract(self, task: str) -> Contract:
        """Return a resident task's contract."""
        return self._get(task).package.contract

    def package(self, task: str) -> TaskPackage:
        """Return a resident task's package."""
        return self._get(task).package

    def stage(self, task: str) -> TaskPackage:
        """Load a task beside the active one and warm it up; encoding goes on meanwhile.

        Raises:
            RoboAdaptError: The package is unknown, broken or for another backbone.
        """
        package = self.library.load(task, self.backbone_id, self.backbone_digest)
        return self.add(package)

    def add(self, package: TaskPackage) -> TaskPackage:
        """Make an already loaded package resident; raises as `stage`."""
        package.require_backbone(self.backbone_id, self.backbone_digest)
        adapters = TaskAdapters(package.manifest.adapters)
        state = {name: torch.from_numpy(t.copy()) for name, t in package.part('adapters').items()}
        adapters.load_state_dict(state, strict=True)
        adapters.eval().requires_grad_(False)
        self._warm_up(adapters, len(package.contract.cameras))
        with self._lock:
            self._resident[package.task] = ResidentTask(package, adapters)
        return package

    def evict(self, task: str) -> None:
        """Drop a resident task.

        Raises:
            UnknownNameError: It is not resident.
            RefusedError: It is active.
        """
        with self._lock:
            self._get(task)
            if self.active == task:
                raise RefusedError('active', f"task '{task}' is active; switch to another first")
            del self._resident[task]

    def activate(self, task: str, *, with_adapters: bool = True) -> Activation:
        """Make a resident task active from the next encode on.

        Args:
            task: A resident task.
            with_adapters: False serves the task's identity over the bare backbone, the
                control arm of an evaluation.

        Raises:
            UnknownNameError: The task is not resident; the active one stays.
        """
        with self._lock:
            start = time.perf_counter_ns()
            resident = self._get(task)
            self._generation += 1
            adapters = resident.adapters if with_adapters else None
            self._active = _Active(resident, adapters, self._generation)
            elapsed_us = (time.perf_counter_ns() - start) / 1e3
        return Activation(task, resident.package.digest, self._generation, elapsed_us)

    def deactivate(self) -> None:
        """Serve no task: encodes are refused until the next `activate`."""
        self._active = None

    def encode(
        self,
        frames: Mapping[str, npt.NDArray[np.uint8]],
        stamps_ns: Mapping[str, int],
        received_ns: int,
        clock: Callable[[], int],
    ) -> Features:
        """Encode one synchronised set of frames under the active task.

        Args:
            frames: (height, width, 3) uint8 RGB by camera name.
            stamps_ns: Exposure stamp by camera name [ns].
            received_ns: When the set was complete [ns].
            clock: Returns the time of the stamps' clock [ns].

        Returns:
            The features with their identity and ledger.

        Raises:
            RefusedError: No task is active.
            ImageError: A camera is missing or a frame has the wrong size.
        """
        active = self._active
        if active is None:
            raise RefusedError(
                'no_task',
                f'no task is active; switch to one of: {", ".join(self.resident) or "none"}',
            )
        package = active.resident.package
        images = self._prepare(package.contract, frames)
        preprocessed_ns = clock()
        with torch.inference_mode():
            pixels = self.backbone.normalise(torch.from_numpy(images))
            values = adapted_features(self.backbone, active.adapters, pixels).flatten().numpy()
        stamps = tuple(stamps_ns[camera.name] for camera in package.contract.cameras)
        return Features(
            stamp_ns=min(stamps),
            identity=Identity(
                task=package.task,
                package_digest=package.digest,
                generation=active.generation,
                frame_stamps_ns=stamps,
            ),
            ledger=LatencyLedger(
                exposure=min(stamps),
                received=received_ns,
                preprocessed=preprocessed_ns,
                encoded=clock(),
            ),
            values=values,
        )

    def verify_base(self) -> BaseCheck:
        """Hash the live tensors and run the stored probe with adapters off."""
        return self.backbone.check(self._path)

    def _prepare(
        self, contract: Contract, frames: Mapping[str, npt.NDArray[np.uint8]]
    ) -> npt.NDArray[np.uint8]:
        """Return (n_cameras, S, S, 3) in contract order."""
        size_px = self.backbone.manifest.image_size
        images = []
        for camera in contract.cameras:
            if camera.name not in frames:
                raise ImageError(
                    camera.name,
                    f'is missing; got {", ".join(sorted(frames)) or "none"}',
                    f'cameras {", ".join(c.name for c in contract.cameras)}',
                )
            images.append(preprocess(frames[camera.name], camera, size_px))
        return np.stack(images)

    def _get(self, task: str) -> ResidentTask:
        if task not in self._resident:
            raise UnknownNameError('resident task', task, self._resident)
        return self._resident[task]

    def _warm_up(self, adapters: TaskAdapters, cameras: int) -> None:
        """Run once, so that the first live frame finds memory and kernels ready."""
        size = self.backbone.manifest.image_size
        with torch.inference_mode():
            zeros = torch.zeros(cameras, size, size, 3, dtype=torch.uint8)
            adapted_features(self.backbone, adapters, self.backbone.normalise(zeros))
