"""The `main` of every node: start, spin, stop cleanly on SIGINT and SIGTERM, exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import signal
import sys
import threading
from typing import Any

import rclpy
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from roboadapt_ros.errors import RoboAdaptError
from roboadapt_ros.ros.priority import take_priority_of_environment

STOP_TIMEOUT_S = 2.0
SWITCH_INTERVAL_S = 0.0005
"""Longest turn of a Python thread while another waits; the default of 5 ms is half a tick."""


def run(build: Callable[[], Any], args: Sequence[str] | None = None, *, threads: int = 1) -> None:
    """Run one node until it is told to stop.

    It asks for the priority that its environment names, see `priority`.

    On SIGINT or SIGTERM callbacks come to an end first, then the node's own `close` runs with
    ROS still up, so that commands stop in order, and only then is ROS shut down. (rclpy's own
    handlers shut it down under the feet of whoever is publishing.)

    The process ends with code 0 after a signal, with 1 when the node can't be built. An unknown
    exception of a callback propagates with its traceback.

    Args:
        build: Returns the node, which has `close`; called once ROS is initialised.
        args: Command line, sys.argv when None.
        threads: Callback threads; 1 for nodes whose callbacks are all short.
    """
    take_priority_of_environment()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = build()
    except RoboAdaptError as error:
        get_logger('roboadapt').fatal(str(error))
        try_shutdown()
        sys.exit(1)
    executor = SingleThreadedExecutor() if threads == 1 else MultiThreadedExecutor(threads)
    executor.add_node(node)
    spinner = _Spinner(executor, stop)
    spinner.start()
    stop.wait()
    executor.shutdown(timeout_sec=STOP_TIMEOUT_S)
    spinner.join(STOP_TIMEOUT_S)
    node.close()
    node.destroy_node()
    try_shutdown()
    # ros2 launch signals each process after the terminal has: a second signal while the
    # interpreter unloads would turn a clean end into a killed one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if spinner.error is not None:
        raise spinner.error


class _Spinner(threading.Thread):
    """Spins an executor; the main thread stays free for signals."""

    def __init__(self, executor: Executor, stop: threading.Event):
        super().__init__(name='executor', daemon=True)
        self._executor, self._stop_event = executor, stop
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._executor.spin()
        except BaseException as error:  # noqa: BLE001 - the edge of this thread: raised by `run`
            if not self._stop_event.is_set():
                self.error = error
        finally:
            self._stop_event.set()
