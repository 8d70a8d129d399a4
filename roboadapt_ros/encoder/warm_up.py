"""Runs ahead of the frames: what an engine makes at a first run is made while nobody waits."""

from __future__ import annotations

from collections.abc import Sequence

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
        self._features: dict[tuple[int, AdapterLayout], int] = {}
        """Features per camera, by the numbers of images and the layouts that have been run."""

    def stage(self, package: TaskPackage, handle: AdapterHandle) -> int:
        """Run what the task's frames will, and the bare backbone, unless a task like it has.

        No frame waits after a switch then, nor after one to 'none:<task>'.

        Args:
            package: For the number of its cameras.
            handle: Its adapters.

        Returns:
            Length of the features of one camera.
        """
        kind = len(package.contract.cameras), handle.layout
        if kind not in self._features:
            black = self._black(kind[0])
            for adapters in (handle, None):
                self._features[kind] = self._engine.run(black, adapters).shape[1]
        return self._features[kind]

    def together(self, tasks: Sequence[ResidentTask]) -> None:
        """Run what `Encoding.under_all` will."""
        for numbers in passes(tasks):
            group = [tasks[number] for number in numbers]
            run_together(self._engine, group, [self._black(len(view_of(task))) for task in group])

    def _black(self, images: int) -> Images:
        size = self._engine.manifest.image_size
        return np.zeros((images, size, size, 3), np.uint8)
