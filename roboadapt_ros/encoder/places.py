"""Where a graph has adapters, and the form in which it takes their tensors.

A graph is exported once per set of places; widths are free, so that every task with adapters in
the same places is served by the same graph. Imports no torch and no onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout, TopKind
from roboadapt_ros.errors import ConfigError

Arrays = dict[str, npt.NDArray[np.float32]]
"""Adapter inputs of a graph by name, each with a leading axis of tasks."""
REPEATS = 'repeats'
"""Input (1,) int64 of a graph with adapters: how often what the blocks below the first one put out
is repeated there, for as many tasks on the same images; once when left out."""


@dataclass(frozen=True)
class Places:
    """Which positions of the chain have an adapter, and of what kind."""

    depth: int = 0
    """Blocks of the backbone; 0 where nothing has an adapter."""
    positions: tuple[int, ...] = ()
    """0 before the first block, k after k blocks, depth + 1 on the final map; () is bare."""
    top_kind: TopKind = TopKind.MLP
    kernel: int = 1

    def __post_init__(self) -> None:
        """Check the positions."""
        if list(self.positions) != sorted(set(self.positions) & set(range(self.depth + 2))):
            rule = f'must ascend within 0..{self.depth + 1}'
            raise ConfigError('places.positions', self.positions, rule)
        if self.kernel not in (1, 3):
            raise ConfigError('places.kernel', self.kernel, 'must be 1 or 3')

    @classmethod
    def of(cls, layout: AdapterLayout) -> Places:
        """Return the places of a layout's sites."""
        positions = tuple(site.position for site in layout.sites)
        if not positions:
            return BARE
        last = layout.depth + 1
        top_kind = layout.top_kind if last in positions else TopKind.MLP
        kernel = layout.kernel if any(p < last for p in positions) else 1
        return cls(layout.depth, positions, top_kind, kernel)

    @property
    def name(self) -> str:
        """A short name for files, such as 'bare' or 'at0-7_mlp_k1'."""
        if not self.positions:
            return 'bare'
        runs: list[list[int]] = []
        for position in self.positions:
            if runs and position == runs[-1][-1] + 1:
                runs[-1].append(position)
            else:
                runs.append([position])
        spans = (str(r[0]) if len(r) == 1 else f'{r[0]}-{r[-1]}' for r in runs)
        return f'at{".".join(spans)}_{self.top_kind.value}_k{self.kernel}'

    @property
    def first(self) -> int:
        """Position of the first adapter, past the end of the chain for none."""
        return min(self.positions, default=self.depth + 2)

    @property
    def is_linear_top(self) -> bool:
        """True when the final map has a linear adapter."""
        return self.depth + 1 in self.positions and self.top_kind is TopKind.LINEAR

    @property
    def has_blocks(self) -> bool:
        """True when there are adapters before the final map."""
        return any(position <= self.depth for position in self.positions)

    def has_mix(self, position: int) -> bool:
        """Return whether a position's bottleneck has a 3x3 convolution."""
        return self.kernel > 1 and position <= self.depth

    def parts(self, position: int) -> tuple[str, ...]:
        """Return a position's tensors, in the order of the graph's inputs."""
        if position == self.depth + 1 and self.top_kind is TopKind.LINEAR:
            return ('weight', 'bias')
        mix = ('mix.weight',) if self.has_mix(position) else ()
        return ('down.weight', 'down.bias', *mix, 'up.weight', 'up.bias')

    def site_name(self, position: int) -> str:
        """Return what a position's tensors begin with, as `layout.Site.name`."""
        if position in (0, self.depth + 1):
            return 'top' if position else 'bottom'
        return f'middle.{position - 1}'

    def inputs(self) -> tuple[str, ...]:
        """Return the names of a graph's inputs beside the images, in order."""
        adapters = tuple(name for position in self.positions for name in self.names(position))
        return (REPEATS, *adapters) if adapters else ()

    def names(self, position: int) -> tuple[str, ...]:
        """Return the names of one position's inputs, in order."""
        site = self.site_name(position)
        return tuple(f'{site}.{part}' for part in self.parts(position))


BARE = Places()
"""No adapters anywhere."""


def graph_arrays(
    layout: AdapterLayout, tensors: Mapping[str, npt.NDArray[np.float32]], *, maps: bool
) -> Arrays:
    """Return a task's tensors as the graph takes them: the matrices turned once, here.

    Args:
        layout: Of the tensors.
        tensors: Named and shaped as `layout.shapes()`.
        maps: True for a convolutional net, whose graph multiplies from the left so that no
            map is ever transposed.

    Returns:
        Matrices (1, in, out), or (1, out, in) for maps; biases (1, 1, out) or (1, out, 1);
        3x3 convolutions (1, hidden, 9 * hidden), ordered by row, column and channel.
    """
    arrays = {}
    for name in layout.shapes():
        value = np.asarray(tensors[name], np.float32)
        if name.endswith('mix.weight'):
            value = value.transpose(0, 2, 3, 1).reshape(len(value), -1)
        elif value.ndim == 1:
            value = value[:, None] if maps else value[None]
        elif not maps:
            value = value.T
        arrays[name] = np.ascontiguousarray(value[None])
    return arrays


def stack(tasks: Sequence[Arrays | None]) -> Arrays:
    """Return one batch of the arrays of several tasks with adapters in the same places.

    Narrower bottlenecks are padded with zeros, and no adapters (None) are zeros of width 1:
    both leave a task's result as it is.
    """
    present = [arrays for arrays in tasks if arrays is not None]
    stacked = {}
    for name in present[0]:
        shape = np.max([arrays[name].shape for arrays in present], axis=0)[1:]
        if name.endswith('mix.weight'):
            stacked[name] = _stack_mix(name, tasks, int(shape[0]))
            continue
        stacked[name] = np.zeros((len(tasks), *shape), np.float32)
        for row, arrays in zip(stacked[name], tasks, strict=True):
            if arrays is not None:
                value = arrays[name][0]
                row[: value.shape[0], : value.shape[1]] = value
    return stacked


def _stack_mix(name: str, tasks: Sequence[Arrays | None], hidden: int) -> npt.NDArray[np.float32]:
    stacked = np.zeros((len(tasks), hidden, 9, hidden), np.float32)
    for row, arrays in zip(stacked, tasks, strict=True):
        if arrays is not None:
            value = arrays[name][0]
            width = len(value)
            row[:width, :, :width] = value.reshape(width, 9, width)
    return stacked.reshape(len(tasks), hidden, 9 * hidden)
