"""The policy head as a torch module for training; `policy.head.NumpyHead` serves it."""

from __future__ import annotations

from itertools import pairwise

from roboadapt_ros.adapters.layout import HeadLayout
import torch
from torch import nn
import torch.nn.functional as F


class TorchHead(nn.Module):
    """Layer norm over the features, proprioception appended, ReLU layers, linear output."""

    def __init__(self, layout: HeadLayout, dropout: float = 0.0):
        """Create the layers named as `layout.shapes()`."""
        super().__init__()
        self.layout = layout
        self.dropout = dropout
        self.norm = nn.LayerNorm(layout.feature_size)
        sizes = [layout.feature_size + layout.proprio_size, *layout.hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(sizes[-1], layout.chunk_length * layout.action_size)

    def forward(self, features: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Map (B, feature_size) and (B, proprio_size) to (B, chunk_length * action_size)."""
        x = torch.cat([self.norm(features), proprio], dim=1)
        for layer in self.layers:
            x = F.dropout(F.relu(layer(x)), self.dropout, self.training)
        return self.out(x)
