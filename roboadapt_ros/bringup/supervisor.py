"""The graph as one thing: starts the processes of a rig, drives their lifecycles, watches them.

`launch` does the same on a ROS installation; this needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
import os
from pathlib import Path
import signal
import time
from types import TracebackType

from roboadapt_interfaces.msg import AdapterStatus, GateStatus
from roboadapt_ros.bringup.client import GraphClient
from roboadapt_ros.bringup.environment import process_environment
from roboadapt_ros.bringup.process import NodeProcess, stop_all
from roboadapt_ros.bringup.processes import process_list, ProcessDescription
from roboadapt_ros.bringup.restarts import Restarts
from roboadapt_ros.bringup.rig import RigConfig
from roboadapt_ros.bringup.startup import GraphTimeouts, POLL_S, Startup
from roboadapt_ros.control.command import GovernorState
from roboadapt_ros.dataflow import NO_ADAPTERS
from roboadapt_ros.errors import BringupError, UnknownNameError
from roboadapt_ros.ros.qos import LATCHED, STATUS

ENCODER, GOVERNOR = 'encoder', 'governor'
DISCOVERY_S = 2.0
"""Time in which some node of another graph on this host is found [s]."""


class Graph:
    """Every process of a rig, as a context.

    Example::

        with Graph(load_rig('sim'), log_dir=Path('runs/log')) as graph:
            graph.client.switch('lift_red')
            graph.client.arm()
            graph.check()

    Leaving the context stops all processes. `progress` is told what is going on.
    """

    def __init__(
        self,
        rig: RigConfig,
        *,
        log_dir: Path,
        domain_id: int | None = None,
        models_dir: Path | None = None,
        initial_task: str = '',
        record_to: Path | None = None,
        only: Collection[str] | None = None,
        change: Callable[[ProcessDescription], ProcessDescription] = lambda described: described,
        timeouts: GraphTimeouts | None = None,
        progress: Callable[[str], None] = lambda _: None,
        images: bool = False,
    ):
        """Prepare; `start` (or entering the context) brings it up.

        Args:
            rig: The rig file.
            log_dir: Folder for a log and a parameter file per process; made when missing.
            domain_id: ROS domain; None: that of the environment.
            models_dir: Folder with backbones/ and tasks/; None: the package's own.
            initial_task: Task to serve from the start; '' = none until the first switch.
            record_to: Folder to record to; None: no recorder.
            only: Nodes to start; None: all. Others stand for the rest, for instance in a test.
            change: Applied to each process, for instance to put something between two nodes.
            timeouts: Deadlines of bringing up.
            progress: Told each step.
            images: Whether the graph's client will listen to camera frames.

        Raises:
            RoboAdaptError: The rig does not give a list of processes.
        """
        log_dir.mkdir(parents=True, exist_ok=True)
        self.rig, self.log_dir, self.domain_id = rig, log_dir, domain_id
        self._timeouts, self._progress = timeouts or GraphTimeouts(), progress
        environment = process_environment(domain_id)
        package_root = str(Path(__file__).resolve().parents[2])
        paths = [package_root, environment.get('PYTHONPATH', '')]
        environment['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
        environment.setdefault('ROS_LOG_DIR', str(log_dir / 'ros'))
        described = process_list(
            rig, models_dir=models_dir, initial_task=initial_task, record_to=record_to
        )
        self.descriptions = tuple(
            change(each) for each in described if only is None or each.name in only
        )
        self._processes = {
            description.name: NodeProcess(description, log_dir, environment)
            for description in self.descriptions
        }
        self.client = GraphClient(namespace=rig.namespace, domain_id=domain_id, images=images)
        self._startup = Startup(self.client, self._timeouts)
        self._restarts = Restarts()
        self._task = ''
        """Task that the encoder served last; '' for none."""
        self._fault = ''
        """Why the governor was in fault when it was last heard; '' where it was not."""

    def __enter__(self) -> Graph:
        """Bring the graph up."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process."""
        self.stop()

    def require_alone(self) -> None:
        """Look for another graph in the ROS domain, before `start`; it would hear this one.

        Raises:
            BringupError: One of the nodes is there.
        """
        self.client.open()
        names, deadline_s = self.descriptions, time.monotonic() + DISCOVERY_S
        while not (there := self.client.nodes() & {each.full_name for each in names}):
            if time.monotonic() > deadline_s:
                return
            time.sleep(POLL_S)
        self.client.close()
        raise BringupError(
            f'Another graph is up in ROS domain {self.client.domain()} '
            f'({", ".join(sorted(there))}). End it, or choose another ROS_DOMAIN_ID; a process '
            'that was killed is seen for some 20 s.'
        )

    def start(self) -> None:
        """Start, configure and activate every node.

        Raises:
            BringupError: A process ended, or a step failed or took too long; everything has been
                stopped and the message has the end of that process's log.
        """
        try:
            self.client.open()
            self.client.watch(AdapterStatus, 'encoder/status', self._on_encoder, LATCHED)
            self.client.watch(GateStatus, 'governor/status', self._on_governor, STATUS)
            processes = tuple(self._processes.values())
            for process in processes:
                process.start()
            self._startup.bring_up(processes, self._progress)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every process and the client; may be called twice."""
        self.client.close()
        stop_all(list(self._processes.values()), self._timeouts.stop_s)

    def pids(self) -> dict[str, int]:
        """Return the process id of every running node by name."""
        return {
            name: process.pid
            for name, process in self._processes.items()
            if process.pid is not None
        }

    def log_path(self, name: str) -> Path:
        """Return the log file of a node."""
        return self._find(name).log_path

    def ended(self) -> dict[str, int]:
        """Return the exit code of every node that has ended, by name."""
        codes = {name: process.exit_code for name, process in self._processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def check(self) -> None:
        """Raise `BringupError` with the end of its log for a process that has ended."""
        for name, code in self.ended().items():
            raise self._find(name).fail(f'ended with code {code}')

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process and wait for its end.

        Raises:
            BringupError: It is still running.
        """
        process = self._find(name)
        process.signal(number)
        if not process.wait(self._timeouts.stop_s):
            raise process.fail(f'did not end on {number.name}')

    def revive(self) -> tuple[str, ...]:
        """Bring up again what has ended, and return the names; the gate is left as it is.

        Raises:
            BringupError: A process ended that must not be started again by itself, or too often,
                or that could not be brought up.
        """
        ended = self.ended()
        for name, code in ended.items():
            self._claim(self._find(name), code)
        for name, code in ended.items():
            self._start_again(name, code)
        return tuple(ended)

    def restart(self, name: str) -> None:
        """Stop one process if it runs, and bring it up again; the gate stays as it is.

        An encoder serves the task it served, with its adapters, where it can. A governor that was
        in fault is in fault, until a recovery.

        Raises:
            BringupError: As `start`, but only this process is affected.
        """
        process = self._find(name)
        stop_all([process], self._timeouts.stop_s)
        self.client.forget(process.description.full_name)
        original = next(each for each in self.descriptions if each.name == name)
        try:
            self._start(process, self._with_memory(original))
        except BringupError:
            if name != ENCODER or process.description == original:
                raise
            # A task that was staged by hand: it may not fit, or not be there any more.
            stop_all([process], self._timeouts.stop_s)
            self._task = ''
            self._start(process, original)

    # ---- inside ----

    def _claim(self, process: NodeProcess, code: int) -> None:
        """Count a restart of what ended with `code`, or raise `BringupError` with its log."""
        refusal = self._restarts.claim(process.description)
        if refusal:
            raise process.fail(f'ended with code {code}; {refusal}')

    def _start_again(self, name: str, code: int) -> None:
        """Restart what has ended, and again where it ends meanwhile; the first is claimed."""
        process, ended = self._find(name), code
        while True:
            self._progress(
                f'{name} ended with code {ended} ({process.log_path}); starting it again'
            )
            try:
                return self.restart(name)
            except BringupError:
                if process.exit_code is None:
                    raise  # it lives, and can't be configured or activated
                ended = process.exit_code
                self._claim(process, ended)

    def _start(self, process: NodeProcess, description: ProcessDescription) -> None:
        process.description = description
        process.start()
        self._startup.bring_up([process])

    def _with_memory(self, process: ProcessDescription) -> ProcessDescription:
        """Return a process that goes on where the one before it ended."""
        memory = {}
        if process.name == ENCODER and self._task:
            memory = {'initial_task': self._task}
        elif process.name == GOVERNOR:
            memory = {'fault_before': self._fault}
        return replace(process, parameters={**process.parameters, **memory})

    def _on_encoder(self, status: AdapterStatus) -> None:
        self._task = f'{NO_ADAPTERS if status.adapters_off else ""}{status.active_task}'

    def _on_governor(self, status: GateStatus) -> None:
        self._fault = status.reason if status.state == GovernorState.FAULT.value else ''

    def _find(self, name: str) -> NodeProcess:
        if name not in self._processes:
            raise UnknownNameError('process', name, self._processes)
        return self._processes[name]
