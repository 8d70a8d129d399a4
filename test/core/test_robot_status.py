"""What a robot says of itself, and what then keeps the arm still until a person has ended it."""

import pytest
from roboadapt_ros.control.robot_status import (
    Release,
    RobotMode,
    RobotStatus,
    RobotWatch,
    RobotWatchConfig,
)
from roboadapt_ros.errors import ConfigError, RefusedError

MOVING = RobotStatus(mode=RobotMode.MOVE)
REFLEX = RobotStatus(mode=RobotMode.REFLEX, errors=('joint_reflex',))
GUIDED = RobotStatus(mode=RobotMode.GUIDING)


@pytest.fixture
def watch():
    """Return a watch that stops at 30 N and 10 Nm, and has seen a moving robot."""
    made = RobotWatch(RobotWatchConfig(force_max_n=30.0, torque_max_nm=10.0))
    made.observe(MOVING, is_moving=True)
    return made


def test_a_robot_that_is_well_blocks_nothing(watch):
    assert watch.blocked is None
    assert watch.warning is None
    watch.reset()


def test_a_fault_that_goes_away_by_itself_still_blocks_and_says_so(watch):
    watch.observe(REFLEX, is_moving=True)
    assert watch.blocked == "robot: joint_reflex; look at the arm, then 'roboadapt recover'"
    watch.observe(RobotStatus(mode=RobotMode.IDLE), is_moving=False)
    assert 'gone without a confirmed recovery' in watch.blocked
    assert watch.release is Release.RECOVERY
    with pytest.raises(RefusedError, match=r'recovery: not reset.*joint_reflex'):
        watch.reset()
    watch.recovered()
    assert watch.blocked is None


def test_a_fault_before_anything_moved_blocks_as_well():
    watch = RobotWatch()
    watch.observe(REFLEX, is_moving=False)
    watch.observe(MOVING, is_moving=False)
    assert watch.release is Release.RECOVERY


def test_after_a_loss_the_same_error_as_the_last_one_counts_as_new(watch):
    ended = RobotStatus(mode=RobotMode.MOVE, last_errors=('joint_reflex',))
    watch.observe(ended, is_moving=True)
    assert watch.release is Release.RECOVERY
    watch.recovered()
    watch.observe(ended, is_moving=True)
    assert watch.release is None, 'it has been recovered from'
    watch.observe(ended, is_moving=True, was_lost=True)
    assert watch.release is Release.RECOVERY


def test_after_a_loss_without_an_error_nothing_takes_a_recovery(watch):
    watch.observe(MOVING, is_moving=True, was_lost=True)
    assert watch.release is None


def test_a_user_stop_without_an_error_is_a_fault(watch):
    watch.observe(RobotStatus(mode=RobotMode.USER_STOPPED), is_moving=True)
    watch.observe(MOVING, is_moving=False)
    assert 'robot mode 5 (user_stopped)' in watch.blocked
    assert watch.release is Release.RECOVERY


def test_guiding_by_hand_blocks_while_it_lasts_and_takes_a_reset_only_if_the_arm_was_moved(watch):
    still = RobotWatch()
    still.observe(GUIDED, is_moving=False)
    assert still.blocked == 'robot: robot mode 3 (guiding)'
    still.observe(MOVING, is_moving=False)
    assert still.blocked is None

    watch.observe(GUIDED, is_moving=True)
    with pytest.raises(RefusedError, match=r'robot: not reset: robot mode 3'):
        watch.reset()
    watch.observe(MOVING, is_moving=False)
    assert watch.release is Release.RESET
    watch.reset()
    assert watch.blocked is None


@pytest.mark.parametrize(
    ('pressed', 'said'),
    [
        (RobotStatus(mode=RobotMode.MOVE, force_n=31.0), 'external force 31.0 N, at most 30 N'),
        (RobotStatus(mode=RobotMode.MOVE, torque_nm=11.0), 'torque 11.0 Nm, at most 10 Nm'),
    ],
)
def test_a_wrench_above_its_bound_stops_until_it_is_gone_and_reset(watch, pressed, said):
    watch.observe(pressed, is_moving=True)
    assert said in watch.blocked
    assert "'roboadapt arm' goes on" in watch.blocked
    with pytest.raises(RefusedError, match='not reset: external'):
        watch.reset()
    watch.observe(MOVING, is_moving=False)
    assert said in watch.blocked, 'the arm must not go on by itself when the push ends'
    watch.reset()
    assert watch.blocked is None


def test_without_bounds_no_wrench_stops():
    watch = RobotWatch()
    watch.observe(RobotStatus(mode=RobotMode.MOVE, force_n=1e3, torque_nm=1e3), is_moving=True)
    assert watch.blocked is None


def test_a_low_success_rate_is_a_warning_while_the_robot_moves_only(watch):
    watch.observe(RobotStatus(mode=RobotMode.IDLE, success_rate=0.0), is_moving=False)
    assert watch.warning is None, 'a robot without a controller has no commands'
    watch.observe(RobotStatus(mode=RobotMode.MOVE, success_rate=0.9), is_moving=True)
    assert 'only 0.90 of the control commands' in watch.warning
    assert watch.blocked is None


def test_a_stop_that_takes_more_to_end_replaces_one_that_takes_less(watch):
    watch.stop('soft', Release.RESET)
    watch.stop('hard', Release.RECOVERY)
    watch.stop('soft again', Release.RESET)
    assert watch.blocked.startswith('hard; ')
    with pytest.raises(RefusedError, match='not reset: hard'):
        watch.reset()


def test_diagnostics_show_what_the_robot_offers_and_nothing_else():
    assert RobotStatus().values() == {'robot_errors': 'none'}
    shown = RobotStatus(mode=RobotMode.MOVE, errors=('a', 'b'), force_n=1.23456).values()
    assert shown == {'robot_mode': 'move', 'robot_errors': 'a b', 'external_force_n': 1.235}


@pytest.mark.parametrize(
    'wrong', [{'success_rate_min': 1.1}, {'force_max_n': 0.0}, {'torque_max_nm': -1.0}]
)
def test_bounds_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RobotWatchConfig(**wrong)
