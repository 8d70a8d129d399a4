"""The recovery: nothing without a person, every step on time or all anew, an end in any case."""

import pytest
from roboadapt_ros.control.recovery import (
    Action,
    Outcome,
    Recovery,
    RecoveryConfig,
    RecoveryState,
    Step,
)
from roboadapt_ros.errors import ConfigError, RefusedError

TICK_NS = 10_000_000
FRANKA = (
    Step.DEACTIVATE,
    Step.CLEAR,
    Step.HARDWARE,
    Step.CHECK,
    Step.ALIGN,
    Step.ACTIVATE,
    Step.SETTLE,
)
REPEATED, ONCE = FRANKA[:-2], FRANKA[-2:]


class Rig:
    """A rig whose steps end as told: {step: [outcome of the 1st time, of the 2nd, ...]}."""

    def __init__(self, script=None, steps=FRANKA):
        self.script = {step: list(outcomes) for step, outcomes in (script or {}).items()}
        self.begun, self.cancelled = [], []
        self.polls = {}
        self.actions = {
            step: Action(summary=f'do {step.value}', begin=self._begin(step)) for step in steps
        }

    def _begin(self, step):
        def begin():
            self.begun.append(step)
            left = self.script.get(step, [])
            return Task(self, step, left.pop(0) if left else Outcome(True))

        return begin


class Task:
    """Ends at the third poll or as told, or never where its outcome is None."""

    def __init__(self, rig, step, outcome):
        self.rig, self.step, self.outcome, self.polls = rig, step, outcome, 0

    def poll(self, now_ns):
        self.polls += 1
        return self.outcome if self.polls >= self.rig.polls.get(self.step, 3) else None

    def cancel(self):
        self.rig.cancelled.append(self.step)
        return f'{self.step.value} hangs'


def _run(recovery, now_ns=0, interruption=None, ticks=100_000):
    """Tick to the end and return the time it took [ns]."""
    start_ns = now_ns
    for _ in range(ticks):
        if recovery.tick(now_ns, interruption) is not RecoveryState.RUNNING:
            return now_ns - start_ns
        now_ns += TICK_NS
    raise AssertionError(f'no end after {ticks} ticks: {recovery.reason}')


def test_nothing_is_done_before_a_start():
    rig = Rig()
    recovery = Recovery(rig.actions)
    assert recovery.tick(0) is RecoveryState.IDLE
    assert [line.split(':')[0] for line in recovery.plan()] == [step.value for step in FRANKA]
    assert rig.begun == []


def test_the_steps_are_taken_in_their_order_each_after_the_one_before_has_ended():
    rig = Rig()
    recovery = Recovery(rig.actions)
    recovery.start(0)
    assert rig.begun == [Step.DEACTIVATE]
    recovery.tick(0)
    assert rig.begun == [Step.DEACTIVATE], 'it has not ended yet'
    _run(recovery)
    assert recovery.state is RecoveryState.DONE
    assert tuple(rig.begun) == FRANKA
    assert [line.split(':')[0] for line in recovery.trail] == [step.value for step in FRANKA]
    assert all('done' in line for line in recovery.trail)


def test_the_order_does_not_depend_on_how_the_rig_lists_its_steps():
    rig = Rig(steps=tuple(reversed(FRANKA)))
    recovery = Recovery(rig.actions)
    recovery.start(0)
    _run(recovery)
    assert tuple(rig.begun) == FRANKA


def test_a_rig_leaves_out_what_it_does_not_need():
    rig = Rig(steps=(Step.CLEAR, Step.ALIGN))
    recovery = Recovery(rig.actions)
    recovery.start(0)
    _run(recovery)
    assert rig.begun == [Step.CLEAR, Step.ALIGN]


def test_a_refusal_begins_nothing():
    rig = Rig()
    recovery = Recovery(rig.actions)
    with pytest.raises(RefusedError, match='the user stop is pressed'):
        recovery.start(0, 'the user stop is pressed; release it')
    assert recovery.state is RecoveryState.IDLE
    assert rig.begun == []


def test_a_second_start_while_one_is_running_is_refused_and_changes_nothing():
    rig = Rig()
    recovery = Recovery(rig.actions)
    recovery.start(0)
    with pytest.raises(RefusedError, match=r'busy: a recovery is running: deactivate'):
        recovery.start(0)
    assert rig.begun == [Step.DEACTIVATE]


@pytest.mark.parametrize('step', REPEATED)
def test_a_step_that_fails_begins_all_anew(step):
    rig = Rig({step: [Outcome(False, 'no luck')]})
    recovery = Recovery(rig.actions)
    recovery.start(0)
    _run(recovery)
    assert recovery.state is RecoveryState.DONE
    until = FRANKA[: FRANKA.index(step) + 1]
    assert tuple(rig.begun) == until + FRANKA, 'a later step must not follow a failed one'
    assert any('failed' in line and 'no luck' in line for line in recovery.trail)
    assert 'attempt 2 of 3' in recovery.trail


@pytest.mark.parametrize('outcome', [Outcome(False, 'no luck'), None])
@pytest.mark.parametrize('step', ONCE)
def test_what_fails_under_active_controllers_is_cleared_by_nobody_but_a_person(step, outcome):
    """It may be a new reflex: a second attempt would clear it unseen."""
    rig = Rig({step: [outcome]})
    recovery = Recovery(rig.actions)
    recovery.start(0)
    _run(recovery)
    assert recovery.state is RecoveryState.FAILED
    assert f'{step.value} failed in attempt 1 of 3' in recovery.reason
    assert rig.begun.count(Step.CLEAR) == 1


@pytest.mark.parametrize('step', REPEATED)
def test_a_step_without_an_outcome_is_given_up_at_its_deadline(step):
    config = RecoveryConfig()
    rig = Rig({step: [None]})
    recovery = Recovery(rig.actions, config)
    recovery.start(0)
    took_ns = _run(recovery)
    assert recovery.state is RecoveryState.DONE
    assert rig.cancelled == [step]
    assert took_ns / 1e9 == pytest.approx(config.timeout_s(step), abs=0.5)
    said = f'{step.value} hangs (waited {config.timeout_s(step):g} s)'
    assert any(said in line for line in recovery.trail)


@pytest.mark.parametrize('step', REPEATED)
def test_retries_are_bounded(step):
    config = RecoveryConfig(attempts=2)
    rig = Rig({step: [Outcome(False, 'no luck'), None, Outcome(True)]})
    recovery = Recovery(rig.actions, config)
    recovery.start(0)
    _run(recovery)
    assert recovery.state is RecoveryState.FAILED
    assert f'{step.value} failed in attempt 2 of 2' in recovery.reason
    assert rig.begun.count(step) == 2


@pytest.mark.parametrize('step', FRANKA)
def test_the_user_stop_ends_it_at_once_and_nothing_more_is_tried(step):
    rig = Rig({step: [None]})
    recovery = Recovery(rig.actions)
    recovery.start(0)
    now_ns = 0
    while recovery.step is not step:
        recovery.tick(now_ns)
        now_ns += TICK_NS
    begun = list(rig.begun)
    recovery.tick(now_ns, 'the user stop is pressed')
    assert recovery.state is RecoveryState.FAILED
    assert recovery.reason == 'the user stop is pressed'
    assert rig.cancelled == [step]
    for _ in range(10_000):
        now_ns += TICK_NS
        recovery.tick(now_ns)
    assert rig.begun == begun


def test_after_a_failure_a_person_may_confirm_again_with_all_attempts():
    rig = Rig({Step.CLEAR: [Outcome(False, 'a')] * 3})
    recovery = Recovery(rig.actions)
    recovery.start(0)
    _run(recovery)
    assert recovery.state is RecoveryState.FAILED
    recovery.start(0)
    assert len(recovery.trail) == 0
    _run(recovery)
    assert recovery.state is RecoveryState.DONE


def test_a_clock_that_is_set_back_does_not_keep_a_step_for_ever():
    rig = Rig({Step.DEACTIVATE: [None]})
    recovery = Recovery(rig.actions)
    recovery.start(3600 * 10**9)
    recovery.tick(0)
    assert rig.cancelled == [Step.DEACTIVATE]


def test_an_end_in_any_case_within_all_deadlines():
    config = RecoveryConfig()
    rig = Rig({step: [None] * 3 for step in FRANKA})
    recovery = Recovery(rig.actions, config)
    recovery.start(0)
    took_ns = _run(recovery)
    assert recovery.state is RecoveryState.FAILED
    assert took_ns / 1e9 <= config.attempts * config.timeout_s(Step.DEACTIVATE) + 1.0


def test_the_longest_recovery_is_as_long_as_is_said():
    config = RecoveryConfig(attempts=2)
    every = (*FRANKA[:4], Step.SETUP, *FRANKA[4:])
    slow = [step for step in every if step is not Step.ALIGN]  # good, a moment before it is late
    rig = Rig({Step.ALIGN: [None, Outcome(True)]}, every)
    rig.polls = {step: int(config.timeout_s(step) / (TICK_NS / 1e9)) for step in slow}
    recovery = Recovery(rig.actions, config)
    recovery.start(0)
    took_ns = _run(recovery)
    assert recovery.state is RecoveryState.DONE
    assert 0.8 * config.longest_s < took_ns / 1e9 <= config.longest_s


def test_aborting_what_does_not_run_changes_nothing():
    recovery = Recovery(Rig().actions)
    recovery.abort('stop')
    assert recovery.state is RecoveryState.IDLE
    assert recovery.trail == []


@pytest.mark.parametrize('name', ['attempts', 'clear_timeout_s', 'step_timeout_s'])
def test_deadlines_and_attempts_must_be_positive(name):
    with pytest.raises(ConfigError, match=name):
        RecoveryConfig(**{name: 0})
