"""The one decode path: proprioception into the network, actions out of it.

Training labels are made by `encode_actions` and serving undoes them by `decode_actions`;
both read the task's contract and normaliser, and a test holds them inverse.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.package import Normaliser
from roboadapt_ros.contract import (
    ActionSpace,
    Contract,
    GripperConvention,
    ProprioField,
    Reference,
    Rotation,
)
from roboadapt_ros.dataflow import EE_POSE_NAMES, RobotState
from roboadapt_ros.errors import ConfigError


def proprioception(contract: Contract, state: RobotState) -> npt.NDArray[np.float64]:
    """Return the proprioceptive vector, (proprio_size,), in the contract's order and units."""
    parts = {
        ProprioField.JOINT_POSITION: state.q,
        ProprioField.EE_POSITION: state.ee_position,
        ProprioField.EE_COMMANDED: state.ee_commanded,
        ProprioField.GRIPPER_WIDTH: np.array([state.gripper_width_m]),
    }
    return np.concatenate([parts[field] for field in contract.proprioception])


def normalise_proprio(
    normaliser: Normaliser, proprio: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return (proprio - mean) / std as float32."""
    mean, std = np.array(normaliser.proprio_mean), np.array(normaliser.proprio_std)
    return np.asarray((proprio - mean) / std, dtype=np.float32)


def denormalise_actions(
    normaliser: Normaliser, actions: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return actions in the contract's units, (chunk_length, action_size)."""
    mean = np.array(normaliser.action_mean).reshape(actions.shape)
    std = np.array(normaliser.action_std).reshape(actions.shape)
    return actions.astype(np.float64) * std + mean


def require_supported(contract: Contract) -> None:
    """Raise `ConfigError` for a contract this decode path can't honour."""
    if contract.action_space is ActionSpace.JOINT_VELOCITY:
        raise ConfigError('contract.action_space', 'joint_velocity', 'has no decoder yet')
    ee_spaces = (ActionSpace.EE_DELTA, ActionSpace.EE_POSE)
    if contract.action_space in ee_spaces and contract.rotation is not Rotation.FIXED:
        raise ConfigError('contract.rotation', contract.rotation.value, "must be 'fixed'")
    if contract.gripper is not GripperConvention.WIDTH_M:
        raise ConfigError('contract.gripper', contract.gripper.value, "must be 'width_m'")


def decode_actions(
    contract: Contract, actions: npt.NDArray[np.float64], state: RobotState
) -> npt.NDArray[np.float64]:
    """Turn actions into absolute targets.

    Args:
        contract: What the actions mean.
        actions: (H, action_size) in the contract's units.
        state: Robot state at the observation.

    Returns:
        (H, 8): EE_POSE_NAMES for end-effector spaces; joints [rad] and gripper width [m]
        for joint positions.
    """
    if contract.action_space is ActionSpace.JOINT_POSITION:
        return actions.copy()
    origin = _origin(contract, state)
    targets = np.empty((len(actions), len(EE_POSE_NAMES)))
    targets[:, :3] = actions[:, :3] + origin
    targets[:, 3:7] = contract.fixed_quat_xyzw
    targets[:, 7] = actions[:, 3]
    return targets


def encode_actions(
    contract: Contract, targets: npt.NDArray[np.float64], state: RobotState
) -> npt.NDArray[np.float64]:
    """Turn absolute targets into actions: the inverse of `decode_actions`.

    Args:
        contract: What the actions mean.
        targets: (H, 8) as `decode_actions` returns.
        state: Robot state at the observation.

    Returns:
        (H, action_size).
    """
    if contract.action_space is ActionSpace.JOINT_POSITION:
        return targets.copy()
    origin = _origin(contract, state)
    return np.column_stack([targets[:, :3] - origin, targets[:, 7]])


def _origin(contract: Contract, state: RobotState) -> npt.NDArray[np.float64]:
    """Return what end-effector positions of actions are measured from, (3,) [m]."""
    if contract.action_space is not ActionSpace.EE_DELTA:
        return np.zeros(3)
    is_measured = contract.reference is Reference.MEASURED
    return state.ee_position if is_measured else state.ee_commanded
