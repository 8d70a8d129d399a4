"""How far a graph's features are from torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.encoder.blocked import blocked_arrays, mixed_inputs
from roboadapt_ros.encoder.engine import Images
from roboadapt_ros.encoder.examples import TaskTensors
from roboadapt_ros.encoder.places import stack
from roboadapt_ros.encoder.session import Session
from roboadapt_ros.encoder.torch_engine import TorchEngine


@dataclass(frozen=True)
class Error:
    """How far features are from torch's."""

    largest: float
    """The largest difference, relative to the largest feature."""
    distance: float
    """The L2 distance, relative to the features' length."""

    @classmethod
    def of(cls, found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> Error:
        """Return the error of `found`."""
        difference = found - wanted
        return cls(
            float(np.abs(difference).max() / np.abs(wanted).max()),
            float(np.linalg.norm(difference) / np.linalg.norm(wanted)),
        )

    @classmethod
    def worst(cls, errors: Sequence[Error]) -> Error:
        """Return the largest of each; NaN where one is."""
        return cls(
            float(np.max([error.largest for error in errors])),
            float(np.max([error.distance for error in errors])),
        )


def measure(
    engine: TorchEngine,
    content: bytes,
    tasks: Sequence[TaskTensors],
    images: Images,
    *,
    block: int = 0,
) -> Error:
    """Compare a graph with torch without adapters, under each task, and under several at once.

    Several tasks are given an image each, and all images each.

    Args:
        engine: Torch engine over the backbone.
        content: The graph's file.
        tasks: What it is run with.
        images: What it is run on.
        block: Channels of a block, 0 for a graph that is not blocked.

    Returns:
        The worst of all runs, each task's features relative to their own size.
    """
    session = Session(content, threads=1)
    maps = engine.backbone.chain.is_convolutional
    arrays = [None, *(task.arrays(maps=maps) for task in tasks)]
    handles = [None, *(engine.add(*task) for task in tasks)]
    errors = [
        Error.of(session.run(images, blocked_arrays(values or {}, block)), engine.run(images, own))
        for values, own in zip(arrays, handles, strict=True)
    ]
    if tasks:
        order = np.arange(1, len(images) + 1) % len(arrays)
        batch = stack([arrays[index] for index in order])
        found = session.run(images, mixed_inputs(batch, block))
        wanted = engine.run_mixed(images, [handles[index] for index in order])
        rows = [order == index for index in set(order.tolist())]
        errors += [Error.of(found[own], wanted[own]) for own in rows]
        each = stack([values for values in arrays for _ in images])
        found = session.run(images, mixed_inputs(each, block), len(arrays))
        shared = engine.run_shared(images, handles)
        errors += map(Error.of, np.split(found, len(arrays)), shared)
    return Error.worst(errors)
