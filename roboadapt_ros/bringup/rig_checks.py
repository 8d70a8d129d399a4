"""What the settings of a rig file must be together: checked when it is read.

Bounds of a single setting stand with it. What would otherwise show only when a node configures,
or when a service is called for the first time, belongs here. This module must not import rclpy.
"""

from __future__ import annotations

import math
import re
from typing import Any, TYPE_CHECKING

from roboadapt_ros.bringup.names import full_name, require_name, require_path
from roboadapt_ros.errors import ConfigError, UnknownNameError
from roboadapt_ros.ros.field import read_section
from roboadapt_ros.ros.node_parameters import GovernorParameters
from roboadapt_ros.ros.outputs.settings import JOINT_TRAJECTORY
from roboadapt_ros.ros.robot_settings import ROBOT_STATE_TYPES

if TYPE_CHECKING:
    from roboadapt_ros.bringup.rig import RigConfig

SERVO_MIN_HZ = 20.0
"""Least rate of messages to moveit_servo [Hz]: it halts 0.1 s after the last one
(`incoming_command_timeout`), and one may be late."""
HORIZON_MIN_PERIODS = 2
"""Least horizon of a trajectory, in periods of messages."""
_SPELT = {
    'panda': re.compile(r'panda|(?<![a-z])fer(?![a-z])'),
    'fr3': re.compile(r'fr3'),
}
"""How an arm is spelt in the names of its joints: left_fr3_joint1, fer_joint1, fr3v2_joint1."""


def check_rig(rig: RigConfig) -> None:
    """Check what a rig file says in several places, and the names that nodes call.

    Raises:
        RoboAdaptError: It does not fit; the message has the key, its value and the rule.
    """
    _check_called(rig)
    _check_lists(rig)
    _check_robot(rig)
    _check_rates(rig)
    _check_commands(rig)
    _check_bounds(rig)
    _check_messages(rig)


def _check_called(rig: RigConfig) -> None:
    """Check that what names a service, an action or a node is a name."""
    arm, gripper = rig.arm, rig.gripper
    required = {
        'arm.output.servo_node': arm.output.servo_node,
        'arm.collision.service': arm.collision.service,
        'arm.load.service': arm.load.service,
        'gripper.node': gripper.node,
        'gripper.action': gripper.action,
    }
    optional = {
        'arm.recovery.error_recovery': arm.recovery.error_recovery,
        'arm.recovery.recover_service': arm.recovery.recover_service,
        'arm.recovery.stop_service': arm.recovery.stop_service,
        'gripper.stop_service': gripper.stop_service,
        'nodes.governor.controller_manager': _of_governor(rig, 'controller_manager'),
    }
    for key, value in {**required, **optional}.items():
        if value or key in required:
            require_path(key, value)
    for index, camera in enumerate(rig.cameras):
        require_name(f'cameras[{index}].name', camera.name)


def _check_lists(rig: RigConfig) -> None:
    """Check that lists of names have every name once, and no empty one."""
    controllers = {
        'arm.controllers': rig.arm.controllers,
        'nodes.governor.controllers': _of_governor(rig, 'controllers'),
    }
    joints = {
        'arm.joint_names': rig.arm.joint_names,
        'gripper.joint_names': rig.gripper.joint_names,
    }
    for key, names in {**controllers, **joints}.items():
        if not all(names) or len(set(names)) != len(names):
            raise ConfigError(key, names, 'must be different names, none of them empty')
        if key in joints and not names:
            raise ConfigError(key, names, 'must be one or more names')
    for key, names in controllers.items():
        for name in names:
            require_name(key, name)


def _check_robot(rig: RigConfig) -> None:
    """Check that limits, joints and readers are those of one arm."""
    arm = rig.arm
    spelt = ' '.join(arm.joint_names).lower()
    named = {robot for robot, pattern in _SPELT.items() if pattern.search(spelt)}
    if named and rig.robot not in named:
        raise ConfigError(
            'robot',
            rig.robot,
            f'its limits are not those of {arm.joint_names[0]} .. {arm.joint_names[-1]}: '
            f"say 'robot: {named.pop()}', or correct arm.joint_prefix or arm.joint_names",
        )
    for node, given in rig.nodes.items():
        if given.get('robot', rig.robot) != rig.robot:
            raise ConfigError(
                f'nodes.{node}.robot', given['robot'], f"must be the rig's `robot`: {rig.robot}"
            )
    if arm.robot_state_type and arm.robot_state_type not in ROBOT_STATE_TYPES:
        raise UnknownNameError('arm.robot_state_type', arm.robot_state_type, ROBOT_STATE_TYPES)


def _check_rates(rig: RigConfig) -> None:
    """Check the rates that drivers are said to be set to."""
    rates = {
        'arm.joint_states_hz': rig.arm.joint_states_hz,
        'gripper.joint_states_hz': rig.gripper.joint_states_hz,
        **{f'cameras.{camera.name}.rate_hz': camera.rate_hz for camera in rig.cameras},
    }
    for key, rate_hz in rates.items():
        if not 0.0 <= rate_hz < math.inf:
            raise ConfigError(key, rate_hz, 'must be positive, or 0 where it is not known')


def _check_commands(rig: RigConfig) -> None:
    """Check that nothing else is on the topics that move arm and hand."""
    arm, gripper = rig.arm, rig.gripper
    topics = {
        'arm.output.topic': arm.output.topic,
        'gripper.command': gripper.command,
        'arm.joint_states': arm.joint_states,
        'gripper.joint_states': gripper.joint_states,
        'arm.current_pose': arm.current_pose,
        'arm.robot_state': arm.robot_state,
    }
    known = {key: full_name(rig, topic) for key, topic in topics.items() if topic}
    for key in ('gripper.command', 'arm.output.topic'):
        same = [other for other in known if other != key and known[other] == known.get(key)]
        if same:
            raise ConfigError(key, topics[key], f'must be a topic of its own, not {same[0]} too')


def _check_bounds(rig: RigConfig) -> None:
    """Check tolerances by the bounds of the governor's parameters, and that its box has room."""
    tolerances = ('pose_tolerance_m', 'pose_tolerance_rad')
    read_section(GovernorParameters, {name: getattr(rig.arm, name) for name in tolerances}, 'arm')
    low_m, high_m = _of_governor(rig, 'workspace_low_m'), _of_governor(rig, 'workspace_high_m')
    for axis, low, high in zip('xyz', low_m, high_m, strict=True):
        if not low < high:
            raise ConfigError(
                'nodes.governor.workspace_low_m',
                low_m,
                f'must be below workspace_high_m, which is {high:g} m along {axis}',
            )


def _check_messages(rig: RigConfig) -> None:
    """Check that the controller can follow messages that come so often.

    `ros.outputs` asks for the same of what a node is given.
    """
    output, rate_hz = rig.arm.output, _of_governor(rig, 'rate_hz')
    ticks = round(min(rate_hz / output.rate_hz, 1e6)) if output.rate_hz else 1
    if output.rate_hz and (
        ticks < 1 or abs(rate_hz / ticks - output.rate_hz) > 0.01 * output.rate_hz
    ):
        whole = ', '.join(f'{rate_hz / n:g}' for n in range(1, 6))
        raise ConfigError(
            'arm.output.rate_hz',
            output.rate_hz,
            f'must be a whole part of the governor rate ({rate_hz:g} Hz): {whole}, ...',
        )
    if output.driver.startswith('servo') and rate_hz / ticks < SERVO_MIN_HZ:
        raise ConfigError(
            'arm.output.rate_hz',
            output.rate_hz,
            f'must be {SERVO_MIN_HZ:g} Hz or more: moveit_servo halts 0.1 s after a message',
        )
    horizon_s = HORIZON_MIN_PERIODS * ticks / rate_hz
    if output.driver == JOINT_TRAJECTORY and 0.0 < output.horizon_s < horizon_s - 1e-9:
        raise ConfigError(
            'arm.output.horizon_s',
            output.horizon_s,
            f'must be at least {HORIZON_MIN_PERIODS} periods of messages: {horizon_s:g} s; a '
            'nearer point is reached before the next one comes, and the arm stutters',
        )


def _of_governor(rig: RigConfig, name: str) -> Any:
    """Return a parameter of the governor as the rig file has it."""
    return rig.nodes.get('governor', {}).get(name, getattr(GovernorParameters, name))
