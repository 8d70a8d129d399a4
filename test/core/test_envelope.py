"""A task may be more careful than its rig, and never less."""

import json
import math

from control_fakes import Driver, home_but, rebuilt, still_chunk
import numpy as np
import pytest
from roboadapt_ros.config import from_mapping, to_mapping
from roboadapt_ros.contract import Contract, Envelope
from roboadapt_ros.control.governor import GovernorConfig, GovernorState
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.sim2real.frame import BaseFrame
import tiny

OPEN = (None, None, None)


def follow(driver, q, seconds, envelope, *, generation=1):
    """Send a chunk of an envelope that stays at `q` each period for some time [s]."""
    for _ in range(round(seconds / 0.1)):
        driver.governor.observe(driver.q, driver.dq, 0.08, driver.now_ns)
        chunk = still_chunk(driver.now_ns, q, generation=generation)
        driver.governor.accept(rebuilt(chunk, envelope=envelope), driver.now_ns)
        driver.tick(10)


def hand_speeds(driver):
    """Return the speeds of the hand between points [m/s]."""
    hands = np.array([PandaKinematics().forward(q)[0] for q in driver.points])
    return np.linalg.norm(np.diff(hands, axis=0), axis=1) / 0.01


@pytest.fixture(params=['panda', 'fr3'])
def driver(request):
    """A governor with a measured arm, idle at home."""
    driver = Driver(robot=request.param)
    driver.tick()
    return driver


class TestTighter:
    def test_a_task_moves_no_faster_than_it_allows_itself(self, driver):
        follow(driver, home_but(0, 0.3), 2.0, Envelope(velocity_scale=0.1))
        speeds = np.abs(np.diff(driver.points, axis=0)) / 0.01
        most = 0.1 * driver.governor.limits.dq_max
        assert speeds[:, 0].max() == pytest.approx(most[0], rel=0.05), 'and no slower'
        assert (speeds <= most + 1e-6).all()
        assert driver.q[0] == pytest.approx(0.3, abs=1e-3)

    def test_a_task_moves_its_hand_no_faster_than_it_allows_itself(self, driver):
        follow(driver, home_but(0, 0.3), 3.0, Envelope(hand_speed_max_m_s=0.05))
        speeds = hand_speeds(driver)
        assert 0.03 < speeds.max() < 0.05 * 1.02
        assert np.abs(np.diff(speeds[5:100])).max() < 0.004, 'the hand would shake'
        assert driver.q[0] == pytest.approx(0.3, abs=1e-3)

    def test_a_task_keeps_its_own_box(self, driver):
        # Home is at (0.307, 0, 0.487) m.
        box = Envelope(high_m=(None, None, 0.55))
        with pytest.raises(RefusedError, match=r'z = 0\.\d+, bound 0.55'):
            follow(driver, home_but(3, 0.39), 1.0, box)
        follow(driver, home_but(3, 0.16), 1.0, box)  # 13 mm beyond its top
        tops = [PandaKinematics().forward(q)[0][2] for q in driver.points]
        assert 0.545 < max(tops) < 0.55 + 1e-4

    def test_the_tighter_of_both_holds_value_by_value(self):
        driver = Driver(GovernorConfig(workspace=WorkspaceConfig(z_max_m=None)))
        driver.tick()
        task = Envelope(
            velocity_scale=0.5, hand_speed_max_m_s=9.0, low_m=(0.2, -9.0, None), high_m=(9, 9, 0.7)
        )
        follow(driver, Q_HOME, 0.1, task)
        bounds = driver.governor.bounds
        np.testing.assert_allclose(bounds.limits.dq_max, 0.5 * bounds.arm.dq_max)
        assert bounds.hand_speed_max_m_s == driver.config.motion.hand_speed_max_m_s
        assert bounds.box.sides('x') == (0.2, 0.8) and bounds.box.sides('y') == (-0.5, 0.5)
        assert bounds.box.sides('z') == (0.0, 0.7)

    def test_the_next_task_has_its_own_again(self, driver):
        rig = driver.governor.bounds
        follow(driver, Q_HOME, 0.1, Envelope(velocity_scale=0.1))
        follow(driver, Q_HOME, 0.1, None, generation=2)
        assert driver.governor.bounds.limits.dq_max.tolist() == rig.limits.dq_max.tolist()

    def test_a_looser_task_changes_nothing_and_is_counted_once(self, driver):
        before = driver.governor.bounds
        loose = Envelope(velocity_scale=0.95, hand_speed_max_m_s=2.0, low_m=(-1.0, None, None))
        follow(driver, home_but(0, 0.2), 1.0, loose)
        after = driver.governor.bounds
        assert after.limits.dq_max.tolist() == before.limits.dq_max.tolist()
        assert after.box == before.box
        assert driver.governor.counts['envelope_without_effect'] == 1
        assert after.without_effect(loose) == ('velocity_scale', 'hand_speed_max_m_s', 'x_min_m')

    def test_a_task_that_asks_for_nothing_is_not_said_to_have_no_effect(self, driver):
        follow(driver, Q_HOME, 0.2, Envelope())
        assert 'envelope_without_effect' not in driver.governor.counts


class TestInvalid:
    @pytest.mark.parametrize(
        'envelope',
        [
            Envelope(velocity_scale=math.nan),
            Envelope(velocity_scale=0.0),
            Envelope(velocity_scale=-0.5),
            Envelope(velocity_scale=1.01),
            Envelope(hand_speed_max_m_s=math.nan),
            Envelope(hand_speed_max_m_s=0.0),
            Envelope(hand_speed_max_m_s=-1.0),
            Envelope(low_m=(math.nan, None, None)),
            Envelope(low_m=(math.inf, None, None)),
            Envelope(low_m=(0.5, None, None), high_m=(0.4, None, None)),
            Envelope(low_m=(0.5, None, None), high_m=(0.5, None, None)),
            Envelope(low_m=(0.9, None, None)),  # beyond the rig's box: no room is left
        ],
    )
    def test_what_is_no_envelope_refuses_its_chunk(self, driver, envelope):
        bounds = driver.governor.bounds
        with pytest.raises(RefusedError) as caught:
            follow(driver, Q_HOME, 0.1, envelope)
        assert caught.value.cause == 'envelope' and len(caught.value.detail) > 20
        assert driver.governor.counts['envelope'] == 1
        assert driver.governor.bounds is bounds and driver.tick().q is None

    def test_a_refused_chunk_leaves_the_bounds_of_the_followed_one(self, driver):
        follow(driver, Q_HOME, 0.2, Envelope(velocity_scale=0.1))
        bounds = driver.governor.bounds
        chunk = still_chunk(driver.now_ns, Q_HOME + 1.0)
        with pytest.raises(RefusedError, match='jump'):
            driver.governor.accept(rebuilt(chunk, envelope=None), driver.now_ns)
        assert driver.governor.bounds is bounds
        driver.tick()
        assert driver.governor.commanded_limits is bounds.limits


class TestSwitch:
    """From wide to tight bounds while moving faster than these allow."""

    def moving(self, driver):
        goal = home_but(0, 0.39)
        follow(driver, Q_HOME, 0.6, None)
        follow(driver, goal, 0.2, None)
        assert driver.dq[0] > 1.0
        return goal, len(driver.points)

    def brakes_within_the_rigs_limits(self, driver):
        track, limits = np.array(driver.stretches[-1]), driver.governor._rig.limits
        for order, bound in ((1, limits.dq_max), (2, limits.ddq_max), (3, limits.dddq_max)):
            part = np.abs(np.diff(track, n=order, axis=0)) / 0.01**order / bound
            assert part.max() <= 1.0 + 1e-4

    def test_a_slower_task_is_slow_after_a_smooth_braking(self, driver):
        goal, start = self.moving(driver)
        follow(driver, goal, 1.0, Envelope(velocity_scale=0.05), generation=2)
        self.brakes_within_the_rigs_limits(driver)
        speeds = np.abs(np.diff(driver.points[start:], axis=0)) / 0.01
        assert speeds[0, 0] > 0.5, 'it was fast'
        assert (speeds[25:] <= 0.05 * driver.governor.limits.dq_max + 1e-6).all()
        assert speeds[25:, 0].max() > 0.09, 'and it goes on'

    def test_a_task_with_a_slower_hand_is_slow_after_a_smooth_braking(self, driver):
        goal, start = self.moving(driver)
        follow(driver, goal, 1.0, Envelope(hand_speed_max_m_s=0.03), generation=2)
        self.brakes_within_the_rigs_limits(driver)
        assert hand_speeds(driver)[start + 25 :].max() < 0.03 * 1.02

    def test_a_hand_outside_the_new_box_may_come_in_and_goes_no_further_out(self, driver):
        follow(driver, home_but(0, 0.39), 2.0, None)  # y = 0.12 m
        box = Envelope(high_m=(None, 0.1, None))
        with pytest.raises(RefusedError, match='workspace'):
            follow(driver, home_but(0, 0.5), 0.1, box, generation=2)
        start = len(driver.points)
        follow(driver, home_but(0, 0.2), 2.0, box, generation=2)
        sides = [PandaKinematics().forward(q)[0][1] for q in driver.points[start:]]
        assert (np.diff(np.maximum(sides, 0.1)) < 1e-6).all() and sides[-1] < 0.1
        self.brakes_within_the_rigs_limits(driver)

    def test_a_urdf_that_comes_in_under_way_brakes_too(self, driver):
        goal, start = self.moving(driver)
        slow = np.full(7, 0.1)
        driver.governor.narrow(np.full(7, -np.inf), np.full(7, np.inf), slow)
        limits = driver.governor.commanded_limits
        assert (limits.dq_max <= 0.1).all()
        follow(driver, goal, 1.0, None)
        speeds = np.abs(np.diff(driver.points[start:], axis=0)) / 0.01
        assert speeds[0, 0] > 0.5 and (speeds[25:] <= 0.1 + 1e-6).all()
        assert driver.tick().state is GovernorState.TRACKING

    def test_a_urdf_keeps_the_envelope_of_the_task_that_is_followed(self, driver):
        follow(driver, Q_HOME, 0.1, Envelope(velocity_scale=0.5))
        driver.governor.narrow(np.full(7, -np.inf), np.full(7, np.inf), np.full(7, 1.0))
        assert (driver.governor.commanded_limits.dq_max <= 0.5).all()

    def test_a_urdf_widens_nothing(self, driver):
        before = driver.governor.limits
        driver.governor.narrow(np.full(7, -9.0), np.full(7, 9.0), np.full(7, 99.0))
        after = driver.governor.limits
        for name in ('q_min', 'q_max', 'dq_max', 'ddq_max', 'dddq_max'):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))

    def test_a_urdf_that_leaves_no_room_changes_nothing(self, driver):
        before = driver.governor.limits
        with pytest.raises(ConfigError, match='q_min'):
            driver.governor.narrow(np.full(7, 2.0), np.full(7, 2.05), np.full(7, 1.0))
        assert driver.governor.limits is before


class TestContract:
    def test_a_manifest_without_one_still_loads(self):
        contract = tiny.contract()
        written = to_mapping(contract)
        del written['envelope']
        assert from_mapping(Contract, written, 'manifest').envelope is None

    def test_one_survives_json(self):
        envelope = Envelope(velocity_scale=0.3, hand_speed_max_m_s=0.2, low_m=(None, -0.2, 0.05))
        written = json.loads(
            json.dumps(to_mapping(tiny.contract(envelope=envelope)), allow_nan=False)
        )
        assert from_mapping(Contract, written, 'manifest').envelope == envelope

    @pytest.mark.parametrize(
        ('envelope', 'word'),
        [
            (Envelope(velocity_scale=1.5), 'velocity_scale'),
            (Envelope(hand_speed_max_m_s=0.0), 'hand_speed_max_m_s'),
            (Envelope(low_m=(None, None, 1.0), high_m=(None, None, 0.5)), 'along z'),
        ],
    )
    def test_a_contract_refuses_what_a_governor_would(self, envelope, word):
        with pytest.raises(ConfigError, match=word):
            tiny.contract(envelope=envelope)


class TestFrame:
    LOW, HIGH = (0.1, -0.2, None), (0.5, None, 0.4)

    def test_a_box_moves_with_the_tasks_base(self):
        frame = BaseFrame((0.1, 0.0, -0.3), 0.0)
        low, high = frame.box_to_rig(self.LOW, self.HIGH)
        assert low == (pytest.approx(0.2), pytest.approx(-0.2), None)
        assert high == (pytest.approx(0.6), None, pytest.approx(0.1))

    def test_a_quarter_turn_swaps_its_sides(self):
        low, high = BaseFrame((0.0, 0.0, 0.0), math.pi / 2).box_to_rig(self.LOW, self.HIGH)
        assert low == (None, pytest.approx(0.1), None)
        assert high == (pytest.approx(0.2), pytest.approx(0.5), pytest.approx(0.4))

    def test_another_turn_is_refused_because_the_sides_would_be_slanted(self):
        frame = BaseFrame((0.0, 0.0, 0.0), 0.3)
        with pytest.raises(ConfigError, match='quarter turn'):
            frame.box_to_rig(self.LOW, self.HIGH)
        assert frame.box_to_rig(OPEN, OPEN) == (OPEN, OPEN)


def test_the_rigs_own_limits_are_never_passed_for_any_envelope():
    rng = np.random.default_rng(0)
    driver = Driver()
    rig = driver.governor.bounds
    for _ in range(200):
        low, high = rng.normal(size=3), rng.normal(size=3)
        task = Envelope(
            velocity_scale=rng.uniform(0.01, 1.0),
            hand_speed_max_m_s=rng.uniform(0.01, 5.0),
            low_m=tuple(np.minimum(low, high)),
            high_m=tuple(np.maximum(low, high)),
        )
        try:
            bounds = rig.tightened(task)
        except RefusedError:
            continue
        assert (bounds.limits.dq_max <= rig.limits.dq_max).all()
        assert bounds.hand_speed_max_m_s <= rig.hand_speed_max_m_s
        for axis in 'xyz':
            inner, outer = bounds.box.sides(axis), rig.box.sides(axis)
            assert inner[0] >= outer[0] and inner[1] <= outer[1]
