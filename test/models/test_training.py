"""Training over each family, with the placement that its settings ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import re

import numpy as np
import pytest
from roboadapt_ros.adapters import package as package_module
from roboadapt_ros.adapters.layout import TopKind
from roboadapt_ros.adapters.package import load_package, TaskPackage
from roboadapt_ros.backbones import frozen
from roboadapt_ros.backbones.build import build_timm
from roboadapt_ros.backbones.frozen import FrozenBackbone, save_backbone
from roboadapt_ros.cli import main as cli
from roboadapt_ros.errors import ConfigError, PackageError, RoboAdaptError, TrainingError
from roboadapt_ros.learning import train as train_module
from roboadapt_ros.learning.checkpoint import Checkpoint, Done, Part
from roboadapt_ros.learning.dataset import Samples
from roboadapt_ros.learning.episode import Episode, save_episode
from roboadapt_ros.learning.packaging import package_task
from roboadapt_ros.learning.plan import make_plan
from roboadapt_ros.learning.pretrain import pretrain
from roboadapt_ros.learning.progress import silent
from roboadapt_ros.learning.settings import PretrainConfig, TrainConfig
from roboadapt_ros.learning.train import train, Trainer
import safetensors
import safetensors.torch
from tiny import (
    backbone_manifest,
    contract,
    FAMILIES,
    make_backbone,
    make_task,
    SIZE,
    SOURCE,
)
import torch

STEPS = 12


def samples() -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        images=rng.integers(0, 256, (STEPS, 2, SIZE, SIZE, 3), dtype=np.uint8),
        proprio=rng.normal(size=(STEPS, 4)),
        actions=rng.normal(size=(STEPS, 4, 4)),
        objects=rng.normal(size=(STEPS, 12)),
        episode=np.arange(STEPS) // 6,
    )


@pytest.fixture(params=list(FAMILIES))
def backbone(request, tmp_path) -> FrozenBackbone:
    make_backbone(tmp_path, request.param, **FAMILIES[request.param])
    return FrozenBackbone.load(tmp_path / 'backbones' / request.param)


def config(tmp_path: Path, **changes: object) -> TrainConfig:
    settings = {
        'task': 'pick',
        'data': (),
        'backbone': tmp_path,
        'out': tmp_path / 'tasks',
        'bottom': 4,
        'middle': 4,
        'middle_blocks': (1,),
        'top_kind': TopKind.LINEAR,
        'kernel': 1,
        'hidden': (8,),
        'top_steps': 3,
        'top_batch': 4,
        'steps': 4,
        'batch': 4,
        'dropout': 0.0,
        'checkpoint_every': 2,
    }
    return TrainConfig(**{**settings, **changes})


def trained(settings: TrainConfig, backbone: FrozenBackbone) -> tuple[Trainer, TaskPackage]:
    torch.manual_seed(0)
    trainer = Trainer(make_plan(settings, backbone, contract()), samples())
    trainer.first_stage(silent)
    trainer.second_stage(silent, a_checkpoint(trainer))
    return trainer, package_task(settings, trainer, {})


def a_checkpoint(trainer: Trainer) -> Checkpoint:
    path = trainer.config.out / 'checkpoint.safetensors'
    return Checkpoint(path, trainer.plan.identity('the data'))


def test_a_package_has_the_sites_that_were_asked_for(backbone, tmp_path) -> None:
    settings = config(tmp_path)
    _, package = trained(settings, backbone)
    layout = load_package(package.path).manifest.adapters
    assert layout == settings.layout(backbone)
    assert [site.name for site in layout.sites] == ['bottom', 'middle.1', 'top']
    assert layout.top_kind is TopKind.LINEAR
    for name, tensor in package.part('adapters').items():
        assert np.any(tensor != 0.0), f'{name} was not trained'


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
def test_progress_says_where_no_episodes_are_held_out(backbone, tmp_path) -> None:
    data, said = samples(), []
    for held_out, told in ((7, r', no episodes held out$'), (19, r', held out \d\.\d+$')):
        held = replace(data, episode=np.where(data.episode, held_out, 0))
        trainer = Trainer(make_plan(config(tmp_path), backbone, contract()), held)
        trainer.first_stage(lambda done, total, text: said.append(text))
        assert re.search(told, said[-1]), said[-1]


def test_training_leaves_the_base_bit_for_bit(backbone, tmp_path) -> None:
    trained(config(tmp_path), backbone)
    backbone.check(tmp_path / 'backbones' / backbone.manifest.id).require()


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint(backbone, tmp_path) -> None:
    trained(config(tmp_path, steps=2), backbone)
    progressed = []
    settings = config(tmp_path, steps=4, resume=True)
    trainer = Trainer(make_plan(settings, backbone, contract()), samples())
    done = trainer.second_stage(
        lambda done, total, text: progressed.append(done), a_checkpoint(trainer)
    )
    assert progressed == [3, 4]
    assert done.parts == (Part(to=2, of=2), Part(to=4, of=4))


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
def test_a_package_that_is_there_is_replaced_only_when_that_is_said(backbone, tmp_path) -> None:
    folder, none = tmp_path / 'backbones' / backbone.manifest.id, (tmp_path / 'none',)
    settings = config(tmp_path, backbone=folder, data=none)
    _, package = trained(settings, backbone)
    with pytest.raises(
        PackageError, match=r'pick: exists.*--task pick@VERSION.*--force to replace'
    ):
        train(settings, contract())
    assert load_package(package.path).digest == package.digest
    there = PretrainConfig(data=none, out=folder)
    with pytest.raises(PackageError, match=r'exists.*another --out, or --force'):
        pretrain(there, contract())
    for work, asked in ((train, settings), (pretrain, there)):
        with pytest.raises(TrainingError, match='No episodes'):
            work(replace(asked, force=True), contract())


def spoilt(path: Path, change) -> None:
    """Write a checkpoint again with other tensors and the same metadata."""
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, 'pt') as file:
        metadata = file.metadata()
    change(tensors)
    path.write_bytes(safetensors.torch.save(tensors, metadata))


BIAS = 'model.head.out.bias'


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda t: t.update({BIAS: t[BIAS][:1]}), r'head\.out\.bias: found \(1,\) float32, req'),
        (lambda t: t.update({BIAS: t[BIAS].double()}), r'head\.out\.bias: found .*float64'),
        (lambda t: t.update(extra=torch.zeros(2)), 'unexpected: extra'),
        (lambda t: t.pop(BIAS), r'missing: model\.head\.out\.bias'),
        (lambda t: t.pop('optimiser.head.out.bias.step'), r'missing: optimiser.*\.step'),
    ],
)
def test_a_checkpoint_of_other_tensors_is_refused(backbone, tmp_path, change, said: str) -> None:
    settings = config(tmp_path, steps=2)
    trained(settings, backbone)
    resumed = replace(settings, steps=4, resume=True)
    trainer = Trainer(make_plan(resumed, backbone, contract()), samples())
    spoilt(a_checkpoint(trainer).path, change)
    before = {name: t.clone() for name, t in trainer.model.state_dict().items()}
    with pytest.raises(PackageError, match=said):
        trainer.second_stage(silent, a_checkpoint(trainer))
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, before[name]), f'{name} was written'


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
@pytest.mark.parametrize(
    ('changes', 'data', 'said'),
    [
        ({'seed': 1}, 'the data', r'another run \(seed 0\)\. Required: one of this run \(seed 1'),
        ({'learning_rate': 0.5}, 'the data', r'learning_rate 0\.001.*learning_rate 0\.5'),
        ({'bottom': 8}, 'the data', r'another run \(adapters \{'),
        ({'hidden': (16,)}, 'the data', r'another run \(head \{'),
        ({}, 'other data', r'data_sha256 "the data".*data_sha256 "other data"'),
        ({'start': 'pick'}, 'the data', r'another run \(start null\)'),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(
    backbone, tmp_path, changes, data: str, said: str
) -> None:
    settings = config(tmp_path)
    trainer, package = trained(settings, backbone)
    path = a_checkpoint(trainer).path
    changes = {k: package.path if k == 'start' else v for k, v in changes.items()}
    other = make_plan(replace(settings, **changes), backbone, contract())
    with pytest.raises(PackageError, match=said):
        Checkpoint(path, other.identity(data)).done()
    anew = replace(settings, steps=9, checkpoint_every=7, threads=1, resume=True, force=True)
    same = make_plan(anew, backbone, contract())
    assert Checkpoint(path, same.identity('the data')).done().step == settings.steps


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
def test_a_checkpoint_over_another_backbone_is_refused(backbone, tmp_path) -> None:
    trainer, _ = trained(config(tmp_path), backbone)
    make_backbone(tmp_path, 'other', seed=5)
    other = FrozenBackbone.load(tmp_path / 'backbones' / 'other')
    run = make_plan(trainer.config, other, contract()).identity('the data')
    with pytest.raises(PackageError, match=r'another run \(backbone "[0-9a-f]+'):
        Checkpoint(a_checkpoint(trainer).path, run).done()


def test_a_checkpoint_that_does_not_say_its_run_is_refused(tmp_path) -> None:
    checkpoint = Checkpoint(tmp_path / 'a.safetensors', {'seed': 0})
    assert checkpoint.done() == Done()
    tensors = {'step': torch.tensor(3)}
    checkpoint.path.write_bytes(safetensors.torch.save(tensors))
    with pytest.raises(PackageError, match=r'does not say of which run.*older version.*delete it'):
        checkpoint.done()
    for text in (
        'no json',
        '{"run": {}}',
        '{"run": {"seed": 0}, "done": {"parts": [{"to": -1}]}}',
    ):
        checkpoint.path.write_bytes(safetensors.torch.save(tensors, {'roboadapt': text}))
        with pytest.raises(RoboAdaptError, match=r'a\.safetensors'):
            checkpoint.done()
    checkpoint.path.write_bytes(b'no tensors')
    with pytest.raises(PackageError, match=r'cannot be resumed.*delete it'):
        checkpoint.done()


def episodes(folder: Path, count: int = 2) -> Path:
    """Write episodes that the tiny contract fits."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    steps = 6
    for number in range(count):
        episode = Episode(
            frames={
                name: rng.integers(0, 256, (steps, *SOURCE, 3), dtype=np.uint8)
                for name in ('scene', 'wrist')
            },
            stamps_ns=np.arange(steps),
            q=rng.normal(size=(steps, 7)),
            dq=rng.normal(size=(steps, 7)),
            ee_position=rng.normal(size=(steps, 3)),
            ee_quat_xyzw=rng.normal(size=(steps, 4)),
            ee_commanded=rng.normal(size=(steps, 3)),
            gripper_width_m=rng.normal(size=steps),
            plan=rng.normal(size=(steps, contract().chunk_length, 8)),
            objects=rng.normal(size=(steps, 4, 3)),
            success=True,
            task='pick',
        )
        save_episode(folder / f'episode_{number:07d}.npz', episode)
    return folder


class StoppedError(Exception):
    """Stands for Ctrl-C."""


def stopping_at(step: int):
    def progress(done: int, total: int, message: str) -> None:
        if message.startswith('all:') and done == step:
            raise StoppedError

    return progress


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
def test_a_resumed_run_records_the_steps_that_were_done(backbone, tmp_path) -> None:
    folder = tmp_path / 'backbones' / backbone.manifest.id
    settings = config(tmp_path, backbone=folder, data=(episodes(tmp_path / 'data'),), steps=12)
    told: list[str] = []
    with pytest.raises(StoppedError):
        train(replace(settings, resume=True), contract(), stopping_at(6), told.append)
    assert [text for text in told if 'No checkpoint' in text and 'starting anew' in text] == told
    file = settings.out / '.pick.checkpoint.safetensors'
    assert file.exists()
    fewer = replace(settings, steps=5, resume=True)
    with pytest.raises(PackageError, match=r'come to step 6.*--steps 6 or more \(found 5\)'):
        train(fewer, contract())
    package = train(replace(settings, steps=8, resume=True), contract())
    found = package.manifest.provenance
    assert found['steps'] == 8
    assert found['parts'] == [{'to': 6, 'of': 12}, {'to': 8, 'of': 8}]
    pictures = [path.name for path in package.path.glob('*.png')]
    assert sorted(pictures) == ['reference_scene.png', 'reference_wrist.png']
    assert sorted(path.name for path in settings.out.iterdir()) == ['pick']
    again = train(replace(settings, steps=2, force=True), contract())
    assert again.manifest.provenance['steps'] == 2
    assert 'parts' not in again.manifest.provenance


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
def test_faults_are_found_before_the_episodes_are_read(backbone, tmp_path, monkeypatch) -> None:
    folder = tmp_path / 'backbones' / backbone.manifest.id
    settings = config(tmp_path, backbone=folder, data=(tmp_path / 'none',))
    other = make_task(tmp_path / 'other', 'pick', backbone.manifest).path
    for changes, said in (
        ({'task': '../pick'}, "task = '../pick'"),
        ({'middle_blocks': (9,)}, 'middle_blocks'),
        ({'kernel': 3}, r'adapters\.kernel'),
        ({'hidden': (8,) * 17}, r'head\.hidden'),
        ({'hidden': (10_000_000,)}, r'would have \d+ bytes.*smaller head'),
        ({'start': tmp_path / 'nowhere'}, r'nowhere.*cannot be read'),
        ({'start': other}, r'start.*must have the layout'),
        ({}, 'No episodes'),
    ):
        with pytest.raises(RoboAdaptError, match=said):
            train(replace(settings, **changes), contract())
    episodes(tmp_path / 'none')
    monkeypatch.setattr(train_module, 'load_samples', None)
    file = settings.out / '.pick.checkpoint.safetensors'
    file.parent.mkdir()
    file.write_bytes(safetensors.torch.save({'step': torch.tensor(3)}))
    with pytest.raises(PackageError, match='does not say of which run'):
        train(replace(settings, resume=True), contract())


@pytest.mark.parametrize('version', ['V2', '', '../../x', 'a b'])
def test_a_version_that_is_no_name_is_refused_at_once(tmp_path, capsys, version: str) -> None:
    words = ('train', '--data', 'x', '--backbone', 'x', '--out', str(tmp_path / 'a'))
    assert cli.main([*words, '--task', f'lift_red@{version}']) == 2
    assert f"version in task 'lift_red@{version}' = '{version}': must" in capsys.readouterr().err
    with pytest.raises(ConfigError, match='version in task'):
        config(tmp_path, task=f'pick@{version}')
    assert list(tmp_path.iterdir()) == []


def test_a_backbones_name_is_checked_before_the_frames_are_read(tmp_path) -> None:
    settings = PretrainConfig(data=(tmp_path / 'none',), out=tmp_path / 'Bad Name')
    with pytest.raises(ConfigError, match=r"backbone\.id = 'Bad Name'"):
        pretrain(settings, contract())


def test_the_folder_we_are_in_is_a_packages_folder_too(tmp_path, monkeypatch, capsys) -> None:
    """'.' has no name of its own, but the folder has."""
    manifest = make_backbone(tmp_path)
    package = make_task(tmp_path, 'lift_red', manifest)
    folder = tmp_path / 'backbones' / manifest.id
    words = ['train', '--task', 'lift_red', '--data', str(tmp_path / 'none'), '--out', 'x']
    for here, backbone, start in ((folder, '.', package.path), (package.path, folder, '.')):
        monkeypatch.chdir(here)
        layout = ['--bottom', '4', '--middle-blocks', '0', '--middle', '4', '--top', '8']
        given = ['--backbone', str(backbone), '--start', str(start), '--hidden', '16']
        assert cli.main([*words, *given, *layout]) == 2
        said = capsys.readouterr().err
        assert 'names' not in said and 'must have the layout' in said, said


@pytest.mark.parametrize('fault', [KeyboardInterrupt(), OSError(28, 'no space')])
def test_a_backbone_is_written_whole_or_not_at_all(tmp_path, monkeypatch, fault) -> None:
    manifest = make_backbone(tmp_path)
    folder = tmp_path / 'backbones' / manifest.id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stop(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(frozen, 'save_json', stop)
        for name in ('tiny', 'new'):
            with pytest.raises((KeyboardInterrupt, PackageError)) as caught:
                make_backbone(tmp_path, name, seed=7)
            if isinstance(fault, OSError):
                assert f'{name}: cannot be written (no space)' in str(caught.value)
    assert [path.name for path in folder.parent.iterdir()] == ['tiny']
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / 'stale').write_bytes(b'')
    make_backbone(tmp_path, seed=7)
    assert {path.name for path in folder.iterdir()} == before.keys()


def test_weights_whose_features_are_not_finite_make_no_backbone(tmp_path) -> None:
    manifest = backbone_manifest('resnet', **FAMILIES['resnet'])
    model = build_timm(manifest)
    for name, buffer in model.named_buffers():
        if name.endswith('running_var'):
            buffer.fill_(-1.0)
    probe = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(PackageError, match='features that are not finite'):
        save_backbone(tmp_path / 'backbones' / 'resnet', manifest, model, probe)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('backbone', ['vit'], indirect=True)
def test_a_replaced_task_stands_until_the_new_one_is_whole(
    backbone, tmp_path, monkeypatch
) -> None:
    _, package = trained(config(tmp_path), backbone)
    before = {path.name: path.read_bytes() for path in package.path.iterdir()}
    assert {'reference_scene.png', 'reference_wrist.png'} < before.keys()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(package_module, 'save_json', stop)
    with pytest.raises(KeyboardInterrupt):
        trained(config(tmp_path, seed=3), backbone)
    assert {path.name: path.read_bytes() for path in package.path.iterdir()} == before
