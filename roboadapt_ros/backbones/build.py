"""A manifest to a timm model, or to its sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roboadapt_ros.backbones.chain import Chain, read_chain
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.errors import ConfigError, UnknownNameError
import timm
from timm.models import PretrainedCfg
import torch
from torch import nn

_FAULTS = (
    TypeError,
    AssertionError,
    AttributeError,
    ValueError,
    LookupError,
    RuntimeError,
    ArithmeticError,
)
"""What timm's constructors raise for arguments that make no model."""


def build_timm(manifest: BackboneManifest) -> nn.Module:
    """Build the timm model a manifest describes, with random weights.

    Raises:
        UnknownNameError: timm has no model of that name, or no weights of that tag.
        ConfigError: The model can't be built with these arguments.
    """
    kwargs: dict[str, Any] = {'num_classes': 0, **manifest.timm_kwargs}
    known = timm_config(manifest.timm_name)
    if known is not None and known.fixed_input_size:
        kwargs['img_size'] = manifest.image_size
    try:
        return timm.create_model(manifest.timm_name, pretrained=False, **kwargs)
    except _FAULTS as error:
        raise ConfigError(f'{manifest.id}.timm_kwargs', kwargs, str(error)) from error


def timm_config(name: str) -> PretrainedCfg | None:
    """Return what timm knows of a model's data, licence and weights, or None.

    Args:
        name: timm name, with or without the tag of its weights.

    Raises:
        UnknownNameError: timm has no such model, or the model no such tag.
    """
    if not timm.is_model(name):
        raise UnknownNameError('timm model', name, timm.list_models())
    tags = timm.models.get_arch_pretrained_cfgs(name)
    if '.' in name and name not in tags:
        raise UnknownNameError('timm weights', name, tags)
    return timm.get_pretrained_cfg(name)


@dataclass(frozen=True)
class ChainShape:
    """Sizes of what a chain's parts exchange, for one image."""

    channels: tuple[int, ...]
    """Before the first block, after each block, and of the final map."""
    positions: int
    """Positions of the final map."""


def chain_shape(manifest: BackboneManifest) -> ChainShape:
    """Return the sizes along the chain a manifest describes, without computing anything.

    Raises:
        RoboAdaptError: As `build_timm` and `read_chain`.
    """
    with torch.device('meta'):
        model = build_timm(manifest).eval()
        pixels = torch.empty(1, 3, manifest.image_size, manifest.image_size)
    try:
        return _sizes(read_chain(model, manifest.timm_name), pixels)
    except _FAULTS as error:
        raise ConfigError(f'{manifest.id}.image_size', manifest.image_size, str(error)) from error


@torch.inference_mode()
def _sizes(chain: Chain, pixels: torch.Tensor) -> ChainShape:
    """Return the sizes along a chain for pixels on the meta device."""
    axis = 1 if chain.is_convolutional else 2
    x = chain.stem(pixels)
    channels = [x.shape[axis]]
    for block in chain.blocks:
        x = block(x)
        channels.append(x.shape[axis])
    final = chain.final(x)
    channels.append(final.shape[axis])
    if chain.is_convolutional:
        positions = final.shape[2] * final.shape[3]
    else:
        positions = final.shape[1] - chain.prefix_tokens
    return ChainShape(tuple(channels), positions)
