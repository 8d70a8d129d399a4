"""The virtual environment and what is installed into it with uv, or with pip where uv fails.

Standard library only, Python 3.10 syntax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import re
import subprocess
import sys

from progress import SetupError, Step

# The make that runs this program must not steer the one that compiles the messages.
_MAKE_VARIABLES = ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL')

# Another environment or installation must not shine through. The last one is the mark by which
# the ROS wheels know that a parent process has set their library path.
_FOREIGN_VARIABLES = (
    'PYTHONHOME',
    'PYTHONPATH',
    'VIRTUAL_ENV',
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
)

_NETWORK_REMEDY = (
    'Check the network and the package index (pip config list), then run make setup again; '
    'what was downloaded is kept.'
)


@dataclass(frozen=True)
class Environment:
    """The .venv of a checkout."""

    root: Path
    distro: str
    """The sourced ROS 2 distribution it builds on; '' for the wheels."""

    @property
    def path(self) -> Path:
        """The environment's folder."""
        return self.root / '.venv'

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.path / 'bin' / 'python'

    @property
    def site_packages(self) -> Path:
        """The folder its packages are in."""
        version = f'python{sys.version_info.major}.{sys.version_info.minor}'
        return self.path / 'lib' / version / 'site-packages'

    def variables(self) -> dict[str, str]:
        """Return the variables for programs that work on this environment."""
        foreign = _MAKE_VARIABLES if self.distro else (*_MAKE_VARIABLES, *_FOREIGN_VARIABLES)
        env = {name: value for name, value in os.environ.items() if name not in foreign}
        env['PATH'] = f'{self.path / "bin"}{os.pathsep}{env.get("PATH", os.defpath)}'
        return env

    def create(self, step: Step) -> None:
        """Make the environment anew.

        Raises:
            SetupError: If venv fails.
        """
        base = getattr(sys, '_base_executable', sys.executable)  # never this very environment
        command: list[str | Path] = [base, '-m', 'venv', '--clear']
        if self.distro:
            command.append('--system-site-packages')
        step.run(
            [*command, self.path],
            env=self.variables(),
            cwd=self.root,
            remedy=f'Check that {base} has the venv module (Debian: python3-venv).',
        )

    def requirement_files(self) -> list[Path]:
        """Return the files of pinned requirements that apply, the lock last."""
        names = ['requirements.txt', 'requirements-assets.txt', 'requirements-lock.txt']
        if not self.distro:
            names.insert(1, 'requirements-ros.txt')
        return [self.root / name for name in names]

    def install_requirements(self, step: Step) -> None:
        """Install the pinned requirements.

        Raises:
            SetupError: If neither uv nor pip can.
        """
        *with_needs, assets, lock = self.requirement_files()
        named = [word for path in with_needs for word in ('-r', str(path))]
        self._install_uv(step)
        self.install(step, [*named, '-c', str(lock)])
        self.install(step, ['--no-deps', '-r', str(assets)])
        # torch and torchvision of different builds install side by side and fail on import. What
        # is imported here is also left as bytecode, which uv leaves out, and which many containers
        # tell Python not to write: without it every process would compile torch and timm, 15 s.
        trial = 'import torch, torchvision, timm, onnxruntime, mujoco, pinocchio, cv2'
        step.run(
            [self.python, '-c', trial],
            env={**self.variables(), 'PYTHONDONTWRITEBYTECODE': ''},
            cwd=self.root,
            remedy='A package does not load; see above. Remove .venv and run make setup again.',
        )

    def install(self, step: Step, arguments: Sequence[str]) -> None:
        """Install with uv, or with pip where uv is missing or fails.

        Raises:
            SetupError: If pip fails as well.
        """
        env = self.variables()
        uv = self.path / 'bin' / 'uv'
        if uv.exists():
            command = [uv, 'pip', 'install', '--python', self.python, *arguments]
            try:
                step.run(command, env={**_uv_variables(env), **env}, cwd=self.root, remedy='')
                return
            except SetupError:
                print('    uv could not; trying again with pip, which takes longer', flush=True)
        command = [self.python, '-m', 'pip', 'install', *arguments]
        step.run(command, env=env, cwd=self.root, remedy=_NETWORK_REMEDY)

    def export_graphs(self, step: Step, backbone: Path) -> None:
        """Choose the engine of a backbone and export its graphs, which its first start would do.

        Where that fails, the first start says why.
        """
        command = [self.python, '-m', 'roboadapt_ros.encoder.race', backbone, '1']
        try:
            step.run(command, env=self.variables(), cwd=self.root, remedy='')
        except SetupError:
            print('    not exported (see the log); the encoder will try at its start', flush=True)

    def _install_uv(self, step: Step) -> None:
        pins = (self.root / 'requirements.txt').read_text()
        found = re.search(r'^uv==\S+', pins, re.MULTILINE)
        if found is None:
            return
        command = [self.python, '-m', 'pip', 'install', found.group()]
        try:
            step.run(command, env=self.variables(), cwd=self.root, remedy='')
        except SetupError:
            print('    no uv for this machine; using pip, which takes longer', flush=True)


def _uv_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return pip's index settings in uv's words: uv does not read pip's."""
    listed = subprocess.run(
        [sys.executable, '-m', 'pip', 'config', 'list'],
        env=dict(env),
        capture_output=True,
        text=True,
    ).stdout
    pattern = r"^\S+?\.(index-url|extra-index-url|cert)='(.*)'$"
    settings = dict(re.findall(pattern, listed, re.MULTILINE))
    extra = [url for url in settings.get('extra-index-url', '').split() if url.startswith('http')]
    variables = {
        'UV_DEFAULT_INDEX': settings.get('index-url', ''),
        'UV_INDEX': ' '.join(extra),
        'UV_INDEX_STRATEGY': 'unsafe-best-match' if extra else '',  # as pip does
        'SSL_CERT_FILE': settings.get('cert', ''),
    }
    return {name: value for name, value in variables.items() if value}
