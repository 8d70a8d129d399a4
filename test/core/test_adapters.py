"""Adapters are lossless: fresh ones do nothing, and the base never changes."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_ros.adapters.bottleneck import adapted_features, TaskAdapters
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.digest import tensors_digest
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.errors import BaseChangedError, ConfigError, PackageError, TensorError
import safetensors.torch
from tiny import make_backbone, SIZE
import torch


@pytest.fixture
def folder(tmp_path):
    make_backbone(tmp_path)
    return tmp_path / 'backbones' / 'tiny'


@pytest.fixture
def backbone(folder) -> FrozenBackbone:
    return FrozenBackbone.load(folder)


def pixels(backbone: FrozenBackbone, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    return backbone.normalise(images)


def layout(**widths) -> AdapterLayout:
    return AdapterLayout(channels=(64,) * 4, pooled_channels=8, **widths)


@pytest.mark.parametrize(
    'widths',
    [
        {'bottom': 4},
        {'middle': (4, 4)},
        {'middle': (0, 4)},
        {'top': 4},
        {'bottom': 4, 'middle': (4, 4), 'top': 4},
        {},
    ],
)
def test_fresh_adapters_are_exactly_the_identity(backbone, widths) -> None:
    x = pixels(backbone)
    assert torch.equal(adapted_features(backbone, TaskAdapters(layout(**widths)), x), backbone(x))


def test_adapters_off_is_timms_own_forward_pass_bit_for_bit(backbone) -> None:
    x = pixels(backbone)
    tokens = backbone.model.forward_features(x)[:, backbone.chain.prefix_tokens :]
    expected = tokens.unflatten(2, (8, -1)).mean(3).flatten(1)
    assert torch.equal(adapted_features(backbone, None, x), expected)


@pytest.mark.parametrize('site', ['bottom', 'middle', 'top'])
def test_each_site_changes_the_features(backbone, site: str) -> None:
    adapters = TaskAdapters(layout(**{site: (4, 4) if site == 'middle' else 4}))
    for parameter in adapters.parameters():
        torch.nn.init.normal_(parameter)
    x = pixels(backbone)
    assert not torch.allclose(adapted_features(backbone, adapters, x), backbone(x))


def test_training_adapters_leaves_the_base_untouched(backbone) -> None:
    before = backbone.digest()
    adapters = TaskAdapters(layout(bottom=4, middle=(4, 4), top=4))
    backbone.train()
    optimiser = torch.optim.AdamW(adapters.parameters(), lr=0.1)
    for _ in range(3):
        loss = adapted_features(backbone, adapters, pixels(backbone)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert backbone.digest() == before == backbone.manifest.digest
    assert not backbone.model.training
    assert all(p.grad is None for p in backbone.model.parameters())


def test_layout_names_exactly_the_tensors_of_the_module() -> None:
    adapters = TaskAdapters(layout(bottom=4, middle=(3, 0), top=5))
    found = {name: tuple(t.shape) for name, t in adapters.state_dict().items()}
    assert found == adapters.layout.shapes()


def test_one_middle_width_per_block_is_required() -> None:
    with pytest.raises(ConfigError, match='2 widths'):
        layout(middle=(4,))


def test_the_digest_depends_on_name_shape_dtype_and_value_not_on_order() -> None:
    a, b = torch.arange(4.0), torch.ones(2)
    digest = tensors_digest({'a': a, 'b': b})
    assert digest == tensors_digest({'b': b, 'a': a})
    others = (
        {'x': a, 'b': b},
        {'a': a.reshape(2, 2), 'b': b},
        {'a': a.double(), 'b': b},
        {'a': a + 1e-7, 'b': b},
    )
    assert all(tensors_digest(other) != digest for other in others)


def test_a_changed_tensor_is_noticed_by_digest_and_by_probe(backbone, folder) -> None:
    assert backbone.check(folder).intact
    with torch.no_grad():
        backbone.model.blocks[0].norm1.weight[0] += 1.0
    check = backbone.check(folder)
    assert check.digest != check.expected_digest
    assert not check.probe_equal
    with pytest.raises(BaseChangedError, match='digest'):
        check.require()


def test_changed_weights_on_disk_are_refused_at_load(folder) -> None:
    path = folder / 'weights.safetensors'
    tensors = safetensors.torch.load_file(path)
    tensors['norm.weight'][0] += 1e-3
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(BaseChangedError, match='tiny'):
        FrozenBackbone.load(folder)


def test_missing_and_unexpected_backbone_tensors_are_named(folder) -> None:
    path = folder / 'weights.safetensors'
    tensors = safetensors.torch.load_file(path)
    tensors['stranger'] = tensors.pop('norm.weight')
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(TensorError, match=r'missing: norm\.weight; unexpected: stranger'):
        FrozenBackbone.load(folder)


def test_of_many_wrong_tensors_the_first_are_named_and_all_are_known(folder) -> None:
    path = folder / 'weights.safetensors'
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({f'other.{name}': tensors[name] for name in tensors}, path)
    with pytest.raises(TensorError, match=rf'and {len(tensors) - 12} more; unexpected') as caught:
        FrozenBackbone.load(folder)
    assert len(caught.value.missing) == len(caught.value.unexpected) == len(tensors)


def test_a_truncated_backbone_is_refused(folder) -> None:
    path = folder / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PackageError, match='cannot be read'):
        FrozenBackbone.load(folder)


def test_pooling_keeps_the_spatial_layout(backbone) -> None:
    spatial = torch.zeros(1, backbone.positions, 64)
    spatial[0, 2, :8] = 1.0
    pooled = backbone.pool(spatial).reshape(backbone.positions, 8)
    assert np.argwhere(pooled.numpy()).tolist() == [[2, 0]]
