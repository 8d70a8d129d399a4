"""The simulated moveit_servo: what it makes of speeds and poses, and how it comes to rest."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import SpecError
from roboadapt_ros.sim.servo import (
    CommandType,
    ServoCommand,
    ServoConfig,
    ServoStatus,
    SimulatedServo,
)
from roboadapt_ros.sim.stream_check import StreamCheck, StreamConfig

T_S = 0.01
KINEMATICS, LIMITS = PandaKinematics(), robot_limits('fr3')
DOWN = np.array([0.0, 0.0, -0.05, 0.0, 0.0, 0.0])
STRETCHED = np.array([0.0, 0.6, 0.0, -1.05, 0.0, 1.2, 0.0])
"""Elbow nearly straight: condition of the Jacobian 23, less when it bends."""


class Bench:
    """A servo, its clock, and an arm that is where it was sent."""

    def __init__(self, q=Q_HOME, **settings):
        self.servo = SimulatedServo(ServoConfig(**settings), LIMITS, KINEMATICS)
        self.now_s, self.q, self.points = 100.0, np.array(q), []
        self.check, self.errors = StreamCheck(StreamConfig(period_s=T_S), LIMITS), ()

    def run(self, seconds, kind=None, values=None):
        """Let time pass, with commands at 50 Hz where there are any; return the targets."""
        first = len(self.points)
        for tick in range(round(seconds / T_S)):
            if kind is not None and tick % 2 == 0:
                self.servo.take(ServoCommand(kind, np.array(values, dtype=float), self.now_s))
            q = self.servo.step(self.now_s, self.q)
            self.now_s += T_S
            if q is not None:
                judge = {'is_exact': True, 'held': self.q, 'measured': self.q}
                self.errors += self.check.judge(q, self.now_s, **judge)
                self.q = q
            self.points.append(q)
        return self.points[first:]

    def hand_m(self):
        return KINEMATICS.forward(self.q)[0]


def test_a_twist_moves_the_hand_along_it_and_does_not_turn_it():
    bench = Bench()
    bench.run(0.5, CommandType.TWIST, DOWN)
    start_m, turn = KINEMATICS.forward(bench.q)
    bench.run(1.0, CommandType.TWIST, DOWN)
    np.testing.assert_allclose(bench.hand_m() - start_m, [0.0, 0.0, -0.05], atol=1e-3)
    np.testing.assert_allclose(KINEMATICS.forward(bench.q)[1], turn, atol=1e-3)
    assert bench.errors == ()
    assert bench.servo.status is ServoStatus.NO_WARNING


def test_a_jog_moves_the_joints_by_its_speeds():
    bench, dq = Bench(), np.linspace(-0.2, 0.2, 7)
    bench.run(0.5, CommandType.JOINT_JOG, dq)
    start = bench.q
    bench.run(1.0, CommandType.JOINT_JOG, dq)
    np.testing.assert_allclose(bench.q - start, dq, atol=1e-9)


def test_a_pose_is_reached_and_kept():
    bench = Bench()
    goal_m, turn = KINEMATICS.forward(Q_HOME + 0.1)
    bench.run(4.0, CommandType.POSE, [*goal_m, *turn])
    np.testing.assert_allclose(bench.hand_m(), goal_m, atol=2e-3)


def test_unitless_commands_are_parts_of_the_scales():
    fast, slow = Bench(is_unitless=True), Bench()
    fast.run(1.0, CommandType.TWIST, DOWN / 0.4)
    slow.run(1.0, CommandType.TWIST, DOWN)
    np.testing.assert_allclose(fast.q, slow.q, atol=1e-12)


@pytest.mark.parametrize(
    ('kind', 'values'),
    [
        (CommandType.TWIST, [3.0, 0.0, 0.0, 0.0, 0.0, 9.0]),
        (CommandType.JOINT_JOG, [9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        (CommandType.POSE, [0.5, 0.2, 0.3, 1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_step_of_a_command_is_brought_within_the_arms_limits(kind, values):
    bench = Bench()
    bench.run(0.3, kind, values)
    assert np.abs(bench.q - Q_HOME).max() > 0.02, 'nothing moved'
    assert bench.errors == ()


def test_speeds_are_slowed_alike_so_that_the_direction_stays():
    bench = Bench()
    bench.run(0.6, CommandType.TWIST, [0.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    before_m = bench.hand_m()
    bench.run(0.1, CommandType.TWIST, [0.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    way_m = bench.hand_m() - before_m
    assert np.linalg.norm(way_m) == pytest.approx(0.04, rel=0.02), 'scale.linear is 0.4 m/s'
    assert way_m[1] / np.linalg.norm(way_m) > 0.999


def test_a_command_that_is_too_old_is_a_smooth_halt():
    bench = Bench()
    bench.run(0.5, CommandType.JOINT_JOG, np.full(7, 0.5))
    ends = bench.run(0.5)
    moving = [q for q in ends if q is not None]
    # The last command came two periods before, and counts for 0.1 s.
    steady = np.diff(np.array(moving)[:8], axis=0)
    np.testing.assert_allclose(steady, 0.005, atol=1e-12)
    assert ends[-1] is None, 'nothing is sent once it has halted'
    assert 0.05 / T_S <= len(moving) - 8 <= 0.07 / T_S, '0.5 rad/s at 10 rad/s^2'
    assert bench.errors == ()


def test_after_a_halt_it_goes_on_from_where_the_arm_is_held():
    bench = Bench()
    bench.run(0.3, CommandType.JOINT_JOG, np.full(7, 0.2))
    bench.run(0.5)
    bench.q = bench.q + 0.01  # as after a recovery
    bench.run(0.3, CommandType.JOINT_JOG, np.full(7, 0.2))
    assert bench.errors == ()


def test_a_joint_is_halted_before_its_end():
    q = Q_HOME.copy()
    q[0] = LIMITS.q_max[0] - 0.3
    bench = Bench(q)
    bench.run(2.0, CommandType.JOINT_JOG, [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert bench.servo.status is ServoStatus.JOINT_BOUND
    assert LIMITS.q_max[0] - 0.11 < bench.q[0] < LIMITS.q_max[0] - 0.05
    bench.run(0.5, CommandType.JOINT_JOG, [-0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert bench.servo.status is ServoStatus.NO_WARNING, 'it may go back'


def test_a_jog_at_full_speed_towards_the_end_of_a_joint_is_an_error_of_the_arm():
    """An FR3 has to be slower there, which servo knows nothing of."""
    bench = Bench()
    bench.run(2.0, CommandType.JOINT_JOG, [9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert bench.errors[0] == 'joint_motion_generator_velocity_limits_violation'


def test_it_slows_down_near_a_singularity_less_on_the_way_out_and_halts_at_it():
    out = KINEMATICS.forward(STRETCHED)[0]
    outward = np.array([*out / np.linalg.norm(out), 0.0, 0.0, 0.0])
    speeds = {}
    for name, sign in (('in', 1.0), ('out', -1.0)):
        bench = Bench(STRETCHED)
        bench.run(0.05, CommandType.TWIST, 0.05 * sign * outward)
        speeds[name] = np.abs(np.diff(np.array(bench.points)[-2:], axis=0)).max()
        wanted = {'in': ServoStatus.NEARS_SINGULARITY, 'out': ServoStatus.LEAVES_SINGULARITY}
        assert bench.servo.status is wanted[name]
    assert speeds['in'] < 0.8 * speeds['out']
    bench = Bench(STRETCHED)
    points = bench.run(6.0, CommandType.TWIST, 0.2 * outward)
    assert bench.servo.status in (ServoStatus.AT_SINGULARITY, ServoStatus.NEARS_SINGULARITY)
    assert np.abs(points[-1] - points[-2]).max() < 1e-4, 'it has all but halted'


def test_a_command_of_another_type_is_refused_and_moves_nothing():
    bench = Bench()
    bench.servo.kind = CommandType.TWIST
    with pytest.raises(SpecError, match='JOINT_JOG, required TWIST'):
        bench.run(0.1, CommandType.JOINT_JOG, np.full(7, 0.2))
    assert bench.servo.status is ServoStatus.INVALID
    assert bench.run(0.1) == [None] * 10


def test_a_command_that_is_no_number_is_refused():
    bench = Bench()
    with pytest.raises(SpecError, match=r'TWIST command.*nan.*finite'):
        bench.run(0.1, CommandType.TWIST, [np.nan, 0.0, 0.0, 0.0, 0.0, 0.0])
