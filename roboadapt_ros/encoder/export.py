"""From a frozen backbone in torch to a graph for ONNX Runtime, and the proof that it is one.

The backbone is exported once per placement; adapters are inputs of the graph, with free
widths and a leading axis of 1 (one task for all images) or of the batch (a task for each).
A graph that differs from torch by more than `MAX_PARITY` is not written.

Run as a module, `python -m roboadapt_ros.encoder.export BACKBONE FOLDER REQUEST`, it is the
process that `graphs.GraphStore` starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
from importlib.metadata import version
import io
import json
from pathlib import Path
import sys
import warnings

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.backbones.manifest import PROBE_NAME
from roboadapt_ros.config import from_mapping
from roboadapt_ros.encoder.engine import Images
from roboadapt_ros.encoder.graph_module import AdaptedGraph
from roboadapt_ros.encoder.graphs import (
    FORMAT,
    GraphRecord,
    GraphStore,
    machine_name,
    MAX_PARITY,
    runtime_version,
)
from roboadapt_ros.encoder.placement import Arrays, graph_arrays, Placement, stack
from roboadapt_ros.encoder.session import Session
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.errors import EngineError, RoboAdaptError
import safetensors.numpy
import torch

OPSET = 17
"""The first with a layer normalisation of its own; ONNX Runtime fuses the GELUs itself."""
WIDTHS = (4, 7)
"""Of the adapters that parity is measured with."""


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


def export_graph(
    path: Path, engine: TorchEngine, placement: Placement, folder: Path
) -> GraphRecord:
    """Export one graph and measure it against torch.

    Args:
        path: Folder of the backbone.
        engine: Torch engine over it.
        placement: Where the graph has adapters.
        folder: Where graph and record are written.

    Raises:
        EngineError: The graph is not exact.
    """
    content = trace(engine.backbone, placement)
    error = measure(engine, placement, content, probe_images(path))
    if not error.largest <= MAX_PARITY:
        raise EngineError(
            'onnx',
            f'the graph {placement.name} of {engine.manifest.id} differs from torch by '
            f'{error.largest:.1e} of the largest feature; at most {MAX_PARITY:.0e} is exact',
            "Choose the engine 'torch' for this backbone.",
        )
    record = GraphRecord(
        format=FORMAT,
        backbone_id=engine.manifest.id,
        backbone_digest=engine.manifest.digest,
        placement=placement,
        int8=False,
        channels=engine.channels,
        is_maps=engine.backbone.chain.is_convolutional,
        sha256=hashlib.sha256(content).hexdigest(),
        parity=error.largest,
        feature_error=error.distance,
        versions={
            **{name: version(name) for name in ('torch', 'timm', 'onnx')},
            'onnxruntime': runtime_version(),
        },
        machine=machine_name(),
    )
    GraphStore(path, engine.manifest).put(record, content, folder)
    return record


def trace(backbone: FrozenBackbone, placement: Placement) -> bytes:
    """Return the graph of a backbone with adapters at a placement."""
    module = AdaptedGraph(backbone, placement).requires_grad_(False)
    side = backbone.manifest.image_size
    images = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    module.prepare(images[:1])
    example = _random_tasks(backbone, placement)[1] if placement.positions else {}
    arrays = stack([example, example])
    inputs = [torch.from_numpy(arrays[name]) for name in placement.inputs()]
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The tracer warns of sizes that become constants: a graph is for one image size.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module,
            (images, *inputs),
            stream,  # type: ignore[arg-type]  # the tracing exporter writes to streams
            input_names=['images', *placement.inputs()],
            output_names=['features'],
            dynamic_axes={
                'images': {0: 'batch'},
                'features': {0: 'batch'},
                **_free_axes(placement, is_maps=backbone.chain.is_convolutional),
            },
            opset_version=OPSET,
            dynamo=False,  # which needs one graph for batches of one task and another for mixed
        )
    return stream.getvalue()


def _free_axes(placement: Placement, *, is_maps: bool) -> dict[str, dict[int, str]]:
    """Return the free axes of the adapter inputs: the tasks, and each bottleneck's width."""
    axes: dict[str, dict[int, str]] = {}
    out, into = (1, 2) if is_maps else (2, 1)
    for name in placement.inputs():
        site = name.removesuffix('.weight').removesuffix('.bias').rpartition('.')[0]
        free = {0: 'tasks'}
        if '.down.' in name:
            free[out] = f'{site}.width'
        elif name.endswith('.up.weight'):
            free[into] = f'{site}.width'
        elif name.endswith('.mix.weight'):
            free |= {1: f'{site}.width', 2: f'{site}.columns'}
        axes[name] = free
    return axes


def measure(engine: TorchEngine, placement: Placement, content: bytes, images: Images) -> Error:
    """Compare a graph with torch: each task by itself, and a batch of both and of none."""
    session = Session(content, threads=1)
    if not placement.positions:
        return Error.of(session.run(images, {}), engine.run(images, None))
    layouts = _layouts(engine.backbone, placement)
    handles = [engine.add(layout, _random_tensors(layout)) for layout in layouts]
    first, second = _random_tasks(engine.backbone, placement)
    found = [
        session.run(images, first),
        session.run(images, second),
        session.run(images, stack([first, None, second])),
    ]
    wanted = [engine.run(images, handle) for handle in handles]
    wanted.append(engine.run_mixed(images, [handles[0], None, handles[1]]))
    return Error.of(np.concatenate(found), np.concatenate(wanted))


def probe_images(path: Path) -> Images:
    """Return the stored probe image of a backbone, and two of noise."""
    probe: Images = safetensors.numpy.load_file(path / PROBE_NAME)['image']
    noise = np.random.default_rng(0).integers(0, 256, (2, *probe.shape[1:]), dtype=np.uint8)
    return np.concatenate([probe, noise])


def _layouts(backbone: FrozenBackbone, placement: Placement) -> list[AdapterLayout]:
    """Return layouts at a placement, one of each of `WIDTHS`."""
    pooled = backbone.manifest.pooled_channels
    has = set(placement.positions).__contains__
    last = backbone.depth + 1
    return [
        AdapterLayout(
            channels=backbone.shape.channels,
            pooled_channels=pooled,
            bottom=width * has(0),
            middle=tuple(width * has(position) for position in range(1, last)),
            top=(pooled if placement.is_linear_top else width) * has(last),
            top_kind=placement.top_kind,
            kernel=placement.kernel,
        )
        for width in WIDTHS
    ]


def _random_tensors(layout: AdapterLayout) -> Arrays:
    """Return adapters that change the stream by about its own size, not more."""
    rng = np.random.default_rng(1)
    tensors = {}
    for name, shape in layout.shapes().items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 4
        tensors[name] = rng.normal(0.0, 0.5 * fan_in**-0.5, shape).astype(np.float32)
    return tensors


def _random_tasks(backbone: FrozenBackbone, placement: Placement) -> list[Arrays]:
    maps = backbone.chain.is_convolutional
    return [
        graph_arrays(layout, _random_tensors(layout), maps=maps)
        for layout in _layouts(backbone, placement)
    ]


def main(words: Sequence[str]) -> int:
    """Export what a `GraphStore` asks for; a failure is one line on stderr."""
    path, folder, request = Path(words[0]), Path(words[1]), json.loads(words[2])
    placement = from_mapping(Placement, request['placement'], 'placement')
    try:
        export_graph(path, TorchEngine(path), placement, folder)
    except RoboAdaptError as error:
        sys.stderr.write(f'{error}\n')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
