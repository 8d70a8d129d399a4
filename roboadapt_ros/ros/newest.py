"""A thread that works on the newest of what it is offered, and lets the rest go."""

from __future__ import annotations

from collections.abc import Callable
import threading
import traceback
from typing import Generic, TypeVar

Item = TypeVar('Item')


class NewestWorker(Generic[Item]):
    """Works on one thing at a time, beside whoever offers them, who never waits.

    Example: offered 1, 2 and 3, the second and third while it works on the first, it works on 1
    and 3.
    """

    def __init__(self, work: Callable[[Item], None], failed: Callable[[str], None], *, name: str):
        """Start the thread.

        Args:
            work: Called in the thread.
            failed: Told the traceback when it raised; nothing is worked on from then on.
            name: Of the thread.
        """
        self._work, self._failed = work, failed
        self._condition = threading.Condition()
        self._next: tuple[Item] | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> bool:
        """Hand over the newest thing; return whether one went that was never begun."""
        with self._condition:
            is_late = self._next is not None
            self._next = (item,)
            self._condition.notify()
        return is_late

    def stop(self) -> None:
        """End the thread after what it works on now."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work_until_stopped()
        except Exception:  # noqa: BLE001 - the edge of this thread; reported with its traceback
            self._failed(traceback.format_exc())

    def _work_until_stopped(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._next is not None or self._is_stopping)
                if self._is_stopping or self._next is None:
                    return
                (item,), self._next = self._next, None
            self._work(item)
