"""The judge of target streams: errors for motions no arm could make, none for late messages."""

from __future__ import annotations

import contextlib

from control_fakes import Driver, home_but, make_chunk, PERIOD_S
import numpy as np
import pytest
from roboadapt_ros.control.governor import GovernorConfig
from roboadapt_ros.control.governor_config import FollowerConfig
from roboadapt_ros.control.kinematics import Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.sim.stream_check import StreamCheck, StreamConfig

T_S = 0.01
G = 'joint_motion_generator_'
POSITION, VELOCITY = f'{G}position_limits_violation', f'{G}velocity_limits_violation'
ACCELERATION, JERK = f'{G}velocity_discontinuity', f'{G}acceleration_discontinuity'
START = 'joint_position_motion_generator_start_pose_invalid'
SILENCE = 'communication_constraints_violation'
WALL_S = 1_700_000_000.0


def judge(points, stamps=None, *, exact=False, config=None, robot='panda', held=None):
    """Return the errors of the first point that raises any, and its index."""
    check = StreamCheck(config or StreamConfig(), robot_limits(robot))
    held = points[0] if held is None else held
    for index, q in enumerate(points):
        sent_s = WALL_S + (index * T_S if stamps is None else stamps[index])
        errors = check.judge(q, sent_s, is_exact=exact, held=held, measured=held)
        if errors:
            return errors, index
        held = q
    return (), len(points)


def along(offsets, joint=0):
    """Points that differ from home in one joint [rad]."""
    return [home_but(joint, by) for by in offsets]


def smooth(seconds, speed, *, period_s=T_S):
    """Offsets of a motion from rest to `speed` [rad/s] and on, at 4 rad/s^2 at most."""
    t = np.arange(0.0, seconds, period_s)
    ramp_s = np.pi / 2.0 * speed / 4.0
    within = np.minimum(t, ramp_s)
    rise = speed * (within / 2.0 - ramp_s / (2.0 * np.pi) * np.sin(np.pi * within / ramp_s))
    return rise + speed * (t - within)


def governed(seed, robot='panda', scales=(0.8, 0.9, 0.2), seconds=4.0):
    """Stretches of points a governor makes of wild chunks."""
    velocity, acceleration, jerk = scales
    motion = FollowerConfig(
        velocity_scale=velocity, acceleration_scale=acceleration, jerk_scale=jerk
    )
    driver, rng = Driver(GovernorConfig(motion=motion), robot), np.random.default_rng(seed)
    for _ in range(round(seconds / PERIOD_S)):
        rows = driver.q + rng.uniform(0.01, 0.3) * np.cumsum(rng.normal(size=(8, 7)), axis=0) / 4
        if rng.random() < 0.9:
            with contextlib.suppress(RefusedError):
                driver.governor.accept(make_chunk(rows, driver.now_ns), driver.now_ns)
        driver.tick(10)
    driver.tick(150)  # without chunks: the arm is stopped and released
    assert driver.quiet
    return [np.array(stretch[3:]) for stretch in driver.stretches if len(stretch) > 4]


def jittered(rng, count, *, late_s, stalls=0.0):
    """Stamps of a timer that may be late and, after a stall, goes on in its old rhythm."""
    stamps, due = [], 0.0
    for _ in range(count):
        late = rng.uniform(0.0, late_s) + (rng.uniform(0.0, 0.08) if rng.random() < stalls else 0)
        stamps.append(due + late)
        due = T_S * (np.floor((due + late) / T_S + 1e-9) + 1.0)
    return stamps


class TestNoErrors:
    @pytest.mark.parametrize('robot', ['panda', 'fr3'])
    @pytest.mark.parametrize('scales', [(0.8, 0.9, 0.2), (1.0, 1.0, 1.0)])
    def test_for_what_a_governor_makes_of_wild_chunks(self, robot, scales):
        points = 0
        for seed in range(5):
            for stretch in governed(seed, robot, scales):
                assert judge(stretch, exact=True, robot=robot)[0] == ()
                points += len(stretch)
        assert points > 1000

    def test_for_stamps_with_jitter_and_stalls(self):
        rng = np.random.default_rng(1)
        for seed in range(6):
            for stretch in governed(seed):
                for late_s, stalls in ((0.009, 0.0), (0.003, 0.05)):
                    stamps = jittered(rng, len(stretch), late_s=late_s, stalls=stalls)
                    assert judge(stretch, stamps)[0] == (), seed

    def test_for_lost_messages(self):
        rng = np.random.default_rng(2)
        for seed in range(6):
            for stretch in governed(seed):
                stamps = np.array(jittered(rng, len(stretch), late_s=0.008, stalls=0.02))
                kept = rng.random(len(stretch)) > 0.05
                kept[:3] = True
                assert judge(stretch[kept], stamps[kept])[0] == (), seed

    def test_for_a_hole_of_ninety_milliseconds(self):
        points = np.array(along(smooth(1.0, 1.0)))
        kept = np.r_[0:50, 59:100]
        assert judge(points[kept], kept * T_S)[0] == ()

    def test_for_a_message_that_comes_twice(self):
        offsets = smooth(0.6, 1.0)
        points, stamps = along(np.repeat(offsets, 2)), np.repeat(np.arange(60) * T_S, 2)
        assert judge(points, stamps)[0] == ()

    def test_for_a_motion_at_another_rate_that_the_rig_knows(self):
        points = along(smooth(0.5, 1.0, period_s=0.002))
        config = StreamConfig(period_s=0.002)
        assert judge(points, 0.002 * np.arange(250), config=config)[0] == ()

    def test_for_a_second_motion_that_starts_where_the_arm_is_measured(self):
        q = np.array(along([0.0] * 10 + [0.015] * 10))
        stamps = np.r_[0:10, 30:40] * T_S
        assert judge(q, stamps)[0] == ()

    def test_for_a_sender_at_half_its_rate_on_a_busy_machine(self):
        points = along(smooth(3.0, 0.3))
        assert judge(points, 0.02 * np.arange(300))[0] == ()

    def test_for_points_that_come_faster_than_their_period(self):
        points = along(smooth(0.5, 0.5, period_s=0.005))
        assert judge(points, 0.005 * np.arange(100))[0] == ()


class TestErrors:
    def test_a_position_beyond_the_end(self):
        assert judge([Q_HOME, home_but(3, 3.0)]) == ((POSITION,), 1)

    def test_a_start_away_from_the_arm(self):
        assert judge([home_but(0, 0.03)], held=Q_HOME)[0] == (START,)

    def test_a_speed_beyond_the_limit(self):
        ramp = np.concatenate([smooth(1.2, 2.3)])
        errors, index = judge(along(ramp))
        assert errors == (VELOCITY,)
        assert 10 < index < 110

    def test_the_speed_limit_of_an_fr3_near_the_end_of_a_joint(self):
        start = robot_limits('fr3').q_max[0] - 0.2 - Q_HOME[0]
        points = along(start + 0.25 * smooth(0.75, 2.0))
        assert judge(points, robot='fr3')[0] == (VELOCITY,)
        assert judge(points, robot='panda')[0] == ()

    def test_a_step(self):
        errors, index = judge(along([0.0] * 10 + [0.3] * 5))
        assert index == 10
        assert errors == (VELOCITY, ACCELERATION, JERK)

    def test_a_small_step_is_a_discontinuity_and_no_speed(self):
        errors, index = judge(along([0.0] * 10 + [0.01] * 5), exact=True)
        assert (errors[0], index) == (ACCELERATION, 10)

    def test_a_motion_that_begins_at_full_speed(self):
        offsets = np.concatenate([np.zeros(10), 0.008 * np.arange(1, 30)])
        errors, index = judge(along(offsets))
        assert ACCELERATION in errors
        assert index <= 12

    def test_a_speed_that_doubles_for_longer_than_one_lost_message(self):
        offsets = list(smooth(0.5, 0.5))
        offsets += list(offsets[-1] + 0.01 * np.arange(1, 20))
        errors, index = judge(along(offsets))
        assert ACCELERATION in errors
        assert 50 < index <= 52, 'one step of double size is a lost message, two are not'

    def test_a_jerk_that_only_a_fast_stream_shows(self):
        """At 1 kHz an acceleration of 6 rad/s^2 at once is 6000 rad/s^3, over 3750."""
        acceleration = np.r_[np.zeros(50), np.full(50, 6.0)]
        offsets = np.cumsum(np.cumsum(acceleration * 1e-6))
        config, stamps = StreamConfig(period_s=0.001), 0.001 * np.arange(100)
        errors, index = judge(along(offsets, 1), stamps, exact=True, config=config)
        assert (errors, index) == ((JERK,), 50)

    @pytest.mark.parametrize('rate_hz', [10, 20, 30])
    def test_the_rows_of_a_policy_as_they_are(self, rate_hz):
        t = np.arange(0.0, 3.0, 1.0 / rate_hz)
        errors, index = judge(along(0.3 * (1.0 - np.cos(2.0 * t))), t)
        assert errors and t[index] < 2.0, (
            'a motion in steps of a policy period is no motion at 100 Hz'
        )

    def test_rows_joined_by_straight_lines(self):
        rng = np.random.default_rng(3)
        rows = np.cumsum(rng.normal(scale=0.03, size=20))
        errors, _ = judge(
            along(np.interp(np.arange(0, 1.9, 0.01), 0.1 * np.arange(20), rows - rows[0]))
        )
        assert ACCELERATION in errors

    def test_points_out_of_order(self):
        offsets = smooth(0.6, 1.0)
        offsets[[50, 51]] = offsets[[51, 50]]
        stamps = np.arange(60) * T_S
        stamps[[50, 51]] = stamps[[51, 50]]
        errors, _ = judge(along(offsets), stamps)
        assert ACCELERATION in errors

    def test_a_motion_that_goes_on_after_a_long_silence(self):
        points = np.array(along(smooth(1.5, 0.5)))
        kept = np.r_[0:60, 100:150]
        assert judge(points[kept], kept * T_S) == ((SILENCE,), 60)
        held = StreamConfig(timeout_s=0.0)
        assert SILENCE not in judge(points[kept], kept * T_S, config=held)[0]


def test_silence_breaks_the_communication_in_motion_only():
    check = StreamCheck(StreamConfig(), robot_limits('panda'))
    offsets = smooth(0.5, 0.5)
    for index, q in enumerate(along([*offsets, *offsets[::-1]])[:50]):
        check.judge(q, WALL_S + index * T_S, is_exact=True, held=q, measured=q)
    assert check.is_moving
    assert not check.is_silent(0.19)
    assert check.is_silent(0.21)
    check.restart()
    assert not check.is_silent(100.0)


def test_a_governed_stop_ends_at_rest():
    for stretch in governed(0):
        check = StreamCheck(StreamConfig(), robot_limits('panda'))
        for index, q in enumerate(stretch):
            check.judge(q, WALL_S + index * T_S, is_exact=False, held=q, measured=q)
        assert not check.is_moving


def test_a_period_of_nothing_is_refused():
    with pytest.raises(ConfigError, match='period_s'):
        StreamConfig(period_s=0.0)
