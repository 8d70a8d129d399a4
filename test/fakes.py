"""Models that need no training: a random backbone and two tasks that move in circles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout, task_shapes
from roboadapt_ros.adapters.package import Normaliser, save_package, TaskManifest
from roboadapt_ros.contract import CameraContract, Contract
import tiny

CIRCLE_LEFT, CIRCLE_RIGHT = 'circle_left', 'circle_right'
CENTRE_M = (0.48, 0.0, 0.32)
SPEED_M_S, PULL_1_S, SWITCH_LINE_M = 0.15, 0.5, 0.02
CHUNK_LENGTH = 8


def circle_contract() -> Contract:
    """Return the contract of both tasks: the simulated rig's images, hand displacements."""
    return tiny.contract(
        cameras=tuple(_camera(name) for name in ('scene', 'wrist')), chunk_length=CHUNK_LENGTH
    )


def make_circle_models(models: Path) -> Path:
    """Write a backbone and the two circling tasks under `models` and return it."""
    backbone = tiny.make_backbone(models)
    for task, turn in ((CIRCLE_LEFT, 1.0), (CIRCLE_RIGHT, -1.0)):
        make_circle_task(models, task, turn, backbone.id, backbone.digest)
    return models


def make_circle_task(
    models: Path, task: str, turn: float, backbone_id: str, backbone_digest: str
) -> None:
    """Write a task whose hand goes round `CENTRE_M` for ever, whatever the cameras see.

    Across the centre lines the direction of motion turns by a quarter, and a weak pull keeps
    the circle from growing; piecewise linear, so the head's ReLU layer can hold it.
    """
    contract = circle_contract()
    tokens = (tiny.SIZE // 16) ** 2
    layout = AdapterLayout(channels=(64,) * 4, pooled_channels=8, bottom=4, middle=(4, 0), top=8)
    head = HeadLayout(
        feature_size=tokens * 8 * len(contract.cameras),
        proprio_size=contract.proprio_size,
        hidden=(10,),
        chunk_length=CHUNK_LENGTH,
        action_size=contract.action_size,
    )
    rng = np.random.default_rng(0)
    tensors = {
        name: (0.3 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in task_shapes(layout, head).items()
    }
    tensors |= {f'head.{name}': value for name, value in _circle_head(head, turn).items()}
    rows = CHUNK_LENGTH * contract.action_size
    manifest = TaskManifest(
        schema_version=1,
        task=task,
        description='Goes round in circles; for tests',
        backbone_id=backbone_id,
        backbone_digest=backbone_digest,
        adapters=layout,
        head=head,
        contract=contract,
        normaliser=Normaliser(
            proprio_mean=(*CENTRE_M, 0.0),
            proprio_std=(1.0,) * 4,
            action_mean=(0.0,) * rows,
            action_std=(1.0,) * rows,
        ),
        weights_sha256='',
    )
    save_package(models / 'tasks' / task, manifest, tensors, f'# {task}\n')


def _circle_head(layout: HeadLayout, turn: float) -> dict[str, np.ndarray]:
    """Return the head: inputs x, y, z from the centre, ten ReLUs, a velocity times the time."""
    inputs = layout.feature_size + layout.proprio_size
    hidden, bias = np.zeros((10, inputs)), np.zeros(10)
    x, y, z = range(layout.feature_size, layout.feature_size + 3)
    for first, column in ((0, x), (2, y)):
        hidden[first : first + 2, column] = 1.0 / SWITCH_LINE_M
        bias[first : first + 2] = (1.0, -1.0)  # their difference - 1 is the clipped coordinate
    for first, column in ((4, x), (6, y), (8, z)):
        hidden[first : first + 2, column] = (1.0, -1.0)
    velocity, constant = np.zeros((3, 10)), np.zeros(3)
    velocity[0, 2:4], constant[0] = -turn * SPEED_M_S * np.array([1.0, -1.0]), turn * SPEED_M_S
    velocity[1, 0:2], constant[1] = turn * SPEED_M_S * np.array([1.0, -1.0]), -turn * SPEED_M_S
    for axis, first in ((0, 4), (1, 6), (2, 8)):
        velocity[axis, first : first + 2] += -PULL_1_S * np.array([1.0, -1.0])
    out = np.zeros((layout.chunk_length, 4, 10))
    out_bias = np.zeros((layout.chunk_length, 4))
    for row in range(layout.chunk_length):
        out[row, :3], out_bias[row, :3] = 0.1 * (row + 1) * velocity, 0.1 * (row + 1) * constant
    out_bias[:, 3] = 0.08
    values = {
        'norm.weight': np.zeros(layout.feature_size),
        'norm.bias': np.zeros(layout.feature_size),
        'layers.0.weight': hidden,
        'layers.0.bias': bias,
        'out.weight': out.reshape(-1, 10),
        'out.bias': out_bias.reshape(-1),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def _camera(name: str) -> CameraContract:
    return CameraContract(
        name=name,
        width=192,
        height=144,
        crop=(29, 0, 134, 134),
        colour='rgb',
        intrinsics=(170.0, 170.0, 96.0, 72.0),
        base_from_camera=None,
    )
