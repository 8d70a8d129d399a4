"""Adapters as rows: all tensors of one task side by side in one tensor.

One task is served from views of its row, without a copy. A mixed batch stacks one row per
image in a single operation, whatever the number of tasks and sites. A task's memory is its
row's, and is free when nobody refers to the task any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout, Shapes, Site, TopKind
from roboadapt_ros.encoder.engine import AdapterHandle
import torch


@dataclass(frozen=True)
class SiteWeights:
    """Views of one site's tensors; with a leading axis of tasks when gathered."""

    site: Site
    weights: Mapping[str, torch.Tensor]
    """By what follows the site's name: 'down.weight' or, linear, 'weight'. 'up' is (1 + hidden,
    channels_out): what takes the bias, then the weight, rows of channels. With a steady unit,
    'down.weight' is (1 + hidden, channels) and 'down.bias' (1 + hidden,)."""

    @property
    def is_linear(self) -> bool:
        """True for a linear top."""
        return 'weight' in self.weights

    @property
    def has_steady_unit(self) -> bool:
        """True where the first hidden value is the same in every row, see `STEADY`."""
        if self.is_linear:
            return False
        return self.weights['down.bias'].shape[-1] == self.weights['up'].shape[-2]

    def first(self, tasks: int) -> SiteWeights:
        """Return the weights of the first tasks of a gathered batch."""
        return SiteWeights(self.site, {n: w[:tasks] for n, w in self.weights.items()})


STEADY = 8.0
"""Value of a steady unit: a hidden unit without inputs, whose up-projection is the bias. GELU
leaves it as it is, and by a power of two a bias is divided without loss."""
SiteKey = tuple[int, bool]
"""Position in the chain, and whether the site is linear."""
Sites = dict[SiteKey, SiteWeights]


@dataclass(eq=False)
class RowAdapters(AdapterHandle):
    """One task's adapters in a row."""

    row: torch.Tensor
    sites: Sites
    """Views of the row."""
    format: RowFormat
    """Of the row; held by a layout's rows alone."""


class RowFormat:
    """Where in a row the tensors of one layout lie.

    Example: over three tasks of 160,000 values each, a batch is (3, 160000), and its bottom
    down-projections are a view (3, hidden, channels) of that.
    """

    def __init__(
        self,
        layout: AdapterLayout,
        device: torch.device,
        dtype: torch.dtype,
        *,
        steady: bool = False,
    ):
        """Create rows of a layout on a device.

        Args:
            layout: Of the tasks.
            device: Where rows are.
            dtype: Of their values.
            steady: Give bottlenecks a steady unit, so that biases are added by the product. Not
                for a layout with 3x3 convolutions, which would mix it with the others.
        """
        self.layout, self._steady = layout, steady
        self._shapes = _row_shapes(layout, steady=steady)
        size = sum(math.prod(shape) for shape in self._shapes.values())
        self._zeros = torch.zeros(size, device=device, dtype=dtype)
        """The row of no adapters at all."""

    def pack(self, tensors: Mapping[str, npt.NDArray[np.float32]]) -> RowAdapters:
        """Copy one task's tensors into a row of its own."""
        parts = [_part(tensors, name, steady=self._steady) for name in self._shapes]
        flat = np.concatenate(parts or [_EMPTY])
        row = torch.from_numpy(flat).to(self._zeros)
        return RowAdapters(self.layout, row.nbytes, row, self._split(row), self)

    def blank(self, tasks: int) -> tuple[torch.Tensor, Sites]:
        """Return rows of zeros that others can be copied into, and their views by site.

        Args:
            tasks: Rows, (tasks, size); 0 for one task's, without the axis of tasks.
        """
        rows = self._zeros.repeat(tasks, 1) if tasks else self._zeros.clone()
        return rows, self._split(rows)

    def row_of(self, task: RowAdapters | None) -> torch.Tensor:
        """Return a task's row; of None the one that changes nothing."""
        return self._zeros if task is None else task.row

    def gather(self, tasks: Sequence[RowAdapters | None]) -> Sites:
        """Return the weights of several tasks, stacked in the given order."""
        return self._split(torch.stack([self.row_of(task) for task in tasks]))

    def _split(self, rows: torch.Tensor) -> Sites:
        """Return views by site of (size,) or (tasks, size)."""
        views, start = {}, 0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            views[name] = rows.narrow(-1, start, size).unflatten(-1, shape)
            start += size
        sites: Sites = {}
        is_linear = self.layout.top_kind is TopKind.LINEAR
        for site in self.layout.sites:
            prefix = f'{site.name}.'
            weights = {n[len(prefix) :]: w for n, w in views.items() if n.startswith(prefix)}
            key = site.position, is_linear and site.name == 'top'
            sites[key] = SiteWeights(site, weights)
        return sites


_EMPTY = np.zeros(0, np.float32)


def _row_shapes(layout: AdapterLayout, *, steady: bool) -> Shapes:
    """Return what a row holds by name: a layout's tensors, up-projections with their bias."""
    shapes: Shapes = {}
    for name, shape in layout.shapes().items():
        if name.endswith('.up.weight'):
            shapes[name.removesuffix('.weight')] = (1 + shape[1], shape[0])
        elif steady and '.down.' in name:
            shapes[name] = (1 + shape[0], *shape[1:])
        elif not name.endswith('.up.bias'):
            shapes[name] = shape
    return shapes


def _part(
    tensors: Mapping[str, npt.NDArray[np.float32]], name: str, *, steady: bool
) -> npt.NDArray[np.float32]:
    """Return the values of one part of a row, flat."""
    if name.endswith('.up'):
        bias = tensors[f'{name}.bias'] / np.float32(STEADY if steady else 1.0)
        return np.vstack([bias, tensors[f'{name}.weight'].T]).reshape(-1)
    value = tensors[name]
    if steady and '.down.' in name:
        unit = np.full((1, *value.shape[1:]), STEADY if name.endswith('bias') else 0, np.float32)
        value = np.concatenate([unit, value])
    return value.reshape(-1)


def merge(batches: Sequence[tuple[Sequence[int], Sites]], tasks: int) -> Sites:
    """Return one batch of weights from gathered batches of different layouts.

    Narrower bottlenecks are padded with zeros, absent ones are zeros, and an absent 3x3
    convolution is the identity: all of which leave a task's result as it is.

    Args:
        batches: For each layout, which places of the merged batch its tasks take, in order,
            and their gathered weights.
        tasks: Number of places.
    """
    merged: Sites = {}
    for key in sorted({key for _, sites in batches for key in sites}):
        present = [(places, sites[key]) for places, sites in batches if key in sites]
        widest = max((weights.site for _, weights in present), key=lambda site: site.hidden)
        names = {name for _, weights in present for name in weights.weights}
        stacked = {name: _stack(name, present, widest, tasks) for name in sorted(names)}
        merged[key] = SiteWeights(widest, stacked)
    return merged


def _stack(
    name: str,
    present: Sequence[tuple[Sequence[int], SiteWeights]],
    widest: Site,
    tasks: int,
) -> torch.Tensor:
    """Pad one tensor of each task to the widest bottleneck."""
    example = next(w.weights[name] for _, w in present if name in w.weights)
    hidden, rest = widest.hidden, example.shape[2:]
    inner = hidden + any(weights.has_steady_unit for _, weights in present)
    shape = {
        'down.weight': (inner, *rest),
        'down.bias': (inner,),
        'mix.weight': (hidden, hidden, *rest[1:]),
        'up': (1 + hidden, *rest),
    }.get(name, tuple(example.shape[1:]))
    stacked = example.new_zeros(tasks, *shape)
    for places, weights in present:
        value = weights.weights.get(name)
        if value is None:  # only a 3x3 convolution can be absent from a bottleneck
            centre = rest[-1] // 2
            eye = torch.eye(hidden, device=stacked.device, dtype=stacked.dtype)
            stacked[list(places), :, :, centre, centre] = eye
        else:
            for place, task in zip(places, value, strict=True):
                stacked[place][tuple(slice(0, length) for length in task.shape)] = task
    return stacked
