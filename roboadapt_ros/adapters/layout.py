"""Which tensors a task holds: adapter sites and widths, and the head's sizes.

Pure arithmetic (no torch), so that a package's tensors can be checked before anything is
built from them. Placement follows "Lossless Adaptation of Pretrained Vision Models for
Robotic Manipulation" (ICLR 2023): bottom near the pixels, middle in the blocks, top on the
final spatial map.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from roboadapt_ros.errors import ConfigError

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class AdapterLayout:
    """Sites and widths of one task's adapters; a width of 0 leaves the site out."""

    width: int
    """Channels of the backbone's tokens."""
    depth: int
    """Blocks of the backbone."""
    pooled_channels: int
    """Channels of a pooled token."""
    bottom: int = field(
        default=0, metadata={'help': 'width of the bottleneck on the embedded patches'}
    )
    middle: tuple[int, ...] = field(
        default=(), metadata={'help': 'width of the bottleneck after each block; () for none'}
    )
    top: int = field(default=0, metadata={'help': 'width of the shared MLP on the final tokens'})

    def __post_init__(self) -> None:
        """Check there is one middle width per block."""
        if self.middle and len(self.middle) != self.depth:
            raise ConfigError(
                'adapters.middle', self.middle, f'must have {self.depth} widths or none'
            )
        if min((self.bottom, self.top, *self.middle)) < 0:
            raise ConfigError('adapters', (self.bottom, self.middle, self.top), 'widths are >= 0')

    def shapes(self) -> Shapes:
        """Return each adapter tensor's shape by name, as `TaskAdapters.state_dict`."""
        shapes = _bottleneck('bottom', self.width, self.bottom, self.width)
        for index, hidden in enumerate(self.middle):
            shapes |= _bottleneck(f'middle.{index}', self.width, hidden, self.width)
        return shapes | _bottleneck('top', self.width, self.top, self.pooled_channels)


@dataclass(frozen=True, kw_only=True)
class HeadLayout:
    """Sizes of one task's policy head: a multi-layer perceptron."""

    feature_size: int
    proprio_size: int
    hidden: tuple[int, ...]
    chunk_length: int
    action_size: int

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


def _bottleneck(name: str, size_in: int, hidden: int, size_out: int) -> Shapes:
    """Return the shapes of a down-projection and an up-projection."""
    if hidden == 0:
        return {}
    return {
        f'{name}.down.weight': (hidden, size_in),
        f'{name}.down.bias': (hidden,),
        f'{name}.up.weight': (size_out, hidden),
        f'{name}.up.bias': (size_out,),
    }
