"""Adapters on maps, as the nodes of a graph: one form for one task, one for a task per image.

One task is three convolutions whose weights are inputs, the last of which adds to the map it
started from: nothing is transposed, and no map is written that is not needed. A task per image
is products of matrices, one per image. Which of the two runs is decided by the leading axis
of the inputs, in the graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
from roboadapt_ros.encoder.places import REPEATS

DOMAIN = 'roboadapt'
MARKER = 'Bottleneck'
"""What stands in the traced graph for an adapter: inputs map, down weight, down bias, perhaps
mix weight, up weight, up bias, at the first one `REPEATS`; attribute sizes: channels, height,
width."""
RUNTIME = 'com.microsoft'
"""ONNX Runtime's own operators: every version has these two, `Gelu` and `FusedConv`."""
_SINGLE = 'is_one_task'
_ROWS = 'rows'
"""The leading axis after the first adapter: the batch, or repetitions of it."""


def write_out(model: onnx.ModelProto, *, branches: bool) -> None:
    """Replace every marker of a graph by its nodes, in place.

    Args:
        model: The graph.
        branches: Write both forms and the choice between them; else only the form for a task
            per image, which serves one task as well. What rounds graphs to 8 bits, and what
            runs them, can't be trusted with branches.
    """
    graph = model.graph
    markers = [node for node in graph.node if (node.domain, node.op_type) == (DOMAIN, MARKER)]
    if not markers:
        return
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node not in markers:
            nodes.append(node)
        elif branches:
            nodes += _decision(node.input[1]) if node == markers[0] else []
            nodes.append(_choice(node))
        else:
            nodes += _Branch(node, 'each').inline()
    made = {marker.output[0] for marker in markers}
    others = [value for value in graph.value_info if value.name not in made]
    del graph.value_info[:]
    graph.value_info.extend(others)
    for marker in markers:
        shape: list[str | int | None] = [_ROWS, *_sizes(marker)]
        graph.value_info.append(
            helper.make_tensor_value_info(marker.output[0], TensorProto.FLOAT, shape)
        )
    del graph.node[:]
    graph.node.extend(nodes)
    kept = [opset for opset in model.opset_import if opset.domain not in (DOMAIN, RUNTIME)]
    del model.opset_import[:]
    model.opset_import.extend([*kept, helper.make_opsetid(RUNTIME, 1)])


def _sizes(marker: onnx.NodeProto) -> tuple[int, int, int]:
    channels, height, width = marker.attribute[0].ints
    return channels, height, width


def _decision(weight: str) -> list[onnx.NodeProto]:
    """Return nodes that tell whether an adapter input has one task."""
    one = numpy_helper.from_array(np.array([1], np.int64))
    return [
        helper.make_node('Shape', [weight], [f'{_SINGLE}.tasks'], start=0, end=1),
        helper.make_node('Constant', [], [f'{_SINGLE}.one'], value=one),
        helper.make_node('Equal', [f'{_SINGLE}.tasks', f'{_SINGLE}.one'], [_SINGLE]),
    ]


def _choice(marker: onnx.NodeProto) -> onnx.NodeProto:
    """Return the node that runs one form or the other."""
    branches = {
        'then_branch': _Branch(marker, 'one').single(),
        'else_branch': _Branch(marker, 'each').mixed(),
    }
    return helper.make_node('If', [_SINGLE], list(marker.output), marker.name, **branches)


class _Branch:
    """A graph inside the graph, built node by node; it sees the names around it."""

    def __init__(self, marker: onnx.NodeProto, name: str):
        self.prefix = f'{marker.name}/{name}'
        self.sizes, self.result = _sizes(marker), marker.output[0]
        self.is_first = REPEATS in marker.input
        weights = [name for name in marker.input if name != REPEATS]
        self.x, self.down, self.down_bias, *mix, self.up, self.up_bias = weights
        self.mix = mix[0] if mix else None
        self.nodes: list[onnx.NodeProto] = []

    def single(self) -> onnx.GraphProto:
        """One task for all images: convolutions."""
        channels = self.sizes[0]
        down = self.reshape(self.down, [-1, channels, 1, 1])
        hidden = self.op('Conv', self.x, down, self.reshape(self.down_bias, [-1]))
        if self.mix is not None:
            kernel = self.op('Squeeze', self.reshape(self.mix, [0, 0, 3, 3, -1]), self.ints([0]))
            kernel = self.op('Transpose', kernel, perm=[0, 3, 1, 2])
            hidden = self.op('Conv', hidden, kernel, pads=[1, 1, 1, 1])
        hidden = self.op('Gelu', hidden, domain=RUNTIME)
        up = self.reshape(self.up, [channels, -1, 1, 1])
        bias = self.reshape(self.up_bias, [-1])
        return self.graph(self.op('FusedConv', hidden, up, bias, self.x, domain=RUNTIME))

    def mixed(self) -> onnx.GraphProto:
        """A task for each image, perhaps several for the same one: products of matrices."""
        channels, height, width = self.sizes
        flat = self.reshape(self.x, [0, channels, height * width])
        if self.is_first:
            times = self.op('Concat', REPEATS, self.ints([1, 1]), axis=0)
            flat = self.op('Tile', flat, times)
        hidden = self.op('Add', self.op('MatMul', self.down, flat), self.down_bias)
        if self.mix is not None:
            hidden = self.op('MatMul', self.mix, self.neighbours(hidden))
        hidden = self.op('Gelu', hidden, domain=RUNTIME)
        change = self.op('Add', self.op('MatMul', self.up, hidden), self.up_bias)
        return self.graph(self.reshape(self.op('Add', flat, change), [0, channels, height, width]))

    def inline(self) -> list[onnx.NodeProto]:
        """Return the nodes of `mixed`, for the place of the marker itself."""
        self.mixed()
        self.nodes[-1].output[0] = self.result
        return self.nodes

    def neighbours(self, flat: str) -> str:
        """Return the 3x3 neighbourhoods of flat maps, (B, h, H * W) to (B, 9 * h, H * W)."""
        _, height, width = self.sizes
        maps = self.reshape(flat, [0, 0, height, width])
        padded = self.op('Pad', maps, self.ints([0, 0, 1, 1, 0, 0, 1, 1]))
        axes = self.ints([2, 3])
        views = [
            self.op(
                'Slice',
                padded,
                self.ints([row, column]),
                self.ints([row + height, column + width]),
                axes,
            )
            for row in range(3)
            for column in range(3)
        ]
        return self.reshape(self.op('Concat', *views, axis=1), [0, -1, height * width])

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        output = f'{self.prefix}/{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def ints(self, values: Iterable[int]) -> str:
        """Add a constant."""
        value = numpy_helper.from_array(np.array(list(values), np.int64))
        return self.op('Constant', value=value)

    def reshape(self, x: str, shape: list[int]) -> str:
        """Add a reshape; 0 keeps an axis."""
        return self.op('Reshape', x, self.ints(shape))

    def graph(self, result: str) -> onnx.GraphProto:
        """Return what was built, with `result` as its output."""
        shape: list[str | int | None] = [_ROWS, *self.sizes]
        output = helper.make_tensor_value_info(result, TensorProto.FLOAT, shape)
        return helper.make_graph(self.nodes, self.prefix, [], [output])
