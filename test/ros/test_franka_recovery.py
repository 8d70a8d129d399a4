"""Recovery, hard stop and setup against a stand-in for franka_ros2, with the real types."""

import pytest

pytest.importorskip('controller_manager_msgs.srv', reason='controller_manager_msgs is not here')
pytest.importorskip('franka_msgs.msg', reason='franka_msgs is not here: build it beside ROS')

import threading

from fake_arm import GUIDING, IDLE, MOVE, REFLEX, USER_STOPPED
from franka_arm import BROADCASTER, CONTROLLER, FrankaArm
from franka_msgs.msg import Errors
from graph_watch import GraphWatch, wait_for
from roboadapt_interfaces.srv import Recover
from std_srvs.srv import Trigger

pytestmark = [pytest.mark.processes]
TORQUES = [35.0, 35.0, 32.0, 30.0, 29.0, 27.0, 24.0]
PARAMETERS = {
    'robot_state_type': 'franka_msgs/FrankaRobotState',
    'controllers': [CONTROLLER],
    'controller_manager': 'controller_manager',
    'recovery': {
        'error_recovery': 'action_server/error_recovery',
        'hardware_component': 'FrankaHardwareInterface',
        'broadcasters': [BROADCASTER],
        'attempts': 2,
    },
    'collision': {
        'contact_torque_nm': [20.0] * 7,
        'collision_torque_nm': TORQUES,
        'contact_force_n': [20.0] * 6,
        'collision_force_n': [40.0] * 6,
    },
    'load': {'mass_kg': 0.3, 'center_m': [0.0, 0.0, 0.05]},
}
SEQUENCE = [
    f'deactivate {CONTROLLER}',
    'clear',
    'FrankaHardwareInterface active',
    f'activate {BROADCASTER}',
    'collision',
    'load',
    f'activate {CONTROLLER} strictly',
]


@pytest.fixture
def arm(connection, governor):
    """Return an arm in a reflex that the governor knows of."""
    made = FrankaArm(connection)
    made.mode, made.errors = REFLEX, 'joint_reflex'
    try:
        wait_for(lambda: 'joint_reflex' in made.reason, 'the governor to stop')
        yield made
        assert governor.is_running, governor.log_path.read_text()
    finally:
        made.close()


def _recover(connection, *, confirm=True):
    return connection.call(Recover, 'governor/recover', Recover.Request(confirm=confirm), 90.0)


def _trigger(connection, name):
    return connection.call(Trigger, f'governor/{name}', Trigger.Request())


def test_the_steps_are_frankas_in_their_order(connection, arm):
    plan = _recover(connection, confirm=False)
    wanted = ['deactivate', 'clear', 'hardware', 'check', 'setup', 'align', 'activate', 'settle']
    assert [line.split(':')[0] for line in plan.steps] == wanted
    assert arm.calls == []

    answer = _recover(connection)
    assert answer.success, answer
    assert arm.calls == SEQUENCE
    wait_for(lambda: arm.state == 'idle', 'an idle governor')


def test_hardware_that_does_not_become_active_is_tried_again_from_the_start(connection, arm):
    arm.hardware_refusals = 1
    answer = _recover(connection)
    assert answer.success, answer
    assert arm.calls == [*SEQUENCE[:2], 'FrankaHardwareInterface unconfigured', *SEQUENCE]
    assert any('it is unconfigured' in line for line in answer.steps)


def test_hardware_that_stays_down_leaves_the_controller_inactive(connection, arm):
    arm.hardware_refusals = 99
    answer = _recover(connection)
    assert not answer.success
    assert 'hardware failed in attempt 2 of 2: it is unconfigured' in answer.message
    assert not any(call.startswith('activate') for call in arm.calls)
    assert arm.state == 'fault'


def test_a_controller_started_by_somebody_else_clears_no_fault(connection, arm):
    """franka_hardware recovers the robot by itself when a controller starts."""
    arm.mode, arm.errors = MOVE, ''
    wait_for(lambda: 'gone without a confirmed recovery' in arm.reason, 'the governor to say so')
    assert not _trigger(connection, 'reset').success
    assert _recover(connection).success


def test_a_hard_stop_deactivates_the_controller(connection, arm):
    assert _recover(connection).success
    arm.calls.clear()
    answer = _trigger(connection, 'hard_stop')
    assert answer.success, answer
    assert arm.calls == [f'deactivate {CONTROLLER}']
    assert not _trigger(connection, 'reset').success
    assert _recover(connection).success


def test_a_hard_stop_that_leaves_a_controller_active_says_so(connection, arm):
    assert _recover(connection).success
    arm.is_stubborn = True
    answer = _trigger(connection, 'hard_stop')
    assert not answer.success
    assert f'still active: {CONTROLLER}' in answer.message
    arm.is_stubborn = False
    assert _recover(connection).success


def test_thresholds_and_load_are_set_while_idle_only(connection, arm):
    assert _recover(connection).success
    arm.calls.clear()
    wait_for(lambda: arm.mode == MOVE, 'an active controller')
    refused = wait_for(
        lambda: (answer := _trigger(connection, 'setup')) and not answer.success and answer,
        'the governor to have heard of it',
    )
    assert 'robot mode is move' in refused.message
    arm.calls.clear()
    arm.mode = IDLE
    answer = wait_for(
        lambda: (answer := _trigger(connection, 'setup')) and answer.success and answer, 'setup'
    )
    assert answer.message == 'collision thresholds set; load set'
    assert arm.calls[-2:] == ['collision', 'load']
    for phase in ('acceleration', 'nominal'):
        assert list(getattr(arm.collision, f'upper_torque_thresholds_{phase}')) == TORQUES
        assert list(getattr(arm.collision, f'lower_force_thresholds_{phase}')) == [20.0] * 6
    assert arm.load.mass == 0.3
    assert list(arm.load.center_of_mass) == [0.0, 0.0, 0.05]


# ---- what the robot does not say itself ----


def test_reports_that_stand_still_are_a_robot_that_is_lost(connection, arm):
    """After an error in motion franka_ros2 on Humble goes on with the last good report."""
    assert _recover(connection).success
    arm.mode, arm.stands_still = MOVE, True
    wait_for(lambda: 'stand still' in arm.reason, 'the governor to notice', 5.0)
    assert 'roboadapt recover' in arm.reason
    assert not _trigger(connection, 'reset').success
    arm.calls.clear()
    answer = _recover(connection)
    assert answer.success, answer
    assert arm.calls == SEQUENCE


def test_a_check_is_not_passed_by_reports_that_stand_still(connection, arm):
    assert _recover(connection).success
    arm.stands_still, arm.comes_back = True, False
    wait_for(lambda: 'stand still' in arm.reason, 'the governor to notice', 5.0)
    answer = _recover(connection)
    arm.stands_still = False
    assert not answer.success
    assert 'the robot reports nothing new' in answer.message
    assert _recover(connection).success


def test_reports_that_end_are_a_stop_that_arming_ends_once_they_come_again(connection, arm):
    assert _recover(connection).success
    arm.is_mute = True
    wait_for(lambda: 'reports nothing' in arm.reason, 'the governor to notice', 5.0)
    refused = _trigger(connection, 'reset')
    assert not refused.success
    assert 'roboadapt recover' in refused.message
    arm.is_mute = False
    wait_for(lambda: _trigger(connection, 'reset').success, 'a reset')


def test_an_error_that_came_and_went_while_there_were_no_reports_takes_a_recovery(connection, arm):
    assert _recover(connection).success
    arm.is_mute = True
    wait_for(lambda: 'reports nothing' in arm.reason, 'the governor to notice', 5.0)
    arm.last_errors, arm.is_mute = 'cartesian_reflex', False
    wait_for(lambda: 'cartesian_reflex' in arm.reason, 'the governor to read it')
    assert 'gone without a confirmed recovery' in arm.reason
    assert not _trigger(connection, 'reset').success
    assert _recover(connection).success
    wait_for(lambda: arm.state == 'idle', 'an idle governor')


def test_the_same_error_as_before_is_not_overlooked_after_a_silence(connection, arm):
    arm.last_errors = 'cartesian_reflex'
    assert _recover(connection).success
    arm.is_mute = True
    wait_for(lambda: 'reports nothing' in arm.reason, 'the governor to notice', 5.0)
    arm.is_mute = False
    wait_for(lambda: 'cartesian_reflex' in arm.reason, 'the governor to take it for new')
    assert not _trigger(connection, 'reset').success
    assert _recover(connection).success


def test_a_robot_that_was_silent_has_perhaps_forgotten_what_it_was_told(connection, arm):
    watch, said = GraphWatch(connection), 'thresholds and load of the rig file are not set'
    assert _recover(connection).success
    wait_for(lambda: _says(watch, 'governor', ''), 'diagnostics')
    assert not _says(watch, 'governor', said)
    arm.is_mute = True
    wait_for(lambda: 'reports nothing' in arm.reason, 'the governor to notice', 5.0)
    arm.is_mute = False
    wait_for(lambda: _trigger(connection, 'reset').success, 'a reset')
    wait_for(lambda: _says(watch, 'governor', said), 'a warning')
    assert _recover(connection).success
    wait_for(lambda: not _says(watch, 'governor', said), 'no warning')


def _says(watch, node, words):
    return node in watch.diagnostics and words in watch.diagnostics[node][0]


def test_a_user_stop_that_nobody_reports_any_more_keeps_nobody_from_recovering(connection, arm):
    """The broadcaster may have ended with the driver, and then its last word was 'pressed'."""
    assert _recover(connection).success
    arm.mode = USER_STOPPED
    wait_for(lambda: 'user_stopped' in arm.reason, 'the governor to hear of it')
    assert 'the user stop is pressed' in _recover(connection).message
    arm.is_mute, arm.mode = True, IDLE
    answer = wait_for(
        lambda: (answer := _recover(connection)).success and answer, 'a recovery', 10.0
    )
    assert answer.success, answer


# ---- what is not tried again ----


def test_an_error_after_the_robot_was_well_is_cleared_by_nobody_but_a_person(connection, arm):
    arm.calls.clear()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(_recover(connection)))
    asking.start()
    wait_for(lambda: 'recovering, settle' in arm.reason, 'the last step')
    arm.mode, arm.errors = REFLEX, 'cartesian_reflex'
    asking.join(30.0)
    assert not answers[0].success
    assert 'cartesian_reflex, after the robot was well' in answers[0].message
    assert arm.calls.count('clear') == 1, 'nobody has looked at the arm since'
    assert arm.state == 'fault'
    assert _recover(connection).success


def test_an_error_that_a_controllers_start_clears_by_itself_ends_the_recovery(connection, arm):
    """franka_hardware recovers and tries again where a start meets an error."""
    arm.calls.clear()
    arm.startles = 'joint_velocity_violation'
    answer = _recover(connection)
    assert not answer.success
    assert 'joint_velocity_violation came and went, after the robot was well' in answer.message
    assert arm.calls.count('clear') == 1
    arm.startles = ''
    assert _recover(connection).success


def test_an_arm_that_is_guided_by_hand_during_a_recovery_is_not_recovered(connection, arm):
    answers = []
    asking = threading.Thread(target=lambda: answers.append(_recover(connection)))
    asking.start()
    wait_for(lambda: 'recovering, settle' in arm.reason, 'the last step')
    arm.mode = GUIDING
    asking.join(30.0)
    assert 'robot mode 3 (guiding), after the robot was well' in answers[0].message
    assert _recover(connection).success


def test_a_controller_that_is_not_active_after_all_is_a_failure(connection, arm):
    arm.obeys = False
    answer = _recover(connection)
    assert not answer.success
    assert f'activate failed in attempt 1 of 2: not active: {CONTROLLER}' in answer.message
    assert arm.calls.count('clear') == 1, 'it may have met an error that nobody has looked at'
    assert arm.state == 'fault'
    arm.obeys = True
    assert _recover(connection).success


def test_a_robot_that_stays_idle_under_active_controllers_is_not_recovered(connection, arm):
    """franka_hardware only logs a mode that the robot has not taken; nothing would hold it."""
    arm.moves = False
    answer = _recover(connection)
    assert not answer.success
    assert 'its controllers are active and do not move it' in answer.message
    arm.moves = True
    assert _recover(connection).success


# ---- last: it leaves another error behind ----


def test_every_error_that_franka_names_is_read(connection, arm):
    names = list(Errors.get_fields_and_field_types())
    assert len(names) == 36
    assert _recover(connection).success
    arm.mode, arm.errors = REFLEX, names[-1]
    wait_for(lambda: names[-1] in arm.reason, 'the governor to name it')
