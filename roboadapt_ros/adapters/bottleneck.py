"""Residual bottleneck adapters, as modules that can be trained.

Down-projection, GELU, up-projection, added to the input (Houlsby et al., ICML 2019,
https://arxiv.org/abs/1902.00751); in a convolutional net with a 3x3 convolution between, on
the few channels of the bottleneck. The up-projection starts at zero, so a fresh adapter is
exactly the identity. The serving engines compute the same from the same tensors.
"""

from __future__ import annotations

from roboadapt_ros.adapters.layout import AdapterLayout, Site, TopKind
from roboadapt_ros.backbones.frozen import FrozenBackbone
import torch
from torch import nn
import torch.nn.functional as F


class Bottleneck(nn.Module):
    """``up(gelu(mix(down(x))))``, zero at the start; `mix` is left out with kernel 1."""

    def __init__(self, channels: int, hidden: int, channels_out: int, kernel: int = 1):
        """Create the projections; `reset_parameters` makes the output zero."""
        super().__init__()
        self.down = nn.Linear(channels, hidden)
        self.mix = (
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, bias=False)
            if kernel > 1
            else None
        )
        self.up = nn.Linear(hidden, channels_out)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the other weights anew and set the up-projection to zero."""
        self.down.reset_parameters()
        if self.mix is not None:
            self.mix.reset_parameters()
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Map rows (B, ..., channels) to (B, ..., channels_out); with `mix`, (B, H, W, ...)."""
        hidden = self.down(rows)
        if self.mix is not None:
            hidden = self.mix(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.up(F.gelu(hidden))


class TaskAdapters(nn.Module):
    """One task's adapters at the bottom, the middle and the top."""

    def __init__(self, layout: AdapterLayout):
        """Create fresh adapters: together exactly the identity."""
        super().__init__()
        self.layout = layout
        self.bottom: nn.Module | None = None
        self.middle = nn.ModuleList(nn.Identity() for _ in layout.middle)
        self.top: nn.Module | None = None
        self._at: dict[int, nn.Module] = {}
        for site in layout.sites:
            module = _build(site, layout)
            self._at[site.position] = module
            if site.name in ('bottom', 'top'):
                setattr(self, site.name, module)
            else:
                self.middle[site.position - 1] = module

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.parameters())

    def adapt(self, position: int, rows: torch.Tensor) -> torch.Tensor:
        """Return rows (B, ..., C) with the adapter of a position of the chain added."""
        module = self._at.get(position)
        return rows if module is None else rows + module(rows)

    def add_top(self, pooled: torch.Tensor, spatial: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, N * pooled_channels) with the top adapter's added.

        Args:
            pooled: (B, N * pooled_channels).
            spatial: (B, N, C) positions of the final map.
        """
        return pooled if self.top is None else pooled + self.top(spatial).flatten(1)


def _build(site: Site, layout: AdapterLayout) -> nn.Module:
    if site.name != 'top':
        return Bottleneck(site.channels, site.hidden, site.channels_out, layout.kernel)
    if layout.top_kind is TopKind.MLP:
        return Bottleneck(site.channels, site.hidden, site.channels_out)
    linear = nn.Linear(site.channels, site.channels_out)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def adapted_features(
    backbone: FrozenBackbone, adapters: TaskAdapters | None, pixels: torch.Tensor
) -> torch.Tensor:
    """Run the shared backbone with one task's adapters, in a way that can be trained through.

    Args:
        backbone: The frozen base.
        adapters: The task's adapters, or None for the bare backbone (timm's own forward
            pass, bit for bit).
        pixels: (B, 3, S, S) normalised.

    Returns:
        (B, features_per_camera) pooled features.
    """
    if adapters is None:
        return backbone(pixels)
    x = backbone.chain.stem(pixels)
    for position in range(backbone.depth + 1):
        if position:
            x = backbone.chain.blocks[position - 1](x)
        x = backbone.from_rows(adapters.adapt(position, backbone.rows(x)))
    spatial = backbone.spatial(backbone.chain.final(x))
    return adapters.add_top(backbone.pool(spatial), spatial)
