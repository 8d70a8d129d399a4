"""A frozen backbone with adapters at given places, traced into a graph.

Adapters are inputs of the graph, with free widths and a leading axis of 1 (one task for all
images) or of the batch (a task for each); left out, they are zeros. So is how often the images'
streams are repeated where the first adapter sits; left out, they are not.
"""

from __future__ import annotations

import io
from typing import Any
import warnings

import numpy as np
import onnx
import onnx.numpy_helper
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.encoder.examples import example_tasks
from roboadapt_ros.encoder.graph_module import AdaptedGraph
from roboadapt_ros.encoder.map_adapters import DOMAIN, write_out
from roboadapt_ros.encoder.places import Places, REPEATS, stack
from roboadapt_ros.errors import EngineError
import torch

OPSET = 17
"""The first with a layer normalisation of its own; ONNX Runtime fuses the GELUs itself."""


def trace(backbone: FrozenBackbone, places: Places, *, branches: bool = True) -> bytes:
    """Return the graph of a backbone with adapters at `places`.

    Args:
        backbone: What to trace.
        places: Where the adapters are.
        branches: As `map_adapters.write_out`.

    Raises:
        EngineError: It has an operation that graphs do not have.
    """
    module = AdaptedGraph(backbone, places).requires_grad_(False)
    side = backbone.manifest.image_size
    images = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    module.prepare(images[:1])
    maps = backbone.chain.is_convolutional
    arrays = stack([task.arrays(maps=maps) for task in example_tasks(backbone, places)] or [{}])
    is_marked = backbone.chain.is_convolutional and places.has_blocks
    examples = {REPEATS: np.ones(1, np.int64), **arrays}
    inputs = [torch.from_numpy(examples[name]) for name in places.inputs()]
    options = {
        'input_names': ['images', *places.inputs()],
        'output_names': ['features'],
        'dynamic_axes': {
            'images': {0: 'batch'},
            'features': {0: 'rows' if places.positions else 'batch'},
            **_free_axes(places, is_maps=backbone.chain.is_convolutional),
        },
        'custom_opsets': {DOMAIN: 1} if is_marked else {},
    }
    try:
        model = _traced(module, (images, *inputs), options)
    except (RuntimeError, ValueError) as error:
        # Of the exporter, the tracer, or of protobuf for a graph of more than 2 GB.
        problem = str(error).partition('\n')[0].partition('. ')[0]
        raise EngineError(
            'onnx',
            f'{backbone.manifest.id} can not be written as a graph ({problem})',
            "Choose the engine 'torch' for this backbone.",
        ) from error
    write_out(model, branches=branches)
    _add_defaults(model)
    written: bytes = model.SerializeToString()
    return written


def _traced(
    module: AdaptedGraph, inputs: tuple[torch.Tensor, ...], options: dict[str, Any]
) -> onnx.ModelProto:
    """Return what the exporter writes; `options` are its arguments."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The tracer warns of sizes that become constants: a graph is for one image size.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module,
            inputs,
            stream,  # type: ignore[arg-type]  # the tracing exporter writes to streams
            opset_version=OPSET,
            dynamo=False,  # which needs one graph for batches of one task and another for mixed
            **options,
        )
    return onnx.load_from_string(stream.getvalue())


def _add_defaults(model: onnx.ModelProto) -> None:
    """Make each input but the images one that may be left out.

    Adapters are then zeros, and images are not repeated. Adapter files of ONNX Runtime apply to
    such inputs.
    """
    for value in model.graph.input:
        if value.name == REPEATS:
            once = np.ones(1, np.int64)
            model.graph.initializer.append(onnx.numpy_helper.from_array(once, REPEATS))
        elif value.name != 'images':
            shape = [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim]
            shape[-1] *= 9 if value.name.endswith('.mix.weight') else 1
            zeros = np.zeros(shape, np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(zeros, value.name))


def _free_axes(places: Places, *, is_maps: bool) -> dict[str, dict[int, str]]:
    """Return the free axes of the adapter inputs: the tasks, and each bottleneck's width."""
    axes: dict[str, dict[int, str]] = {}
    out, into = (1, 2) if is_maps else (2, 1)
    for name in places.inputs():
        if name == REPEATS:
            continue
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
