"""A rig file without its robot: the simulated arm serves the rig's own topics and services.

`roboadapt up --rig fr3_franka_ros2 --fake` runs the real rig's graph against it. What needs
message packages that are not installed here is left out of the rig and named. This module must
not import rclpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import importlib.util
from typing import Any

from roboadapt_ros.bringup.rig import load_rig, RigConfig
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.hands.settings import FRANKA_ACTIONS, GRIPPER_COMMAND
from roboadapt_ros.ros.outputs.settings import CARTESIAN_POSE, JOINT_IMPEDANCE
from roboadapt_ros.ros.robot_settings import (
    CollisionSettings,
    LoadSettings,
    RecoverySettings,
    WatchSettings,
)

DRIVERS = (JOINT_IMPEDANCE, CARTESIAN_POSE)
"""Outputs whose messages the simulated arm takes."""
RATES = {
    'joint_state_rate_hz': 1000.0,
    'finger_rate_hz': 15.0,
    'pose_rate_hz': 1000.0,
    'robot_state_rate_hz': 1000.0,
}
"""Rates of a fake driver [Hz]: franka_ros2's. Each tick of 10 ms sends ten messages at once: joint
states with their own values; what the robot's broadcaster has, with the last ones ten times."""


def is_installed(package: str) -> bool:
    """Return whether a package of messages can be imported here."""
    return importlib.util.find_spec(package) is not None


def fake_rig(
    rig: RigConfig, installed: Callable[[str], bool] = is_installed
) -> tuple[RigConfig, tuple[str, ...]]:
    """Return a rig whose arm, hand and cameras are simulated, and what it lacks for that.

    Args:
        rig: A rig file.
        installed: Says whether a message package is there.

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
    faked = replace(
        arm,
        joint_prefix='',
        controllers=controllers,
        robot_state_type=state_type,
        recovery=recovery,
        watch=watch,
        contact=load_rig('sim').arm.contact,  # the gains are the simulated controller's
        collision=collision,
        load=load,
    )
    return (
        replace(
            rig,
            description=f'{rig.description} (simulated)',
            simulated=True,
            arm=faked,
            controller_manager=manager,
            cameras=tuple(replace(camera, driver='') for camera in rig.cameras),
            nodes={**rig.nodes, 'sim_rig': _sim_rig(rig, faked.controllers, state_type, recovery)},
        ),
        tuple(lacks),
    )


def _sim_rig(
    rig: RigConfig, controllers: tuple[str, ...], state_type: str, recovery: RecoverySettings
) -> dict[str, Any]:
    """Return the parameters of the simulated rig; images as in the file of the simulated rig."""
    parameters: dict[str, Any] = {
        **load_rig('sim').nodes['sim_rig'],
        **RATES,
        'fake_driver': True,
        'gripper_node': rig.gripper.node,
        'base_frame': rig.arm.base_frame,
    }
    if state_type:
        parameters['robot_state_type'] = state_type
    if controllers:
        parameters['controllers'] = list(controllers)
    if recovery.hardware_component:
        parameters['hardware_component'] = recovery.hardware_component
    return {**parameters, **rig.nodes.get('sim_rig', {})}


def _check(rig: RigConfig, installed: Callable[[str], bool]) -> None:
    """Raise where the simulated arm can't stand in."""
    driver = rig.arm.output.driver
    if driver not in DRIVERS:
        raise ConfigError(
            'arm.output.driver', driver, f'a fake takes {" and ".join(DRIVERS)} only'
        )
    if rig.compressed:
        raise ConfigError('compressed', True, 'a fake sends images that are not compressed')
    known = {camera.name for camera in load_rig('sim').cameras}
    for camera in rig.cameras:
        if camera.name not in known:
            raise ConfigError(
                'cameras', camera.name, f'a fake has cameras {", ".join(sorted(known))} only'
            )
    for hand, package in ((FRANKA_ACTIONS, 'franka_msgs'), (GRIPPER_COMMAND, 'control_msgs')):
        if rig.gripper.driver == hand and not installed(package):
            raise ConfigError('gripper.driver', hand, f'needs {package}, which is not installed')
