"""The three families behind one small interface: a timm model read as a chain.

A chain is a stem, blocks and a final part. Adapters act between them: before the first block,
after each block, and on the final map. The model itself is not changed: run through, a chain
computes what timm's own `forward_features` does, operation for operation.

Families: vision transformers (`timm.models.vision_transformer`), ResNets
(`timm.models.resnet`) and normalizer-free nets (`timm.models.nfnet`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roboadapt_ros.errors import MissingHookError
from timm.models.nfnet import NormFreeNet
from timm.models.resnet import ResNet
from timm.models.vision_transformer import Block, VisionTransformer
import torch
from torch import nn

Part = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Chain:
    """What adapters need to know of a model.

    Between its parts a transformer has tokens (B, T, C) and a convolutional net maps
    (B, C, H, W).
    """

    family: str
    stem: Part
    blocks: tuple[Part, ...]
    final: Part
    prefix_tokens: int
    """Class and register tokens before the spatial ones; 0 in a convolutional net."""
    default_middle: tuple[bool, ...]
    """Which blocks get a middle adapter by default."""
    is_open: bool = False
    """True where each block is timm's plain transformer block, which computes no more than
    `x += ls1(attn(norm1(x)))`, then `x += ls2(mlp(norm2(x)))`: an engine may run it by parts."""

    @property
    def is_convolutional(self) -> bool:
        """True when the parts exchange maps."""
        return self.family != 'vit'

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Run the whole chain without adapters."""
        x = self.stem(pixels)
        for block in self.blocks:
            x = block(x)
        return self.final(x)


@dataclass(frozen=True)
class _Family:
    """How one family's models are recognised and read."""

    cls: type[nn.Module]
    hooks: tuple[str, ...]
    read: Callable[[Any], Chain]


def read_chain(model: nn.Module, name: str) -> Chain:
    """Return a model's chain.

    Args:
        model: A timm model.
        name: Its timm name, for messages.

    Raises:
        MissingHookError: It belongs to none of the families; the message has the nearest
            family and the hook that is missing.
    """
    absent = {key: _missing(model, family) for key, family in _FAMILIES.items()}
    for key, missing in absent.items():
        if not missing:
            return _FAMILIES[key].read(model)
    nearest = min(absent, key=lambda key: len(absent[key]))
    kinds = {key: family.cls.__name__ for key, family in _FAMILIES.items()}
    raise MissingHookError(name, type(model).__name__, nearest, absent[nearest], kinds)


def _missing(model: nn.Module, family: _Family) -> tuple[str, ...]:
    """Return the hooks a model lacks; the family's own `forward_features` is one of them.

    A model that overrides it may do more than the chain knows of, so it is not read.
    """
    missing = tuple(hook for hook in family.hooks if not hasattr(model, hook))
    own = getattr(type(model), 'forward_features', None)
    if own is not vars(family.cls)['forward_features']:
        missing += (f'{family.cls.__name__}.forward_features',)
    return missing


def _read_vit(model: VisionTransformer) -> Chain:
    def stem(pixels: torch.Tensor) -> torch.Tensor:
        tokens = model._pos_embed(model.patch_embed(pixels))
        return model.norm_pre(model.patch_drop(tokens))

    blocks = tuple(model.blocks)
    return Chain(
        'vit',
        stem,
        blocks,
        model.norm,
        int(model.num_prefix_tokens),
        (True,) * len(blocks),
        is_open=all(type(block) is Block for block in blocks),
    )


def _read_resnet(model: ResNet) -> Chain:
    def stem(pixels: torch.Tensor) -> torch.Tensor:
        return model.maxpool(model.act1(model.bn1(model.conv1(pixels))))

    stages = [getattr(model, f'layer{index}') for index in range(1, 5)]
    return _convolutional('resnet', stem, stages, nn.Identity())


def _read_nfnet(model: NormFreeNet) -> Chain:
    def final(maps: torch.Tensor) -> torch.Tensor:
        return model.final_act(model.final_conv(maps))

    return _convolutional('nfnet', model.stem, list(model.stages), final)


def _convolutional(family: str, stem: Part, stages: list[nn.Module], final: Part) -> Chain:
    """Return a chain of residual blocks; the default sites are the ends of the later stages.

    The first stage's end has the largest maps, and the bottom adapter sits on maps of that size
    a few blocks before: a site there costs more time than any other, and adds the least.
    """
    blocks: list[Part] = []
    default: list[bool] = []
    for number, stage in enumerate(stages):
        members = list(stage.children())
        blocks += members
        default += [False] * (len(members) - 1) + [number > 0]
    return Chain(family, stem, tuple(blocks), final, 0, tuple(default))


_FAMILIES = {
    'vit': _Family(
        VisionTransformer,
        ('patch_embed', '_pos_embed', 'patch_drop', 'norm_pre', 'blocks', 'norm'),
        _read_vit,
    ),
    'resnet': _Family(
        ResNet,
        ('conv1', 'bn1', 'act1', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4'),
        _read_resnet,
    ),
    'nfnet': _Family(NormFreeNet, ('stem', 'stages', 'final_conv', 'final_act'), _read_nfnet),
}
FAMILIES = tuple(_FAMILIES)
