"""Adapters in the blocked layout of ONNX Runtime's convolutions, for the processor at hand.

On a processor with vector units, ONNX Runtime keeps maps in blocks of channels. Adapters whose
weights are inputs can't follow it there by themselves: it orders weights for blocks only while
they are constant. A blocked graph is its own optimised graph, with the adapters put among the
blocks; it takes one task's weights in the order of blocks, and those of a task per image as any
graph does. It is for one kind of processor; on any other, the graph without blocks serves, which
stays beside it on disk. Imports no torch, onnx or onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.encoder.places import Arrays

MIXED = 'mixed'
"""Input that tells whether there is a task for each image; False when left out."""
EACH = 'each.'
"""What the adapter inputs before the final map begin with in a graph for a task per image."""


def blocked_arrays(arrays: Mapping[str, npt.NDArray[np.float32]], block: int) -> Arrays:
    """Return one task's arrays as a blocked graph takes them.

    Args:
        arrays: As `places.graph_arrays` of maps.
        block: Channels of a block, to which widths and channels are filled up with zeros; 0 for
            a graph that is not blocked, which takes them as they are.

    Returns:
        Convolutions (out, in, k, k) with the content in the order of blocks, biases (out,); the
        top adapter's as they were.
    """
    return {
        name: array
        if not block or is_top(name)
        else _padded(array[0, :, 0], block)
        if name.endswith('bias')
        else _ordered(_kernel(name, array[0]), block)
        for name, array in arrays.items()
    }


def plain_arrays(layout: AdapterLayout, arrays: Mapping[str, Any], block: int) -> Arrays:
    """Return what `blocked_arrays` was given, from what it returned."""
    plain: Arrays = {}
    for name, shape in layout.shapes().items():
        array = arrays[name]
        if block and not is_top(name):
            array = array if name.endswith('bias') else _disordered(array, block)
            array = array[tuple(slice(size) for size in (*shape, 1, 1)[: array.ndim])]
            if name.endswith('mix.weight'):
                array = array.transpose(0, 2, 3, 1)
            array = array.reshape(1, len(array), -1)
        plain[name] = np.ascontiguousarray(array)
    return plain


def mixed_inputs(arrays: Arrays, block: int) -> dict[str, npt.NDArray[Any]]:
    """Return a batch of `places.stack` as a graph takes it; `block` as in `blocked_arrays`."""
    if not block:
        return dict(arrays)
    inputs: dict[str, npt.NDArray[Any]] = {MIXED: np.array([True])}
    return inputs | {name if is_top(name) else EACH + name: a for name, a in arrays.items()}


def is_top(name: str) -> bool:
    """Return whether an input is of the adapter on the final map, which blocks don't concern."""
    return name.startswith('top.')


def _kernel(name: str, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the convolution (out, in, k, k) of a matrix (out, k * k * in)."""
    side = 3 if name.endswith('mix.weight') else 1
    return matrix.reshape(len(matrix), side, side, -1).transpose(0, 3, 1, 2)


def _padded(array: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    """Fill the first axes, up to two, to whole blocks."""
    more = [(0, -size % block) for size in array.shape[:2]]
    return np.pad(array, [*more, *[(0, 0)] * (array.ndim - 2)][: array.ndim])


def _ordered(kernel: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    """Order (out, in, k, k) by block of out, block of in, row, column, in and out."""
    padded = _padded(kernel, block)
    out, into, rows, columns = padded.shape
    blocks = padded.reshape(out // block, block, into // block, block, rows, columns)
    return np.ascontiguousarray(blocks.transpose(0, 2, 4, 5, 3, 1)).reshape(padded.shape)


def _disordered(kernel: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    out, into, rows, columns = kernel.shape
    blocks = kernel.reshape(out // block, into // block, rows, columns, block, block)
    return blocks.transpose(0, 5, 1, 4, 2, 3).reshape(kernel.shape)
