"""What the governor imports and calls for what a rig file names, as `nodes` and `ros` do it.

This module must not import rclpy.
"""

from __future__ import annotations

from roboadapt_ros.bringup.rig import RigConfig
from roboadapt_ros.doctor.facts import ServiceFacts
from roboadapt_ros.doctor.topics import ACTION_SUFFIX
from roboadapt_ros.ros.hands.settings import FRANKA_ACTIONS, GRIPPER_COMMAND
from roboadapt_ros.ros.hands.settings import TYPES as GRIPPER_TYPES
from roboadapt_ros.ros.outputs.settings import servo_release
from roboadapt_ros.ros.outputs.settings import TYPES as OUTPUT_TYPES


def imported_packages(rig: RigConfig) -> tuple[str, ...]:
    """Return the message packages without which the governor of a rig does not configure."""
    arm = rig.arm
    types = [OUTPUT_TYPES[arm.output.driver], *GRIPPER_TYPES[rig.gripper.driver]]
    if _servo_release(rig) == 'jazzy':
        types.append('moveit_msgs/srv/ServoCommandType')
    # As `nodes.robot_actions`.
    if arm.controllers or arm.recovery.hardware_component:
        types.append('controller_manager_msgs/srv/SwitchController')
    if arm.recovery.error_recovery or has_setup(rig):
        types.append('franka_msgs/action/ErrorRecovery')
    return tuple(sorted({name.partition('/')[0] for name in types}))


def has_setup(rig: RigConfig) -> bool:
    """Return whether a rig file gives collision thresholds or a load."""
    return rig.arm.collision.is_given or rig.arm.load.is_given


def called_services(rig: RigConfig) -> list[ServiceFacts]:
    """Return what the governor calls, by the names of the rig file."""
    return [*_of_output(rig), *_of_hand(rig), *_of_recovery(rig), *_of_setup(rig)]


def _servo_release(rig: RigConfig) -> str:
    """Return whose moveit_servo a rig has, as the driver finds it out; '' where there is none."""
    output = rig.arm.output
    if not output.driver.startswith('servo'):
        return ''
    return servo_release(output)


def _of_output(rig: RigConfig) -> list[ServiceFacts]:
    release = _servo_release(rig)
    if not release:
        return []
    leaf = 'start_servo' if release == 'humble' else 'switch_command_type'
    return [
        ServiceFacts(
            name=f'{rig.arm.output.servo_node}/{leaf}',
            key='arm.output.servo_node',
            use='moveit_servo is made to listen by it; no chunk is taken before',
        )
    ]


def _of_hand(rig: RigConfig) -> list[ServiceFacts]:
    gripper, use = rig.gripper, 'the hand is moved and stopped by it'
    if gripper.driver == FRANKA_ACTIONS:
        leaves = (f'move{ACTION_SUFFIX}', f'grasp{ACTION_SUFFIX}', 'stop')
        return [
            ServiceFacts(name=f'{gripper.node}/{leaf}', key='gripper.node', use=use)
            for leaf in leaves
        ]
    found = []
    if gripper.driver == GRIPPER_COMMAND:
        name = gripper.action + ACTION_SUFFIX
        found.append(ServiceFacts(name=name, key='gripper.action', use=use))
    if gripper.stop_service:
        use = "the hand is stopped by it, at 'roboadapt stop --hard' too"
        found.append(ServiceFacts(name=gripper.stop_service, key='gripper.stop_service', use=use))
    return found


def _of_recovery(rig: RigConfig) -> list[ServiceFacts]:
    recovery, manager = rig.arm.recovery, rig.controller_manager
    clears = "'roboadapt recover' lets the robot clear its errors by it"
    found = []
    if recovery.error_recovery:
        name, key = recovery.error_recovery + ACTION_SUFFIX, 'arm.recovery.error_recovery'
        found.append(ServiceFacts(name=name, key=key, use=clears))
    elif recovery.recover_service:
        name, key = recovery.recover_service, 'arm.recovery.recover_service'
        found.append(ServiceFacts(name=name, key=key, use=clears))
    if rig.arm.controllers:
        use = "'roboadapt stop --hard' and 'roboadapt recover' switch controllers by it"
        name = f'{manager}/switch_controller'
        found.append(ServiceFacts(name=name, key='controller_manager', use=use))
        use = 'whether they are active is seen by it, after a switch and while the arm rests'
        name = f'{manager}/list_controllers'
        found.append(ServiceFacts(name=name, key='controller_manager', use=use))
    elif recovery.stop_service:
        use, key = "'roboadapt stop --hard' ends motion by it", 'arm.recovery.stop_service'
        found.append(ServiceFacts(name=recovery.stop_service, key=key, use=use))
    if recovery.hardware_component:
        use = f"'roboadapt recover' activates {recovery.hardware_component} by it"
        name = f'{manager}/set_hardware_component_state'
        found.append(ServiceFacts(name=name, key='controller_manager', use=use))
    return found


def _of_setup(rig: RigConfig) -> list[ServiceFacts]:
    collision, load, found = rig.arm.collision, rig.arm.load, []
    if collision.is_given:
        use = 'governor/setup sets collision thresholds by it'
        found.append(ServiceFacts(name=collision.service, key='arm.collision.service', use=use))
    if load.is_given:
        use = 'governor/setup sets the load by it'
        found.append(ServiceFacts(name=load.service, key='arm.load.service', use=use))
    return found
