"""What Franka's own launch file and ros2_control's spawner are told, by the rig file.

This module must not import launch, and so can be read and tested without it.
"""

from __future__ import annotations

import re

from roboadapt_ros.bringup.rig import RigConfig
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.errors import ConfigError

FR3_TYPES = ('fr3', 'fr3v2', 'fr3v2_1')
"""What franka_ros2 calls an FR3: the folders of franka_description."""


def driver_arguments(rig: RigConfig) -> dict[str, str]:
    """Return what of a rig franka_bringup's launch file is told.

    Example: joints left_fr3_joint1 to 7 are robot_type fr3 and arm_prefix left.

    Raises:
        ConfigError: It drives no such arm, or its joints would have other names.
    """
    robot_type, arm_prefix = driven_arm(rig)
    arguments = {'robot_type': robot_type, 'namespace': rig.namespace}
    return {**arguments, 'arm_prefix': arm_prefix} if arm_prefix else arguments


def driven_arm(rig: RigConfig) -> tuple[str, str]:
    """Return franka_ros2's type of the rig's arm, and the prefix of its joints.

    The driver calls joints [PREFIX_]TYPE_joint1 to 7, so both follow from their names;
    `arm.robot_type` says the type where it is none of an FR3's.

    Raises:
        ConfigError: It drives no such arm, or its joints would have other names.
    """
    told, names = rig.arm.robot_type, rig.arm.joint_names
    if rig.simulated or not (told or rig.robot == 'fr3'):
        raise ConfigError(
            'robot_ip',
            'simulated' if rig.simulated else rig.robot,
            'franka_bringup drives an fr3; leave robot_ip out and start the driver of this rig '
            'yourself, or name in arm.robot_type what a fork that drives this arm calls it',
        )
    types = (told,) if told else FR3_TYPES
    for robot_type in types:
        found = re.fullmatch(rf'(?:(\w+)_)?{re.escape(robot_type)}_joint1', names[0])
        stem = names[0].removesuffix('1')
        if found is not None and names == tuple(f'{stem}{n}' for n in range(1, JOINTS + 1)):
            return robot_type, found[1] or ''
    raise ConfigError(
        'arm.joint_names',
        names,
        f'must be TYPE_joint1 to 7 or PREFIX_TYPE_joint1 to 7 with TYPE {" or ".join(types)}: so '
        'franka_bringup calls them; name another type in arm.robot_type, or leave robot_ip out',
    )


def spawner_arguments(rig: RigConfig) -> list[str]:
    """Return what loads the rig's controllers and leaves them inactive.

    A relative name of the manager is in the spawner's namespace, which is the rig's.
    """
    return [*rig.arm.controllers, '--inactive', '-c', rig.controller_manager]
