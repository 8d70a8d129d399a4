"""`roboadapt up`: the graph of a rig, until Ctrl-C."""

from __future__ import annotations

import argparse
from pathlib import Path
import time
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import add_models, models_folder
from roboadapt_ros.cli.output import require_folder, say
from roboadapt_ros.errors import RoboAdaptError

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.bringup.answers import AdapterList

CHECK_S = 0.5


def _arguments(parser: argparse.ArgumentParser) -> None:
    from roboadapt_ros.cli.graph import add_fake, RUNS

    parser.add_argument('--rig', required=True, help='file in config/rigs, or a path to one')
    add_fake(parser)
    parser.add_argument('--task', default='', help='task to serve from the start (default: none)')
    add_models(parser)
    parser.add_argument(
        '--record', type=Path, metavar='PATH', help='folder to record to (default: no recording)'
    )
    parser.add_argument(
        '--runs', type=Path, default=RUNS, metavar='PATH', help='folder for logs (default: runs)'
    )


def _run(options: argparse.Namespace, console: Console) -> int:
    """Bring the graph up, say how to go on, and watch it."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.bringup.supervisor import Graph
    from roboadapt_ros.cli.graph import chosen_rig

    rig = chosen_rig(options, lambda lack: say(console, lack))
    library = TaskLibrary(models_folder(options) / 'tasks')
    if options.task:
        library.path(options.task)
    require_folder(options.runs, option='--runs')
    if options.record is not None:
        require_folder(options.record, option='--record')
    log_dir = options.runs / time.strftime('%Y-%m-%d_%H-%M-%S') / 'log'
    graph = Graph(
        rig,
        log_dir=log_dir,
        models_dir=options.models,
        initial_task=options.task,
        record_to=options.record,
        progress=lambda step: say(console, step),
    )
    graph.require_alone()
    with graph:
        say(console, f'{rig.description}: up. The gate is closed; nothing moves.')
        say(console, f'Logs: {log_dir.resolve()}')
        served = graph.client.list_adapters()
        for task in served.available:
            say(console, f'Not served: {_why_not(library, task, served)}')
        say(console, 'In another terminal, in the same ROS domain:')
        for task in served.resident:
            say(console, f'  roboadapt switch {task}')
        say(console, '  roboadapt arm\n  roboadapt stop\nCtrl-C ends the graph.')
        while True:
            for name in graph.revive():
                say(console, f"{name}: up again. 'roboadapt arm' opens a gate that has closed.")
            time.sleep(CHECK_S)


def _why_not(library: TaskLibrary, task: str, served: AdapterList) -> str:
    """Return why a package on disk is not resident."""
    from roboadapt_ros.backbones.manifest import backbone_path, load_backbone_manifest

    try:
        path = backbone_path(library.root.parent, served.backbone_id)
        library.load(task, load_backbone_manifest(path))
    except RoboAdaptError as error:
        return f'{task}. {error}'
    return f"{task}, for which there was no room; 'roboadapt switch {task} --stage' makes it"


command = Command(arguments=_arguments, run=_run)
