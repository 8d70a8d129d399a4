"""Graphs in 8 bits, adapter files for other runtimes, the race of the engines, the command."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
import json
import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from roboadapt_ros.adapters.bottleneck import TaskAdapters
from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.adapters.pictures import read_pictures, write_picture
from roboadapt_ros.backbones.digest import tensors_digest
from roboadapt_ros.backbones.manifest import load_backbone_manifest
from roboadapt_ros.cli.main import main
from roboadapt_ros.config import to_mapping
from roboadapt_ros.encoder import choice, export, session
from roboadapt_ros.encoder import race as race_module
from roboadapt_ros.encoder.blocked_graph import block_size
from roboadapt_ros.encoder.choice import choice_name, choose, find_choice
from roboadapt_ros.encoder.examples import scene_images, TaskTensors
from roboadapt_ros.encoder.export import export_graph, export_int8, export_missing
from roboadapt_ros.encoder.graphs import GraphRecord, GraphStore
from roboadapt_ros.encoder.int8 import MAX_INT8_ERROR, quantise
from roboadapt_ros.encoder.onnx_engine import OnnxEngine
from roboadapt_ros.encoder.parity import Error, measure
from roboadapt_ros.encoder.places import BARE, Places
from roboadapt_ros.encoder.race import race
from roboadapt_ros.encoder.select import load_encoder, load_engine
from roboadapt_ros.encoder.session import write_adapters
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.encoder.trace import trace
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import BaseChangedError, EngineError, PackageError
from roboadapt_ros.evaluation.inprocess import LearnedPolicy
from roboadapt_ros.policy.policy import TaskPolicies
from tiny import CAMERAS, FAMILIES, LAYOUT, make_backbone, make_task, SIZE
import torch
from torch import nn

CUDA_ENGINE = 'roboadapt_ros.encoder.cuda_engine.CudaEngine'


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def trained(engine: TorchEngine, seed: int = 0) -> TaskTensors:
    torch.manual_seed(seed)
    layout = engine.backbone.layout(bottom=4, middle=4, top=8)
    adapters = TaskAdapters(layout)
    for parameter in adapters.parameters():
        nn.init.normal_(parameter, std=0.02)
    return TaskTensors(layout, {n: t.detach().numpy() for n, t in adapters.state_dict().items()})


@pytest.fixture(params=list(FAMILIES))
def path(request, tmp_path) -> Path:
    make_backbone(tmp_path, request.param, **FAMILIES[request.param])
    return tmp_path / 'backbones' / request.param


@pytest.fixture
def vit(tmp_path) -> Path:
    make_backbone(tmp_path)
    return tmp_path / 'backbones' / 'tiny'


def store(path: Path) -> GraphStore:
    return GraphStore(path, load_backbone_manifest(path))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_eight_bits_are_served_after_their_error_was_measured(path) -> None:
    engine, folder = TorchEngine(path), store(path).writable
    task = trained(engine)
    with pytest.raises(EngineError, match=r'not measured on this machine.*roboadapt export'):
        OnnxEngine(path, int8=True)
    record = export_int8(path, engine, BARE, folder)
    assert 1e-4 < record.feature_error <= MAX_INT8_ERROR
    served = OnnxEngine(path, int8=True)
    for _ in range(2):
        served.check().require()
    assert 'off' in served.name
    with pytest.raises(EngineError, match='not measured'):
        served.add(*task)
    record = export_int8(path, engine, Places.of(task.layout), folder, {'lift': task})
    handle, ours = served.add(*task), engine.add(*task)
    assert handle.note == ''
    for found, wanted in (
        (served.run(images(), handle), engine.run(images(), ours)),
        (served.run_mixed(images(), [handle, None]), engine.run_mixed(images(), [ours, None])),
        (served.run_shared(images(), [handle, None]), engine.run_shared(images(), [ours, None])),
    ):
        assert 0 < np.linalg.norm(found - wanted) <= MAX_INT8_ERROR * np.linalg.norm(wanted)


def test_a_task_that_eight_bits_were_not_measured_on_is_served_with_a_note(vit) -> None:
    engine, folder = TorchEngine(vit), store(vit).writable
    task, other = trained(engine), trained(engine, seed=1)
    places = Places.of(task.layout)
    for graph in (BARE, places):
        export_graph(vit, engine, graph, folder)
        assert export_int8(vit, engine, graph, folder).tasks == {}
    handle = OnnxEngine(vit, int8=True).add(*task)
    assert 'not measured' in handle.note and 'random adapters' in handle.note
    record = export_int8(vit, engine, places, folder, {'lift': task})
    assert record.tasks == {'lift': tensors_digest(tensors_of(task))}
    served = OnnxEngine(vit, int8=True)
    assert served.add(*task).note == ''
    assert served.add(engine.backbone.layout(), {}).note == ''
    note = served.add(*other).note
    assert 'not measured' in note and 'that of lift' in note
    assert "'roboadapt export --backbone tiny --int8'" in note
    assert OnnxEngine(vit).add(*other).note == ''


def tensors_of(task: TaskTensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in task.tensors.items()}


def test_the_encoder_tells_of_a_task_that_eight_bits_were_not_measured_on(
    tmp_path, caplog
) -> None:
    """And of a newer version of one: other tensors, other errors."""
    manifest = make_backbone(tmp_path)
    package = make_task(tmp_path, 'lift', manifest)
    assert main(['export', '--models', str(tmp_path), '--int8']) == 0
    encoder = load_encoder(tmp_path, manifest.id, kind=EngineKind.ONNX_INT8)
    policy = LearnedPolicy(encoder, TaskPolicies())
    policy.add(package)
    assert (encoder.note('lift'), caplog.messages) == ('', [])
    policy.add(make_task(tmp_path, 'lift', manifest, seed=2))
    assert 'that of lift' in encoder.note('lift')
    assert caplog.messages == [f"Task 'lift': {encoder.note('lift')}"]


def test_tasks_exported_for_later_do_not_seal_a_running_encoder(tmp_path) -> None:
    """Ranges of a convolutional net follow the pictures of its tasks."""
    make_backbone(tmp_path, 'resnet', **FAMILIES['resnet'])
    path = tmp_path / 'backbones' / 'resnet'
    engine, folder = TorchEngine(path), store(path).writable
    first = export_int8(path, engine, BARE, folder)
    served = OnnxEngine(path, int8=True)
    served.check().require()
    second = export_int8(path, engine, BARE, folder, pictures=images(2) // 4)
    assert first.sha256 != second.sha256
    served.check().require()


def test_a_probe_unlike_the_tasks_pictures_does_not_refuse_a_graph(tmp_path) -> None:
    """Ranges of grey pictures cut a probe of noise off, and are right for the tasks."""
    make_backbone(tmp_path, 'nfnet', **FAMILIES['nfnet'])
    path = tmp_path / 'backbones' / 'nfnet'
    engine, folder = TorchEngine(path), store(path).writable
    record = export_int8(path, engine, BARE, folder, pictures=images(2) // 32 + 112)
    assert record.probe_error > 4 * record.feature_error, 'else it shows nothing'
    served = OnnxEngine(path, int8=True)
    served.check().require()
    edit(folder / 'bare_int8.json', probe_error=record.probe_error / 10)
    with pytest.raises(BaseChangedError, match='probe'):
        OnnxEngine(path, int8=True).check().require()


def test_what_is_refused_in_8_bits_costs_no_exact_graph(tmp_path, monkeypatch, capsys) -> None:
    models, out = tmp_path / 'models', tmp_path / 'out'
    make_task(models, 'lift', make_backbone(models))
    monkeypatch.setattr('roboadapt_ros.encoder.export.MAX_INT8_ERROR', 1e-9)
    words = ['export', '--models', str(models), '--int8', '--out', str(out)]
    assert main(words) == 1
    told = capsys.readouterr()
    assert 'tiny, bare_int8: left out' in told.err and 'is offered' in told.err
    assert 'at0-1.3_mlp_k1' in told.out
    names = {file.name for file in (out / 'tiny').iterdir()}
    assert {'bare.onnx', 'at0-1.3_mlp_k1.onnx', 'lift.onnx_adapter'} <= names
    assert not [name for name in names if 'int8' in name]


def test_a_usual_graph_that_can_not_be_exported_costs_no_other(vit, monkeypatch) -> None:
    def fails(path: Path, engine: TorchEngine, places: Places, folder: Path) -> GraphRecord:
        if places.positions and places != wanted:
            raise EngineError('onnx', 'no operator for it', "Choose the engine 'torch'.")
        return export_graph(path, engine, places, folder)

    wanted = Places.of(TorchEngine(vit).backbone.layout(top=8))
    monkeypatch.setattr('roboadapt_ros.encoder.export.export_graph', fails)
    assert export.main([str(vit), json.dumps(to_mapping(wanted))]) == 0
    assert {BARE.name, wanted.name} == {p.stem for p in store(vit).writable.glob('*.onnx')}


def test_a_loud_task_does_not_hide_the_error_of_another(vit) -> None:
    engine = TorchEngine(vit)
    layout = engine.backbone.layout(top=8)
    arrays = {n: np.zeros(shape, np.float32) for n, shape in layout.shapes().items()}
    quiet = TaskTensors(layout, arrays)
    loud = TaskTensors(layout, {**arrays, 'top.up.bias': arrays['top.up.bias'] + 1e3})
    content = trace(engine.backbone, Places.of(layout), branches=False)
    content = quantise(content, [], maps=False)
    alone, both = (measure(engine, content, own, images(3)) for own in ([quiet], [quiet, loud]))
    assert both.distance > 0.5 * alone.distance > 1e-4
    assert both.largest > 0.5 * alone.largest


def test_the_worst_error_is_nan_where_one_is() -> None:
    worst = Error.worst([Error(0.2, 0.1), Error(float('nan'), 0.3), Error(0.1, 0.2)])
    assert np.isnan(worst.largest) and worst.distance == 0.3


def test_the_matrices_of_a_transformer_over_a_resnet_are_in_eight_bits(tmp_path) -> None:
    small = {'depth': 2, 'embed_dim': 64, 'num_heads': 2}
    make_backbone(tmp_path, timm_name='vit_tiny_r_s16_p8_224', timm_kwargs=small)
    path = tmp_path / 'backbones' / 'tiny'
    record = export_int8(path, TorchEngine(path), BARE, tmp_path)
    nodes = onnx.load(tmp_path / f'{record.name}.onnx').graph.node
    kinds = Counter(node.op_type for node in nodes)
    assert kinds['MatMulInteger'] == 4 * 2, 'the weighted matrices of two blocks'
    assert not kinds['QuantizeLinear'], 'what makes the tokens stays float32'
    assert 0.0 < record.feature_error < 0.01


def test_an_older_record_is_exported_anew(vit) -> None:
    """Records without what the tasks were, as of format 2."""
    OnnxEngine(vit)
    record = store(vit).writable / 'bare.json'
    older = {**json.loads(record.read_text()), 'format': 2}
    del older['tasks']
    record.write_text(json.dumps(older))
    assert store(vit).find(BARE) is None
    OnnxEngine(vit).check().require()
    assert store(vit).find(BARE) is not None


def test_an_error_measured_on_another_machine_does_not_count(vit) -> None:
    folder = store(vit).writable
    export_int8(vit, TorchEngine(vit), BARE, folder)
    edit(folder / 'bare_int8.json', machine='another')
    with pytest.raises(EngineError, match='not measured'):
        OnnxEngine(vit, int8=True)


def test_an_adapter_file_gives_another_runtime_the_same_features(path, tmp_path) -> None:
    engine, folder = TorchEngine(path), store(path).writable
    task = trained(engine)
    export_graph(path, engine, BARE, folder)
    record = export_graph(path, engine, Places.of(task.layout), folder)
    file = tmp_path / 'task.onnx_adapter'
    write_adapters(file, task.arrays(maps=record.is_maps))
    other = ort.InferenceSession(folder / f'{record.places.name}.onnx')
    adapter, run = ort.LoraAdapter(), ort.RunOptions()
    adapter.Load(str(file))
    run.add_active_adapter(adapter)
    served = OnnxEngine(path)
    found = other.run(None, {'images': images()}, run)[0]
    np.testing.assert_array_equal(found, served.run(images(), served.add(*task)))
    bare = other.run(None, {'images': images()})[0]
    np.testing.assert_allclose(bare, served.run(images(), None), rtol=1e-4, atol=1e-5)


def test_onnxruntime_is_told_to_send_nothing(tmp_path) -> None:
    """It keeps what it would send in a cache of its own, from its import on."""
    words = [sys.executable, '-c', 'import roboadapt_ros.encoder.session']
    kept = {key: value for key, value in os.environ.items() if key != 'ORT_DISABLE_TELEMETRY'}
    env = {**kept, 'XDG_CACHE_HOME': str(tmp_path), 'HOME': str(tmp_path)}
    subprocess.run(words, env=env, check=True, timeout=60)
    assert not list(tmp_path.rglob('*onnxruntime*'))


def test_a_user_without_a_home_exports_into_the_backbones_folder(vit, monkeypatch) -> None:
    def homeless(self: Path) -> Path:
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr(Path, 'expanduser', homeless)
    assert store(vit).writable == vit / 'onnx'
    monkeypatch.setattr(os, 'access', lambda *_: False)
    with pytest.raises(EngineError, match=r'no graph can be written to .*tiny.onnx'):
        _ = store(vit).writable


def test_the_faster_engine_wins_and_both_figures_are_told(vit) -> None:
    outcome = race(vit, 1)
    assert set(outcome.milliseconds) >= {'torch', 'onnxruntime'}
    kind, reason = choose(vit, 1)
    assert kind is outcome.winner
    assert 'torch' in reason and 'onnxruntime' in reason and reason.count(' ms') >= 2


@pytest.mark.parametrize(
    'change',
    [
        {'machine': 'x'},
        {'gpus': 'x'},
        {'versions': {}},
        {'backbone_digest': 'x'},
        {'backbone_settings': 'x'},
    ],
)
def test_an_outcome_of_other_surroundings_does_not_hold(vit, change) -> None:
    race(vit, 1)
    assert find_choice(vit, 2) is None
    edit(store(vit).writable / choice_name(1), **change)
    assert find_choice(vit, 1) is None


def test_the_next_engine_serves_where_the_winner_fails(vit) -> None:
    """A GPU that was there at the race, and is not any more."""
    race(vit, 1)
    edit(store(vit).writable / choice_name(1), winner='cuda')
    told: list[str] = []
    assert isinstance(load_engine(vit, EngineKind.AUTO, threads=1, log=told.append), OnnxEngine)
    assert 'not served by cuda' in told[1]


def full(*words: object, **options: object) -> None:
    raise torch.OutOfMemoryError('CUDA out of memory.\nTried to allocate 2 GiB')


def test_the_next_engine_serves_where_the_gpu_is_full(vit, monkeypatch) -> None:
    race(vit, 1)
    edit(store(vit).writable / choice_name(1), winner='cuda')
    monkeypatch.setattr(CUDA_ENGINE, full)
    told: list[str] = []
    assert isinstance(load_engine(vit, EngineKind.AUTO, threads=1, log=told.append), OnnxEngine)
    assert 'CUDA out of memory' in told[1] and 'Tried' not in told[1]


def test_a_gpu_that_is_full_at_the_race_is_left_out(vit, monkeypatch) -> None:
    monkeypatch.setattr(race_module, 'torch_sees_gpu', lambda: True)
    monkeypatch.setattr(CUDA_ENGINE, full)
    outcome = race(vit, 1)
    assert set(outcome.milliseconds) == {'torch', 'onnxruntime'}
    assert 'CUDA out of memory' in outcome.left_out['torch on the GPU']
    raced: list[str] = []
    monkeypatch.setattr(choice, 'run_module', lambda *words: raced.extend(words))
    assert choose(vit, 1) == (outcome.winner, outcome.reason)
    assert raced, 'it may be free at the next start'


def test_an_export_that_fails_costs_no_other_engine_and_is_not_tried_again(
    vit, monkeypatch
) -> None:
    def fail(*words: object) -> None:
        raise EngineError('onnx', 'no operator\nfor it', "Choose the engine 'torch'.")

    monkeypatch.setattr(race_module, 'export_missing', fail)
    monkeypatch.setattr(race_module, 'torch_sees_gpu', lambda: True)
    monkeypatch.setattr(
        CUDA_ENGINE, lambda path, threads, half: TorchEngine(path, threads=threads)
    )
    outcome = race(vit, 1)
    assert set(outcome.milliseconds) == {'torch', 'torch on the GPU'}
    monkeypatch.setattr(choice, 'run_module', fail)
    kind, reason = choose(vit, 1)
    assert kind is outcome.winner and kind is not EngineKind.ONNX
    assert "; without onnxruntime: Engine 'onnx': no operator for it." in reason
    assert find_choice(vit, 1) == outcome


def test_an_outcome_that_left_nothing_out_says_nothing_of_it(vit) -> None:
    race(vit, 1)
    file = store(vit).writable / choice_name(1)
    older = json.loads(file.read_text())
    del older['left_out']
    file.write_text(json.dumps(older))
    found = find_choice(vit, 1)
    assert found is not None and 'without' not in found.reason


def test_a_package_built_for_cuda_runs_on_the_cpu_where_there_is_no_card(
    tmp_path, monkeypatch, capfd
) -> None:
    """And then serves graphs in blocks, and says nothing on stderr."""
    monkeypatch.setattr(ort, 'get_available_providers', lambda: [session.CUDA, session.CPU])
    monkeypatch.setattr(session, 'CUDA_DRIVER', 'libcuda.so.none')
    make_backbone(tmp_path, 'resnet', **FAMILIES['resnet'])
    path = tmp_path / 'backbones' / 'resnet'
    session.has_cuda.cache_clear()
    try:
        assert not session.has_cuda()
        engine = TorchEngine(path)
        task = trained(engine)
        export_missing(path, engine, [BARE, Places.of(task.layout)])
        served = OnnxEngine(path)
        assert 'CPU' in served.name
        assert served.add(*task).graph.record.block == (block_size() if block_size() > 1 else 0)
    finally:
        session.has_cuda.cache_clear()
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('providers', [[session.CUDA, session.CPU], [session.CPU]])
def test_where_a_graph_runs_is_asked_of_a_small_one(monkeypatch, providers) -> None:
    """CUDA's libraries may be missing, or be of another version."""
    loaded: list[bytes] = []

    class Fake:
        def __init__(self, content: bytes, options: object, providers: list[object]):
            loaded.append(content)

        def get_providers(self) -> list[str]:
            return providers

    monkeypatch.setattr(ort, 'get_available_providers', lambda: [session.CUDA, session.CPU])
    monkeypatch.setattr(session, '_driver_has_gpu', lambda: True)
    monkeypatch.setattr(ort, 'InferenceSession', Fake)
    session.has_cuda.cache_clear()
    try:
        assert [session.has_cuda() for _ in range(2)] == [providers[0] == session.CUDA] * 2
    finally:
        session.has_cuda.cache_clear()
    onnx.checker.check_model(onnx.load_from_string(loaded[0]))
    assert len(loaded) == 1, 'what ONNX Runtime says of a missing library, it says once'


def test_the_gpus_are_those_the_driver_lists(tmp_path, monkeypatch) -> None:
    for number, model in enumerate(('NVIDIA H200', 'NVIDIA L4')):
        folder = tmp_path / f'0000:0{number}:00.0'
        folder.mkdir()
        (folder / 'information').write_text(f'Model: \t\t {model}\nIRQ:   \t 5\n')
    monkeypatch.setattr(choice, 'GPU_LIST', tmp_path)
    assert choice.gpu_names() == 'NVIDIA H200, NVIDIA L4'


def test_a_later_start_measures_nothing_and_loads_no_torch(vit) -> None:
    race(vit, 1)
    edit(store(vit).writable / choice_name(1), winner='onnx')
    code = (
        'import sys; from pathlib import Path; '
        'from roboadapt_ros.engines import EngineKind; '
        'from roboadapt_ros.encoder.select import load_encoder; '
        "encoder = load_encoder(Path(sys.argv[1]), 'tiny', kind=EngineKind.AUTO, log=print); "
        'print(*sys.modules)'
    )
    words = [sys.executable, '-c', code, str(vit.parents[1])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, loaded = done.stdout.splitlines()
    assert 'onnxruntime' in first and ' ms' in first
    assert not {'torch', 'timm', 'onnx'} & set(loaded.split())


def test_torch_serves_where_the_race_can_not_be_run(vit, monkeypatch) -> None:
    def fail(*words: str) -> None:
        raise EngineError('onnx', 'the race failed: no space left', 'Free some.')

    monkeypatch.setattr(choice, 'run_module', fail)
    told: list[str] = []
    engine = load_engine(vit, EngineKind.AUTO, threads=1, log=told.append)
    assert isinstance(engine, TorchEngine)
    assert 'no space left' in told[0]


def test_torch_serves_where_onnxruntime_is_not_installed(vit, monkeypatch) -> None:
    monkeypatch.setattr(choice, 'runtime_version', lambda: '')
    assert choose(vit, 1) == (EngineKind.TORCH, 'torch, because onnxruntime is not installed')


def test_the_command_exports_for_a_task(tmp_path, capsys) -> None:
    models, out = tmp_path / 'models', tmp_path / 'out'
    make_task(models, 'lift', make_backbone(models))
    words = ['export', '--models', str(models), '--task', 'lift', '--int8', '--out', str(out)]
    assert main(words) == 0
    table = capsys.readouterr().out
    measured = ('its error is that of lift.', 'that of the bare backbone.')
    for text in ('tiny', 'bare', 'bare_int8', 'at0-1.3_mlp_k1', 'torch ms', *measured):
        assert text in table
    names = {file.name for file in (out / 'tiny').iterdir()}
    assert {'bare.onnx', 'bare.json', 'at0-1.3_mlp_k1_int8.onnx', 'lift.onnx_adapter'} <= names
    assert not (models / 'backbones' / 'tiny' / 'onnx').exists(), 'with --out all goes there'


def spoil(package: TaskPackage) -> None:
    (package.path / 'weights.safetensors').write_bytes(b'damaged')


def test_a_broken_package_is_told_and_the_others_are_exported(tmp_path, capsys) -> None:
    models, out = tmp_path / 'models', tmp_path / 'out'
    manifest = make_backbone(models)
    make_task(models, 'lift', manifest)
    spoil(make_task(models, 'damaged', manifest))
    make_task(models, 'older', replace(manifest, digest='0' * 64))
    make_task(models, 'wider', manifest, layout=replace(LAYOUT, channels=(32,) * 4))
    spoil(make_task(models, 'elsewhere', replace(manifest, id='another')))
    words = ['export', '--models', str(models), '--out', str(out)]
    assert main(words) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(':')[0] for line in said] == ['damaged', 'older', 'wider']
    assert 'truncated or corrupted' in said[0] and 'was trained over' in said[1]
    assert 'adapters.channels' in said[2]
    assert [file.name for file in (out / 'tiny').glob('*.onnx_adapter')] == ['lift.onnx_adapter']


def test_a_backbone_that_can_not_be_exported_is_told_and_the_others_are(
    tmp_path, capsys, monkeypatch
) -> None:
    models, out = tmp_path / 'models', tmp_path / 'out'
    for backbone in ('able', 'unable'):
        make_backbone(models, backbone)

    def refuse(path, *words):
        if path.name == 'unable':
            raise EngineError('onnx', 'no such operator', "Choose the engine 'torch'.")
        return export_graph(path, *words)

    monkeypatch.setattr(export, 'export_graph', refuse)
    words = ['export', '--models', str(models), '--out', str(out)]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith('unable: left out.') and 'no such operator' in printed.err
    assert 'able' in printed.out and (out / 'able' / 'bare.onnx').is_file()
    assert main([*words, '--backbone', 'unable']) == 2
    assert 'no such operator' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('task', 'words'), [('damaged', 'truncated or corrupted'), ('older', 'was trained over')]
)
def test_a_broken_package_that_was_asked_for_is_an_error(
    tmp_path, capsys, task: str, words: str
) -> None:
    manifest = make_backbone(tmp_path)
    spoil(make_task(tmp_path, 'damaged', manifest))
    make_task(tmp_path, 'older', replace(manifest, digest='0' * 64))
    out = tmp_path / 'out'
    assert main(['export', '--models', str(tmp_path), '--task', task, '--out', str(out)]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_picture_that_is_a_link_out_of_its_package_is_refused(tmp_path) -> None:
    package = make_task(tmp_path, 'lift', make_backbone(tmp_path))
    write_picture(package.path, CAMERAS[0], images(1)[0])
    picture = package.path / f'reference_{CAMERAS[0]}.png'
    outside = picture.rename(tmp_path / 'outside.png')
    assert read_pictures(package.path, package.contract) == {}
    picture.symlink_to(outside)
    with pytest.raises(PackageError, match='is a link out of the package'):
        read_pictures(package.path, package.contract)


def test_eight_bits_are_measured_on_what_the_tasks_saw(tmp_path, monkeypatch) -> None:
    models = tmp_path / 'models'
    package = make_task(models, 'lift', make_backbone(models))
    seen = {name: images(2)[index] for index, name in enumerate(CAMERAS)}
    for name, picture in seen.items():
        write_picture(package.path, name, picture)
    found = read_pictures(package.path, package.contract)
    for name in CAMERAS:
        np.testing.assert_array_equal(found[name], seen[name])
    shown: list[np.ndarray] = []

    def note(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shown.append(pictures)
        return scene_images(pictures)

    monkeypatch.setattr(export, 'scene_images', note)
    assert main(['export', '--models', str(models), '--int8', '--out', str(tmp_path / 'o')]) == 0
    of_task = [pictures for pictures in shown if np.array_equal(pictures, images(2))]
    assert len(of_task) == 2, 'for the bare graph and for the one with its places'


@pytest.mark.parametrize(
    ('option', 'name', 'nearest'), [('--backbone', 'tyny', 'tiny'), ('--task', 'lifd', 'lift')]
)
def test_the_command_answers_a_wrong_name_with_the_nearest(
    tmp_path, capsys, option: str, name: str, nearest: str
) -> None:
    make_task(tmp_path, 'lift', make_backbone(tmp_path))
    assert main(['export', '--models', str(tmp_path), option, name]) == 2
    assert f"Did you mean '{nearest}'?" in capsys.readouterr().err
