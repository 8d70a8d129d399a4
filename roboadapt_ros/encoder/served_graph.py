"""A graph in memory, and the adapters it is run with: one task's, or several at once.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.digest import arrays_digest
from roboadapt_ros.encoder.blocked import blocked_arrays, MIXED, mixed_inputs, plain_arrays
from roboadapt_ros.encoder.engine import AdapterHandle, Images, Tensors
from roboadapt_ros.encoder.graphs import Graph
from roboadapt_ros.encoder.last_batch import LastBatch
from roboadapt_ros.encoder.places import Arrays, graph_arrays, stack
from roboadapt_ros.encoder.session import Session, Values


class ServedGraph:
    """A graph in memory; gone when no adapters refer to it."""

    def __init__(self, graph: Graph, threads: int):
        """Load a graph; arguments as `Session`."""
        self.record, self.path = graph.record, graph.path
        self.session = Session(graph.content, threads=threads)
        self.first_probe: npt.NDArray[np.float32] | None = None
        """What the probe gave at its first run here, adapters off."""
        self._batch: LastBatch[Values] = LastBatch()

    def hold(self, layout: AdapterLayout, tensors: Tensors) -> OnnxAdapters:
        """Return one task's adapters, to run with."""
        plain = graph_arrays(layout, tensors, maps=self.record.is_maps)
        arrays = blocked_arrays(plain, self.record.block)
        nbytes = sum(array.nbytes for array in arrays.values())
        note = self._note(tensors) if layout.sites else ''
        return OnnxAdapters(layout, nbytes, self, arrays, self.session.hold(arrays), note=note)

    def run(self, images: Images, tasks: Sequence[OnnxAdapters | None]) -> npt.NDArray[np.float32]:
        """Encode images (B, S, S, 3) with a task for each row.

        Args:
            images: What to encode.
            tasks: R * B of them: B for a repetition of the images, then B for the next; what lies
                below the first adapter runs once for all repetitions. Not all are None.

        Returns:
            (R * B, features_per_camera).
        """
        return self.session.run(images, self._values(tasks), len(tasks) // len(images))

    def run_probe(self, image: Images) -> npt.NDArray[np.float32]:
        """Encode the probe (1, S, S, 3), adapters off, by each copy of the backbone's nodes.

        Returns:
            (1, features_per_camera), or (2, features_per_camera) of a graph in blocks.
        """
        ways: list[Values] = [{}]
        if self.record.block:
            ways.append({MIXED: np.array([True])})
        return np.concatenate([self.session.run(image, way) for way in ways])

    def _note(self, tensors: Tensors) -> str:
        """Return what to know of a task that a graph in 8 bits was not measured on."""
        record = self.record
        if not record.int8 or arrays_digest(tensors) in record.tasks.values():
            return ''
        return (
            f'the error of its features in 8 bits was not measured: {record.feature_error:.1%} is '
            f'that of {", ".join(sorted(record.tasks)) or "random adapters at the same places"}. '
            f"Run 'roboadapt export --backbone {record.backbone_id} --int8', and judge it with "
            "'roboadapt eval --in-process --engine onnx_int8'"
        )

    def _values(self, tasks: Sequence[OnnxAdapters | None]) -> Values:
        """Return the inputs of a batch with a task for each row; the last batch is kept."""

        def make() -> Values:
            arrays = stack([None if task is None else task.plain() for task in tasks])
            return self.session.hold(mixed_inputs(arrays, self.record.block))

        return self._batch.of(tasks, make)


@dataclass(eq=False)
class OnnxAdapters(AdapterHandle):
    """One task's adapters, as inputs of a graph."""

    graph: ServedGraph
    arrays: Arrays
    """Kept in this form alone: a batch of tasks is put together from it."""
    values: Values
    """The same, held where the graph runs."""

    def plain(self) -> Arrays:
        """Return the arrays as `places.graph_arrays` gave them."""
        return plain_arrays(self.layout, self.arrays, self.graph.record.block)


def by_graph(tasks: Sequence[OnnxAdapters | None]) -> dict[ServedGraph, list[int]]:
    """Return which of the tasks each graph runs; {} where no task has adapters.

    Tasks without adapters go with the graph whose first adapter is the last: there, they share
    the most.
    """
    groups: dict[ServedGraph, list[int]] = {task.graph: [] for task in tasks if task is not None}
    if groups:
        highest = max(groups, key=lambda graph: graph.record.places.first)
        for number, task in enumerate(tasks):
            groups[highest if task is None else task.graph].append(number)
    return groups
