"""Actions that a service waits for, while the node's ticks go on."""

from __future__ import annotations

from rclpy.task import Future
from roboadapt_ros.control.recovery import Outcome, Pending


class Errands:
    """Polls actions with deadlines, and wakes who waits for them.

    Example: ``outcome = await errands.finish(pending, now_ns + 5_000_000_000)`` in a service's
    coroutine, and ``errands.tick(now_ns)`` in a timer of the same node.
    """

    def __init__(self) -> None:
        """Have none."""
        self._open: list[tuple[Pending, int, Future[Outcome]]] = []

    async def finish(self, pending: Pending, deadline_ns: int) -> Outcome:
        """Return the outcome of an action, at the latest that it was given up [ns]."""
        future: Future[Outcome] = Future()
        self._open.append((pending, deadline_ns, future))
        outcome = await future
        assert outcome is not None, 'a future that is done has its result'
        return outcome

    def tick(self, now_ns: int) -> None:
        """Look at all of them; `now_ns` is the time now [ns]."""
        for errand in list(self._open):
            pending, deadline_ns, future = errand
            outcome = pending.poll(now_ns)
            if outcome is None and now_ns > deadline_ns:
                outcome = Outcome(False, pending.cancel())
            if outcome is not None:
                self._open.remove(errand)
                future.set_result(outcome)

    def abort(self, reason: str) -> None:
        """Give all of them up, and say why."""
        for pending, _, future in self._open:
            future.set_result(Outcome(False, f'{pending.cancel()}; {reason}'))
        self._open.clear()
