"""`roboadapt doctor`: is this rig ready, and if not, what to do. Starts and moves nothing.

Exit codes: 0 no error, warnings or not; 1 at least one error; 2 the request is wrong.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import add_models, domain, models_folder
from roboadapt_ros.cli.output import print_table, require_writable, say, write_json
from roboadapt_ros.errors import ConfigError, RoboAdaptError

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.bringup.rig import RigConfig
    from roboadapt_ros.doctor.contract import TaskFacts
    from roboadapt_ros.doctor.facts import GraphFacts
    from roboadapt_ros.doctor.finding import Finding

STANDARD_OUTPUT = Path('-')


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rig', required=True, help='file in config/rigs, or a path to one')
    parser.add_argument(
        '--task', help='task whose contract the rig must meet (default: the one that is served)'
    )
    parser.add_argument(
        '--seconds', type=float, default=3.0, metavar='X', help='time to listen [s] (default: 3)'
    )
    add_models(parser)
    parser.add_argument(
        '--domain', type=domain, metavar='N', help='ROS domain (default: ROS_DOMAIN_ID)'
    )
    parser.add_argument(
        '--json',
        type=Path,
        nargs='?',
        const=STANDARD_OUTPUT,
        metavar='PATH',
        help='write the findings as a list; without PATH to the standard output, without a table',
    )


def _run(options: argparse.Namespace, console: Console) -> int:
    """Gather, judge, print."""
    from roboadapt_ros.bringup.rig import load_rig
    from roboadapt_ros.doctor.finding import has_error, worst_first

    if not 2.0 <= options.seconds <= 600.0:
        raise ConfigError('--seconds', options.seconds, 'must be 2 to 600')
    if options.json not in (None, STANDARD_OUTPUT):
        require_writable(options.json)
    rig = load_rig(options.rig)
    task = _task(options, options.task) if options.task else None
    findings = worst_first(_findings(options, rig, task))
    if options.json == STANDARD_OUTPUT:
        import json

        say(console, json.dumps([finding.to_mapping() for finding in findings], indent=2))
    else:
        _print(console, findings)
    if options.json not in (None, STANDARD_OUTPUT):
        write_json(options.json, [finding.to_mapping() for finding in findings])
    return 1 if has_error(findings) else 0


def _findings(
    options: argparse.Namespace, rig: RigConfig, task: TaskFacts | None
) -> list[Finding]:
    from roboadapt_ros.bringup.environment import process_environment
    from roboadapt_ros.bringup.rig_facts import rig_facts
    from roboadapt_ros.doctor.examine import examine
    from roboadapt_ros.doctor.host import read_host
    from roboadapt_ros.doctor.packages import needed_packages

    os.environ.update(rig.environment)  # the doctor joins the graph as the rig's nodes do
    environment = process_environment(options.domain)
    facts = rig_facts(rig, options.rig, models_dir=options.models)
    host = read_host(environment, needed_packages(facts))
    can_look = host.rclpy_path and not host.rclpy_problem
    graph = _look(options, rig, task) if can_look else None
    return examine(facts, host, graph, task or _served(options, graph))


def _look(
    options: argparse.Namespace, rig: RigConfig, task: TaskFacts | None
) -> GraphFacts | None:
    """Return what is seen of the graph; None where a package for it is missing."""
    from roboadapt_ros.bringup.rig_facts import stream_rules

    try:
        from roboadapt_ros.bringup.examiner import Examiner
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('roboadapt_ros'):
            raise
        return None  # reported as a missing package
    rules = stream_rules(rig, None if task is None else task.contract)
    with Examiner(rig, domain_id=options.domain) as examiner:
        return examiner.look(rules, seconds=options.seconds)


def _served(options: argparse.Namespace, graph: GraphFacts | None) -> TaskFacts | None:
    """Return the task that is being served, where its package is here."""
    task = graph.active_task or '' if graph is not None else ''
    try:
        return _task(options, task) if task else None
    except RoboAdaptError:
        return None


def _task(options: argparse.Namespace, task: str) -> TaskFacts:
    """Return a task's contract and its reference pictures."""
    from roboadapt_ros.adapters.library import TaskLibrary
    from roboadapt_ros.adapters.package import load_manifest
    from roboadapt_ros.adapters.pictures import read_pictures
    from roboadapt_ros.doctor.contract import TaskFacts

    path = TaskLibrary(models_folder(options) / 'tasks').path(task)
    contract = load_manifest(path)[0].contract
    return TaskFacts(name=task, contract=contract, references=read_pictures(path, contract))


def _print(console: Console, findings: list[Finding]) -> None:
    """Print the table, worst first, and a line that sums it up."""
    from roboadapt_ros.doctor.finding import Severity

    rows = []
    for finding in findings:
        found = f'{finding.subject}: {finding.found}'
        required = f'\nrequired: {finding.rule}' if finding.rule else ''
        rows.append((finding.severity.value, finding.check, found + required, finding.fix))
    print_table(console, ('severity', 'check', 'found', 'to fix'), rows)
    counts = {s: sum(finding.severity is s for finding in findings) for s in Severity}
    text = ', '.join(f'{counts[s]} {s.value}' for s in Severity)
    end = 'Not ready.' if counts[Severity.ERROR] else 'Nothing is in the way.'
    say(console, f'{text}. {end}')


command = Command(arguments=_arguments, run=_run)
