"""`roboadapt collect|pretrain|train`: from demonstrations to a task package."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import dataclasses
from functools import partial
from importlib import import_module
import inspect
from pathlib import Path
from typing import Any, TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.output import progress_line, require_folder, say
from roboadapt_ros.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.contract import Contract


def _command(
    module: str,
    function: str,
    config: str,
    done: Callable[[Any, Any], str],
    *,
    takes_version: bool = False,
) -> Command:
    """Return a command that is one function of `roboadapt_ros.learning` and its settings.

    Args:
        module: Module's name; imported when the command is used, because it loads torch.
        function: The function; takes the settings, a contract and what to tell
            a person with where it asks for them, and a progress callback.
        config: Dataclass of the settings.
        done: Settings and result to the closing line.
        takes_version: Whether 'TASK@VERSION' names a task.
    """

    def arguments(parser: argparse.ArgumentParser) -> None:
        from roboadapt_ros.cli.options import add_options
        from roboadapt_ros.learning import settings

        add_options(parser, getattr(settings, config))

    def run(options: argparse.Namespace, console: Console) -> int:
        from roboadapt_ros.cli.options import from_options
        from roboadapt_ros.learning import settings as configurations

        settings = _named(from_options(getattr(configurations, config), options))
        _check_task(getattr(settings, 'task', None), takes_version=takes_version)
        for folder in _written_to(settings):
            require_folder(folder)
        work = getattr(import_module(module), function)
        with progress_line(console) as progress:
            wanted = inspect.signature(work).parameters
            given: dict[str, Any] = {}
            if 'contract' in wanted:
                given['contract'] = _rig_contract()
            if 'tell' in wanted:
                given['tell'] = partial(say, console)
            result = work(settings, progress=progress, **given)
        say(console, done(settings, result))
        return 0

    return Command(arguments=arguments, run=run)


def _named(settings: Any) -> Any:
    """Return settings in which every package's folder has a name: '.' is the one we are in."""
    paths = {name: getattr(settings, name, None) for name in ('backbone', 'start', 'out')}
    nameless = {
        name: path.resolve()
        for name, path in paths.items()
        if path is not None and path.name in ('', '..')
    }
    return dataclasses.replace(settings, **nameless)


def _written_to(settings: Any) -> list[Path]:
    """Return the folders that must be writable: the one asked for, and a package to replace."""
    package = settings.out / getattr(settings, 'task', '')
    return [settings.out, package] if package.exists() else [settings.out]


def _check_task(task: str | None, *, takes_version: bool) -> None:
    """Raise `UnknownNameError` for a task that the simulator does not have."""
    from roboadapt_ros.adapters.package import VERSION_MARK
    from roboadapt_ros.sim.tasks import TASKS

    name = task.partition(VERSION_MARK)[0] if task and takes_version else task
    if name is not None and name not in TASKS:
        raise UnknownNameError('task', name, TASKS)


def _rig_contract() -> Contract:
    """Return the contract of what the simulated rig records."""
    from roboadapt_ros.evaluation.loop import make_sim_rig
    from roboadapt_ros.learning.collect import rig_contract

    rig = make_sim_rig()
    try:
        return rig_contract(rig)
    finally:
        rig.close()


def _collected(settings: Any, result: tuple[int, int]) -> str:
    on_disk, successes = result
    return f'{on_disk} episodes in {settings.out} ({successes} successes recorded now)'


def _written(settings: Any, result: Any) -> str:
    folder: Path = getattr(result, 'path', settings.out)
    return f'Wrote {folder} (digest {result.digest[:12]})'


collect_command = _command(
    'roboadapt_ros.learning.collect', 'collect', 'CollectConfig', _collected
)
pretrain_command = _command(
    'roboadapt_ros.learning.pretrain', 'pretrain', 'PretrainConfig', _written
)
train_command = _command(
    'roboadapt_ros.learning.train', 'train', 'TrainConfig', _written, takes_version=True
)
