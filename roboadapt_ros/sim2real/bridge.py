"""A task's contract mapped onto a rig: chunks to the rig's joints, states back to the task's.

End-effector rows become joints by inverse kinematics that continues from the last solution;
joint rows are renamed, reordered, scaled and offset. This module imports numpy and the core
only: no ROS, no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import ActionSpace, Contract, Envelope, GripperConvention
from roboadapt_ros.control.admission import check_values, GRIPPER_COLUMN
from roboadapt_ros.control.limits import HAND_WIDTH_MAX_M, JOINTS, robot_limits
from roboadapt_ros.dataflow import ActionChunk, EE_POSE_NAMES, RobotState
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.sim2real.frame import BaseFrame
from roboadapt_ros.sim2real.gripper import gripper_range, RANGE_SLACK, to_width
from roboadapt_ros.sim2real.solver import InverseKinematics, PoseSolver, SolverConfig

FloatArray = npt.NDArray[np.float64]

CONTRACT_GRIPPER_COLUMN = 'gripper'
"""Name of a last column that is in the contract's gripper convention, not in metres."""
_POSE_COLUMNS = EE_POSE_NAMES[:-1]


@dataclass(frozen=True, kw_only=True)
class BridgeConfig:
    """The rig's side of the mapping.

    Model joints are those of the kinematics and of the contract; a rig's joint is
    ``sign_scale * model + offset``.
    """

    robot: str
    """The rig's arm: panda or fr3."""
    joint_names: tuple[str, ...]
    """The rig's names, in the arm's order."""
    joint_scale: tuple[float, ...] = (1.0,) * JOINTS
    """Rig units per model radian, with the sign."""
    joint_offset: tuple[float, ...] = (0.0,) * JOINTS
    """Rig position at the model's zero."""
    base_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The contract's base seen from the rig's base [m]."""
    base_yaw_rad: float = 0.0
    """Turn of the contract's base about the rig's vertical axis [rad]."""
    gripper_width_max_m: float = HAND_WIDTH_MAX_M
    """Distance between the rig's fingers when open [m]."""
    contract_width_max_m: float = HAND_WIDTH_MAX_M
    """The same for the hand the task was trained with [m]."""
    solver: SolverConfig = field(default_factory=SolverConfig)
    min_period_s: float = 0.001
    """Shortest spacing of rows [s]."""
    max_period_s: float = 0.25
    """Longest spacing of rows [s]."""

    def __post_init__(self) -> None:
        """Check the arm is known, with one entry per joint and no joint scaled to nothing."""
        for name in ('joint_names', 'joint_scale', 'joint_offset'):
            value = getattr(self, name)
            if len(value) != JOINTS:
                raise ConfigError(f'bridge.{name}', value, f'must have {JOINTS} entries')
        if len(self.base_offset_m) != 3:
            raise ConfigError('bridge.base_offset_m', self.base_offset_m, 'must be x, y and z [m]')
        robot_limits(self.robot)
        if len(set(self.joint_names)) != JOINTS:
            raise ConfigError('bridge.joint_names', self.joint_names, 'names must differ')
        if 0.0 in self.joint_scale:
            raise ConfigError('bridge.joint_scale', self.joint_scale, 'must not be zero')


class Bridge:
    """Maps chunks of one contract to one rig.

    Example: a row (x, y, z, qx, qy, qz, qw, gripper_width) of a task trained on a panda becomes
    (fr3_joint1 .. fr3_joint7, gripper_width). The solution is seeded by the one before, so the
    elbow does not swing between chunks.
    """

    def __init__(self, config: BridgeConfig, contract: Contract, kinematics: InverseKinematics):
        """Prepare the mapping.

        Args:
            config: The rig's side.
            contract: The task's side.
            kinematics: Geometry of the rig's arm, model joints.

        Raises:
            UnknownNameError: A contract for an arm this project does not know.
            ConfigError: A task with a box of its own, whose base is turned against the rig's.
        """
        robot_limits(contract.robot)
        self.config, self.contract = config, contract
        self.names = (*config.joint_names, GRIPPER_COLUMN)
        """Columns of a mapped chunk."""
        self.frame = BaseFrame(config.base_offset_m, config.base_yaw_rad)
        self._envelope = self._rig_envelope(contract)
        self._solver = PoseSolver(config.solver, kinematics, self.frame)
        self._scale, self._offset = np.array(config.joint_scale), np.array(config.joint_offset)
        self._contract_names = tuple(f'{contract.robot}_joint{i + 1}' for i in range(JOINTS))

    @property
    def counts(self) -> dict[str, int]:
        """Rows cut off, by cause."""
        return dict(self._solver.counts)

    def reset(self) -> None:
        """Forget the last solution: the next chunk is solved from the measured joints."""
        self._solver.reset()

    def map(self, chunk: ActionChunk, state: RobotState) -> ActionChunk:
        """Return the chunk in the rig's joints.

        Args:
            chunk: EE_POSE rows in the contract's base frame, or JOINT_POSITION rows of the
                contract's or the rig's joints.
            state: The rig's measured state, rig joints.

        Returns:
            JOINT_POSITION rows of `names`, with the contract's envelope; stamps, identity and
            ledger as they came. Rows from the first one out of reach are cut off.

        Raises:
            RefusedError: 'space', 'names', 'shape', 'nan', 'period', 'rotation', 'ik' (row 0 is
                out of reach), 'gripper_width' (a number of another unit) or 'not_ready' (a
                measured state that is not finite).
        """
        check_values(chunk, (self.config.min_period_s, self.config.max_period_s))
        if state.q.shape != (JOINTS,) or not np.isfinite(state.q).all():
            raise RefusedError('not_ready', f'measured joints are {state.q.tolist()}')
        if chunk.space is ActionSpace.EE_POSE:
            if chunk.names[:-1] != _POSE_COLUMNS:
                raise RefusedError(
                    'names',
                    f'columns {", ".join(chunk.names)}; required {", ".join(EE_POSE_NAMES)}',
                )
            model = self._solver.solve(chunk, self._to_model(state.q))
        elif chunk.space is ActionSpace.JOINT_POSITION:
            model = self._ordered(chunk)
        else:
            raise RefusedError('space', f'{chunk.space.value}, required ee_pose or joint_position')
        return self._rebuilt(chunk, self._scale * model + self._offset)

    def _to_model(self, q_rig: FloatArray) -> FloatArray:
        return (q_rig - self._offset) / self._scale

    def _rebuilt(self, chunk: ActionChunk, joints: FloatArray) -> ActionChunk:
        actions = np.column_stack([joints, self._widths(chunk)[: len(joints)]])
        return replace(
            chunk,
            space=ActionSpace.JOINT_POSITION,
            names=self.names,
            actions=actions,
            envelope=self._envelope,
        )

    def _rig_envelope(self, contract: Contract) -> Envelope | None:
        """Return the task's bounds in the rig's base frame."""
        if contract.envelope is None:
            return None
        low, high = self.frame.box_to_rig(contract.envelope.low_m, contract.envelope.high_m)
        return replace(contract.envelope, low_m=low, high_m=high)

    def _widths(self, chunk: ActionChunk) -> FloatArray:
        """Return the rig's gripper widths (n,) [m]."""
        widest, convention = self.config.contract_width_max_m, self.contract.gripper
        if chunk.names[-1] == GRIPPER_COLUMN:
            convention = GripperConvention.WIDTH_M
        elif chunk.names[-1] != CONTRACT_GRIPPER_COLUMN:
            raise RefusedError(
                'names',
                f"last column '{chunk.names[-1]}', required '{GRIPPER_COLUMN}' [m] or "
                f"'{CONTRACT_GRIPPER_COLUMN}' (contract: {self.contract.gripper.value})",
            )
        low, high = sorted(gripper_range(convention, widest))
        values, slack = chunk.actions[:, -1], RANGE_SLACK * (high - low)
        far = (values < low - slack) | (values > high + slack)
        if far.any():
            raise RefusedError(
                'gripper_width',
                f'row {int(np.argmax(far))} wants {values[np.argmax(far)]:.4g}, range {low:g}..'
                f'{high:g} ({convention.value})',
            )
        share = self.config.gripper_width_max_m / widest
        return np.array([share * to_width(v, convention, widest) for v in chunk.actions[:, -1]])

    def _ordered(self, chunk: ActionChunk) -> FloatArray:
        """Return model joints (n, 7) in the arm's order, whatever the order of columns."""
        given = chunk.names[:-1]
        if set(given) == set(self._contract_names) and len(given) == JOINTS:
            order = [given.index(name) for name in self._contract_names]
            return chunk.actions[:, order]
        if set(given) == set(self.config.joint_names) and len(given) == JOINTS:
            order = [given.index(name) for name in self.config.joint_names]
            return self._to_model(chunk.actions[:, order])
        raise RefusedError(
            'names',
            f'joints {", ".join(given)}; required {", ".join(self._contract_names)} '
            f'(the task) or {", ".join(self.config.joint_names)} (the rig), in any order',
        )
