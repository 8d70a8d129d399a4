"""Settings of recording, pretraining and cloning: the command line's options.

Light: no torch, no simulator, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from roboadapt_ros.adapters.placement import Placement
from roboadapt_ros.config import require_plain_name
from roboadapt_ros.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Settings of one recording."""

    task: str = field(metadata={'help': 'task to demonstrate'})
    out: Path = field(metadata={'help': 'folder to write episodes into'})
    episodes: int = field(default=300, metadata={'help': 'episodes to record', 'minimum': 1})
    seed: int = field(
        default=100_000, metadata={'help': 'seed of the first episode', 'minimum': 0}
    )
    noise_m: float = field(
        default=0.012,
        metadata={
            'help': 'disturbance of the executed motion',
            'unit': 'm',
            'minimum': 0.0,
            'maximum': 0.1,
        },
    )
    noisy_share: float = field(default=0.7, metadata={'help': 'share of disturbed episodes'})
    policy: Path | None = field(
        default=None,
        metadata={'help': 'models folder whose package of the task drives, the expert labels'},
    )
    expert_share: float = field(
        default=0.3, metadata={'help': 'with a policy: chance that the expert drives a stretch'}
    )
    linger_steps: int = field(
        default=4, metadata={'help': 'steps recorded after success', 'minimum': 0}
    )
    time_limit_s: float = field(
        default=12.0,
        metadata={'help': 'longest episode', 'unit': 's', 'minimum': 0.1, 'maximum': 600.0},
    )

    def __post_init__(self) -> None:
        """Check shares and counts."""
        for name in ('noisy_share', 'expert_share'):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(name, getattr(self, name), 'must be 0..1')


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of one pretraining run."""

    data: tuple[Path, ...] = field(metadata={'help': 'folders of recorded episodes'})
    out: Path = field(metadata={'help': 'folder of the backbone package to write'})
    image_size: int = field(
        default=128,
        metadata={'help': 'side of the input', 'unit': 'px', 'minimum': 16, 'maximum': 1024},
    )
    patch_size: int = field(
        default=16, metadata={'help': 'side of a patch', 'unit': 'px', 'minimum': 4}
    )
    width: int = field(default=128, metadata={'help': 'channels of a token', 'minimum': 8})
    depth: int = field(default=6, metadata={'help': 'transformer blocks', 'minimum': 1})
    heads: int = field(default=4, metadata={'help': 'attention heads', 'minimum': 1})
    pooled_channels: int = field(
        default=16, metadata={'help': 'channels of a pooled token', 'minimum': 1}
    )
    keep_ratio: float = field(default=0.3, metadata={'help': 'share of patches the encoder sees'})
    steps: int = field(default=3000, metadata={'help': 'gradient steps', 'minimum': 1})
    batch: int = field(default=128, metadata={'help': 'images per step', 'minimum': 1})
    learning_rate: float = field(
        default=1e-3, metadata={'help': 'peak learning rate', 'minimum': 1e-8, 'maximum': 1.0}
    )
    every: int = field(
        default=2, metadata={'help': 'use every n-th step of an episode', 'minimum': 1}
    )
    seed: int = field(
        default=0, metadata={'help': 'seed of weights, masks and order', 'minimum': 0}
    )
    threads: int = field(default=2, metadata={'help': 'torch threads', 'minimum': 1})
    force: bool = field(default=False, metadata={'help': 'replace the package that is there'})

    def __post_init__(self) -> None:
        """Check the ratio and the pooling."""
        if not 0.05 <= self.keep_ratio <= 0.9:
            raise ConfigError('keep_ratio', self.keep_ratio, 'must be 0.05..0.9')
        for name, whole in (
            ('pooled_channels', 'width'),
            ('heads', 'width'),
            ('patch_size', 'image_size'),
        ):
            value, total = getattr(self, name), getattr(self, whole)
            if value < 1 or total % value:
                raise ConfigError(name, value, f'must divide {whole} ({total})')


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Placement):
    """Settings of one cloning run."""

    task: str = field(
        metadata={'help': "task to learn, names the package; 'TASK@VERSION' keeps others"}
    )
    data: tuple[Path, ...] = field(metadata={'help': 'folders of recorded episodes'})
    backbone: Path = field(metadata={'help': 'folder of the frozen backbone'})
    out: Path = field(metadata={'help': 'folder of task packages to write into'})
    hidden: tuple[int, ...] = field(
        default=(256, 256), metadata={'help': 'layers of the head', 'minimum': 1}
    )
    top_steps: int = field(
        default=4000, metadata={'help': 'steps of the first stage', 'minimum': 0}
    )
    steps: int = field(default=1500, metadata={'help': 'steps of the second stage', 'minimum': 0})
    top_batch: int = field(
        default=256, metadata={'help': 'samples per step, first stage', 'minimum': 1}
    )
    batch: int = field(
        default=64, metadata={'help': 'samples per step, second stage', 'minimum': 1}
    )
    learning_rate: float = field(
        default=1e-3, metadata={'help': 'peak learning rate', 'minimum': 1e-8, 'maximum': 1.0}
    )
    weight_decay: float = field(
        default=1e-3, metadata={'help': 'AdamW weight decay', 'minimum': 0.0}
    )
    dropout: float = field(
        default=0.1, metadata={'help': 'dropout in the head', 'minimum': 0.0, 'maximum': 0.95}
    )
    probe_weight: float = field(
        default=0.5, metadata={'help': 'weight of the position loss', 'minimum': 0.0}
    )
    brightness: float = field(
        default=0.15,
        metadata={'help': 'brightness and contrast jitter', 'minimum': 0.0, 'maximum': 1.0},
    )
    seed: int = field(default=0, metadata={'help': 'seed of weights and order', 'minimum': 0})
    threads: int = field(default=2, metadata={'help': 'torch threads', 'minimum': 1})
    start: Path | None = field(
        default=None,
        metadata={
            'help': 'task package to go on from; its normaliser is kept, stage one left out'
        },
    )
    checkpoint_every: int = field(
        default=250, metadata={'help': 'steps between checkpoints', 'minimum': 1}
    )
    resume: bool = field(default=False, metadata={'help': 'go on from the last checkpoint'})
    force: bool = field(default=False, metadata={'help': 'replace a package of this name'})

    def __post_init__(self) -> None:
        """Check the version's name, and that there is something to train."""
        from roboadapt_ros.adapters.package import VERSION_MARK

        _, mark, version = self.task.partition(VERSION_MARK)
        if mark:
            require_plain_name(f"version in task '{self.task}'", version)
        if self.top_steps + self.steps <= 0:
            raise ConfigError(
                'steps', self.steps, 'the two stages together need at least one step'
            )
