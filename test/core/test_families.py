"""The three families behind one interface: what must hold for every backbone."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_ros.adapters.bottleneck import adapted_features, TaskAdapters
from roboadapt_ros.adapters.layout import AdapterLayout, TopKind
from roboadapt_ros.backbones.chain import read_chain
from roboadapt_ros.backbones.frozen import build_timm, chain_shape, FrozenBackbone
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.errors import ConfigError, MissingHookError, UnknownNameError
import timm
from tiny import backbone_manifest, FAMILIES, make_backbone, SIZE
import torch
from torch import nn

BATCH = 3
TOLERANCE = {'rtol': 1e-4, 'atol': 1e-4}
"""Between paths that sum in another order, in float32."""


@pytest.fixture(params=list(FAMILIES))
def engine(request, tmp_path) -> TorchEngine:
    make_backbone(tmp_path, request.param, **FAMILIES[request.param])
    return TorchEngine(tmp_path / 'backbones' / request.param)


@pytest.fixture
def backbone(engine) -> FrozenBackbone:
    return engine.backbone


def images(count: int = BATCH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def trained(layout: AdapterLayout, seed: int) -> TaskAdapters:
    """Return adapters of random weights, small enough to stay within float range."""
    torch.manual_seed(seed)
    adapters = TaskAdapters(layout)
    for parameter in adapters.parameters():
        nn.init.normal_(parameter, std=0.1)
    return adapters.requires_grad_(False)


def tensors(adapters: TaskAdapters) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in adapters.state_dict().items()}


def layouts(backbone: FrozenBackbone) -> list[AdapterLayout]:
    """Return placements of every kind, with different widths and kernels."""
    last_only = [0] * (backbone.depth - 1) + [5]
    found = [
        backbone.layout(bottom=4, middle=4, top=8),
        backbone.layout(middle=[3] * backbone.depth),
        backbone.layout(middle=last_only, top=4),
        backbone.layout(top=8),
        backbone.layout(bottom=2, top=backbone.manifest.pooled_channels, top_kind=TopKind.LINEAR),
    ]
    if backbone.chain.is_convolutional:
        found.append(backbone.layout(bottom=4, middle=6, kernel=1))
    return found


def reference(backbone: FrozenBackbone, adapters: TaskAdapters | None, pictures) -> np.ndarray:
    with torch.inference_mode():
        pixels = backbone.normalise(torch.from_numpy(pictures))
        return adapted_features(backbone, adapters, pixels).numpy()


def test_a_fresh_adapter_is_exactly_the_identity(engine, backbone) -> None:
    bare = engine.run(images(), None)
    for layout in layouts(backbone):
        fresh = TaskAdapters(layout)
        np.testing.assert_array_equal(reference(backbone, fresh, images()), bare)
        handle = engine.add(layout, tensors(fresh))
        np.testing.assert_array_equal(engine.run(images(), handle), bare)


def test_adapters_off_is_timms_own_forward_pass_bit_for_bit(engine, backbone) -> None:
    with torch.inference_mode():
        pixels = backbone.normalise(torch.from_numpy(images()))
        final = backbone.model.forward_features(pixels)
        assert torch.equal(backbone.chain.forward(pixels), final)
        expected = backbone.pool(backbone.spatial(final)).numpy()
    np.testing.assert_array_equal(engine.run(images(), None), expected)


def test_serving_computes_what_training_does(engine, backbone) -> None:
    for seed, layout in enumerate(layouts(backbone)):
        adapters = trained(layout, seed)
        served = engine.run(images(), engine.add(layout, tensors(adapters)))
        np.testing.assert_allclose(served, reference(backbone, adapters, images()), **TOLERANCE)
        assert not np.allclose(served, engine.run(images(), None), atol=1e-3), layout


def test_every_site_changes_the_features_and_can_be_trained(backbone) -> None:
    layout = backbone.layout(bottom=4, middle=[4] * backbone.depth, top=8)
    adapters = trained(layout, 0).requires_grad_(True)
    pixels = backbone.normalise(torch.from_numpy(images()))
    adapted_features(backbone, adapters, pixels).square().mean().backward()
    for name, parameter in adapters.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_training_leaves_tensors_and_statistics_untouched(backbone) -> None:
    before = backbone.digest()
    backbone.train()
    adapters = trained(backbone.layout(bottom=4, middle=4, top=8), 0).requires_grad_(True)
    optimiser = torch.optim.AdamW([*adapters.parameters(), *backbone.parameters()], lr=0.1)
    for seed in range(2):
        pixels = backbone.normalise(torch.from_numpy(images(seed=seed)))
        adapted_features(backbone, adapters, pixels).square().mean().backward()
        optimiser.step()
    assert backbone.digest() == before == backbone.manifest.digest
    assert not any(module.training for module in backbone.modules())


def test_a_to_b_to_a_is_bit_equal_while_tasks_come_and_go(engine, backbone) -> None:
    layout = backbone.layout(bottom=4, middle=4, top=8)
    a = engine.add(layout, tensors(trained(layout, 1)))
    first = engine.run(images(), a)
    others = [engine.add(layout, tensors(trained(layout, seed))) for seed in range(2, 12)]
    assert not np.allclose(engine.run(images(), others[0]), first)
    del others
    engine.add(layout, tensors(trained(layout, 20)))
    np.testing.assert_array_equal(engine.run(images(), a), first)
    del a
    again = engine.add(layout, tensors(trained(layout, 1)))
    np.testing.assert_array_equal(engine.run(images(), again), first)


def test_a_mixed_batch_equals_single_runs(engine, backbone) -> None:
    handles = [None]
    for seed, layout in enumerate(layouts(backbone)):
        handles.append(engine.add(layout, tensors(trained(layout, seed))))
    for chosen in (handles, handles[:2], [handles[1], handles[1]], [None, None], handles[::-1]):
        pictures = images(len(chosen))
        mixed = engine.run_mixed(pictures, chosen)
        for index, handle in enumerate(chosen):
            single = engine.run(pictures[index : index + 1], handle)[0]
            np.testing.assert_allclose(mixed[index], single, **TOLERANCE)


def test_tasks_on_shared_frames_equal_single_runs(engine, backbone) -> None:
    handles = [None]
    for seed, layout in enumerate(layouts(backbone)):
        handles.append(engine.add(layout, tensors(trained(layout, seed))))
    for chosen in (handles, handles[::-1], handles[3:5], handles[1:2], [None, None]):
        shared = engine.run_shared(images(), chosen)
        assert shared.shape == (len(chosen), BATCH, backbone.features_per_camera)
        for values, handle in zip(shared, chosen, strict=True):
            np.testing.assert_allclose(values, engine.run(images(), handle), **TOLERANCE)


def test_blocks_below_the_first_adapter_run_once_for_all_tasks(engine, backbone) -> None:
    widths = [0] * (backbone.depth - 1) + [4]
    layout = backbone.layout(middle=widths)
    handles = [engine.add(layout, tensors(trained(layout, seed))) for seed in range(4)]
    seen: list[int] = []
    for block in backbone.chain.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    engine.run_shared(images(), handles)
    assert seen == [BATCH] * backbone.depth


def test_layout_names_exactly_the_tensors_of_the_module(backbone) -> None:
    for layout in layouts(backbone):
        found = {n: tuple(t.shape) for n, t in TaskAdapters(layout).state_dict().items()}
        assert found == layout.shapes()


def test_adapters_for_other_channels_are_refused(engine) -> None:
    layout = AdapterLayout(channels=(3, 3, 3), pooled_channels=1, bottom=2)
    with pytest.raises(ConfigError, match=r'adapters\.channels.*must be'):
        engine.add(layout, tensors(TaskAdapters(layout)))


@pytest.mark.parametrize(
    'name', ['efficientnet_b0', 'swin_tiny_patch4_window7_224', 'beit_base_patch16_224']
)
def test_another_layout_is_refused_with_the_missing_hook(name: str) -> None:
    with torch.device('meta'):
        model = timm.create_model(name, num_classes=0)
    with pytest.raises(MissingHookError, match=rf'{name}.*lacks the hook .*Families: vit'):
        read_chain(model, name)


def test_an_unknown_timm_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match='resnet50'):
        build_timm(backbone_manifest(timm_name='resnet_50', timm_kwargs={}))


def test_a_kernel_makes_no_sense_between_tokens(tmp_path) -> None:
    make_backbone(tmp_path)
    backbone = FrozenBackbone.load(tmp_path / 'backbones' / 'tiny')
    with pytest.raises(ConfigError, match='kernel'):
        backbone.layout(bottom=4, kernel=3)


@pytest.mark.parametrize(
    'name',
    [
        'vit_small_patch16_224',
        'vit_base_patch16_224.mae',
        'vit_base_patch16_clip_224.openai',
        'vit_small_patch14_reg4_dinov2',
        'deit_small_patch16_224',
        'resnet18',
        'resnet50.a1_in1k',
        'resnext50_32x4d',
        'seresnet50',
        'dm_nfnet_f0.dm_in1k',
        'nf_resnet50',
        'eca_nfnet_l0',
    ],
)
def test_models_of_the_families_are_read_by_name(name: str) -> None:
    manifest = backbone_manifest(timm_name=name, timm_kwargs={}, image_size=224, pooled_channels=1)
    shape = chain_shape(manifest)
    assert len(shape.channels) > 5
    assert shape.positions >= 49
