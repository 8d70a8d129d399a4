"""A graph whose backbone multiplies in 8 bits: faster on some processors, not exact.

A transformer's matrices are rounded once, per column; what they are multiplied with is
rounded at run time, by its own range. A convolutional net's maps need ranges that are known
beforehand: they are measured on example images, alone and under adapters. Adapters, attention
and norms stay float32, and so does whatever makes a transformer's tokens, a ResNet included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import logging
from pathlib import Path
import tempfile
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    quantize_dynamic,
    quantize_static,
    QuantType,
)
from roboadapt_ros.encoder.map_adapters import MARKER

MAX_INT8_ERROR = 0.1
"""Largest relative L2 distance from torch's features that is offered."""
BETWEEN_CONVOLUTIONS = ('Relu', 'MaxPool', 'Add')
"""What may stay in 8 bits from one convolution to the next."""

Feeds = Mapping[str, npt.NDArray[Any]]
"""Inputs of one run: images, and adapters or none."""


def quantise(content: bytes, examples: Sequence[Feeds], *, maps: bool) -> bytes:
    """Return a graph with its backbone's weights in 8 bits.

    Args:
        content: The float32 graph, without branches.
        examples: What the ranges of a convolutional net are measured on.
        maps: True for a convolutional net, False for a transformer.
    """
    model = onnx.load_from_string(content)
    constant = {tensor.name for tensor in model.graph.initializer}
    constant -= {value.name for value in model.graph.input}  # adapters are given at run time
    weighted = [node for node in model.graph.node if constant.intersection(node.input[1:2])]
    convolutions = [node for node in weighted if node.op_type == 'Conv']
    options: dict[str, Any] = {'per_channel': True, 'weight_type': QuantType.QInt8}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / 'graph.onnx'
        if maps:
            _separate_biases(model, convolutions)
            quantize_static(
                model,
                path,
                _Examples(examples),
                op_types_to_quantize=['Conv', *BETWEEN_CONVOLUTIONS],
                nodes_to_quantize=[node.name for node in convolutions] + _between(model),
                activation_type=QuantType.QUInt8,
                **options,
            )
        else:
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=['MatMul'],
                nodes_to_quantize=[n.name for n in weighted if n.op_type == 'MatMul'],
                extra_options={'MatMulConstBOnly': True},
                **options,
            )
        return path.read_bytes()


class _Examples(CalibrationDataReader):
    """Gives one example after another."""

    def __init__(self, examples: Sequence[Feeds]):
        self._left = iter(examples)

    def get_next(self) -> Feeds | None:
        """Return the next one, None at the end."""
        return next(self._left, None)


def _between(model: onnx.ModelProto) -> list[str]:
    """Return the nodes of the backbone's own modules that lie between convolutions."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type in BETWEEN_CONVOLUTIONS
        and node.name.count('/') > 1
        and not node.name.startswith(f'/{MARKER}')
    ]


def _separate_biases(model: onnx.ModelProto, convolutions: Sequence[onnx.NodeProto]) -> None:
    """Give every convolution a bias of its own: a shared one would keep it in float32."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    uses = Counter(node.input[2] for node in convolutions if len(node.input) > 2)
    for number, node in enumerate(convolutions):
        if len(node.input) > 2 and uses[node.input[2]] > 1:
            own = onnx.TensorProto()
            own.CopyFrom(tensors[node.input[2]])
            own.name = node.input[2] = f'{own.name}.{number}'
            model.graph.initializer.append(own)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back advice on steps that gain nothing here."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    ort.set_default_logger_severity(3)
    try:
        yield
    finally:
        logging.disable(previous)
        ort.set_default_logger_severity(2)
