"""Actions that a service waits for, while the node's ticks go on."""

from __future__ import annotations

from typing import NamedTuple

from rclpy.task import Future
from roboadapt_ros.control.recovery import Outcome, Pending


class _Errand(NamedTuple):
    pending: Pending
    begun_ns: int
    timeout_ns: int
    future: Future[Outcome]


class Errands:
    """Polls actions with deadlines, and wakes who waits for them.

    Example: ``outcome = await errands.finish(pending, now_ns, 5.0)`` in a service's coroutine, and
    ``errands.tick(now_ns)`` in a timer of the same node.
    """

    def __init__(self) -> None:
        """Have none."""
        self._open: list[_Errand] = []

    async def finish(self, pending: Pending, now_ns: int, timeout_s: float) -> Outcome:
        """Return the outcome of an action, at the latest that it was given up.

        Args:
            pending: The action.
            now_ns: Time now [ns].
            timeout_s: Longest wait [s]; a clock that is set forward or back ends it.
        """
        future: Future[Outcome] = Future()
        self._open.append(_Errand(pending, now_ns, int(timeout_s * 1e9), future))
        outcome = await future
        assert outcome is not None, 'a future that is done has its result'
        return outcome

    def tick(self, now_ns: int) -> None:
        """Look at all of them; `now_ns` is the time now [ns]."""
        for errand in list(self._open):
            outcome = errand.pending.poll(now_ns)
            if outcome is None and abs(now_ns - errand.begun_ns) > errand.timeout_ns:
                outcome = Outcome(False, errand.pending.cancel())
            if outcome is not None:
                self._open.remove(errand)
                errand.future.set_result(outcome)

    def abort(self, reason: str) -> None:
        """Give all of them up, and say why."""
        for errand in self._open:
            errand.future.set_result(Outcome(False, f'{errand.pending.cancel()}; {reason}'))
        self._open.clear()
