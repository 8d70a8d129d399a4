"""What commands that need a graph share: its options, and a graph for the length of a block."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
from typing import TYPE_CHECKING

from roboadapt_ros.cli.options import add_models, domain, models_folder
from roboadapt_ros.cli.output import require_folder
from roboadapt_ros.errors import BringupError, ConfigError

if TYPE_CHECKING:
    from roboadapt_ros.bringup.rig import RigConfig
    from roboadapt_ros.bringup.supervisor import Graph
    from roboadapt_ros.cli.output import ProgressLine
    from roboadapt_ros.learning.progress import Tell

RUNS = Path('runs')


def add_fake(parser: argparse.ArgumentParser) -> None:
    """Add the simulation of a real rig."""
    parser.add_argument(
        '--fake',
        action='store_true',
        help='simulate the robot, its driver, its controller and its cameras under the names of '
        'the rig file',
    )


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """Add where runs go and what is served."""
    parser.add_argument(
        '--rig',
        default='sim',
        metavar='RIG',
        help='file in config/rigs, or a path to one (default: sim)',
    )
    add_fake(parser)
    add_models(parser)
    parser.add_argument(
        '--runs',
        type=Path,
        default=RUNS,
        metavar='PATH',
        help='folder for logs and reports (default: runs)',
    )
    parser.add_argument(
        '--domain',
        type=domain,
        metavar='N',
        help='ROS domain (default: ROS_DOMAIN_ID, or one that is free)',
    )


def chosen_rig(options: argparse.Namespace, tell: Tell, *, light: bool = False) -> RigConfig:
    """Return the rig of `--rig` and `--fake`.

    Args:
        options: As `add_graph_options` made them.
        tell: Told each package that a fake lacks here, and what is left out for it.
        light: Whether a fake's driver reports less often than the real one.

    Raises:
        UnknownNameError: No such rig.
        ConfigError: It is wrong, or one that can't be simulated.
    """
    from roboadapt_ros.bringup.fake import fake_rig, LIGHT_RATES, RATES
    from roboadapt_ros.bringup.rig import load_rig

    rig = load_rig(options.rig)
    if options.fake:
        rig, lacks = fake_rig(rig, rates=LIGHT_RATES if light else RATES)
        for lack in lacks:
            tell(f'Not installed: {lack}')
    return rig


@contextmanager
def graph_up(
    options: argparse.Namespace,
    *,
    log_dir: Path,
    progress: ProgressLine,
    tasks: Sequence[str],
    adapt: Callable[[RigConfig], RigConfig] = lambda rig: rig,
) -> Iterator[Graph]:
    """Give a running graph of a simulated rig, in a ROS domain of its own.

    Args:
        options: As `add_graph_options` made them.
        log_dir: Folder for the logs of the processes.
        progress: Told while it comes up.
        tasks: Task packages that must be there; checked before anything starts.
        adapt: Changes the rig's settings for this graph.

    Raises:
        ConfigError: The rig is not simulated, or the folder of the runs can't be written to.
        UnknownNameError: A rig or a task that does not exist.
        BringupError: A process ended; the message has the end of its log.
    """
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.bringup.supervisor import Graph

    rig = chosen_rig(options, progress.note, light=True)
    if not rig.simulated:
        raise ConfigError(
            '--rig',
            options.rig,
            'must be a simulated rig, or a real one with --fake; this command moves it',
        )
    library = TaskLibrary(models_folder(options) / 'tasks')
    for task in tasks:
        library.path(task)
    require_folder(options.runs, option='--runs')
    graph = Graph(
        adapt(rig),
        log_dir=log_dir,
        domain_id=own_domain(options.domain),
        models_dir=options.models,
        progress=lambda step: progress(0, 0, step),
        images=True,
    )
    with graph:
        try:
            yield graph
        except BringupError:
            # A process that has ended explains more than what was then waited for in vain.
            graph.check()
            raise


def own_domain(given: int | None) -> int:
    """Return the domain given, the environment's, or one that nobody uses."""
    from roboadapt_ros.bringup.environment import find_free_domain

    if given is not None:
        return given
    named = os.environ.get('ROS_DOMAIN_ID', '')
    return int(named) if named.isdigit() else find_free_domain()
