"""Are features those of the task they name? Judged by the numbers, not by the name."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
from roboadapt_interfaces.msg import Features
from roboadapt_ros.ros.convert import from_time

TOLERANCE = 0.01
"""Largest distance of features from the expected ones, relative to their norm. Tasks differ by
far more; engines and batch sizes by 1e-5."""


class FeatureJudge:
    """Compares each features message with what each task would have given."""

    def __init__(self, expected: dict[str, npt.NDArray[np.float32]]):
        """Judge against `expected`: (pictures, features) by task."""
        self._names = tuple(expected)
        self._known = np.stack([expected[name] for name in self._names])  # (tasks, pictures, F)
        self._lock = threading.Lock()
        self.judged = 0
        self.wrong: list[str] = []
        self.stamps_ns: list[int] = []
        self.tasks: dict[int, str] = {}
        """Task by generation, as the messages say."""

    def __call__(self, message: Features) -> None:
        """Judge one message; runs in the client's thread."""
        values = np.asarray(message.features, np.float32)
        task, generation = message.identity.task, message.identity.generation
        distance = np.linalg.norm(self._known - values, axis=2) / np.linalg.norm(values)
        nearest = self._names[int(distance.min(axis=1).argmin())]
        with self._lock:
            self.judged += 1
            self.stamps_ns.append(from_time(message.header.stamp))
            if nearest != task or distance.min() > TOLERANCE:
                self.wrong.append(
                    f'generation {generation} names {task}, its numbers are of {nearest} '
                    f'(relative distance {distance.min():.2g})'
                )
            if self.tasks.setdefault(generation, task) != task:
                self.wrong.append(f'generation {generation} names two tasks')

    def seen_ns(self) -> npt.NDArray[np.int64]:
        """Return the stamps of the frames that became features, sorted."""
        with self._lock:
            return np.sort(np.array(self.stamps_ns, np.int64))
