"""From a frozen backbone in torch to a graph for ONNX Runtime, and the proof that it is one.

The backbone is exported once per set of places; adapters are inputs of the graph, with free
widths and a leading axis of 1 (one task for all images) or of the batch (a task for each).
A graph that differs from torch by more than `MAX_PARITY` is not written.

Run as a module, `python -m roboadapt_ros.encoder.export BACKBONE PLACES`, it is the
process that `graphs.GraphStore` starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
import onnx
import onnx.numpy_helper
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.adapters.placement import Placement
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
from roboadapt_ros.encoder.int8 import MAX_INT8_ERROR, quantise
from roboadapt_ros.encoder.map_adapters import DOMAIN, write_out
from roboadapt_ros.encoder.places import Arrays, BARE, graph_arrays, Places, stack
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
    path: Path, engine: TorchEngine, places: Places, folder: Path, *, int8: bool = False
) -> GraphRecord:
    """Export one graph and measure it against torch.

    Args:
        path: Folder of the backbone.
        engine: Torch engine over it.
        places: Where the graph has adapters.
        folder: Where graph and record are written.
        int8: Keep the backbone's matrices in 8 bits; the features' error is measured and kept.

    Raises:
        EngineError: The graph is not exact, or in 8 bits too far from torch.
    """
    content, images = trace(engine.backbone, places), probe_images(path)
    error = measure(engine, places, content, images)
    parity = error.largest
    if not error.largest <= MAX_PARITY:
        raise EngineError(
            'onnx',
            f'the graph {places.name} of {engine.manifest.id} differs from torch by '
            f'{error.largest:.1e} of the largest feature; at most {MAX_PARITY:.0e} is exact',
            "Choose the engine 'torch' for this backbone.",
        )
    if int8:
        content = quantise(content)
        error = measure(engine, places, content, images)
        if not error.distance <= MAX_INT8_ERROR:
            raise EngineError(
                'onnx_int8',
                f'in 8 bits the features of {engine.manifest.id} are {error.distance:.1%} off '
                f'torch; at most {MAX_INT8_ERROR:.0%} is offered',
                "Choose an exact engine: 'auto', 'onnx' or 'torch'.",
            )
    record = GraphRecord(
        format=FORMAT,
        backbone_id=engine.manifest.id,
        backbone_digest=engine.manifest.digest,
        places=places,
        int8=int8,
        channels=engine.channels,
        is_maps=engine.backbone.chain.is_convolutional,
        sha256=hashlib.sha256(content).hexdigest(),
        parity=parity,
        largest_error=error.largest,
        feature_error=error.distance,
        versions={
            **{name: version(name) for name in ('torch', 'timm', 'onnx')},
            'onnxruntime': runtime_version(),
        },
        machine=machine_name(),
    )
    GraphStore(path, engine.manifest).put(record, content, folder)
    return record


def trace(backbone: FrozenBackbone, places: Places) -> bytes:
    """Return the graph of a backbone with adapters at `places`."""
    module = AdaptedGraph(backbone, places).requires_grad_(False)
    side = backbone.manifest.image_size
    images = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    module.prepare(images[:1])
    example = example_tasks(backbone, places)[1] if places.positions else {}
    arrays = stack([example, example])
    is_marked = backbone.chain.is_convolutional and places.has_blocks
    inputs = [torch.from_numpy(arrays[name]) for name in places.inputs()]
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The tracer warns of sizes that become constants: a graph is for one image size.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module,
            (images, *inputs),
            stream,  # type: ignore[arg-type]  # the tracing exporter writes to streams
            input_names=['images', *places.inputs()],
            output_names=['features'],
            dynamic_axes={
                'images': {0: 'batch'},
                'features': {0: 'batch'},
                **_free_axes(places, is_maps=backbone.chain.is_convolutional),
            },
            opset_version=OPSET,
            custom_opsets={DOMAIN: 1} if is_marked else {},
            dynamo=False,  # which needs one graph for batches of one task and another for mixed
        )
    model = onnx.load_from_string(stream.getvalue())
    write_out(model)
    _add_defaults(model)
    written: bytes = model.SerializeToString()
    return written


def _add_defaults(model: onnx.ModelProto) -> None:
    """Make each adapter input one that may be left out: it is then zeros, no adapter.

    Adapter files of ONNX Runtime apply to such inputs.
    """
    for value in model.graph.input:
        if value.name != 'images':
            shape = [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim]
            shape[-1] *= 9 if value.name.endswith('.mix.weight') else 1
            zeros = np.zeros(shape, np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(zeros, value.name))


def _free_axes(places: Places, *, is_maps: bool) -> dict[str, dict[int, str]]:
    """Return the free axes of the adapter inputs: the tasks, and each bottleneck's width."""
    axes: dict[str, dict[int, str]] = {}
    out, into = (1, 2) if is_maps else (2, 1)
    for name in places.inputs():
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


def measure(engine: TorchEngine, places: Places, content: bytes, images: Images) -> Error:
    """Compare a graph with torch: each task by itself, and a batch of both and of none."""
    session = Session(content, threads=1)
    if not places.positions:
        return Error.of(session.run(images, {}), engine.run(images, None))
    layouts = example_layouts(engine.backbone, places)
    handles = [engine.add(layout, example_tensors(layout)) for layout in layouts]
    first, second = example_tasks(engine.backbone, places)
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


def example_layouts(backbone: FrozenBackbone, places: Places) -> list[AdapterLayout]:
    """Return layouts with adapters at `places`, one for each of `WIDTHS`."""
    pooled = backbone.manifest.pooled_channels
    has = set(places.positions).__contains__
    last = backbone.depth + 1
    return [
        AdapterLayout(
            channels=backbone.shape.channels,
            pooled_channels=pooled,
            bottom=width * has(0),
            middle=tuple(width * has(position) for position in range(1, last)),
            top=(pooled if places.is_linear_top else width) * has(last),
            top_kind=places.top_kind,
            kernel=places.kernel,
        )
        for width in WIDTHS
    ]


def example_tensors(layout: AdapterLayout) -> Arrays:
    """Return adapters that change the stream by about its own size, not more."""
    rng = np.random.default_rng(1)
    tensors = {}
    for name, shape in layout.shapes().items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 4
        tensors[name] = rng.normal(0.0, 0.5 * fan_in**-0.5, shape).astype(np.float32)
    return tensors


def example_tasks(backbone: FrozenBackbone, places: Places) -> list[Arrays]:
    """Return the inputs of one task for each of `WIDTHS`."""
    maps = backbone.chain.is_convolutional
    return [
        graph_arrays(layout, example_tensors(layout), maps=maps)
        for layout in example_layouts(backbone, places)
    ]


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


def main(words: Sequence[str]) -> int:
    """Export what a `GraphStore` asks for; a failure is one line on stderr.

    Most of the time goes into loading torch, so the usual graphs are made along with it.
    """
    path = Path(words[0])
    try:
        places = from_mapping(Places, json.loads(words[1]), 'places')
        engine = TorchEngine(path)
        export_missing(path, engine, [places, *usual_places(engine.backbone)])
    except RoboAdaptError as error:
        sys.stderr.write(f'{error}\n')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
