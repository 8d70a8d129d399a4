"""What behaviour cloning trains: one task's adapters and head over the frozen backbone."""

from __future__ import annotations

from roboadapt_ros.adapters.bottleneck import adapted_features, TaskAdapters
from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.learning.head import TorchHead
import torch
from torch import nn


class TaskModel(nn.Module):
    """Frozen backbone, adapters, head, and a probe of object positions used in training.

    The probe predicts where the objects are from the same features; its loss teaches the
    adapters to localise from few demonstrations. It is not part of the package.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        adapters: AdapterLayout,
        head: HeadLayout,
        objects_size: int,
        dropout: float,
    ):
        """Create fresh adapters and head."""
        super().__init__()
        self.backbone = backbone
        self.adapters = TaskAdapters(adapters)
        self.head = TorchHead(head, dropout)
        self.probe = nn.Sequential(
            nn.LayerNorm(head.feature_size),
            nn.Linear(head.feature_size, 128),
            nn.ReLU(),
            nn.Linear(128, objects_size),
        )

    def trainable(self) -> list[nn.Parameter]:
        """Return adapters, head and probe parameters; never the backbone's."""
        parts = (self.adapters, self.head, self.probe)
        return [p for part in parts for p in part.parameters()]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, n_cameras, S, S, 3) uint8 to (B, n_cameras * features_per_camera)."""
        pixels = self.backbone.normalise(images.flatten(0, 1))
        return (
            adapted_features(self.backbone, self.adapters, pixels)
            .unflatten(0, images.shape[:2])
            .flatten(1)
        )

    def top_features(self, tokens: torch.Tensor) -> torch.Tensor:
        """As `features`, from the bare backbone's final tokens: only the top adapter acts.

        Args:
            tokens: (B, n_cameras, N, D) final spatial tokens of the bare backbone.

        Returns:
            (B, n_cameras * features_per_camera); equal to `features` while the bottom and
            middle adapters are the identity.
        """
        flat = tokens.flatten(0, 1)
        features = self.adapters.add_top(self.backbone.pool(flat), flat)
        return features.unflatten(0, tokens.shape[:2]).flatten(1)

    @torch.inference_mode()
    def bare_map(self, images: torch.Tensor) -> torch.Tensor:
        """Return the bare backbone's final positions, (B, n_cameras, N, C) float16."""
        pixels = self.backbone.normalise(images.flatten(0, 1))
        return self.backbone.bare_map(pixels).unflatten(0, images.shape[:2]).half()

    def forward(
        self, features: torch.Tensor, proprio: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normalised actions (B, H * A) and object positions (B, objects_size)."""
        return self.head(features, proprio), self.probe(features)
