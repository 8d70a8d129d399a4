"""A manifest to a timm model, or to its sizes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest import mock

from roboadapt_ros.backbones.chain import Chain, read_chain
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.errors import ConfigError, UnknownNameError
import timm
from timm.models import _builder, PretrainedCfg
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


def build_timm(manifest: BackboneManifest, *, pretrained: bool = False) -> nn.Module:
    """Build the timm model a manifest describes, with random weights unless `pretrained`.

    Raises:
        UnknownNameError: timm has no model of that name, or no weights of that tag.
        ConfigError: The model can't be built with these arguments.
    """
    kwargs: dict[str, Any] = {'num_classes': 0, **manifest.timm_kwargs}
    known = timm_config(manifest.timm_name)
    if known is not None and known.fixed_input_size:
        kwargs['img_size'] = manifest.image_size
    try:
        return timm.create_model(manifest.timm_name, pretrained=pretrained, **kwargs)
    except _FAULTS as error:
        raise ConfigError(f'{manifest.id}.timm_kwargs', kwargs, str(error)) from error


class Loading(NamedTuple):
    """How timm itself loads the weights released for a model."""

    adapted: Callable[[dict[str, torch.Tensor], nn.Module], Mapping[str, torch.Tensor]] | None
    """Its conversion of names and position grids, with the settings it is called with."""
    is_strict: bool
    """False where it leaves out what the model has no place for."""


def how_timm_loads(manifest: BackboneManifest) -> Loading:
    """Return how timm would load the weights of the model that a manifest describes.

    It chooses by the model's name while it builds it: so it builds one, without memory, and is
    asked for the weights it would then load.

    Raises:
        RoboAdaptError: As `build_timm`.
    """
    found: list[Loading] = []

    def note(model: nn.Module, *, filter_fn: Any, strict: bool, **_: object) -> None:
        found.append(Loading(filter_fn, strict))

    with mock.patch.object(_builder, 'load_pretrained', note), torch.device('meta'):
        build_timm(manifest, pretrained=True)
    return found[0]


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
