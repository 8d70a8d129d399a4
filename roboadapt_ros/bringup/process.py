"""One child process: started with its own log, watched, and stopped by its pid."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
import signal
import subprocess
import sys
import time

from roboadapt_ros.bringup.processes import PACKAGE, ProcessDescription
from roboadapt_ros.errors import BringupError
from roboadapt_ros.ros.priority import take_priority

TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1


class NodeProcess:
    """A node running as a child process; its output goes to a file.

    Example: ``process.start()``; ``process.stop()`` sends SIGINT, then SIGTERM after
    `grace_s`, then SIGKILL.
    """

    def __init__(
        self, description: ProcessDescription, log_dir: Path, environment: dict[str, str]
    ):
        """Prepare; nothing is started.

        Args:
            description: What to run.
            log_dir: Folder of the log and the parameter file.
            environment: Environment of every process of the graph.
        """
        self.description = description
        self.log_path = log_dir / f'{description.name}.log'
        self._parameter_path = log_dir / f'{description.name}.params.yaml'
        self._environment = {**environment, **description.environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code once it has ended, negative for a signal."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; a log of an earlier start is continued."""
        self.description.write_parameters(self._parameter_path)
        module = f'{PACKAGE}.nodes.{self.description.executable}'
        words = [sys.executable, '-m', module, *self.description.arguments(self._parameter_path)]
        with self.log_path.open('ab') as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # a Ctrl-C is for the supervisor, who stops in order
                preexec_fn=partial(prepare, self.description.niceness, self.description.realtime),
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end and return whether it has ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tail(self) -> str:
        """Return the last lines of its log."""
        try:
            lines = self.log_path.read_text(encoding='utf-8', errors='replace').splitlines()
        except OSError:
            return '(no log)'
        return '\n'.join(lines[-TAIL_LINES:]) or '(empty log)'

    def fail(self, problem: str) -> BringupError:
        """Return the error that says what is wrong with this process, with its last lines."""
        return BringupError(
            f"Process '{self.description.name}' {problem}. "
            f'Last lines of {self.log_path}:\n{self.tail()}'
        )


def stop_all(processes: list[NodeProcess], grace_s: float) -> None:
    """Stop processes together: SIGINT, after `grace_s` SIGTERM, after as long again SIGKILL."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            process.signal(number)
        deadline_s = time.monotonic() + grace_s
        for process in processes:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        if not any(process.is_running for process in processes):
            return


def prepare(niceness: int, realtime: int = 0) -> None:
    """Set priority and end with the parent; runs in the child before the program.

    Arguments as for `take_priority`.
    """
    take_priority(niceness, realtime)
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
