"""What a cloning run leads to, settled before its episodes are read.

Reading them takes minutes and training hours, so whatever can be refused is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import hashlib
import json
import time
from typing import Any

from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout
from roboadapt_ros.adapters.package import (
    load_package,
    require_loadable,
    TaskPackage,
    VERSION_MARK,
)
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.config import require_plain_name, to_mapping
from roboadapt_ros.contract import Contract
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.settings import TrainConfig

_DECIDING = (
    'task',
    'top_steps',
    'top_batch',
    'batch',
    'learning_rate',
    'weight_decay',
    'dropout',
    'probe_weight',
    'brightness',
    'seed',
)
"""Settings that decide what comes out; the second stage's steps may change on the way."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run whose settings, backbone and contract fit together."""

    config: TrainConfig
    backbone: FrozenBackbone
    contract: Contract
    adapters: AdapterLayout
    head: HeadLayout
    start: TaskPackage | None
    """Package to go on from."""
    began: float = field(default_factory=time.monotonic)
    """Monotonic time [s]."""

    def identity(self, data_sha256: str) -> dict[str, Any]:
        """Return what makes a run this one: a checkpoint of another must not be resumed.

        Args:
            data_sha256: As `dataset.data_hash`.
        """
        backbone = self.backbone.manifest
        return {name: getattr(self.config, name) for name in _DECIDING} | {
            'backbone': backbone.digest,
            'backbone_settings': backbone.settings_digest,
            'data_sha256': data_sha256,
            'contract': _sha256(self.contract),
            'adapters': to_mapping(self.adapters),
            'head': to_mapping(self.head),
            'start': None if self.start is None else self.start.digest,
        }


def make_plan(config: TrainConfig, backbone: FrozenBackbone, contract: Contract) -> Plan:
    """Settle a run.

    Raises:
        ConfigError: The package's name, a site, a width or the head's size is not possible, or
            the package to go on from has another layout.
        PackageError: The package would be too large to be loaded, or the one to go on from
            can't be read or is of another backbone.
    """
    require_plain_name('task', config.task.partition(VERSION_MARK)[0])
    adapters = config.layout(backbone)
    head = HeadLayout(
        feature_size=backbone.features_per_camera * len(contract.cameras),
        proprio_size=contract.proprio_size,
        hidden=config.hidden,
        chunk_length=contract.chunk_length,
        action_size=contract.action_size,
    )
    require_loadable(config.out / config.task, adapters, head)
    start = None if config.start is None else load_package(config.start)
    if start is not None:
        start.require_backbone(backbone.manifest)
        if (adapters, head) != (start.manifest.adapters, start.manifest.head):
            raise ConfigError('start', str(start.path), f'must have the layout {(adapters, head)}')
    return Plan(
        config=config,
        backbone=backbone,
        contract=contract,
        adapters=adapters,
        head=head,
        start=start,
    )


def _sha256(contract: Contract) -> str:
    text = json.dumps(to_mapping(contract), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
