"""Which tasks can be served over a backbone, and `adapters verify`, which tells of them."""

from __future__ import annotations

from dataclasses import replace
import subprocess
import sys

import pytest
from roboadapt_ros.adapters.package import save_package, TaskPackage
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.cli import main as cli
from roboadapt_ros.encoder.fit import require_served
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.head import TorchHead
from tiny import camera, LAYOUT, make_backbone, make_task

CHANNELS = (64,) * 4
FEATURES = 32
"""Of one image: 2 x 2 tokens of 8 pooled channels."""


def with_head(package: TaskPackage, feature_size: int) -> TaskPackage:
    """Write a whole package again, with a head of another size."""
    head = replace(package.manifest.head, feature_size=feature_size)
    tensors = {n: t for n, t in package.tensors.items() if not n.startswith('head.')}
    tensors |= {f'head.{n}': t.numpy() for n, t in TorchHead(head).state_dict().items()}
    return save_package(package.path, replace(package.manifest, head=head), tensors, '')


def verify(models, capsys) -> tuple[int, dict[str, str]]:
    """Return the exit code, and what was said of each task."""
    code = cli.main(['adapters', 'verify', '--models', str(models)])
    lines = capsys.readouterr().out.splitlines()
    return code, dict(line.split(': ', 1) for line in lines)


def test_a_task_of_the_backbones_sizes_fits(tmp_path) -> None:
    backbone = make_backbone(tmp_path)
    for cameras in ((), (camera('scene'),)):
        task = make_task(tmp_path, 'pick', backbone, cameras=cameras).manifest
        require_served(task, backbone, CHANNELS, is_maps=False, features_per_camera=FEATURES)


def test_what_does_not_fit_is_named(tmp_path) -> None:
    backbone = make_backbone(tmp_path)
    task = make_task(tmp_path, 'pick', backbone).manifest
    with pytest.raises(ConfigError, match=r'head\.feature_size = 64: must be 80, for 2 cameras'):
        require_served(task, backbone, CHANNELS, is_maps=False, features_per_camera=40)
    with pytest.raises(ConfigError, match=r'adapters\.channels.*over backbone tiny'):
        require_served(task, backbone, (64,) * 5, is_maps=False, features_per_camera=FEATURES)


def test_asking_loads_no_torch() -> None:
    code = 'import sys, roboadapt_ros.encoder.fit; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], timeout=60, check=False).returncode == 0


def test_verify_finds_what_can_not_be_served(tmp_path, capsys) -> None:
    backbone = make_backbone(tmp_path)
    make_task(tmp_path, 'good', backbone)
    with_head(make_task(tmp_path, 'head', backbone), feature_size=40)
    make_task(tmp_path, 'layout', backbone, layout=replace(LAYOUT, channels=(32,) * 4))
    code, said = verify(tmp_path, capsys)
    assert code == 1
    assert said['good'].startswith('intact')
    assert said['head'].startswith('not intact. head.feature_size = 40: must be 64')
    assert said['layout'].startswith('not intact. adapters.channels')


@pytest.mark.parametrize('intact', [True, False])
def test_verify_loads_a_backbone_once(tmp_path, capsys, monkeypatch, intact: bool) -> None:
    names = {'a': 'one', 'b': 'two', 'c': 'one'}
    backbones = {name: make_backbone(tmp_path, name) for name in ('one', 'two')}
    for task, name in names.items():
        make_task(tmp_path, task, backbones[name])
    if not intact:
        (tmp_path / 'backbones' / 'one' / 'probe.safetensors').write_bytes(b'damaged')
    loaded = []
    load = FrozenBackbone.load

    def load_and_note(path):
        loaded.append(path.name)
        return load(path)

    monkeypatch.setattr(FrozenBackbone, 'load', load_and_note)
    code, said = verify(tmp_path, capsys)
    assert loaded == ['one', 'two']
    found = {task: text.startswith('intact') for task, text in said.items()}
    assert found == {'a': intact, 'b': True, 'c': intact}
    assert code == (not intact)
