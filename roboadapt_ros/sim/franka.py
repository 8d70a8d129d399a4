"""How a Franka reports faults: modes, error names, and the targets it refuses.

Names and numbers are those of franka_msgs, so that the simulated rig speaks like a real one:
https://github.com/frankarobotics/franka_ros2/tree/humble/franka_msgs/msg. No mujoco here.
"""

from __future__ import annotations

from dataclasses import dataclass
import enum

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import robot_limits, RobotLimits

FloatArray = npt.NDArray[np.float64]

JUMP = 'joint_motion_generator_velocity_discontinuity'
OUTSIDE = 'joint_motion_generator_position_limits_violation'


class RobotMode(enum.IntEnum):
    """Modes of `franka_msgs/FrankaRobotState` that the rig takes."""

    IDLE = 1
    MOVE = 2
    REFLEX = 4
    USER_STOPPED = 5


_CARTESIAN = 'cartesian_motion_generator_'

FRANKA_ERRORS = (
    'joint_position_limits_violation',
    'cartesian_position_limits_violation',
    'self_collision_avoidance_violation',
    'joint_velocity_violation',
    'cartesian_velocity_violation',
    'force_control_safety_violation',
    'joint_reflex',
    'cartesian_reflex',
    'max_goal_pose_deviation_violation',
    'max_path_pose_deviation_violation',
    'cartesian_velocity_profile_safety_violation',
    'joint_position_motion_generator_start_pose_invalid',
    'joint_motion_generator_position_limits_violation',
    'joint_motion_generator_velocity_limits_violation',
    'joint_motion_generator_velocity_discontinuity',
    'joint_motion_generator_acceleration_discontinuity',
    'cartesian_position_motion_generator_start_pose_invalid',
    f'{_CARTESIAN}elbow_limit_violation',
    f'{_CARTESIAN}velocity_limits_violation',
    f'{_CARTESIAN}velocity_discontinuity',
    f'{_CARTESIAN}acceleration_discontinuity',
    f'{_CARTESIAN}elbow_sign_inconsistent',
    f'{_CARTESIAN}start_elbow_invalid',
    f'{_CARTESIAN}joint_position_limits_violation',
    f'{_CARTESIAN}joint_velocity_limits_violation',
    f'{_CARTESIAN}joint_velocity_discontinuity',
    f'{_CARTESIAN}joint_acceleration_discontinuity',
    'cartesian_position_motion_generator_invalid_frame',
    'force_controller_desired_force_tolerance_violation',
    'controller_torque_discontinuity',
    'start_elbow_sign_inconsistent',
    'communication_constraints_violation',
    'power_limit_violation',
    'joint_p2p_insufficient_torque_for_planning',
    'tau_j_range_violation',
    'instability_detected',
)


@dataclass(frozen=True, kw_only=True)
class RefusalConfig:
    """When a joint target ends the motion."""

    velocity_margin: float = 1.5
    """Factor over the joint velocity limits at which a step of the target is refused."""
    max_target_error_rad: float = 0.5
    """Distance of the target from the measured angles at which it is refused [rad]."""
    period_s: float = 0.01
    """Period of the command stream [s]; the least time a step is judged over."""
    max_gap_s: float = 0.1
    """Longest time between targets of one stream [s]: after lost ones a step may be longer."""


class TargetGuard:
    """Says which error a real arm would report for a joint target.

    Example: with a margin of 1.5 and a limit of 2.175 rad/s, a step of 0.03 rad after 10 ms
    passes and one of 0.04 rad is a velocity discontinuity.
    """

    def __init__(self, config: RefusalConfig, limits: RobotLimits | None = None):
        """Store the limits; default those of the Panda."""
        self._config = config
        self._limits = limits if limits is not None else robot_limits('panda')

    def find_error(
        self, target: FloatArray, *, last_target: FloatArray, q: FloatArray, elapsed_s: float
    ) -> str | None:
        """Return the name of the error, or None when the target is fine.

        Args:
            target: New target (7,) [rad].
            last_target: Target before (7,) [rad].
            q: Measured angles (7,) [rad].
            elapsed_s: Time since the target before [s].
        """
        config, limits = self._config, self._limits
        if (target < limits.q_min).any() or (target > limits.q_max).any():
            return OUTSIDE
        # After a longer silence it is a new motion, which has to start where the last one ended.
        is_one_stream = elapsed_s <= config.max_gap_s
        elapsed = max(elapsed_s, config.period_s) if is_one_stream else 2.0 * config.period_s
        allowed = config.velocity_margin * limits.dq_max * elapsed
        is_jump = (np.abs(target - last_target) > allowed).any()
        is_far = (np.abs(target - q) > config.max_target_error_rad).any()
        return JUMP if is_jump or is_far else None
