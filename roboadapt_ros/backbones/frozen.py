"""A timm vision transformer, frozen: never written, always in inference mode.

The only package that imports timm. Exposes the sites adapters attach to: the embedded
patches (bottom), the output of each block (middle) and the final tokens (top).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from roboadapt_ros.backbones.digest import tensors_digest
from roboadapt_ros.backbones.manifest import (
    BackboneManifest,
    load_backbone_manifest,
    MANIFEST_NAME,
    PROBE_NAME,
    WEIGHTS_NAME,
)
from roboadapt_ros.config import save_json
from roboadapt_ros.errors import BaseChangedError, PackageError, TensorError
import safetensors
import safetensors.torch
import timm
from timm.models.vision_transformer import VisionTransformer
import torch
from torch import nn

PROBE_TOLERANCE = 1e-3
"""Largest relative difference of probe features between machines: other CPUs sum in
another order. On one machine, later probes must equal the first bit for bit."""


@dataclass(frozen=True)
class BaseCheck:
    """Outcome of one check of the base."""

    backbone_id: str
    digest: str
    expected_digest: str
    probe_equal: bool

    @property
    def intact(self) -> bool:
        """True when tensors and probe features are those of the release."""
        return self.digest == self.expected_digest and self.probe_equal

    def require(self) -> None:
        """Raise `BaseChangedError` unless intact."""
        if self.digest != self.expected_digest:
            raise BaseChangedError(self.backbone_id, 'digest', self.digest, self.expected_digest)
        if not self.probe_equal:
            raise BaseChangedError(
                self.backbone_id, 'probe', 'different features', 'the stored features'
            )


def build_timm_vit(manifest: BackboneManifest) -> VisionTransformer:
    """Build the timm model a manifest describes, with random weights.

    Raises:
        PackageError: The model is not a timm vision transformer.
    """
    kwargs: dict[str, Any] = {'num_classes': 0, **manifest.timm_kwargs}
    model = timm.create_model(
        manifest.timm_name, pretrained=False, img_size=manifest.image_size, **kwargs
    )
    if not isinstance(model, VisionTransformer):
        raise PackageError(
            manifest.id,
            f'{manifest.timm_name} is a {type(model).__name__}',
            'a timm VisionTransformer',
        )
    return model


class FrozenBackbone(nn.Module):
    """A vision transformer whose tensors never change."""

    def __init__(self, manifest: BackboneManifest, model: VisionTransformer):
        """Freeze `model` under the identity in `manifest`."""
        super().__init__()
        self.manifest = manifest
        self.vit = model.eval()
        self.requires_grad_(False)
        self._mean: torch.Tensor
        self._scale: torch.Tensor
        mean = torch.tensor(manifest.mean).view(1, 3, 1, 1) * 255.0
        std = torch.tensor(manifest.std).view(1, 3, 1, 1) * 255.0
        self.register_buffer('_mean', mean, persistent=False)
        self.register_buffer('_scale', 1.0 / std, persistent=False)
        self._local_probe: torch.Tensor | None = None

    @classmethod
    def load(cls, path: Path) -> FrozenBackbone:
        """Load a backbone package strictly and check its digest.

        Args:
            path: Folder with `backbone.json` and `weights.safetensors`.

        Raises:
            PackageError: A file is missing or unreadable.
            TensorError: Tensor names or shapes differ from the model's.
            BaseChangedError: The tensors are not the ones released.
        """
        manifest = load_backbone_manifest(path)
        model = build_timm_vit(manifest)
        weights = path / WEIGHTS_NAME
        try:
            tensors = safetensors.torch.load_file(weights)
        except (OSError, safetensors.SafetensorError) as error:
            raise PackageError(
                weights, f'cannot be read ({error})', 'a whole safetensors file'
            ) from error
        check_tensors(weights, {k: tuple(v.shape) for k, v in tensors.items()}, model)
        model.load_state_dict(tensors, strict=True)
        backbone = cls(manifest, model)
        digest = backbone.digest()
        if digest != manifest.digest:
            raise BaseChangedError(manifest.id, 'digest', digest, manifest.digest)
        return backbone

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in inference mode whatever is asked."""
        del mode
        return super().train(False)

    @property
    def width(self) -> int:
        """Channels of a token."""
        return int(self.vit.embed_dim)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.vit.blocks)

    @property
    def tokens(self) -> int:
        """Spatial tokens of one image."""
        return int(self.vit.patch_embed.num_patches)

    @property
    def prefix_tokens(self) -> int:
        """Class and register tokens before the spatial ones."""
        return int(self.vit.num_prefix_tokens)

    @property
    def features_per_camera(self) -> int:
        """Length of the pooled features of one image."""
        return self.tokens * self.manifest.pooled_channels

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Return pixels for the network.

        Args:
            images: (B, S, S, 3) RGB, uint8 or float in 0..255.

        Returns:
            (B, 3, S, S) float32, normalised by the manifest's mean and std.
        """
        pixels = images.permute(0, 3, 1, 2).float()
        return (pixels - self._mean) * self._scale

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the tokens before the first block, (B, prefix + N, D): the bottom site."""
        tokens = self.vit.patch_drop(self.vit._pos_embed(self.vit.patch_embed(pixels)))
        return self.vit.norm_pre(tokens)

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pool final tokens to features without parameters.

        Args:
            tokens: (B, prefix + N, D) after the final norm.

        Returns:
            (B, N * pooled_channels): the mean of each group of D / pooled_channels
            neighbouring channels of each spatial token. The spatial layout is kept.
        """
        spatial = tokens[:, self.prefix_tokens :]
        groups = spatial.unflatten(2, (self.manifest.pooled_channels, -1))
        return groups.mean(3).flatten(1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the bare backbone's pooled features through timm's own forward pass."""
        return self.pool(self.vit.forward_features(pixels))

    def digest(self) -> str:
        """Return the sha256 of the live tensors."""
        return tensors_digest(self.vit.state_dict())

    def check(self, probe_path: Path | None = None) -> BaseCheck:
        """Hash the live tensors and run the stored probe with adapters off.

        Args:
            probe_path: Backbone folder holding the probe, or None for the digest alone.

        Returns:
            The outcome; nothing is raised for a changed base, see `BaseCheck.require`.
        """
        equal = True if probe_path is None else self._probe_equal(probe_path)
        return BaseCheck(self.manifest.id, self.digest(), self.manifest.digest, equal)

    @torch.inference_mode()
    def _probe_equal(self, path: Path) -> bool:
        stored = safetensors.torch.load_file(path / PROBE_NAME)
        features = self(self.normalise(stored['image']))
        if self._local_probe is None:
            scale = float(stored['features'].abs().max())
            difference = float((features - stored['features']).abs().max())
            if not difference <= PROBE_TOLERANCE * scale:
                return False
            self._local_probe = features.clone()
        return torch.equal(features, self._local_probe)


def check_tensors(path: Path, found: dict[str, tuple[int, ...]], model: nn.Module) -> None:
    """Raise `TensorError` unless names and shapes are exactly the model's."""
    required = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    mismatched = [
        f'{name}: found {found[name]}, required {shape}'
        for name, shape in required.items()
        if name in found and found[name] != shape
    ]
    missing = sorted(required.keys() - found.keys())
    unexpected = sorted(found.keys() - required.keys())
    if missing or unexpected or mismatched:
        raise TensorError(path, missing=missing, unexpected=unexpected, mismatched=mismatched)


def save_backbone(
    path: Path, manifest: BackboneManifest, model: VisionTransformer, probe: np.ndarray
) -> BackboneManifest:
    """Write a backbone package: weights, digest, and a probe image with its features.

    Args:
        path: Folder to create.
        manifest: Its `digest` is replaced by the tensors' own.
        model: The trained model.
        probe: (S, S, 3) uint8 RGB probe image.

    Returns:
        The manifest as written.
    """
    path.mkdir(parents=True, exist_ok=True)
    manifest = replace(manifest, digest=tensors_digest(model.state_dict()))
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    (path / WEIGHTS_NAME).write_bytes(safetensors.torch.save(state))
    frozen = FrozenBackbone(manifest, model)
    image = torch.from_numpy(probe)[None].contiguous()
    with torch.inference_mode():
        features = frozen(frozen.normalise(image)).clone()
    probe_data = safetensors.torch.save({'image': image, 'features': features})
    (path / PROBE_NAME).write_bytes(probe_data)
    save_json(manifest, path / MANIFEST_NAME)
    return manifest
