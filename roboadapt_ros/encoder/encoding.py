"""Frames to features over an engine: under one task, or under several at once.

Several tasks go through the engine together: those that see the frames alike share them, so that
what lies below their adapters can be computed once; the others are one batch with a task for each
image. Which tasks those are, and which is active, `task_encoder` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.dataflow import Features, Identity, LatencyLedger
from roboadapt_ros.encoder.engine import AdapterHandle, Engine, Images
from roboadapt_ros.encoder.preprocess import Frames, preprocess_set
from roboadapt_ros.encoder.residency import ResidentTask

Values = Sequence[npt.NDArray[np.float32]]
"""(n_cameras, features_per_camera) for each task."""
View = tuple[tuple[object, ...], ...]
"""`CameraContract.view` of each camera of a task."""


@dataclass(frozen=True)
class TaskFrames:
    """One synchronised set of frames and the task it is encoded for."""

    task: str
    frames: Frames
    stamps_ns: Mapping[str, int]
    """Exposure stamp by camera name [ns]."""


@dataclass(frozen=True)
class Encoding:
    """One request for features: what it is of, whatever tasks it is for."""

    engine: Engine
    generation: int
    """Of the active task as the frames came, for the features' identity."""
    received_ns: int
    """When the frames were complete [ns]."""
    clock: Callable[[], int]
    """Returns the time of the stamps' clock [ns]."""

    def under(
        self,
        package: TaskPackage,
        handle: AdapterHandle | None,
        frames: Frames,
        stamps_ns: Mapping[str, int],
    ) -> Features:
        """Encode frames under one task.

        Args:
            package: Whose view of the frames, and whose identity.
            handle: Its adapters; None for the bare backbone.
            frames: By camera name.
            stamps_ns: Exposure stamp by camera name [ns].

        Raises:
            ImageError: A camera is missing or a frame has the wrong size.
        """
        images = self._images(package, frames)
        times = self._prepared()
        values = self.engine.run(images, handle)
        return self._features(package, stamps_ns, self._encoded(times), values)

    def under_all(
        self, tasks: Sequence[ResidentTask], frames: Frames, stamps_ns: Mapping[str, int]
    ) -> tuple[Features, ...]:
        """Encode the same frames under several tasks, in their order; see `passes`.

        Arguments and errors as `under`.
        """
        features: dict[int, Features] = {}
        for numbers in passes(tasks):
            together = [tasks[number] for number in numbers]
            views = {view_of(task): task.package for task in together}
            images = {view: self._images(package, frames) for view, package in views.items()}
            times = self._prepared()
            found = run_together(
                self.engine, together, [images[view_of(task)] for task in together]
            )
            times = self._encoded(times)
            for number, values in zip(numbers, found, strict=True):
                package = tasks[number].package
                features[number] = self._features(package, stamps_ns, times, values)
        return tuple(features[number] for number in range(len(tasks)))

    def each(
        self, tasks: Sequence[ResidentTask], sets: Sequence[TaskFrames]
    ) -> tuple[Features, ...]:
        """Encode a set of frames for each task, in one forward pass; errors as `under`."""
        images = [
            self._images(task.package, item.frames) for task, item in zip(tasks, sets, strict=True)
        ]
        times = self._prepared()
        found = _run_each(self.engine, tasks, images)
        times = self._encoded(times)
        return tuple(
            self._features(task.package, item.stamps_ns, times, values)
            for task, item, values in zip(tasks, sets, found, strict=True)
        )

    def _images(self, package: TaskPackage, frames: Frames) -> Images:
        return preprocess_set(frames, package.contract, self.engine.manifest.image_size)

    def _prepared(self) -> LatencyLedger:
        return LatencyLedger(received=self.received_ns, preprocessed=self.clock())

    def _encoded(self, times: LatencyLedger) -> LatencyLedger:
        return times.stamped('encoded', self.clock())

    def _features(
        self,
        package: TaskPackage,
        stamps_ns: Mapping[str, int],
        times: LatencyLedger,
        values: npt.NDArray[np.float32],
    ) -> Features:
        """Return features with their identity; `values` is (n_cameras, features_per_camera)."""
        stamps = tuple(stamps_ns[camera.name] for camera in package.contract.cameras)
        return Features(
            stamp_ns=min(stamps),
            identity=Identity(
                task=package.task,
                package_digest=package.digest,
                generation=self.generation,
                frame_stamps_ns=stamps,
            ),
            ledger=times.stamped('exposure', min(stamps)),
            values=values.reshape(-1),
        )


def passes(tasks: Sequence[ResidentTask]) -> list[list[int]]:
    """Return which tasks go through the engine together when they are given the same frames.

    Tasks that see the frames alike, of the same cameras cut in the same way, share them. Each
    task that no other sees like is an image or two in one batch with the others of its kind.

    Returns:
        Their numbers, for each pass.
    """
    views: dict[View, list[int]] = {}
    for number, task in enumerate(tasks):
        views.setdefault(view_of(task), []).append(number)
    shared = [numbers for numbers in views.values() if len(numbers) > 1]
    single = [number for numbers in views.values() if len(numbers) == 1 for number in numbers]
    return [*shared, single] if single else shared


def run_together(
    engine: Engine, tasks: Sequence[ResidentTask], images: Sequence[Images]
) -> Values:
    """Run the tasks of one of the `passes`, each with its images."""
    if len({view_of(task) for task in tasks}) > 1:
        return _run_each(engine, tasks, images)
    return list(engine.run_shared(images[0], [task.handle for task in tasks]))


def _run_each(engine: Engine, tasks: Sequence[ResidentTask], images: Sequence[Images]) -> Values:
    """Run tasks as one batch, each with its images."""
    handles = [task.handle for task, own in zip(tasks, images, strict=True) for _ in own]
    values = engine.run_mixed(np.concatenate(images), handles)
    return np.split(values, np.cumsum([len(own) for own in images])[:-1])


def view_of(task: ResidentTask) -> View:
    """Return what a task sees of the frames."""
    return tuple(camera.view for camera in task.package.contract.cameras)
