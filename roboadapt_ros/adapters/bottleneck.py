"""Residual bottleneck adapters for a vision transformer.

Down-projection, GELU, up-projection, added to the input (Houlsby et al., ICML 2019,
https://arxiv.org/abs/1902.00751). The up-projection starts at zero, so a fresh adapter is
exactly the identity.
"""

from __future__ import annotations

from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.frozen import FrozenBackbone
import torch
from torch import nn
import torch.nn.functional as F


class Bottleneck(nn.Module):
    """``up(gelu(down(x)))``, zero at the start."""

    def __init__(self, size_in: int, hidden: int, size_out: int):
        """Create both projections; `reset_parameters` makes the output zero."""
        super().__init__()
        self.down = nn.Linear(size_in, hidden)
        self.up = nn.Linear(hidden, size_out)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the down-projection anew and set the up-projection to zero."""
        self.down.reset_parameters()
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., size_in) to (..., size_out)."""
        return self.up(F.gelu(self.down(x)))


class TaskAdapters(nn.Module):
    """One task's adapters at the bottom, the middle and the top."""

    def __init__(self, layout: AdapterLayout):
        """Create fresh adapters: together exactly the identity."""
        super().__init__()
        self.layout = layout
        self.bottom = _site(layout.width, layout.bottom, layout.width)
        self.middle = nn.ModuleList(
            _site(layout.width, hidden, layout.width) or nn.Identity() for hidden in layout.middle
        )
        self.top = _site(layout.width, layout.top, layout.pooled_channels)

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.parameters())


def _site(size_in: int, hidden: int, size_out: int) -> Bottleneck | None:
    return Bottleneck(size_in, hidden, size_out) if hidden else None


def adapted_features(
    backbone: FrozenBackbone, adapters: TaskAdapters | None, pixels: torch.Tensor
) -> torch.Tensor:
    """Run the shared backbone with one task's adapters.

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
    tokens = backbone.embed(pixels)
    if adapters.bottom is not None:
        tokens = tokens + adapters.bottom(tokens)
    for index, block in enumerate(backbone.vit.blocks):
        tokens = block(tokens)
        if adapters.layout.middle and adapters.layout.middle[index]:
            tokens = tokens + adapters.middle[index](tokens)
    tokens = backbone.vit.norm(tokens)
    features = backbone.pool(tokens)
    if adapters.top is not None:
        features = features + adapters.top(tokens[:, backbone.prefix_tokens :]).flatten(1)
    return features
