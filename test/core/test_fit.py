"""Which tasks can be served over a backbone, and `adapters verify`, which tells of them."""

from __future__ import annotations

from dataclasses import replace
import subprocess
import sys

import pytest
from roboadapt_ros.adapters.package import save_package, TaskPackage
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.cli import main as cli
from roboadapt_ros.encoder.fit import require_over
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.head import TorchHead
from tiny import camera, LAYOUT, make_backbone, make_task


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
    backbone = FrozenBackbone.hollow(make_backbone(tmp_path))
    for cameras in ((), (camera('scene'),)):
        require_over(make_task(tmp_path, 'pick', backbone.manifest, cameras=cameras), backbone)


def test_what_does_not_fit_is_named(tmp_path) -> None:
    backbone = FrozenBackbone.hollow(make_backbone(tmp_path))
    task = make_task(tmp_path, 'pick', backbone.manifest)
    with pytest.raises(ConfigError, match=r'head\.feature_size = 40: must be 64, for 2 cameras'):
        require_over(with_head(task, 40), backbone)
    wide = make_task(
        tmp_path, 'wide', backbone.manifest, layout=replace(LAYOUT, channels=(32,) * 4)
    )
    with pytest.raises(ConfigError, match=r'adapters\.channels.*over backbone tiny'):
        require_over(wide, backbone)


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
