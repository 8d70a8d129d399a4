"""Makes a blocked graph: see `blocked`.

Two graphs of ONNX Runtime's own making are put into one: that of one task, whose adapters become
convolutions among the blocks, and that of a task per image, as it is. They share the backbone's
weights, and an input tells which of them runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
import hashlib
from pathlib import Path
import tempfile
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import onnxruntime as ort
from roboadapt_ros.encoder.blocked import EACH, is_top, MIXED
from roboadapt_ros.encoder.map_adapters import RUNTIME
from roboadapt_ros.encoder.places import Places, REPEATS
from roboadapt_ros.encoder.session import CPU, ERRORS_ONLY

BLOCKS = 'com.microsoft.nchwc'
"""ONNX Runtime's operators on maps in blocks."""
_ONE, _RESULT = 'one.', 'features'
_POINT: dict[str, Any] = {
    'kernel_shape': [1, 1],
    'pads': [0] * 4,
    'strides': [1, 1],
    'dilations': [1, 1],
}
_SQUARE: dict[str, Any] = {**_POINT, 'kernel_shape': [3, 3], 'pads': [1] * 4}


def block_size() -> int:
    """Return the channels of a block on this processor, 1 where maps are not kept in blocks.

    A convolution of four channels has its weights filled up to one block.
    """
    x = helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 3, 4, 4])
    y = helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, 4, 4, 4])
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), 'weight')
    node = helper.make_node('Conv', ['x', 'weight'], ['y'])
    graph = helper.make_graph([node], 'probe', [x], [y], [weight])
    opsets = [helper.make_opsetid('', 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    found = _optimised(model.SerializeToString()).graph
    nodes = [node for node in found.node if node.domain == BLOCKS and node.op_type == 'Conv']
    sizes = [t.dims[0] for t in found.initializer for node in nodes if t.name == node.input[1]]
    return int(sizes[0]) if sizes else 1


def blocked_graph(branched: bytes, mixed: bytes, places: Places, block: int) -> bytes | None:
    """Return a blocked graph, or None where the adapters do not sit among blocks.

    Args:
        branched: The graph with both forms of each adapter, of a convolutional net.
        mixed: The graph with the form for a task per image alone.
        places: Where they have adapters.
        block: `block_size()`.
    """
    model, each = _optimised(branched), _optimised(mixed)
    if not _put_among_blocks(model.graph, places, block):
        return None
    weights = _Weights()
    inputs = [value for value in model.graph.input if _is_common(value.name)]
    own = [value for value in model.graph.input if value not in inputs]
    theirs = [value for value in each.graph.input if value.name not in {v.name for v in inputs}]
    renamed = {value.name: EACH + value.name for value in theirs}
    shared = {value.name: value.name for value in (*inputs, *own)}
    branches = {
        'then_branch': _branch(each.graph, weights, {**shared, **renamed}, EACH),
        'else_branch': _branch(model.graph, weights, shared, _ONE),
    }
    for value in theirs:
        value.name = renamed[value.name]
    is_mixed = helper.make_tensor_value_info(MIXED, TensorProto.BOOL, [1])
    weights.add(numpy_helper.from_array(np.array([False]), MIXED))
    graph = helper.make_graph(
        [helper.make_node('If', [MIXED], [_RESULT], **branches)],
        'blocked',
        [*inputs, is_mixed, *own, *theirs],
        list(model.graph.output),
        weights.tensors,
    )
    versions = {opset.domain: opset for opset in (*each.opset_import, *model.opset_import)}
    versions |= {domain: helper.make_opsetid(domain, 1) for domain in (BLOCKS, RUNTIME)}
    whole = helper.make_model(
        graph, opset_imports=list(versions.values()), ir_version=model.ir_version
    )
    content: bytes = whole.SerializeToString()
    return content


def _is_common(name: str) -> bool:
    """Return whether both graphs take an input in the same form."""
    return name in ('images', REPEATS) or is_top(name)


def _optimised(content: bytes) -> onnx.ModelProto:
    """Return a graph as ONNX Runtime runs it on this processor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'optimised.onnx'
        options = ort.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(content, options, providers=[CPU])
        return onnx.load(path)


class _Weights:
    """The weights of several graphs, equal ones kept once."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self._names: dict[bytes, str] = {}

    def add(self, tensor: onnx.TensorProto, name: str = '') -> str:
        """Add a tensor, by its own name or the name of an equal one."""
        if name:
            key = hashlib.sha256(f'{tensor.data_type} {list(tensor.dims)}'.encode())
            key.update(numpy_helper.to_array(tensor).tobytes())
            known = self._names.setdefault(key.digest(), name)
            if known != name:
                return known
            tensor.name = name
        self.tensors.append(tensor)
        return tensor.name


def _put_among_blocks(graph: onnx.GraphProto, places: Places, block: int) -> bool:
    """Make convolutions among the blocks of every adapter before the final map.

    Returns:
        False, and the graph is of no use, where a map is not in blocks.
    """
    sites = [position for position in places.positions if position <= places.depth]
    choices = [node for node in graph.node if node.op_type == 'If']
    if len(choices) != len(sites):
        return False
    makers = {output: node for node in graph.node for output in node.output}
    users = defaultdict(list)
    for node in graph.node:
        for name in _needs(node):
            users[name].append(node)
    gone: list[onnx.NodeProto] = []
    new: dict[str, list[onnx.NodeProto]] = {}
    for node, position in zip(choices, sites, strict=True):
        source = makers.get(_map_of(node))
        if source is None or (source.domain, source.op_type) != (BLOCKS, 'ReorderOutput'):
            return False
        into = [n for n in users[node.output[0]] if _is_plain_reorder(n)]
        result = into[0].output[0] if into else f'{node.name}/blocks'
        new[node.name] = _convolutions(node.name, source.input[0], result, places, position)
        if len(into) > 1:
            return False
        if len(users[node.output[0]]) > len(into):
            back = helper.make_node('ReorderOutput', [result], list(node.output), domain=BLOCKS)
            back.attribute.extend(source.attribute)
            new[node.name].append(back)
        gone += [node, *into]
        if all(user in choices for user in users[source.output[0]]):
            gone.append(source)
        _declare(graph, places, position, block, channels=_channels(source))
    nodes = [n for node in graph.node for n in new.get(node.name, [node] * (node not in gone))]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(_in_order(graph, _needed(nodes)))
    return True


def _map_of(choice: onnx.NodeProto) -> str:
    """Return the map that an adapter adds to, '' where its form for one task has changed."""
    single = next(a.g for a in choice.attribute if a.name == 'then_branch')
    last = single.node[-1]
    return str(last.input[3]) if last.op_type == 'FusedConv' and len(last.input) > 3 else ''


def _is_plain_reorder(node: onnx.NodeProto) -> bool:
    is_last = any(a.name == 'channels_last' and a.i for a in node.attribute)
    return (node.domain, node.op_type) == (BLOCKS, 'ReorderInput') and not is_last


def _channels(reorder: onnx.NodeProto) -> int:
    return next(int(a.i) for a in reorder.attribute if a.name == 'channels')


def _convolutions(
    name: str, x: str, result: str, places: Places, position: int
) -> list[onnx.NodeProto]:
    """Return an adapter's nodes, from one map in blocks to another."""
    down, down_bias, *mix, up, up_bias = places.names(position)
    hidden, act = f'{name}/hidden', f'{name}/act'
    steps = [helper.make_node('Conv', [x, down, down_bias], [hidden], domain=BLOCKS, **_POINT)]
    for weight in mix:
        mixed = f'{name}/mixed'
        inputs = [hidden, weight]
        steps.append(helper.make_node('Conv', inputs, [mixed], domain=BLOCKS, **_SQUARE))
        hidden = mixed
    return [
        *steps,
        helper.make_node('Gelu', [hidden], [act], domain=RUNTIME),
        helper.make_node('Conv', [act, up, up_bias, x], [result], domain=BLOCKS, **_POINT),
    ]


def _declare(
    graph: onnx.GraphProto, places: Places, position: int, block: int, *, channels: int
) -> None:
    """Give a position's inputs the shapes of `blocked_arrays`; left out, they are zeros."""
    channels += -channels % block
    width = f'{places.site_name(position)}.width'
    axes: dict[str, list[str | int]] = {
        'down.weight': [width, channels, 1, 1],
        'down.bias': [width],
        'mix.weight': [width, width, 3, 3],
        'up.weight': [channels, width, 1, 1],
        'up.bias': [channels],
    }
    for name, part in zip(places.names(position), places.parts(position), strict=True):
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, axes[part])
        next(known for known in graph.input if known.name == name).CopyFrom(value)
        sizes = [axis if isinstance(axis, int) else block for axis in axes[part]]
        zeros = np.zeros(sizes, np.float32)
        tensor = numpy_helper.from_array(zeros, name)
        next(known for known in graph.initializer if known.name == name).CopyFrom(tensor)


def _branch(
    graph: onnx.GraphProto, weights: _Weights, outside: dict[str, str], prefix: str
) -> onnx.GraphProto:
    """Return a graph as the branch of another, with names of its own; its weights go outside."""
    names = {'': '', **outside}
    for tensor in graph.initializer:
        if tensor.name not in names:
            names[tensor.name] = weights.add(tensor, prefix + tensor.name)
        elif names[tensor.name] not in {known.name for known in weights.tensors}:
            tensor.name = names[tensor.name]
            weights.add(tensor)
    for node in graph.node:
        for places in (node.input, node.output):
            places[:] = [names.get(name, prefix + name) for name in places]
        node.name = prefix + node.name if node.name else ''
    for value in graph.value_info:
        value.name = prefix + value.name
    (output,) = graph.output
    result = onnx.ValueInfoProto()
    result.CopyFrom(output)
    result.name = prefix + output.name
    return helper.make_graph(
        list(graph.node), prefix, [], [result], value_info=list(graph.value_info)
    )


def _needs(node: onnx.NodeProto) -> set[str]:
    """Return the names a node reads, those of graphs inside it included."""
    found = set(node.input) - {''}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inside = attribute.g
            made = {name for each in inside.node for name in each.output}
            made |= {tensor.name for tensor in inside.initializer}
            found |= {name for each in inside.node for name in _needs(each)} - made
    return found


def _needed(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes whose results are used."""
    while True:
        read = {name for node in nodes for name in _needs(node)} | {_RESULT}
        kept = [node for node in nodes if read.intersection(node.output)]
        if len(kept) == len(nodes):
            return nodes
        nodes = kept


def _in_order(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    """Yield nodes so that each comes after those it reads from."""
    done = {value.name for value in (*graph.input, *graph.initializer)}
    left = list(nodes)
    while left:
        later = []
        for node in left:
            if _needs(node) <= done:
                done.update(node.output)
                yield node
            else:
                later.append(node)
        assert len(later) < len(left)  # a graph has no cycles
        left = later
