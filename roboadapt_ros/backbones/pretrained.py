"""A pretrained timm model, frozen into a backbone package of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from roboadapt_ros.backbones.build import (
    build_timm,
    chain_shape,
    how_timm_loads,
    timm_config,
)
from roboadapt_ros.backbones.convert import convert
from roboadapt_ros.backbones.frozen import save_backbone
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.backbones.source import Checkpoint, read_file, read_pretrained
from roboadapt_ros.config import require_plain_name
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.files import require_free
import timm
from timm.data.config import resolve_data_config
from timm.models import PretrainedCfg
import torch
from torch import nn

FEATURES_TARGET = 2048
"""Features per camera that the default pooling comes nearest to: the paper's heads read about
two thousand values."""
LARGEST_DROPPED_LIST = 40

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to freeze into which package."""

    timm_name: str
    """Model, with or without the tag of its weights."""
    id: str | None = None
    """Name of the package; default: the timm name with tag."""
    file: Path | None = None
    """Local checkpoint to read instead of timm's own weights."""
    random: bool = False
    """Random weights, for tests and benchmarks."""
    seed: int = 0
    """Of random weights."""
    image_size: int | None = None
    """Side of the input [px]; default: timm's."""
    pooled_channels: int | None = None
    """Channels each position is pooled to; default: see `default_pooling`."""
    licence: str | None = None
    """Licence of the weights; default: what timm says of its own."""

    def __post_init__(self) -> None:
        """Check there is one source, and that sizes are possible."""
        if self.random and self.file is not None:
            raise ConfigError('--random', True, 'needs no --file')
        sizes = (('--image-size', self.image_size), ('--pooled-channels', self.pooled_channels))
        for option, size in sizes:
            if size is not None and size < 1:
                raise ConfigError(option, size, 'must be at least 1')


def default_pooling(positions: int, channels: int) -> int:
    """Return the divisor of `channels` that gives nearest to `FEATURES_TARGET` features."""
    divisors = [d for d in range(1, channels + 1) if channels % d == 0]
    return min(divisors, key=lambda d: (abs(d * positions - FEATURES_TARGET), d))


def plan(request: Request) -> BackboneManifest:
    """Return the manifest a request leads to, without its weights.

    Raises:
        UnknownNameError: timm has no such model or tag.
        MissingHookError: The model belongs to none of the families.
        ConfigError: A size that does not fit, or pictures that are not RGB, or not square
            where the request gives no side.
    """
    config = timm_config(request.timm_name) or PretrainedCfg()
    name = _full_name(request, config)
    data = resolve_data_config(pretrained_cfg=config.to_dict())
    channels, height, width = data['input_size']
    if channels != 3:
        raise ConfigError('timm name', name, 'must read pictures of three channels')
    if request.image_size is None and height != width:
        raise ConfigError(
            'timm name', name, f'reads pictures of {height} x {width}; give a side: --image-size'
        )
    manifest = BackboneManifest(
        schema_version=1,
        id=require_plain_name('--id', request.id or name),
        timm_name=name,
        timm_kwargs={},
        image_size=height if request.image_size is None else request.image_size,
        mean=tuple(data['mean']),
        std=tuple(data['std']),
        pooled_channels=1,
        digest='',
        licence=_licence(request, config),
        crop_pct=float(data['crop_pct']),
        interpolation=data['interpolation'],
    )
    shape = chain_shape(manifest)
    final = shape.channels[-1]
    pooled = request.pooled_channels
    if pooled is None:
        pooled = default_pooling(shape.positions, final)
    if final % pooled:
        raise ConfigError('--pooled-channels', pooled, f'must divide {final}')
    return replace(manifest, pooled_channels=pooled)


def _full_name(request: Request, config: PretrainedCfg) -> str:
    """Return the timm name, with the tag where timm's own weights are meant."""
    has_tag = '.' in request.timm_name or not config.tag
    from_timm = request.file is None and not request.random
    return request.timm_name if has_tag or not from_timm else f'{request.timm_name}.{config.tag}'


def _licence(request: Request, config: PretrainedCfg) -> str:
    if request.licence:
        return request.licence
    if request.random:
        return 'none: random weights'
    return (config.license if request.file is None else None) or 'not stated'


def add_backbone(models: Path, request: Request, say: Say, *, force: bool = False) -> Path:
    """Write a backbone package from pretrained weights.

    Args:
        models: Models folder.
        request: What to freeze.
        say: Told what is going on, a sentence at a time.
        force: Replace a package of the same id.

    Returns:
        The package's folder.

    Raises:
        PackageError: A package of that id exists, or the file can't be read.
        TensorError: The weights do not fit the model.
        HubError: The weights can't be had.
        RoboAdaptError: As `plan`.
    """
    manifest = plan(request)
    folder = models / 'backbones' / manifest.id
    require_free(folder, 'another --id', force=force)
    model, provenance = _weights(request, manifest, say)
    probe = np.random.default_rng(0).integers(
        0, 256, (manifest.image_size, manifest.image_size, 3), dtype=np.uint8
    )
    require_free(folder, 'another --id', force=force)  # another process may have come first
    say(f'writing {folder}')
    save_backbone(folder, replace(manifest, provenance=provenance), model, probe)
    return folder


def _weights(
    request: Request, manifest: BackboneManifest, say: Say
) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model with its weights, and where they are from."""
    versions = {'timm': timm.__version__, 'torch': str(torch.__version__)}
    if request.random:
        say(f'building {manifest.timm_name} with random weights')
        torch.manual_seed(request.seed)
        model = build_timm(manifest)
        return model, {'recipe': 'random weights', 'seed': request.seed, **versions}
    checkpoint = _checkpoint(request, manifest, say)
    with torch.device('meta'):
        empty = build_timm(manifest)
    loading = how_timm_loads(manifest)
    converted = convert(checkpoint.origin, checkpoint.tensors, empty, loading)
    where = f"under '{converted.prefix}'" if converted.prefix else 'at the top'
    say(f'found all {len(converted.tensors)} tensors {where}')
    if converted.dropped:
        say(f'left out: {", ".join(converted.dropped[:LARGEST_DROPPED_LIST])}')
    model = build_timm(manifest)
    model.load_state_dict(converted.tensors, strict=True)
    provenance = {
        'recipe': 'pretrained weights (roboadapt backbones add)',
        'source': checkpoint.origin,
        'prefix': converted.prefix,
        'left_out': list(converted.dropped[:LARGEST_DROPPED_LIST]),
        'source_sha256': checkpoint.sha256,
    }
    return model, provenance | versions


def _checkpoint(request: Request, manifest: BackboneManifest, say: Say) -> Checkpoint:
    if request.file is not None:
        say(f'reading {request.file}')
        return read_file(request.file)
    config = timm_config(manifest.timm_name) or PretrainedCfg()
    say(f"getting the weights of '{manifest.timm_name}' ({config.hf_hub_id or config.url})")
    return read_pretrained(manifest.timm_name, config)
