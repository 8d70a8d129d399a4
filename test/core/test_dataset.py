"""Demonstrations on disk: whole or named, and never those of another task."""

from dataclasses import replace

import fakes
import numpy as np
import pytest
from roboadapt_ros.cli import main as cli
from roboadapt_ros.errors import PackageError, TrainingError
from roboadapt_ros.learning.collect import collect
from roboadapt_ros.learning.dataset import (
    Episode,
    episode_task,
    load_episode,
    require_task,
    save_episode,
)
from roboadapt_ros.learning.settings import CollectConfig
import tiny

STEPS = 2


def _episode(task):
    return Episode(
        frames={'scene': np.zeros((STEPS, 4, 4, 3), np.uint8)},
        stamps_ns=np.arange(STEPS),
        q=np.zeros((STEPS, 7)),
        dq=np.zeros((STEPS, 7)),
        ee_position=np.zeros((STEPS, 3)),
        ee_quat_xyzw=np.zeros((STEPS, 4)),
        ee_commanded=np.zeros((STEPS, 3)),
        gripper_width_m=np.zeros(STEPS),
        plan=np.zeros((STEPS, 8, 8)),
        objects=np.zeros((STEPS, 4, 3)),
        success=True,
        task=task,
    )


def _folder(path, *tasks):
    path.mkdir()
    for number, task in enumerate(tasks):
        save_episode(path / f'episode_{number:07d}.npz', _episode(task))
    return path


@pytest.mark.parametrize('task', ['lift_red', None])
def test_an_episode_says_its_task_and_old_ones_are_read(tmp_path, task):
    file = tmp_path / 'episode_0000000.npz'
    save_episode(file, _episode(task))
    assert load_episode(file).task == episode_task(file) == task
    assert load_episode(file).success
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_task_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / 'episode_0000000.npz'
    save_episode(file, replace(_episode(None), task=['lift_red', 'push_blue']))
    for read in (load_episode, episode_task):
        with pytest.raises(PackageError, match='task is not a text'):
            read(file)
    file.write_bytes(b'PK')
    with pytest.raises(PackageError, match='whole episode file'):
        episode_task(file)


def test_a_folder_of_another_task_is_refused_with_both_names(tmp_path):
    mine, mixed = (
        _folder(tmp_path / 'mine', 'lift_red'),
        _folder(tmp_path / 'mixed', 'lift_red', 'push_blue'),
    )
    require_task((mine, tmp_path / 'nowhere'), 'lift_red')
    require_task((mine,), 'lift_red@mine')
    with pytest.raises(
        TrainingError, match=r"mixed holds demonstrations of task 'push_blue'.*'lift_red'"
    ):
        require_task((mine, mixed), 'lift_red@mine')


def test_old_episodes_are_told_of_in_one_line(tmp_path):
    told = []
    require_task((_folder(tmp_path / 'old', None, 'lift_red', None),), 'lift_red', told.append)
    assert len(told) == 1
    assert '2 of 3 episodes do not say their task' in told[0]


@pytest.mark.parametrize('command', ['collect', 'train'])
def test_the_commands_refuse_before_any_work(tmp_path, capsys, command):
    data, out = _folder(tmp_path / 'data', 'lift_red'), tmp_path / 'out'
    models = tmp_path / 'models'
    backbone = tiny.make_backbone(models)
    words = {
        'collect': ('--out', data),
        'train': ('--data', data, '--out', out, '--backbone', models / 'backbones' / backbone.id),
    }
    assert cli.main([command, '--task', 'push_blue', *map(str, words[command])]) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert f"{data} holds demonstrations of task 'lift_red'" in said and "'push_blue'" in said
    assert not out.exists()
    assert len(list(data.iterdir())) == 1


def test_rounds_that_a_policy_drives_say_the_task_and_go_on(tmp_path):
    models = tmp_path / 'models'
    backbone = tiny.make_backbone(models)
    fakes.make_circle_task(models, 'lift_red', 1.0, backbone.id, backbone.digest)
    config = CollectConfig(
        task='lift_red', out=tmp_path / 'data', episodes=1, policy=models, time_limit_s=0.3
    )
    assert collect(config)[0] == 1
    assert collect(replace(config, episodes=2))[0] == 2
    assert {episode_task(path) for path in config.out.iterdir()} == {'lift_red'}
