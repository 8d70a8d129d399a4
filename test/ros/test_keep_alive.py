"""A governor whose controller is to hear the position it keeps: never silent but at a fault."""

from __future__ import annotations

import time

from fake_arm import IDLE, REFLEX
from graph_watch import wait_for
from node_process import is_silent, longest_gap_s, recover, served_arm, trigger
import numpy as np
import pytest
from roboadapt_ros.bringup.transitions import Transition
from roboadapt_ros.ros.qos import COMMAND
from sensor_msgs.msg import JointState

pytestmark = [pytest.mark.processes]
PARAMETERS = {
    'robot_state_type': 'diagnostic_msgs/DiagnosticStatus',
    'recovery': {'recover_service': 'recover', 'stop_service': 'deactivate', 'attempts': 2},
    'output': {'keep_alive': True},
}
MINDED_S = 0.5
"""A silence that Franka's gello controller minds [s]."""


@pytest.fixture
def arm(connection, governor):
    """Return an arm without an error, which is sent where it is."""
    with served_arm(connection, governor) as made:
        yield made


def test_from_the_start_over_a_motion_to_a_soft_stop_it_is_never_silent(connection, arm):
    time.sleep(0.5)
    start = arm.targets[0][1]
    arm.sends_chunks = True
    wait_for(lambda: arm.state == 'tracking' and np.abs(arm.q - start).max() > 0.03, 'motion')
    arm.sends_chunks = False
    wait_for(lambda: arm.state == 'idle', 'the governor to let go')
    kept = arm.targets[-1][1]
    time.sleep(1.0)
    np.testing.assert_array_equal(arm.targets[-1][1], kept)
    np.testing.assert_array_equal(arm.target_speed, np.zeros(7))
    assert trigger(connection, 'soft_stop').success
    time.sleep(0.5)
    np.testing.assert_array_equal(arm.targets[-1][1], kept)
    assert longest_gap_s(arm) < MINDED_S
    assert trigger(connection, 'reset').success


def test_an_arm_that_somebody_moved_keeps_where_it_is(arm):
    """Guided by hand, its controller inactive: it must not spring back when that is active."""
    wait_for(lambda: len(arm.targets) > 10, 'targets')
    guided = arm.q - 0.2
    wait_for(lambda: _guide(arm, guided), 'targets to go along')


def _guide(arm, q):
    arm.q = q
    time.sleep(0.05)
    return np.allclose(arm.targets[-1][1], q)


def test_an_error_and_a_hard_stop_are_silent_until_the_recovery(connection, arm):
    wait_for(lambda: len(arm.targets) > 10, 'targets')
    arm.mode, arm.errors = REFLEX, 'joint_reflex'
    wait_for(lambda: arm.state == 'fault', 'the governor to stop')
    assert is_silent(arm)
    assert recover(connection).success
    assert not is_silent(arm)
    assert trigger(connection, 'hard_stop').success
    assert is_silent(arm)
    arm.mode = IDLE


def test_a_hard_stop_is_silent_in_a_governor_that_is_configured_anew(connection, arm):
    assert trigger(connection, 'hard_stop').success
    for step in ('DEACTIVATE', 'CLEANUP', 'CONFIGURE', 'ACTIVATE'):
        assert connection.transition('/governor', Transition[step], 10.0)
    arm.status.clear()
    wait_for(lambda: arm.state == 'fault', 'the governor to remember')
    assert is_silent(arm)
    assert recover(connection).success
    assert not is_silent(arm)


def test_beside_another_publisher_it_is_silent(connection, arm):
    wait_for(lambda: len(arm.targets) > 10, 'targets')
    intruder = connection._node.create_publisher(JointState, 'target_joint', COMMAND)
    try:
        wait_for(lambda: arm.state == 'fault', 'the governor to notice')
        assert is_silent(arm)
    finally:
        connection._node.destroy_publisher(intruder)
    wait_for(lambda: trigger(connection, 'reset').success, 'a reset')
    assert not is_silent(arm)


def test_another_publisher_during_a_stop_silences_it_until_the_recovery(connection, arm):
    """It has gone by then, and no reset follows a recovery."""
    wait_for(lambda: len(arm.targets) > 10, 'targets')
    assert trigger(connection, 'hard_stop').success
    intruder = connection._node.create_publisher(JointState, 'target_joint', COMMAND)
    time.sleep(2.5)  # the governor looks once a second
    connection._node.destroy_publisher(intruder)
    wait_for(lambda: recover(connection).success, 'a recovery')
    assert not is_silent(arm)
    arm.mode = IDLE
