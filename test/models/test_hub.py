"""Task packages on a hub: pushed, pulled back the same, and never installed half or unchecked."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
import subprocess
import sys

from hub_server import running_hub, TOKEN
from huggingface_hub import constants
import numpy as np
import pytest
from roboadapt_ros.adapters import hub as hub_module
from roboadapt_ros.adapters.hub import install, is_package_file, pull, push
from roboadapt_ros.adapters.package import load_package
from roboadapt_ros.cli import main as cli
from roboadapt_ros.errors import ConfigError, HubError, PackageError, RoboAdaptError
from tiny import make_backbone, make_task
import yaml

ROOT = Path(__file__).parents[2]
REPOSITORY = 'someone/pick'


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    with running_hub() as server:
        yield server


@pytest.fixture
def task(tmp_path) -> Path:
    package = make_task(tmp_path, 'pick', make_backbone(tmp_path))
    (package.path / 'reference_scene.png').write_bytes(b'a picture')
    (package.path / 'notes.txt').write_text('stays here')
    return package.path


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def test_what_is_pushed_is_pulled_back_bit_for_bit(hub, task, tmp_path) -> None:
    url = push(task, REPOSITORY, endpoint=hub.address)
    assert url.startswith(hub.address)
    assert hub.private[REPOSITORY], 'a repository made here is private unless asked otherwise'
    found = pull(REPOSITORY, tmp_path / 'elsewhere', endpoint=hub.address)
    assert found.path == tmp_path / 'elsewhere' / 'pick'
    assert found.digest == load_package(task).digest
    names = {'manifest.json', 'weights.safetensors', 'card.md', 'reference_scene.png'}
    assert contents(found.path) == {n: (task / n).read_bytes() for n in names}
    assert set(hub.repositories[REPOSITORY]) == names | {'README.md'}
    assert [p.name for p in (tmp_path / 'elsewhere').iterdir()] == ['pick'], 'nothing left over'


def test_the_readme_is_the_card_under_metadata(hub, task) -> None:
    push(task, REPOSITORY, endpoint=hub.address)
    _, metadata, card = hub.repositories[REPOSITORY]['README.md'].decode().split('---\n', 2)
    fields = yaml.safe_load(metadata)
    assert fields['license'] == 'apache-2.0'
    assert fields['base_model'] == 'tiny'
    assert {'robotics', 'adapters'} <= set(fields['tags'])
    assert fields['roboadapt']['digest'] == load_package(task).digest
    assert card.strip() == (task / 'card.md').read_text().strip()


def test_a_damaged_package_is_not_pushed(hub, task) -> None:
    (task / 'weights.safetensors').write_bytes(b'damaged')
    with pytest.raises(PackageError, match='truncated or corrupted'):
        push(task, REPOSITORY, endpoint=hub.address)
    assert not hub.repositories


@pytest.mark.parametrize('name', ['card.md', 'reference_scene.png'])
def test_a_link_out_of_a_package_is_not_followed(hub, task, tmp_path, name: str) -> None:
    """What it leads to would be sent to the hub."""
    secret = tmp_path / 'secret'
    secret.write_text('not for everyone')
    (task / name).unlink()
    (task / name).symlink_to(secret)
    with pytest.raises(PackageError, match=rf'{name}: is a link out of the package'):
        push(task, REPOSITORY, endpoint=hub.address)
    assert not hub.repositories


def test_a_card_that_is_not_text_is_refused_by_name(hub, task) -> None:
    (task / 'card.md').write_bytes(b'# pick \xff')
    with pytest.raises(PackageError, match=r'pick/card\.md: is not text.*UTF-8'):
        push(task, REPOSITORY, endpoint=hub.address)
    assert not hub.repositories


def test_without_a_right_token_the_hub_refuses(hub, task, monkeypatch) -> None:
    monkeypatch.setenv('HF_TOKEN', 'hf_another')
    with pytest.raises(HubError, match='hf auth login'):
        push(task, REPOSITORY, endpoint=hub.address)


def test_a_repository_that_is_not_there_is_named(hub, tmp_path) -> None:
    with pytest.raises(HubError, match='someone/absent'):
        pull('someone/absent', tmp_path / 'tasks', endpoint=hub.address)
    with pytest.raises(HubError, match='not a name'):
        pull('not a name', tmp_path / 'tasks', endpoint=hub.address)
    assert not list((tmp_path / 'tasks').iterdir())


def test_a_hub_that_does_not_answer_is_an_error_of_ours(tmp_path) -> None:
    with running_hub() as server:
        address = server.address
    with pytest.raises(HubError, match='network'):
        pull(REPOSITORY, tmp_path / 'tasks', endpoint=address)


def test_only_files_of_a_package_are_fetched(hub, task, tmp_path) -> None:
    push(task, REPOSITORY, endpoint=hub.address)
    hub.repositories[REPOSITORY] |= {
        '../../evil.json': b'{}',
        'sub/manifest.json': b'{}',
        'reference_../x.png': b'',
        'run.py': b'raise SystemExit',
        '.gitattributes': b'',
    }
    before = contents(tmp_path)
    found = pull(REPOSITORY, tmp_path / 'elsewhere', endpoint=hub.address)
    assert set(hub.fetched) <= {name for name in contents(task) if is_package_file(name)}
    added = contents(tmp_path).keys() - before.keys()
    assert {Path(name).parent for name in added} == {found.path.relative_to(tmp_path)}


@pytest.mark.parametrize(
    'change',
    [
        lambda files: files.pop('weights.safetensors'),
        lambda files: files.pop('manifest.json'),
        lambda files: files.update({'weights.safetensors': b'\0' * 100}),
        lambda files: files.update({'manifest.json': b'{}'}),
        lambda files: files.update(_with(files, task='../../pick')),
        lambda files: files.update(_with(files, task='/tmp/pick')),
        lambda files: files.update(_with(files, version='../x')),
        lambda files: files.update(_with(files, weights_sha256='0' * 64)),
    ],
)
def test_a_repository_with_a_broken_package_changes_nothing(hub, task, tmp_path, change) -> None:
    push(task, REPOSITORY, endpoint=hub.address)
    change(hub.repositories[REPOSITORY])
    before = contents(tmp_path)
    with pytest.raises(RoboAdaptError):
        pull(REPOSITORY, tmp_path / 'tasks', force=True, endpoint=hub.address)
    assert contents(tmp_path) == before


def _with(files: dict[str, bytes], **fields: object) -> dict[str, bytes]:
    manifest = json.loads(files['manifest.json'])
    return {'manifest.json': json.dumps({**manifest, **fields}).encode()}


def test_a_file_too_large_is_not_fetched(hub, task, tmp_path) -> None:
    push(task, REPOSITORY, endpoint=hub.address)
    hub.sizes['weights.safetensors'] = 2**40
    with pytest.raises(PackageError, match='at most'):
        pull(REPOSITORY, tmp_path / 'elsewhere', endpoint=hub.address)
    assert 'weights.safetensors' not in hub.fetched


def test_another_package_of_the_name_is_replaced_only_by_force(hub, task, tmp_path) -> None:
    push(task, REPOSITORY, endpoint=hub.address)
    tasks = tmp_path / 'other'
    other = make_task(tmp_path / 'made', 'pick', make_backbone(tmp_path / 'made'), seed=9)
    tasks.mkdir()
    other.path.rename(tasks / 'pick')
    with pytest.raises(PackageError, match='--force'):
        pull(REPOSITORY, tasks, endpoint=hub.address)
    assert load_package(tasks / 'pick').digest == other.digest
    found = pull(REPOSITORY, tasks, force=True, endpoint=hub.address)
    assert found.digest == load_package(tasks / 'pick').digest != other.digest
    again = pull(REPOSITORY, tasks, endpoint=hub.address)
    assert again.digest == found.digest, 'the same package again is no conflict'


@pytest.mark.parametrize('name', ['fetched', 'made', 'package'])
def test_a_task_may_have_the_name_of_a_folder_that_pulling_makes(hub, tmp_path, name) -> None:
    package = make_task(tmp_path, name, make_backbone(tmp_path))
    push(package.path, REPOSITORY, endpoint=hub.address)
    found = pull(REPOSITORY, tmp_path / 'elsewhere', endpoint=hub.address)
    assert (found.task, found.digest) == (name, package.digest)
    assert [p.name for p in (tmp_path / 'elsewhere').iterdir()] == [name]


@pytest.mark.parametrize('where', ['hf_hub_download', 'shutil.copyfile'])
def test_a_full_disk_is_no_fault_of_the_hub(hub, task, tmp_path, monkeypatch, where: str) -> None:
    push(task, REPOSITORY, endpoint=hub.address)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'a file')

    monkeypatch.setattr(f'{hub_module.__name__}.{where}', fail)
    with pytest.raises(OSError, match='No space left'):
        pull(REPOSITORY, tmp_path / 'elsewhere', endpoint=hub.address)
    assert not list((tmp_path / 'elsewhere').iterdir())


def test_versions_stand_beside_each_other(hub, task, tmp_path) -> None:
    push(task, REPOSITORY, endpoint=hub.address)
    hub.repositories[REPOSITORY] |= _with(hub.repositories[REPOSITORY], version='2')
    found = pull(REPOSITORY, task.parent, endpoint=hub.address)
    assert found.path.name == 'pick@2'
    assert load_package(task).task == 'pick'


def test_a_folder_of_a_package_is_installed_under_its_name(task, tmp_path) -> None:
    folder = tmp_path / 'snapshot'
    task.rename(folder)
    found = install(folder, task.parent)
    assert found.path == task
    assert all(np.isfinite(t).all() for t in found.tensors.values())
    bare = tmp_path / 'bare'
    bare.mkdir()
    with pytest.raises((ConfigError, PackageError)):
        install(bare, task.parent)


def test_the_command_line_pushes_and_pulls(hub, task, tmp_path, capsys) -> None:
    models = ['--models', str(tmp_path)]
    push_words = ['adapters', 'push', 'pick', REPOSITORY, '--endpoint', hub.address]
    assert cli.main([*push_words, *models]) == 0
    assert hub.address in capsys.readouterr().out
    robot = tmp_path / 'robot'
    words = ['adapters', 'pull', REPOSITORY, '--models', str(robot)]
    done = subprocess.run(
        [sys.executable, '-m', 'roboadapt_ros.cli.main', *words],
        env={**os.environ, 'HF_ENDPOINT': hub.address, 'HF_HUB_OFFLINE': '0'},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'Pulled pick' in done.stdout and "backbone 'tiny' is not here" in done.stdout
    assert load_package(robot / 'tasks' / 'pick').digest == load_package(task).digest
    assert cli.main(['adapters', 'push', 'pik', REPOSITORY, *models]) == 2
    assert "Did you mean 'pick'" in capsys.readouterr().err
