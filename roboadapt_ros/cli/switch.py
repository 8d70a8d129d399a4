"""`roboadapt switch TASK`, `shadow` and `arm`: what a person says to a running graph."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from roboadapt_ros.cli.command import Command
from roboadapt_ros.cli.options import domain, namespace, whole
from roboadapt_ros.cli.output import say
from roboadapt_ros.dataflow import NO_ADAPTERS

if TYPE_CHECKING:
    from rich.console import Console
    from roboadapt_ros.bringup.client import GraphClient


def add_graph(parser: argparse.ArgumentParser) -> None:
    """Add where the running graph is."""
    parser.add_argument(
        '--namespace', type=namespace, default='', help="the rig's namespace (default: none)"
    )
    parser.add_argument(
        '--domain', type=domain, metavar='N', help='ROS domain (default: ROS_DOMAIN_ID)'
    )


def graph_client(options: argparse.Namespace) -> GraphClient:
    """Return a client of the running graph that `add_graph` names."""
    from roboadapt_ros.bringup.client import GraphClient

    named = os.environ.get('ROS_DOMAIN_ID', '')
    if options.domain is None and named:
        whole('ROS_DOMAIN_ID', 0, 232)(named)
    return GraphClient(namespace=options.namespace, domain_id=options.domain)


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('task', help="a resident task; 'none:TASK' is TASK without its adapters")
    parser.add_argument(
        '--stage',
        action='store_true',
        help='load the package from disk first, anew where it is resident; the task that is '
        'served goes on meanwhile',
    )
    add_graph(parser)


def _switch(options: argparse.Namespace, console: Console) -> int:
    """Switch, and print what happened at the boundary."""
    with graph_client(options) as client:
        if options.stage:
            client.stage(options.task.removeprefix(NO_ADAPTERS))
        answer = client.switch(options.task)
    say(
        console,
        f'{answer.task} is active: generation {answer.generation}, switched in '
        f'{answer.switch_us:.0f} µs, first features after {answer.boundary_ms:.0f} ms, '
        f'{answer.frames_dropped} frames dropped (package {answer.package_digest[:12]})',
    )
    return 0


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('tasks', nargs='*', metavar='TASK', help='resident tasks; none ends it')
    add_graph(parser)


def _shadow(options: argparse.Namespace, console: Console) -> int:
    """Let candidates ride along."""
    with graph_client(options) as client:
        riding = client.shadow(options.tasks)
    if riding:
        say(
            console,
            f'{", ".join(riding)} ride along: see policy/shadow_chunk; the arm does not follow.',
        )
    else:
        say(console, 'No task rides along.')
    return 0


def _arm(options: argparse.Namespace, console: Console) -> int:
    """End a soft stop, and open the gate."""
    with graph_client(options) as client:
        client.arm()
    say(console, 'Armed: the arm follows the policy.')
    return 0


shadow_command = Command(arguments=_add_tasks, run=_shadow)
switch_command = Command(arguments=_add_task, run=_switch)
arm_command = Command(arguments=add_graph, run=_arm)
