"""Reports that stand still, or do not come: what a Franka's driver shows of an error in motion."""

import pytest
from roboadapt_ros.control.robot_pulse import FRESH_S, Lasting, RobotPulse, SILENT_S, STILL_S
from roboadapt_ros.control.robot_status import Release, RobotMode, RobotStatus

S = 1_000_000_000
T0 = 1_700_000_000 * S


def report(time_s):
    return RobotStatus(mode=RobotMode.MOVE, time_s=time_s)


def run(pulse, seconds, *, clock, start=T0):
    """Report a hundred times a second, with what the robot's clock says; return the end."""
    now_ns = start
    for tick in range(round(seconds * 100)):
        now_ns = start + tick * S // 100
        pulse.note(report(clock(tick)), now_ns)
    return now_ns


def test_before_the_first_report_nothing_is_said():
    pulse = RobotPulse()
    assert pulse.loss(T0) is None
    assert not pulse.is_fresh(T0)


def test_reports_whose_clock_goes_on_are_of_now():
    pulse = RobotPulse()
    now_ns = run(pulse, 3.0, clock=lambda tick: 5.0 + tick / 100)
    assert pulse.loss(now_ns) is None
    assert pulse.is_fresh(now_ns)


def test_a_clock_that_stands_still_under_fresh_reports_takes_a_recovery():
    pulse = RobotPulse()
    now_ns = run(pulse, STILL_S + 0.1, clock=lambda _: 5.0)
    reason, release = pulse.loss(now_ns)
    assert release is Release.RECOVERY
    assert 'stand still' in reason
    assert not pulse.is_fresh(now_ns)


def test_reports_of_a_robot_without_a_clock_are_all_of_now():
    pulse = RobotPulse()
    now_ns = run(pulse, 3.0, clock=lambda _: None)
    assert pulse.loss(now_ns) is None
    assert pulse.is_fresh(now_ns)


@pytest.mark.parametrize('pause_s', [0.4, 0.7, 0.95])
def test_a_pause_is_neither_silence_nor_standing_still(pause_s):
    pulse = RobotPulse()
    now_ns = run(pulse, 1.0, clock=lambda tick: tick / 100)
    assert pulse.loss(now_ns + int(pause_s * S)) is None
    assert pulse.is_fresh(now_ns + int(pause_s * S)) == (pause_s <= FRESH_S)


def test_silence_is_a_stop_that_a_reset_ends():
    pulse = RobotPulse()
    now_ns = run(pulse, 1.0, clock=lambda tick: tick / 100)
    reason, release = pulse.loss(now_ns + int((SILENT_S + 0.1) * S))
    assert release is Release.RESET
    assert 'reports nothing' in reason


def test_a_robot_that_was_restarted_counts_from_the_beginning():
    pulse = RobotPulse()
    now_ns = run(pulse, 1.0, clock=lambda tick: 900.0 + tick / 100)
    now_ns = run(pulse, 1.0, clock=lambda tick: tick / 100, start=now_ns)
    assert pulse.loss(now_ns) is None


def test_a_clock_here_that_is_set_back_is_put_right_by_the_next_report():
    pulse = RobotPulse()
    now_ns = run(pulse, 1.0, clock=lambda tick: tick / 100) - 3600 * S
    pulse.note(report(7.0), now_ns)
    assert pulse.loss(now_ns) is None


def test_what_is_forgotten_is_not_missed():
    pulse = RobotPulse()
    now_ns = run(pulse, 1.0, clock=lambda tick: tick / 100)
    pulse.forget()
    assert pulse.loss(now_ns + 60 * S) is None


def test_what_comes_and_goes_does_not_last():
    condition = Lasting(0.5)
    assert not condition.lasts(T0 + 0 * S // 10, is_on=True)
    assert not condition.lasts(T0 + 5 * S // 10, is_on=True)
    assert condition.lasts(T0 + 6 * S // 10, is_on=True)
    assert not condition.lasts(T0 + 7 * S // 10, is_on=False)
    assert not condition.lasts(T0 + 8 * S // 10, is_on=True), 'from the beginning'
    assert not condition.lasts(T0 + 1 * S // 10, is_on=True), 'a clock set back begins anew'
    assert condition.lasts(T0 + 7 * S // 10, is_on=True)
