"""Protocols: the order of calls that keeps an arm safe, and what an episode counts."""

import itertools

import pytest
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.evaluation.protocol import (
    alternate,
    EpisodePlan,
    EpisodeRules,
    JudgeView,
    repeat,
    run_episode,
)
from roboadapt_ros.evaluation.run_record import SwitchRecord

RULES = EpisodeRules()


class FakeRig:
    """A rig on fake time: the arm moves from `moves_at_s` on, the judge ends at `ends_at_s`."""

    def __init__(self, *, ends_at_s=5.0, success=True, moves_at_s=0.2):
        self.calls, self.time_s, self.start_s = [], 0.0, None
        self._ends_at_s, self._success, self._moves_at_s = ends_at_s, success, moves_at_s
        self._task, self._seed, self._active = '', 0, ''

    def reset(self, task, seed):
        self.calls.append(f'reset {task} {seed}')
        self._task, self._seed, self.start_s = task, seed, self.time_s

    def switch(self, adapter):
        self.calls.append(f'switch {adapter}')
        before, self._active = self._active, adapter
        return SwitchRecord(
            from_task=before,
            to_task=adapter,
            generation=len(self.calls),
            switch_us=5.0,
            boundary_ms=50.0,
            frames_dropped=0,
            stamp_ns=int(self.time_s * 1e9),
            speed_rad_s=self.joint_speed_rad_s(),
            moving=self.joint_speed_rad_s() > 0.03,
        )

    def arm(self):
        self.calls.append('arm')

    def disarm(self):
        self.calls.append('disarm')

    def judge(self):
        elapsed_s = self.time_s - self.start_s
        over = elapsed_s >= self._ends_at_s
        return JudgeView(
            task=self._task,
            seed=self._seed,
            running=not over,
            success=over and self._success,
            elapsed_s=min(elapsed_s, self._ends_at_s),
            message='done' if over else 'running',
        )

    def joint_speed_rad_s(self):
        is_armed = 'arm' in self.calls[-3:]
        return 0.5 if is_armed and self.time_s - self.start_s >= self._moves_at_s else 0.0

    def wait(self, duration_s):
        self.time_s += duration_s


def test_an_evaluated_episode_is_reset_switched_and_only_then_armed():
    rig = FakeRig()
    plan = EpisodePlan(task='lift', adapter='none:lift', seed=3)
    episode = run_episode(rig, plan, RULES)
    assert rig.calls == ['reset lift 3', 'switch none:lift', 'arm', 'disarm']
    assert episode.switch is None
    assert (episode.record.success, episode.record.seed) == (True, 3)
    assert episode.record.duration_s == pytest.approx(5.0)


def test_a_handed_over_episode_switches_while_the_arm_moves():
    rig = FakeRig(moves_at_s=1.5)
    plan = EpisodePlan(task='push', adapter='push', seed=4, start_adapter='lift', handover_s=0.5)
    episode = run_episode(rig, plan, RULES)
    assert rig.calls == ['reset push 4', 'switch lift', 'arm', 'switch push', 'disarm']
    assert episode.switch.moving
    assert episode.switch.stamp_ns / 1e9 == pytest.approx(1.5, abs=0.1), 'it waited for motion'


def test_an_arm_that_never_moves_is_switched_all_the_same_and_said_so():
    rig = FakeRig(moves_at_s=99.0, ends_at_s=8.0)
    plan = EpisodePlan(task='push', adapter='push', seed=4, start_adapter='lift', handover_s=0.5)
    assert not run_episode(rig, plan, RULES).switch.moving


def test_an_episode_that_ends_before_its_handover_has_none():
    rig = FakeRig(ends_at_s=0.3, success=False)
    plan = EpisodePlan(task='push', adapter='push', seed=4, start_adapter='lift', handover_s=0.5)
    episode = run_episode(rig, plan, RULES)
    assert episode.switch is None
    assert not episode.record.success
    assert rig.calls[-1] == 'disarm'


def test_a_judge_without_a_verdict_is_an_error_that_names_the_log():
    rig = FakeRig(ends_at_s=1e9)
    with pytest.raises(BringupError, match='sim_rig_node'):
        run_episode(rig, EpisodePlan(task='lift', adapter='lift', seed=0), RULES)


def test_alternating_runs_each_task_as_often_and_hands_over_both_ways():
    plans = list(alternate(('a', 'b'), episodes=10, seed=50, handover_s=(0.4, 1.2)))
    assert [plan.task for plan in plans] == ['a', 'b'] * 10
    assert [plan.seed for plan in plans] == list(range(50, 70))
    assert plans[0].start_adapter is None
    for before, plan in itertools.pairwise(plans):
        assert plan.start_adapter == before.task
        assert plan.adapter == plan.task
        assert 0.4 <= plan.handover_s <= 1.2
    assert len({plan.handover_s for plan in plans}) == 20, 'times are random'
    assert plans == list(alternate(('a', 'b'), episodes=10, seed=50, handover_s=(0.4, 1.2)))


@pytest.mark.parametrize(
    ('tasks', 'episodes', 'handover_s', 'named'),
    [
        (('a',), 10, (0.4, 1.0), 'tasks'),
        (('a', 'b'), 0, (0.4, 1.0), 'episodes'),
        (('a', 'b'), 1, (1.0, 0.4), 'handover_s'),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(tasks, episodes, handover_s, named):
    with pytest.raises(ConfigError, match=named):
        list(alternate(tasks, episodes=episodes, seed=0, handover_s=handover_s))


def test_evaluating_without_adapters_keeps_the_tasks_own_head():
    plans = list(repeat('lift', 'none', episodes=3, seed=10))
    assert [(p.task, p.adapter, p.seed) for p in plans] == [
        ('lift', 'none:lift', 10),
        ('lift', 'none:lift', 11),
        ('lift', 'none:lift', 12),
    ]
    assert next(iter(repeat('lift', 'push', episodes=1, seed=0))).adapter == 'push'
    with pytest.raises(ConfigError, match='episodes'):
        repeat('lift', 'lift', episodes=0, seed=0)
