"""The engine on ONNX Runtime: the backbone exported once, adapters supplied at run time.

One graph serves every task with adapters in the same places: one task at a time, a task per
image, or several tasks on the same images, which then share what lies below the first adapter.
A convolutional net is served by a graph in blocks where there is one, see `blocked`.
Loads no torch: a graph that is not on disk yet is exported by a process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
import hashlib
from pathlib import Path
import threading
import time
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
    WEIGHTS_NAME,
)
from roboadapt_ros.backbones.probe import Probe, read_probe
from roboadapt_ros.encoder.engine import AdapterHandle, Images, require_fit, Tensors
from roboadapt_ros.encoder.graphs import GraphStore
from roboadapt_ros.encoder.places import BARE, Places
from roboadapt_ros.encoder.served_graph import by_graph, OnnxAdapters, ServedGraph
from roboadapt_ros.encoder.session import has_cuda, REFUSALS
from roboadapt_ros.errors import BaseChangedError, EngineError
from roboadapt_ros.files import package_file

INT8_PROBE_FACTOR = 2.0
"""How much farther off than measured at export a probe in 8 bits may be."""
RECORD_TRIES, RECORD_PAUSE_S = 10, 0.1
"""How often, and how long between, a file that is not the one loaded is looked at for its new
record."""


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
        self._graphs: weakref.WeakValueDictionary[Places, ServedGraph] = (
            weakref.WeakValueDictionary()
        )
        self._adding = threading.Lock()
        self._bare = self._load(BARE)

    @property
    def name(self) -> str:
        """What the engine is."""
        precision = 'float32'
        if self._int8:
            error = self._bare.record.feature_error
            precision = f'8-bit matrices (bare features {error:.2%} off)'
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
        handle = graph.hold(layout, tensors)
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
        were trained alike; images without adapters join one of them.
        """
        tasks = [_adapted(handle) for handle in handles]
        groups = by_graph(tasks)
        if not groups:
            return self.run(images, None)
        features: dict[int, npt.NDArray[np.float32]] = {}
        for graph, numbers in groups.items():
            found = graph.run(images[numbers], [tasks[number] for number in numbers])
            features |= zip(numbers, found, strict=True)
        return np.stack([features[number] for number in range(len(tasks))])

    def run_shared(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode the same images under several tasks.

        One pass for each set of places that has adapters, in which the blocks below the first
        adapter run once.
        """
        tasks = [_adapted(handle) for handle in handles]
        groups = by_graph(tasks)
        if not groups:
            return np.stack([self.run(images, None)] * len(tasks))
        features: dict[int, npt.NDArray[np.float32]] = {}
        for graph, numbers in groups.items():
            if len(numbers) == 1:
                features[numbers[0]] = self.run(images, handles[numbers[0]])
                continue
            found = graph.run(images, [tasks[number] for number in numbers for _ in images])
            features |= zip(numbers, np.split(found, len(numbers)), strict=True)
        return np.stack([features[number] for number in range(len(tasks))])

    def check(self) -> BaseCheck:
        """Look at the bare graph's file and run the stored probe through every graph in memory.

        A graph holds a copy of the base of its own. Its adapter inputs are optional: without
        them it is the bare backbone.

        Raises:
            PackageError: As `probe.read_probe`.
            TensorError: As `probe.read_probe`.
        """
        found, expected = self._changed_file(), self.manifest.digest
        digest = f'{found} (onnx file)' if found else self._bare.record.backbone_digest
        return BaseCheck(self.manifest.id, digest, expected, self._probe_equal())

    def _changed_file(self) -> str:
        """Return the digest of the bare graph's file if it may not be served, else ''.

        The record in memory has the digest of the bytes that were loaded. The file may have been
        exported anew since, in 8 bits for other tasks: it then has a new record beside it, which
        is written right after the file.
        """
        served, found = self._bare, 'missing'
        for attempt in range(RECORD_TRIES):
            time.sleep(RECORD_PAUSE_S if attempt else 0.0)
            try:
                found = hashlib.sha256(served.path.read_bytes()).hexdigest()
            except OSError:
                found = 'missing'
            if found == served.record.sha256:
                return ''
            anew = self._store.find(BARE, int8=self._int8)
            if anew is not None and anew.path == served.path:
                return ''
        return found

    def _require_intact_weights(self) -> None:
        """Raise unless the package's tensors are the released ones.

        What is served are graphs made of them; a package that is not whole is still refused.
        """
        digest = file_digest(package_file(self._path, WEIGHTS_NAME))
        if digest != self.manifest.digest:
            raise BaseChangedError(self.manifest.id, 'digest', digest, self.manifest.digest)

    def _probe_equal(self) -> bool:
        stored = read_probe(self._path, self.manifest, self._bare.session.features)
        # Of what is there now: adding a graph meanwhile is none of this check's business.
        graphs = [graph for ref in self._graphs.valuerefs() if (graph := ref()) is not None]
        return all(self._is_as_before(graph, stored) for graph in graphs)

    def _is_as_before(self, graph: ServedGraph, stored: Probe) -> bool:
        """Return whether a graph gives the stored features, and bit for bit its first ones."""
        features = graph.run_probe(stored.image)
        if graph.first_probe is None:
            if not self._is_near(graph, features, stored.features):
                return False
            graph.first_probe = features
        return np.array_equal(features, graph.first_probe)

    def _is_near(
        self,
        graph: ServedGraph,
        features: npt.NDArray[np.float32],
        stored: npt.NDArray[np.float32],
    ) -> bool:
        """Return whether the probe's features are the stored ones, as well as can be told."""
        difference = features - stored
        if self._int8:
            allowed = INT8_PROBE_FACTOR * graph.record.probe_error
            return bool(np.linalg.norm(difference) <= allowed * np.linalg.norm(stored))
        return bool(np.abs(difference).max() <= PROBE_TOLERANCE * np.abs(stored).max())

    def _load(self, places: Places) -> ServedGraph:
        found = self._store.get(places, int8=self._int8, blocked=not has_cuda())
        try:
            graph = ServedGraph(found, self._threads)
        except REFUSALS as error:
            raise EngineError(
                'onnx',
                f'ONNX Runtime does not load {found.path} ({str(error).partition(chr(10))[0]})',
                "Remove the file to have it exported anew, or choose the engine 'torch'.",
            ) from error
        self._graphs[places] = graph
        return graph


def _adapted(handle: AdapterHandle | None) -> OnnxAdapters | None:
    """Return the handle as this engine's own, None where it has no adapters."""
    own = None if handle is None else _own(handle)
    return own if own is not None and own.layout.sites else None


def _own(handle: AdapterHandle) -> OnnxAdapters:
    """Return the handle as this engine's own.

    Raises:
        TypeError: Another engine made it.
    """
    if not isinstance(handle, OnnxAdapters):
        raise TypeError(f'{type(handle).__name__} was made by another engine')
    return handle
