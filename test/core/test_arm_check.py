"""The arm's own supervision: each error from what provokes it, none from what does not."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_ros.control.contact import hand_force
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.sim.arm_check import ArmCheck, CollisionConfig

STEP_S = 0.001
FRICTION_NM = np.full(7, 0.3)
ZERO = np.zeros(7)


@pytest.fixture
def check() -> ArmCheck:
    return ArmCheck(CollisionConfig(), robot_limits('panda'), STEP_S, FRICTION_NM)


def one(joint: int, value: float) -> np.ndarray:
    """Zeros but for one joint."""
    values = np.zeros(7)
    values[joint] = value
    return values


def test_an_arm_at_rest_is_well(check):
    assert check.step(Q_HOME, ZERO, ZERO, ZERO, FRICTION_NM) == ()
    assert check.look(Q_HOME) == ()


@pytest.mark.parametrize('joint', range(7))
def test_a_measured_position_beyond_the_end(check, joint):
    q = Q_HOME.copy()
    q[joint] = robot_limits('panda').q_max[joint] + 1e-4
    assert check.step(q, ZERO, ZERO, ZERO, ZERO) == ('joint_position_limits_violation',)


@pytest.mark.parametrize('sign', [-1.0, 1.0])
def test_a_measured_speed_beyond_the_limit(check, sign):
    assert check.step(Q_HOME, one(3, sign * 2.17), ZERO, ZERO, ZERO) == ()
    assert check.step(Q_HOME, one(3, sign * 2.18), ZERO, ZERO, ZERO) == (
        'joint_velocity_violation',
    )


def test_the_speed_limit_of_an_fr3_falls_towards_the_end():
    limits = robot_limits('fr3')
    check = ArmCheck(CollisionConfig(), limits, STEP_S, FRICTION_NM)
    near = Q_HOME.copy()
    near[0] = limits.q_max[0] - 0.1
    for q, errors in ((Q_HOME, ()), (near, ('joint_velocity_violation',))):
        check.look(q)
        assert check.step(q, one(0, 1.5), ZERO, ZERO, ZERO) == errors


def test_a_torque_beyond_the_range_counts_with_gravity(check):
    check.restart(Q_HOME, one(1, 60.0))
    assert check.step(Q_HOME, ZERO, one(1, 60.0), one(1, 20.0), ZERO) == ()
    assert check.step(Q_HOME, ZERO, one(1, 60.0), one(1, 30.0), ZERO) == ('tau_j_range_violation',)


def test_a_torque_that_changes_too_fast(check):
    assert check.step(Q_HOME, ZERO, one(2, 1.0), ZERO, ZERO) == ()
    assert check.step(Q_HOME, ZERO, one(2, 2.5), ZERO, ZERO) == (
        'controller_torque_discontinuity',
    )


def test_a_push_at_a_joint_is_felt_after_the_filter(check):
    errors = [check.step(Q_HOME, ZERO, ZERO, ZERO, one(6, 60.0)) for _ in range(30)]
    assert errors[0] == (), 'a spike of a millisecond is no collision'
    assert errors[-1] == ('joint_reflex',)
    assert check.external_nm[6] == pytest.approx(60.0 - FRICTION_NM[6], abs=4.0)


def test_friction_is_not_felt(check):
    for _ in range(100):
        assert check.step(Q_HOME, ZERO, ZERO, ZERO, FRICTION_NM) == ()
    assert not check.external_nm.any()


def test_a_force_at_the_hand_is_felt(check):
    jacobian = PandaKinematics().jacobian(Q_HOME)
    for force_n, errors in ((90.0, ()), (110.0, ('cartesian_reflex',))):
        check.restart(Q_HOME, ZERO)
        felt = jacobian.T @ np.array([force_n, 0.0, 0.0, 0.0, 0.0, 0.0])
        felt += np.sign(felt) * FRICTION_NM
        for _ in range(100):
            assert check.step(Q_HOME, ZERO, ZERO, ZERO, felt) == ()
        assert check.look(Q_HOME, (0.0, 0.0), lambda: jacobian) == errors


def test_the_force_at_the_hand_is_found_from_torques():
    jacobian = PandaKinematics().jacobian(Q_HOME)
    force = np.array([10.0, -5.0, 20.0, 0.5, 0.0, -0.2])
    np.testing.assert_allclose(
        hand_force(jacobian, jacobian.T @ force), force, rtol=0.02, atol=0.1
    )


def test_a_hand_that_is_too_fast(check):
    assert check.look(Q_HOME, (1.69, 2.49)) == ()
    for speeds in ((1.71, 0.0), (0.0, 2.51)):
        assert check.look(Q_HOME, speeds) == ('cartesian_velocity_violation',)


@pytest.mark.parametrize(
    ('field', 'values'), [('torque_nm', (10.0,) * 6), ('force_n', (0.0,) * 6)]
)
def test_thresholds_of_the_wrong_length_or_sign_are_refused(field, values):
    with pytest.raises(ConfigError, match=field):
        CollisionConfig(**{field: values})
