"""Franka's own launch file, included: the driver of the arm and its gripper.

franka_bringup's `franka.launch.py` starts ros2_control's node with franka_hardware, the
broadcasters and, on request, franka_gripper; it starts no controller that moves the arm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory, PackageNotFoundError
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from roboadapt_ros.bringup.driver import driver_arguments, spawner_arguments
from roboadapt_ros.bringup.rig import load_rig, RigConfig
from roboadapt_ros.errors import ConfigError

from launch import LaunchContext

DRIVER_PACKAGE = 'franka_bringup'
DRIVER_FILE = 'franka.launch.py'
DRIVER_ARGUMENTS = (
    (
        'robot_ip',
        '',
        "address of the arm: its driver (franka_bringup) is started, too; '' = it runs elsewhere",
    ),
    (
        'load_gripper',
        'true',
        "with robot_ip: whether the Franka hand's driver is started: true or false",
    ),
    (
        'controllers_yaml',
        '',
        'with robot_ip: parameters of the controllers; those that the rig file names are then '
        "loaded and left inactive. '' = franka_bringup's file, and none is loaded",
    ),
)
"""Name, default and description of the launch arguments."""


def start_driver(context: LaunchContext) -> list[Any]:
    """Return the driver of the arm, nothing without an address.

    Raises:
        ConfigError: franka_bringup is not installed, or does not drive the rig's arm.
    """
    robot_ip, load_gripper, controllers_yaml = (
        LaunchConfiguration(name).perform(context) for name, _, _ in DRIVER_ARGUMENTS
    )
    if not robot_ip:
        return []
    rig = load_rig(LaunchConfiguration('rig').perform(context))
    arguments = {
        **driver_arguments(rig),
        'robot_ip': robot_ip,
        'load_gripper': load_gripper,
    }
    if controllers_yaml:
        arguments['controllers_yaml'] = controllers_yaml
    source = PythonLaunchDescriptionSource(str(driver_file()))
    actions: list[Any] = [
        IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))
    ]
    if controllers_yaml and rig.arm.controllers:
        actions.append(_load_controllers(rig))
    return actions


def driver_file() -> Path:
    """Return the path of franka_bringup's launch file.

    Raises:
        ConfigError: It is not installed; names the apt package.
    """
    try:
        share = Path(get_package_share_directory(DRIVER_PACKAGE))
    except PackageNotFoundError as error:
        raise ConfigError(
            'robot_ip',
            DRIVER_PACKAGE,
            'must be installed to start the driver: sudo apt install '
            'ros-$ROS_DISTRO-franka-bringup, or source the workspace that has franka_ros2; '
            'leave robot_ip out where the driver runs elsewhere',
        ) from error
    return share / 'launch' / DRIVER_FILE


def _load_controllers(rig: RigConfig) -> Node:
    """Return what loads the rig's controllers; whoever has looked at the arm activates them."""
    return Node(
        package='controller_manager',
        executable='spawner',
        namespace=rig.namespace,
        arguments=spawner_arguments(rig),
        output='screen',
    )
