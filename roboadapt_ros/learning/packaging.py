"""From a trained model to a task package with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.package import (
    save_package,
    TaskManifest,
    TaskPackage,
    VERSION_MARK,
)
from roboadapt_ros.adapters.pictures import write_picture

if TYPE_CHECKING:
    from roboadapt_ros.learning.settings import TrainConfig
    from roboadapt_ros.learning.train import Trainer

DESCRIPTIONS = {
    'lift_red': 'Grasp the red object and lift it clear of the table.',
    'push_blue': 'Push the blue object onto the marked place.',
}


def task_tensors(trainer: Trainer) -> dict[str, npt.NDArray[np.float32]]:
    """Return adapter and head tensors named as `layout.task_shapes`."""
    tensors = {}
    for part in ('adapters', 'head'):
        for name, tensor in getattr(trainer.model, part).state_dict().items():
            tensors[f'{part}.{name}'] = tensor.detach().cpu().numpy()
    return tensors


def package_task(config: TrainConfig, trainer: Trainer, provenance: dict[str, Any]) -> TaskPackage:
    """Write the package with its card and one reference picture per camera; see `save_package`."""
    model = trainer.model
    backbone = model.backbone.manifest
    task, _, version = config.task.partition(VERSION_MARK)
    manifest = TaskManifest(
        schema_version=1,
        task=task,
        version=version or None,
        description=DESCRIPTIONS.get(task, task),
        backbone_id=backbone.id,
        backbone_digest=backbone.digest,
        backbone_settings=backbone.settings_digest,
        adapters=model.adapters.layout,
        head=model.head.layout,
        contract=trainer.contract,
        normaliser=trainer.normaliser,
        weights_sha256='',
        provenance=provenance,
    )
    base = model.backbone.parameter_count

    def add_pictures(folder: Path) -> None:
        for index, camera in enumerate(trainer.contract.cameras):
            write_picture(folder, camera.name, trainer.data.images[0, index].numpy())

    return save_package(
        config.out / config.task,
        manifest,
        task_tensors(trainer),
        task_card(manifest, model.adapters.parameter_count, base),
        add_files=add_pictures,
    )


def task_card(manifest: TaskManifest, adapter_count: int, base_count: int) -> str:
    """Return the model card, Markdown."""
    contract, data = manifest.contract, manifest.provenance
    lines = [
        f'# {manifest.package_name}',
        '',
        manifest.description,
        '',
        '| | |',
        '|---|---|',
        f'| backbone | `{manifest.backbone_id}` ({manifest.backbone_digest[:12]}), frozen |',
        f'| adapters | {adapter_count:,} values, {100 * adapter_count / base_count:.1f} % of the '
        f'backbone: bottom {manifest.adapters.bottom}, middle {list(manifest.adapters.middle)}, '
        f'top {manifest.adapters.top} |',
        f'| cameras | {", ".join(f"{c.name} {c.width}x{c.height}" for c in contract.cameras)} |',
        f'| actions | {contract.action_space.value}, {contract.chunk_length} rows at '
        f'{contract.rate_hz:g} Hz, gripper {contract.gripper.value} |',
        '| licence | Apache-2.0; trained on renderings of dm_robotics assets (Apache-2.0) |',
        '',
        '## How it was made',
        '',
        *[f'- {key}: {value}' for key, value in data.items()],
        '',
        'Measured success is in `docs/results.md`. Trained in simulation only; not tried on a '
        'real arm.',
        '',
    ]
    return '\n'.join(lines)
