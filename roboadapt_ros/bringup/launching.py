"""The process list of a rig as launch actions, for the files in `launch/`.

Launch drives the lifecycles: each node is configured as it starts and activated when it is. A node
that ends is started again, as with `roboadapt up` (`restarts`), and the arm waits for an explicit
arm. One that can't be configured or activated, ends too often, or must not be started again by
itself ends the whole launch: half a graph moves no arm, and looks as if it might.

Needs `launch` and `launch_ros` of a ROS 2 installation; where there is none the supervisor
starts the same list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessStart
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from roboadapt_ros.bringup.environment import process_environment
from roboadapt_ros.bringup.fake import fake_rig
from roboadapt_ros.bringup.franka import DRIVER_ARGUMENTS, start_driver
from roboadapt_ros.bringup.launch_lifecycle import end_launch, LifecycleDriver
from roboadapt_ros.bringup.processes import PACKAGE, process_list, ProcessDescription
from roboadapt_ros.bringup.restarts import Restarts
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.supervisor import ENCODER, GOVERNOR
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.priority import priority_environment

from launch import LaunchContext, LaunchDescription

GRAPH_VARIABLES = (
    'ROS_AUTOMATIC_DISCOVERY_RANGE',
    'ROS_LOCALHOST_ONLY',
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTRTPS_DEFAULT_PROFILES_FILE',
)
"""What `process_environment` adds for every process of the graph."""
FORGETFUL = 'a new one would not know whether it was in fault; start the graph anew'
RESPAWN_DELAY_S = 1.0
"""Until a node that has ended is started again."""
FAKE = (
    'fake',
    'false',
    "true: simulate the robot, its driver and its cameras under the rig file's names",
)
"""Launch argument: name, default and description."""


def describe_rig(default_rig: str, *, has_driver: bool = False) -> LaunchDescription:
    """Return the launch description of a rig's graph.

    Args:
        default_rig: Rig started when the argument `rig` is not given.
        has_driver: Whether the arm's own driver may be started, too; it has arguments of its own.
    """
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'rig',
                default_value=default_rig,
                description='name of a file in config/rigs/, or a path ending in .yaml',
            ),
            DeclareLaunchArgument(
                'task', default_value='', description="task to serve from the start; '' = none"
            ),
            DeclareLaunchArgument(
                'models_dir',
                default_value='',
                description="folder with backbones/ and tasks/; '' = the package's own",
            ),
            DeclareLaunchArgument(
                'record_to', default_value='', description="folder to record to; '' = none"
            ),
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in ((*DRIVER_ARGUMENTS, FAKE) if has_driver else ())
            ),
            OpaqueFunction(function=_start_rig),
            *([OpaqueFunction(function=start_driver)] if has_driver else []),
        ]
    )


def _start_rig(context: LaunchContext) -> list[Any]:
    """Return environment and nodes of the rig that the arguments name."""
    name, task, models_dir, record_to = (
        LaunchConfiguration(name).perform(context)
        for name in ('rig', 'task', 'models_dir', 'record_to')
    )
    lacks: tuple[str, ...] = ()
    rig = load_rig(name)
    if _is_fake(context):
        rig, lacks = fake_rig(rig)
    processes = process_list(
        rig,
        models_dir=Path(models_dir) if models_dir else None,
        initial_task=task,
        record_to=Path(record_to) if record_to else None,
    )
    environment = process_environment()
    actions: list[Any] = [LogInfo(msg=f'Not installed: {lack}') for lack in lacks]
    actions += [
        SetEnvironmentVariable(name, environment[name])
        for name in GRAPH_VARIABLES
        if name in environment
    ]
    for process in processes:
        actions += node_actions(process)
    return actions


def _is_fake(context: LaunchContext) -> bool:
    """Return whether the robot is to be simulated.

    Raises:
        ConfigError: Neither yes nor no, or yes with the address of a robot.
    """
    given = context.launch_configurations
    fake, robot_ip = given.get('fake', 'false'), given.get('robot_ip', '')
    if fake not in ('true', 'false'):
        raise ConfigError('fake', fake, 'must be true or false')
    if fake == 'true' and robot_ip:
        raise ConfigError('robot_ip', robot_ip, 'goes with a real robot: leave it out, or fake')
    return fake == 'true'


def node_actions(process: ProcessDescription) -> list[Any]:
    """Return a lifecycle node that is configured at each start and then activated."""
    priority = priority_environment(process.niceness, process.realtime)
    node = LifecycleNode(
        package=PACKAGE,
        executable=process.executable,
        name=process.name,
        namespace=process.namespace,
        parameters=[dict(process.parameters)],
        remappings=list(process.remappings),
        additional_env={**process.environment, **priority},
        output='both',
        respawn=True,
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=_restart_or_end(process),
    )
    begin = OnProcessStart(target_action=node, on_start=LifecycleDriver(process.full_name))
    return [RegisterEventHandler(begin), node]


def _restart_or_end(process: ProcessDescription) -> Callable[[Any, LaunchContext], Any]:
    """Return what says that a process is started again, or ends the launch; nothing at its end.

    Launch starts it with the parameters it had. A governor would forget that it was in fault.
    """
    restarts = Restarts()
    if process.name == GOVERNOR:
        process = replace(process, no_restart=process.no_restart or FORGETFUL)

    def on_exit(_: Any, context: LaunchContext) -> list[Any] | None:
        if context.is_shutdown:
            return None
        if refusal := restarts.claim(process):
            return end_launch(f"'{process.name}' has ended: {refusal}")
        said = f"'{process.name}' has ended; it is started again after {RESPAWN_DELAY_S:g} s. "
        if process.name == ENCODER:
            task = process.parameters.get('initial_task') or 'no task'
            said += f"It then serves {task}, whatever was switched to: 'roboadapt switch' first. "
        return [LogInfo(msg=f"{said}'roboadapt arm' opens a gate that has closed.")]

    return on_exit
