"""The exact engines timed against each other; `python -m roboadapt_ros.encoder.race`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
import statistics
import sys
import time

import numpy as np
from roboadapt_ros.config import save_json
from roboadapt_ros.encoder.blocked import blocked_arrays
from roboadapt_ros.encoder.choice import (
    Choice,
    choice_name,
    EXACT,
    gpu_names,
    IMAGES,
    libraries,
)
from roboadapt_ros.encoder.engine import Engine
from roboadapt_ros.encoder.examples import example_tasks
from roboadapt_ros.encoder.export import export_missing, export_usual
from roboadapt_ros.encoder.gpu import torch_sees_gpu
from roboadapt_ros.encoder.graphs import FORMAT, GraphStore, machine_name
from roboadapt_ros.encoder.onnx_engine import OnnxEngine
from roboadapt_ros.encoder.places import BARE, Places
from roboadapt_ros.encoder.select import load_engine
from roboadapt_ros.encoder.session import Session, Values
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import EngineError, RoboAdaptError

WARM_UPS = 3
ROUNDS = 15


def time_by_turns(
    calls: Mapping[str, Callable[[], object]], *, rounds: int = ROUNDS
) -> dict[str, float]:
    """Return the median time of each call [ms], after warming up, one after another in turn.

    By turns, so that whatever else the machine does falls on all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM_UPS + rounds):
        for name, call in calls.items():
            start_s = time.perf_counter()
            call()
            if number >= WARM_UPS:
                times[name].append((time.perf_counter() - start_s) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(
    engine: TorchEngine, places: Places, content: bytes, threads: int, *, block: int = 0
) -> tuple[float, float]:
    """Return the times of one image by a graph and by torch, adapters at `places` [ms].

    `block` is the record's.
    """
    backbone, side = engine.backbone, engine.manifest.image_size
    images = np.zeros((1, side, side, 3), np.uint8)
    session, handle = Session(content, threads=threads), None
    values: Values = {}
    if places.positions:
        task = example_tasks(backbone, places)[0]
        handle = engine.add(*task)
        arrays = task.arrays(maps=backbone.chain.is_convolutional)
        values = session.hold(blocked_arrays(arrays, block))
    times = time_by_turns(
        {
            'graph': partial(session.run, images, values),
            'torch': partial(engine.run, images, handle),
        }
    )
    return times['graph'], times['torch']


def race(path: Path, threads: int) -> Choice:
    """Time the engines over the bare backbone; adapters cost each next to nothing.

    One that can't serve the backbone is left out, and the outcome says why.

    Args:
        path: Folder of the backbone.
        threads: Threads of each engine.

    Raises:
        RoboAdaptError: The backbone is unreadable or not intact, or nothing can be written.
    """
    torch = TorchEngine(path, threads=threads)
    store, left_out = GraphStore(path, torch.manifest), {}
    engines: dict[EngineKind, Engine] = {EngineKind.TORCH: torch}
    others: dict[EngineKind, Callable[[], Engine]] = {
        EngineKind.ONNX: partial(_exported, torch, path, threads)
    }
    if torch_sees_gpu():
        others[EngineKind.CUDA] = partial(load_engine, path, EngineKind.CUDA, threads=threads)
    side = torch.manifest.image_size
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    for kind, load in others.items():
        try:
            engine = load()
            engine.run(images, None)
            engines[kind] = engine
        except (EngineError, RuntimeError) as error:  # torch's of a GPU that is full
            left_out[EXACT[kind]] = ' '.join(str(error).split())
    figures = time_by_turns(
        {EXACT[kind]: partial(engine.run, images, None) for kind, engine in engines.items()}
    )
    choice = Choice(
        backbone_digest=torch.manifest.digest,
        backbone_settings=torch.manifest.settings_digest,
        format=FORMAT,
        machine=machine_name(),
        gpus=gpu_names(),
        threads=threads,
        versions=libraries(),
        winner=min(engines, key=lambda kind: figures[EXACT[kind]]),
        milliseconds=figures,
        left_out=left_out,
    )
    save_json(choice, store.writable / choice_name(threads))
    return choice


def _exported(torch: TorchEngine, path: Path, threads: int) -> OnnxEngine:
    """Return the engine on ONNX Runtime, its usual graphs exported.

    Raises:
        EngineError: The bare graph can't be exported, or can't be written.
    """
    store = GraphStore(path, torch.manifest)
    with store.exporting():
        export_missing(path, torch, [BARE])
        export_usual(path, torch)
    return OnnxEngine(path, threads=threads)


def main(words: Sequence[str]) -> int:
    """Race over the backbone in words[0]; a failure is one line on stderr."""
    try:
        race(Path(words[0]), int(words[1]))
    except (RoboAdaptError, OSError) as error:
        sys.stderr.write(f'{error}\n')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
