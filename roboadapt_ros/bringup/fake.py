"""A rig file without its robot: the simulated arm serves the rig's own topics and services.

`roboadapt up --rig fr3_franka_ros2 --fake` runs the real rig's graph against it, whatever its
driver (`nodes.inputs`). What needs message packages that are not installed here is left out of the
rig, or replaced by what needs none, and named. This module must not import rclpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
import importlib.util
from typing import Any

from roboadapt_ros.bringup.rig import ArmNames, ArmOutput, GripperNames, load_rig, RigConfig
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.hands.settings import FRANKA_ACTIONS, GRIPPER_COMMAND
from roboadapt_ros.ros.outputs.settings import (
    CARTESIAN_POSE,
    FLOAT64_ARRAY,
    JOINT_IMPEDANCE,
    JOINT_TRAJECTORY,
    OutputConfig,
    SERVO_JOG,
    SERVO_POSE,
    servo_release,
    SERVO_TWIST,
)
from roboadapt_ros.ros.robot_settings import (
    CollisionSettings,
    ContactSettings,
    LoadSettings,
    RecoverySettings,
    WatchSettings,
)

HANDS = {FRANKA_ACTIONS: 'franka_msgs', GRIPPER_COMMAND: 'control_msgs'}
"""Driver of a hand -> package with its actions."""
ACTION = 'gripper_action'
"""What franka_gripper calls its GripperCommand."""
POINTS = (JOINT_IMPEDANCE, JOINT_TRAJECTORY, CARTESIAN_POSE, FLOAT64_ARRAY)
"""Drivers of the arm by which the governor's points are what is held."""
NEEDED = {SERVO_JOG: 'control_msgs', SERVO_POSE: 'moveit_msgs'}
"""Driver of the arm -> package without which nothing takes its place."""
RATES = {
    'joint_state_rate_hz': 1000.0,
    'finger_rate_hz': 15.0,
    'pose_rate_hz': 1000.0,
    'robot_state_rate_hz': 1000.0,
}
"""Rates of a fake driver [Hz]: franka_ros2's. Each tick of 10 ms sends ten messages at once: joint
states with their own values; what the robot's broadcaster has, with the last ones ten times."""
LIGHT_RATES = {
    **RATES,
    'joint_state_rate_hz': 200.0,
    'pose_rate_hz': 100.0,
    'robot_state_rate_hz': 100.0,
}
"""The same for evaluations, which two cores can bear beside images and a judge."""


def is_installed(package: str) -> bool:
    """Return whether a package of messages can be imported here."""
    return importlib.util.find_spec(package) is not None


def fake_rig(
    rig: RigConfig,
    installed: Callable[[str], bool] = is_installed,
    rates: Mapping[str, float] = RATES,
) -> tuple[RigConfig, tuple[str, ...]]:
    """Return a rig whose arm, hand and cameras are simulated, and what it lacks for that.

    Args:
        rig: A rig file.
        installed: Says whether a message package is there.
        rates: Of the simulated driver, where the rig file does not say.

    Raises:
        ConfigError: The simulated arm can't stand in for this rig.
    """
    _check(rig, installed)
    arm, lacks = rig.arm, []
    watch, collision, load = arm.watch, arm.collision, arm.load
    recovery = arm.recovery
    controllers, manager = arm.controllers, rig.controller_manager
    state, state_type = arm.robot_state, arm.robot_state_type
    if not installed('controller_manager_msgs'):
        lacks.append('controller_manager_msgs: no controllers are switched')
        controllers, manager = (), ''
        recovery = replace(
            recovery,
            hardware_component='',
            broadcasters=(),
            stop_service='sim_rig/deactivate',
        )
    if not installed('franka_msgs'):
        lacks.append("franka_msgs: the robot's state is a DiagnosticStatus, settings are left out")
        watch, collision, load = WatchSettings(), CollisionSettings(), LoadSettings()
        state_type = 'diagnostic_msgs/DiagnosticStatus' if state else ''
        recovery = replace(recovery, error_recovery='', recover_service='sim_rig/recover')
    output, gripper = _speakable(arm.output, rig.gripper, installed, lacks)
    faked = replace(
        arm,
        joint_prefix='',
        output=output,
        controllers=controllers,
        robot_state_type=state_type,
        recovery=recovery,
        watch=watch,
        contact=_contact(arm),
        collision=collision,
        load=load,
    )
    return (
        replace(
            rig,
            description=f'{rig.description} (simulated)',
            simulated=True,
            arm=faked,
            gripper=gripper,
            controller_manager=manager,
            cameras=tuple(replace(camera, driver='') for camera in rig.cameras),
            nodes={
                **rig.nodes,
                'sim_rig': {
                    **load_rig('sim').nodes['sim_rig'],
                    **rates,
                    **_sim_rig(rig, faked.controllers, state_type, recovery),
                },
            },
        ),
        tuple(lacks),
    )


def _speakable(
    output: ArmOutput,
    gripper: GripperNames,
    installed: Callable[[str], bool],
    lacks: list[str],
) -> tuple[ArmOutput, GripperNames]:
    """Return arm and hand by what can be spoken to here; add to what is lacking."""
    speaks_jazzy = output.driver in (SERVO_TWIST, SERVO_JOG) and not _is_humble(output)
    if speaks_jazzy and not installed('moveit_msgs'):
        lacks.append("moveit_msgs: moveit_servo is Humble's, whose services need none")
        output = replace(output, servo_release='humble')
    package = HANDS.get(gripper.driver, '')
    if package and not installed(package):
        lacks.append(f'{package}: the hand has a topic instead of actions')
        gripper = _on_a_topic(gripper)
    return output, gripper


def _sim_rig(
    rig: RigConfig, controllers: tuple[str, ...], state_type: str, recovery: RecoverySettings
) -> dict[str, Any]:
    """Return the parameters of the simulated rig that follow from a rig file, and its own."""
    parameters: dict[str, Any] = {
        'fake_driver': True,
        'gripper_node': _hand_node(rig.gripper),
        'base_frame': rig.arm.base_frame,
    }
    if state_type:
        parameters['robot_state_type'] = state_type
    if controllers:
        parameters['controllers'] = list(controllers)
    if recovery.hardware_component:
        parameters['hardware_component'] = recovery.hardware_component
    return {**parameters, **rig.nodes.get('sim_rig', {})}


def _contact(arm: ArmNames) -> ContactSettings:
    """Return how hard the arm may press: by the simulated controller's gains.

    Not behind servo or under speeds, where the points are not what that controller holds.
    """
    follows_points = arm.output.driver in POINTS and arm.output.quantity == 'position'
    return load_rig('sim').arm.contact if follows_points else ContactSettings()


def _is_humble(output: OutputConfig) -> bool:
    """Return whether a rig's moveit_servo is Humble's."""
    return servo_release(output) == 'humble'


def _on_a_topic(gripper: GripperNames) -> GripperNames:
    """Return a hand that takes widths from a topic, as that of the simulated rig does."""
    simulated = load_rig('sim').gripper
    return replace(
        simulated,
        joint_names=gripper.joint_names,
        joint_states=gripper.joint_states,
        joint_states_hz=gripper.joint_states_hz,
    )


def _hand_node(gripper: GripperNames) -> str:
    """Return what the node of the hand is called: its action is below it."""
    if gripper.driver != GRIPPER_COMMAND:
        return gripper.node
    return gripper.action.rpartition('/')[0]


def _check(rig: RigConfig, installed: Callable[[str], bool]) -> None:
    """Raise where the simulated arm can't stand in."""
    driver = rig.arm.output.driver
    package = NEEDED.get(driver, '')
    if package and not installed(package):
        apt = f'sudo apt install ros-$ROS_DISTRO-{package.replace("_", "-")}'
        raise ConfigError(
            'arm.output.driver', driver, f'needs {package}, which is not installed: {apt}'
        )
    action = rig.gripper.action
    has_actions = rig.gripper.driver == GRIPPER_COMMAND and installed(HANDS[GRIPPER_COMMAND])
    if has_actions and not action.endswith(f'/{ACTION}'):
        raise ConfigError('gripper.action', action, f'a fake serves NODE/{ACTION} only')
    if rig.compressed:
        raise ConfigError('compressed', True, 'a fake sends images that are not compressed')
    known = {camera.name for camera in load_rig('sim').cameras}
    for camera in rig.cameras:
        if camera.name not in known:
            raise ConfigError(
                'cameras', camera.name, f'a fake has cameras {", ".join(sorted(known))} only'
            )
