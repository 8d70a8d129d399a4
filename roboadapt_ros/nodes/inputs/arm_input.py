"""What a simulated controller is: the messages of one driver in, targets of the arm out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.nodes.sim_host import SimHost

TICK_S = 0.01
"""Period of the simulated rig [s]: of its ticks, and of the points a controller makes itself."""


class ArmInput(ABC):
    """Takes the commands of one driver.

    A controller that is sent targets passes them on with their senders' stamps. One that makes
    its own (`makes_points`) gives one a tick, of which the arm knows that they are `TICK_S` apart.
    """

    makes_points: ClassVar[bool] = True

    def __init__(self, host: SimHost):
        """Create publishers; `listen` begins.

        Raises:
            ConfigError: A type that is not installed.
        """
        self._node, self._config = host.node, host.config
        self._rig, self._lock = host.rig, host.lock
        self.received = 0
        """Commands that were taken."""
        self.heard: Callable[[FloatArray], None] | None = None
        """Told every target, under the lock, by one that begins with the last it heard."""
        self._last_ns = 0

    @abstractmethod
    def listen(self) -> None:
        """Subscribe and serve; for `activate`."""

    @abstractmethod
    def advance(self) -> float:
        """Hand the arm what is due in a tick, under the lock.

        Returns:
            Time without a command on the node's clock [s], infinite where the arm's own counts.
        """

    @abstractmethod
    def forget(self) -> None:
        """Drop what has not reached the arm, under the lock."""

    def quiet_s(self) -> float:
        """Return the time since the last command [s]."""
        return (self._node.now_ns() - self._last_ns) / 1e9

    def count(self) -> None:
        """Count a command that was taken."""
        self.received += 1
        self._last_ns = self._node.now_ns()

    def refuse(self, error: Exception | str) -> None:
        """Count a command that is refused, and say why."""
        self._node.refuse('target', str(error))
