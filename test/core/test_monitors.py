"""The judges of a run: mixed tasks and exceeded limits are found, sound runs are not blamed."""

import numpy as np
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.dataflow import Identity, LatencyLedger
from roboadapt_ros.evaluation.ledgers import LedgerBook
from roboadapt_ros.evaluation.monitor import IdentityMonitor
from roboadapt_ros.evaluation.motion import LimitMonitor

LIFT, PUSH = ('lift_red', 'aa'), ('push_blue', 'bb')
REST = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])


def _identity(pair, generation):
    task, digest = pair
    return Identity(task=task, package_digest=digest, generation=generation, frame_stamps_ns=())


def test_a_run_with_switches_and_pipelining_is_not_blamed():
    """Downstream stages lag a generation behind; that is the design, not a mix."""
    monitor = IdentityMonitor()
    monitor.switched(1, *LIFT)
    monitor.observe('features', _identity(LIFT, 1))
    monitor.observe('features', _identity(PUSH, 2))  # overtakes the answer
    monitor.observe('policy', _identity(LIFT, 1))
    monitor.switched(2, *PUSH)
    monitor.observe('policy', _identity(PUSH, 2))
    assert monitor.finish() == 0
    assert monitor.counts == {'features': 2, 'policy': 2}


def test_a_task_under_the_wrong_generation_is_mixed():
    monitor = IdentityMonitor()
    monitor.switched(1, *LIFT)
    assert not monitor.observe('policy', _identity(PUSH, 1))
    assert monitor.mixed[0].stage == 'policy'
    assert monitor.mixed[0].expected == LIFT


def test_the_right_task_with_another_packages_digest_is_mixed():
    monitor = IdentityMonitor()
    monitor.switched(1, *LIFT)
    assert not monitor.observe('governor', _identity((LIFT[0], 'bb'), 1))


def test_a_message_that_contradicts_a_later_answer_is_mixed():
    monitor = IdentityMonitor()
    monitor.observe('features', _identity(LIFT, 2))
    monitor.switched(2, *PUSH)
    assert monitor.finish() == 1


def test_generations_never_go_back_within_a_stage():
    monitor = IdentityMonitor()
    monitor.switched(1, *LIFT)
    monitor.switched(2, *PUSH)
    monitor.observe('policy', _identity(PUSH, 2))
    assert not monitor.observe('policy', _identity(LIFT, 1))
    assert monitor.observe('governor', _identity(LIFT, 1))


def test_two_tasks_in_a_generation_nobody_answered_for_are_mixed():
    monitor = IdentityMonitor()
    for pair in (LIFT, LIFT, PUSH):
        monitor.observe('features', _identity(pair, 9))
    assert monitor.finish() == 1
    assert monitor.finish() == 1, 'asking again must not count again'


def _judge():
    return LimitMonitor(robot_limits('panda'), period_s=0.01, max_gap_s=0.1)


def test_a_slow_smooth_motion_is_within_limits():
    judge = _judge()
    for tick in range(200):
        q = REST + 0.2 * (1 - np.cos(np.pi * tick / 100)) / 2
        judge.command(tick * 10_000_000, q)
        judge.measured(tick * 10_000_000, q, np.zeros(7))
    assert judge.violations == []
    assert judge.counts == {'commanded': 200, 'measured': 200}
    assert 0 < judge.used['commanded velocity'] < 0.5


def test_a_step_breaks_velocity_acceleration_and_jerk():
    judge = _judge()
    step = np.zeros(7)
    step[3] = 0.03  # 3 rad/s at 100 Hz, the limit is 2.175
    for tick, q in enumerate((REST, REST, REST, REST + step)):
        judge.command(tick * 10_000_000, q)
    found = {(v.quantity, v.joint) for v in judge.violations}
    assert found == {
        (f'commanded {name}', 'panda_joint4') for name in ('velocity', 'acceleration', 'jerk')
    }
    assert 'panda_joint4 = 3, limit 2.175' in str(judge.violations[0])


def test_a_pause_starts_a_new_sequence():
    """After a release the arm starts from where it is, not from where it was sent before."""
    judge = _judge()
    judge.command(0, REST)
    judge.command(500_000_000, REST + 0.5)
    assert judge.violations == []


def test_a_point_lost_on_its_way_to_the_judge_is_no_jump():
    """Seen once in a busy test: v, 2v, v looked like 40 rad/s^2 there and back."""
    judge = _judge()
    for tick in (1, 2, 3, 5, 6, 7):
        judge.command(tick * 10_000_000, REST + 0.005 * tick, tick)
    assert judge.violations == []
    assert judge.counts['lost'] == 1
    judge.command(80_000_000, REST + 0.5, 8)
    assert judge.violations != [], 'a jump between successive points is one'


def test_a_sender_that_starts_anew_counts_from_one_again():
    judge = _judge()
    judge.command(10_000_000, REST, 900)
    judge.command(20_000_000, REST + 0.3, 1)
    assert judge.violations == []
    assert judge.counts['lost'] == 0


def test_after_a_restart_the_next_point_begins_another_motion():
    """A robot that was recovered goes on from where it is, not from where it was sent."""
    judge = _judge()
    judge.command(10_000_000, REST)
    judge.restart()
    judge.command(20_000_000, REST + 0.3)
    assert judge.violations == []


def test_positions_beyond_the_end_and_nan_are_violations():
    judge = _judge()
    beyond = REST.copy()
    beyond[1] = -1.8
    judge.command(0, beyond)
    assert str(judge.violations[0]) == ('commanded position of panda_joint2 = -1.8, limit -1.7628')
    judge.measured(0, np.full(7, np.nan), np.zeros(7))
    assert len(judge.violations) == 8


def test_the_fr3s_speed_limit_shrinks_near_the_end_of_a_joint():
    limits = robot_limits('fr3')
    judge = LimitMonitor(limits, period_s=0.01, max_gap_s=0.1)
    middle = (limits.q_min + limits.q_max) / 2
    speed = np.zeros(7)
    speed[0] = 1.5
    judge.measured(0, middle, speed)
    assert judge.violations == []
    near = middle.copy()
    near[0] = limits.q_max[0] - 0.01
    judge.measured(0, near, speed)
    assert [v.quantity for v in judge.violations] == ['measured velocity']


def _ledger(exposure_ms, **changes):
    stages = ('exposure', 'received', 'preprocessed', 'encoded', 'head', 'bridged', 'governed')
    offsets = (0, 4, 5, 30, 32, 33, 41)
    times = {s: int((exposure_ms + o) * 1e6) for s, o in zip(stages, offsets, strict=True)}
    return LatencyLedger(**{**times, 'published': int((exposure_ms + 42) * 1e6), **changes})


def test_the_first_command_of_each_exposure_counts_once():
    book = LedgerBook()
    assert book.observe(_ledger(100))
    assert not book.observe(_ledger(100, published=int(152e6)))
    assert book.observe(_ledger(200))
    assert book.total_ms == [42.0, 42.0]
    assert book.inference_ms == [25.0, 25.0]
    assert book.overhead_ms == [17.0, 17.0]
    assert book.stages_ms()['encoded'].p50 == 25.0
    assert next(iter(book.stages_ms())) == 'received'


def test_an_incomplete_ledger_is_counted_and_left_out():
    book = LedgerBook()
    assert not book.observe(_ledger(100, bridged=0))
    assert (book.incomplete, book.total_ms) == (1, [])
