"""How a Franka reports faults: its modes and the names of its errors.

Names and numbers are those of franka_msgs, so that the simulated rig speaks like a real one:
https://github.com/frankarobotics/franka_ros2/tree/humble/franka_msgs/msg. No mujoco here.
"""

from __future__ import annotations

import enum


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
