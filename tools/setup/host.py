"""What the host must bring: a Python, compilers, an off-screen OpenGL, perhaps a sourced ROS 2.

Standard library only, Python 3.10 syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import ctypes
from dataclasses import dataclass
import importlib.util
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig

from progress import SetupError, Step

PYTHONS = ((3, 10), (3, 11), (3, 12))


def check_platform() -> None:
    """Go on only where ROS 2 and its packages run, with another Python where this one is wrong.

    Raises:
        SetupError: On another system than Linux, or without a Python from 3.10 to 3.12.
    """
    if not sys.platform.startswith('linux'):
        raise SetupError(
            f'This is {sys.platform}; the ROS 2 packages are for Linux.',
            'Use a Linux machine, a container or WSL 2.',
        )
    if sys.version_info[:2] not in PYTHONS:
        names = [f'python{major}.{minor}' for major, minor in PYTHONS]
        for name in reversed(names):
            if _runs(name):
                os.execvp(name, [name, *sys.argv])
        raise SetupError(
            f'This is Python {sys.version.split()[0]}; ROS 2 and its packages need 3.10 to 3.12.',
            f'Install one of {", ".join(names)}; where it is not on the PATH, '
            'run: make PYTHON=/path/to/python setup',
        )


def _runs(python: str) -> bool:
    try:
        return subprocess.run([python, '-c', ''], capture_output=True).returncode == 0
    except OSError:
        return False


def sourced_ros() -> str:
    """Return the name of the sourced ROS 2 distribution that this Python can use, or ''."""
    distro = os.environ.get('ROS_DISTRO', '')
    if not distro:
        return ''
    can_import = subprocess.run([sys.executable, '-c', 'import rclpy'], capture_output=True)
    if can_import.returncode != 0:
        print(
            f'  ROS 2 {distro} is sourced, but {sys.executable} cannot import rclpy: '
            'the ROS 2 wheels are used instead.'
        )
        return ''
    return distro


@dataclass(frozen=True)
class SystemPackage:
    """A Debian or Ubuntu package, and how to see that the host has what it gives."""

    name: str
    is_present: Callable[[], bool]
    purpose: str
    is_essential: bool = True


def missing_packages() -> list[SystemPackage]:
    """Return what the host lacks."""
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    header = Path(sysconfig.get_path('include'), 'Python.h')
    wanted = (
        SystemPackage('g++', lambda: _has_program('g++'), 'message libraries'),
        SystemPackage('cmake', lambda: _has_program('cmake'), 'message libraries'),
        SystemPackage('make', lambda: _has_program('make'), 'message libraries'),
        SystemPackage(f'{version}-dev', header.is_file, 'message libraries'),
        SystemPackage(
            f'{version}-venv',
            lambda: importlib.util.find_spec('ensurepip') is not None,
            'the environment .venv',
        ),
        SystemPackage('libegl1', lambda: _loads('libEGL.so.1'), 'camera rendering', False),
        SystemPackage(
            'libopengl0',
            lambda: _loads('libOpenGL.so.0') or _loads('libGL.so.1'),
            'camera rendering',
            False,
        ),
        SystemPackage('libgl1-mesa-dri', _has_opengl_driver, 'camera rendering', False),
    )
    return [package for package in wanted if not package.is_present()]


def _has_program(name: str) -> bool:
    return shutil.which(name) is not None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_opengl_driver() -> bool:
    patterns = ('lib*/*/dri/*_dri.so', 'lib*/dri/*_dri.so', 'lib/*/libgallium*.so*')
    has_mesa = any(True for pattern in patterns for _ in Path('/usr').glob(pattern))
    return has_mesa or Path('/dev/nvidiactl').exists()


def install_packages(packages: Sequence[SystemPackage], step: Step, *, cwd: Path) -> None:
    """Install system packages with apt.

    Raises:
        SetupError: If apt fails.
    """
    names = [package.name for package in packages]
    env = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    prefix = _privilege()
    assert prefix is not None  # mypy; see can_install
    remedy = f'Install them by hand: {apt_command(packages)}'
    step.run([*prefix, 'apt-get', 'update'], env=env, cwd=cwd, remedy=remedy)
    install = ['apt-get', 'install', '-y', '--no-install-recommends', *names]
    step.run([*prefix, *install], env=env, cwd=cwd, remedy=remedy)


def can_install() -> bool:
    """Return whether this user may install system packages without being asked."""
    return _has_program('apt-get') and _privilege() is not None


def apt_command(packages: Sequence[SystemPackage]) -> str:
    """Return the command a person would type."""
    return 'sudo apt-get install -y ' + ' '.join(package.name for package in packages)


def _privilege() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if not _has_program('sudo'):
        return None
    is_passwordless = subprocess.run(['sudo', '-n', 'true'], capture_output=True).returncode == 0
    return ['sudo', '-n'] if is_passwordless else None
