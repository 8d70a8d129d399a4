"""Sampling of trajectories: what joint_trajectory_controller desires at which time."""

from __future__ import annotations

from control_fakes import Driver, make_chunk
import numpy as np
import pytest
from roboadapt_ros.control.governor import GovernorConfig
from roboadapt_ros.control.governor_config import FollowerConfig
from roboadapt_ros.control.kinematics import Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.stream_clock import StreamTimes
from roboadapt_ros.errors import SpecError
from roboadapt_ros.sim.joint_trajectory import check_trajectory, Knot, TrajectorySampler
from roboadapt_ros.sim.stream_check import StreamCheck, StreamConfig

T_S = 0.01
NAMES = ('one', 'two')


def knot(time_s, q, dq=None, ddq=None):
    """A point of two joints, the second the mirror of the first."""
    both = [None if value is None else np.array([value, -value]) for value in (q, dq, ddq)]
    return Knot(time_s, *both)


def sampler(q=0.0):
    return TrajectorySampler(T_S, np.array([q, -q]))


def track(made, count):
    return [made.step() for _ in range(count)]


class TestSplines:
    def test_positions_alone_are_joined_by_straight_lines(self):
        made = sampler()
        made.take([knot(0.02, 0.2), knot(0.05, 0.2)])
        found = track(made, 4)
        np.testing.assert_allclose([m.q[0] for m in found], [0.1, 0.2, 0.2, 0.2])
        np.testing.assert_allclose([m.dq[0] for m in found], [10.0, 0.0, 0.0, 0.0], atol=1e-9)

    @pytest.mark.parametrize('degree', [3, 5])
    def test_a_polynomial_of_the_degree_that_its_ends_fix_is_met_everywhere(self, degree):
        """The sampler, given a polynomial's ends, makes that polynomial and its derivatives."""
        shape = np.polynomial.Polynomial([0.0, 0.0, 0.0, 0.7, -2.0, 3.0][: degree + 1])
        speed, change = shape.deriv(), shape.deriv(2)
        end_s = 0.2
        last = [shape(end_s), speed(end_s), change(end_s)][: 2 if degree == 3 else 3]
        made = sampler()
        made.take([knot(end_s, *last)])
        times = T_S * np.arange(1, 20)
        found = track(made, 19)
        np.testing.assert_allclose([m.q[0] for m in found], shape(times), atol=1e-12)
        np.testing.assert_allclose([m.dq[0] for m in found], speed(times), atol=1e-10)
        np.testing.assert_allclose([m.ddq[0] for m in found], change(times), atol=1e-8)
        np.testing.assert_allclose([m.q[1] for m in found], -shape(times), atol=1e-12)

    def test_the_last_point_is_held(self):
        made = sampler()
        made.take([knot(0.03, 0.1, 0.0)])
        assert made.is_under_way
        found = track(made, 10)
        assert all(m.q[0] == 0.1 for m in found[2:])
        assert not found[-1].dq.any()
        assert made.has_trajectory
        assert not made.is_under_way

    def test_without_a_trajectory_nothing_is_desired(self):
        made = sampler(0.3)
        assert made.step() is None
        np.testing.assert_array_equal(made.desired.q, [0.3, -0.3])


class TestReplacement:
    def test_a_new_trajectory_begins_in_the_motion_of_the_old(self):
        """Position and speed pass over without a step, wherever the old one is left."""
        made = sampler()
        made.take([knot(0.1, 0.1, 2.0), knot(0.2, 0.2, 0.0)])
        before = track(made, 7)[-1]
        made.take([knot(0.2, 0.3, 0.0)])
        after = made.step()
        way = 0.5 * T_S * (before.dq + after.dq)
        np.testing.assert_allclose(after.q - before.q, way, atol=1e-4)
        assert np.abs(after.dq - before.dq).max() < 0.3

    def test_points_whose_time_has_passed_are_skipped(self):
        made = sampler()
        made.take([knot(0.05, 9.0), knot(0.15, 0.1), knot(0.25, 0.2)], start_in_s=-0.1)
        found = track(made, 15)
        np.testing.assert_allclose(found[4].q[0], 0.1)
        np.testing.assert_allclose(found[-1].q[0], 0.2)

    def test_a_start_in_the_future_is_approached_from_where_the_arm_is(self):
        made = sampler()
        made.take([knot(0.0, 0.4)], start_in_s=0.04)
        np.testing.assert_allclose([m.q[0] for m in track(made, 5)], [0.1, 0.2, 0.3, 0.4, 0.4])

    def test_a_point_at_time_zero_is_jumped_to(self):
        made = sampler()
        made.take([knot(0.0, 0.4)])
        np.testing.assert_allclose(made.step().q, [0.4, -0.4])


class TestRefusals:
    @pytest.mark.parametrize(
        ('knots', 'said'),
        [
            ([], 'none, required one or more'),
            ([knot(0.1, 0.0), knot(0.1, 0.0)], r'points\[1\]\.time_from_start.*strictly increase'),
            ([knot(0.2, 0.0), knot(0.1, 0.0)], 'strictly increase'),
            ([knot(0.1, 0.0, None, 1.0)], r'points\[0\]\.accelerations.*velocities'),
            ([knot(0.1, np.nan)], r'points\[0\]: found \[nan'),
            ([knot(0.1, 0.0, np.inf)], 'finite numbers'),
            ([knot(0.1, 0.0, 0.1)], 'velocity of one in the last point.*0.1 rad/s.*zero'),
        ],
    )
    def test_what_the_controller_refuses_is_named(self, knots, said):
        with pytest.raises(SpecError, match=said):
            check_trajectory(knots, NAMES)

    def test_an_end_that_has_passed_is_refused_and_one_to_come_is_not(self):
        check_trajectory([knot(0.2, 0.0)], NAMES, start_in_s=-0.1)
        with pytest.raises(SpecError, match=r'an end 0\.1 s ago'):
            check_trajectory([knot(0.2, 0.0)], NAMES, start_in_s=-0.3)

    def test_humbles_may_end_in_motion(self):
        check_trajectory([knot(0.1, 0.0, 0.1)], NAMES, may_end_moving=True)


HORIZON_S, EVERY = 0.06, 2
"""Of the rig files: a message for every second point."""
LONG_S = 0.1


def stream(robot, scales, *, stop=True, horizon_s=HORIZON_S):
    """Yield time and points of a governor under wild chunks, as the driver sends them.

    Without `stop` a message has no point at rest behind the governor's.
    """
    velocity, acceleration, jerk = scales
    motion = FollowerConfig(
        velocity_scale=velocity, acceleration_scale=acceleration, jerk_scale=jerk
    )
    driver, rng = Driver(GovernorConfig(motion=motion), robot), np.random.default_rng(0)
    limits = robot_limits(robot).scaled(velocity=velocity, acceleration=acceleration, jerk=jerk)
    for tick in range(400):
        if tick % 10 == 0:
            rows = driver.q + 0.02 * np.cumsum(rng.normal(size=(8, 7)), axis=0)
            driver.governor.observe(driver.q, driver.dq, 0.08, driver.now_ns)
            driver.governor.accept(make_chunk(rows, driver.now_ns), driver.now_ns)
        command = driver.tick()
        if command.q is None or tick % EVERY:
            continue
        stop_s = max(float((np.abs(command.dq) / limits.ddq_max).max()), horizon_s)
        rest = command.q + 0.5 * stop_s * command.dq
        ends = [Knot(horizon_s, command.q, command.dq)]
        if stop:
            ends.append(Knot(horizon_s + stop_s, rest, 0.0 * rest))
        yield tick * T_S, ends


def judged(robot, messages, until_s=6.0):
    """Return the first error that sampled points raise, and how far they went [rad]."""
    check, made = StreamCheck(StreamConfig(period_s=T_S), robot_limits(robot)), None
    waiting, points = list(messages), []
    for tick in range(round(until_s / T_S)):
        while waiting and waiting[0][0] <= tick * T_S + 1e-9:
            _, knots = waiting.pop(0)
            made = made or TrajectorySampler(T_S, Q_HOME)
            made.take(knots)
        motion = made.step() if made is not None else None
        if motion is None:
            continue
        held = points[-1] if points else motion.q
        errors = check.judge(motion.q, tick * T_S, is_exact=True, held=held, measured=held)
        if errors:
            return errors, np.ptp(points, axis=0).max()
        points.append(motion.q)
    return (), np.ptp(points, axis=0).max()


@pytest.mark.parametrize('robot', ['panda', 'fr3'])
def test_what_the_rig_files_send_is_sampled_within_the_arms_limits(robot):
    errors, way_rad = judged(robot, stream(robot, (0.25, 0.25, 0.05)))
    assert errors == ()
    assert way_rad > 0.05, 'nothing was moved'


def test_a_stream_that_ends_in_motion_is_braked_by_its_own_stop():
    def broken_off(**options):
        messages = stream('fr3', (0.25, 0.25, 0.05), **options)
        return judged('fr3', [message for message in messages if message[0] < 1.5])

    assert broken_off()[0] == ()
    errors, _ = broken_off(stop=False)
    assert errors[0].endswith('velocity_discontinuity'), 'a last point in motion is held dead'


def test_trajectories_of_the_full_acceleration_are_more_than_the_arm_takes():
    """A cubic from rest to the governor's point needs more than the governor itself."""
    errors, _ = judged('fr3', stream('fr3', (1.0, 1.0, 1.0)))
    assert errors == ('joint_motion_generator_velocity_discontinuity',)


def test_a_step_is_an_error_of_the_arm():
    """0.1 rad within the horizon of a message: 2.5 rad/s at most, but 167 rad/s^2."""
    limits, q = robot_limits('fr3'), np.array([0.0, 0.0, 0.0, -1.5, 0.0, 1.5, 0.0])
    made, check = TrajectorySampler(T_S, q), StreamCheck(StreamConfig(period_s=T_S), limits)
    made.take([Knot(0.06, q + 0.1, np.zeros(7))])
    errors, held = [], q
    for tick in range(10):
        motion = made.step()
        errors += check.judge(motion.q, tick * T_S, is_exact=True, held=held, measured=held)
        held = motion.q
    assert errors[0] == 'joint_motion_generator_velocity_discontinuity'


def used_acceleration(late_s, *, stamped, at_least_s=0.0, uneven_s=0.0, horizon_s=LONG_S):
    """Return the largest part of an FR3's acceleration that a controller makes of late messages.

    They come in order. It samples at 1 kHz, as those of a real arm do.
    """
    rng, made, period_s = np.random.default_rng(1), None, 0.001
    messages = list(stream('fr3', (0.25, 0.25, 0.05), horizon_s=horizon_s))
    times = StreamTimes(EVERY * T_S, horizon_s - EVERY * T_S)
    sent = [due_s + rng.uniform(0.0, uneven_s) for due_s, _ in messages]
    begins = [times.next(round(time_s * 1e9)) / 1e9 for time_s in sent]
    late = rng.uniform(at_least_s, at_least_s + late_s, len(sent))
    came = np.maximum.accumulate(np.array(sent) + late)
    waiting, points = list(zip(came, begins, messages, strict=True)), []
    for tick in range(4000):
        now_s = tick * period_s
        while waiting and waiting[0][0] <= now_s:
            _, begin_s, (_, knots) = waiting.pop(0)
            made = made or TrajectorySampler(period_s, Q_HOME)
            made.take(knots, start_in_s=begin_s - now_s if stamped else 0.0)
        if made is not None:
            points.append(made.step().q)
    acceleration = np.abs(np.diff(points, 2, axis=0)) / period_s**2
    return (acceleration / robot_limits('fr3').ddq_max).max()


@pytest.mark.parametrize(
    ('late_s', 'most', 'most_stamped'), [(0.0, 0.4, 0.4), (0.02, 0.7, 0.45), (0.05, 1.0, 0.45)]
)
def test_late_messages_stay_within_the_arms_acceleration(late_s, most, most_stamped):
    """Of which a quarter was asked for."""
    assert used_acceleration(late_s, stamped=False) < most
    assert used_acceleration(late_s, stamped=True) < most_stamped


@pytest.mark.parametrize(('late_s', 'uneven_s'), [(0.0, 0.0), (0.02, 0.0), (0.02, 0.01)])
def test_the_rig_files_short_horizon_is_enough_for_stamped_ones(late_s, uneven_s):
    late = {'uneven_s': uneven_s, 'horizon_s': HORIZON_S}
    assert used_acceleration(late_s, stamped=True, **late) < 0.45
    if late_s:
        assert used_acceleration(late_s, stamped=False, **late) > 1.0


def test_clocks_that_disagree_matter_to_stamped_trajectories_only():
    apart_s = LONG_S + 0.02
    assert used_acceleration(0.0, stamped=False, at_least_s=apart_s) < 0.4
    assert used_acceleration(0.0, stamped=True, at_least_s=apart_s) > 10.0
