"""From a frozen backbone in torch to a graph for ONNX Runtime, and the proof that it is one.

The backbone is exported once per set of places; adapters are inputs of the graph. A graph
that differs from torch by more than `MAX_PARITY` is not written, nor one in 8 bits that is
farther off than `MAX_INT8_ERROR`.

A convolutional net's graph is written a second time, in blocks, for this machine's processor.

Run as a module, `python -m roboadapt_ros.encoder.export BACKBONE PLACES`, it is the process
that `graphs.GraphStore` starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
import hashlib
from importlib.metadata import version
import json
import os
from pathlib import Path
import sys

from roboadapt_ros.adapters.placement import Placement
from roboadapt_ros.backbones.digest import arrays_digest
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.backbones.probe import read_probe
from roboadapt_ros.config import from_mapping
from roboadapt_ros.encoder.blocked_graph import block_size, blocked_graph
from roboadapt_ros.encoder.engine import Images
from roboadapt_ros.encoder.examples import (
    example_tasks,
    noise_images,
    scene_images,
    TaskTensors,
)
from roboadapt_ros.encoder.graphs import (
    FORMAT,
    GraphRecord,
    GraphStore,
    machine_name,
    MAX_PARITY,
    runtime_version,
)
from roboadapt_ros.encoder.int8 import MAX_INT8_ERROR, quantise
from roboadapt_ros.encoder.parity import Error, measure
from roboadapt_ros.encoder.places import BARE, Places
from roboadapt_ros.encoder.session import has_cuda, REFUSALS
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.encoder.trace import trace
from roboadapt_ros.errors import EngineError, RoboAdaptError

NICENESS = 10
"""Of the process that exports: low, but not so low that a busy machine never exports."""


def export_graph(path: Path, engine: TorchEngine, places: Places, folder: Path) -> GraphRecord:
    """Export one graph and measure it against torch.

    Args:
        path: Folder of the backbone.
        engine: Torch engine over it.
        places: Where the graph has adapters.
        folder: Where graph and record are written.

    Raises:
        EngineError: It can not be traced, or the graph is not exact.
        PackageError: The probe is not readable; TensorError where it is not the backbone's.
    """
    content, error = _exact(path, engine, places)
    record = _record(engine, places, content, error, parity=error.largest)
    GraphStore(path, engine.manifest).put(record, content, folder)
    return record


def export_blocked(
    path: Path, engine: TorchEngine, places: Places, folder: Path
) -> GraphRecord | None:
    """Export a blocked graph, for this machine's kind of processor, and measure it.

    Args:
        path: Folder of the backbone.
        engine: Torch engine over it.
        places: Where the graph has adapters.
        folder: Where graph and record are written.

    Returns:
        Its record, or None where there is none to be had: no adapters among a convolutional
        net's blocks, maps that ONNX Runtime does not keep in blocks here, a graphics card, or a
        graph that does not run or is not exact. The other graph then serves.
    """
    if not (engine.backbone.chain.is_convolutional and places.has_blocks) or has_cuda():
        return None
    block = block_size()
    if block == 1:
        return None
    branched, mixed = (trace(engine.backbone, places, branches=both) for both in (True, False))
    tasks, images = example_tasks(engine.backbone, places), noise_images(_probe(path, engine))
    try:
        content = blocked_graph(branched, mixed, places, block)
        if content is None:
            return None
        error = measure(engine, content, tasks, images, block=block)
    except REFUSALS:
        return None
    if not error.largest <= MAX_PARITY:
        return None
    record = _record(engine, places, content, error, parity=error.largest, block=block)
    GraphStore(path, engine.manifest).put(record, content, folder)
    return record


def export_int8(
    path: Path,
    engine: TorchEngine,
    places: Places,
    folder: Path,
    tasks: Mapping[str, TaskTensors] | None = None,
    pictures: Images | None = None,
) -> GraphRecord:
    """Export one graph with the backbone in 8 bits, and measure how far off it is.

    Args:
        path: Folder of the backbone.
        engine: Torch engine over it.
        places: Where the graph has adapters.
        folder: Where graph and record are written.
        tasks: Tasks by name with adapters at those places that it is to serve; without any,
            random ones that change the features more than a trained task does.
        pictures: (n, S, S, 3) that those tasks were learned on; None: the backbone's probe,
            which is noise for one that was added pretrained.

    Raises:
        EngineError: It can not be traced, or its features are too far from torch's.
        PackageError: As `export_graph`.
    """
    content, exact = _exact(path, engine, places, branches=False)
    named = dict(tasks or {})
    measured = list(named.values()) or example_tasks(engine.backbone, places)
    ranges, others = scene_images(_probe(path, engine) if pictures is None else pictures)
    maps = engine.backbone.chain.is_convolutional
    adapters = [{}, *(task.arrays(maps=maps) for task in measured)]
    examples = [{'images': image[None], **arrays} for image in ranges for arrays in adapters]
    try:
        content = quantise(content, examples, maps=maps)
        error = measure(engine, content, measured, others)
        probe_error = measure(engine, content, [], _probe(path, engine)).distance
    except REFUSALS as refusal:
        raise _refused(engine, f'the 8-bit graph {places.name}', refusal) from refusal
    if not error.distance <= MAX_INT8_ERROR:
        raise EngineError(
            'onnx_int8',
            f'in 8 bits the features of {engine.manifest.id} are {error.distance:.1%} off '
            f'torch; at most {MAX_INT8_ERROR:.0%} is offered',
            "Choose an exact engine: 'auto', 'onnx' or 'torch'.",
        )
    record = replace(
        _record(engine, places, content, error, parity=exact.largest, int8=True),
        probe_error=probe_error,
        tasks={name: arrays_digest(task.tensors) for name, task in named.items()},
    )
    GraphStore(path, engine.manifest).put(record, content, folder)
    return record


def _exact(
    path: Path, engine: TorchEngine, places: Places, *, branches: bool = True
) -> tuple[bytes, Error]:
    """Return the float32 graph and its error.

    Raises:
        EngineError: It can't be traced, does not run, or its error is too large.
    """
    content = trace(engine.backbone, places, branches=branches)
    tasks = example_tasks(engine.backbone, places)
    try:
        error = measure(engine, content, tasks, noise_images(_probe(path, engine)))
    except REFUSALS as refusal:
        raise _refused(engine, f'the graph {places.name}', refusal) from refusal
    if not error.largest <= MAX_PARITY:
        raise EngineError(
            'onnx',
            f'the graph {places.name} of {engine.manifest.id} differs from torch by '
            f'{error.largest:.1e} of the largest feature; at most {MAX_PARITY:.0e} is exact',
            "Choose the engine 'torch' for this backbone.",
        )
    return content, error


def _refused(engine: TorchEngine, what: str, refusal: Exception) -> EngineError:
    """Return the error for a graph that ONNX Runtime does not run."""
    return EngineError(
        'onnx',
        f'ONNX Runtime does not run {what} of {engine.manifest.id} '
        f'({str(refusal).partition(chr(10))[0]})',
        "Choose the engine 'torch' for this backbone.",
    )


def _probe(path: Path, engine: TorchEngine) -> Images:
    """Return the stored probe image of a backbone."""
    return read_probe(path, engine.manifest, engine.backbone.features_per_camera).image


def _record(
    engine: TorchEngine,
    places: Places,
    content: bytes,
    error: Error,
    *,
    parity: float,
    int8: bool = False,
    block: int = 0,
) -> GraphRecord:
    return GraphRecord(
        format=FORMAT,
        backbone_id=engine.manifest.id,
        backbone_digest=engine.manifest.digest,
        backbone_settings=engine.manifest.settings_digest,
        places=places,
        int8=int8,
        block=block,
        channels=engine.channels,
        is_maps=engine.backbone.chain.is_convolutional,
        sha256=hashlib.sha256(content).hexdigest(),
        parity=parity,
        largest_error=error.largest,
        feature_error=error.distance,
        probe_error=0.0,
        tasks={},
        versions={
            **{name: version(name) for name in ('torch', 'timm', 'onnx')},
            'onnxruntime': runtime_version(),
        },
        machine=machine_name(),
    )


def usual_places(backbone: FrozenBackbone) -> tuple[Places, ...]:
    """Return what a backbone is first served with: bare, and as tasks are trained by default."""
    return BARE, Places.of(Placement().layout(backbone))


def export_missing(path: Path, engine: TorchEngine, wanted: Iterable[Places]) -> None:
    """Export what may not be served as it is on disk; the caller holds `exporting`.

    Raises:
        EngineError: As `export_graph`.
    """
    store = GraphStore(path, engine.manifest)
    for places in dict.fromkeys(wanted):
        if store.find(places) is None:
            export_graph(path, engine, places, store.writable)
            export_blocked(path, engine, places, store.writable)


def export_usual(path: Path, engine: TorchEngine) -> None:
    """Export what may be asked for next, as far as it can be; the caller holds `exporting`."""
    for places in usual_places(engine.backbone):
        with suppress(EngineError):  # whoever asks for it is told
            export_missing(path, engine, [places])


def main(words: Sequence[str]) -> int:
    """Export what a `GraphStore` asks for; a failure is one line on stderr.

    Most of the time goes into loading torch, so the usual graphs are made along with it.
    """
    path = Path(words[0])
    try:
        places = from_mapping(Places, json.loads(words[1]), 'places')
        engine = TorchEngine(path)
        export_missing(path, engine, [places])
        export_usual(path, engine)
    except (RoboAdaptError, OSError) as error:
        sys.stderr.write(f'{error}\n')
        return 1
    return 0


if __name__ == '__main__':
    os.nice(NICENESS)  # whatever serves meanwhile comes first
    sys.exit(main(sys.argv[1:]))
