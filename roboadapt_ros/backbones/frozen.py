"""A timm model, frozen: never written, always in inference mode.

The only package that imports timm. Which parts a model has between which adapters act is in
`chain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from roboadapt_ros.adapters.layout import AdapterLayout, TopKind
from roboadapt_ros.backbones.build import build_timm, chain_shape
from roboadapt_ros.backbones.chain import Part, read_chain
from roboadapt_ros.backbones.check import BaseCheck, PROBE_TOLERANCE
from roboadapt_ros.backbones.digest import tensors_digest
from roboadapt_ros.backbones.manifest import (
    BackboneManifest,
    load_backbone_manifest,
    MANIFEST_NAME,
    PROBE_NAME,
    WEIGHTS_NAME,
)
from roboadapt_ros.backbones.probe import read_probe
from roboadapt_ros.backbones.tensors import read_tensors, require_tensors
from roboadapt_ros.config import save_json
from roboadapt_ros.errors import BaseChangedError, ConfigError, PackageError
from roboadapt_ros.files import folder_aside, package_file
import safetensors.torch
import torch
from torch import nn


class FrozenBackbone(nn.Module):
    """A timm model whose tensors never change, read as a chain with sites for adapters."""

    def __init__(self, manifest: BackboneManifest, model: nn.Module):
        """Freeze `model` under the identity in `manifest`.

        Raises:
            MissingHookError: The model belongs to none of the families.
            ConfigError: `pooled_channels` does not divide the final map's channels.
        """
        super().__init__()
        self.manifest = manifest
        self.model = model.eval()
        self.requires_grad_(False)
        self.chain = read_chain(model, manifest.timm_name)
        if self.chain.is_convolutional:
            # Adapters then read positions as rows without a copy.
            self.model.to(memory_format=torch.channels_last)
        self.shape = chain_shape(manifest)
        if self.shape.channels[-1] % manifest.pooled_channels:
            raise ConfigError(
                'backbone.pooled_channels',
                manifest.pooled_channels,
                f'must divide the {self.shape.channels[-1]} channels of the final map',
            )
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
        tensors = read_tensors(package_file(path, WEIGHTS_NAME))
        with torch.device('meta'):  # sizes that do not fit the file must not be allocated
            required = build_timm(manifest).state_dict()
        require_tensors(path / WEIGHTS_NAME, tensors, required)
        model = build_timm(manifest)
        model.load_state_dict(tensors, strict=True)
        backbone = cls(manifest, model)
        digest = backbone.digest()
        if digest != manifest.digest:
            raise BaseChangedError(manifest.id, 'digest', digest, manifest.digest)
        return backbone

    @classmethod
    def hollow(cls, manifest: BackboneManifest) -> FrozenBackbone:
        """Return a backbone without weights, to ask for sizes and layouts; raises as `build_timm`.

        Args:
            manifest: Which model.
        """
        with torch.device('meta'):
            return cls(manifest, build_timm(manifest))

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in inference mode whatever is asked; BatchNorm statistics stay as they are."""
        del mode
        return super().train(False)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.chain.blocks)

    @property
    def positions(self) -> int:
        """Positions of the final map: spatial tokens, or height times width."""
        return self.shape.positions

    @property
    def features_per_camera(self) -> int:
        """Length of the pooled features of one image."""
        return self.positions * self.manifest.pooled_channels

    @property
    def parameter_count(self) -> int:
        """Number of values in the model's parameters."""
        return sum(p.numel() for p in self.model.parameters())

    def layout(
        self,
        *,
        bottom: int = 0,
        middle: int | Sequence[int] = 0,
        top: int = 0,
        top_kind: TopKind = TopKind.MLP,
        kernel: int | None = None,
    ) -> AdapterLayout:
        """Return a layout of adapters for this backbone.

        Args:
            bottom: Width before the first block.
            middle: One width for the family's default sites (every block of a transformer,
                the ends of a convolutional net's later stages), or a width for each block.
            top: Width of the MLP on the final map.
            top_kind: How the final map is read.
            kernel: 1 or 3; default 3 in a convolutional net and 1 in a transformer.

        Raises:
            ConfigError: A width or kernel that is not possible.
        """
        if isinstance(middle, int):
            middle = [middle if used else 0 for used in self.chain.default_middle]
        if kernel is None:
            kernel = 3 if self.chain.is_convolutional else 1
        if kernel > 1 and not self.chain.is_convolutional:
            raise ConfigError('adapters.kernel', kernel, 'must be 1 in a transformer')
        return AdapterLayout(
            channels=self.shape.channels,
            pooled_channels=self.manifest.pooled_channels,
            bottom=bottom,
            middle=tuple(middle) if any(middle) else (),
            top=top,
            top_kind=top_kind,
            kernel=kernel,
        )

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Return pixels for the network.

        Args:
            images: (B, S, S, 3) RGB, uint8 or float in 0..255.

        Returns:
            (B, 3, S, S) float32, normalised by the manifest's mean and std.
        """
        pixels = images.permute(0, 3, 1, 2).float()
        return (pixels - self._mean) * self._scale

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """View what the chain's parts exchange with channels last.

        Args:
            x: Tokens (B, T, C) or maps (B, C, H, W).

        Returns:
            (B, T, C) or (B, H, W, C).
        """
        return x.permute(0, 2, 3, 1) if self.chain.is_convolutional else x

    def from_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Undo `rows`."""
        return rows.permute(0, 3, 1, 2) if self.chain.is_convolutional else rows

    def spatial(self, final: torch.Tensor) -> torch.Tensor:
        """Return the final map's positions, (B, N, C), without prefix tokens."""
        if self.chain.is_convolutional:
            return self.rows(final).flatten(1, 2)
        return final[:, self.chain.prefix_tokens :]

    def pool(self, spatial: torch.Tensor) -> torch.Tensor:
        """Pool positions to features without parameters.

        Args:
            spatial: (B, N, C) positions of the final map.

        Returns:
            (B, N * pooled_channels): the mean of each group of C / pooled_channels
            neighbouring channels of each position. The spatial layout is kept.
        """
        groups = spatial.unflatten(2, (self.manifest.pooled_channels, -1))
        return groups.mean(3).flatten(1)

    def bare_map(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the bare backbone's final positions (B, N, C), by timm's own forward pass."""
        forward_features: Part = self.model.forward_features  # type: ignore[assignment]
        return self.spatial(forward_features(pixels))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the bare backbone's pooled features through timm's own forward pass."""
        return self.pool(self.bare_map(pixels))

    def digest(self) -> str:
        """Return the sha256 of the live tensors."""
        return tensors_digest(self.model.state_dict())

    def check(self, probe_path: Path | None = None) -> BaseCheck:
        """Hash the live tensors and run the stored probe with adapters off.

        Args:
            probe_path: Backbone folder holding the probe, or None for the digest alone.

        Returns:
            The outcome; nothing is raised for a changed base, see `BaseCheck.require`.

        Raises:
            PackageError: As `probe.read_probe`.
            TensorError: As `probe.read_probe`.
        """
        equal = True if probe_path is None else self._probe_equal(probe_path)
        return BaseCheck(self.manifest.id, self.digest(), self.manifest.digest, equal)

    @torch.inference_mode()
    def _probe_equal(self, path: Path) -> bool:
        stored = read_probe(path, self.manifest, self.features_per_camera)
        features = self(self.normalise(torch.tensor(stored.image)))
        if self._local_probe is None:
            wanted = torch.tensor(stored.features)
            scale, difference = float(wanted.abs().max()), float((features - wanted).abs().max())
            if not difference <= PROBE_TOLERANCE * scale:
                return False
            self._local_probe = features.clone()
        return torch.equal(features, self._local_probe)


def save_backbone(
    path: Path, manifest: BackboneManifest, model: nn.Module, probe: np.ndarray
) -> BackboneManifest:
    """Write a backbone package, whole or not at all: weights, digest, and a probe's features.

    Args:
        path: Folder to create or replace.
        manifest: Its `digest` is replaced by the tensors' own.
        model: The trained model.
        probe: (S, S, 3) uint8 RGB probe image.

    Returns:
        The manifest as written.

    Raises:
        PackageError: The probe's features are not finite, or the package can't be written;
            what was there stands.
        RoboAdaptError: As `FrozenBackbone`.
    """
    manifest = replace(manifest, digest=tensors_digest(model.state_dict()))
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    frozen = FrozenBackbone(manifest, model)
    image = torch.from_numpy(probe)[None].contiguous()
    with torch.inference_mode():
        features = frozen(frozen.normalise(image)).clone()
    if not torch.isfinite(features).all():
        raise PackageError(
            path,
            'would give features that are not finite (of the probe picture)',
            'weights that are whole: finite, and variances that are not negative',
        )
    probed = {'image': image, 'features': features}
    try:
        with folder_aside(path) as folder:
            (folder / WEIGHTS_NAME).write_bytes(safetensors.torch.save(state))
            (folder / PROBE_NAME).write_bytes(safetensors.torch.save(probed))
            save_json(manifest, folder / MANIFEST_NAME)
    except OSError as error:
        raise PackageError(
            path, f'cannot be written ({error.strerror})', 'a folder that can be, with room'
        ) from error
    return manifest
