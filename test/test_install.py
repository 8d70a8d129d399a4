"""What an installation must hold: every data file, the executables, exact pins, one version."""

from __future__ import annotations

import ast
from importlib import metadata, util
from pathlib import Path
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import roboadapt_ros
from roboadapt_ros.bringup import paths
from roboadapt_ros.errors import BringupError

ROOT = Path(__file__).resolve().parents[1]
INSTALL_TIMEOUT_S = 120
PINNED_FILES = ('requirements.txt', 'requirements-ros.txt', 'requirements-assets.txt')


@pytest.fixture(scope='module')
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which setup.py has installed its data files."""
    folder = tmp_path_factory.mktemp('prefix')
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'install_data', '--install-dir', str(folder)],
        cwd=ROOT,
        check=True,
        timeout=INSTALL_TIMEOUT_S,
    )
    return folder


@pytest.mark.parametrize('tree', ['launch', 'config', 'models'])
def test_every_data_file_is_installed_unchanged(prefix: Path, tree: str):
    """Graphs exported on this machine are not part of the package, and stay out of git."""
    share = prefix / 'share' / 'roboadapt_ros'
    wanted = {
        path.relative_to(ROOT)
        for path in (ROOT / tree).rglob('*')
        if path.is_file() and path.suffix != '.pyc' and path.parent.name != 'onnx'
    }
    installed = {path.relative_to(share) for path in (share / tree).rglob('*') if path.is_file()}
    assert installed == wanted, f'a rig would lack, or have too many of: {installed ^ wanted}'
    for path in wanted:
        assert (share / path).read_bytes() == (ROOT / path).read_bytes(), path


def test_ament_finds_the_package(prefix: Path):
    assert (prefix / 'share/ament_index/resource_index/packages/roboadapt_ros').is_file()
    assert (prefix / 'share/roboadapt_ros/package.xml').is_file()


def test_share_dir_is_the_checkout_when_running_from_it():
    assert paths.share_dir() == ROOT
    assert (paths.config_dir() / 'fastdds.xml').is_file()


def test_share_dir_is_the_installed_tree_elsewhere(prefix: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paths, '__file__', str(prefix / 'lib/roboadapt_ros/bringup/paths.py'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{prefix}')
    assert paths.config_dir() == prefix / 'share/roboadapt_ros/config'


def test_share_dir_names_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(paths, '__file__', str(tmp_path / 'a/b/paths.py'))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    monkeypatch.setenv('AMENT_PREFIX_PATH', '/nowhere')
    with pytest.raises(BringupError, match='/nowhere'):
        paths.share_dir()


def test_every_executable_has_a_main():
    scripts = [
        entry
        for entry in metadata.distribution('roboadapt_ros').entry_points
        if entry.group == 'console_scripts'
    ]
    assert 'roboadapt' in {entry.name for entry in scripts}
    for entry in scripts:
        spec = util.find_spec(entry.module)
        assert spec is not None and spec.origin is not None, f'{entry.name}: no {entry.module}'
        names = {
            getattr(node, 'name', None) for node in ast.parse(Path(spec.origin).read_text()).body
        }
        assert entry.attr in names, f'{entry.name}: no {entry.attr}() in {entry.module}'


@pytest.mark.parametrize('name', PINNED_FILES)
def test_requirements_are_pinned_exactly(name: str):
    for line in (ROOT / name).read_text().splitlines():
        requirement = line.split('#')[0].strip()
        if requirement:
            assert re.match(r'[A-Za-z0-9-]+(\[\w+\])?==[0-9.]+(; .+)?$', requirement), requirement


def test_lock_holds_every_pin():
    locked = set(
        re.findall(r'^([a-z0-9-]+==[0-9.]+)', read('requirements-lock.txt'), re.MULTILINE)
    )
    for name in ('requirements.txt', 'requirements-ros.txt'):
        for pinned in re.findall(
            r'^([A-Za-z0-9-]+)(?:\[\w+\])?(==[0-9.]+)', read(name), re.MULTILINE
        ):
            assert ''.join(pinned).lower() in locked, f'{pinned} is not locked: run make lock'


def test_one_opencv_provides_cv2():
    names = {found.metadata['Name'].lower() for found in metadata.distributions()}
    assert len({name for name in names if name.startswith('opencv')}) == 1


def test_versions_agree():
    version = roboadapt_ros.__version__
    for manifest in ('package.xml', 'roboadapt_interfaces/package.xml'):
        assert ElementTree.parse(ROOT / manifest).findtext('version') == version, manifest
    assert f"version='{version}'" in read('setup.py')


def read(name: str) -> str:
    """Return the text of a file of the checkout."""
    return (ROOT / name).read_text()
