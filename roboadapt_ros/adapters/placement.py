"""Where a task's adapters go and how wide they are, before a backbone is known.

Light: no torch, because these are the command line's options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roboadapt_ros.adapters.layout import AdapterLayout, TopKind
from roboadapt_ros.errors import ConfigError

if TYPE_CHECKING:
    from roboadapt_ros.backbones.frozen import FrozenBackbone

MAX_WIDTH = 4096
"""Widest adapter that can be asked for; a bottleneck is narrower than the map it reads."""
_WIDTH = {'minimum': 0, 'maximum': MAX_WIDTH}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Sites and widths in the paper's terms: bottom, middle and top."""

    bottom: int = field(
        default=16, metadata={'help': 'width of the bottom adapter, 0 for none', **_WIDTH}
    )
    middle: int = field(
        default=16, metadata={'help': 'width of each middle adapter, 0 for none', **_WIDTH}
    )
    middle_blocks: tuple[int, ...] | None = field(
        default=None,
        metadata={
            'help': 'blocks, counted from 0, that get a middle adapter (default: every block of '
            "a transformer, the ends of a convolutional net's stages but the first)"
        },
    )
    top: int = field(
        default=64, metadata={'help': 'width of the top adapter, 0 for none', **_WIDTH}
    )
    top_kind: TopKind = field(
        default=TopKind.MLP,
        metadata={'help': 'how the top adapter reads the final map; linear has no width'},
    )
    kernel: int | None = field(
        default=None,
        metadata={
            'help': 'kernel inside bottom and middle adapters, 1 or 3 (default: 3 in a '
            'convolutional net, 1 in a transformer)'
        },
    )

    def layout(self, backbone: FrozenBackbone) -> AdapterLayout:
        """Return the sites and widths in one backbone.

        Raises:
            ConfigError: A block the backbone does not have, or a width that is not possible.
        """
        linear = self.top_kind is TopKind.LINEAR and self.top > 0
        return backbone.layout(
            bottom=self.bottom,
            middle=self._middle(backbone.depth),
            top=backbone.manifest.pooled_channels if linear else self.top,
            top_kind=self.top_kind,
            kernel=self.kernel,
        )

    def _middle(self, depth: int) -> int | list[int]:
        if self.middle_blocks is None:
            return self.middle
        outside = [block for block in self.middle_blocks if not 0 <= block < depth]
        if outside:
            raise ConfigError('middle_blocks', outside, f'must be 0..{depth - 1}')
        return [self.middle if block in self.middle_blocks else 0 for block in range(depth)]
