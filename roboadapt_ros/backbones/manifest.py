"""The manifest of a backbone: which timm model, which weights, which exact bytes.

Imports no torch, so that tools can list backbones quickly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roboadapt_ros.config import load_json
from roboadapt_ros.errors import ConfigError, UnknownNameError

MANIFEST_NAME = 'backbone.json'
WEIGHTS_NAME = 'weights.safetensors'
PROBE_NAME = 'probe.safetensors'


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
    provenance: dict[str, Any] = field(default_factory=dict)
    """Recipe, data, seed and measurements."""

    def __post_init__(self) -> None:
        """Check the schema version."""
        if self.schema_version != 1:
            raise ConfigError('backbone.schema_version', self.schema_version, 'must be 1')


def backbone_names(models_dir: Path) -> tuple[str, ...]:
    """Return the ids of the backbones under `models_dir`/backbones."""
    root = models_dir / 'backbones'
    return tuple(sorted(p.parent.name for p in root.glob(f'*/{MANIFEST_NAME}')))


def backbone_path(models_dir: Path, backbone_id: str) -> Path:
    """Return a backbone's folder.

    Raises:
        UnknownNameError: No such backbone; the message has the nearest name.
    """
    if backbone_id not in backbone_names(models_dir):
        raise UnknownNameError('backbone', backbone_id, backbone_names(models_dir))
    return models_dir / 'backbones' / backbone_id


def load_backbone_manifest(path: Path) -> BackboneManifest:
    """Read the manifest in a backbone's folder; raises as `config.load_json`."""
    return load_json(BackboneManifest, path / MANIFEST_NAME)
