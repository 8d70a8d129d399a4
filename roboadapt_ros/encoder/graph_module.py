"""The module that is traced into a graph: a frozen backbone with adapters as inputs.

Where the first adapter sits, the batch can be repeated: what lies below is then computed once
for several tasks. Nothing is rounded: the graph's tensors are float32, as the backbone's.
"""

from __future__ import annotations

from typing import Any

from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.backbones.plain import plain_form
from roboadapt_ros.encoder.map_adapters import DOMAIN, MARKER
from roboadapt_ros.encoder.places import Places, REPEATS
import torch
from torch import nn
import torch.nn.functional as F


class AdaptedGraph(nn.Module):
    """Images to features, each adapter tensor an input of its own."""

    def __init__(self, backbone: FrozenBackbone, places: Places):
        """Copy `backbone` in the form that is best to export."""
        super().__init__()
        model = plain_form(backbone.model)
        self.backbone = FrozenBackbone(backbone.manifest, model)
        self.backbone.to(memory_format=torch.contiguous_format)
        self.places = places

    @torch.inference_mode()
    def prepare(self, images: torch.Tensor) -> None:
        """Run once, so that paddings are known numbers."""
        self.backbone(self.backbone.normalise(images))

    def forward(self, images: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        """Encode images (B, S, S, 3) uint8 under the adapters.

        Args:
            images: What to encode.
            inputs: Of `places`: how often to repeat the images' streams, R, unless it is bare;
                then the adapters, (1 or R * B, ...) each.

        Returns:
            (R * B, features_per_camera), all images of a repetition together.
        """
        backbone, places = self.backbone, self.places
        values = dict(zip(places.inputs(), inputs, strict=True))
        x = backbone.chain.stem(backbone.normalise(images))
        for position in range(backbone.depth + 1):
            if position:
                x = backbone.chain.blocks[position - 1](x)
            if position in places.positions:
                x = self._adapt(x, position, values)
        final = backbone.chain.final(x)
        if backbone.chain.is_convolutional:
            return self._pooled_maps(final, values)
        return self._pooled_tokens(final[:, backbone.chain.prefix_tokens :], values)

    def _adapt(
        self, x: torch.Tensor, position: int, values: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Add a position's adapter to tokens (B, T, C) or maps (B, C, H, W)."""
        if not self.backbone.chain.is_convolutional:
            x = self._repeated(x, position, values)
            return x + self._bottleneck(x, position, values)
        own = [values[name] for name in self.places.names(position)]
        own += [values[REPEATS]] * (position == self.places.first)
        marked: torch.Tensor = _Marker.apply(x, [int(size) for size in x.shape[1:]], *own)
        return marked

    def _repeated(
        self, x: torch.Tensor, position: int, values: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return (R * B, ...) of (B, ...) at the first adapter, and `x` at any other."""
        if position != self.places.first:
            return x
        sizes = [int(size) for size in x.shape[1:]]
        repeated: torch.Tensor = _Repeated.apply(x, sizes, values[REPEATS])
        return repeated

    def _bottleneck(
        self, x: torch.Tensor, position: int, values: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return an adapter's output for tokens (B, T, C), or flat maps (B, C, H * W)."""
        own = [values[name] for name in self.places.names(position)]
        if len(own) == 2:
            return self._product(x, own[0]) + own[1]
        hidden = self._product(x, own[0]) + own[1]
        return self._product(F.gelu(hidden), own[2]) + own[3]

    def _product(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        is_maps = self.backbone.chain.is_convolutional
        return torch.matmul(weight, x) if is_maps else torch.matmul(x, weight)

    def _pooled_tokens(
        self, spatial: torch.Tensor, values: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        positions, channels = (int(size) for size in spatial.shape[1:])
        pooled = self.backbone.manifest.pooled_channels
        groups = spatial.reshape(-1, positions, pooled, channels // pooled).mean(3)
        groups = self._with_top(groups, spatial, values)
        return groups.reshape(-1, positions * pooled)

    def _pooled_maps(self, final: torch.Tensor, values: dict[str, torch.Tensor]) -> torch.Tensor:
        channels, height, width = (int(size) for size in final.shape[1:])
        pooled, positions = self.backbone.manifest.pooled_channels, height * width
        flat = final.reshape(-1, channels, positions)
        groups = flat.reshape(-1, pooled, channels // pooled, positions).mean(2)
        groups = self._with_top(groups, flat, values)
        return groups.transpose(1, 2).reshape(-1, positions * pooled)

    def _with_top(
        self, groups: torch.Tensor, final: torch.Tensor, values: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Add the top adapter, if there is one, to the pooled final map."""
        top = self.backbone.depth + 1
        if top not in self.places.positions:
            return groups
        groups, final = (self._repeated(x, top, values) for x in (groups, final))
        return groups + self._bottleneck(final, top, values)


class _Repeated(torch.autograd.Function):
    """A batch several times over: one node, where torch's own exporter writes dozens."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, sizes: list[int], repeats: torch.Tensor
    ) -> torch.Tensor:
        """Return (R * B, ...) of (B, ...)."""
        del ctx
        return x.repeat(int(repeats), *[1] * len(sizes))

    @staticmethod
    def symbolic(g: Any, x: Any, sizes: list[int], repeats: Any) -> Any:
        """Return the node; what follows knows its sizes, but not the batch's."""
        ones = g.op('Constant', value_t=torch.ones(len(sizes), dtype=torch.int64))
        times = g.op('Concat', repeats, ones, axis_i=0)
        return g.op('Tile', x, times).setType(x.type().with_sizes([None, *sizes]))


class _Marker(torch.autograd.Function):
    """Stands for an adapter on maps; `map_adapters` writes the nodes."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, sizes: list[int], *weights: torch.Tensor
    ) -> torch.Tensor:
        """Return something of the right shape."""
        del ctx, sizes, weights
        return x + 0.0

    @staticmethod
    def symbolic(g: Any, x: Any, sizes: list[int], *weights: Any) -> Any:
        """Return the marker, of the map's own shape."""
        return g.op(f'{DOMAIN}::{MARKER}', x, *weights, sizes_i=sizes).setType(x.type())
