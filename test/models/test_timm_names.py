"""Every timm name of the families' modules is read as a chain, or refused with the hook named.

By default a sample, evenly spread, that takes some seconds. All of them, with the counts:
ROBOADAPT_ALL_TIMM=1 pytest test/models/test_timm_names.py --log-cli-level=INFO
"""

from __future__ import annotations

from collections import Counter
import logging
import os

import pytest
from roboadapt_ros.backbones.build import build_timm, timm_config
from roboadapt_ros.backbones.chain import read_chain
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.errors import MissingHookError
import timm
import torch

MODULES = {
    'vision_transformer': {'vit'},
    'vision_transformer_hybrid': {'vit'},
    'vision_transformer_relpos': {''},
    'vision_transformer_sam': {''},
    'deit': {'vit'},
    'resnet': {'resnet'},
    'nfnet': {'nfnet'},
}
"""timm module -> the families its names are read as; '' is refused."""
LOG = logging.getLogger(__name__)
ALL = bool(os.environ.get('ROBOADAPT_ALL_TIMM'))
STEP = 1 if ALL else 6


def manifest(name: str) -> BackboneManifest:
    config = timm_config(name)
    return BackboneManifest(
        schema_version=1,
        id='any',
        timm_name=name,
        timm_kwargs={},
        image_size=224 if config is None else config.input_size[1],
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        pooled_channels=1,
        digest='',
        licence='',
    )


def read(name: str) -> str:
    """Return the family a name is read as, or '' where it is refused."""
    with torch.device('meta'):
        model = build_timm(manifest(name)).eval()
    try:
        chain = read_chain(model, name)
    except MissingHookError as error:
        assert error.missing, f'{name}: refused without a reason'
        return ''
    covered = {id(p) for part in _modules(model, chain) for p in part.parameters()}
    left_out = [n for n, p in model.named_parameters() if id(p) not in covered]
    assert not [n for n in left_out if n.split('.')[0] not in AFTER_THE_MAP], left_out
    return chain.family


AFTER_THE_MAP = ('fc_norm', 'attn_pool', 'head', 'head_dist', 'fc')
"""Parts of a model behind its final map, which the features here are read from."""
STEMS = {
    'vit': ('patch_embed', 'norm_pre'),
    'resnet': ('conv1', 'bn1', 'act1', 'maxpool'),
    'nfnet': ('stem', 'final_conv', 'final_act'),
}
TOKENS = ('cls_token', 'dist_token', 'reg_token', 'pos_embed')


def _modules(model, chain):
    """Yield what the chain runs; a transformer's tokens are parameters of the model itself."""
    yield from (getattr(model, name) for name in STEMS[chain.family])
    yield from chain.blocks
    if chain.family == 'vit':
        yield model.norm
        tokens = [getattr(model, name, None) for name in TOKENS]
        yield torch.nn.ParameterList([t for t in tokens if t is not None])


@pytest.mark.parametrize('module', MODULES)
def test_every_name_is_read_whole_or_refused_with_the_hook(module: str) -> None:
    names = timm.list_models(module=module, pretrained=False)[::STEP]
    families = {name: read(name) for name in names}
    counts = Counter(families.values())
    LOG.info('%s: %d of %d read', module, len(names) - counts[''], len(names))
    assert set(families.values()) == MODULES[module]


def test_names_of_other_modules_give_no_other_error() -> None:
    """Most are refused; some build a model of one of the families' classes, and are read."""
    modules = [m for m in timm.list_modules() if m not in MODULES][:: 1 if ALL else 9]
    firsts = [timm.list_models(module=module, pretrained=False)[:1] for module in modules]
    families = {name: read(name) for names in firsts for name in names}
    LOG.info('first names read: %s', {n: f for n, f in families.items() if f})
    assert len(families) >= 5
