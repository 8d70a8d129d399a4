"""Who holds an arm at rest, and so what its controller is told to keep."""

from __future__ import annotations

from collections.abc import Callable
import enum

from roboadapt_ros.control.recovery import Pending
from roboadapt_ros.control.robot_status import RobotMode

ASK_NS = 500_000_000
"""From one look at the controllers to the next, while the arm is off from what it keeps."""
PATIENCE_NS = 1_000_000_000
"""Longest wait for the controller manager's answer."""


class Hold(enum.Enum):
    """Who holds an arm at rest."""

    CONTROLLER = 'controller'
    """The rig's own controller, at the target it heard last. How far the arm is from there is what
    it carries, or who pushes: a target that gave way to that would creep along with it."""
    NOBODY = 'nobody'
    """No controller. The target is where the arm is measured, for a controller may start there."""
    UNKNOWN = 'unknown'
    """Perhaps a controller that does not hear these targets: the target stays while the arm is
    near it."""


class ArmHolder:
    """Finds out who holds an arm that is not where it was told to be.

    Example: an arm with 1 kg in its hand hangs 0.03 rad below its target. The controller manager
    says that the rig's controller is active, so the target stays. Moved by another controller, it
    would go along.
    """

    def __init__(self, look: Callable[[], Pending | None]):
        """Know nothing.

        Args:
            look: Begins to see that the rig's controllers are active; None where it has no
                controller manager that could say so.
        """
        self._look = look
        self._found = Hold.CONTROLLER
        self._pending: Pending | None = None
        self._asked_ns: int | None = None

    def forget(self) -> None:
        """Take the arm for held by its controller, and wait for no answer."""
        if self._pending is not None:
            self._pending.cancel()
        self._found, self._pending, self._asked_ns = Hold.CONTROLLER, None, None

    def find(self, now_ns: int, mode: RobotMode | None, *, is_off: bool) -> Hold:
        """Return who holds the arm; asks where that matters, and never waits.

        Args:
            now_ns: Time now [ns].
            mode: The robot's mode now, None where it is not known.
            is_off: Whether the arm is far from what it is to keep.
        """
        if mode is RobotMode.IDLE:
            self.forget()
            return Hold.NOBODY
        if self._pending is not None:
            self._read(self._pending, now_ns)
        elif is_off and (self._asked_ns is None or abs(now_ns - self._asked_ns) >= ASK_NS):
            self._pending, self._asked_ns = self._look(), now_ns
            # What was found before may have changed: nothing gives way until it is answered.
            self._found = Hold.UNKNOWN if self._pending is None else Hold.CONTROLLER
        return self._found

    def _read(self, pending: Pending, now_ns: int) -> None:
        outcome = pending.poll(now_ns)
        is_late = self._asked_ns is None or abs(now_ns - self._asked_ns) > PATIENCE_NS
        if outcome is not None:
            self._found = Hold.CONTROLLER if outcome.is_good else Hold.UNKNOWN
            self._pending = None
        elif is_late:  # a busy controller manager is no reason to let a load sink
            pending.cancel()
            self._pending = None
