"""`roboadapt bench NAME`: figures by fixed names, as a table, as JSON and as a plot."""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib import import_module
from pathlib import Path
import time
from types import ModuleType
from typing import Any, TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import models_folder
from roboadapt_ros.cli.output import (
    print_table,
    progress_line,
    require_folder,
    require_writable,
    say,
    write_json,
)

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.bench.result import BenchResult
    from roboadapt_ros.bringup.rig import RigConfig
    from roboadapt_ros.cli.output import ProgressLine
    from roboadapt_ros.learning.progress import Progress


def _command(module: str, config: str, *, needs_graph: bool, plots: bool = False) -> Command:
    """Return the command of one module of `roboadapt_ros.bench`.

    Args:
        module: Its name; has a `run`.
        config: Its dataclass of settings.
        needs_graph: Whether `run` takes a graph that is up. The module may have a `run_before`
            for what is measured first, without it; settings may have a `needs_graph` of their
            own, and where that says no the module's `run_alone` is called.
        plots: Whether the figures are drawn.
    """

    def arguments(parser: argparse.ArgumentParser) -> None:
        from roboadapt_ros.cli.graph import add_graph_options
        from roboadapt_ros.cli.options import add_options

        add_options(parser, getattr(import_module(module), config))
        parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures to FILE')
        if plots:
            what = 'draw the figures (PNG); with --json, beside that file unless given'
            parser.add_argument('--plot', type=Path, metavar='FILE', help=what)
        if needs_graph:
            add_graph_options(parser)

    def run(options: argparse.Namespace, console: Console) -> int:
        from roboadapt_ros.cli.options import from_options

        bench = import_module(module)
        settings = from_options(getattr(bench, config), options)
        if options.json is not None:
            require_writable(options.json)
        if plots and (plot := _plot_file(options)) is not None:
            require_writable(plot, option='--plot')
        with progress_line(console) as progress:
            if getattr(settings, 'needs_graph', needs_graph):
                result = _on_graph(bench, settings, options, progress)
            else:
                result = _alone(bench, settings, options, progress)
        if options.json is not None:
            write_json(options.json, result.to_json())
        if plots:
            _plot(result, _plot_file(options))
        _print(result, console)
        return 0

    return Command(arguments=arguments, run=run)


def _alone(
    bench: ModuleType, settings: Any, options: argparse.Namespace, progress: Progress
) -> Any:
    """Run a benchmark without a graph: always, or as its settings ask for."""
    if not hasattr(bench, 'run_alone'):
        return bench.run(settings, progress)

    return bench.run_alone(models_folder(options), settings, progress)


def _on_graph(
    bench: ModuleType, settings: Any, options: argparse.Namespace, progress: ProgressLine
) -> BenchResult:
    """Run a benchmark on a graph of its own, cameras at the rate it asks for."""
    from roboadapt_ros.cli.graph import graph_up

    require_folder(options.runs, option='--runs')
    before = getattr(bench, 'run_before', None)
    first = before(settings, progress) if before is not None else None
    log_dir = options.runs / time.strftime('%Y-%m-%d_%H-%M-%S') / 'log'
    rate_hz = getattr(settings, 'camera_rate_hz', None)

    def adapt(rig: RigConfig) -> RigConfig:
        if rate_hz is None:
            return rig
        sim_rig = {**rig.nodes.get('sim_rig', {}), 'camera_rate_hz': rate_hz}
        return replace(rig, nodes={**rig.nodes, 'sim_rig': sim_rig})

    with graph_up(
        options, log_dir=log_dir, progress=progress, tasks=settings.tasks, adapt=adapt
    ) as graph:
        result: BenchResult = bench.run(graph, settings, progress)
    return result if first is None else result.plus(first)


def _plot_file(options: argparse.Namespace) -> Path | None:
    """Return where the figures are drawn: as asked for, or beside their JSON file."""
    given: Path | None = options.plot
    beside: Path | None = options.json
    return given or (beside.with_suffix('.png') if beside is not None else None)


def _plot(result: BenchResult, path: Path | None) -> None:
    if path is not None:
        from roboadapt_ros.evaluation.bench_plot import save_plot

        save_plot(path, result.bench, result.figures)


def _print(result: BenchResult, console: Console) -> None:
    rows = [
        (name, f'{value:,.0f}' if float(value).is_integer() else f'{value:,.3f}')
        for name, value in result.figures.items()
    ]
    print_table(console, ('figure', 'value'), rows, numbers=1)
    facts = result.machine
    say(console, f'\n{facts["processor"]}, {facts["cores"]} cores, {facts["system"]}')
    for note in result.notes:
        say(console, note)


encoder_command = _command(
    'roboadapt_ros.bench.encoder', 'EncoderConfig', needs_graph=False, plots=True
)
batch_command = _command('roboadapt_ros.bench.batch', 'BatchConfig', needs_graph=False, plots=True)
memory_command = _command(
    'roboadapt_ros.bench.memory', 'MemoryConfig', needs_graph=False, plots=True
)
gpu_command = _command('roboadapt_ros.bench.gpu', 'GpuConfig', needs_graph=False, plots=True)
transport_command = _command('roboadapt_ros.bench.transport', 'TransportConfig', needs_graph=False)
switch_command = _command(
    'roboadapt_ros.bench.switching', 'SwitchConfig', needs_graph=True, plots=True
)
full_rate_command = _command('roboadapt_ros.bench.full_rate', 'FullRateConfig', needs_graph=False)
loop_command = _command('roboadapt_ros.bench.loop', 'LoopBenchConfig', needs_graph=True)
soak_command = _command('roboadapt_ros.bench.soak', 'SoakConfig', needs_graph=True)
governor_command = _command(
    'roboadapt_ros.bench.governor', 'GovernorBenchConfig', needs_graph=False
)
