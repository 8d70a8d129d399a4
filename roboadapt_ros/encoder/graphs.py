"""Exported graphs on disk: what each one is, and which may be served.

A graph is served only beside a record that names this backbone's digests, this format and
runtime, and the sha256 of the very bytes; one in blocks or in 8 bits also this machine. Whatever
differs is exported anew, by a process of its own: the one that serves loads no torch and goes on
encoding. Imports neither torch nor onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
import os
from pathlib import Path
import platform

from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.config import load_json, save_json, to_mapping
from roboadapt_ros.encoder.offshoot import run_module
from roboadapt_ros.encoder.places import Places
from roboadapt_ros.errors import EngineError, RoboAdaptError
from roboadapt_ros.files import replacing

FORMAT = 4
"""Raised when graphs or their inputs change; older ones are then exported anew."""
MAX_PARITY = 1e-4
"""Largest relative difference of a float32 graph from torch."""
FOLDER = 'onnx'
"""In the backbone's folder."""


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """What is known of one exported graph; a JSON file beside it."""

    format: int
    backbone_id: str
    backbone_digest: str
    backbone_settings: str
    """`BackboneManifest.settings_digest`."""
    places: Places
    int8: bool
    block: int
    """Channels of a block in a graph made for one kind of processor, see `blocked`; else 0."""
    channels: tuple[int, ...]
    """Of the chain, as `AdapterLayout.channels`."""
    is_maps: bool
    """True for a convolutional net."""
    sha256: str
    """Of the graph's file."""
    parity: float
    """Relative difference of the float32 graph from torch, measured when exported."""
    largest_error: float
    """Largest difference of this graph's features from torch's, relative to the largest."""
    feature_error: float
    """Relative L2 distance of the features from torch's; 8 bits make it worth knowing."""
    probe_error: float
    """Of a graph in 8 bits: relative L2 distance of its probe's features from torch's, which may
    be far more than that on the tasks' pictures. 0 for an exact one."""
    tasks: dict[str, str]
    """Tasks that an error in 8 bits was measured on, by name: the `arrays_digest` of their
    adapters. Without any, random adapters stood in for them; the bare backbone has none."""
    versions: dict[str, str]
    """Of the libraries that made it, and of the runtime it was measured with."""
    machine: str
    """Where it was measured."""

    @property
    def name(self) -> str:
        """Return the stem of the graph's files."""
        return graph_name(self.places, int8=self.int8, blocked=self.block > 0)


@dataclass(frozen=True)
class Graph:
    """A graph to serve: the checked bytes, and their record."""

    record: GraphRecord
    path: Path
    content: bytes


class GraphStore:
    """The exported graphs of one backbone."""

    def __init__(self, path: Path, manifest: BackboneManifest):
        """Look in the backbone's folder and, where that can't be written, the user's cache.

        Args:
            path: Folder of the backbone.
            manifest: Its manifest.
        """
        self.backbone, self.manifest = path, manifest
        name = f'{manifest.id}-{manifest.digest[:16]}-{manifest.settings_digest[:8]}'
        cache = _cache_root()
        self.folders = (path / FOLDER, *([cache / name] if cache is not None else []))

    @property
    def writable(self) -> Path:
        """Return the folder that new graphs go to, made if need be.

        Raises:
            EngineError: None can be written.
        """
        for folder in self.folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
        folders = ' or '.join(map(str, self.folders))
        raise EngineError('onnx', f'no graph can be written to {folders}', 'Free one of them.')

    def find(self, places: Places, *, int8: bool = False, blocked: bool = False) -> Graph | None:
        """Return a graph that may be served, or None; a blocked one on request alone."""
        name = graph_name(places, int8=int8, blocked=blocked)
        for folder in self.folders:
            graph = self._read(folder / f'{name}.onnx')
            if graph is not None and self._fits(graph.record, places, int8=int8, blocked=blocked):
                return graph
        return None

    def get(self, places: Places, *, int8: bool = False, blocked: bool = False) -> Graph:
        """Return a graph that may be served, exporting a float32 one first if there is none.

        Args:
            places: Where it has adapters.
            int8: It is to be one in 8 bits.
            blocked: It may be a blocked one, which is then preferred.

        Raises:
            EngineError: It can't be exported or is not exact; or it is one in 8 bits that was
                not exported, and so not measured, on this machine.
        """
        graph = self._preferred(places, int8=int8, blocked=blocked)
        if graph is None and int8:
            raise EngineError(
                'onnx_int8',
                f'the error of {self.manifest.id} in 8 bits with adapters at {places.name} was '
                'not measured on this machine',
                f"Run 'roboadapt export --backbone {self.manifest.id} --int8', and judge its "
                "tasks with 'roboadapt eval --in-process --engine onnx_int8'.",
            )
        if graph is None:
            with self.exporting():
                # Another process may have made it.
                graph = self._preferred(places, blocked=blocked)
                if graph is None:
                    self._export(places)
                    graph = self._preferred(places, blocked=blocked)
        if graph is None:
            raise EngineError(
                'onnx',
                f'the graph {places.name} of {self.manifest.id} does not stay as it was exported',
                f'Look into {self.writable}.',
            )
        return graph

    def put(self, record: GraphRecord, content: bytes, folder: Path) -> Path:
        """Write a graph and its record, each whole or not at all.

        Returns:
            The graph's file.

        Raises:
            EngineError: It can't be written.
        """
        path = folder / f'{record.name}.onnx'
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            save_json(record, path.with_suffix('.json'))
        except OSError as error:
            raise EngineError(
                'onnx', f'{path} can not be written ({error.strerror})', 'Make room for it.'
            ) from error
        return path

    @contextmanager
    def exporting(self) -> Iterator[Path]:
        """Give the folder for new graphs to one process at a time."""
        folder = self.writable
        try:
            lock = (folder / '.lock').open('w')
        except OSError as error:
            raise EngineError(
                'onnx', f'{folder}/.lock can not be written ({error.strerror})', 'Free it.'
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    def _preferred(self, places: Places, *, int8: bool = False, blocked: bool) -> Graph | None:
        graph = self.find(places, blocked=True) if blocked and not int8 else None
        return graph or self.find(places, int8=int8)

    def _read(self, path: Path) -> Graph | None:
        """Return a file and its record if they belong together."""
        try:
            record = load_json(GraphRecord, path.with_suffix('.json'))
            content = path.read_bytes()
        except (OSError, RoboAdaptError):
            return None
        if hashlib.sha256(content).hexdigest() != record.sha256:
            return None
        return Graph(record, path, content)

    def _fits(self, record: GraphRecord, places: Places, *, int8: bool, blocked: bool) -> bool:
        """Return whether a record is of the graph asked for, measured and current."""
        manifest = self.manifest
        return (
            (record.backbone_id, record.backbone_digest) == (manifest.id, manifest.digest)
            and record.backbone_settings == manifest.settings_digest
            and (record.places, record.int8, record.format) == (places, int8, FORMAT)
            and (record.block > 0) == blocked
            and record.versions.get('onnxruntime') == runtime_version()
            and 0.0 <= record.parity <= MAX_PARITY
            and (not (int8 or blocked) or record.machine == machine_name())
        )

    def _export(self, places: Places) -> None:
        """Export in a process of its own; the lock is held."""
        words = str(self.backbone), json.dumps(to_mapping(places))
        run_module('roboadapt_ros.encoder.export', *words)


def graph_name(places: Places, *, int8: bool, blocked: bool = False) -> str:
    """Return the stem of a graph's files."""
    return f'{places.name}{"_int8" * int8}{"_blocked" * blocked}'


def runtime_version() -> str:
    """Return the version of the installed ONNX Runtime, '' where there is none."""
    for name in ('onnxruntime', 'onnxruntime-gpu'):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ''


def machine_name() -> str:
    """Return the processor's name, for what was measured on one kind of machine."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    wanted = ('vendor_id', 'cpu family', 'model', 'model name', 'stepping')
    facts = dict.fromkeys(
        value.strip()
        for key, _, value in (line.partition(':') for line in lines)
        if key.strip() in wanted
    )
    return f'{" ".join(facts) or platform.processor()}, {os.cpu_count()} CPUs'


def _cache_root() -> Path | None:
    """Return the user's cache; None for a user without a home, as containers have them."""
    root = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache')
    try:
        return root.expanduser() / 'roboadapt' / FOLDER
    except RuntimeError:
        return None
