"""The contract of tasks learned on the simulated rig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import (
    ActionSpace,
    CameraContract,
    Contract,
    GripperConvention,
    ProprioField,
    Reference,
    Rotation,
)

RATE_HZ = 10.0
CHUNK_LENGTH = 8
CROPS = {'scene': (29, 10, 134, 134), 'wrist': (29, 0, 134, 134)}
"""Crop of the 192x144 source: left, top, width, height [px]. The scene crop holds the
table's working area, the wrist crop what lies in front of the fingers."""
HAND_DOWN_XYZW = (1.0, 0.0, 0.0, 0.0)


class CameraLike(Protocol):
    """What a contract needs of a camera."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    base_from_camera: npt.NDArray[np.float64]


def sim_contract(cameras: Mapping[str, CameraLike]) -> Contract:
    """Return the contract of the simulated rig's tasks.

    Args:
        cameras: Camera models by name; `wrist` moves with the arm.

    Returns:
        End-effector displacements at 10 Hz with the hand pointing down.
    """
    return Contract(
        robot='panda',
        cameras=tuple(_camera(name, cameras[name]) for name in ('scene', 'wrist')),
        proprioception=(ProprioField.EE_COMMANDED, ProprioField.GRIPPER_WIDTH),
        action_space=ActionSpace.EE_DELTA,
        reference=Reference.COMMANDED,
        frame='base',
        rotation=Rotation.FIXED,
        fixed_quat_xyzw=HAND_DOWN_XYZW,
        gripper=GripperConvention.WIDTH_M,
        rate_hz=RATE_HZ,
        chunk_length=CHUNK_LENGTH,
        execute_length=4,
        max_observation_age_s=0.5,
    )


def _camera(name: str, model: CameraLike) -> CameraContract:
    moves = name == 'wrist'
    pose = tuple(float(v) for v in np.asarray(model.base_from_camera).reshape(-1))
    return CameraContract(
        name=name,
        width=int(model.width),
        height=int(model.height),
        crop=CROPS[name],
        colour='rgb',
        intrinsics=(float(model.fx), float(model.fy), float(model.cx), float(model.cy)),
        base_from_camera=None if moves else pose,
    )
