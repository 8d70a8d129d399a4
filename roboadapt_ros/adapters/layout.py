"""Which tensors a task holds: adapter sites and widths, and the head's sizes.

Pure arithmetic (no torch), so that a package's tensors can be checked before anything is
built from them. Placement follows "Lossless Adaptation of Pretrained Vision Models for
Robotic Manipulation" (ICLR 2023): bottom near the pixels, middle in the blocks, top on the
final spatial map.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
import math

from roboadapt_ros.errors import ConfigError

Shapes = dict[str, tuple[int, ...]]
MAX_BLOCKS = 256
"""Longest chain of a backbone, as its manifest's `MAX_DEPTH`."""
MAX_LAYERS = 16
"""Most hidden layers of a head."""


class TopKind(Enum):
    """How the top adapter reads the final spatial map, beside its plain pooling."""

    MLP = 'mlp'
    """A hidden layer shared by all positions."""
    LINEAR = 'linear'
    """One linear map shared by all positions: a 1x1 convolution."""


@dataclass(frozen=True)
class Site:
    """One place in the chain that has an adapter."""

    name: str
    """'bottom', 'middle.<block>' or 'top': the prefix of its tensors."""
    position: int
    """0 before the first block, k after k blocks, depth + 1 on the final map."""
    channels: int
    hidden: int
    channels_out: int


@dataclass(frozen=True, kw_only=True)
class AdapterLayout:
    """Sites and widths of one task's adapters; a width of 0 leaves the site out."""

    channels: tuple[int, ...]
    """Channels before the first block, after each block, and of the final map."""
    pooled_channels: int
    """Channels each position of the final map is pooled to."""
    bottom: int = field(
        default=0, metadata={'help': 'width of the bottleneck before the first block'}
    )
    middle: tuple[int, ...] = field(
        default=(), metadata={'help': 'width of the bottleneck after each block; () for none'}
    )
    top: int = field(default=0, metadata={'help': 'width of the shared MLP on the final map'})
    top_kind: TopKind = TopKind.MLP
    kernel: int = field(
        default=1,
        metadata={'help': '3 puts a 3x3 convolution inside bottom and middle bottlenecks'},
    )

    def __post_init__(self) -> None:
        """Check there is one middle width per block, and that sizes are possible."""
        if len(self.channels) - 2 > MAX_BLOCKS:
            raise ConfigError(
                'adapters.channels', f'{len(self.channels)} values', f'at most {MAX_BLOCKS + 2}'
            )
        if len(self.channels) < 3 or min(*self.channels, self.pooled_channels) < 1:
            raise ConfigError('adapters.channels', self.channels, 'must be 3 or more, all >= 1')
        if self.middle and len(self.middle) != self.depth:
            raise ConfigError(
                'adapters.middle', self.middle, f'must have {self.depth} widths or none'
            )
        if min((self.bottom, self.top, *self.middle)) < 0:
            raise ConfigError('adapters', (self.bottom, self.middle, self.top), 'widths are >= 0')
        if self.kernel not in (1, 3):
            raise ConfigError('adapters.kernel', self.kernel, 'must be 1 or 3')
        if self.top_kind is TopKind.LINEAR and self.top not in (0, self.pooled_channels):
            raise ConfigError(
                'adapters.top',
                self.top,
                f'a linear top has {self.pooled_channels} outputs and no hidden width',
            )

    @property
    def depth(self) -> int:
        """Blocks of the backbone."""
        return len(self.channels) - 2

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return the sites that have an adapter, from the pixels up."""
        widths = (self.bottom, *(self.middle or (0,) * self.depth), self.top)
        last = self.depth + 1
        return tuple(
            Site(
                self._site_name(position),
                position,
                self.channels[position],
                hidden,
                self.pooled_channels if position == last else self.channels[position],
            )
            for position, hidden in enumerate(widths)
            if hidden
        )

    @property
    def first_position(self) -> int:
        """Position of the first adapter; everything below it is the bare backbone.

        A layout without adapters answers depth + 2, past the end of the chain.
        """
        return min((site.position for site in self.sites), default=self.depth + 2)

    def shapes(self) -> Shapes:
        """Return each adapter tensor's shape by name, as `TaskAdapters.state_dict`."""
        shapes: Shapes = {}
        for site in self.sites:
            shapes |= self._site_shapes(site)
        return shapes

    @property
    def parameter_count(self) -> int:
        """Number of values in all adapters."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    def _site_name(self, position: int) -> str:
        if position in (0, self.depth + 1):
            return 'top' if position else 'bottom'
        return f'middle.{position - 1}'

    def _site_shapes(self, site: Site) -> Shapes:
        name, hidden = site.name, site.hidden
        if name == 'top' and self.top_kind is TopKind.LINEAR:
            return {'top.weight': (hidden, site.channels), 'top.bias': (hidden,)}
        shapes: Shapes = {
            f'{name}.down.weight': (hidden, site.channels),
            f'{name}.down.bias': (hidden,),
        }
        if name != 'top' and self.kernel > 1:
            shapes[f'{name}.mix.weight'] = (hidden, hidden, self.kernel, self.kernel)
        return shapes | {
            f'{name}.up.weight': (site.channels_out, hidden),
            f'{name}.up.bias': (site.channels_out,),
        }


@dataclass(frozen=True, kw_only=True)
class HeadLayout:
    """Sizes of one task's policy head: a multi-layer perceptron."""

    feature_size: int
    proprio_size: int
    hidden: tuple[int, ...]
    chunk_length: int
    action_size: int

    def __post_init__(self) -> None:
        """Check that there are not too many layers."""
        if len(self.hidden) > MAX_LAYERS:
            raise ConfigError('head.hidden', f'{len(self.hidden)} values', f'at most {MAX_LAYERS}')

    def shapes(self) -> Shapes:
        """Return each head tensor's shape by name."""
        sizes = [self.feature_size + self.proprio_size, *self.hidden]
        shapes: Shapes = {'norm.weight': (self.feature_size,), 'norm.bias': (self.feature_size,)}
        for index, (size_in, size_out) in enumerate(pairwise(sizes)):
            shapes[f'layers.{index}.weight'] = (size_out, size_in)
            shapes[f'layers.{index}.bias'] = (size_out,)
        outputs = self.chunk_length * self.action_size
        shapes['out.weight'], shapes['out.bias'] = (outputs, sizes[-1]), (outputs,)
        return shapes


def task_shapes(adapters: AdapterLayout, head: HeadLayout) -> Shapes:
    """Return every tensor of a task package: `adapters.*` and `head.*`."""
    named = {f'adapters.{name}': shape for name, shape in adapters.shapes().items()}
    return named | {f'head.{name}': shape for name, shape in head.shapes().items()}
