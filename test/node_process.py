"""A node of this project as a process of its own, up and active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import time
from typing import Any

from fake_arm import FakeArm, FINGERS, MOVE
from graph_watch import wait_for
import numpy as np
from roboadapt_interfaces.srv import Recover
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.environment import process_environment
from roboadapt_ros.bringup.process import NodeProcess, stop_all
from roboadapt_ros.bringup.processes import ProcessDescription
from roboadapt_ros.bringup.transitions import Transition
from roboadapt_ros.control.limits import robot_limits
from std_srvs.srv import Trigger

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


@contextmanager
def served_arm(connection: Connection, governor: NodeProcess) -> Iterator[FakeArm]:
    """Give an arm in motion mode whose driver offers its services; the governor is idle."""
    made = FakeArm(connection)
    made.serve('recover')
    made.serve('deactivate')
    try:
        wait_for(lambda: made.status, 'the governor to report')
        wait_for(lambda: recover(connection).success, 'a recovery')
        wait_for(lambda: made.state == 'idle', 'an idle governor')
        made.calls.clear()
        made.targets.clear()
        made.mode = MOVE
        yield made
        assert governor.is_running, governor.log_path.read_text()
    finally:
        made.close()


def recover(connection: Connection, *, confirm: bool = True) -> Any:
    """Ask the governor for a recovery, which somebody has confirmed or not."""
    return connection.call(Recover, 'governor/recover', Recover.Request(confirm=confirm), 60.0)


def trigger(connection: Connection, name: str) -> Any:
    """Call one of the governor's own services."""
    return connection.call(Trigger, f'governor/{name}', Trigger.Request())


def is_silent(arm: FakeArm, seconds: float = 0.4) -> bool:
    """Return whether no target comes for a while."""
    count = len(arm.targets)
    time.sleep(seconds)
    return len(arm.targets) == count


def longest_gap_s(arm: FakeArm) -> float:
    """Return the longest time between two targets [s]."""
    return float(np.diff([stamp_ns for stamp_ns, _ in arm.targets]).max()) / 1e9
