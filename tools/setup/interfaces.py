"""Builds roboadapt_interfaces into the virtual environment, so that nothing has to be sourced.

The messages go where the ROS wheels put theirs: libraries in .venv/lib, modules in site-packages.
The wheels set the library path of every Python of the environment; over a sourced ROS
installation, which does not know of .venv/lib, a start-up hook does the same.

Standard library only, Python 3.10 syntax.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
import shutil
import subprocess

from environment import Environment
from progress import SetupError, Step

_PACKAGE = 'roboadapt_interfaces'

_BUILD_REMEDY = (
    'The build of roboadapt_interfaces failed. After a change of its msg, srv or action files, '
    'look for the file named in the log; otherwise remove .build and .venv and run make setup.'
)

# The exported CMake files of the wheels name folders of the machine that built them.
_BUILD_IMAGE_NUMPY = re.compile(r'/opt/python/[^;"]*?/site-packages/numpy/_?core/include')
_BUILD_IMAGE_PYTHON = re.compile(r'/opt/python/[^/;"]+/include/python[0-9.]+')

_HOOK = '''\
"""Puts the message libraries of this environment on the library path, as ROS's own are.

The loader reads the path when a process starts, so the process is started once more.
"""

import os
import sys

_library = os.path.join(sys.prefix, 'lib')
_path = os.environ.get('LD_LIBRARY_PATH', '')
if _library not in _path.split(os.pathsep) and os.environ.get('ROS_DISTRO'):
    os.environ['LD_LIBRARY_PATH'] = _path + os.pathsep + _library if _path else _library
    os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join(
        filter(None, (sys.prefix, os.environ.get('AMENT_PREFIX_PATH')))
    )
    os.execv(sys.executable, sys.orig_argv)
'''


def interface_files(root: Path) -> list[Path]:
    """Return the files the build depends on."""
    package = root / _PACKAGE
    suffixes = ('.msg', '.srv', '.action')
    definitions = [path for path in package.rglob('*') if path.suffix in suffixes]
    return [*definitions, package / 'CMakeLists.txt', package / 'package.xml']


def build_interfaces(environment: Environment, step: Step) -> None:
    """Build, install and try the package.

    Raises:
        SetupError: If the build fails or what it made can't be imported.
    """
    _remove_previous(environment)
    if environment.distro:
        _write_hook(environment)
    else:
        _repair_exported_paths(environment)

    root, build = environment.root, environment.root / '.build' / 'interfaces'
    shutil.rmtree(build, ignore_errors=True)
    env = environment.variables()
    for name in ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH'):
        env[name] = os.pathsep.join(filter(None, (str(environment.path), env.get(name))))
    commands = (
        [
            *('cmake', '-S', root / _PACKAGE, '-B', build),
            f'-DCMAKE_INSTALL_PREFIX={environment.path}',
            f'-DPython3_EXECUTABLE={environment.python}',
            *('-DCMAKE_BUILD_TYPE=Release', '-DBUILD_TESTING=OFF'),
        ],
        ['cmake', '--build', build, '--parallel', str(min(os.cpu_count() or 1, 8))],
        ['cmake', '--install', build],
    )
    for command in commands:
        step.run(command, env=env, cwd=root, remedy=_BUILD_REMEDY)
    shutil.copy(build / 'install_manifest.txt', _manifest(environment))
    step.run(
        [environment.python, '-c', _trial(root)],
        env=environment.variables(),
        cwd=root / '.build',
        remedy=_BUILD_REMEDY,
    )


def _trial(root: Path) -> str:
    """Return a program that loads the type support of every message."""
    names = sorted(path.stem for path in (root / _PACKAGE / 'msg').glob('*.msg'))
    return (
        'from rclpy.type_support import check_for_type_support\n'
        f'from {_PACKAGE}.msg import {", ".join(names)}\n'
        f'for kind in ({", ".join(names)},): check_for_type_support(kind)\n'
    )


def _manifest(environment: Environment) -> Path:
    return environment.path / '.setup' / 'interfaces.txt'


def _remove_previous(environment: Environment) -> None:
    """Remove what the last build installed: a message that was renamed must not linger."""
    manifest = _manifest(environment)
    if not manifest.is_file():
        return
    for line in manifest.read_text().splitlines():
        path = Path(line)
        if environment.path in path.parents:
            path.unlink(missing_ok=True)
    manifest.unlink()


def _write_hook(environment: Environment) -> None:
    (environment.site_packages / 'roboadapt_library_path.py').write_text(_HOOK)
    # The name sorts before others: a process that starts anew should do so at once.
    hook = environment.site_packages / '_roboadapt_library_path.pth'
    hook.write_text('import roboadapt_library_path\n')


def _repair_exported_paths(environment: Environment) -> None:
    """Point the wheels' exported CMake files at this machine's Python and numpy headers.

    A file is replaced, never written in place: it may share its storage with uv's cache.
    """
    program = (
        'import numpy, sysconfig\n'
        'print(sysconfig.get_path("include"), numpy.get_include(), sep="\\n")'
    )
    found = subprocess.run(
        [environment.python, '-c', program],
        env=environment.variables(),
        capture_output=True,
        text=True,
    )
    if found.returncode != 0:
        raise SetupError(
            f'numpy can not be imported in .venv: {found.stderr.strip()[-300:]}',
            'Remove .venv and run make setup again.',
        )
    python_include, numpy_include = found.stdout.splitlines()
    for path in environment.path.glob('share/*/cmake/*.cmake'):
        text = path.read_text()
        repaired = _BUILD_IMAGE_NUMPY.sub(lambda _: numpy_include, text)
        repaired = _BUILD_IMAGE_PYTHON.sub(lambda _: python_include, repaired)
        if repaired != text:
            draft = path.with_suffix('.draft')
            draft.write_text(repaired)
            draft.replace(path)
