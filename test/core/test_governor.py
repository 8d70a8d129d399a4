"""The governor keeps every limit, whatever comes in, and says why when it does not move."""

import contextlib
from dataclasses import replace

from control_fakes import (
    Driver,
    home_but,
    largest_parts,
    make_chunk,
    PERIOD_S,
    rebuilt,
    still_chunk,
    T0_NS,
)
import numpy as np
import pytest
from roboadapt_ros.bench.arm_tables import hand_turns
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.control.governor import GovernorConfig, GovernorState
from roboadapt_ros.control.governor_config import FollowerConfig
from roboadapt_ros.control.gripper import GripperLimitConfig, GripperLimiter
from roboadapt_ros.control.guard import MotionGuard
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.motion import JointMotion, MotionState
from roboadapt_ros.control.self_collision import SelfDistance
from roboadapt_ros.control.spline import Fade, RowCurve, Target
from roboadapt_ros.control.workspace import Workspace, WorkspaceConfig
from roboadapt_ros.errors import ConfigError, RefusedError

MS = 1_000_000
SIDES = [f'{axis}_{end}_m' for axis in 'xyz' for end in ('min', 'max')]
SLACK = 1.0 + 1e-6  # rounding of positions, divided by the tick to the third power


def refused(driver, chunk, now_ns=None):
    """Return the cause for which the governor refuses a chunk."""
    before = driver.governor.counts
    with pytest.raises(RefusedError) as caught:
        driver.governor.accept(chunk, driver.now_ns if now_ns is None else now_ns)
    cause = caught.value.cause
    assert driver.governor.counts[cause] == before.get(cause, 0) + 1
    assert len(caught.value.detail) > 10, 'a person must be told more than the cause'
    return cause


@pytest.fixture
def driver():
    """A governor with a measured arm, idle at home."""
    driver = Driver()
    driver.tick()
    return driver


@pytest.fixture
def moving(driver):
    """A governor that moves joint 1."""
    driver.follow(Q_HOME, 0.6)
    driver.follow(home_but(0, 0.3), 0.2)
    assert abs(driver.dq[0]) > 0.1
    return driver


class TestMotion:
    def test_says_nothing_before_the_first_chunk(self, driver):
        command = driver.tick()
        assert command.state is GovernorState.IDLE
        assert command.q is None and command.dq is None and command.gripper_width_m is None

    def test_first_point_is_where_the_arm_is(self, driver):
        driver.q = Q_HOME + 0.1
        driver.governor.observe(driver.q, driver.dq, 0.08, driver.now_ns)
        driver.governor.accept(still_chunk(driver.now_ns), driver.now_ns)
        command = driver.tick()
        assert np.abs(command.q - (Q_HOME + 0.1)).max() < 1e-3, 'the arm would jump at arming'

    def test_reaches_the_target_and_rests_there(self, driver):
        goal = Q_HOME + 0.2
        driver.follow(goal, 2.0)
        np.testing.assert_allclose(driver.q, goal, atol=1e-6)
        np.testing.assert_allclose(driver.dq, 0.0, atol=1e-6)

    def test_tracks_a_smooth_motion_closely(self, driver):
        def wave(t):
            swing = 0.2 * (1.0 - np.cos(3.0 * np.atleast_1d(t)))[:, None]
            return Q_HOME + swing * [1, 0, 1, 0, 1, 0, 1]

        worst = 0.0
        for k in range(30):
            stamp = driver.now_ns
            rows = wave(k * PERIOD_S + PERIOD_S * np.arange(1, 9))
            driver.governor.accept(make_chunk(rows, stamp), driver.now_ns)
            for i in range(1, 11):
                driver.tick()
                if k > 8:
                    worst = max(worst, np.abs(driver.q - wave(k * PERIOD_S + i * 0.01)[0]).max())
        assert worst < 2e-3, 'the hand would lag behind a 0.6 rad/s motion'
        assert not [c for c in driver.governor.counts if c.startswith('braked')]

    def test_a_switch_of_generation_moves_on_without_a_stop(self, moving):
        speed = moving.dq[0]
        goal = home_but(0, 0.3)
        chunk = still_chunk(moving.now_ns, goal, generation=2)
        moving.governor.accept(chunk, moving.now_ns)
        command = moving.tick()
        assert command.chunk.identity.generation == 2
        assert abs(command.dq[0] - speed) < 0.2
        assert moving.governor.counts['generation_changes'] == 1

    def test_being_ahead_of_a_moving_target_does_not_turn_the_arm_back(self, driver):
        def send():
            t = (driver.now_ns - T0_NS) / 1e9 + PERIOD_S * np.arange(1, 9)
            rows = Q_HOME + np.outer(0.3 * t - ahead, [1, 0, 0, 0, 0, 0, 0])
            driver.governor.accept(make_chunk(rows, driver.now_ns), driver.now_ns)
            driver.tick(10)

        ahead = 0.0
        for _ in range(10):
            send()
        ahead, before = 0.01, len(driver.points)
        for _ in range(5):
            send()
        speeds = np.diff(np.array(driver.points[before:])[:, 0]) / 0.01
        assert speeds.min() > 0.1

    def test_ticks_that_come_late_do_not_make_the_motion_faster(self, moving):
        before = moving.q
        command = moving.governor.command(moving.now_ns + 150 * MS)
        limits = moving.governor.commanded_limits
        assert (np.abs(command.q - before) <= limits.dq_max * 0.01 * SLACK).all()

    @pytest.mark.parametrize('lookahead_s', [0.0, 0.1])
    def test_lookahead_samples_the_chunk_later(self, lookahead_s):
        driver = Driver(GovernorConfig(lookahead_s=lookahead_s))
        driver.tick()
        for _ in range(10):
            t = (driver.now_ns - T0_NS) / 1e9 + PERIOD_S * np.arange(1, 9)
            rows = Q_HOME + 0.2 * t[:, None]
            driver.governor.accept(make_chunk(rows, driver.now_ns), driver.now_ns)
            driver.tick(10)
        now_s = (driver.now_ns - T0_NS) / 1e9
        np.testing.assert_allclose(driver.q - Q_HOME, 0.2 * (now_s + lookahead_s), atol=5e-3)

    def test_gripper_follows_with_limited_speed(self, driver):
        driver.follow(Q_HOME, 0.1)
        width = driver.tick().gripper_width_m
        assert 0.04 < width < 0.08
        driver.follow(Q_HOME, 0.5)
        assert driver.tick().gripper_width_m == pytest.approx(0.04)


class TestLimitsHold:
    """Finite differences of the points alone stay within the scaled limits."""

    @pytest.mark.parametrize('robot', ['panda', 'fr3'])
    @pytest.mark.parametrize('seed', range(4))
    def test_random_and_hostile_streams_never_break_a_limit(self, robot, seed):
        config = GovernorConfig()
        config = replace(config, admission=replace(config.admission, max_jump_rad=3.0))
        driver = Driver(config, robot)
        driver.tick()
        rng = np.random.default_rng(seed)
        generation = 1
        for _ in range(250):
            generation += int(rng.random() < 0.1)
            chunk = self.hostile_chunk(rng, driver, generation)
            with contextlib.suppress(RefusedError):
                driver.governor.accept(chunk, driver.now_ns)
            driver.measuring = bool(rng.random() < (0.98 if driver.measuring else 0.5))
            driver.tick(int(rng.choice([1, 3, 10, 10, 25])))
        self.check(driver, config)
        assert driver.governor.accepted > 50, 'the test must not pass because nothing moved'

    @staticmethod
    def hostile_chunk(rng, driver, generation):
        """Return steps, noise, saw teeth, NaN, reordered, late and misplaced chunks."""
        size = float(rng.choice([0.01, 0.1, 0.5, 2.0]))
        n = int(rng.integers(1, 12))
        here = driver.q if rng.random() < 0.7 else Q_HOME
        rows = {
            'steps': here + size * rng.choice([-1.0, 1.0], size=(n, 7)),
            'noise': here + size * rng.normal(size=(n, 7)),
            'ramp': here + size * np.arange(1, n + 1)[:, None] * rng.normal(size=7),
            'still': np.tile(here + size * rng.normal(size=7), (n, 1)),
        }[str(rng.choice(['steps', 'noise', 'ramp', 'still']))]
        limits = driver.governor.limits
        if rng.random() < 0.9:
            rows = np.clip(rows, limits.q_min, limits.q_max)
        if rng.random() < 0.05:
            rows[rng.integers(n), rng.integers(7)] = rng.choice([np.nan, np.inf, 1e300])
        stamp = driver.now_ns - int(rng.choice([0, 30, 60, 200, 600])) * MS
        chunk = make_chunk(rows, stamp, generation=generation - int(rng.random() < 0.05))
        if rng.random() < 0.2:
            chunk = rebuilt(chunk, period_s=float(rng.choice([0.01, 0.02, 0.2])))
        return chunk

    @staticmethod
    def check(driver, config):
        """Hold the points against limits, position margins and the workspace."""
        limits = driver.governor.commanded_limits
        parts = [largest_parts(points, limits, 0.01) for points in driver.stretches if points]
        speed, acceleration, jerk = np.max(parts, axis=0)
        assert speed <= SLACK, 'the arm would report a velocity limit violation'
        assert acceleration <= SLACK, 'the arm would report a velocity discontinuity'
        assert jerk <= 1.0 + 1e-4, 'the arm would report an acceleration discontinuity'
        points = np.array(driver.points)
        assert (points >= limits.q_min - 1e-8).all() and (points <= limits.q_max + 1e-8).all()
        workspace, kinematics = Workspace(config.workspace), PandaKinematics()
        worst = max(workspace.excess(*kinematics.forward(q)).amount for q in points)
        assert worst < 1e-4, 'the hand would leave its box'
        if limits.velocity_offset is not None:
            dq = np.diff(points, axis=0) / 0.01
            own = driver.governor.limits
            bounds = np.array([own.velocity_bounds(q) for q in points[:-1]])
            assert (dq >= bounds[:, 0] - 1e-3).all() and (dq <= bounds[:, 1] + 1e-3).all()

    def test_a_target_beyond_the_margin_is_approached_to_the_margin(self, driver):
        limits = driver.governor.limits
        goal = limits.q_max[6] - 1e-3
        driver.follow_joint(6, goal)
        assert driver.q[6] == pytest.approx(limits.q_max[6] - 0.05, abs=1e-6)

    def test_hand_speed_is_limited(self):
        config = GovernorConfig()
        config = replace(config, motion=replace(config.motion, hand_speed_max_m_s=0.15))
        driver = Driver(config)
        driver.tick()
        driver.follow_joint(0, 0.6)
        kinematics = PandaKinematics()
        hands = np.array([kinematics.forward(q)[0] for q in driver.points])
        speeds = np.linalg.norm(np.diff(hands, axis=0), axis=1) / 0.01
        assert speeds.max() < 0.15 * 1.02
        np.testing.assert_allclose(driver.q[0], 0.6, atol=1e-3)

    @pytest.mark.parametrize('joint', [4, 6])
    def test_turning_of_the_hand_is_limited(self, joint):
        config = GovernorConfig()
        config = replace(config, motion=replace(config.motion, hand_turn_max_rad_s=0.3))
        driver = Driver(config)
        driver.tick()
        goal = Q_HOME[joint] + 0.6
        driver.follow_joint(joint, goal)
        turns = hand_turns(np.array(driver.points)) / 0.01
        assert 0.27 < turns.max() < 0.3 * 1.02
        assert driver.governor.counts['slowed_hand_speed'] > 0
        np.testing.assert_allclose(driver.q[joint], goal, atol=1e-3)

    def test_an_arm_that_starts_outside_its_box_may_come_in(self):
        config = GovernorConfig(workspace=WorkspaceConfig(z_max_m=0.4))
        driver = Driver(config)  # home is at z = 0.487 m
        driver.tick()
        kinematics, q, n = PandaKinematics(), Q_HOME.copy(), 20
        heights = np.linspace(0.487, 0.35, n)
        path = []
        for z in heights:
            q = kinematics.inverse(np.array([0.307, 0, z]), np.array([1.0, 0, 0, 0]), q).q
            path.append(q)
        # The first due row must be inside: aim there directly, in one step.
        driver.follow(path[-1], 2.0)
        assert kinematics.forward(driver.q)[0][2] == pytest.approx(0.35, abs=1e-3)


class TestRefusals:
    def test_every_malformed_chunk_is_refused_with_its_cause(self, driver):
        now = driver.now_ns
        good = still_chunk(now)
        holed = good.actions.copy()
        holed[2, 3] = np.nan
        cases = {
            'nan': rebuilt(good, actions=holed),
            'shape': rebuilt(good, actions=np.zeros((0, 8))),
            'space': rebuilt(good, space=ActionSpace.EE_POSE),
            'names': rebuilt(good, names=(*good.names[1::-1], *good.names[2:])),
            'period': rebuilt(good, period_s=0.0),
            'zero_stamp': rebuilt(good, stamp_ns=0),
            'future': rebuilt(good, stamp_ns=now + 100 * MS),
            'stale': rebuilt(good, stamp_ns=now - 501 * MS),
            'limits': still_chunk(now, Q_HOME * [1, 1, 1, 0, 1, 1, 1]),
            'degrees': still_chunk(now, np.degrees(Q_HOME)),
            'gripper_width': make_chunk(np.tile(Q_HOME, (8, 1)), now, width_m=40.0),
            'jump': still_chunk(now, home_but(6, 0.5)),
        }
        for cause, chunk in cases.items():
            assert refused(driver, chunk) == cause
        assert driver.tick().q is None, 'nothing may move'
        assert driver.governor.refused == len(cases) and driver.governor.accepted == 0

    def test_integers_are_not_taken_for_positions(self, driver):
        chunk = still_chunk(driver.now_ns)
        assert refused(driver, rebuilt(chunk, actions=chunk.actions.astype(int))) == 'shape'

    @pytest.mark.parametrize('period_s', [5e-324, 1e-9, float('nan')])
    def test_a_period_that_no_policy_has_is_refused_and_not_divided_by(self, driver, period_s):
        # With a start a little ahead, the first of these was an OverflowError: the node's end.
        chunk = rebuilt(still_chunk(driver.now_ns), period_s=period_s)
        assert refused(driver, rebuilt(chunk, start_ns=driver.now_ns + 5 * MS)) == 'period'

    def test_a_period_that_would_put_the_watchdog_to_sleep_is_refused(self, driver):
        assert refused(driver, rebuilt(still_chunk(driver.now_ns), period_s=60.0)) == 'period'

    def test_a_chunk_whose_rows_are_all_past_is_stale(self, driver):
        chunk = rebuilt(still_chunk(driver.now_ns, rows=2), start_ns=driver.now_ns - 250 * MS)
        assert refused(driver, chunk) == 'stale'

    def test_a_start_in_the_future_is_refused(self, driver):
        chunk = rebuilt(still_chunk(driver.now_ns), start_ns=driver.now_ns + 100 * MS)
        assert refused(driver, chunk) == 'future'

    @pytest.mark.parametrize('lookahead_s', [0.0, 0.12])
    def test_a_jump_is_from_where_the_arm_comes_to_not_from_where_it_still_is(self, lookahead_s):
        """Behind a controller that is 0.12 s late; the governor is told so by its lookahead."""
        admission = replace(GovernorConfig().admission, max_jump_rad=0.15)
        driver = Driver(GovernorConfig(lookahead_s=lookahead_s, admission=admission))
        driver.tick()
        driver.measuring = False
        jumps = 0
        for tick in range(280):
            arm = [Q_HOME] * 12 + driver.points
            driver.governor.observe(arm[len(driver.points)], np.zeros(7), 0.08, driver.now_ns)
            if tick % 10 == 0:
                t = (driver.now_ns - T0_NS) / 1e9 + PERIOD_S * np.arange(1, 4)
                way = np.where(t < 2.0, 0.25 * t**2, t - 1.0)
                rows = Q_HOME + np.outer(way, home_but(6, 1.0) - Q_HOME)
                try:
                    driver.governor.accept(make_chunk(rows, driver.now_ns), driver.now_ns)
                except RefusedError as error:
                    assert error.cause == 'jump'
                    jumps += 1
            driver.tick()
        assert (jumps > 0) == (lookahead_s == 0.0)

    def test_a_step_between_rows_is_a_jump(self, driver):
        rows = np.tile(Q_HOME, (8, 1))
        rows[4:, 2] += 0.6
        assert refused(driver, make_chunk(rows, driver.now_ns)) == 'jump'

    def test_repeated_and_reordered_exposures_are_refused(self, driver):
        first = driver.now_ns
        driver.governor.accept(still_chunk(first), first)
        driver.tick()
        assert refused(driver, still_chunk(first)) == 'reordered'
        assert refused(driver, still_chunk(first - 10 * MS)) == 'reordered'

    def test_an_older_generation_is_refused_even_with_a_newer_exposure(self, driver):
        driver.governor.accept(still_chunk(driver.now_ns, generation=5), driver.now_ns)
        driver.tick()
        assert refused(driver, still_chunk(driver.now_ns, generation=4)) == 'old_generation'

    def test_not_ready_without_a_joint_state(self):
        driver = Driver()
        assert refused(driver, still_chunk(driver.now_ns)) == 'not_ready'

    def test_stale_joint_state_refuses(self, driver):
        driver.now_ns += 150 * MS
        assert refused(driver, still_chunk(driver.now_ns)) == 'state_stale'

    def test_a_position_that_was_kept_beyond_an_end_is_not_started_from(self, driver):
        """The arm was guided there, and has come back by what it carries."""
        end = robot_limits('panda').q_max[6]
        q = home_but(6, end - 0.005 - Q_HOME[6])
        driver.governor.observe(q, np.zeros(7), 0.08, driver.now_ns)
        driver.governor.kept = q + np.eye(7)[6] * 0.01
        assert refused(driver, make_chunk(np.tile(q, (8, 1)), driver.now_ns)) == 'limits'
        driver.governor.kept = q
        driver.governor.accept(make_chunk(np.tile(q, (8, 1)), driver.now_ns), driver.now_ns)

    def test_a_moving_arm_is_not_started_from(self, driver):
        driver.governor.observe(Q_HOME, np.full(7, 0.5), 0.08, driver.now_ns)
        assert refused(driver, still_chunk(driver.now_ns)) == 'moving'

    def test_malformed_joint_states_are_counted_and_do_not_refresh(self, driver):
        driver.now_ns += 150 * MS
        for q in (np.full(7, np.nan), np.zeros(6), np.zeros((7, 1))):
            driver.governor.observe(q, np.zeros(7), 0.08, driver.now_ns)
        driver.governor.observe(Q_HOME, np.zeros(7), float('nan'), driver.now_ns)
        driver.governor.observe(Q_HOME, np.zeros(7), 0.08, 0)
        assert driver.governor.counts['bad_state'] == 5
        assert refused(driver, still_chunk(driver.now_ns)) == 'state_stale'

    def test_a_refused_chunk_leaves_the_motion_as_it_was(self, moving):
        other = Driver()
        other.tick()
        other.follow(Q_HOME, 0.6)
        other.follow(home_but(0, 0.3), 0.2)
        chunk = still_chunk(moving.now_ns, Q_HOME + 1.0)
        assert refused(moving, chunk) == 'jump'
        np.testing.assert_array_equal(moving.tick(5).q, other.tick(5).q)


class TestUnits:
    @pytest.mark.parametrize('robot', ['panda', 'fr3'])
    def test_no_position_in_degrees_passes_for_one_in_radians(self, robot):
        # Joint 4 alone tells: its range in degrees does not meet its range in radians.
        low, high = robot_limits(robot).q_min[3], robot_limits(robot).q_max[3]
        assert high < 0.0 and np.degrees(high) < low

    @pytest.mark.parametrize(('width_m', 'is_noise'), [(-0.01, True), (0.09, True), (1.0, False)])
    def test_noise_about_the_hands_range_is_clamped_and_another_unit_refused(
        self, driver, width_m, is_noise
    ):
        chunk = make_chunk(np.tile(Q_HOME, (8, 1)), driver.now_ns, width_m=width_m)
        if not is_noise:
            assert refused(driver, chunk) == 'gripper_width'
            return
        driver.governor.accept(chunk, driver.now_ns)
        widths = [driver.tick().gripper_width_m for _ in range(5)]
        assert min(widths) >= 0.0 and max(widths) <= 0.08

    def test_a_joint_state_in_degrees_moves_nothing(self, driver):
        driver.governor.observe(np.degrees(Q_HOME), np.zeros(7), 0.08, driver.now_ns)
        assert refused(driver, still_chunk(driver.now_ns)) == 'degrees'


class TestWorkspace:
    DOWN = np.array([1.0, 0.0, 0.0, 0.0])

    def reach(self, z):
        return PandaKinematics().inverse(np.array([0.45, 0.0, z]), self.DOWN, Q_HOME).q

    def test_floor_at_zero_is_a_floor(self):
        assert Workspace(WorkspaceConfig()).excess(np.array([0.4, 0, 0.005]), self.DOWN).amount > 0
        assert Workspace(WorkspaceConfig()).excess(np.array([0.4, 0, 0.01]), self.DOWN).amount < 0

    def test_open_sides_bound_nothing(self):
        sides = {f'{a}_{e}_m': None for a in 'xyz' for e in ('min', 'max')}
        space = Workspace(WorkspaceConfig(**sides))
        assert space.excess(np.array([9.0, -9.0, -9.0]), self.DOWN).amount < 0

    def test_nan_is_outside(self):
        space = Workspace(WorkspaceConfig())
        assert space.excess(np.array([np.nan, 0, 0.2]), self.DOWN).amount == np.inf

    def test_a_tilted_tool_is_outside_the_cone(self):
        space = Workspace(WorkspaceConfig(max_tilt_rad=0.5))
        half = 0.3  # half the tilt, about y
        tilted = np.array([np.cos(half), 0.0, -np.sin(half), 0.0])
        excess = space.excess(np.array([0.4, 0, 0.3]), tilted)
        assert excess.amount == pytest.approx(0.1) and 'tilt' in excess.detail

    def test_a_hand_that_comes_in_through_one_side_does_not_leave_through_another(self):
        box = WorkspaceConfig(x_max_m=0.25, z_max_m=0.5)  # home is at x = 0.307, z = 0.487 m
        driver = Driver(GovernorConfig(workspace=box))
        driver.governor._path._inside = list  # what the guard does without the gate before it
        driver.tick()
        goal = PandaKinematics().inverse(np.array([0.27, 0.0, 0.54]), self.DOWN, Q_HOME).q
        for _ in range(20):
            row = driver.q + np.clip(goal - driver.q, -0.3, 0.3)
            driver.governor.accept(still_chunk(driver.now_ns, row), driver.now_ns)
            driver.tick(10)
        hands = np.array([PandaKinematics().forward(q)[0] for q in driver.points])
        assert hands[:, 2].max() < 0.5 + 1e-4, 'it was 0.04 m out, and further out at the front'
        assert (np.diff(hands[:, 0]) < 1e-5).all() and hands[-1, 0] < 0.305

    def test_a_chunk_that_is_outside_already_is_refused(self):
        driver = Driver(GovernorConfig(workspace=WorkspaceConfig(z_max_m=0.4)))
        driver.tick()
        assert refused(driver, still_chunk(driver.now_ns)) == 'workspace'

    def descend(self, *heights):
        """Send a chunk through heights [m] at 0.45 m, from 0.08 m, and run it to its end."""
        driver = Driver()
        driver.q = self.reach(0.08)
        driver.tick()
        rows = np.array([self.reach(z) for z in heights])
        stamp = driver.now_ns
        for _ in heights:  # the same plan again keeps the watchdog quiet
            chunk = rebuilt(make_chunk(rows, driver.now_ns), start_ns=stamp)
            with contextlib.suppress(RefusedError):
                driver.governor.accept(chunk, driver.now_ns)
            driver.tick(10)
        return driver, [PandaKinematics().forward(q)[0] for q in driver.points]

    def test_rows_from_the_first_one_far_outside_are_cut_off(self):
        driver, hands = self.descend(0.06, 0.04, 0.02, -0.04, -0.1, -0.1)
        assert driver.governor.counts['rows_cut_off'] >= 3
        assert min(hand[2] for hand in hands) > 0.009 - 1e-5, 'the fingers would hit the table'

    def test_rows_a_little_below_the_floor_are_moved_onto_it(self):
        driver, hands = self.descend(0.06, 0.04, 0.02, 0.005, -0.01, -0.01, -0.01, -0.01)
        assert driver.governor.refused == 0 and driver.governor.counts['rows_pushed_inside'] > 3
        assert min(hand[2] for hand in hands) > 0.009 - 1e-5, 'the fingers would hit the table'
        np.testing.assert_allclose(hands[-1], (0.45, 0.0, 0.0095), atol=2e-3)


class TestSilence:
    def test_hold_then_ramp_down_then_idle(self, moving):
        start = len(moving.states)
        moving.tick(130)
        states = moving.states[start:]
        # The last chunk was accepted 100 ms before.
        assert states.index('hold') == 9
        assert states.index('ramp_down') == 39
        assert 89 <= states.index('idle') <= 91
        assert set(states[states.index('idle') :]) == {'idle'}

    def test_hold_is_a_limited_stop_that_keeps_the_position(self, moving):
        moving.tick(35)
        assert moving.states[-1] == 'hold'
        held = moving.q
        np.testing.assert_array_equal(moving.dq, np.zeros(7))
        moving.tick()
        np.testing.assert_array_equal(moving.q, held)

    def test_the_next_chunk_resumes_from_hold(self, moving):
        moving.tick(15)
        assert moving.states[-1] == 'hold'
        goal = home_but(0, 0.3)
        moving.follow(goal, 1.5)
        np.testing.assert_allclose(moving.q, goal, atol=1e-6)

    def test_a_resumed_encoder_may_count_from_the_beginning(self, driver):
        driver.follow(Q_HOME, 0.3, generation=7)
        driver.tick(150)
        assert driver.quiet
        driver.governor.accept(still_chunk(driver.now_ns, generation=1), driver.now_ns)
        assert driver.tick().state is GovernorState.TRACKING

    def test_a_camera_that_freezes_is_heard_although_the_policy_talks_on(self, moving):
        # The oldest exposure names a chunk, so one frozen camera of two is enough.
        frozen, rows = moving.now_ns, np.tile(moving.q, (40, 1))
        moving.governor.accept(make_chunk(rows, frozen), moving.now_ns)
        causes = []
        for _ in range(12):
            moving.tick(10)
            chunk = rebuilt(make_chunk(rows, moving.now_ns), stamp_ns=frozen)
            causes.append(refused(moving, chunk))
        assert causes[0] == 'reordered' and causes[-1] == 'stale'
        assert moving.states[-100] == 'hold' and moving.quiet

    def test_a_camera_that_lags_half_a_second_moves_nothing(self, driver):
        lagging = rebuilt(still_chunk(driver.now_ns), stamp_ns=driver.now_ns - 501 * MS)
        assert refused(driver, lagging) == 'stale'
        assert driver.tick().q is None

    def test_silence_of_the_joint_states_holds(self, moving):
        moving.measuring = False
        moving.tick(5)
        moving.governor.accept(still_chunk(moving.now_ns, moving.q), moving.now_ns)
        moving.tick(8)
        assert moving.states[-1] == 'hold'
        assert moving.governor.counts['held_state_stale'] == 1

    def test_an_arm_that_does_not_follow_is_held_and_let_go(self, driver):
        for _ in range(30):  # the arm stays at home, whatever is commanded
            driver.q, driver.dq = Q_HOME.copy(), np.zeros(7)
            target = home_but(6, min(0.03 * len(driver.points), 1.0))
            with contextlib.suppress(RefusedError):
                driver.governor.accept(still_chunk(driver.now_ns, target), driver.now_ns)
            for _ in range(10):
                driver.now_ns += 10 * MS
                driver.governor.observe(Q_HOME, np.zeros(7), 0.08, driver.now_ns)
                command = driver.governor.command(driver.now_ns)
                driver.states.append(command.state.value)
                if command.q is not None:
                    driver.points.append(command.q)
                    assert np.abs(command.q - Q_HOME).max() < 0.5
        assert {'hold', 'ramp_down', 'idle'} <= set(driver.states)


class TestClock:
    """A clock that jumps (a time server, a restarted host) neither blinds nor stops it."""

    def test_a_state_from_the_future_is_not_a_fresh_one(self, driver):
        driver.measuring = False
        driver.governor.observe(Q_HOME, np.zeros(7), 0.08, driver.now_ns + 5000 * MS)
        for _ in range(30):  # it would have counted as fresh for five seconds
            driver.tick()
        assert refused(driver, still_chunk(driver.now_ns)) == 'state_stale'

    @pytest.mark.parametrize('back_ms', [150, 1000, 20_000])
    def test_silence_is_heard_although_the_clock_was_set_back(self, moving, back_ms):
        moving.now_ns -= back_ms * MS
        moving.tick(200)
        assert moving.quiet, 'the watchdog would sleep until the clock has caught up'
        TestLimitsHold.check(moving, moving.config)

    def test_after_the_clock_was_set_back_it_takes_chunks_again(self, moving):
        moving.now_ns -= 60_000 * MS
        moving.tick(200)
        moving.governor.accept(still_chunk(moving.now_ns, moving.q), moving.now_ns)
        assert moving.tick().state is GovernorState.TRACKING

    def test_a_clock_set_back_during_the_ramp_ends_it(self, moving):
        moving.tick(70)
        assert moving.states[-1] == 'ramp_down'
        moving.now_ns -= 60_000 * MS
        moving.tick(60)
        assert moving.quiet


class TestFault:
    def test_fault_stops_within_limits_and_falls_silent(self, moving):
        moving.governor.fault('the robot reports a reflex')
        start = len(moving.points)
        command = moving.tick(60)
        assert command.q is None and command.state is GovernorState.FAULT
        assert 'reflex' in command.reason
        assert 1 < len(moving.points) - start < 60
        TestLimitsHold.check(moving, moving.config)

    def test_nothing_is_accepted_before_a_reset(self, moving):
        moving.governor.fault('the robot reports a reflex')
        assert refused(moving, still_chunk(moving.now_ns)) == 'fault'
        moving.tick(60)
        moving.governor.reset()
        assert refused(moving, still_chunk(moving.now_ns)) == 'not_ready'
        moving.tick()
        moving.governor.accept(still_chunk(moving.now_ns, moving.q), moving.now_ns)
        assert moving.tick().state is GovernorState.TRACKING

    def test_after_a_recovery_motion_starts_where_the_arm_is(self, moving):
        """A controller that was activated again holds the arm, not the last point."""
        for is_held_elsewhere in (False, True):
            moving.governor.fault('x')
            moving.tick(100)
            assert moving.tick().q is None
            moving.governor.reset(is_held_elsewhere=is_held_elsewhere)
            last, moving.q = moving.q, moving.q + 0.008
            moving.tick()
            moving.governor.accept(still_chunk(moving.now_ns, moving.q), moving.now_ns)
            first = moving.tick().q
            np.testing.assert_allclose(first, moving.q if is_held_elsewhere else last, atol=1e-3)

    def test_fault_while_idle_publishes_nothing(self, driver):
        driver.governor.fault('x')
        assert driver.tick().q is None


class TestMotionPlanning:
    def test_a_stop_is_at_no_tick_faster_with_the_hand_than_allowed(self):
        """Nor where joints that move the hand against each other come to rest one by one."""
        config = FollowerConfig(
            velocity_scale=0.25, acceleration_scale=0.25, jerk_scale=0.05, hand_speed_max_m_s=0.02
        )
        bounds = config.bounds(robot_limits('fr3'), WorkspaceConfig(**dict.fromkeys(SIDES)))
        motion, kinematics = JointMotion(bounds.limits, 0.01), PandaKinematics()
        guard = MotionGuard(bounds, kinematics, SelfDistance(), 0.0, 0.01)
        rng, stops, fastest = np.random.default_rng(0), 0, 0.0
        for _ in range(400):
            q = Q_HOME + rng.uniform(-0.5, 0.5, size=7)
            linear = kinematics.jacobian(q)[:3]
            inverse = np.linalg.pinv(linear)
            still, way = rng.normal(size=7), rng.normal(size=3)
            still -= inverse @ (linear @ still)  # turns the elbow, not the hand
            dq = rng.uniform(0.0, 0.6) * still / np.abs(still).max()
            dq += inverse @ (rng.uniform(0.0, 0.02) * way / np.linalg.norm(way))
            ddq = bounds.limits.ddq_max * rng.choice([-1.0, -0.3, 0.0, 0.3, 1.0], size=7)
            motion.state = MotionState(q, dq, ddq)
            step = motion.propose(Target(q + 0.01 * dq, dq, np.zeros(7)))
            if step is None or guard.objection(motion.state, step) is not None:
                continue
            motion.take(step)
            points = [q, step.state.q]
            while not motion.is_at_rest:
                motion.brake()
                points.append(motion.state.q)
            hands = np.array([kinematics.forward(point)[0] for point in points])
            speeds = np.linalg.norm(np.diff(hands, axis=0), axis=1) / 0.01
            stops, fastest = stops + 1, max(fastest, float(speeds.max()))
        assert stops > 100, 'nothing was allowed'
        assert 0.019 < fastest < 0.02 * 1.01

    def test_a_plan_that_fails_brakes_within_limits(self, moving, monkeypatch):
        monkeypatch.setattr(moving.governor._follower._motion, 'propose', lambda target: None)
        goal = home_but(0, 0.3)
        moving.follow(goal, 0.5)
        assert moving.governor.counts['braked_plan'] == 50
        np.testing.assert_array_equal(moving.dq, np.zeros(7))
        TestLimitsHold.check(moving, moving.config)

    def test_the_bounds_of_a_stop_hold_all_of_it(self):
        motion = JointMotion(robot_limits('panda').scaled(jerk=0.1), 0.01)
        rng = np.random.default_rng(0)
        for _ in range(200):
            motion.reset(Q_HOME)
            for _ in range(10):
                target = Target(Q_HOME + rng.normal(size=7), np.zeros(7), np.zeros(7))
                step = motion.propose(target)
                motion.take(step)
                path = np.array(
                    [step.at(part * step.stop.duration)[0] for part in np.linspace(0, 1, 40)]
                )
                assert (path >= step.q_low - 1e-9).all() and (path <= step.q_high + 1e-9).all()
                slowest, fastest = step.slowest, step.fastest
                speeds = np.diff(path, axis=0) / (step.stop.duration / 39)
                assert (speeds[:5] <= fastest + 1e-6).all() and (
                    speeds[:5] >= slowest - 1e-6
                ).all()

    def test_a_step_carries_no_joint_beyond_its_speed(self):
        # A target met within a tick is left at its acceleration: 2 % beyond, at reduced speeds.
        motion = JointMotion(robot_limits('panda').scaled(velocity=0.1, jerk=0.2), 0.01)
        limits, rest = motion.limits, np.zeros(7)
        for pull in np.linspace(1.0, 9.0, 33):
            motion.reset(Q_HOME)
            for t in 0.01 * np.arange(1, 40):
                way = np.full(7, pull)
                step = motion.propose(Target(Q_HOME + way * t**2 / 2.0, way * t, rest + pull))
                peak = np.abs(step.peak)
                assert (peak <= limits.dq_max + 1e-6).all()
                motion.take(step)

    @pytest.mark.parametrize('joint', [0, 1, 2, 3])
    def test_an_fr3_at_a_steady_speed_slows_down_before_its_end(self, joint):
        # At a steady speed no step is faster than the one before, and the end comes nearer.
        config = GovernorConfig()
        config = replace(
            config,
            motion=replace(config.motion, hand_speed_max_m_s=3.0),
            workspace=WorkspaceConfig(**dict.fromkeys(SIDES)),
            admission=replace(config.admission, max_jump_rad=1.0),
        )
        driver = Driver(config, 'fr3')
        driver.tick()
        limits = driver.governor.limits
        for goal in (limits.q_min[joint] + 0.06, limits.q_max[joint] - 0.06):
            for _ in range(40):
                row = driver.q.copy()
                row[joint] += np.clip(goal - row[joint], -0.9, 0.9)
                with contextlib.suppress(RefusedError):
                    driver.governor.accept(still_chunk(driver.now_ns, row), driver.now_ns)
                driver.tick(10)
        points = np.array(driver.points)
        speeds = np.diff(points, axis=0) / 0.01
        assert np.abs(speeds[:, joint]).max() > 0.7 * limits.dq_max[joint], 'it was fast'
        bounds = np.array([limits.velocity_bounds(q) for q in points[1:]])
        assert (speeds <= bounds[:, 1] + 1e-6).all() and (speeds >= bounds[:, 0] - 1e-6).all()

    def test_an_fr3_that_turns_round_within_a_tick_goes_no_nearer_to_its_end(self):
        """Where none may go there any more: the plan dips by a micrometre and comes back."""
        config = replace(FollowerConfig(), position_margin_rad=1e-6)
        bounds = config.bounds(robot_limits('fr3'), WorkspaceConfig(**dict.fromkeys(SIDES)))
        q = np.array([1.27, 0.64, 2.62, -3.039167251765218, 2.1, 0.78, -0.93])
        motion = JointMotion(bounds.limits, 0.01)
        motion.reset(q)
        down, _ = bounds.arm.velocity_bounds(q)
        assert down[3] == 0.0
        to = (-3.039496982223839, 0.08368439109718129, -2.3067679987251117)
        rest = np.zeros(7)
        parts = zip(to, (q, rest, rest), strict=True)
        target = Target(*(np.where(np.arange(7) == 3, *pair) for pair in parts))
        step = motion.propose(target)
        assert step.state.q[3] < q[3] and step.state.dq[3] > 0.0
        guard = MotionGuard(bounds, PandaKinematics(), SelfDistance(), 0.0, 0.01)
        assert guard.objection(motion.state, step) == 'joint_speed'

    def test_a_way_of_hours_is_no_plan_and_no_crash(self):
        """Ruckig plans no longer than two hours, and its binding has no name for that answer."""
        motion = JointMotion(robot_limits('panda'), 0.01)
        motion.reset(home_but(0, -2.5))
        rest = np.zeros(7)
        assert motion.propose(Target(home_but(0, 2.5), rest, rest), np.full(7, 1e-4)) is None
        assert motion.propose(Target(home_but(0, 2.5), rest, rest)) is not None

    def test_nothing_that_is_not_a_number_is_planned_to(self):
        motion = JointMotion(robot_limits('panda'), 0.01)
        motion.reset(Q_HOME)
        assert motion.propose(Target(np.full(7, np.nan), np.zeros(7), np.zeros(7))) is None


class TestChunks:
    def test_more_rows_than_can_be_judged_in_a_tick_are_refused(self, driver):
        rows = np.tile(Q_HOME, (5000, 1))
        assert refused(driver, make_chunk(rows, driver.now_ns)) == 'shape'


class TestGripperLimiter:
    def test_a_clock_that_was_set_back_holds_up_no_reversal(self):
        limiter = self.limiter()
        limiter.aim(0.02, 3600 * 1000 * MS)
        limiter.aim(0.08, 1000 * MS)
        assert limiter.goal_m == 0.08

    def limiter(self):
        limiter = GripperLimiter(GripperLimitConfig(), 0.08)
        limiter.reset(0.08)
        return limiter

    def settle(self, limiter, target, now_ns):
        limiter.aim(target, now_ns)
        for _ in range(100):
            width = limiter.step(0.01)
        return width

    def test_speed_is_limited(self):
        limiter = self.limiter()
        limiter.aim(0.02, T0_NS)
        assert limiter.step(0.01) == pytest.approx(0.078)

    @pytest.mark.parametrize(('target', 'width'), [(0.03, 0.03), (-1.0, 0.0), (9.0, 0.08)])
    def test_targets_are_clamped(self, target, width):
        assert self.settle(self.limiter(), target, T0_NS) == pytest.approx(width)

    def test_noise_does_not_move_it(self):
        limiter, rng = self.limiter(), np.random.default_rng(0)
        self.settle(limiter, 0.04, T0_NS)
        for k in range(100):
            noisy = 0.04 + rng.uniform(-0.004, 0.004)
            assert self.settle(limiter, noisy, T0_NS + k * 100 * MS) == pytest.approx(0.04)

    def test_near_the_ends_it_goes_to_the_end(self):
        assert self.settle(self.limiter(), 0.002, T0_NS) == 0.0

    def test_a_reversal_waits_for_the_dwell(self):
        limiter = self.limiter()
        self.settle(limiter, 0.0, T0_NS)
        assert self.settle(limiter, 0.08, T0_NS + 200 * MS) == 0.0
        assert self.settle(limiter, 0.08, T0_NS + 301 * MS) == pytest.approx(0.08)

    def test_nan_changes_nothing(self):
        limiter = self.limiter()
        self.settle(limiter, 0.04, T0_NS)
        assert self.settle(limiter, float('nan'), T0_NS + 900 * MS) == pytest.approx(0.04)


class TestFade:
    def test_begins_as_the_difference_and_ends_as_nothing(self):
        dq, dv = np.linspace(-1, 1, 7), np.linspace(2, -2, 7)
        fade = Fade(dq, dv, T0_NS, (0.4, 0.1))
        start, end = fade.sample(T0_NS), fade.sample(T0_NS + 400 * MS)
        np.testing.assert_allclose(start.q, dq)
        np.testing.assert_allclose(start.dq, dv)
        np.testing.assert_array_equal(end, np.zeros((3, 7)))

    def test_documented_example(self):
        fade = Fade(np.full(7, 0.1), np.zeros(7), T0_NS, (0.1, 0.1))
        half = fade.sample(T0_NS + 50 * MS)
        assert half.q[0] == pytest.approx(0.05) and half.dq[0] == pytest.approx(-1.5)


class TestRowCurve:
    def test_rows_are_met_on_time(self):
        rows = np.random.default_rng(0).normal(size=(5, 7))
        curve = RowCurve(np.zeros(7), rows, T0_NS, 0.1)
        for k, row in enumerate(rows):
            np.testing.assert_allclose(curve.sample(T0_NS + (k + 1) * 100 * MS).q, row, atol=1e-6)

    def test_documented_example(self):
        curve = RowCurve(np.zeros(7), np.array([[1.0], [2.0], [3.0]]) * np.ones(7), T0_NS, 0.1)
        assert curve.sample(T0_NS).q[0] == pytest.approx(0.0)
        assert curve.sample(T0_NS + 100 * MS).dq[0] == pytest.approx(10.0)
        assert curve.sample(T0_NS + 900 * MS).q[0] == 3.0
        assert curve.sample(T0_NS + 900 * MS).dq[0] == 0.0

    def test_derivatives_agree_with_differences(self):
        curve = RowCurve(np.zeros(7), np.random.default_rng(0).normal(size=(5, 7)), T0_NS, 0.1)
        for time_ns in T0_NS + np.array([30, 130, 270, 440]) * MS:
            low, here, high = (curve.sample(int(time_ns) + d * 1000) for d in (-1, 0, 1))
            np.testing.assert_allclose((high.q - low.q) / 2e-6, here.dq, atol=1e-3)
            np.testing.assert_allclose((high.dq - low.dq) / 2e-6, here.ddq, atol=1e-1)


@pytest.mark.parametrize('margin_rad', [0.0, -0.1, float('nan')])
def test_without_a_margin_rounding_would_pass_the_arms_own_end(margin_rad):
    # With none, points at an end came out 9e-16 rad beyond the table.
    with pytest.raises(ConfigError, match='position_margin_rad'):
        FollowerConfig(position_margin_rad=margin_rad)


def test_commanded_limits_lie_inside_the_robots_own():
    governor, limits = Driver().governor, robot_limits('panda')
    for name in ('dq_max', 'ddq_max', 'dddq_max', 'q_max'):
        assert (getattr(governor.commanded_limits, name) <= getattr(limits, name)).all()
    assert (governor.commanded_limits.q_min > limits.q_min).all()
