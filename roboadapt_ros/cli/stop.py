"""`roboadapt stop` and `roboadapt recover`: what a person says when the arm must stand still."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
import sys
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command, UsageError
from roboadapt_ros.cli.output import say
from roboadapt_ros.cli.switch import add_graph, graph_client

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.bringup.client import GraphClient

YES = 'yes'


def _add_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--hard',
        action='store_true',
        help='also deactivate the controllers of the arm and stop its hand; takes a recovery',
    )
    add_graph(parser)


def _stop(options: argparse.Namespace, console: Console) -> int:
    """Stop the arm and close the gate at once, each whatever becomes of the other."""
    from roboadapt_ros.errors import RoboAdaptError

    problems: list[str] = []
    with graph_client(options) as client, ThreadPoolExecutor(2) as both:
        stopping = both.submit(client.hard_stop if options.hard else client.soft_stop)
        closing = both.submit(client.disarm)
        try:
            told = stopping.result()
            what = 'is no longer driven' if options.hard else 'brakes and stays'
            say(console, f'The arm {what}: {told}.')
        except RoboAdaptError as error:
            problems.append(f'The governor did not stop the arm as asked: {error}')
        try:
            say(console, f'The gate is closed ({closing.result()}).')
        except RoboAdaptError as error:
            problems.append(f'The gate did not answer: {error}')
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Where the arm moves: the enabling device, or the arm's own stop.", file=sys.stderr)
    return 1 if problems else 0


def _add_recover(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--yes',
        action='store_true',
        help='confirm that a person has looked at the arm; without, this is asked',
    )
    add_graph(parser)


def _recover(options: argparse.Namespace, console: Console) -> int:
    """Show what would be done, have it confirmed, do it, and show what was done."""
    with graph_client(options) as client:
        plan = client.recovery_plan()
        say(console, plan.message + ':' if plan.steps else plan.message)
        for step in plan.steps:
            say(console, f'  {step}')
        if plan.state == 'running':
            return 1
        if not options.yes and not _is_confirmed(console):
            say(console, 'Nothing was done.')
            return 1
        return _run_recovery(client, console)


def _is_confirmed(console: Console) -> bool:
    """Ask on a terminal; a script has to say --yes."""
    if not sys.stdin.isatty():
        raise UsageError(
            'roboadapt recover',
            'nobody can be asked here; --yes confirms that a person has looked',
        )
    say(console, 'Have you looked at the arm, and is the space around it free? It may move after.')
    return input(f"Type '{YES}' to recover: ").strip().lower() == YES


def _run_recovery(client: GraphClient, console: Console) -> int:
    try:
        answer = client.recover()
    except KeyboardInterrupt:
        print("The recovery goes on; 'roboadapt stop' ends it.", file=sys.stderr)
        raise
    for step in answer.steps:
        say(console, f'  {step}')
    say(console, "Recovered. 'roboadapt arm' opens the gate.")
    return 0


stop_command = Command(arguments=_add_stop, run=_stop)
recover_command = Command(arguments=_add_recover, run=_recover)
