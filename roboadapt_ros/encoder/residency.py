"""The tasks held in memory, under a bound: the least recently used gives way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.encoder.engine import AdapterHandle
from roboadapt_ros.errors import RefusedError, UnknownNameError

DEFAULT_MAX_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class ResidentTask:
    """A task held in memory, ready to serve."""

    package: TaskPackage
    handle: AdapterHandle


class Residency:
    """Tasks by name, least recently used first. Not safe for threads; its owner locks.

    Example, room for two: after `put(a)`, `put(b)`, `use('a')`, making room for c drops b.
    """

    def __init__(self, max_bytes: int):
        """Hold adapter tensors of at most `max_bytes` [bytes]."""
        self.max_bytes = max_bytes
        self._tasks: OrderedDict[str, ResidentTask] = OrderedDict()

    @property
    def names(self) -> tuple[str, ...]:
        """Tasks held, sorted."""
        return tuple(sorted(self._tasks))

    @property
    def nbytes(self) -> int:
        """Bytes of their adapters."""
        return sum(task.handle.nbytes for task in self._tasks.values())

    def get(self, name: str) -> ResidentTask:
        """Return a task.

        Raises:
            UnknownNameError: It is not held; the message has the nearest name.
        """
        if name not in self._tasks:
            raise UnknownNameError('resident task', name, self._tasks)
        return self._tasks[name]

    def use(self, name: str) -> None:
        """Note that a task is used now, if it is held."""
        if name in self._tasks:
            self._tasks.move_to_end(name)

    def put(self, task: ResidentTask) -> None:
        """Hold a task, in the place of another version of it."""
        self._tasks.pop(task.package.task, None)
        self._tasks[task.package.task] = task

    def drop(self, name: str) -> None:
        """Let go of a task."""
        del self._tasks[name]

    def make_room(self, task: str, needed: int, staying: Collection[str]) -> tuple[str, ...]:
        """Let go of the least recently used tasks until another one fits.

        Args:
            task: What is to be held; replaces a task of its name.
            needed: Its size as the engine holds it [bytes].
            staying: Tasks in use, which do not give way.

        Returns:
            The tasks let go of.

        Raises:
            RefusedError: 'memory': it does not fit beside the tasks in use; none is let go of.
        """
        sizes = {name: task.handle.nbytes for name, task in self._tasks.items()}
        excess = self.nbytes - sizes.get(task, 0) + needed - self.max_bytes
        leaving = []
        for name in self._tasks:
            if excess <= 0:
                break
            if name not in staying and name != task:
                leaving.append(name)
                excess -= sizes[name]
        if excess > 0:
            raise RefusedError(
                'memory',
                f"task '{task}' needs {needed:,} bytes beside the tasks in use; "
                f'the bound is {self.max_bytes:,}. Raise max_resident_mb of the encoder',
            )
        for name in leaving:
            del self._tasks[name]
        return tuple(leaving)
