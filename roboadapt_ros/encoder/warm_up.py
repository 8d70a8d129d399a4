"""Runs ahead of the frames: what an engine makes at a first run is made while nobody waits."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakValueDictionary

import numpy as np
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.encoder.encoding import passes, run_together, view_of
from roboadapt_ros.encoder.engine import AdapterHandle, Engine, Images
from roboadapt_ros.encoder.residency import ResidentTask


class WarmUp:
    """Runs an engine on black images as tasks' frames will; each kind of request once."""

    def __init__(self, engine: Engine):
        """Remember the engine; nothing is run yet."""
        self._engine = engine
        self._features = 0
        """Of one camera, once something has been run."""
        self._run: WeakValueDictionary[tuple[int, AdapterLayout], AdapterHandle] = (
            WeakValueDictionary()
        )
        """Adapters that were run, by number of images and layout: what an engine makes for a
        layout may go with the last of its tasks."""

    def stage(self, package: TaskPackage, handle: AdapterHandle) -> int:
        """Run what the task's frames will, and the bare backbone.

        Not where a task like it, which is still held, has run the same.

        No frame waits after a switch then, nor after one to 'none:<task>'.

        Args:
            package: For the number of its cameras.
            handle: Its adapters.

        Returns:
            Length of the features of one camera.
        """
        kind = len(package.contract.cameras), handle.layout
        if kind not in self._run:
            black = self._black(kind[0])
            for adapters in (handle, None):
                self._features = self._engine.run(black, adapters).shape[1]
            self._run[kind] = handle
        return self._features

    def together(self, tasks: Sequence[ResidentTask]) -> None:
        """Run what `Encoding.under_all` will."""
        for numbers in passes(tasks):
            group = [tasks[number] for number in numbers]
            run_together(self._engine, group, [self._black(len(view_of(task))) for task in group])

    def _black(self, images: int) -> Images:
        size = self._engine.manifest.image_size
        return np.zeros((images, size, size, 3), np.uint8)
