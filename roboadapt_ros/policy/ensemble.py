"""Temporal ensembling of overlapping chunks.

Chunks predicted at successive observations overlap in time; their targets for the same
moment are averaged with weights that decay with the age of the prediction (after "Learning
Fine-Grained Bimanual Manipulation with Low-Cost Hardware", RSS 2023, which favours the
oldest; favouring the newest reacts faster and is the default here).

Example, decay 0.5, two chunks one period apart: a moment both cover gets
(new + e^-0.5 old) / (1 + e^-0.5).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from roboadapt_ros.dataflow import ActionChunk


class TemporalEnsembler:
    """Averages the newest chunks of one switch generation."""

    def __init__(self, *, max_chunks: int = 4, decay: float = 0.5):
        """Set how many chunks are kept and how fast older ones lose weight.

        Args:
            max_chunks: Newest chunks averaged, >= 1.
            decay: Weight of a chunk that is i chunks old is ``exp(-decay * i)``.
        """
        self.decay = decay
        self._chunks: deque[ActionChunk] = deque(maxlen=max_chunks)

    def reset(self) -> None:
        """Forget all chunks."""
        self._chunks.clear()

    def add(self, chunk: ActionChunk) -> ActionChunk:
        """Return `chunk` averaged with the earlier ones where they overlap in time.

        A chunk of another generation clears what came before: tasks are never averaged.
        """
        if self._chunks and self._chunks[-1].identity.generation != chunk.identity.generation:
            self.reset()
        self._chunks.append(chunk)
        return replace(chunk, actions=self._average(chunk))

    def _average(self, chunk: ActionChunk) -> npt.NDArray[np.float64]:
        period_ns = round(chunk.period_s * 1e9)
        rows = np.empty_like(chunk.actions)
        for index in range(len(rows)):
            due_ns = chunk.start_ns + (index + 1) * period_ns
            total, weight_sum = np.zeros(rows.shape[1]), 0.0
            for age, earlier in enumerate(reversed(self._chunks)):
                last_ns = earlier.start_ns + len(earlier.actions) * period_ns
                if age == 0 or due_ns <= last_ns:
                    weight = float(np.exp(-self.decay * age))
                    total += weight * (
                        chunk.actions[index] if age == 0 else earlier.sample(due_ns)
                    )
                    weight_sum += weight
            rows[index] = total / weight_sum
        return rows
