"""The manifest of a backbone: which timm model, which weights, which exact bytes.

Imports no torch, so that tools can list backbones quickly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
import json
from pathlib import Path
from typing import Any

from roboadapt_ros.config import load_json, require_plain_name
from roboadapt_ros.errors import ConfigError, PackageError, UnknownNameError
from roboadapt_ros.files import package_file

MANIFEST_NAME = 'backbone.json'
WEIGHTS_NAME = 'weights.safetensors'
PROBE_NAME = 'probe.safetensors'
INTERPOLATIONS = ('nearest', 'bilinear', 'bicubic', 'lanczos')
"""Names that timm's data configurations use."""
MAX_IMAGE_SIZE = 2048
MAX_KWARG = 1 << 14
"""Largest whole number in `timm_kwargs`: a manifest must not ask for endless building."""
MAX_DEPTH = 256
"""Most blocks, or blocks of a stage."""
RESERVED_KWARGS = (
    'pretrained',
    'pretrained_cfg',
    'pretrained_cfg_overlay',
    'checkpoint_path',
    'cache_dir',
    'features_only',
    'device',
)
"""Arguments of `timm.create_model` that read files or the network, or change what it returns."""


@dataclass(frozen=True, kw_only=True)
class BackboneManifest:
    """What `models/backbones/<id>/backbone.json` holds."""

    schema_version: int
    id: str
    timm_name: str
    """Model name for `timm.create_model`."""
    timm_kwargs: dict[str, Any]
    """Architecture arguments for `timm.create_model`."""
    image_size: int
    """Side of the square network input [px]."""
    mean: tuple[float, float, float]
    """Per-channel mean of RGB in 0..1."""
    std: tuple[float, float, float]
    pooled_channels: int
    """Channels each spatial token is pooled to; features per camera = tokens * this."""
    digest: str
    """sha256 over the tensors' names, dtypes, shapes and bytes."""
    licence: str
    crop_pct: float = 1.0
    """Share of the image's side that was cropped out and resized in pretraining; recorded, for
    what a camera's picture is cropped to is in the task's contract."""
    interpolation: str = 'bilinear'
    """How images were resized in pretraining; one of `INTERPOLATIONS`."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Recipe, data, seed and measurements."""

    @property
    def settings_digest(self) -> str:
        """sha256 over what decides the features beside the tensors: model, input and pooling."""
        settings = {
            'timm_name': self.timm_name.partition('.')[0],  # a tag is of the weights
            'timm_kwargs': self.timm_kwargs,
            'image_size': self.image_size,
            'mean': [float(value) for value in self.mean],
            'std': [float(value) for value in self.std],
            'pooled_channels': self.pooled_channels,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def __post_init__(self) -> None:
        """Check every field's own rule."""
        if self.schema_version != 1:
            raise ConfigError('backbone.schema_version', self.schema_version, 'must be 1')
        require_plain_name('backbone.id', self.id)
        if not 1 <= self.image_size <= MAX_IMAGE_SIZE:
            raise ConfigError(
                'backbone.image_size', self.image_size, f'must be 1..{MAX_IMAGE_SIZE}'
            )
        if self.pooled_channels < 1:
            raise ConfigError(
                'backbone.pooled_channels', self.pooled_channels, 'must be at least 1'
            )
        if min(self.std) <= 0.0:
            raise ConfigError('backbone.std', self.std, 'must be positive')
        if not 0.0 < self.crop_pct <= 1.0:
            raise ConfigError('backbone.crop_pct', self.crop_pct, 'must be above 0, at most 1')
        if self.interpolation not in INTERPOLATIONS:
            raise UnknownNameError('interpolation', self.interpolation, INTERPOLATIONS)
        for key, value in self.timm_kwargs.items():
            _check_kwarg(key, value)


def _check_kwarg(key: str, value: object) -> None:
    """Raise `ConfigError` for an argument that is not plain architecture of bounded size."""
    name = f'backbone.timm_kwargs.{key}'
    if key in RESERVED_KWARGS:
        raise ConfigError(name, value, 'is not architecture; name, sizes and weights are fields')
    largest = MAX_DEPTH if key in ('depth', 'depths', 'layers') else MAX_KWARG
    for item in value if isinstance(value, list) and len(value) <= 16 else [value]:
        if not isinstance(item, (bool, int, float, str, type(None))):
            raise ConfigError(name, value, 'must be numbers, words or a list of at most 16')
        if isinstance(item, (int, float)) and not abs(item) <= largest:
            raise ConfigError(name, value, f'must be at most {largest}')


def backbone_names(models_dir: Path) -> tuple[str, ...]:
    """Return the ids of the backbones under `models_dir`/backbones."""
    root = models_dir / 'backbones'
    names = (path.parent.name for path in root.glob(f'*/{MANIFEST_NAME}'))
    return tuple(sorted(name for name in names if not name.startswith('.')))


def backbone_path(models_dir: Path, backbone_id: str) -> Path:
    """Return a backbone's folder.

    Raises:
        UnknownNameError: No such backbone; the message has the nearest name.
    """
    if backbone_id not in backbone_names(models_dir):
        raise UnknownNameError('backbone', backbone_id, backbone_names(models_dir))
    return models_dir / 'backbones' / backbone_id


def load_backbone_manifest(path: Path) -> BackboneManifest:
    """Read the manifest in a backbone's folder.

    Raises:
        PackageError: Missing, unreadable, or in a folder of another name.
        RoboAdaptError: As `config.load_json`.
    """
    file = package_file(path, MANIFEST_NAME)
    manifest = load_json(BackboneManifest, file)
    if manifest.id != path.name:
        raise PackageError(
            file, f"names backbone '{manifest.id}'", f"the folder's name '{path.name}'"
        )
    return manifest
