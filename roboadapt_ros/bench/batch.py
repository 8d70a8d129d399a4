"""`roboadapt bench batch`: several tasks in one forward pass, by the bare backbone or one task.

Eight tasks in one batch of eight frames, and eight tasks on one frame: adapters in the last
blocks only, or above the last block, where all but those blocks run once for all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
import tempfile

from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.bench import peers
from roboadapt_ros.bench.models import MIDDLE, random_backbone, random_tensors, RandomBackbone, TOP
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bench.timing import interleave, Timings
from roboadapt_ros.encoder.engine import AdapterHandle, Engine
from roboadapt_ros.encoder.select import load_engine
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Settings of the measurement."""

    model: str = field(default='vit_small_patch16_224', metadata={'help': "timm's name of it"})
    image_size: int = field(default=224, metadata={'help': 'side of the input', 'unit': 'px'})
    tasks: int = field(default=8, metadata={'help': 'tasks in one forward pass'})
    last_blocks: int = field(
        default=2, metadata={'help': 'blocks with adapters where the frame is shared'}
    )
    rounds: int = field(default=30, metadata={'help': 'times everything is run in turn'})
    threads: int = field(default=2, metadata={'help': 'threads of one forward pass'})
    engine: EngineKind = field(default=EngineKind.TORCH, metadata={'help': 'what runs it'})
    peers: bool = field(default=True, metadata={'help': 'measure peft and adapters too'})

    def __post_init__(self) -> None:
        """Check there is something to run."""
        for name in ('tasks', 'last_blocks', 'rounds', 'threads'):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), 'must be 1 or more')


def run(config: BatchConfig, progress: Progress = silent) -> BenchResult:
    """Measure on a backbone of random weights.

    Raises:
        RoboAdaptError: As `load_engine`, or the peers failed.
    """
    progress(0, 0, f'making {config.model}')
    with tempfile.TemporaryDirectory() as folder:
        base = random_backbone(Path(folder), config.model, config.image_size)
        engine = load_engine(base.path, config.engine, threads=config.threads)
        figures = _mixed(config, base, engine, progress) | _shared(config, base, engine, progress)
    notes: tuple[str, ...] = ()
    if config.peers:
        progress(0, 0, 'measuring the peers')
        found = peers.measure(['mixed'], rounds=config.rounds, threads=config.threads)
        figures |= found
        notes = () if found else (peers.HOW_TO_INSTALL,)
    return BenchResult(bench='batch', figures=figures, notes=notes)


def _mixed(
    config: BatchConfig, base: RandomBackbone, engine: Engine, progress: Progress
) -> dict[str, float]:
    """Return the figures of a batch with a task for every frame."""
    handles = _add(engine, base.default_layout, config.tasks)
    images = base.images(config.tasks)
    timings = interleave(
        {
            'bare': lambda: engine.run(images, None),
            'mixed': lambda: engine.run_mixed(images, handles),
        },
        rounds=config.rounds,
        each=lambda done: progress(done, config.rounds, 'one task per frame'),
    )
    return timings.figures(f'mixed{config.tasks}', 'mixed', 'bare')


def _shared(
    config: BatchConfig, base: RandomBackbone, engine: Engine, progress: Progress
) -> dict[str, float]:
    """Return the figures of tasks that share a frame, and what lies below their adapters."""
    backbone = base.backbone
    last = min(config.last_blocks, backbone.depth)
    widths = [0] * (backbone.depth - last) + [MIDDLE] * last
    layouts = {'prefix': backbone.layout(middle=widths, top=TOP), 'top': backbone.layout(top=TOP)}
    figures: dict[str, float] = {}
    for name, layout in layouts.items():
        timings = _one_and_all(config, engine, layout, base, progress)
        figures |= timings.figures(f'shared_{name}{config.tasks}', 'all', 'one')
    return figures


def _one_and_all(
    config: BatchConfig,
    engine: Engine,
    layout: AdapterLayout,
    base: RandomBackbone,
    progress: Progress,
) -> Timings:
    handles, image = _add(engine, layout, config.tasks), base.images(1)
    return interleave(
        {
            'one': lambda: engine.run(image, handles[0]),
            'all': lambda: engine.run_shared(image, handles),
        },
        rounds=config.rounds,
        each=lambda done: progress(done, config.rounds, 'all tasks on one frame'),
    )


def _add(engine: Engine, layout: AdapterLayout, tasks: int) -> list[AdapterHandle]:
    return [engine.add(layout, random_tensors(layout, seed)) for seed in range(tasks)]
