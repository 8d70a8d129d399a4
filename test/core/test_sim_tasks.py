"""Tasks and their experts: the experts solve them, from any state and without memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.motion import JointMotion
from roboadapt_ros.control.spline import Target
from roboadapt_ros.errors import SimError, UnknownNameError
from roboadapt_ros.sim.expert import SceneView
from roboadapt_ros.sim.experts import LiftExpert, make_expert, PushExpert
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.tasks import make_task, Outcome, TASKS

DT_S = 0.1


@pytest.fixture(scope='module')
def rig() -> Iterator[SimRig]:
    rig = SimRig()
    yield rig
    rig.close()


def run_episode(rig: SimRig, name: str, seed: int) -> Outcome:
    """Let the expert plan every 0.1 s and follow the first row at 100 Hz, within the limits."""
    rig.reset(seed)
    task, expert, kinematics = make_task(name), make_expert(name), PandaKinematics()
    motion = JointMotion(robot_limits('panda').scaled(acceleration=0.9, jerk=0.2), 0.01)
    task.start(rig)
    q, last, rest = rig.target, rig.state().ee_position, np.zeros(7)
    motion.reset(q)
    while True:
        row = expert.plan(rig, 2, DT_S)[0]
        rig.set_gripper_target(row[7])
        for share in np.linspace(0.1, 1.0, 10):
            before = q
            q = kinematics.inverse(last + share * (row[:3] - last), row[3:7], q).q
            step = motion.propose(Target(q, (q - before) / 0.01, rest))
            assert step is not None
            motion.take(step)
            rig.set_joint_target(motion.state.q)
            rig.advance(0.01)
        last = row[:3]
        outcome = task.outcome(rig)
        if outcome.success or outcome.failed:
            return outcome


@pytest.mark.parametrize('name', sorted(TASKS))
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_the_expert_solves_its_task(rig, name, seed):
    outcome = run_episode(rig, name, seed)
    assert outcome.success, outcome.message


@pytest.mark.parametrize('name', sorted(TASKS))
def test_a_plan_is_a_function_of_the_state_alone(rig, name):
    rig.reset(3)
    expert = make_expert(name)
    first = expert.plan(rig, 8, DT_S)
    expert.plan(rig, 3, DT_S)
    assert first.shape == (8, 8)
    assert np.array_equal(first, expert.plan(rig, 8, DT_S))
    assert np.array_equal(first, make_expert(name).plan(rig, 8, DT_S))


@pytest.mark.parametrize('name', sorted(TASKS))
def test_a_plan_moves_at_a_moderate_speed(rig, name):
    for seed in range(5):
        rig.reset(seed)
        rows = make_expert(name).plan(rig, 16, DT_S)
        speed = np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1).max() / DT_S
        assert speed < 0.35, f'the hand would move at {speed:.2f} m/s'


def test_an_idle_arm_succeeds_at_nothing_and_runs_out_of_time(rig):
    rig.reset(0)
    tasks = [make_task(name) for name in TASKS]
    for task in tasks:
        task.start(rig)
    rig.advance(1.0)
    assert not any(task.outcome(rig).success or task.outcome(rig).failed for task in tasks)
    rig.advance(max(task.time_limit_s for task in tasks))
    assert all(task.outcome(rig).failed for task in tasks)


def test_a_stopped_arm_fails_the_episode_and_says_why(rig):
    rig.reset(0)
    task = make_task('lift_red')
    task.start(rig)
    rig.inject_error('joint_reflex')
    outcome = task.outcome(rig)
    assert outcome.failed
    assert 'joint_reflex' in outcome.message


def test_a_task_must_be_started(rig):
    with pytest.raises(SimError, match='start'):
        make_task('push_blue').outcome(rig)


@pytest.mark.parametrize('make', [make_task, make_expert])
def test_an_unknown_task_gets_the_nearest_name(make):
    with pytest.raises(UnknownNameError, match="Did you mean 'lift_red'"):
        make('lift_rd')


def view(ee: list[float], width_m: float) -> SceneView:
    """A scene with the object 25 mm high at (0.5, 0) and the mark 15 cm ahead of it."""
    return SceneView(
        np.array(ee), width_m, np.array([0.5, 0.0, 0.025]), np.array([0.65, 0.0, 0.0])
    )


def test_the_lift_expert_opens_and_rises_when_it_closed_on_nothing():
    intent = LiftExpert().decide(view([0.5, 0.0, 0.025], 0.002))
    assert intent.width_m == pytest.approx(0.08)
    assert intent.velocity[2] > 0.02


def test_the_lift_expert_rises_only_with_the_object_between_the_fingers():
    assert LiftExpert().decide(view([0.5, 0.0, 0.025], 0.079)).velocity[2] <= 0.001
    assert LiftExpert().decide(view([0.5, 0.0, 0.025], 0.051)).velocity[2] > 0.1


def test_the_push_expert_goes_round_an_object_it_stands_in_front_of():
    intent = PushExpert().decide(view([0.56, 0.0, 0.025], 0.03))
    assert intent.velocity[2] > 0.05, 'the hand would drag the object backward'


def test_the_push_expert_leaves_an_object_that_is_on_the_mark():
    scene = SceneView(
        np.array([0.61, 0.0, 0.025]), 0.03, np.array([0.645, 0, 0.025]), np.array([0.65, 0, 0])
    )
    intent = PushExpert().decide(scene)
    assert intent.velocity[0] <= 0.0
    assert intent.velocity[2] > 0.05
