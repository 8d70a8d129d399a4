"""Kinematics of the Panda against MuJoCo's, and the inverse on reachable and unreachable poses."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import SpecError

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


def sample_q(rng: np.random.Generator, margin: float = 0.2) -> np.ndarray:
    """Joint angles (7,) [rad] inside the limits."""
    limits = robot_limits('panda').with_margin(margin)
    return rng.uniform(limits.q_min, limits.q_max)


def rotation_between(first: np.ndarray, second: np.ndarray) -> float:
    """Angle [rad] between two quaternions, whatever their sign."""
    return 2.0 * float(np.arccos(np.clip(abs(first @ second), 0.0, 1.0)))


@pytest.fixture(scope='module')
def kinematics() -> PandaKinematics:
    return PandaKinematics()


def test_home_points_straight_down(kinematics):
    position, quat = kinematics.forward(Q_HOME)
    np.testing.assert_allclose(position, [0.3069, 0.0, 0.4869], atol=1e-4)
    assert rotation_between(quat, DOWN) < 1e-6


def test_forward_agrees_with_mujoco(kinematics):
    import roboadapt_ros.sim  # noqa: F401, I001  chooses the OpenGL back end first
    import mujoco
    from roboadapt_ros.sim.world import build_world, TCP_SITE

    model = build_world(width=64, height=48)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = sample_q(rng)
        data.qpos[:7] = q
        mujoco.mj_kinematics(model, data)
        position, quat = kinematics.forward(q)
        # MuJoCo stores the 45 degree turns of its file with 7 digits.
        np.testing.assert_allclose(data.site(TCP_SITE).xpos, position, atol=1e-6)
        wanted = np.zeros(4)
        mujoco.mju_mat2Quat(wanted, data.site(TCP_SITE).xmat)
        assert rotation_between(np.roll(wanted, -1), quat) < 1e-5


def test_jacobian_is_the_derivative_of_forward(kinematics):
    q, step = sample_q(np.random.default_rng(1)), 1e-6
    columns = []
    for joint in range(7):
        moved = q.copy()
        moved[joint] += step
        columns.append((kinematics.forward(moved)[0] - kinematics.forward(q)[0]) / step)
    np.testing.assert_allclose(kinematics.jacobian(q)[:3], np.stack(columns, axis=1), atol=1e-5)


def test_inverse_reaches_poses_over_the_table(kinematics):
    rng = np.random.default_rng(2)
    for _ in range(50):
        goal = rng.uniform([0.35, -0.25, 0.02], [0.68, 0.25, 0.4])
        result = kinematics.inverse(goal, DOWN, Q_HOME)
        position, quat = kinematics.forward(result.q)
        assert result.converged, f'no angles for {goal}'
        np.testing.assert_allclose(position, goal, atol=2e-5)
        assert rotation_between(quat, DOWN) < 2e-4


def test_a_stream_of_targets_moves_the_joints_without_jumps(kinematics):
    start, end = np.array([0.4, -0.2, 0.3]), np.array([0.6, 0.2, 0.05])
    q = kinematics.inverse(start, DOWN, Q_HOME).q
    for share in np.linspace(0.0, 1.0, 200):
        result = kinematics.inverse(start + share * (end - start), DOWN, q)
        largest = np.abs(result.q - q).max()
        assert largest < 0.02, f'a joint would jump by {largest:.3f} rad within 10 ms'
        q = result.q


def test_an_unreachable_pose_is_reported_and_stays_inside_the_limits(kinematics):
    result = kinematics.inverse(np.array([1.5, 0.0, 0.3]), DOWN, Q_HOME)
    limits = robot_limits('panda')
    assert not result.converged
    assert result.position_error_m > 0.3
    assert (result.q > limits.q_min).all()
    assert (result.q < limits.q_max).all()


@pytest.mark.parametrize(
    ('position', 'quat', 'word'),
    [
        ([np.nan, 0.0, 0.3], DOWN, 'finite'),
        ([0.5, 0.0], DOWN, 'shape'),
        ([0.5, 0.0, 0.3], np.zeros(4), 'unit quaternion'),
    ],
)
def test_a_malformed_pose_is_refused_by_name(kinematics, position, quat, word):
    with pytest.raises(SpecError, match=word):
        kinematics.inverse(np.array(position), quat, Q_HOME)
