"""Backbones from timm tags, local files and self-supervised checkpoints."""

from __future__ import annotations

import argparse
from dataclasses import replace
import hashlib
import io
import os
from pathlib import Path
import subprocess
import sys

from huggingface_hub import constants as hub
import pytest
from roboadapt_ros.backbones import pretrained
from roboadapt_ros.backbones.build import how_timm_loads, Loading
from roboadapt_ros.backbones.convert import convert
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.backbones.manifest import BackboneManifest, load_backbone_manifest
from roboadapt_ros.backbones.pretrained import add_backbone, default_pooling, plan, Request
from roboadapt_ros.backbones.source import flatten, read_file, read_pretrained
from roboadapt_ros.cli import main as cli
from roboadapt_ros.errors import (
    ConfigError,
    HubError,
    MissingHookError,
    PackageError,
    TensorError,
    UnknownNameError,
)
import safetensors.torch
import timm
from timm.models import PretrainedCfg
import torch

ROOT = Path(__file__).parents[2]
TAGS = ('test_vit.r160_in1k', 'test_resnet.r160_in1k', 'test_nfnet.r160_in1k')
COMMIT = '0' * 39 + '1'


def silent(text: str) -> None:
    """Say nothing."""


def random_model(name: str, seed: int = 0, **kwargs):
    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, **kwargs)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.1, 0.2)
    return model


def fill_cache(home: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Lay a model down as the hub client caches it: blobs, refs, snapshots."""
    folder = home / 'hub' / f'models--timm--{name}'
    for part in ('blobs', 'refs', f'snapshots/{COMMIT}'):
        (folder / part).mkdir(parents=True)
    (folder / 'refs' / 'main').write_text(COMMIT)
    (folder / 'blobs' / 'weights').write_bytes(safetensors.torch.save(tensors))
    link = folder / 'snapshots' / COMMIT / 'model.safetensors'
    link.symlink_to(Path('..', '..', 'blobs', 'weights'))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, 'HF_HUB_CACHE', str(tmp_path / 'home' / 'hub'))
    monkeypatch.setattr(hub, 'HF_HUB_OFFLINE', True)
    return tmp_path / 'home'


@pytest.mark.parametrize('name', TAGS)
def test_a_tag_is_frozen_from_the_hub_cache_without_a_network(offline, tmp_path, name) -> None:
    model = random_model(name)
    fill_cache(offline, name, model.state_dict())
    path = add_backbone(tmp_path, Request(timm_name=name), silent)
    backbone = FrozenBackbone.load(path)
    backbone.check(path).require()
    for key, tensor in backbone.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[key]), key
    assert backbone.manifest.provenance['source'] == f'hub timm/{name}'


def test_weights_that_are_nowhere_are_answered_with_what_was_tried(offline, tmp_path) -> None:
    request = Request(timm_name='test_vit.r160_in1k')
    with pytest.raises(HubError, match=r'not in the cache .*home.*HF_HUB_OFFLINE.*--file PATH'):
        add_backbone(tmp_path, request, silent)
    assert not list((tmp_path / 'backbones').glob('*')), 'a failed add must leave nothing'


def test_a_cached_file_with_other_tensors_is_refused_by_name(offline, tmp_path) -> None:
    """What timm itself would only log: a missing tensor stays as it was, at random."""
    tensors = random_model('test_vit').state_dict()
    del tensors['blocks.1.mlp.fc1.weight']
    fill_cache(offline, 'test_vit.r160_in1k', tensors)
    with pytest.raises(TensorError, match=r'missing: blocks\.1\.mlp\.fc1\.weight'):
        add_backbone(tmp_path, Request(timm_name='test_vit'), silent)


def test_the_hub_cache_is_found_by_its_environment(tmp_path) -> None:
    name = 'test_resnet.r160_in1k'
    fill_cache(tmp_path / 'home', name, random_model(name).state_dict())
    words = ['backbones', 'add', name, '--models', str(tmp_path), '--image-size', '64']
    done = subprocess.run(
        [sys.executable, '-m', 'roboadapt_ros.cli.main', *words],
        env={**os.environ, 'HF_HOME': str(tmp_path / 'home'), 'HF_HUB_OFFLINE': '1'},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'found all' in done.stdout and f'Wrote {tmp_path}' in done.stdout
    assert load_backbone_manifest(tmp_path / 'backbones' / name).timm_name == name


def test_data_configuration_and_licence_are_timms_own() -> None:
    manifest = plan(Request(timm_name='resnet50.a1_in1k'))
    assert (manifest.image_size, manifest.interpolation, manifest.crop_pct) == (
        224,
        'bicubic',
        0.95,
    )
    assert manifest.mean == (0.485, 0.456, 0.406)
    assert manifest.licence == 'apache-2.0'
    clip = plan(Request(timm_name='vit_base_patch16_clip_224.openai'))
    assert clip.mean[0] == pytest.approx(0.48145466)
    nfnet = plan(Request(timm_name='dm_nfnet_f0'))
    assert (nfnet.timm_name, nfnet.image_size) == ('dm_nfnet_f0.dm_in1k', 192)


def test_default_pooling_gives_about_two_thousand_features() -> None:
    assert default_pooling(49, 2048) == 32
    assert default_pooling(196, 768) == 12
    assert default_pooling(64, 128) == 32
    for name in ('vit_small_patch16_224', 'resnet18', 'vit_small_patch14_dinov2'):
        hollow = FrozenBackbone.hollow(plan(Request(timm_name=name)))
        assert 1024 <= hollow.features_per_camera <= 4096


def test_a_manifest_without_data_configuration_keeps_its_meaning() -> None:
    manifest = load_backbone_manifest(ROOT / 'models' / 'backbones' / 'vit_table_s')
    assert (manifest.crop_pct, manifest.interpolation) == (1.0, 'bilinear')


@pytest.mark.parametrize(
    ('request_', 'error', 'words'),
    [
        (Request(timm_name='resnet5'), UnknownNameError, 'Did you mean'),
        (Request(timm_name='resnet50.a1_in2k'), UnknownNameError, 'resnet50.a1_in1k'),
        (Request(timm_name='efficientnet_b0'), MissingHookError, 'lacks the hook'),
        (Request(timm_name='resnet18', id='../x'), ConfigError, '--id'),
        (Request(timm_name='resnet18', pooled_channels=7), ConfigError, 'must divide 512'),
        (Request(timm_name='vit_tiny_patch16_224', image_size=7), ConfigError, 'image_size'),
    ],
)
def test_a_request_that_can_not_be_met_is_refused(request_, error, words: str) -> None:
    with pytest.raises(error, match=words):
        plan(request_)


@pytest.mark.parametrize('option', ['image_size', 'pooled_channels'])
@pytest.mark.parametrize('size', [0, -1])
def test_a_size_below_one_is_not_taken_for_the_default(option: str, size: int) -> None:
    name = f'--{option.replace("_", "-")}'
    with pytest.raises(ConfigError, match=rf'{name} = {size}: must be at least 1'):
        Request(timm_name='resnet18', **{option: size})


def test_a_model_of_pictures_that_are_not_square_needs_a_side(monkeypatch) -> None:
    """A square of the longer side would be another input than it was trained on."""
    usual = pretrained.resolve_data_config

    def portrait(**words: object) -> dict[str, object]:
        return {**usual(**words), 'input_size': (3, 128, 96)}

    monkeypatch.setattr(pretrained, 'resolve_data_config', portrait)
    with pytest.raises(ConfigError, match=r'resnet18.*128 x 96.*--image-size'):
        plan(Request(timm_name='resnet18'))
    assert plan(Request(timm_name='resnet18', image_size=96)).image_size == 96


@pytest.fixture
def fetch(monkeypatch, tmp_path):
    """Return a reader of weights that only have an address, and torch's cache of such."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))

    def read(path: Path):
        return read_pretrained('a.tag', PretrainedCfg(url=path.as_uri(), hf_hub_id=None))

    return read, tmp_path / 'cache' / 'checkpoints'


def hashed_name(content: bytes) -> str:
    return f'net-{hashlib.sha256(content).hexdigest()[:8]}.pth'


def checkpoint_bytes() -> bytes:
    stream = io.BytesIO()
    torch.save({'a': torch.ones(3)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize('name', ['IN1K-vit.h.14-300e.pth.tar', hashed_name(checkpoint_bytes())])
def test_weights_at_an_address_are_fetched_and_kept(fetch, tmp_path, name: str) -> None:
    """The first name is one of timm's: '300e' are epochs, no hash."""
    read, cache = fetch
    (tmp_path / name).write_bytes(checkpoint_bytes())
    for _ in range(2):
        found = read(tmp_path / name)
        assert torch.equal(found.tensors['a'], torch.ones(3))
        assert found.origin == (tmp_path / name).as_uri()
        assert found.sha256 == hashlib.sha256(checkpoint_bytes()).hexdigest()
        assert (cache / name).is_file()


def test_weights_of_another_hash_than_their_name_says_are_refused(fetch, tmp_path) -> None:
    read, cache = fetch
    path = tmp_path / 'net-00000000.pth'
    path.write_bytes(checkpoint_bytes())
    with pytest.raises(HubError, match='invalid hash'):
        read(path)
    assert not list(cache.iterdir()), 'what was refused must not be found in the cache'
    (cache / path.name).write_bytes(checkpoint_bytes())
    with pytest.raises(PackageError, match=r'net-00000000\.pth: is damaged'):
        read(path)


@pytest.mark.parametrize('content', [b'', b'nonsense', checkpoint_bytes()[:-100]])
def test_a_damaged_file_in_the_cache_is_named(fetch, tmp_path, content: bytes) -> None:
    read, cache = fetch
    cache.mkdir(parents=True)
    (cache / 'net.pth').write_bytes(content)
    with pytest.raises(PackageError, match=r'net\.pth'):
        read(tmp_path / 'net.pth')


def test_a_name_without_weights_says_what_to_give(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r'no pretrained weights.*--file or --random'):
        add_backbone(tmp_path, Request(timm_name='test_vit4'), silent)


def saved(path: Path, found: object) -> Path:
    torch.save(found, path)
    return path


def add_file(tmp_path: Path, name: str, path: Path) -> FrozenBackbone:
    request = Request(timm_name=name, file=path, id='added', image_size=64)
    return FrozenBackbone.load(add_backbone(tmp_path, request, silent))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda tensors: tensors,
        lambda tensors: {'state_dict': tensors, 'epoch': 3, 'arch': 'resnet'},
        lambda tensors: {'model': {f'module.{k}': v for k, v in tensors.items()}},
        lambda tensors: {'state_dict_ema': tensors, 'state_dict': blank(tensors)},
        lambda tensors: {f'_orig_mod.{k}': v for k, v in tensors.items()},
    ],
)
def test_the_usual_containers_are_unwrapped(tmp_path, wrap) -> None:
    tensors = random_model('test_resnet').state_dict()
    backbone = add_file(tmp_path, 'test_resnet', saved(tmp_path / 'a.pth', wrap(tensors)))
    for key, tensor in backbone.model.state_dict().items():
        assert torch.equal(tensor, tensors[key]), key
    assert backbone.manifest.licence == 'not stated'
    assert len(backbone.manifest.provenance['source_sha256']) == 64


def blank(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f'{prefix}{name}': tensor for name, tensor in tensors.items()}


def numbered(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename as nn.Sequential(*list(resnet.children())[:-1]) does."""
    numbers = {'conv1': '0', 'bn1': '1', 'layer1': '4', 'layer2': '5', 'layer3': '6'}
    numbers['layer4'] = '7'
    return {
        '.'.join([numbers[name.split('.')[0]], *name.split('.')[1:]]): tensor
        for name, tensor in tensors.items()
    }


MLP = {'0.weight': torch.ones(4, 4), '0.bias': torch.ones(4), '2.weight': torch.ones(2, 4)}
SELF_SUPERVISED = {
    'byol': lambda t: (
        'online_network.encoder.',
        prefixed('online_network.encoder.', t)
        | prefixed('online_network.projector.', MLP)
        | prefixed('predictor.', MLP)
        | prefixed('target_network.encoder.', blank(t)),
    ),
    'byol, encoder.net': lambda t: (
        'online_encoder.net.',
        prefixed('target_encoder.net.', blank(t))
        | prefixed('online_encoder.net.', t)
        | prefixed('online_encoder.projector.', MLP),
    ),
    'byol, numbered': lambda t: (
        'online_network.encoder.',
        prefixed('online_network.encoder.', numbered(t))
        | prefixed('online_network.projection.', MLP)
        | prefixed('target_network.encoder.', blank(numbered(t))),
    ),
    'simclr': lambda t: (
        'backbone.',
        prefixed('backbone.', t | {'fc.weight': torch.ones(3, 4)}) | prefixed('projector.', MLP),
    ),
    'momentum': lambda t: (
        'backbone.',
        prefixed('momentum_backbone.', blank(t)) | prefixed('backbone.', t),
    ),
    'moco': lambda t: (
        'state_dict.module.encoder_q.',
        {
            'state_dict': prefixed('module.encoder_q.', t | prefixed('fc.', MLP))
            | prefixed('module.encoder_k.', blank(t))
            | {'module.queue': torch.ones(4, 8)}
        },
    ),
    'dino': lambda t: (
        'teacher.backbone.',
        {'student': prefixed('module.backbone.', blank(t)), 'teacher': prefixed('backbone.', t)},
    ),
}


@pytest.mark.parametrize('style', SELF_SUPERVISED)
def test_self_supervised_checkpoints_give_their_encoder(tmp_path, style: str) -> None:
    tensors = random_model('test_resnet', num_classes=0).state_dict()
    prefix, found = SELF_SUPERVISED[style](tensors)
    backbone = add_file(tmp_path, 'test_resnet', saved(tmp_path / 'ssl.pth', found))
    for key, tensor in backbone.model.state_dict().items():
        assert torch.equal(tensor, tensors[key]), f'{key}: the wrong copy of the encoder'
    provenance = backbone.manifest.provenance
    assert provenance['prefix'] == prefix
    kept = len(tensors)
    listed = sum(_count(part) for part in provenance['left_out'])
    assert kept + listed == len(flatten(found)), 'everything is either used or listed'


def _count(part: str) -> int:
    return int(part.rsplit('(', 1)[1].rstrip(')')) if part.endswith(')') else 1


def test_torchvisions_names_are_timms_own(tmp_path) -> None:
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=10).eval()
    path = saved(tmp_path / 'resnet18.pth', theirs.state_dict())
    backbone = add_file(tmp_path, 'resnet18', path)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(pixels))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
        found = backbone.model.forward_features(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_an_old_checkpoint_without_step_counters_is_whole(tmp_path) -> None:
    tensors = random_model('test_resnet').state_dict()
    old = {name: t for name, t in tensors.items() if 'num_batches' not in name}
    backbone = add_file(tmp_path, 'test_resnet', saved(tmp_path / 'old.pth', old))
    assert backbone.model.state_dict()['bn1.num_batches_tracked'] == 0


def loading_of(name: str, **kwargs) -> Loading:
    manifest = plan(Request(timm_name=name, random=True))
    return how_timm_loads(replace(manifest, timm_kwargs=kwargs))


@pytest.mark.parametrize(
    ('name', 'changed'),
    [
        ('flexivit_small.300ep_in1k', {}),
        ('vit_base_patch16_radio_v3.c_radio', {}),
        ('deit3_small_patch16_224.fb_in1k', {'ls1.gamma': 'gamma_1', 'ls2.gamma': 'gamma_2'}),
    ],
)
def test_weights_are_read_as_timm_reads_them(offline, tmp_path, name, changed) -> None:
    """Models of one class differ in how a grid is resized, and in what is renamed."""
    torch.manual_seed(0)
    tensors = timm.create_model(name, depth=1, img_size=320).state_dict()
    tensors = {_renamed(key, changed): value for key, value in tensors.items()}
    fill_cache(offline, name, tensors)
    kwargs = {'depth': 1, 'num_classes': 0}
    theirs = timm.create_model(name, pretrained=True, **kwargs)
    with torch.device('meta'):
        empty = timm.create_model(name, **kwargs)
    ours = convert(name, tensors, empty, loading_of(name, depth=1)).tensors
    assert ours.keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours[key], value), key


def _renamed(key: str, changed: dict[str, str]) -> str:
    for new, old in changed.items():
        key = key.replace(new, old)
    return key


def test_of_two_encoders_that_nothing_tells_apart_neither_is_taken(tmp_path) -> None:
    one, other = (random_model('test_resnet', seed).state_dict() for seed in (0, 1))
    other = {name: tensor + 1 for name, tensor in other.items()}
    both = {f'{p}.{n}': t for p, part in (('query', one), ('key', other)) for n, t in part.items()}
    with pytest.raises(PackageError, match=r"under 'key\.' and 'query\.'"):
        add_file(tmp_path, 'test_resnet', saved(tmp_path / 'two.pth', both))
    assert not list((tmp_path / 'backbones').glob('*'))
    same = {f'{p}.{n}': t for p in ('net', 'online.net') for n, t in one.items()}
    add_file(tmp_path, 'test_resnet', saved(tmp_path / 'same.pth', same))


@pytest.mark.parametrize('layout', ['sparse', 'meta'])
def test_a_tensor_without_plain_values_is_named(tmp_path, layout) -> None:
    tensors = random_model('test_resnet').state_dict()
    name = 'layer1.0.conv1.weight'
    plain = tensors[name]
    tensors[name] = plain.to_sparse() if layout == 'sparse' else plain.to('meta')
    with pytest.raises(PackageError, match=r"'layer1\.0\.conv1\.weight' without plain values"):
        add_file(tmp_path, 'test_resnet', saved(tmp_path / 'odd.pth', tensors))


@pytest.mark.parametrize('content', [b'a text, no weights', b'\x80\x02}q\x00.' * 9, b'PK\x03\x04'])
def test_a_file_that_is_none_of_torch_is_refused(tmp_path, content) -> None:
    file = tmp_path / 'notes.pth'
    file.write_bytes(content)
    with pytest.raises(PackageError, match=r'notes\.pth'):
        read_file(file)


@pytest.mark.parametrize('address', ['', 'huggingface.co', 'http://host:port', 'http://[::1'])
def test_an_address_that_is_none_is_told(monkeypatch, tmp_path, address) -> None:
    monkeypatch.setattr(hub, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr(hub, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(hub, 'ENDPOINT', address)
    with pytest.raises(ConfigError, match=r'HF_ENDPOINT.*must be an address'):
        add_backbone(tmp_path, Request(timm_name='test_vit.r160_in1k'), silent)


def test_another_process_that_took_the_name_is_not_replaced(tmp_path, monkeypatch) -> None:
    def slow(request: Request, manifest: BackboneManifest, say: pretrained.Say):
        found = weights(request, manifest, say)
        (tmp_path / 'backbones' / manifest.id).mkdir(parents=True)
        return found

    weights = pretrained._weights
    monkeypatch.setattr(pretrained, '_weights', slow)
    with pytest.raises(PackageError, match='exists'):
        add_backbone(tmp_path, Request(timm_name='test_vit', random=True), silent)


def test_a_grid_of_other_size_is_resized(tmp_path) -> None:
    """By timm's own rule for position embeddings."""
    tensors = random_model('vit_tiny_patch16_224', depth=1).state_dict()
    with torch.device('meta'):
        model = timm.create_model('vit_tiny_patch16_224', depth=1, num_classes=0, img_size=64)
    found = {f'model.{k}': v for k, v in tensors.items()}
    converted = convert('a file', found, model, loading_of('vit_tiny_patch16_224', depth=1))
    assert converted.tensors['pos_embed'].shape == (1, 17, 192)
    assert converted.prefix == 'model.'
    assert set(converted.dropped) == {'head.weight', 'head.bias'}


def test_clip_names_are_converted() -> None:
    with torch.device('meta'):
        model = timm.create_model('vit_base_patch16_clip_224', depth=1, num_classes=0)
    width = model.embed_dim
    block = 'visual.transformer.resblocks.0'
    shapes = {
        'visual.class_embedding': (width,),
        'visual.positional_embedding': (197, width),
        'visual.proj': (width, 512),
        'visual.conv1.weight': (width, 3, 16, 16),
        'visual.ln_pre.weight': (width,),
        'visual.ln_pre.bias': (width,),
        'visual.ln_post.weight': (width,),
        'visual.ln_post.bias': (width,),
        f'{block}.attn.in_proj_weight': (3 * width, width),
        f'{block}.attn.in_proj_bias': (3 * width,),
        f'{block}.attn.out_proj.weight': (width, width),
        f'{block}.attn.out_proj.bias': (width,),
        f'{block}.ln_1.weight': (width,),
        f'{block}.ln_1.bias': (width,),
        f'{block}.ln_2.weight': (width,),
        f'{block}.ln_2.bias': (width,),
        f'{block}.mlp.c_fc.weight': (4 * width, width),
        f'{block}.mlp.c_fc.bias': (4 * width,),
        f'{block}.mlp.c_proj.weight': (width, 4 * width),
        f'{block}.mlp.c_proj.bias': (width,),
        'token_embedding.weight': (10, 512),
        'logit_scale': (),
    }
    found = {name: torch.rand(shape) for name, shape in shapes.items()}
    converted = convert('clip.pt', found, model, loading_of('vit_base_patch16_clip_224', depth=1))
    assert torch.equal(
        converted.tensors['blocks.0.attn.qkv.weight'], found[f'{block}.attn.in_proj_weight']
    )


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda t: t.pop('bn1.bias'), r'missing: bn1\.bias'),
        (lambda t: t.update(extra=torch.ones(2)), r'unexpected: extra'),
        (lambda t: t.update({'bn1.bias': torch.ones(3)}), r'bn1\.bias: found \(3,\)'),
        (lambda t: t.update({'bn1.bias': t['bn1.bias'] * torch.nan}), r'bn1\.bias.*non-finite'),
        (lambda t: t.update({'bn1.bias': t['bn1.bias'].long()}), r'bn1\.bias: found .*int64'),
    ],
)
def test_a_checkpoint_that_does_not_fit_names_the_tensor(tmp_path, change, words: str) -> None:
    tensors = dict(random_model('test_resnet').state_dict())
    change(tensors)
    with pytest.raises(TensorError, match=words):
        add_file(tmp_path, 'test_resnet', saved(tmp_path / 'a.pth', tensors))


def test_a_file_that_needs_python_objects_is_refused(tmp_path) -> None:
    found = {'model': random_model('test_resnet').state_dict(), 'args': argparse.Namespace(a=1)}
    with pytest.raises(PackageError, match=r'Python objects beyond tensors.*Namespace'):
        read_file(saved(tmp_path / 'a.pth', found))


class _Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


def test_code_in_a_file_is_never_run(tmp_path) -> None:
    trace = tmp_path / 'ran'
    path = saved(tmp_path / 'a.pt', {'model': _Runs(str(trace))})
    with pytest.raises(PackageError, match='Python objects beyond tensors'):
        read_file(path)
    assert not trace.exists()


def test_files_that_are_no_checkpoint_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r'\.safetensors, \.pt'):
        read_file(tmp_path / 'a.npz')
    with pytest.raises(PackageError, match='cannot be read'):
        read_file(tmp_path / 'absent.pth')
    for name, content in (('a.pth', b'nonsense'), ('b.pth', b''), ('c.safetensors', b'12345678')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PackageError):
            read_file(tmp_path / name)
    whole = io.BytesIO()
    torch.save({'a': torch.ones(1000)}, whole)
    (tmp_path / 'cut.pth').write_bytes(whole.getvalue()[:-700])
    with pytest.raises(PackageError):
        read_file(tmp_path / 'cut.pth')
    with pytest.raises(PackageError, match='holds no tensors'):
        read_file(saved(tmp_path / 'empty.pth', {'epoch': 3}))


def test_random_weights_are_recorded_as_such(tmp_path, capsys) -> None:
    words = ['backbones', 'add', 'test_nfnet', '--random', '--id', 'nf', '--models', str(tmp_path)]
    assert cli.main([*words, '--image-size', '64']) == 0
    manifest = load_backbone_manifest(tmp_path / 'backbones' / 'nf')
    assert manifest.licence == 'none: random weights'
    assert manifest.provenance['recipe'] == 'random weights'
    assert cli.main([*words, '--image-size', '64']) == 2, 'an existing id is not overwritten'
    assert '--force' in capsys.readouterr().err
    assert cli.main([*words, '--image-size', '96', '--force']) == 0
    assert load_backbone_manifest(tmp_path / 'backbones' / 'nf').image_size == 96


def test_list_and_verify_tell_an_intact_backbone_from_a_changed_one(tmp_path, capsys) -> None:
    models = ['--models', str(tmp_path)]
    assert cli.main(['backbones', 'list', *models]) == 1
    cli.main(['backbones', 'add', 'test_vit', '--random', '--image-size', '64', *models])
    capsys.readouterr()
    assert cli.main(['backbones', 'list', *models]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    manifest = load_backbone_manifest(tmp_path / 'backbones' / 'test_vit')
    assert all(word in row for word in ('test_vit', 'vit', manifest.digest[:12]))
    assert cli.main(['backbones', 'verify', 'test_vit', *models]) == 0
    weights = tmp_path / 'backbones' / 'test_vit' / 'weights.safetensors'
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert cli.main(['backbones', 'verify', *models]) == 1
    assert 'not intact' in capsys.readouterr().out
    assert cli.main(['backbones', 'verify', 'test_vi', *models]) == 2
    assert "Did you mean 'test_vit'" in capsys.readouterr().err
    weights.unlink()
    assert cli.main(['backbones', 'list', *models]) == 1
    assert 'unreadable' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'interpolation': 'cubic'}, "'bicubic'"),
        ({'crop_pct': 0.0}, 'crop_pct'),
        ({'std': (0.1, 0.0, 0.1)}, 'std'),
        ({'image_size': 10**6}, 'image_size'),
        ({'id': '..'}, 'id'),
        ({'timm_kwargs': {'checkpoint_path': '/a/file'}}, 'not architecture'),
        ({'timm_kwargs': {'depth': 10**6}}, 'at most 256'),
        ({'timm_kwargs': {'embed_dim': 10**9}}, 'at most'),
        ({'timm_kwargs': {'act_layer': {'a': 1}}}, 'must be numbers'),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(changes, words: str) -> None:
    values = {
        'schema_version': 1,
        'id': 'a',
        'timm_name': 'test_vit',
        'timm_kwargs': {},
        'image_size': 32,
        'mean': (0.5,) * 3,
        'std': (0.5,) * 3,
        'pooled_channels': 8,
        'digest': '',
        'licence': 'Apache-2.0',
    }
    BackboneManifest(**values)
    with pytest.raises((ConfigError, UnknownNameError), match=words):
        BackboneManifest(**{**values, **changes})
