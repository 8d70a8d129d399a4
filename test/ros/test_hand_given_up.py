"""A hand that does not do what is wanted, and is asked no more: the arm must not go on without."""

import importlib.util
import threading

from fake_arm import FakeArm, MOVE
from fake_gripper import FakeGripper
from graph_watch import wait_for
from node_process import recover, trigger
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        importlib.util.find_spec('franka_msgs') is None, reason='franka_msgs is not installed'
    ),
]
PARAMETERS = {
    'robot_state_type': 'diagnostic_msgs/DiagnosticStatus',
    'recovery': {'recover_service': 'recover', 'stop_service': 'deactivate'},
    'gripper': {
        'driver': 'franka_actions',
        'mode': 'width',
        'timeout_s': 0.5,
        'dwell_s': 0.1,
        'attempts': 2,
    },
}


@pytest.fixture
def gripper(connection):
    """Return a franka_gripper in threads of its own."""
    context = Context()
    rclpy.init(context=context, domain_id=connection._domain_id)
    node, executor = Node('gripper', context=context), MultiThreadedExecutor(4, context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    made = FakeGripper(node).serve_franka()
    yield made
    made.is_stuck = False
    executor.shutdown()
    thread.join(5.0)
    made.close()
    node.destroy_node()
    context.try_shutdown()


def test_the_arm_stops_and_a_new_motion_tries_again(connection, governor, gripper):
    arm = FakeArm(connection)
    arm.serve('recover')
    try:
        wait_for(lambda: recover(connection).success, 'a recovery')
        wait_for(lambda: arm.state == 'idle', 'an idle governor')
        arm.mode, gripper.is_stuck, arm.sends_chunks = MOVE, True, True
        wait_for(lambda: arm.state == 'fault', 'the governor to stop', 15.0)
        assert 'the hand has given up: no result of' in arm.reason
        gripper.is_stuck = False
        wait_for(lambda: trigger(connection, 'reset').success, 'a reset')
        wait_for(lambda: gripper.done, 'the hand to do it')
        wait_for(lambda: arm.state == 'tracking', 'motion')
    finally:
        arm.close()
    assert governor.is_running, governor.log_path.read_text()
