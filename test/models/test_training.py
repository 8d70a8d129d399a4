"""Training over each family, with the placement that its settings ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import re

import numpy as np
import pytest
from roboadapt_ros.adapters.layout import TopKind
from roboadapt_ros.adapters.package import load_package, TaskPackage
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.errors import PackageError, TrainingError
from roboadapt_ros.learning.checkpoint import Checkpoint
from roboadapt_ros.learning.dataset import Samples
from roboadapt_ros.learning.packaging import package_task
from roboadapt_ros.learning.pretrain import pretrain
from roboadapt_ros.learning.progress import silent
from roboadapt_ros.learning.settings import PretrainConfig, TrainConfig
from roboadapt_ros.learning.train import train, Trainer
from tiny import contract, FAMILIES, make_backbone, SIZE
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
    trainer = Trainer(settings, backbone, samples(), contract())
    checkpoint = Checkpoint(settings.out / 'checkpoint.safetensors')
    if not settings.resume:
        trainer.first_stage(silent)
    trainer.second_stage(silent, checkpoint)
    return trainer, package_task(settings, trainer, {})


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
        trainer = Trainer(config(tmp_path), backbone, held, contract())
        trainer.first_stage(lambda done, total, text: said.append(text))
        assert re.search(told, said[-1]), said[-1]


def test_training_leaves_the_base_bit_for_bit(backbone, tmp_path) -> None:
    trained(config(tmp_path), backbone)
    backbone.check(tmp_path / 'backbones' / backbone.manifest.id).require()


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint(backbone, tmp_path) -> None:
    trained(config(tmp_path, steps=2), backbone)
    progressed = []
    settings = config(tmp_path, steps=4, resume=True)
    trainer = Trainer(settings, backbone, samples(), contract())
    checkpoint = Checkpoint(settings.out / 'checkpoint.safetensors')
    trainer.second_stage(lambda done, total, text: progressed.append(done), checkpoint)
    assert progressed == [3, 4]


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
