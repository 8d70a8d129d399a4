"""`roboadapt bench memory`: what 32 resident tasks take beyond one, by their tensors' bytes.

A fresh process loads the backbone, stages a task from disk as the encoder node does, encodes,
and reads its own memory from the system; then it stages the other tasks and does so again.
"""

from __future__ import annotations

from collections.abc import Sequence
import ctypes
from dataclasses import dataclass, field
import gc
import json
import math
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from roboadapt_ros.bench.models import CAMERA, random_backbone, random_tasks
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.learning.progress import Progress, silent

PASSES = 3
"""Forward passes before memory is read: the libraries' own buffers are there by then."""
TIMEOUT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Settings of the measurement."""

    model: str = field(default='vit_small_patch16_224', metadata={'help': "timm's name of it"})
    image_size: int = field(default=224, metadata={'help': 'side of the input', 'unit': 'px'})
    tasks: int = field(default=32, metadata={'help': 'resident tasks'})
    runs: int = field(default=3, metadata={'help': 'fresh processes; their median counts'})
    threads: int = field(default=2, metadata={'help': 'threads of one forward pass'})
    engine: EngineKind = field(default=EngineKind.TORCH, metadata={'help': 'what runs it'})

    def __post_init__(self) -> None:
        """Check there are tasks beyond one."""
        if self.tasks < 2:
            raise ConfigError('tasks', self.tasks, 'must be 2 or more')
        for name in ('runs', 'threads'):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), 'must be 1 or more')


def run(config: MemoryConfig, progress: Progress = silent) -> BenchResult:
    """Measure on a backbone of random weights.

    Raises:
        RoboAdaptError: As `load_encoder`.
        BringupError: The process failed.
    """
    progress(0, config.runs, f'making {config.model} and {config.tasks} tasks')
    with tempfile.TemporaryDirectory() as folder:
        base = random_backbone(Path(folder), config.model, config.image_size)
        settings = {
            'models_dir': folder,
            'backbone_id': base.manifest.id,
            'kind': config.engine.value,
            'threads': config.threads,
            'tasks': random_tasks(base, config.tasks),
        }
        del base
        runs = []
        for number in range(config.runs):
            progress(number, config.runs, 'measuring in a fresh process')
            runs.append(memory_figures(**_in_a_process(settings)))
    progress(config.runs, config.runs, 'done')
    figures = {name: float(np.median([found[name] for found in runs])) for name in runs[0]}
    return BenchResult(bench='memory', figures=figures)


def _in_a_process(settings: dict[str, Any]) -> dict[str, Any]:
    """Run this module as a program and return what it found."""
    words = [sys.executable, '-m', __name__, json.dumps(settings)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise BringupError(f'The measured process failed: {" ".join(last)}')
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_figures(
    tasks: int, one: dict[str, float], all_: dict[str, float], tensors: float, engine: float
) -> dict[str, float]:
    """Return the figures of a process's memory [bytes] with one task and with all.

    Args:
        tasks: Number of tasks in the end.
        one: Memory with one task: 'uss', its own pages, and 'rss', shared ones included.
        all_: Memory with all tasks.
        tensors: Adapter tensors of the tasks beyond the first.
        engine: What the encoder says it holds for them.
    """
    return {
        f'resident{tasks}_ratio': (all_['uss'] - one['uss']) / tensors,
        f'resident{tasks}_rss_ratio': (all_['rss'] - one['rss']) / tensors,
        f'resident{tasks}_held_ratio': engine / tensors,
        f'resident{tasks}_tensors_mb': tensors / 1e6,
        'process_one_task_mb': one['uss'] / 1e6,
    }


def process_memory(smaps_rollup: str) -> dict[str, float]:
    """Return a process's memory [bytes] from the text of its /proc/<pid>/smaps_rollup."""
    kib = {
        line.split(':')[0]: float(line.split()[1])
        for line in smaps_rollup.splitlines()
        if line.endswith('kB')
    }
    uss_kib = kib['Private_Clean'] + kib['Private_Dirty'] + kib.get('Private_Hugetlb', 0.0)
    return {'uss': 1024 * uss_kib, 'rss': 1024 * kib['Rss']}


def _own_memory() -> dict[str, float]:
    return process_memory(Path('/proc/self/smaps_rollup').read_text(encoding='ascii'))


def _give_back_free_memory() -> None:
    """Have free memory returned to the system, lest the next tasks hide in it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _measure(
    models_dir: str, backbone_id: str, kind: str, threads: int, tasks: Sequence[str]
) -> dict[str, Any]:
    """Stage one task, then all; returns the arguments of `memory_figures`."""
    encoder = load_encoder(Path(models_dir), backbone_id, kind=EngineKind(kind), threads=threads)
    _stage(encoder, tasks[:1])
    _give_back_free_memory()
    _encode(encoder, tasks[0])
    one, first = _own_memory(), encoder.resident_nbytes
    _stage(encoder, tasks[1:])
    shapes = encoder.package(tasks[0]).manifest.adapters.shapes()
    each = 4 * sum(math.prod(shape) for shape in shapes.values())  # float32
    return {
        'tasks': len(tasks),
        'one': one,
        'all_': _own_memory(),
        'tensors': (len(tasks) - 1) * each,
        'engine': encoder.resident_nbytes - first,
    }


def _stage(encoder: TaskEncoder, tasks: Sequence[str]) -> None:
    """Stage tasks and encode under each."""
    for task in tasks:
        encoder.stage(task)
    for task in tasks:
        _encode(encoder, task)


def _encode(encoder: TaskEncoder, task: str) -> None:
    camera = encoder.contract(task).cameras[0]
    frame = np.zeros((camera.height, camera.width, 3), np.uint8)
    encoder.activate(task)
    for _ in range(PASSES):
        encoder.encode({CAMERA: frame}, {CAMERA: 1}, 1, lambda: 1)


if __name__ == '__main__':
    sys.stdout.write(json.dumps(_measure(**json.loads(sys.argv[1]))))
