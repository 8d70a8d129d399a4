"""`roboadapt bench gpu`: what adapters add to a forward pass on a GPU, and how near its floor.

From frames in host memory to features in host memory, both arms CUDA graphs of the same
precision: timm's own forward pass, and the same backbone with default adapters. Every batch of
every family, and a switch, with and without the fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
import tempfile
import time

import numpy as np
from roboadapt_ros.bench.models import random_backbone, random_tensors, RandomBackbone
from roboadapt_ros.bench.residency import resident_figures
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bench.timing import interleave
from roboadapt_ros.encoder.cuda_engine import CudaEngine
from roboadapt_ros.encoder.engine import AdapterHandle, Images
from roboadapt_ros.encoder.gpu import copy_bytes_per_s, gpu_name, require_gpu
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.machine import machine_facts
from roboadapt_ros.learning.progress import Progress, silent

BATCHES = (1, 2, 8)
TASKS = 8
PRECISIONS = {'f32': False, 'bf16': True}


@dataclass(frozen=True, kw_only=True)
class GpuConfig:
    """Settings of the measurement."""

    vit: str = field(default='vit_base_patch16_224', metadata={'help': "timm's name of the ViT"})
    resnet: str = field(default='resnet50', metadata={'help': "timm's name of the ResNet"})
    nfnet: str = field(default='dm_nfnet_f0', metadata={'help': "timm's name of the NFNet"})
    image_size: int = field(default=224, metadata={'help': 'side of the input', 'unit': 'px'})
    rounds: int = field(default=200, metadata={'help': 'times everything is run in turn'})
    switches: int = field(default=1000, metadata={'help': 'switches among resident tasks'})

    def __post_init__(self) -> None:
        """Check there is something to run."""
        for name in ('rounds', 'switches'):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), 'must be 1 or more')

    @property
    def models(self) -> dict[str, str]:
        """Model by family."""
        return {'vit': self.vit, 'resnet': self.resnet, 'nfnet': self.nfnet}


def run(config: GpuConfig, progress: Progress = silent) -> BenchResult:
    """Measure every family in both precisions.

    Raises:
        EngineError: torch sees no GPU.
        RoboAdaptError: As `CudaEngine`.
    """
    require_gpu()
    bytes_per_s = copy_bytes_per_s()
    figures = {'copy_gb_per_s': bytes_per_s / 1e9}
    for family in config.models:
        figures |= _family(config, family, bytes_per_s, progress)
    progress(0, 0, 'switching')
    figures |= resident_figures(
        config.vit,
        config.image_size,
        tasks=TASKS,
        switches=config.switches,
        threads=1,
        seed=0,
        kind=EngineKind.CUDA_HALF,
    )
    machine = {**machine_facts(), 'gpu': gpu_name()}
    return BenchResult(bench='gpu', figures=figures, machine=machine)


def _family(
    config: GpuConfig, family: str, bytes_per_s: float, progress: Progress
) -> dict[str, float]:
    """Return one family's figures in both precisions."""
    figures: dict[str, float] = {}
    progress(0, 0, f'making {config.models[family]}')
    with tempfile.TemporaryDirectory() as folder:
        base = random_backbone(Path(folder), config.models[family], config.image_size)
        exact = _features(TorchEngine(base.path, threads=8), base)
        for precision, half in PRECISIONS.items():
            engine, name = CudaEngine(base.path, half=half), f'{family}_{precision}'
            figures |= _forward(config, base, engine, name, progress)
            floor_ms = 1e3 * engine.weight_bytes / bytes_per_s
            figures[f'{name}_floor_ms'] = floor_ms
            figures[f'{name}_floor_fraction'] = floor_ms / figures[f'{name}_batch1_ms']
            difference = np.linalg.norm(_features(engine, base) - exact)
            figures[f'{name}_error'] = float(difference / np.linalg.norm(exact))
            plain = CudaEngine(base.path, half=half, fuse=False)
            figures |= _unfused(config, base, plain, name, progress)
    return figures


def _forward(
    config: GpuConfig, base: RandomBackbone, engine: CudaEngine, name: str, progress: Progress
) -> dict[str, float]:
    """Return the figures of one engine: batches, a switch before each frame, several tasks."""
    layout = base.default_layout
    handles = [engine.add(layout, random_tensors(layout, seed)) for seed in range(TASKS)]
    figures: dict[str, float] = {}
    for batch in BATCHES:
        images = base.images(batch)
        arms: dict[str, Callable[[], object]] = {
            'bare': lambda images=images: engine.run(images, None),
            'adapted': lambda images=images: engine.run(images, handles[0]),
        }
        if batch == 1:
            arms['shared'] = lambda images=images: engine.run_shared(images, handles)
        if batch == TASKS:
            arms['mixed'] = lambda images=images: engine.run_mixed(images, handles)
        what = f'{name}, batch {batch}'
        timings = interleave(
            arms,
            rounds=config.rounds,
            each=lambda done, what=what: progress(done, config.rounds, what),
        )
        figures |= timings.figures(f'{name}_batch{batch}', 'adapted', 'bare')
        if batch == 1:
            figures[f'{name}_switch_added_us'] = _switch_added_us(
                engine, images, handles, config.rounds
            )
            figures[f'{name}_shared{TASKS}_ratio'] = timings.ratio('shared', 'adapted')
        if batch == TASKS:
            figures[f'{name}_mixed{TASKS}_ratio'] = timings.ratio('mixed', 'bare')
    return figures


def _switch_added_us(
    engine: CudaEngine, images: Images, handles: Sequence[AdapterHandle], rounds: int
) -> float:
    """Return how much longer a frame takes under other adapters than the last one's [us].

    Frames under the same adapters are timed where those are already in the captured pass.
    """
    kept, others = handles[0], cycle(handles[1:])
    same_s, other_s = np.empty(rounds), np.empty(rounds)
    for number in range(rounds):
        engine.run(images, kept)
        for seconds, handle in ((same_s, kept), (other_s, next(others))):
            start_s = time.perf_counter()
            engine.run(images, handle)
            seconds[number] = time.perf_counter() - start_s
    return 1e6 * float(np.median(other_s) - np.median(same_s))


def _unfused(
    config: GpuConfig, base: RandomBackbone, engine: CudaEngine, name: str, progress: Progress
) -> dict[str, float]:
    """Return what adapters written in torch's own operations add."""
    image, layout = base.images(1), base.default_layout
    handle = engine.add(layout, random_tensors(layout, 0))
    timings = interleave(
        {
            'bare': lambda: engine.run(image, None),
            'adapted': lambda: engine.run(image, handle),
        },
        rounds=config.rounds,
        each=lambda done: progress(done, config.rounds, f'{name}, not fused'),
    )
    return {f'{name}_batch1_unfused_ratio': timings.ratio('adapted', 'bare')}


def _features(engine: TorchEngine, base: RandomBackbone) -> np.ndarray:
    """Return features of two images under the same adapters, whatever the engine."""
    layout = base.default_layout
    return engine.run(base.images(2), engine.add(layout, random_tensors(layout, 0)))
