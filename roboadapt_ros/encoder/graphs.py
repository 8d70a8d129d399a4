"""Exported graphs on disk: what each one is, and which may be served.

A graph is served only beside a record that names this backbone's digest, this format and
runtime, and the sha256 of the very bytes. Whatever differs is exported anew, by a process of
its own: the one that serves loads no torch and goes on encoding. Imports neither torch nor
onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import hashlib
from importlib.metadata import version
import json
import os
from pathlib import Path
import platform
import subprocess
import sys

from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.config import load_json, save_json, to_mapping
from roboadapt_ros.encoder.placement import Placement
from roboadapt_ros.errors import EngineError, RoboAdaptError

FORMAT = 1
"""Raised when graphs or their inputs change; older ones are then exported anew."""
MAX_PARITY = 1e-4
"""Largest relative difference of a float32 graph from torch."""
FOLDER = 'onnx'
"""In the backbone's folder."""
EXPORT_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """What is known of one exported graph; a JSON file beside it."""

    format: int
    backbone_id: str
    backbone_digest: str
    placement: Placement
    int8: bool
    channels: tuple[int, ...]
    """Of the chain, as `AdapterLayout.channels`."""
    is_maps: bool
    """True for a convolutional net."""
    sha256: str
    """Of the graph's file."""
    parity: float
    """Relative difference of the float32 graph from torch, measured when exported."""
    feature_error: float
    """Relative L2 distance of the features from torch's; 8 bits make it worth knowing."""
    versions: dict[str, str]
    """Of the libraries that made it, and of the runtime it was measured with."""
    machine: str
    """Where it was measured."""


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
        self.folders = (path / FOLDER, _cache_root() / f'{manifest.id}-{manifest.digest[:16]}')

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
        places = ' nor '.join(map(str, self.folders))
        raise EngineError('onnx', f'neither {places} can be written', 'Free one of them.')

    def find(self, placement: Placement, *, int8: bool = False) -> Graph | None:
        """Return a graph that may be served, or None."""
        for folder in self.folders:
            graph = self._read(folder / f'{graph_name(placement, int8=int8)}.onnx')
            if graph is not None and self._fits(graph.record, placement, int8=int8):
                return graph
        return None

    def get(self, placement: Placement, *, int8: bool = False) -> Graph:
        """Return a graph that may be served, exporting it first if there is none.

        Raises:
            EngineError: It can't be exported, or is not exact.
        """
        graph = self.find(placement, int8=int8)
        if graph is None:
            with self.exporting() as folder:
                graph = self.find(placement, int8=int8)  # another process may have made it
                if graph is None:
                    self._export(placement, folder, int8=int8)
                    graph = self.find(placement, int8=int8)
        if graph is None:
            raise EngineError(
                'onnx',
                f'the graph {graph_name(placement, int8=int8)} of {self.manifest.id} does not '
                'stay as it was exported',
                f'Look into {self.writable}.',
            )
        return graph

    def put(self, record: GraphRecord, content: bytes, folder: Path) -> Path:
        """Write a graph and its record, each whole or not at all.

        Returns:
            The graph's file.
        """
        path = folder / f'{graph_name(record.placement, int8=record.int8)}.onnx'
        temporary = path.with_suffix(f'.{os.getpid()}.part')
        temporary.write_bytes(content)
        temporary.replace(path)
        save_json(record, path.with_suffix('.json'))
        return path

    @contextmanager
    def exporting(self) -> Iterator[Path]:
        """Give the folder for new graphs to one process at a time."""
        folder = self.writable
        with (folder / '.lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

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

    def _fits(self, record: GraphRecord, placement: Placement, *, int8: bool) -> bool:
        """Return whether a record is of the graph asked for, measured and current."""
        manifest = self.manifest
        return (
            (record.backbone_id, record.backbone_digest) == (manifest.id, manifest.digest)
            and (record.placement, record.int8, record.format) == (placement, int8, FORMAT)
            and record.versions.get('onnxruntime') == runtime_version()
            and 0.0 <= record.parity <= MAX_PARITY
            and (not int8 or record.machine == machine_name())
        )

    def _export(self, placement: Placement, folder: Path, *, int8: bool) -> None:
        """Export in a process of its own; the lock is held."""
        request = {'placement': to_mapping(placement), 'int8': int8}
        words = [sys.executable, '-m', 'roboadapt_ros.encoder.export']
        words += [str(self.backbone), str(folder), json.dumps(request)]
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=EXPORT_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError('onnx', f'the export did not run ({error})', _REMEDY) from error
        if done.returncode:
            last = (done.stderr.strip() or 'no message').splitlines()[-1]
            raise EngineError('onnx', f'the export failed: {last}', _REMEDY)


_REMEDY = "See 'roboadapt export', or choose the engine 'torch'."


def graph_name(placement: Placement, *, int8: bool) -> str:
    """Return the stem of a graph's files."""
    return f'{placement.name}_int8' if int8 else placement.name


def runtime_version() -> str:
    """Return the version of the installed ONNX Runtime, '' where there is none."""
    for name in ('onnxruntime', 'onnxruntime-gpu'):
        try:
            return version(name)
        except ModuleNotFoundError:
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


def _cache_root() -> Path:
    root = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(root).expanduser() / 'roboadapt' / FOLDER
