"""Where adapters go: settings to layouts, and what they cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from roboadapt_ros.adapters.bottleneck import TaskAdapters
from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout, TopKind
from roboadapt_ros.adapters.placement import Placement
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.backbones.pretrained import plan, Request
from roboadapt_ros.cli import main as cli
from roboadapt_ros.cli.sizes import TIMM_NAMES
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.settings import TrainConfig
from tiny import backbone_manifest, FAMILIES

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=list(FAMILIES))
def backbone(request) -> FrozenBackbone:
    return FrozenBackbone.hollow(backbone_manifest(request.param, **FAMILIES[request.param]))


def test_the_default_is_bottom_middle_and_top_at_the_familys_own_sites(backbone) -> None:
    layout = Placement().layout(backbone)
    assert layout == backbone.layout(bottom=16, middle=16, top=64)
    used = tuple(width > 0 for width in layout.middle)
    assert used == backbone.chain.default_middle
    assert layout.kernel == (3 if backbone.chain.is_convolutional else 1)


def test_named_blocks_alone_get_a_middle_adapter(backbone) -> None:
    last = backbone.depth - 1
    layout = Placement(bottom=0, top=0, middle_blocks=(0, last)).layout(backbone)
    assert [site.name for site in layout.sites] == ['middle.0', f'middle.{last}']
    with pytest.raises(ConfigError, match=rf'middle_blocks.*0\.\.{last}'):
        Placement(middle_blocks=(last + 1,)).layout(backbone)


def test_a_linear_top_has_the_pooled_width(backbone) -> None:
    layout = Placement(top_kind=TopKind.LINEAR).layout(backbone)
    assert layout.top == backbone.manifest.pooled_channels
    assert Placement(top_kind=TopKind.LINEAR, top=0).layout(backbone).top == 0


@pytest.mark.parametrize('option', ['--bottom', '--middle', '--top'])
def test_a_width_that_no_backbone_needs_is_refused(capsys, tmp_path, option: str) -> None:
    train = ('train', '--task', 'lift_red', '--data', 'x', '--backbone', 'x', '--out')
    for width in ('100000000', '-1'):
        for words in ((*train, str(tmp_path / 'a')), ('adapters', 'sizes')):
            assert cli.main([*words, option, width]) == 2
            assert f'{option} = {width}: must be within 0..4096' in capsys.readouterr().err


def test_the_count_is_that_of_the_module(backbone) -> None:
    for placement in (Placement(), Placement(kernel=1, top_kind=TopKind.LINEAR)):
        layout = placement.layout(backbone)
        module = TaskAdapters(layout)
        assert layout.parameter_count == sum(p.numel() for p in module.parameters())


def test_training_takes_its_placement_from_the_same_settings(backbone, tmp_path) -> None:
    config = TrainConfig(task='a', data=(), backbone=tmp_path, out=tmp_path, middle=4, kernel=1)
    assert config.layout(backbone) == Placement(middle=4, kernel=1).layout(backbone)


@pytest.mark.parametrize(
    'name', ['vit_small_patch16_224', 'vit_base_patch16_224', 'resnet50', 'dm_nfnet_f0']
)
def test_the_default_costs_at_most_two_per_cent_of_the_backbone(name: str) -> None:
    backbone = FrozenBackbone.hollow(plan(Request(timm_name=name, random=True)))
    layout = Placement().layout(backbone)
    assert 0 < layout.parameter_count <= 0.02 * backbone.parameter_count


def test_the_table_in_the_docs_is_what_the_command_prints(capsys) -> None:
    assert (
        cli.main(['adapters', 'sizes', '--markdown', '--backbone', 'vit_table_s', *TIMM_NAMES])
        == 0
    )
    page = (ROOT / 'docs' / 'adapters.md').read_text(encoding='utf-8')
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + 4 * 5
    missing = [row for row in printed if row not in page]
    assert not missing, "write the output of 'roboadapt adapters sizes --markdown' into the page"


def test_no_manifest_asks_for_more_blocks_or_layers_than_there_can_be() -> None:
    """Names of millions of tensors would fill the memory before a file is looked at."""
    with pytest.raises(ConfigError, match=r'adapters\.channels.*1000000 values.*at most 258'):
        AdapterLayout(channels=(1,) * 1_000_000, pooled_channels=1)
    sizes = {'feature_size': 1, 'proprio_size': 1, 'chunk_length': 1, 'action_size': 1}
    with pytest.raises(ConfigError, match=r'head\.hidden.*1000000 values.*at most 16'):
        HeadLayout(hidden=(1,) * 1_000_000, **sizes)
