"""The two commands of the README, and what set-up says where it can't go on."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 120
needs_checkout = pytest.mark.skipif(
    not (ROOT / '.venv').is_dir(), reason='not a checkout that was set up by make'
)
THE_PROGRAM = """
import importlib.util
import sys
import tempfile
sys.path.insert(0, 'tools/setup')
from environment import Environment
import host
from progress import Log, SetupError
spec = importlib.util.spec_from_file_location('setup_program', 'tools/setup/__main__.py')
program = importlib.util.module_from_spec(spec)
sys.modules['setup_program'] = program
spec.loader.exec_module(program)
"""
WITHOUT_A_COMPILER = """
host._privilege = lambda: None
host._has_program = lambda name: name not in {missing!r}
host._loads = lambda library: {loads!r}
host._has_opengl_driver = lambda: {loads!r}
with tempfile.TemporaryDirectory() as folder, open(folder + '/lock', 'w') as lock:
    try:
        print('goes on' if program.prepare_host(Log(program.Path(folder, 'log'), lock.fileno()))
              else 'goes on without')
    except SetupError as error:
        print('stops:', *error.args)
        print(error.remedy)
"""


def make(*words: str) -> subprocess.CompletedProcess[str]:
    # Of the make that may run these tests nothing is inherited.
    env = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}
    return subprocess.run(
        ['make', *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@needs_checkout
def test_set_up_again_has_nothing_to_do_and_says_nothing():
    assert make('setup').returncode == 0  # a checkout may have changed since
    again = make('--no-print-directory', 'setup')
    assert (again.returncode, again.stdout, again.stderr) == (0, '', '')


@needs_checkout
@pytest.mark.parametrize(
    ('command', 'last'),
    [('demo', '.venv/bin/roboadapt demo'), ('test', '.venv/bin/python -m pytest test')],
)
def test_a_command_sets_up_first_and_then_runs(command, last):
    lines = make('--no-print-directory', '-n', command).stdout.splitlines()
    assert 'tools/setup' in lines[0]
    assert lines[-1] == last


WITHOUT_THE_BACKBONE = """
program.SHIPPED_BACKBONE = sys.argv[1]
print(*(task.name for task in program.tasks(Environment(program.ROOT, ''))))
"""


@pytest.mark.parametrize(('backbone', 'last'), [('vit_table_s', 'graphs'), ('gone', 'project')])
def test_graphs_are_exported_where_the_shipped_backbone_is(backbone, last):
    done = subprocess.run(
        [sys.executable, '-c', THE_PROGRAM + WITHOUT_THE_BACKBONE, backbone],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stdout.split()[-1] == last


def host_without(missing: tuple[str, ...], *, loads: bool) -> str:
    program = THE_PROGRAM + WITHOUT_A_COMPILER.format(missing=missing, loads=loads)
    done = subprocess.run(
        [sys.executable, '-c', program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_compiler_and_the_right_to_install_one_set_up_names_the_packages():
    said = host_without(('g++', 'c++', 'gcc', 'cc', 'make', 'cmake'), loads=True)
    assert said.startswith('stops: System packages are missing:')
    assert 'sudo apt-get install -y' in said
    assert 'Then run make setup again' in said


def test_without_what_draws_set_up_goes_on_and_names_the_packages():
    said = host_without((), loads=False)
    assert 'Missing for camera rendering' in said
    assert 'libgl1-mesa-dri' in said
    assert 'goes on without' in said
