"""From started processes to active nodes, with a deadline for each step.

`bringup.launch_lifecycle` takes the same steps inside of launch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import time

from roboadapt_ros.bringup.client import GraphClient
from roboadapt_ros.bringup.process import NodeProcess
from roboadapt_ros.bringup.transitions import Transition

POLL_S = 0.02
"""From one look at what is waited for to the next [s]."""


@dataclass(frozen=True, kw_only=True)
class GraphTimeouts:
    """How long each step of bringing up may take."""

    start_s: float = 120.0
    """From starting a process to its lifecycle services [s]; the encoder imports torch."""
    configure_s: float = 120.0
    """Loading and warming up [s]."""
    activate_s: float = 20.0
    """Connecting [s]."""
    stop_s: float = 5.0
    """From each signal to the next, stronger one [s]."""


class Startup:
    """Drives the lifecycles of started processes, and watches that they live meanwhile.

    Example: ``Startup(client, timeouts).bring_up([process], print)``.
    """

    def __init__(self, client: GraphClient, timeouts: GraphTimeouts):
        """Prepare; `client` must be open when nodes are brought up."""
        self._client, self._timeouts = client, timeouts

    def bring_up(
        self,
        processes: Sequence[NodeProcess],
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Configure all at once, then activate one after the other; `progress` hears each step.

        Raises:
            BringupError: A process ended, or a step failed or took too long.
        """
        client, timeouts = self._client, self._timeouts
        progress(f'starting {len(processes)} processes')
        for process in processes:
            self._await_services(process)
        progress('loading models and building the world')
        steps = [
            (process, client.begin_transition(process.description.full_name, Transition.CONFIGURE))
            for process in processes
        ]
        for process, done in steps:
            _await(process, done, 'configure', timeouts.configure_s)
        progress('activating')
        for process in processes:
            done = client.begin_transition(process.description.full_name, Transition.ACTIVATE)
            _await(process, done, 'activate', timeouts.activate_s)

    def _await_services(self, process: NodeProcess) -> None:
        node, timeout_s = process.description.full_name, self._timeouts.start_s
        problem = f'offered no lifecycle services within {timeout_s:g} s'
        _poll(process, lambda: self._client.is_ready(node), problem, timeout_s)


def _await(
    process: NodeProcess, done: Callable[[], bool | None], step: str, timeout_s: float
) -> None:
    _poll(process, lambda: done() is not None, f'did not {step} within {timeout_s:g} s', timeout_s)
    if not done():
        raise process.fail(f'could not {step}')


def _poll(
    process: NodeProcess, is_done: Callable[[], bool], problem: str, timeout_s: float
) -> None:
    """Wait for a condition, watching the process meanwhile."""
    deadline_s = time.monotonic() + timeout_s
    while not is_done():
        if not process.is_running:
            raise process.fail(f'ended with code {process.exit_code}')
        if time.monotonic() > deadline_s:
            raise process.fail(problem)
        time.sleep(POLL_S)
