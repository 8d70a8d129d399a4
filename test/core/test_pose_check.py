"""The arm is where its kinematics say, or it is not moved."""

import numpy as np
import pinocchio as pin
import pytest
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.pose_check import pose_distance, PoseCheck
from roboadapt_ros.errors import RefusedError

T_NS = 5_000_000_000
STILL = np.zeros(7)
KINEMATICS = PandaKinematics()


@pytest.fixture
def check():
    return PoseCheck(KINEMATICS.forward, 0.005, 0.05, '/current_pose')


def _away(by_m, by_rad=0.0):
    position, quat_xyzw = KINEMATICS.forward(Q_HOME)
    turn = pin.Quaternion(pin.utils.rotate('z', by_rad)) * pin.Quaternion(quat_xyzw)
    return position + np.array([0.0, by_m, 0.0]), turn.coeffs()


def test_nothing_is_allowed_before_pose_and_joints_were_heard(check):
    with pytest.raises(RefusedError, match=r'frame: /current_pose was not heard yet'):
        check.require()
    check.observe_pose(*_away(0.0), T_NS)
    with pytest.raises(RefusedError, match='waits for joint states'):
        check.require()


def test_a_pose_where_the_joints_have_it_opens_for_good(check):
    check.observe_joints(Q_HOME, STILL, T_NS)
    check.observe_pose(*_away(0.003, 0.02), T_NS + 10_000_000)
    check.require()
    check.observe_pose(*_away(0.3), T_NS + 20_000_000)
    check.require()


@pytest.mark.parametrize(('by_m', 'by_rad'), [(0.006, 0.0), (0.0, 0.06), (np.nan, 0.0)])
def test_a_pose_elsewhere_is_refused_with_distance_and_remedy(check, by_m, by_rad):
    check.observe_joints(Q_HOME, STILL, T_NS)
    check.observe_pose(*_away(by_m, by_rad), T_NS)
    with pytest.raises(RefusedError, match=r'mm and .* rad from the forward kinematics.*Desk'):
        check.require()


def test_a_refusal_stays_until_it_is_asked_anew(check):
    check.observe_joints(Q_HOME, STILL, T_NS)
    check.observe_pose(*_away(0.1), T_NS)
    check.observe_pose(*_away(0.0), T_NS)
    with pytest.raises(RefusedError):
        check.require()
    check.reset()
    check.observe_joints(Q_HOME, STILL, T_NS)
    check.observe_pose(*_away(0.0), T_NS)
    check.require()


def test_pose_and_joints_of_different_times_decide_nothing(check):
    check.observe_joints(Q_HOME, STILL, T_NS)
    check.observe_pose(*_away(0.0), T_NS + 100_000_000)
    with pytest.raises(RefusedError, match=r'0\.100 s apart'):
        check.require()


def test_a_moving_arm_decides_nothing(check):
    check.observe_joints(Q_HOME, STILL + 0.1, T_NS)
    check.observe_pose(*_away(0.1), T_NS)
    with pytest.raises(RefusedError, match='at rest'):
        check.require()


def test_a_quaternion_and_its_negative_are_one_rotation():
    position, quat_xyzw = _away(0.0, 0.3)
    found = pose_distance((position, quat_xyzw), (position, -2.0 * quat_xyzw))
    assert found.rotation_rad == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(pose_distance((position, quat_xyzw), (position, 0.0 * quat_xyzw))[1])


# Joint origins of the FR3 as MuJoCo Menagerie publishes them (franka_fr3/fr3.xml): xyz [m] and
# the rotation about x [rad] of each link in its parent.
FR3_LINKS = (
    ((0.0, 0.0, 0.333), 0.0),
    ((0.0, 0.0, 0.0), -np.pi / 2),
    ((0.0, -0.316, 0.0), np.pi / 2),
    ((0.0825, 0.0, 0.0), np.pi / 2),
    ((-0.0825, 0.384, 0.0), -np.pi / 2),
    ((0.0, 0.0, 0.0), np.pi / 2),
    ((0.088, 0.0, 0.0), np.pi / 2),
)
FR3_FLANGE_M, HAND_TCP_M = 0.107, 0.1034


@pytest.mark.parametrize('seed', range(20))
def test_the_model_is_that_of_the_fr3_too(seed):
    limits = robot_limits('fr3')
    q = np.random.default_rng(seed).uniform(limits.q_min, limits.q_max)
    place = pin.SE3.Identity()
    for (origin, turn), angle in zip(FR3_LINKS, q, strict=True):
        place = place * pin.SE3(pin.utils.rotate('x', turn), np.array(origin))
        place = place * pin.SE3(pin.utils.rotate('z', angle), np.zeros(3))
    hand = pin.SE3(pin.utils.rotate('z', -np.pi / 4), np.array([0, 0, FR3_FLANGE_M + HAND_TCP_M]))
    place = place * hand
    found = pose_distance(
        KINEMATICS.forward(q), (place.translation, pin.Quaternion(place.rotation).coeffs())
    )
    assert found.position_m < 1e-9
    assert found.rotation_rad < 1e-6
