"""Tiny models for tests: a random frozen backbone and task packages, made in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from roboadapt_ros.adapters.bottleneck import TaskAdapters
from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout
from roboadapt_ros.adapters.package import Normaliser, save_package, TaskManifest, TaskPackage
from roboadapt_ros.backbones.frozen import build_timm, save_backbone
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
from roboadapt_ros.learning.head import TorchHead
import torch

SIZE = 32
LAYOUT = AdapterLayout(channels=(64,) * 4, pooled_channels=8, bottom=4, middle=(4, 0), top=8)
CAMERAS = ('scene', 'wrist')
SOURCE = (48, 64)
"""Height and width of the source frames."""


def backbone_manifest(name: str = 'tiny', **kwargs: object) -> BackboneManifest:
    """Return the manifest of timm's own test model at 32 px."""
    values = {
        'schema_version': 1,
        'id': name,
        'timm_name': 'test_vit',
        'timm_kwargs': {'depth': 2},
        'image_size': SIZE,
        'mean': (0.5, 0.5, 0.5),
        'std': (0.5, 0.5, 0.5),
        'pooled_channels': 8,
        'digest': '',
        'licence': 'Apache-2.0',
    }
    return BackboneManifest(**{**values, **kwargs})


FAMILIES: dict[str, dict[str, object]] = {
    'vit': {},
    'resnet': {'timm_name': 'test_resnet', 'timm_kwargs': {}},
    'nfnet': {'timm_name': 'test_nfnet', 'timm_kwargs': {}},
}
"""What distinguishes a tiny backbone of each family from the default."""


def make_backbone(
    models: Path, name: str = 'tiny', seed: int = 0, **changes: object
) -> BackboneManifest:
    """Write a random backbone under `models` and return its manifest."""
    torch.manual_seed(seed)
    manifest = backbone_manifest(name, **changes)
    model = build_timm(manifest)
    for parameter in model.parameters():
        if parameter.ndim < 2:  # gains, biases and norms that start at 0 or 1 would hide errors
            torch.nn.init.normal_(parameter, mean=0.5, std=0.2)
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith('running_mean'):
            torch.nn.init.normal_(buffer, std=0.2)
    probe = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    return save_backbone(models / 'backbones' / name, manifest, model, probe)


def camera(name: str) -> CameraContract:
    """Return the contract of a 64x48 camera."""
    height, width = SOURCE
    return CameraContract(
        name=name,
        width=width,
        height=height,
        crop=(8, 0, 48, 48),
        colour='rgb',
        intrinsics=(50.0, 50.0, 32.0, 24.0),
        base_from_camera=None,
    )


def contract(**changes: object) -> Contract:
    """Return a small contract: two cameras, end-effector displacements."""
    base = Contract(
        robot='panda',
        cameras=tuple(camera(name) for name in CAMERAS),
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
    return replace(base, **changes)


def make_task(
    models: Path,
    task: str,
    backbone: BackboneManifest,
    *,
    seed: int = 1,
    fresh: bool = False,
    layout: AdapterLayout = LAYOUT,
    version: str | None = None,
    cameras: tuple[CameraContract, ...] = (),
) -> TaskPackage:
    """Write a task package of random tensors (`fresh`: untrained adapters).

    `cameras` are its view of the frames; () for both cameras, as `camera` describes them.
    """
    torch.manual_seed(seed)
    cameras = cameras or tuple(camera(name) for name in CAMERAS)
    tokens = (SIZE // 16) ** 2
    head = HeadLayout(
        feature_size=tokens * 8 * len(cameras),
        proprio_size=4,
        hidden=(16,),
        chunk_length=4,
        action_size=4,
    )
    adapters = TaskAdapters(layout)
    if not fresh:
        for parameter in adapters.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    tensors = {f'adapters.{n}': t.numpy() for n, t in adapters.state_dict().items()}
    tensors |= {f'head.{n}': t.numpy() for n, t in TorchHead(head).state_dict().items()}
    manifest = TaskManifest(
        schema_version=1,
        task=task,
        description=task,
        version=version,
        backbone_id=backbone.id,
        backbone_digest=backbone.digest,
        backbone_settings=backbone.settings_digest,
        adapters=layout,
        head=head,
        contract=contract(cameras=cameras),
        normaliser=Normaliser(
            proprio_mean=(0.0,) * 4,
            proprio_std=(1.0,) * 4,
            action_mean=(0.0,) * 16,
            action_std=(0.01,) * 16,
        ),
        weights_sha256='',
    )
    return save_package(models / 'tasks' / manifest.package_name, manifest, tensors, f'# {task}\n')


def frames(seed: int = 0) -> dict[str, np.ndarray]:
    """Return a random frame for each camera."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 256, (*SOURCE, 3), dtype=np.uint8) for name in CAMERAS}
