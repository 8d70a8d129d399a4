"""The soak: it runs until time and switches are full, and counts what the judges say."""

from __future__ import annotations

from collections import Counter

import pytest
from roboadapt_ros.bench.soak import _soak, SoakConfig
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.protocol import JudgeView
from roboadapt_ros.learning.progress import silent


class FakeRig:
    """A rig on which every third episode fails with an error of the robot."""

    def __init__(self):
        self.robot_s, self.stops, self.errors = 0.0, 0, Counter()
        self.calls: list[str] = []
        self.served, self.task, self.armed_s, self.episodes = '', '', 0.0, 0

    def reset(self, task, seed):
        assert self.armed_s == 0.0, 'the arm would be put elsewhere while it is driven'
        self.task, self.episodes = task, self.episodes + 1
        self.calls.append(f'reset {task} {seed}')

    def switch(self, adapter):
        self.calls.append(f'switch {adapter}')
        self.served, was = adapter, self.served
        assert was != adapter or self.armed_s == 0.0, 'a switch to the same task is none'
        return self.armed_s > 0.2

    def arm(self):
        self.armed_s = 1e-9

    def disarm(self):
        self.armed_s = 0.0

    def judge(self):
        assert self.served == self.task, 'judged under another task'
        is_over = self.armed_s > 4.0
        return JudgeView(
            task=self.task, seed=0, running=not is_over, success=self.episodes % 3 > 0,
            elapsed_s=self.armed_s, message='',
        )  # fmt: skip

    def wait(self, duration_s):
        self.robot_s += duration_s
        self.armed_s += duration_s
        if self.armed_s > 4.0 and self.episodes % 3 == 0 and self.stops < self.episodes // 3:
            self.stops += 1
            self.errors.update(['joint_reflex', 'cartesian_reflex'])

    def mixed_messages(self):
        return 3

    def limit_violations(self):
        return 4


def test_it_ends_when_both_time_and_switches_are_full():
    config = SoakConfig(minutes=2.0, switches=37)
    figures = _soak(FakeRig(), config, silent).figures
    assert 2.0 <= figures['robot_minutes'] < 2.3
    assert 37 <= figures['switches'] <= 40
    assert 0 < figures['switches_while_moving'] <= figures['switches']


def test_it_counts_stops_of_the_robot_and_the_errors_by_name():
    rig = FakeRig()
    figures = _soak(rig, SoakConfig(minutes=1.0, switches=5), silent).figures
    assert figures['robot_errors'] == rig.stops > 0
    assert figures['error_joint_reflex'] == figures['error_cartesian_reflex'] == rig.stops
    assert (figures['mixed_messages'], figures['limit_violations']) == (3, 4)
    assert figures['successes'] == figures['episodes'] - figures['episodes'] // 3


def test_the_same_seed_makes_the_same_calls():
    first, second, other = FakeRig(), FakeRig(), FakeRig()
    for rig, seed in ((first, 1), (second, 1), (other, 2)):
        _soak(rig, SoakConfig(minutes=0.5, switches=9, seed=seed), silent)
    assert first.calls == second.calls != other.calls


@pytest.mark.parametrize(
    ('settings', 'named'), [({'tasks': ('lift_red',)}, 'tasks'), ({'minutes': 0.0}, 'minutes')]
)
def test_a_soak_that_makes_no_sense_is_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        SoakConfig(**settings)


def test_without_the_governor_no_graph_is_needed():
    assert SoakConfig().needs_graph
    assert not SoakConfig(governor=False).needs_graph
    assert not SoakConfig(in_process=True).needs_graph
