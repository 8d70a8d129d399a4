"""Tables of limits: their numbers, what may be done to them, and what they refuse."""

import numpy as np
import pytest
from roboadapt_ros.control.kinematics import Q_HOME
from roboadapt_ros.control.limits import FR3_2025_08, FR3_2026_05, robot_limits
from roboadapt_ros.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize('robot', ['panda', 'fr3'])
def test_every_table_holds_the_home_position_inside_its_limits(robot):
    limits = robot_limits(robot)
    assert (limits.q_min < Q_HOME).all() and (limits.q_max > Q_HOME).all()
    assert limits.joint_names == tuple(f'{robot}_joint{i}' for i in range(1, 8))


def test_fr3_differs_from_panda_where_it_matters():
    panda, fr3 = robot_limits('panda'), robot_limits('fr3')
    assert fr3.q_min[5] > panda.q_min[5], 'a panda pose with joint 6 near 0 is illegal on an fr3'
    assert (fr3.dq_max[4:] > 1.5 * panda.dq_max[4:]).all()


def test_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'panda'"):
        robot_limits('pandda')


def test_scaling_changes_only_what_it_names():
    limits = robot_limits('panda').scaled(velocity=0.5, jerk=0.1)
    full = robot_limits('panda')
    np.testing.assert_allclose(limits.dq_max, 0.5 * full.dq_max)
    np.testing.assert_array_equal(limits.ddq_max, full.ddq_max)
    np.testing.assert_allclose(limits.dddq_max, 0.1 * full.dddq_max)
    np.testing.assert_array_equal(limits.q_max, full.q_max)


@pytest.mark.parametrize('factor', [0.0, -1.0, 1.01, float('nan')])
def test_scaling_up_to_nothing_or_to_nonsense_is_refused(factor):
    with pytest.raises(ConfigError, match='velocity scale'):
        robot_limits('panda').scaled(velocity=factor)


def test_margin_narrows_both_ends_and_too_wide_a_margin_is_refused():
    limits = robot_limits('panda').with_margin(0.1)
    np.testing.assert_allclose(limits.q_max, robot_limits('panda').q_max - 0.1)
    np.testing.assert_allclose(limits.q_min, robot_limits('panda').q_min + 0.1)
    with pytest.raises(ConfigError, match='q_min'):
        robot_limits('panda').with_margin(1.6)
    with pytest.raises(ConfigError, match='margin'):
        robot_limits('panda').with_margin(float('nan'))


def test_arrays_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match='read-only'):
        robot_limits('panda').dq_max[0] = 9.0


def test_panda_speed_does_not_depend_on_the_position():
    limits = robot_limits('panda')
    lower, upper = limits.velocity_bounds(limits.q_max)
    np.testing.assert_array_equal(upper, limits.dq_max)
    np.testing.assert_array_equal(lower, -limits.dq_max)


def test_fr3_speed_towards_an_end_falls_to_zero_and_away_from_it_stays():
    limits = robot_limits('fr3')
    lower, upper = limits.velocity_bounds(limits.q_max)
    np.testing.assert_array_equal(upper, np.zeros(7))
    np.testing.assert_array_equal(lower, -limits.dq_max)
    # Joint 1, 0.5 rad from its end: -0.6599 + sqrt(2 * 6.0 * 0.5) rad/s.
    _, upper = limits.velocity_bounds(limits.q_max - 0.5)
    assert upper[0] == pytest.approx(-0.6599 + np.sqrt(6.0))


@pytest.mark.parametrize('table', [FR3_2025_08, FR3_2026_05], ids=lambda table: table.robot)
def test_the_fr3_keeps_both_published_tables(table):
    limits = robot_limits('fr3')
    assert (limits.q_min >= table.q_min).all() and (limits.q_max <= table.q_max).all()
    for name in ('dq_max', 'ddq_max', 'dddq_max', 'ee_speed_max', 'ee_turn_max'):
        assert np.all(getattr(limits, name) <= getattr(table, name))
    for q in np.random.default_rng(0).uniform(limits.q_min, limits.q_max, (200, 7)):
        (lower, upper), (low, high) = limits.velocity_bounds(q), table.velocity_bounds(q)
        assert (lower >= low).all() and (upper <= high).all()
