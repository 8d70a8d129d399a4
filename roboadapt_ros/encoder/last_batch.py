"""What was last made of several tasks' adapters, kept while those tasks are there.

Candidates ride along on every frame: their adapters are put together once. When one of the tasks
goes, so does what was made of it: an engine holds no memory of a task nobody refers to any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
import weakref

from roboadapt_ros.encoder.engine import AdapterHandle

Made = TypeVar('Made')
_Refs = tuple['weakref.ref[AdapterHandle] | None', ...]


class LastBatch(Generic[Made]):
    """Keeps one thing, made of tasks in an order. For any thread."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: tuple[_Refs, Made] | None = None

    def of(self, tasks: Sequence[AdapterHandle | None], make: Callable[[], Made]) -> Made:
        """Return what `make` gave for these tasks, calling it if the last ones were others."""
        refs = tuple(None if task is None else weakref.ref(task, self._forget) for task in tasks)
        kept = self._kept  # another thread may replace it
        if kept is None or kept[0] != refs:
            kept = refs, make()
            self._kept = kept
        return kept[1]

    def _forget(self, gone: weakref.ref[AdapterHandle]) -> None:
        """Let go of what is kept: one of its tasks is gone."""
        del gone
        self._kept = None
