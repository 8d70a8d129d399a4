"""`roboadapt bench encoder`: what adapters add to a forward pass, by the bare backbone.

Every family on random weights, one frame and eight, default adapters, on the same engine and in
turn with the backbone alone. Beside that: how far ONNX Runtime is from torch, what 8 bits gain
and cost, and how long the encoder node takes from its start to its first features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import importlib.util
from pathlib import Path
import tempfile

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench import peers
from roboadapt_ros.bench.models import random_backbone, random_tensors, RandomBackbone
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bench.timing import interleave
from roboadapt_ros.encoder.engine import Engine
from roboadapt_ros.encoder.graphs import GraphStore
from roboadapt_ros.encoder.places import BARE, Places
from roboadapt_ros.encoder.select import load_engine
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.progress import Progress, silent

BATCHES = {1: 4, 8: 1}
"""Sizes of a batch, and how often each is run a round: a short pass is measured less exactly."""
QUANTISED = 'vit'
"""Family that is run in 8 bits."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Settings of the measurement."""

    vit: str = field(default='vit_small_patch16_224', metadata={'help': "timm's name of the ViT"})
    resnet: str = field(default='resnet50', metadata={'help': "timm's name of the ResNet"})
    nfnet: str = field(default='dm_nfnet_f0', metadata={'help': "timm's name of the NFNet"})
    image_size: int = field(default=224, metadata={'help': 'side of the input', 'unit': 'px'})
    rounds: int = field(
        default=30,
        metadata={'help': 'times everything is run in turn; a single image four times as often'},
    )
    threads: int = field(default=2, metadata={'help': 'threads of one forward pass'})
    onnx: bool = field(default=True, metadata={'help': 'measure ONNX Runtime too'})
    node: bool = field(default=True, metadata={'help': "measure the encoder node's start too"})
    peers: bool = field(default=True, metadata={'help': 'measure peft and adapters too'})

    def __post_init__(self) -> None:
        """Check there is something to run."""
        for name in ('rounds', 'threads'):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), 'must be 1 or more')

    @property
    def models(self) -> dict[str, str]:
        """Model by family."""
        return {'vit': self.vit, 'resnet': self.resnet, 'nfnet': self.nfnet}


def run(config: EncoderConfig, progress: Progress = silent) -> BenchResult:
    """Measure every family, then the rest.

    Raises:
        RoboAdaptError: As `load_engine`; the node or the peers failed.
    """
    figures: dict[str, float] = {}
    notes: list[str] = []
    for family in config.models:
        figures |= _family(config, family, progress)
    if config.node and importlib.util.find_spec('rclpy') is None:
        notes.append("ROS 2 is not installed: the encoder node's start was not measured.")
    elif config.node:
        from roboadapt_ros.bench.node_start import node_start_s

        progress(0, 0, 'starting the encoder node')
        figures['node_start_s'] = node_start_s()
    if config.peers:
        progress(0, 0, 'measuring the peers')
        found = peers.measure(['forward'], rounds=config.rounds, threads=config.threads)
        figures |= found
        notes += [] if found else [peers.HOW_TO_INSTALL]
    return BenchResult(bench='encoder', figures=figures, notes=tuple(notes))


def _family(config: EncoderConfig, family: str, progress: Progress) -> dict[str, float]:
    progress(0, 0, f'making {config.models[family]}')
    with tempfile.TemporaryDirectory() as folder:
        base = random_backbone(Path(folder), config.models[family], config.image_size)
        engine = load_engine(base.path, EngineKind.TORCH, threads=config.threads)
        figures = _ratios(config, base, engine, family, progress)
        adapters = random_tensors(base.default_layout, 0)
        figures[f'{family}_values'] = float(sum(array.size for array in adapters.values()))
        if config.onnx:
            figures |= _onnx(config, base, engine, family, progress)
    return figures


def _ratios(
    config: EncoderConfig, base: RandomBackbone, engine: Engine, prefix: str, progress: Progress
) -> dict[str, float]:
    """Return the figures of a forward pass with adapters by one without."""
    handle = engine.add(base.default_layout, random_tensors(base.default_layout, 0))
    figures: dict[str, float] = {}
    for batch, times in BATCHES.items():
        images, rounds = base.images(batch), times * config.rounds
        what = f'{prefix}, batch {batch}'
        timings = interleave(
            {
                'bare': lambda images=images: engine.run(images, None),
                'adapted': lambda images=images: engine.run(images, handle),
            },
            rounds=rounds,
            each=lambda done, rounds=rounds, what=what: progress(done, rounds, what),
        )
        figures |= timings.figures(f'{prefix}_batch{batch}', 'adapted', 'bare')
    return figures


def _onnx(
    config: EncoderConfig, base: RandomBackbone, torch: Engine, family: str, progress: Progress
) -> dict[str, float]:
    """Return the figures of ONNX Runtime: its ratios, its distance from torch, and 8 bits."""
    progress(0, 0, f'exporting {base.manifest.id}')
    onnx = load_engine(base.path, EngineKind.ONNX, threads=config.threads)
    figures = _ratios(config, base, onnx, f'onnx_{family}', progress)
    exact, found = _adapted(torch, base), _adapted(onnx, base)
    figures[f'onnx_parity_{family}'] = float(np.abs(found - exact).max() / np.abs(exact).max())
    if family != QUANTISED:
        return figures
    progress(0, 0, f'exporting {base.manifest.id} in 8 bits')
    _export_int8(base, config.threads)
    int8 = load_engine(base.path, EngineKind.ONNX_INT8, threads=config.threads)
    image, rounds = base.images(1), BATCHES[1] * config.rounds
    adapters = base.default_layout, random_tensors(base.default_layout, 0)
    own, own_int8 = onnx.add(*adapters), int8.add(*adapters)
    timings = interleave(
        {'float': lambda: onnx.run(image, own), 'int8': lambda: int8.run(image, own_int8)},
        rounds=rounds,
        each=lambda done: progress(done, rounds, '8 bits'),
    )
    error = np.linalg.norm(_adapted(int8, base) - exact) / np.linalg.norm(exact)
    return figures | {
        'int8_speedup': timings.ratio('float', 'int8'),
        'int8_feature_error': float(error),
    }


def _export_int8(base: RandomBackbone, threads: int) -> None:
    """Export the graphs the 8-bit engine runs, with their error measured as it asks for."""
    from roboadapt_ros.encoder.export import export_int8
    from roboadapt_ros.encoder.torch_engine import TorchEngine

    engine = TorchEngine(base.path, threads=threads)
    with GraphStore(base.path, base.manifest).exporting() as folder:
        for places in (BARE, Places.of(base.default_layout)):
            export_int8(base.path, engine, places, folder)


def _adapted(engine: Engine, base: RandomBackbone) -> npt.NDArray[np.float32]:
    """Return features of a batch under adapters, the same whatever the engine."""
    handle = engine.add(base.default_layout, random_tensors(base.default_layout, 0))
    return engine.run(base.images(max(BATCHES)), handle)
