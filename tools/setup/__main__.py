"""Makes a checkout ready to run: `python3 tools/setup` (or `make setup`).

It makes .venv, installs the pinned requirements, builds roboadapt_interfaces, installs
roboadapt_ros itself, editable, and exports the graphs of the shipped backbone. A step whose
inputs have not changed is skipped; one that was interrupted is done again. With a ROS 2
installation sourced it builds on that one, otherwise on the ROS 2 wheels of PyPI.

Standard library only, Python 3.10 syntax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import fcntl
from pathlib import Path
import sys
from typing import IO

from environment import Environment
import host
from interfaces import build_interfaces, interface_files
from progress import fingerprint, Log, SetupError, Stamps, Step

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / '.build' / 'setup.log'
SHIPPED_BACKBONE = 'vit_table_s'
_VERSION = sys.version.split()[0]


@dataclass(frozen=True)
class Task:
    """One step of the set-up, and what its result depends on."""

    name: str
    title: str
    fingerprint: str
    work: Callable[[Step], None]


def tasks(environment: Environment) -> list[Task]:
    """Return the steps that make an environment, in order."""
    ros = f'ROS 2 {environment.distro} as sourced' if environment.distro else 'ROS 2 Kilted'
    base = fingerprint(str(ROOT), sys.base_prefix, sys.version, environment.distro)
    requirements = environment.requirement_files()
    build_files = [
        *interface_files(ROOT),
        *(path for path in requirements if path.name != 'requirements.txt'),
        Path(__file__).with_name('interfaces.py'),
    ]
    backbone = ROOT / 'models' / 'backbones' / SHIPPED_BACKBONE
    released = [backbone / name for name in ('backbone.json', 'weights.safetensors')]
    graph_files = [*requirements, *released, ROOT / 'roboadapt_ros' / 'encoder' / 'graphs.py']
    project_files = [ROOT / name for name in ('setup.py', 'setup.cfg', 'pyproject.toml')]
    made = [
        Task('venv', f'Environment .venv (Python {_VERSION})', base, environment.create),
        Task(
            'requirements',
            f'Packages: torch, MuJoCo, {ros} and others (5 GB the first time)',
            fingerprint(base, files=requirements),
            environment.install_requirements,
        ),
        Task(
            'interfaces',
            'Messages: compiling roboadapt_interfaces (about a minute)',
            fingerprint(base, files=build_files),
            lambda step: build_interfaces(environment, step),
        ),
        Task(
            'project',
            'roboadapt_ros itself, editable',
            fingerprint(base, files=project_files),
            lambda step: environment.install(
                step, ['--no-deps', '--no-build-isolation', '--editable', str(ROOT)]
            ),
        ),
    ]
    if all(path.is_file() for path in released):  # a person may have removed it
        title = f'Graphs of {SHIPPED_BACKBONE}, and which engine is the faster one here'
        made.append(
            Task(
                'graphs',
                title,
                fingerprint(base, files=graph_files),
                lambda step: environment.export_graphs(step, backbone),
            )
        )
    return made


def prepare_host(log: Log) -> bool:
    """Install missing system packages and return whether none is missing now.

    Raises:
        SetupError: If one that can't be done without is missing and can't be installed.
    """
    missing = host.missing_packages()
    if not missing:
        return True
    names = ', '.join(package.name for package in missing)
    if host.can_install():
        step = Step(f'System packages: {names}', log)
        host.install_packages(missing, step, cwd=ROOT)
        step.done()
        return True
    essential = [package for package in missing if package.is_essential]
    command = f'Ask an administrator to run:\n    {host.apt_command(missing)}'
    if essential:
        raise SetupError(
            f'System packages are missing: {names}.', f'{command}\nThen run make setup again.'
        )
    purposes = ' and '.join(sorted({package.purpose for package in missing}))
    print(f'  Missing for {purposes}: {names}. {command}')
    return False


def set_up(environment: Environment, lock_fd: int) -> None:
    """Do the steps that are due.

    Raises:
        SetupError: If one fails.
    """
    stamps = Stamps(environment.path / '.setup' / 'stamps.json')
    # Packages that were half installed count as installed for uv and pip: start afresh.
    is_torn = stamps.is_unfinished('requirements') or not environment.python.exists()
    due = [
        task
        for task in tasks(environment)
        if is_torn or not stamps.is_current(task.name, task.fingerprint)
    ]
    if due and due[0].name == 'venv':
        due = tasks(environment)
        stamps.clear()
    if not due and stamps.is_current('host', _VERSION):
        return
    log = Log(LOG, lock_fd)
    try:
        print(f'Setting up {ROOT.name} (details in {LOG.relative_to(ROOT)})', flush=True)
        is_host_complete = prepare_host(log)
        for task in due:
            stamps.begin(task.name)
            step = Step(task.title, log)
            task.work(step)
            step.done()
            stamps.finish(task.name, task.fingerprint)
        if is_host_complete:
            stamps.finish('host', _VERSION)
        print('Set-up complete.', flush=True)
    except SetupError:
        if tail := log.tail():
            print(f'\n\nThe end of {LOG}:\n{tail}')
        raise


def acquire(lock: IO[str]) -> None:
    """Take the lock, waiting for a set-up that is running in the same checkout."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print('Another set-up runs in this checkout; waiting for it to end ...', flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def main() -> int:
    """Run the set-up and return the exit status."""
    try:
        host.check_platform()
        LOG.parent.mkdir(exist_ok=True)
        with LOG.with_name('setup.lock').open('w') as lock:
            acquire(lock)
            set_up(Environment(ROOT, host.sourced_ros()), lock.fileno())
    except SetupError as error:
        print(f'\nSet-up failed. {error}', flush=True)
        return 1
    except KeyboardInterrupt:
        print('\nInterrupted; make setup goes on from here.')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
