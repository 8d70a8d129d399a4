"""The engine on ONNX Runtime: the backbone exported once, adapters supplied at run time.

One graph serves every task with adapters in the same places, one task at a time or a task per
image. A convolutional net is served by a graph in blocks where there is one, see `blocked`.
Loads no torch: a graph that is not on disk yet is exported by a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import hashlib
from pathlib import Path
import threading
from typing import Any
import weakref

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.check import BaseCheck, PROBE_TOLERANCE
from roboadapt_ros.backbones.digest import file_digest
from roboadapt_ros.backbones.manifest import (
    BackboneManifest,
    load_backbone_manifest,
    PROBE_NAME,
    WEIGHTS_NAME,
)
from roboadapt_ros.config import package_file
from roboadapt_ros.encoder.blocked import blocked_arrays, mixed_inputs, plain_arrays
from roboadapt_ros.encoder.engine import AdapterHandle, Images, require_fit, Tensors
from roboadapt_ros.encoder.graphs import Graph, GraphStore
from roboadapt_ros.encoder.places import Arrays, BARE, graph_arrays, Places, stack
from roboadapt_ros.encoder.session import has_cuda, Session, Values
from roboadapt_ros.errors import BaseChangedError, PackageError
import safetensors
import safetensors.numpy

INT8_PROBE_FACTOR = 2.0
"""How much farther off than measured at export a probe in 8 bits may be."""


class _Loaded:
    """A graph in memory; gone when no adapters refer to it."""

    def __init__(self, graph: Graph, threads: int):
        self.record, self.path = graph.record, graph.path
        self.session = Session(graph.content, threads=threads)
        self.first_probe: npt.NDArray[np.float32] | None = None
        """What the probe gave at its first run here, adapters off."""

    def batch(self, own: Sequence[OnnxAdapters | None]) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs of a batch with a task for each image."""
        return mixed_inputs(stack([_arrays(adapters) for adapters in own]), self.record.block)


@dataclass(eq=False)
class OnnxAdapters(AdapterHandle):
    """One task's adapters, as inputs of a graph."""

    graph: _Loaded
    arrays: Arrays
    """Kept in this form alone: a batch of tasks is put together from it."""
    values: Values
    """The same, held where the graph runs."""


class OnnxEngine:
    """Runs a frozen backbone with ONNX Runtime."""

    def __init__(self, path: Path, *, threads: int = 1, int8: bool = False):
        """Load the graphs of a backbone, exporting what is not on disk yet.

        Args:
            path: Folder of the backbone.
            threads: Threads of one forward pass.
            int8: Serve the backbone's matrices in 8 bits; the graphs must have been exported
                so, and their error measured, on this machine.

        Raises:
            RoboAdaptError: The backbone is unreadable or not intact, or can't be exported.
        """
        self._path, self._threads, self._int8 = path, threads, int8
        self._manifest = load_backbone_manifest(path)
        self._require_intact_weights()
        self._store = GraphStore(path, self._manifest)
        self._graphs: weakref.WeakValueDictionary[Places, _Loaded] = weakref.WeakValueDictionary()
        self._adding = threading.Lock()
        self._stacked: tuple[tuple[object, ...], Values] = ((), {})
        self._bare = self._load(BARE)

    @property
    def name(self) -> str:
        """What the engine is."""
        precision = 'float32'
        if self._int8:
            error = self._bare.record.feature_error
            precision = f'8-bit matrices (features {error:.2%} off)'
        device = 'CUDA' if self._bare.session.device == 'cuda' else 'CPU'
        return f'onnxruntime {ort.__version__}, {device}, {precision}, {self._threads} threads'

    @property
    def manifest(self) -> BackboneManifest:
        """Identity of the backbone."""
        return self._manifest

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels along the chain."""
        return self._bare.record.channels

    def add(self, layout: AdapterLayout, tensors: Tensors) -> OnnxAdapters:
        """Hold one task's adapters; see `Engine.add`.

        Raises:
            ConfigError: The layout is for another backbone.
            EngineError: There is no graph for their places and none can be exported.
        """
        is_maps = self._bare.record.is_maps
        require_fit(self.manifest, self.channels, layout, is_maps=is_maps)
        places = Places.of(layout)
        with self._adding:
            known = self._graphs.get(places)
            graph = known or self._load(places)
        plain = graph_arrays(layout, tensors, maps=graph.record.is_maps)
        arrays = blocked_arrays(plain, graph.record.block)
        nbytes = sum(array.nbytes for array in arrays.values())
        handle = OnnxAdapters(layout, nbytes, graph, arrays, graph.session.hold(arrays))
        if known is None:
            size = self.manifest.image_size
            self.run(np.zeros((1, size, size, 3), np.uint8), handle)
        return handle

    def run(self, images: Images, handle: AdapterHandle | None) -> npt.NDArray[np.float32]:
        """Encode images under one task's adapters; see `Engine.run`."""
        if handle is None:
            return self._bare.session.run(images, {})
        own = _own(handle)
        return own.graph.session.run(images, own.values)

    def run_mixed(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode each image under its own adapters.

        One pass for each set of places that has adapters, so one pass in all where the tasks
        were trained alike; images without adapters join the first of them.
        """
        own = [None if handle is None else _own(handle) for handle in handles]
        graphs = list(dict.fromkeys(adapters.graph for adapters in own if adapters is not None))
        if not graphs:
            return self.run(images, None)
        numbers = [0 if a is None else graphs.index(a.graph) for a in own]
        if len(graphs) == 1:
            return graphs[0].session.run(images, self._stack(graphs[0], own))
        features: npt.NDArray[np.float32] | None = None
        for number, graph in enumerate(graphs):
            rows = [row for row, of in enumerate(numbers) if of == number]
            part = graph.session.run(images[rows], graph.batch([own[row] for row in rows]))
            if features is None:
                features = np.empty((len(images), part.shape[1]), np.float32)
            features[rows] = part
        assert features is not None  # mypy: there is at least one graph
        return features

    def run_shared(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode the same images under several tasks, as a mixed batch of repeated images.

        A graph has no branches, so the blocks below the adapters run once for every task.
        """
        repeated = np.concatenate([images] * len(handles))
        each = [handle for handle in handles for _ in images]
        return self.run_mixed(repeated, each).reshape(len(handles), len(images), -1)

    def check(self) -> BaseCheck:
        """Hash the bare graph's file and run the stored probe through every graph in memory.

        A graph holds a copy of the base of its own. Its adapter inputs are optional: without
        them it is the bare backbone.
        """
        record, expected = self._bare.record, self.manifest.digest
        try:
            found = hashlib.sha256(self._bare.path.read_bytes()).hexdigest()
        except OSError:
            found = 'missing'
        digest = record.backbone_digest if found == record.sha256 else f'{found} (onnx file)'
        return BaseCheck(self.manifest.id, digest, expected, self._probe_equal())

    def _require_intact_weights(self) -> None:
        """Raise unless the package's tensors are the released ones.

        What is served are graphs made of them; a package that is not whole is still refused.
        """
        digest = file_digest(package_file(self._path, WEIGHTS_NAME))
        if digest != self.manifest.digest:
            raise BaseChangedError(self.manifest.id, 'digest', digest, self.manifest.digest)

    def _probe_equal(self) -> bool:
        probe = self._path / PROBE_NAME
        try:
            stored = safetensors.numpy.load_file(probe)
        except (OSError, safetensors.SafetensorError) as error:
            raise PackageError(
                probe, f'cannot be read ({error})', 'a whole safetensors file'
            ) from error
        # Adding a graph meanwhile is none of this check's business: a list of what is there.
        return all(self._is_as_before(graph, stored) for graph in list(self._graphs.values()))

    def _is_as_before(self, graph: _Loaded, stored: Mapping[str, Any]) -> bool:
        """Return whether a graph gives the stored features, and bit for bit its first ones."""
        features = graph.session.run(stored['image'], {})
        if graph.first_probe is None:
            if not self._is_near(graph, features, stored['features']):
                return False
            graph.first_probe = features
        return np.array_equal(features, graph.first_probe)

    def _is_near(
        self,
        graph: _Loaded,
        features: npt.NDArray[np.float32],
        stored: npt.NDArray[np.float32],
    ) -> bool:
        """Return whether the probe's features are the stored ones, as well as can be told."""
        difference = features - stored
        if self._int8:
            allowed = INT8_PROBE_FACTOR * graph.record.feature_error
            return bool(np.linalg.norm(difference) <= allowed * np.linalg.norm(stored))
        return bool(np.abs(difference).max() <= PROBE_TOLERANCE * np.abs(stored).max())

    def _load(self, places: Places) -> _Loaded:
        found = self._store.get(places, int8=self._int8, blocked=not has_cuda())
        graph = _Loaded(found, self._threads)
        self._graphs[places] = graph
        return graph

    def _stack(self, graph: _Loaded, own: Sequence[OnnxAdapters | None]) -> Values:
        """Return the batch of the given tasks' inputs; the last batch is kept."""
        known, values = self._stacked
        key = tuple(None if adapters is None else weakref.ref(adapters) for adapters in own)
        if known != key:
            values = graph.session.hold(graph.batch(own))
            self._stacked = (key, values)
        return values


def _arrays(adapters: OnnxAdapters | None) -> Arrays | None:
    if adapters is None:
        return None
    return plain_arrays(adapters.layout, adapters.arrays, adapters.graph.record.block)


def _own(handle: AdapterHandle) -> OnnxAdapters:
    """Return the handle as this engine's own.

    Raises:
        TypeError: Another engine made it.
    """
    if not isinstance(handle, OnnxAdapters):
        raise TypeError(f'{type(handle).__name__} was made by another engine')
    return handle
