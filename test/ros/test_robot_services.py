"""The governor as a process beside an arm of this test: faults, recovery, stops, intruders."""

import threading
import time

from fake_arm import FakeArm, IDLE, MOVE, REFLEX, USER_STOPPED
from graph_watch import wait_for
from node_process import is_silent, longest_gap_s, recover, served_arm, trigger
import numpy as np
import pytest
from roboadapt_ros.bringup.transitions import Transition
from roboadapt_ros.control.governor_config import FollowerConfig
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.ros.qos import COMMAND
from sensor_msgs.msg import JointState

pytestmark = [pytest.mark.processes]
PARAMETERS = {
    'robot_state_type': 'diagnostic_msgs/DiagnosticStatus',
    'recovery': {'recover_service': 'recover', 'stop_service': 'deactivate', 'attempts': 2},
}
TICK_S = 0.01


@pytest.fixture
def arm(connection, governor):
    """Return an arm whose driver offers its services; the governor is idle."""
    with served_arm(connection, governor) as made:
        yield made


def _move(arm):
    arm.sends_chunks = True
    count = len(arm.targets)
    wait_for(lambda: arm.state == 'tracking' and len(arm.targets) > count + 50, 'motion')


def _fault(arm, errors='joint_reflex', mode=REFLEX):
    arm.mode, arm.errors = mode, errors
    wait_for(lambda: arm.state == 'fault', 'the governor to stop')


def _judge_stop(arm):
    """Hold that what was sent last is a stop within the limits."""
    numbers = np.array([point.sequence for point in arm.points])
    assert (np.diff(numbers) == 1).all(), 'this test has lost points, nothing can be said'
    points = np.array([point.actions[:7] for point in arm.points])
    held = np.vstack([points, [points[-1]] * 3])  # silence: the controller holds the last one
    limits, motion = robot_limits('panda'), FollowerConfig()
    acceleration = np.abs(np.diff(held, n=2, axis=0)) / TICK_S**2
    assert (acceleration < 1.001 * motion.acceleration_scale * limits.ddq_max).all()
    assert acceleration.max() < 15.0, 'a braked arm must not jump'
    assert (arm.target_speed == 0.0).all(), 'the stream must end at rest'
    jerk = np.abs(np.diff(held, n=3, axis=0)) / TICK_S**3
    assert (jerk < 1.001 * motion.jerk_scale * limits.dddq_max).all(), 'it ended before rest'


# ---- faults of the robot ----


def test_an_error_of_the_robot_ends_the_stream_at_once(arm):
    _move(arm)
    before_s = time.monotonic()
    _fault(arm)
    assert time.monotonic() - before_s < 0.3, 'a report every 50 ms and a status on change'
    assert 'joint_reflex' in arm.reason
    assert is_silent(arm)


def test_an_error_that_goes_away_by_itself_is_not_forgotten(connection, arm):
    _move(arm)
    _fault(arm)
    arm.mode, arm.errors = MOVE, ''
    wait_for(lambda: 'gone without a confirmed recovery' in arm.reason, 'the governor to say so')
    assert is_silent(arm, 1.0), 'a switch of controllers must not set the arm in motion'
    answer = trigger(connection, 'reset')
    assert not answer.success
    assert "'roboadapt recover'" in answer.message


def test_without_a_confirmation_nothing_is_done_and_the_steps_are_told(connection, arm):
    _fault(arm)
    answer = recover(connection, confirm=False)
    assert not answer.success
    assert answer.state in ('idle', 'done')
    assert 'joint_reflex' in answer.message
    assert [line.split(':')[0] for line in answer.steps] == ['clear', 'check', 'align', 'settle']
    time.sleep(0.2)
    assert arm.calls == []
    assert arm.state == 'fault'


def test_a_confirmed_recovery_brings_the_arm_back_and_the_next_motion_starts_from_rest(
    connection, arm
):
    _move(arm)
    _fault(arm)
    arm.sends_chunks = False
    answer = recover(connection)
    assert answer.success, answer
    assert answer.state == 'done'
    assert arm.calls == ['recover']
    assert all('done' in line for line in answer.steps), answer.steps
    wait_for(lambda: arm.state == 'idle', 'an idle governor')
    arm.mode = MOVE
    start = arm.q.copy()
    arm.targets.clear()
    _move(arm)
    first = np.abs(arm.targets[0][1] - start).max()
    assert first < 0.02, 'the first point must be where the arm is (busy, this test loses a few)'


def test_a_recovery_sends_the_measured_positions_until_the_arm_is_commanded(connection, arm):
    """Some controllers start from the last target they heard, wherever the arm is by then."""
    _move(arm)
    _fault(arm)
    arm.sends_chunks = False
    guided = arm.q = arm.q + 0.3
    time.sleep(0.2)
    arm.targets.clear()
    assert recover(connection).success
    assert len(arm.targets) > 50, 'from the alignment until it has settled'
    np.testing.assert_allclose([q for _, q in arm.targets], np.tile(guided, (len(arm.targets), 1)))
    assert longest_gap_s(arm) < 0.3
    wait_for(lambda: arm.state == 'idle', 'an idle governor')
    assert is_silent(arm), 'this controller does not ask to be kept awake'


def test_ticks_go_on_while_a_recovery_runs(connection, arm):
    """The service takes a second and more to answer; the status still comes ten times a second."""
    _fault(arm)
    arm.status.clear()
    before_s = time.monotonic()
    assert recover(connection).success
    took_s = time.monotonic() - before_s
    assert took_s > 0.9, 'it must watch for an error that comes back'
    assert len(arm.status) > 5 * took_s, 'the governor stood still meanwhile'
    assert any('recovering, settle' in status.reason for status in arm.status)


def test_a_driver_that_refuses_is_asked_a_bounded_number_of_times(connection, arm):
    _fault(arm)
    arm.recovers = False
    answer = recover(connection)
    assert not answer.success
    assert answer.state == 'failed'
    assert arm.calls == ['recover', 'recover']
    assert 'the brakes are closed' in answer.message
    assert arm.state == 'fault'
    arm.recovers = True


def test_while_the_user_stop_is_pressed_there_is_no_recovery(connection, arm):
    _fault(arm, errors='', mode=USER_STOPPED)
    answer = recover(connection)
    assert not answer.success
    assert 'the user stop is pressed' in answer.message
    assert arm.calls == []
    arm.mode = IDLE
    wait_for(lambda: 'gone without' in arm.reason, 'the governor to stay in fault')
    assert recover(connection).success


def test_a_user_stop_during_a_recovery_ends_it(connection, arm):
    _fault(arm)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(recover(connection)))
    asking.start()
    wait_for(lambda: 'recovering, settle' in arm.reason, 'the last step')
    arm.mode = USER_STOPPED
    asking.join(20.0)
    assert not answers[0].success
    assert answers[0].message == 'the user stop is pressed'
    assert arm.state == 'fault'
    arm.mode = IDLE


def test_points_for_a_robot_that_stays_idle_are_a_stop(connection, arm):
    """Nobody takes them; whoever then activates the controller would make the arm jump."""
    arm.mode, arm.has_controller = IDLE, False
    arm.sends_chunks = True
    wait_for(lambda: arm.state == 'fault', 'the governor to stop', 5.0)
    assert 'the robot is idle: no active controller' in arm.reason
    arm.sends_chunks, arm.has_controller = False, True
    arm.mode = MOVE
    wait_for(lambda: trigger(connection, 'reset').success, 'a reset')
    wait_for(lambda: arm.state == 'idle', 'an idle governor')
    _move(arm)


def test_a_moving_arm_is_not_recovered(connection, arm):
    _move(arm)
    answer = recover(connection)
    assert not answer.success
    assert "'roboadapt stop' first" in answer.message
    assert arm.state == 'tracking'


# ---- stops ----


def test_a_soft_stop_brakes_within_the_limits_and_a_reset_goes_on(connection, arm):
    _move(arm)
    del arm.points[:-10]  # the stop is judged from the motion before it on
    answer = trigger(connection, 'soft_stop')
    assert answer.success
    assert "'roboadapt arm' goes on" in answer.message
    assert arm.state == 'fault' or wait_for(lambda: arm.state == 'fault', 'the stop')
    wait_for(lambda: is_silent(arm, 0.2), 'the arm to stand')
    _judge_stop(arm)
    assert is_silent(arm, 1.0), 'chunks that still come must not move it'

    assert trigger(connection, 'reset').success
    _move(arm)


def test_a_hard_stop_ends_the_stream_and_takes_the_controllers(connection, arm):
    _move(arm)
    answer = trigger(connection, 'hard_stop')
    assert answer.success, answer
    assert arm.calls == ['deactivate']
    assert is_silent(arm, 0.5)
    refused = trigger(connection, 'reset')
    assert not refused.success
    assert 'hard stop by request' in refused.message
    arm.sends_chunks = False
    assert recover(connection).success
    _move(arm)


def test_a_hard_stop_that_finds_no_driver_says_so_and_ends_the_stream_all_the_same(
    connection, governor
):
    arm = FakeArm(connection)
    try:
        arm.serve('recover')
        wait_for(lambda: arm.status, 'the governor to report')
        _move(arm)
        answer = trigger(connection, 'hard_stop')
        assert not answer.success
        assert 'deactivate is not there' in answer.message
        assert is_silent(arm, 0.3)
        arm.sends_chunks = False
        assert recover(connection).success
    finally:
        arm.close()


def test_a_stop_gives_up_a_recovery(connection, arm):
    _fault(arm)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(recover(connection)))
    asking.start()
    wait_for(lambda: 'recovering, settle' in arm.reason, 'the last step')
    assert trigger(connection, 'hard_stop').success
    asking.join(20.0)
    assert not answers[0].success
    assert answers[0].message == 'hard stop by request'


# ---- one publisher ----


def test_another_publisher_on_the_arms_topic_is_named_and_stops_the_arm(connection, arm):
    _move(arm)
    publisher = connection._node.create_publisher(JointState, 'target_joint', COMMAND)
    wait_for(lambda: arm.state == 'fault', 'the governor to notice', 5.0)
    assert '/target_joint has another publisher: /client_' in arm.reason
    answer = trigger(connection, 'reset')
    assert not answer.success
    assert 'another publisher' in answer.message
    connection._node.destroy_publisher(publisher)
    wait_for(lambda: trigger(connection, 'reset').success, 'a reset', 10.0)
    _move(arm)


# ---- setup, and a governor that is not active ----


def test_setup_without_anything_to_set_says_what_the_rig_file_lacks(connection, arm):
    answer = trigger(connection, 'setup')
    assert not answer.success
    assert 'neither arm.collision nor arm.load' in answer.message


def test_a_stop_outlives_a_deactivation_and_an_inactive_governor_answers(connection, arm):
    _fault(arm)
    arm.mode, arm.errors = MOVE, ''
    assert connection.transition('/governor', Transition.DEACTIVATE, 10.0)
    for name in ('soft_stop', 'hard_stop', 'reset', 'setup'):
        answer = trigger(connection, name)
        assert not answer.success
        assert 'not active' in answer.message
    assert not recover(connection).success
    assert connection.transition('/governor', Transition.CLEANUP, 10.0)
    assert connection.transition('/governor', Transition.CONFIGURE, 10.0)
    arm.status.clear()
    assert connection.transition('/governor', Transition.ACTIVATE, 10.0)
    arm.sends_chunks = True
    wait_for(lambda: arm.state == 'fault', 'the governor to remember')
    assert is_silent(arm)


def test_a_deactivation_during_a_recovery_answers_it(connection, arm):
    _fault(arm)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(recover(connection)))
    asking.start()
    wait_for(lambda: 'recovering, settle' in arm.reason, 'the last step')
    assert connection.transition('/governor', Transition.DEACTIVATE, 10.0)
    asking.join(20.0)
    assert answers[0].message == 'the governor was deactivated'
    assert connection.transition('/governor', Transition.ACTIVATE, 10.0)


def test_a_governor_that_is_deactivated_in_motion_brings_the_arm_to_rest_first(connection, arm):
    """A stream that breaks off in motion is a step in speed for the arm's controller."""
    _move(arm)
    del arm.points[:-10]
    assert connection.transition('/governor', Transition.DEACTIVATE, 10.0)
    wait_for(lambda: is_silent(arm, 0.2), 'the arm to stand')
    _judge_stop(arm)
    assert connection.transition('/governor', Transition.ACTIVATE, 10.0)
    _move(arm)


def test_a_recovery_waits_for_the_end_of_a_stop(connection, arm):
    """It ends the stream, and takes the controllers."""
    _move(arm)
    del arm.points[:-10]
    assert trigger(connection, 'soft_stop').success
    arm.sends_chunks = False
    assert recover(connection).success
    _judge_stop(arm)
