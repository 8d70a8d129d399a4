"""Switching among resident tasks while another thread encodes without a pause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import tempfile
import threading
import time

import numpy as np
from roboadapt_ros.bench.models import CAMERA, random_backbone, random_tasks
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.evaluation.statistics import percentile

PAUSE_S = 0.01
"""Longest random pause before a switch [s]: it then falls anywhere in a forward pass."""


def resident_figures(
    model: str,
    image_size: int,
    *,
    tasks: int,
    switches: int,
    threads: int,
    seed: int,
    kind: EngineKind = EngineKind.TORCH,
    each: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Return how long a caller waits for a switch, on a backbone of random weights.

    Args:
        model: timm's name of the backbone.
        image_size: Side of its input [px].
        tasks: Resident tasks.
        switches: Switches to make at random times.
        threads: Threads of one forward pass.
        seed: Seed of tasks and times.
        kind: Which engine encodes.
        each: Told the number of switches after each.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = random_backbone(Path(folder), model, image_size)
        names = random_tasks(base, tasks)
        encoder = load_encoder(Path(folder), base.manifest.id, kind=kind, threads=threads)
        for name in names:
            encoder.stage(name)
    encoder.activate(names[0])
    rng = np.random.default_rng(seed)
    waits_us, current = [], names[0]
    with _Encoding(encoder, image_size) as encoding:
        for number in range(switches):
            current = str(rng.choice([name for name in names if name != current]))
            time.sleep(rng.uniform(0.0, PAUSE_S))
            start_ns = time.perf_counter_ns()
            encoder.activate(current)
            waits_us.append((time.perf_counter_ns() - start_ns) / 1e3)
            each(number + 1)
    return {
        f'resident{tasks}_switch_us_p50': percentile(waits_us, 50),
        f'resident{tasks}_switch_us_p99': percentile(waits_us, 99),
        f'resident{tasks}_encodes_meanwhile': encoding.count,
    }


class _Encoding:
    """A thread that encodes one frame after the other, as a context."""

    def __init__(self, encoder: TaskEncoder, size: int):
        self._encoder, self._frame = encoder, np.zeros((size, size, 3), np.uint8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='encoding')
        self.count = 0

    def __enter__(self) -> _Encoding:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._encoder.encode({CAMERA: self._frame}, {CAMERA: 1}, 1, lambda: 1)
            self.count += 1
