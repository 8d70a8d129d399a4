"""A node of this project as a process of its own, up and active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_arm import FINGERS
from graph_watch import wait_for
from roboadapt_ros.bringup.connection import Connection, Transition
from roboadapt_ros.bringup.environment import process_environment
from roboadapt_ros.bringup.process import NodeProcess, stop_all
from roboadapt_ros.bringup.processes import ProcessDescription
from roboadapt_ros.control.limits import robot_limits

START_S = 60.0
GOVERNED_PANDA = {
    'robot': 'panda',
    'joint_names': list(robot_limits('panda').joint_names),
    'gripper_joint_names': list(FINGERS),
}
"""Parameters of a governor that `FakeArm` goes with."""


@contextmanager
def governor_process(
    connection: Connection, folder: Path, parameters: dict[str, Any]
) -> Iterator[NodeProcess]:
    """Start a governor, make it active, and stop it by its process at the end.

    Args:
        connection: On the domain it is to run in.
        folder: For its log.
        parameters: Its own, beside `GOVERNED_PANDA`.
    """
    description = ProcessDescription(
        name='governor',
        executable='governor_node',
        namespace='',
        parameters=GOVERNED_PANDA | parameters,
        remappings=(),
        environment={},
    )
    process = NodeProcess(description, folder, process_environment(connection._domain_id))
    process.start()
    try:
        connection.forget('/governor')
        wait_for(lambda: connection.is_ready('/governor'), 'the governor', START_S)
        for transition in (Transition.CONFIGURE, Transition.ACTIVATE):
            assert connection.transition('/governor', transition, 20.0), process.tail()
        yield process
    finally:
        stop_all([process], 5.0)
