"""Backbones of real size with random weights, and tasks over them, made in a folder.

How long a forward pass takes does not depend on the values of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout, task_shapes
from roboadapt_ros.adapters.package import Normaliser, save_package, TaskManifest
from roboadapt_ros.backbones.frozen import build_timm, FrozenBackbone, save_backbone
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.contract import (
    ActionSpace,
    CameraContract,
    Contract,
    GripperConvention,
    ProprioField,
    Reference,
    Rotation,
)

BOTTOM, MIDDLE, TOP = 16, 16, 64
"""Widths of the default adapters."""
POOLED_CHANNELS = 32
WEIGHT_STD = 0.02
"""Deviation of random adapter weights: enough to matter, too little to drown the backbone."""
CAMERA = 'bench'


@dataclass(frozen=True)
class RandomBackbone:
    """A backbone on disk, and what adapters over it need."""

    models_dir: Path
    backbone: FrozenBackbone

    @property
    def path(self) -> Path:
        """Folder of the backbone."""
        return self.models_dir / 'backbones' / self.manifest.id

    @property
    def manifest(self) -> BackboneManifest:
        """Identity of the backbone."""
        return self.backbone.manifest

    @property
    def default_layout(self) -> AdapterLayout:
        """Adapters at every default site."""
        return self.backbone.layout(bottom=BOTTOM, middle=MIDDLE, top=TOP)

    def images(self, count: int) -> npt.NDArray[np.uint8]:
        """Return (count, S, S, 3) of noise."""
        size = self.manifest.image_size
        rng = np.random.default_rng(count)
        return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def random_backbone(models_dir: Path, timm_name: str, image_size: int) -> RandomBackbone:
    """Write a backbone package of random weights under `models_dir`.

    Raises:
        RoboAdaptError: timm has no such model, or it belongs to none of the families.
    """
    manifest = BackboneManifest(
        schema_version=1,
        id=timm_name.replace('.', '_'),
        timm_name=timm_name,
        timm_kwargs={},
        image_size=image_size,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        pooled_channels=POOLED_CHANNELS,
        digest='',
        licence='none: random weights',
    )
    probe = np.random.default_rng(0).integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)
    path = models_dir / 'backbones' / manifest.id
    save_backbone(path, manifest, build_timm(manifest), probe)
    return RandomBackbone(models_dir, FrozenBackbone.load(path))


def random_tensors(layout: AdapterLayout, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return adapter tensors of random values, every one in use."""
    return _normal(layout.shapes(), seed)


def random_tasks(base: RandomBackbone, count: int) -> tuple[str, ...]:
    """Write task packages of default adapters and small heads; returns their names."""
    manifest, contract = base.manifest, _contract(base.manifest.image_size)
    layout = base.default_layout
    head = HeadLayout(
        feature_size=base.backbone.features_per_camera,
        proprio_size=contract.proprio_size,
        hidden=(),
        chunk_length=contract.chunk_length,
        action_size=contract.action_size,
    )
    outputs = contract.chunk_length * contract.action_size
    names = tuple(f'bench_{number}' for number in range(count))
    for seed, name in enumerate(names):
        task = TaskManifest(
            schema_version=1,
            task=name,
            description='random weights',
            backbone_id=manifest.id,
            backbone_digest=manifest.digest,
            backbone_settings=manifest.settings_digest,
            adapters=layout,
            head=head,
            contract=contract,
            normaliser=Normaliser(
                proprio_mean=(0.0,) * contract.proprio_size,
                proprio_std=(1.0,) * contract.proprio_size,
                action_mean=(0.0,) * outputs,
                action_std=(1.0,) * outputs,
            ),
            weights_sha256='',
        )
        tensors = _normal(task_shapes(layout, head), seed)
        save_package(base.models_dir / 'tasks' / name, task, tensors, f'# {name}\n')
    return names


def _normal(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0.0, WEIGHT_STD, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def _contract(size: int) -> Contract:
    """Return the contract of a task with one camera of the network's own size."""
    camera = CameraContract(
        name=CAMERA,
        width=size,
        height=size,
        crop=(0, 0, size, size),
        colour='rgb',
        intrinsics=(float(size), float(size), size / 2, size / 2),
        base_from_camera=None,
    )
    return Contract(
        robot='panda',
        cameras=(camera,),
        proprioception=(ProprioField.EE_COMMANDED, ProprioField.GRIPPER_WIDTH),
        action_space=ActionSpace.EE_DELTA,
        reference=Reference.COMMANDED,
        frame='base',
        rotation=Rotation.FIXED,
        fixed_quat_xyzw=(1.0, 0.0, 0.0, 0.0),
        gripper=GripperConvention.WIDTH_M,
        rate_hz=10.0,
        chunk_length=4,
        execute_length=2,
        max_observation_age_s=0.5,
    )
