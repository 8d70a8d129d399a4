"""`roboadapt demo`: bring up the simulated rig, do both tasks in turn, report."""

from __future__ import annotations

import argparse
from pathlib import Path
import time
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.output import print_table, progress_line, say

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.evaluation.run_record import RunRecord


def _arguments(parser: argparse.ArgumentParser) -> None:
    from roboadapt_ros.bench.demonstration import DemoConfig
    from roboadapt_ros.cli.graph import add_graph_options
    from roboadapt_ros.cli.options import add_options

    add_options(parser, DemoConfig)
    add_graph_options(parser)


def _run(options: argparse.Namespace, console: Console) -> int:
    """Run the demonstration; 1 when something that must hold did not."""
    started_s = time.monotonic()
    from roboadapt_ros.bench.demonstration import DemoConfig, Demonstration
    from roboadapt_ros.cli.graph import graph_up
    from roboadapt_ros.cli.options import from_options
    from roboadapt_ros.evaluation.report import write_run

    config = from_options(DemoConfig, options)
    config.plans()
    name = time.strftime('%Y-%m-%d_%H-%M-%S')
    runs: Path = options.runs
    with (
        progress_line(console) as progress,
        graph_up(
            options, log_dir=runs / name / 'log', progress=progress, tasks=config.tasks
        ) as graph,
    ):
        record = Demonstration(graph, config, started_s=started_s, progress=progress).run()
    folder = write_run(record, runs, name)
    _print(record, console)
    say(console, f'\nReport: {(folder / "report.html").resolve()}')
    return 0 if record.is_sound else 1


def _print(record: RunRecord, console: Console) -> None:
    """Print what the run found, as a person would ask."""
    from roboadapt_ros.evaluation.statistics import spread

    rows: list[tuple[str, object]] = [(task, record.proportion(task)) for task in record.tasks]
    moving = sum(switch.moving for switch in record.switches)
    rows.append(('switches', f'{len(record.switches)}, {moving} of them while the arm moved'))
    if record.switches:
        active = spread([switch.switch_us for switch in record.switches])
        first = spread([switch.boundary_ms for switch in record.switches])
        rows += [
            ('becoming active', f'p50 {active.p50:.0f} µs, p99 {active.p99:.0f} µs'),
            ('request to first features', f'p50 {first.p50:.0f} ms, p99 {first.p99:.0f} ms'),
        ]
    if record.frame_to_command_ms is not None:
        total = record.frame_to_command_ms
        rows.append(('frame to command', f'p50 {total.p50:.0f} ms, p99 {total.p99:.0f} ms'))
    judged, points = sum(record.messages.values()), sum(record.motion.points.values())
    rows += [
        ('frames dropped at a switch', record.frames_dropped),
        ('mixed-task messages', f'{len(record.mixed)} of {judged:,}'),
        ('limit violations', f'{len(record.motion.violations)} in {points:,} points'),
        ('wall clock', f'{record.wall_s:.0f} s'),
    ]
    print_table(console, ('', ''), rows)
    for line in (*record.notes, *record.mixed[:5], *record.motion.violations[:5]):
        say(console, f'! {line}')


command = Command(arguments=_arguments, run=_run)
