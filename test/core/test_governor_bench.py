"""Hostile streams and their judge: what is wrong is seen, and the governor does nothing wrong."""

from dataclasses import replace
import json

import numpy as np
import pytest
from roboadapt_ros.bench.arm_tables import hand_points, hand_turns, TABLES
from roboadapt_ros.bench.collision_judge import MeshJudge
from roboadapt_ros.bench.governor import GovernorBenchConfig, run, torment
from roboadapt_ros.bench.hostile import hostile_chunk, TROUBLES, View
from roboadapt_ros.bench.hostile_arm import FOLDED
from roboadapt_ros.bench.hostile_run import HostileRun, make_governor
from roboadapt_ros.bench.motion_judge import Demand, MotionJudge, Promise, Stretch
from roboadapt_ros.bench.tally import Batch, Tally
from roboadapt_ros.control.command import GovernorCommand, GovernorState
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.self_collision import SelfDistance
from roboadapt_ros.errors import ConfigError

TICK_S = 0.01


def judged(points, robot='panda', dq=None, *, is_held=True, **promise):
    """Return the quantities violated by points (n, 7) that follow a rest in the first one."""
    q = np.asarray(points, dtype=float)
    rest = q[0]
    if dq is None:
        dq = np.gradient(q, TICK_S, axis=0) if len(q) > 1 else np.zeros_like(q)
    judge = MotionJudge(Promise(robot=robot, **promise), TICK_S)
    judge.judge(Stretch((rest,), list(q), list(dq), is_held))
    return {name for name, count in judge.counts.items() if count}


def glide(joint, speed, seconds, start=Q_HOME, ramp_s=0.5):
    """Return points (n, 7), and their speeds, that speed a joint up and down smoothly."""
    t = np.arange(0.0, seconds, TICK_S)
    up = np.clip(t / ramp_s, 0.0, 1.0)
    down = np.clip((seconds - 0.05 - t) / ramp_s, 0.0, 1.0)
    shape = np.minimum(up, down)
    dq = speed * shape**2 * (3.0 - 2.0 * shape)
    q = np.cumsum((dq + np.roll(dq, 1)) / 2.0) * TICK_S
    points, speeds = np.tile(start, (len(t), 1)), np.zeros((len(t), 7))
    points[:, joint] += q
    speeds[:, joint] = dq
    return points, speeds


class TestJudge:
    def test_a_smooth_motion_within_the_limits_passes(self):
        points, speeds = glide(0, 1.0, 2.0)
        assert judged(points, dq=speeds, margin_rad=0.05) == set()

    @pytest.mark.parametrize('robot', ['panda', 'fr3'])
    def test_speed_beyond_the_limit_is_seen(self, robot):
        start = Q_HOME.copy()
        start[0] = -1.2
        points, speeds = glide(0, 1.02 * TABLES[robot].speed[0], 1.4, start)
        assert 'velocity' in judged(points, robot, speeds)

    def test_a_step_is_a_velocity_an_acceleration_and_a_jerk(self):
        points = np.tile(Q_HOME, (5, 1))
        points[2:, 3] += 0.03
        assert {'velocity', 'acceleration', 'jerk'} <= judged(points)

    def test_a_start_with_a_step_is_seen(self):
        judge = MotionJudge(Promise(robot='panda'), TICK_S)
        judge.judge(Stretch((Q_HOME,), [Q_HOME + 0.01] * 5, [np.zeros(7)] * 5))
        assert judge.counts['acceleration'] and judge.counts['jerk']

    def test_one_of_the_poses_the_arm_has_told_is_to_explain_a_start(self):
        points, speeds = glide(0, 1.0, 2.0)
        elsewhere, near = Q_HOME + 0.2, Q_HOME + 0.003
        for rests, is_explained in (((near, elsewhere, Q_HOME), True), ((near, elsewhere), False)):
            judge = MotionJudge(Promise(robot='panda'), TICK_S)
            found = judge.judge(Stretch(rests, list(points), list(speeds)))
            assert (found == 0) == is_explained
            assert judge.counts.total() == found
            assert (judge.used['acceleration'] <= 1.0) == is_explained

    def test_silence_while_moving_is_seen(self):
        points, speeds = glide(0, 1.0, 2.0)
        middle = len(points) // 2
        assert 'acceleration' in judged(points[:middle], dq=speeds[:middle])
        assert judged(points[:middle], dq=speeds[:middle], is_held=False) == set()

    def test_a_point_beyond_an_end_and_one_within_its_margin_are_seen(self):
        inside = Q_HOME.copy()
        inside[6] = TABLES['panda'].high[6] - 0.2
        points, speeds = glide(6, 0.2, 1.22, inside)  # 0.134 rad
        assert judged(points, dq=speeds, margin_rad=0.05) == set()
        assert judged(points, dq=speeds, margin_rad=0.1) == {'position'}
        points, speeds = glide(6, 0.2, 1.8, inside)  # 0.25 rad
        assert judged(points, dq=speeds) == {'position'}

    def test_an_fr3_that_comes_too_fast_towards_an_end_is_seen(self):
        start = Q_HOME.copy()
        start[0] = TABLES['fr3'].high[0] - 1.01
        points, speeds = glide(0, 2.0, 1.05, start)  # 1.0 rad
        assert points[-1, 0] < TABLES['fr3'].high[0]
        assert judged(points, 'fr3', speeds) == {'velocity_at_position'}
        assert judged(points, 'panda', speeds) == set()

    def test_speeds_that_are_not_those_of_the_points_are_seen(self):
        points, speeds = glide(0, 1.0, 2.0)
        assert judged(points, dq=speeds + 0.3) == {'told_speed'}

    def test_leaving_the_box_is_seen(self):
        points, speeds = glide(1, 0.5, 2.0)  # forward and down
        height = hand_points(points)[0][:, 2]
        floor = (-9.0, -9.0, float(height.min()) + 0.05)
        assert judged(points, dq=speeds, box_low_m=floor) == {'workspace'}

    def test_a_hand_that_turns_faster_than_promised_is_seen(self):
        points, speeds = glide(6, 0.8, 2.0)  # the last joint turns the hand by its own angle
        np.testing.assert_allclose(hand_turns(points), np.diff(points[:, 6]), atol=1e-12)
        assert judged(points, dq=speeds, hand_turn_rad_s=0.7) == {'hand_turn'}
        assert judged(points, dq=speeds, hand_turn_rad_s=0.8) == set()

    def test_nan_is_seen(self):
        points = np.tile(Q_HOME, (5, 1))
        points[3, 2] = np.nan
        assert judged(points) == {'not_finite'}

    @pytest.mark.parametrize('robot', ['panda', 'fr3'])
    def test_its_tables_are_nowhere_narrower_than_the_governors(self, robot):
        own, governors = TABLES[robot], robot_limits(robot)
        assert (own.low <= governors.q_min).all() and (own.high >= governors.q_max).all()
        for name, table in (('dq_max', own.speed), ('dddq_max', own.jerk)):
            assert (table >= getattr(governors, name)).all()
        q = np.random.default_rng(0).uniform(governors.q_min, governors.q_max, (500, 7))
        bounds = np.array([governors.velocity_bounds(row) for row in q])
        for law in own.laws:
            assert (bounds[:, 1] <= np.maximum(law.towards_high(q), 0.0) + 1e-9).all()
            assert (-bounds[:, 0] <= np.maximum(law.towards_low(q), 0.0) + 1e-9).all()

    def test_its_hand_is_where_the_kinematics_have_it(self):
        q = Q_HOME + np.random.default_rng(0).normal(size=(20, 7))
        kinematics = PandaKinematics()
        expected = [kinematics.forward(row)[0] for row in q]
        np.testing.assert_allclose(hand_points(q)[0], expected, atol=1e-9)


class TestDemands:
    """What is demanded under way holds as soon as an arm can have braked."""

    SPEED = TABLES['panda'].speed

    def judged(self, points, speeds, at, **demand):
        judge = MotionJudge(Promise(robot='panda'), TICK_S)
        demanded = Demand(**{'speed': self.SPEED, **demand})
        judge.judge(
            Stretch((points[0],), list(points), list(speeds), demands=[(0, None), (at, demanded)])
        )
        return {name for name, count in judge.counts.items() if count}

    def test_an_arm_that_goes_on_as_fast_as_before_is_seen(self):
        points, speeds = glide(0, 1.0, 2.0)
        assert self.judged(points, speeds, 100, speed=0.3 * self.SPEED) == {'demanded_speed'}

    def test_an_arm_that_was_braking_already_passes(self):
        points, speeds = glide(0, 1.0, 2.0)
        assert self.judged(points, speeds, 190, speed=0.3 * self.SPEED) == set()

    def test_a_hand_that_goes_on_as_fast_as_before_is_seen(self):
        points, speeds = glide(0, 1.0, 2.0)
        assert self.judged(points, speeds, 100, hand_speed_m_s=0.1) == {'demanded_hand_speed'}

    def test_going_further_out_of_a_box_is_seen_and_coming_in_is_not(self):
        points, speeds = glide(1, 0.5, 2.0)  # forward and down
        height = float(hand_points(points)[0][100, 2])
        box = (-9.0, -9.0, height + 0.05)
        assert self.judged(points, speeds, 50, box_low_m=box) == {'demanded_box'}
        points, speeds = glide(1, -0.5, 2.0)
        assert self.judged(points, speeds, 50, box_low_m=box) == set()

    def test_going_further_beyond_a_narrower_end_is_seen(self):
        points, speeds = glide(0, 0.5, 2.0)
        high = np.full(7, 9.0)
        high[0] = 0.2
        assert self.judged(points, speeds, 50, high=high) == {'demanded_position'}


class PassThrough:
    """What a graph without a governor would do: send the newest chunk on."""

    def __init__(self, config, robot):
        self.names = make_governor(config, robot).names
        self.state, self.chunk = GovernorState.TRACKING, None

    def observe(self, *state):
        pass

    def accept(self, chunk, now_ns):
        self.chunk = chunk

    def command(self, now_ns):
        if self.chunk is None:
            return GovernorCommand(None, None, None, GovernorState.IDLE, '', None)
        with np.errstate(all='ignore'):
            q = np.resize(np.real(self.chunk.actions).astype(float), 7)
        return GovernorCommand(q, np.zeros(7), 0.04, self.state, '', self.chunk)

    def narrow(self, q_min, q_max, dq_max):
        pass

    def fault(self, reason):
        pass

    def reset(self):
        pass


class TestHostileStreams:
    def test_the_governor_keeps_every_limit_and_lives_on(self):
        tally = Tally()
        for number in range(16):
            tally.add(HostileRun(Batch(7, number, 15)).run())
        assert not +tally.violations and not tally.unresponsive, tally.first
        assert tally.sequences == 240
        assert tally.moving > 1000 and tally.accepted > 150, 'nothing was tormented'

    def test_no_hand_is_faster_while_it_stops_than_its_task_asked_for(self):
        """In this batch one was, while the governor looked at a stop at a few moments only."""
        tally = HostileRun(Batch(1, 20679, 40)).run()
        assert not +tally.violations, tally.first
        assert tally.used['demanded_hand_speed'] > 0.9, 'it is held against it'

    def test_without_a_governor_the_judge_finds_violations(self):
        tally = HostileRun(Batch(7, 0, 20), PassThrough).run()
        assert tally.violations.total() > 20 and 'seed 7, batch 0' in tally.first

    @staticmethod
    def found_without(spoil, numbers):
        """Return what is found of governors that something was taken from."""

        def build(config, robot):
            governor = make_governor(config, robot)
            spoil(governor)
            return governor

        judge, total = MeshJudge(), Tally()
        for number in numbers:
            total.add(HostileRun(Batch(7, number, 40), build, judge).run())
        return set(+total.violations)

    def test_a_governor_that_hears_no_envelope_is_found(self):
        def spoil(governor):
            accept = governor.accept
            governor.accept = lambda chunk, now: accept(replace(chunk, envelope=None), now)

        found = self.found_without(spoil, range(6))
        assert {'demanded_speed', 'demanded_hand_speed', 'demanded_box'} <= found

    def test_a_governor_that_hears_no_urdf_is_found(self):
        def spoil(governor):
            governor.narrow = lambda *limits: None

        assert self.found_without(spoil, range(12)) & {'demanded_speed', 'demanded_position'}

    def test_a_governor_that_does_not_know_its_own_outside_is_found(self):
        def spoil(governor):
            governor._path._self_distance_min_m = -9.0
            governor._follower._guard._self_distance_min_m = -9.0

        assert 'self_collision' in self.found_without(spoil, (12, 40, 44, 52))

    def test_a_governor_that_starts_beside_what_the_arm_was_told_to_keep_is_found(self):
        """Where a load holds the arm off, its controller would see a step."""

        def spoil(governor):
            governor._start = lambda measured: measured.q

        assert 'velocity' in self.found_without(spoil, range(16))

    def test_a_governor_that_falls_silent_or_raises_is_unresponsive(self):
        def mute(config, robot):
            governor = make_governor(config, robot)
            governor.command = lambda now_ns: GovernorCommand(
                None, None, None, GovernorState.TRACKING, '', None
            )
            return governor

        def broken(config, robot):
            governor = make_governor(config, robot)
            governor.accept = lambda chunk, now_ns: int(float('inf'))
            return governor

        assert HostileRun(Batch(7, 0, 3), mute).run().unresponsive > 3
        tally = HostileRun(Batch(7, 0, 3), broken).run()
        assert tally.unresponsive == 1 and 'OverflowError' in tally.first

    def test_a_governor_that_refuses_everything_is_unresponsive(self):
        def stubborn(config, robot):
            governor = make_governor(config, robot)
            governor.observe = lambda *state: None
            return governor

        tally = HostileRun(Batch(7, 0, 3), stubborn).run()
        assert tally.unresponsive == 1 and 'good chunk was refused' in tally.first

    def test_a_seed_brings_a_batch_back(self):
        one, other = (HostileRun(Batch(3, 5, 10)).run() for _ in range(2))
        assert (one.kinds, one.causes, one.used) == (other.kinds, other.causes, other.used)

    def test_folded_poses_are_within_both_arms_ends_and_in_themselves(self):
        distance = SelfDistance()
        for pose in np.array(FOLDED):
            for robot in TABLES:
                assert (pose > TABLES[robot].low).all() and (pose < TABLES[robot].high).all()
            assert distance.distance(pose) < -0.02

    def test_every_trouble_is_sent(self):
        limits, rng = robot_limits('panda'), np.random.default_rng(0)
        names = (*limits.joint_names, 'gripper_width')
        view = View(
            names, limits.q_min, limits.q_max, Q_HOME, Q_HOME, 10**18, 1, last=None
        )  # fmt: skip
        assert set(TROUBLES) <= {hostile_chunk(rng, view)[0] for _ in range(1000)}


class TestBench:
    def test_processes_do_not_change_what_is_found(self):
        said = []
        config = GovernorBenchConfig(sequences=90, seed=3, processes=2, timing_s=0.0)
        result = run(config, lambda done, total, message: said.append((done, total)))
        figures = json.loads(json.dumps(result.to_json()))['figures']
        assert figures['sequences'] == 90 and said[-1] == (90, 90)
        assert figures['violations'] == 0 and figures['unresponsive'] == 0
        alone = Tally()
        for number, count in enumerate((40, 40, 10)):
            alone.add(HostileRun(Batch(3, number, count)).run())
        assert figures['ticks'] == alone.ticks and figures['chunks_accepted'] == alone.accepted

    def test_a_time_limit_ends_it_early(self):
        config = GovernorBenchConfig(
            sequences=10**6, processes=1, timing_s=0.0, time_limit_s=1e-9
        )  # fmt: skip
        assert torment(config).sequences < 2000

    def test_nothing_to_do_is_refused(self):
        with pytest.raises(ConfigError, match='timing_s'):
            GovernorBenchConfig(sequences=0, timing_s=0.0)
