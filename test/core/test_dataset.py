"""Demonstrations on disk: whole or named, and never those of another task."""

from dataclasses import replace

import fakes
import numpy as np
import pytest
from roboadapt_ros.cli import main as cli
from roboadapt_ros.errors import PackageError, TrainingError
from roboadapt_ros.learning.collect import collect
from roboadapt_ros.learning.dataset import load_samples, require_task
from roboadapt_ros.learning.episode import Episode, episode_task, load_episode, save_episode
from roboadapt_ros.learning.pretrain import load_images
from roboadapt_ros.learning.progress import silent
from roboadapt_ros.learning.settings import CollectConfig, PretrainConfig
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


def _nan(array):
    return np.full_like(array, np.nan)


@pytest.mark.parametrize(
    ('name', 'change', 'said'),
    [
        ('stamps_ns', lambda a: a[:0], 'holds no steps'),
        ('q', lambda a: a[:1], r'q is float64 of shape \(1, 7\).*numbers of shape \(2, 7\)'),
        ('plan', lambda a: a[:, :, :3], r'plan is .*\(2, 8, 3\).*numbers of shape \(2, any, 8\)'),
        ('plan', _nan, 'plan holds a value that is not finite'),
        ('ee_commanded', lambda a: a + np.inf, 'ee_commanded holds a value that is not finite'),
        ('dq', lambda a: a.astype(str), r'dq is <U\d+ of shape'),
        ('stamps_ns', lambda a: a + 0.5, 'stamps_ns is float64.*whole numbers'),
        ('objects', lambda a: a[:, 0], r'objects is .*\(2, 3\).*\(2, 4, 3\)'),
        ('frames.scene', lambda a: a[:1], r'frames\.scene is uint8 of shape \(1, 4, 4, 3\)'),
        ('frames.scene', lambda a: a.astype(float), r'frames\.scene is float64'),
        ('frames.scene', lambda a: a[..., 0], r'frames\.scene is uint8 of shape \(2, 4, 4\)'),
        ('gripper_width_m', None, 'gripper_width_m is not a file in the archive'),
        ('success', lambda a: np.array([True, False]), 'whole episode file'),
    ],
)
def test_an_array_that_is_not_an_episodes_is_named(tmp_path, name, change, said):
    file = tmp_path / 'episode_0000000.npz'
    save_episode(file, _episode('lift_red'))
    arrays = dict(np.load(file))
    array = arrays.pop(name)
    if change is not None:
        arrays[name] = change(array)
    np.savez(file, **arrays)
    with pytest.raises(PackageError, match=rf'episode_0000000\.npz: .*{said}'):
        load_episode(file)


def test_a_file_of_one_array_or_damaged_inside_is_no_episode(tmp_path):
    file = tmp_path / 'episode_0000000.npz'
    with file.open('wb') as opened:
        np.save(opened, np.zeros(3))
    for read in (load_episode, episode_task):
        with pytest.raises(PackageError, match='it is one array'):
            read(file)
    save_episode(file, _episode('lift_red'))
    np.savez_compressed(file, **np.load(file))
    good = file.read_bytes()
    for position in range(40, len(good), 97):
        file.write_bytes(good[:position] + b'\xff\xff\xff\xff' + good[position + 4 :])
        try:
            load_episode(file)
        except PackageError:
            continue


def test_an_episode_that_does_not_fit_the_contract_is_named(tmp_path):
    contract = tiny.contract()
    height, width = tiny.SOURCE
    frames = {name: np.zeros((STEPS, height, width, 3), np.uint8) for name in tiny.CAMERAS}
    fits = replace(
        _episode('lift_red'), frames=frames, plan=np.zeros((STEPS, contract.chunk_length, 8))
    )
    file = tmp_path / 'episode_0000000.npz'
    save_episode(file, fits)
    assert load_samples([file], contract, tiny.SIZE).images.shape[:2] == (STEPS, 2)
    settings = PretrainConfig(data=(tmp_path,), out=tmp_path / 'out', image_size=32, every=1)
    assert len(load_images(settings, contract, silent)[0]) == 2 * STEPS

    one, small = {'scene': frames['scene']}, {**frames, 'wrist': frames['wrist'][:, :4]}
    for change, said in (
        ({'frames': one}, 'wrist.*is missing'),
        ({'frames': small}, r'wrist.*\(4, 64, 3\).*\(48, 64, 3\)'),
        ({'plan': np.zeros((STEPS, 3, 8))}, 'plan has 3 rows a step. Required: 4'),
    ):
        save_episode(file, replace(fits, **change))
        with pytest.raises(PackageError, match=rf'episode_0000000\.npz: .*{said}'):
            load_samples([file], contract, tiny.SIZE)
        if 'frames' in change:
            with pytest.raises(PackageError, match=rf'episode_0000000\.npz: .*{said}'):
                load_images(settings, contract, silent)


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
