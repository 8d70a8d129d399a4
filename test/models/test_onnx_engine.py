"""The engine on ONNX Runtime: equal to torch, exact about identity, strict about its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
import subprocess
import sys
from types import SimpleNamespace
import weakref

import numpy as np
import onnx
import pytest
from roboadapt_ros.adapters.bottleneck import TaskAdapters
from roboadapt_ros.adapters.layout import AdapterLayout, TopKind
from roboadapt_ros.backbones import plain
from roboadapt_ros.backbones.manifest import load_backbone_manifest
from roboadapt_ros.config import to_mapping
from roboadapt_ros.encoder import export, onnx_engine
from roboadapt_ros.encoder.blocked import blocked_arrays, plain_arrays
from roboadapt_ros.encoder.blocked_graph import block_size
from roboadapt_ros.encoder.export import export_blocked, export_graph, export_missing, main
from roboadapt_ros.encoder.graphs import GraphStore
from roboadapt_ros.encoder.onnx_engine import OnnxEngine
from roboadapt_ros.encoder.places import BARE, graph_arrays, Places
from roboadapt_ros.encoder.session import REFUSALS
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.encoder.trace import trace
from roboadapt_ros.errors import (
    BaseChangedError,
    ConfigError,
    EngineError,
    PackageError,
    TensorError,
)
import safetensors.numpy
from timm.layers import norm, norm_act
from tiny import FAMILIES, make_backbone, SIZE
import torch
from torch import nn

PARITY = 1e-4
"""Largest relative difference from torch in float32."""
BATCH = 3


class Pair:
    """Both engines over one tiny backbone; every graph the tests need is exported once."""

    def __init__(self, models: Path, family: str, *, blocked: bool = False):
        make_backbone(models, family, **FAMILIES[family])
        self.path = models / 'backbones' / family
        self.torch = TorchEngine(self.path)
        backbone = self.torch.backbone
        last_only = [0] * (backbone.depth - 1) + [5]
        self.layouts = [
            backbone.layout(bottom=4, middle=4, top=8),
            backbone.layout(bottom=6, middle=2, top=8),
            backbone.layout(middle=last_only, top=3),
            backbone.layout(middle=18, kernel=1),
            backbone.layout(
                bottom=2, top=backbone.manifest.pooled_channels, top_kind=TopKind.LINEAR
            ),
            backbone.layout(top=5),
        ]
        folder = GraphStore(self.path, backbone.manifest).writable
        for places in dict.fromkeys([BARE, *map(Places.of, self.layouts)]):
            export_graph(self.path, self.torch, places, folder)
            if blocked:
                export_blocked(self.path, self.torch, places, folder)
        self.onnx = OnnxEngine(self.path)

    def add(self, layout: AdapterLayout, tensors: dict[str, np.ndarray]):
        return self.torch.add(layout, tensors), self.onnx.add(layout, tensors)


@pytest.fixture(scope='module', params=[*FAMILIES, 'resnet blocked', 'nfnet blocked'])
def pair(request, tmp_path_factory) -> Pair:
    family, *blocked = request.param.split()
    return Pair(tmp_path_factory.mktemp('models'), family, blocked=bool(blocked))


@pytest.fixture(scope='module')
def resnet(tmp_path_factory) -> Pair:
    if block_size() == 1:
        pytest.skip('this processor keeps no maps in blocks')
    return Pair(tmp_path_factory.mktemp('resnet'), 'resnet', blocked=True)


@pytest.fixture(scope='module')
def vit(tmp_path_factory) -> Pair:
    return Pair(tmp_path_factory.mktemp('vit'), 'vit')


def images(count: int = BATCH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def trained(layout: AdapterLayout, seed: int) -> dict[str, np.ndarray]:
    torch.manual_seed(seed)
    adapters = TaskAdapters(layout)
    for parameter in adapters.parameters():
        nn.init.normal_(parameter, std=0.1)
    return tensors(adapters)


def tensors(adapters: TaskAdapters) -> dict[str, np.ndarray]:
    return {name: t.detach().numpy() for name, t in adapters.state_dict().items()}


def assert_equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= PARITY * np.abs(wanted).max()


def test_the_bare_backbone_equals_torch(pair) -> None:
    for count in (1, BATCH):
        assert_equal(pair.onnx.run(images(count), None), pair.torch.run(images(count), None))


def test_every_placement_equals_torch(pair) -> None:
    for seed, layout in enumerate(pair.layouts):
        ours, onnx = pair.add(layout, trained(layout, seed))
        wanted = pair.torch.run(images(), ours)
        assert_equal(pair.onnx.run(images(), onnx), wanted)
        assert not np.allclose(wanted, pair.torch.run(images(), None), atol=1e-3)


def test_mixed_batches_equal_torch(pair) -> None:
    both = [pair.add(layout, trained(layout, seed)) for seed, layout in enumerate(pair.layouts)]
    both.append((None, None))
    for chosen in (both, both[::-1], both[:2], [both[0], both[-1]], [both[1]] * 2, [both[-1]] * 2):
        pictures = images(len(chosen))
        wanted = pair.torch.run_mixed(pictures, [ours for ours, _ in chosen])
        assert_equal(pair.onnx.run_mixed(pictures, [onnx for _, onnx in chosen]), wanted)


def test_tasks_on_shared_frames_equal_torch(pair) -> None:
    both = [pair.add(layout, trained(layout, seed)) for seed, layout in enumerate(pair.layouts)]
    both.append((None, None))
    alike = [
        [pair.add(layout, trained(layout, seed)) for seed in (8, 9)] for layout in pair.layouts
    ]
    for chosen in (both, both[::-1], both[:2], both[-2:], [both[-1]] * 2, *alike):
        for pictures in (images(1), images()):
            wanted = pair.torch.run_shared(pictures, [ours for ours, _ in chosen])
            found = pair.onnx.run_shared(pictures, [onnx for _, onnx in chosen])
            assert_equal(found, wanted)
            for value, (_, alone) in zip(found, chosen, strict=True):
                assert_equal(value, pair.onnx.run(pictures, alone))


@pytest.mark.parametrize('family', FAMILIES)
def test_what_lies_below_the_first_adapter_is_not_repeated(tmp_path, family) -> None:
    make_backbone(tmp_path, family, **FAMILIES[family])
    backbone = TorchEngine(tmp_path / 'backbones' / family).backbone
    names = {id(module): name for name, module in backbone.model.named_modules()}
    blocks = [f'/{names[id(block)]}/' for block in backbone.chain.blocks]
    depth = backbone.depth
    for first in range(depth + 2):
        middle = [4 * (position >= first) for position in range(1, depth + 1)]
        layout = backbone.layout(bottom=4 * (first == 0), middle=middle, top=3)
        graph = onnx.load_from_string(trace(backbone, Places.of(layout), branches=False)).graph
        once = before_repeating(graph)
        rest = {node.name for node in graph.node} - once
        assert blocks_of_nodes(blocks, once) == set(range(min(first, depth)))
        assert blocks_of_nodes(blocks, rest) == set(range(first, depth))


def test_images_that_tasks_share_are_encoded_once_for_each_graph(pair, monkeypatch) -> None:
    first, second = pair.layouts[2], pair.layouts[0]
    handles = [pair.onnx.add(first, trained(first, seed)) for seed in range(3)]
    handles.append(pair.onnx.add(second, trained(second, 3)))
    given = []
    for graph in (handles[0].graph, handles[-1].graph):

        def noted(images, values, repeats=1, *, run=graph.session.run):
            given.append((len(images), repeats))
            return run(images, values, repeats)

        monkeypatch.setattr(graph.session, 'run', noted)
    pair.onnx.run_shared(images(), [*handles, None])
    assert sorted(given) == [(BATCH, 1), (BATCH, 4)], 'no adapters: with those that share the most'


def before_repeating(graph: onnx.GraphProto) -> set[str]:
    """Return the nodes that the repeated stream is made by."""
    makers = {output: node for node in graph.node for output in node.output}
    left = [name for node in graph.node if node.op_type == 'Tile' for name in node.input]
    found: set[str] = set()
    while left:
        node = makers.get(left.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            left += node.input
    return found


def blocks_of_nodes(blocks: list[str], nodes: set[str]) -> set[int]:
    return {number for number, name in enumerate(blocks) if any(name in n for n in nodes)}


def test_tasks_without_adapters_on_shared_frames_are_the_bare_backbone(pair) -> None:
    bare = pair.onnx.run(images(), None)
    none = pair.onnx.add(pair.torch.backbone.layout(), {})
    for found in pair.onnx.run_shared(images(), [None, none, None]):
        np.testing.assert_array_equal(found, bare)


def test_the_check_sees_both_copies_of_the_nodes_of_a_graph_in_blocks(resnet) -> None:
    handle = resnet.onnx.add(resnet.layouts[0], trained(resnet.layouts[0], 0))
    probe = safetensors.numpy.load_file(resnet.path / 'probe.safetensors')
    found = handle.graph.run_probe(probe['image'])
    assert found.shape == (2, probe['features'].shape[1])
    for features in found:
        assert_equal(features[None], probe['features'])
    resnet.onnx.check().require()


def test_a_fresh_adapter_is_exactly_the_identity(pair) -> None:
    bare = pair.onnx.run(images(), None)
    for layout in pair.layouts:
        handle = pair.onnx.add(layout, tensors(TaskAdapters(layout)))
        found = pair.onnx.run(images(), handle)
        none = {name: np.zeros(shape, np.float32) for name, shape in layout.shapes().items()}
        same_graph = pair.onnx.run(images(), pair.onnx.add(layout, none))
        np.testing.assert_array_equal(found, same_graph)
        # Another graph may be laid out for other kernels, which sum in another order.
        np.testing.assert_allclose(found, bare, rtol=0, atol=1e-6 * np.abs(bare).max())


def test_a_to_b_to_a_is_bit_equal_while_tasks_come_and_go(pair) -> None:
    layout = pair.layouts[0]
    a = pair.onnx.add(layout, trained(layout, 1))
    first = pair.onnx.run(images(), a)
    others = [pair.onnx.add(layout, trained(layout, seed)) for seed in range(2, 6)]
    assert not np.allclose(pair.onnx.run(images(), others[0]), first)
    pair.onnx.run_mixed(images(), [*others[:2], a])
    del others
    np.testing.assert_array_equal(pair.onnx.run(images(), a), first)


def test_a_batch_does_not_keep_its_tasks_nor_their_graph(pair) -> None:
    layout = pair.torch.backbone.layout(middle=[3] * pair.torch.backbone.depth)
    folder = GraphStore(pair.path, pair.torch.manifest).writable
    export_graph(pair.path, pair.torch, Places.of(layout), folder)
    handles = [pair.onnx.add(layout, trained(layout, seed)) for seed in range(2)]
    pair.onnx.run_shared(images(), handles)
    pair.onnx.run_mixed(images(), [*handles, None])
    held = [weakref.ref(handle) for handle in handles] + [weakref.ref(handles[0].graph)]
    del handles
    assert [thing() for thing in held] == [None] * 3


def test_the_probe_is_checked_again_and_again(pair) -> None:
    engine = OnnxEngine(pair.path)
    for _ in range(3):
        engine.check().require()


def test_adapters_for_other_channels_and_engines_are_refused(vit) -> None:
    layout = AdapterLayout(channels=(3, 3, 3), pooled_channels=1, bottom=2)
    with pytest.raises(ConfigError, match=r'adapters\.channels.*must be'):
        vit.onnx.add(layout, tensors(TaskAdapters(layout)))
    foreign = vit.torch.add(vit.layouts[0], trained(vit.layouts[0], 0))
    with pytest.raises(TypeError, match='another engine'):
        vit.onnx.run(images(), foreign)


def copied(vit: Pair, tmp_path: Path, name: str = 'vit') -> Path:
    """Return a copy of the backbone's folder with the bare graph in it."""
    path = tmp_path / 'backbones' / name
    (path / 'onnx').mkdir(parents=True)
    for file in (*vit.path.glob('*.*'), *vit.path.glob('onnx/bare.*')):
        if file.is_file():
            (path / file.relative_to(vit.path)).write_bytes(file.read_bytes())
    return path


def edit(path: Path, **changes: object) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, **changes}))


def spoil(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    'change',
    [
        lambda folder: spoil(folder / 'bare.onnx'),
        lambda folder: edit(folder / 'bare.json', backbone_digest='0' * 64),
        lambda folder: edit(folder / 'bare.json', backbone_settings='0' * 64),
        lambda folder: edit(folder / 'bare.json', format=0),
        lambda folder: edit(folder / 'bare.json', versions={'onnxruntime': '0.1'}),
        lambda folder: edit(folder / 'bare.json', parity=0.5),
        lambda folder: (folder / 'bare.json').write_text('{'),
        lambda folder: (folder / 'bare.onnx').unlink(),
    ],
    ids=['bytes', 'backbone', 'settings', 'format', 'runtime', 'parity', 'record', 'missing'],
)
def test_a_graph_that_is_not_what_was_exported_is_not_served(vit, tmp_path, change) -> None:
    path = copied(vit, tmp_path)
    store = GraphStore(path, load_backbone_manifest(path))
    assert store.find(BARE) is not None
    change(path / 'onnx')
    assert store.find(BARE) is None


def test_a_spoilt_graph_is_exported_anew(vit, tmp_path) -> None:
    path = copied(vit, tmp_path)
    spoil(path / 'onnx' / 'bare.onnx')
    engine = OnnxEngine(path)
    engine.check().require()
    np.testing.assert_array_equal(engine.run(images(), None), vit.onnx.run(images(), None))


def test_spoilt_weights_are_not_served_though_their_graphs_are_whole(vit, tmp_path) -> None:
    path = copied(vit, tmp_path)
    spoil(path / 'weights.safetensors')
    with pytest.raises(BaseChangedError, match='digest'):
        OnnxEngine(path)
    whole = (path / 'weights.safetensors').read_bytes()
    (path / 'weights.safetensors').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PackageError, match='whole safetensors file'):
        OnnxEngine(path)


def test_a_graph_changed_under_a_running_engine_fails_the_check(vit, tmp_path, no_pause) -> None:
    path = copied(vit, tmp_path)
    engine = OnnxEngine(path)
    engine.check().require()
    spoil(path / 'onnx' / 'bare.onnx')
    with pytest.raises(BaseChangedError, match='digest'):
        engine.check().require()


@pytest.fixture
def no_pause(monkeypatch) -> None:
    monkeypatch.setattr(onnx_engine, 'RECORD_PAUSE_S', 0.0)


@pytest.fixture
def bad_probe(vit, tmp_path, request) -> Path:
    """A backbone whose probe is whole but not what its manifest asks for."""
    path = copied(vit, tmp_path)
    probe = safetensors.numpy.load_file(path / 'probe.safetensors')
    image, features = probe['image'], probe['features']
    changes = {
        'no features': {'image': image},
        'one more': {**probe, 'more': features},
        'float image': {**probe, 'image': image.astype(np.float32)},
        'small image': {**probe, 'image': image[:, :16]},
        'two images': {**probe, 'image': np.concatenate([image, image])},
        'short features': {**probe, 'features': features[:, :1]},
        'double features': {**probe, 'features': features.astype(np.float64)},
        'inf': {**probe, 'features': np.where(features == features.max(), np.inf, features)},
        'nan': {**probe, 'features': np.where(features == features.max(), np.nan, features)},
    }
    kept = {name: np.ascontiguousarray(value) for name, value in changes[request.param].items()}
    safetensors.numpy.save_file(kept, path / 'probe.safetensors')
    return path


@pytest.mark.parametrize(
    'bad_probe',
    [
        *('no features', 'one more', 'float image', 'small image', 'two images'),
        *('short features', 'double features', 'inf', 'nan'),
    ],
    indirect=True,
)
def test_both_engines_refuse_a_probe_that_is_not_the_backbones(bad_probe) -> None:
    """One infinite feature would make any difference small beside the largest."""
    for engine in (TorchEngine(bad_probe), OnnxEngine(bad_probe)):
        with pytest.raises(TensorError, match=r'probe\.safetensors.*(features|image|more)'):
            engine.check()


def test_both_engines_refuse_a_probe_that_can_not_be_read(vit, tmp_path) -> None:
    path = copied(vit, tmp_path)
    whole = (path / 'probe.safetensors').read_bytes()
    engines = TorchEngine(path), OnnxEngine(path)
    (path / 'probe.safetensors').write_bytes(whole[: len(whole) // 2])
    for engine in engines:
        with pytest.raises(PackageError, match='whole safetensors file'):
            engine.check()
    (path / 'probe.safetensors').unlink()
    (tmp_path / 'elsewhere').write_bytes(whole)
    (path / 'probe.safetensors').symlink_to(tmp_path / 'elsewhere')
    for engine in engines:
        with pytest.raises(PackageError, match='link out of the package'):
            engine.check()


def another_graph(path: Path) -> tuple[bytes, str]:
    """Return other bytes of the same graph, and the record that belongs to them."""
    model = onnx.load(path / 'onnx' / 'bare.onnx')
    model.doc_string = 'exported anew'
    content = model.SerializeToString()
    record = json.loads((path / 'onnx' / 'bare.json').read_text())
    return content, json.dumps({**record, 'sha256': hashlib.sha256(content).hexdigest()})


def test_a_graph_exported_anew_under_a_running_engine_passes(vit, tmp_path, no_pause) -> None:
    """And a spoilt one does not, though it was exported anew before."""
    path = copied(vit, tmp_path)
    engine = OnnxEngine(path)
    content, record = another_graph(path)
    (path / 'onnx' / 'bare.onnx').write_bytes(content)
    (path / 'onnx' / 'bare.json').write_text(record)
    engine.check().require()
    spoil(path / 'onnx' / 'bare.onnx')
    with pytest.raises(BaseChangedError, match='digest'):
        engine.check().require()
    (path / 'onnx' / 'bare.onnx').unlink()
    with pytest.raises(BaseChangedError, match='missing'):
        engine.check().require()


def test_a_check_between_a_graph_and_its_record_waits(vit, tmp_path, monkeypatch) -> None:
    path = copied(vit, tmp_path)
    engine = OnnxEngine(path)
    content, record = another_graph(path)
    (path / 'onnx' / 'bare.onnx').write_bytes(content)

    def sleep(pause_s: float) -> None:
        if pause_s:
            (path / 'onnx' / 'bare.json').write_text(record)

    monkeypatch.setattr(onnx_engine, 'time', SimpleNamespace(sleep=sleep))
    engine.check().require()


def test_a_graph_that_can_not_be_written_leaves_nothing_behind(vit, tmp_path, monkeypatch) -> None:
    path = copied(vit, tmp_path)
    store = GraphStore(path, load_backbone_manifest(path))
    graph = store.find(BARE)
    folder = tmp_path / 'full'
    folder.mkdir()

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, 'No space left on device', str(self))

    monkeypatch.setattr(Path, 'replace', fail)
    with pytest.raises(EngineError, match=r'full.bare.onnx can not be written .No space left'):
        store.put(graph.record, graph.content, folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    'made',
    [
        norm.RmsNorm(8),
        norm.RmsNorm(8, eps=0.1, affine=False),
        norm.RmsNorm((3, 8)),
        norm.RmsNormFp32(8),
        norm_act.RmsNormAct(8, inplace=False),
        norm_act.RmsNormActFp32(8, inplace=False),
    ],
    ids=lambda made: f'{type(made).__name__}',
)
def test_rms_norms_are_written_out(made) -> None:
    torch.manual_seed(0)
    if made.weight is not None:
        nn.init.normal_(made.weight)
    model, x = nn.Sequential(nn.Sequential(made)).requires_grad_(False), torch.randn(2, 3, 8)
    found = plain.plain_form(model)
    torch.testing.assert_close(found(x), model(x))
    assert not isinstance(found[0][0], type(made))


@pytest.fixture
def rms(tmp_path) -> Path:
    """A transformer with RMS norms, as timm's aimv2 and parallel-scaling ones have."""
    make_backbone(tmp_path, 'rms', timm_name='test_vit4', timm_kwargs={'depth': 2})
    return tmp_path / 'backbones' / 'rms'


def test_a_transformer_with_rms_norms_is_exported(rms, tmp_path) -> None:
    engine = TorchEngine(rms)
    for layout in (engine.backbone.layout(), engine.backbone.layout(bottom=4, middle=4, top=8)):
        assert export_graph(rms, engine, Places.of(layout), tmp_path).parity <= PARITY


def test_what_graphs_have_no_operation_for_is_told_in_a_line(rms, monkeypatch, capsys) -> None:
    monkeypatch.setattr(plain, '_PlainRmsNorm', lambda norm: norm)
    backbone = TorchEngine(rms).backbone
    with pytest.raises(EngineError, match=r"rms can not be written.*aten::rms_norm.*'torch'"):
        trace(backbone, BARE)
    assert main([str(rms), json.dumps(to_mapping(BARE))]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_graph_that_onnx_runtime_refuses_is_told_in_a_line(vit, monkeypatch) -> None:
    monkeypatch.setattr(export, 'measure', refuse)
    with pytest.raises(EngineError, match=r'does not run the graph bare.*no such operator'):
        export_graph(vit.path, vit.torch, BARE, vit.path)


def test_a_forged_record_over_other_weights_fails_the_probe(vit, tmp_path) -> None:
    make_backbone(tmp_path / 'other', 'vit', seed=5)
    donor = tmp_path / 'other' / 'backbones' / 'vit'
    record = export_graph(donor, TorchEngine(donor), BARE, donor)
    path = copied(vit, tmp_path)
    (path / 'onnx' / 'bare.onnx').write_bytes((donor / 'bare.onnx').read_bytes())
    edit(path / 'onnx' / 'bare.json', sha256=record.sha256)
    with pytest.raises(BaseChangedError, match='probe'):
        OnnxEngine(path).check().require()


def test_changed_weights_are_not_exported(vit, tmp_path, capsys) -> None:
    path = copied(vit, tmp_path)
    spoil(path / 'weights.safetensors')
    assert main([str(path), json.dumps(to_mapping(BARE))]) == 1
    assert 'not intact' in capsys.readouterr().err


def test_serving_from_exported_graphs_loads_no_torch(vit) -> None:
    code = (
        'import sys; from pathlib import Path; import numpy as np; '
        'from roboadapt_ros.encoder.onnx_engine import OnnxEngine; '
        'engine = OnnxEngine(Path(sys.argv[1])); engine.check().require(); '
        f'engine.run(np.zeros((1, {SIZE}, {SIZE}, 3), np.uint8), None); '
        'print(*sys.modules)'
    )
    words = [sys.executable, '-c', code, str(vit.path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not {'torch', 'timm', 'onnx'} & set(done.stdout.split())


def test_a_resnet_is_served_in_blocks_and_without_where_it_was_not_measured(resnet) -> None:
    layout = resnet.layouts[0]
    handle = resnet.onnx.add(layout, trained(layout, 0))
    assert handle.graph.record.block == block_size()
    assert all(array.shape[0] % block_size() == 0 for array in blocks_of(handle).values())
    record = handle.graph.path.with_suffix('.json')
    before = record.read_text()
    edit(record, machine='another')
    try:
        other = OnnxEngine(resnet.path).add(layout, trained(layout, 0))
    finally:
        record.write_text(before)
    assert other.graph.record.block == 0
    assert_equal(
        other.graph.session.run(images(), other.values), resnet.onnx.run(images(), handle)
    )


def test_adapters_that_do_not_sit_in_blocks_have_no_such_graph(vit, resnet, monkeypatch) -> None:
    for pair, places in (
        (vit, Places.of(vit.layouts[0])),
        (resnet, BARE),
        (resnet, Places.of(resnet.torch.backbone.layout(top=3))),
    ):
        folder = GraphStore(pair.path, pair.torch.manifest).writable
        assert export_blocked(pair.path, pair.torch, places, folder) is None
    monkeypatch.setattr(export, 'measure', refuse)
    places = Places.of(resnet.layouts[0])
    assert export_blocked(resnet.path, resnet.torch, places, resnet.path) is None


def refuse(*args: object, **kwargs: object) -> None:
    raise REFUSALS[0]('no such operator')


def test_what_is_missing_is_exported_in_blocks_too(resnet, tmp_path) -> None:
    path = copied(resnet, tmp_path, 'resnet')
    places = Places.of(resnet.layouts[0])
    export_missing(path, resnet.torch, [BARE, places])
    names = {file.stem for file in (path / 'onnx').glob('*.onnx')}
    assert names == {'bare', places.name, f'{places.name}_blocked'}


def blocks_of(handle) -> dict[str, np.ndarray]:
    return {name: a for name, a in handle.arrays.items() if not name.startswith('top.')}


@pytest.mark.parametrize('block', [0, 8, 16])
def test_what_goes_into_blocks_comes_out_as_it_was(resnet, block) -> None:
    for seed, layout in enumerate(resnet.layouts):
        plain = graph_arrays(layout, trained(layout, seed), maps=True)
        back = plain_arrays(layout, blocked_arrays(plain, block), block)
        assert back.keys() == plain.keys()
        for name, array in plain.items():
            np.testing.assert_array_equal(back[name], array)


def test_an_older_graph_in_blocks_is_not_served(resnet) -> None:
    places = Places.of(resnet.layouts[0])
    store = GraphStore(resnet.path, load_backbone_manifest(resnet.path))
    graph = store.find(places, blocked=True)
    assert graph is not None
    record = graph.path.with_suffix('.json')
    before = record.read_text()
    try:
        for change in ({'format': 1}, {'block': 0}, {'versions': {}}, {'parity': 1.0}):
            edit(record, **change)
            assert store.find(places, blocked=True) is None
            record.write_text(before)
    finally:
        record.write_text(before)
    assert store.find(places) is not None
