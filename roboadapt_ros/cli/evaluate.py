"""`roboadapt eval`: the success of a task under an adapter, with its uncertainty."""

from __future__ import annotations

import argparse
from pathlib import Path
import time
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import models_folder, whole
from roboadapt_ros.cli.output import (
    progress_line,
    require_folder,
    require_writable,
    say,
    write_json,
)
from roboadapt_ros.errors import ConfigError, PackageError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.cli.output import ProgressLine
    from roboadapt_ros.evaluation.results import EvaluationResult
    from roboadapt_ros.learning.progress import Progress

NO_ADAPTER = 'none'


def _arguments(parser: argparse.ArgumentParser) -> None:
    from roboadapt_ros.cli.graph import add_graph_options

    parser.add_argument('--task', required=True, help='task whose success is judged')
    parser.add_argument(
        '--adapter',
        required=True,
        help="task package to serve; 'none': the task's own head over the bare backbone",
    )
    parser.add_argument(
        '--episodes',
        type=whole('--episodes', 1),
        default=50,
        metavar='N',
        help='episodes to run (default: 50)',
    )
    parser.add_argument(
        '--seed',
        type=whole('--seed', 0),
        default=5000,
        metavar='S',
        help='seed of the first (default: 5000)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the result to FILE')
    parser.add_argument(
        '--in-process',
        action='store_true',
        help='the same core without ROS and faster than real time',
    )
    parser.add_argument(
        '--threads',
        type=whole('--threads', 1),
        default=1,
        metavar='N',
        help='threads of the encoder, with --in-process (default: 1)',
    )
    parser.add_argument(
        '--engine',
        default='torch',
        metavar='KIND',
        help='what runs the backbone, with --in-process: auto, torch, onnx, '
        'onnx_int8, cuda or cuda_half (default: torch)',
    )
    parser.add_argument(
        '--record',
        action='store_true',
        help="write the success into the package's provenance (with its own adapter only)",
    )
    add_graph_options(parser)


def _run(options: argparse.Namespace, console: Console) -> int:
    """Run the episodes and print the proportion."""
    _check(options)
    if options.json is not None:
        require_writable(options.json)
    if options.record:
        require_folder(_package(options), option='--record')
    with progress_line(console) as progress:
        run = _in_process if options.in_process else _through_ros
        result = run(options, progress)
    say(
        console,
        f'{result.task} under {result.adapter}, {result.through.value}: {result.proportion}',
    )
    if options.json is not None:
        write_json(options.json, result.to_json())
    if options.record:
        _record(options, result)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise for names and numbers that are wrong, before anything heavy starts."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import VERSION_MARK
    from roboadapt_ros.engines import EngineKind
    from roboadapt_ros.sim.tasks import TASKS

    if options.task not in TASKS:
        raise UnknownNameError('task', options.task, TASKS)
    if options.engine not in (kinds := [kind.value for kind in EngineKind]):
        raise UnknownNameError('engine', options.engine, kinds)
    if options.engine != 'torch' and not options.in_process:
        raise ConfigError('--engine', options.engine, 'needs --in-process; else the rig says it')
    if options.fake and options.in_process:
        raise ConfigError('--fake', options.rig, 'is a graph: leave out --in-process')
    if options.record and options.adapter.partition(VERSION_MARK)[0] != options.task:
        raise ConfigError('--record', options.adapter, f'needs --adapter {options.task}')
    library = TaskLibrary(models_folder(options) / 'tasks')
    served = options.task if options.adapter == NO_ADAPTER else options.adapter
    if served not in library.names():
        raise UnknownNameError('adapter', served, (*library.names(), NO_ADAPTER))


def _record(options: argparse.Namespace, result: EvaluationResult) -> None:
    """Write what was measured into the package, with the hash of the weights it belongs to.

    The package's digest can't say that: it covers the manifest, so this very entry changes it.
    """
    from roboadapt_ros.adapters.package import add_provenance, load_package

    path = _package(options)
    package = load_package(path)
    if result.package_digest not in ('', package.digest):
        raise PackageError(
            path,
            f'has changed while it was measured ({result.package_digest[:12]} was served)',
            'the package that was measured; nothing is recorded',
        )
    left_out = ('records', 'package_digest')
    summary = {key: value for key, value in result.to_json().items() if key not in left_out}
    summary['weights_sha256'] = package.manifest.weights_sha256
    add_provenance(path, 'measured', summary)


def _package(options: argparse.Namespace) -> Path:
    return models_folder(options) / 'tasks' / options.adapter


def _in_process(options: argparse.Namespace, progress: Progress) -> EvaluationResult:
    from roboadapt_ros.engines import EngineKind
    from roboadapt_ros.evaluation.inprocess import run_episodes

    return run_episodes(
        models_folder(options),
        options.task,
        options.adapter,
        options.episodes,
        options.seed,
        progress,
        options.threads,
        EngineKind(options.engine),
    )


def _through_ros(options: argparse.Namespace, progress: ProgressLine) -> EvaluationResult:
    from roboadapt_ros.bench.live_rig import LiveRig
    from roboadapt_ros.bench.observer import GraphObserver
    from roboadapt_ros.cli.graph import graph_up
    from roboadapt_ros.evaluation.protocol import EpisodeRules, repeat, run_episode
    from roboadapt_ros.evaluation.results import EvaluationResult, Through

    log_dir = options.runs / time.strftime('%Y-%m-%d_%H-%M-%S') / 'log'
    rules, records = EpisodeRules(), []
    plans = list(
        repeat(options.task, options.adapter, episodes=options.episodes, seed=options.seed)
    )
    with graph_up(options, log_dir=log_dir, progress=progress, tasks=()) as graph:
        observer = GraphObserver(graph.client, graph.rig)
        observer.start()
        rig = LiveRig(graph, observer, moving_rad_s=rules.moving_rad_s)
        for number, plan in enumerate(plans):
            successes = sum(record.success for record in records)
            progress(number, len(plans), f'{successes} of {number} succeeded')
            records.append(run_episode(rig, plan, rules).record)
        served = options.task if options.adapter == NO_ADAPTER else options.adapter
        digest = graph.client.list_adapters().resident.get(served, '')
    return EvaluationResult(
        task=options.task,
        adapter=options.adapter,
        seed=options.seed,
        through=Through.ROS,
        records=tuple(records),
        package_digest=digest,
    )


command = Command(arguments=_arguments, run=_run)
