"""A robot description narrows limits where it is one, and changes nothing where it is not."""

import math

import numpy as np
import pinocchio
import pytest
from roboadapt_ros.control.description import arm_limits, joint_limits, MAX_CHARACTERS
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.doctor.description import link_names
from roboadapt_ros.errors import SpecError
from roboadapt_ros.sim.description import hand_frame, robot_description

NAMES = tuple(f'fr3_joint{i}' for i in range(1, 8))


def joint(name, lower='-2.0', upper='2.0', velocity='1.5', kind='revolute'):
    limit = f'<limit effort="87" lower="{lower}" upper="{upper}" velocity="{velocity}"/>'
    return f'<joint name="{name}" type="{kind}">{limit}</joint>'


def urdf(*joints):
    return f'<?xml version="1.0"?><robot name="fr3">{"".join(joints)}</robot>'


def arm(**changed):
    """Return an FR3's description with some joints replaced by text."""
    return urdf(*(changed.get(name, joint(name)) for name in NAMES))


def test_limits_come_in_the_order_that_is_asked_for():
    low, high, speed = arm_limits(
        arm(fr3_joint2=joint('fr3_joint2', '-1.0', '0.5', '0.7')), NAMES[::-1]
    )
    assert (low[5], high[5], speed[5]) == (-1.0, 0.5, 0.7)
    np.testing.assert_array_equal(low[:5], np.full(5, -2.0))


def test_a_joint_without_ends_has_none():
    found = joint_limits(urdf(joint('a', kind='continuous'), joint('b', kind='prismatic')))
    assert found == {'a': (-math.inf, math.inf, 1.5)}


def test_joints_of_ros2_control_with_the_same_names_are_no_joints_of_the_robot():
    control = '<ros2_control name="x"><joint name="fr3_joint1" type="revolute"/></ros2_control>'
    text = arm().replace('</robot>', f'{control}</robot>')
    low, *_ = arm_limits(text, NAMES)
    assert low[0] == -2.0


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', 'no XML'),
        ('<robot', 'no XML'),
        ('<robot>\x00</robot>', 'no XML'),
        ('<sdf/>', '<sdf>'),
        ('<!DOCTYPE x [<!ENTITY a "b">]><robot/>', 'document type'),
        ('<robot>' + ' ' * MAX_CHARACTERS + '</robot>', 'characters'),
    ],
)
def test_what_is_no_description_is_named(text, said):
    with pytest.raises(SpecError, match=said):
        joint_limits(text)


@pytest.mark.parametrize(
    'bad',
    [
        joint('fr3_joint3', lower='nan'),
        joint('fr3_joint3', lower='two'),
        joint('fr3_joint3', lower='2.0', upper='-2.0'),
        joint('fr3_joint3', lower='0.0', upper='0.0'),
        joint('fr3_joint3', velocity='0'),
        joint('fr3_joint3', velocity='-1'),
        joint('fr3_joint3', velocity='inf'),
        '<joint name="fr3_joint3" type="revolute"/>',
    ],
)
def test_limits_that_make_no_sense_are_named_with_their_joint(bad):
    with pytest.raises(SpecError, match='fr3_joint3 from'):
        arm_limits(arm(fr3_joint3=bad), NAMES)


def test_another_arms_description_is_named():
    with pytest.raises(SpecError, match=r'no turning joint panda_joint1, .*it has fr3_joint1'):
        arm_limits(arm(), tuple(f'panda_joint{i}' for i in range(1, 8)))


LEFT = tuple(f'left_fr3_joint{number}' for number in range(1, 8))
FINGERS = ('left_fr3_finger_joint1', 'left_fr3_finger_joint2')


@pytest.mark.parametrize('robot', ['panda', 'fr3'])
def test_the_simulated_arms_description_has_the_published_limits(robot):
    limits = robot_limits(robot)
    urdf = robot_description(limits, LEFT, FINGERS, 'base')
    low, high, speed = arm_limits(urdf, LEFT)
    np.testing.assert_array_equal(low, limits.q_min)
    np.testing.assert_array_equal(high, limits.q_max)
    np.testing.assert_array_equal(speed, limits.dq_max)


def test_the_simulated_arms_description_puts_the_hand_where_the_kinematics_do():
    urdf = robot_description(robot_limits('fr3'), LEFT, FINGERS, 'base')
    model = pinocchio.buildModelFromXML(urdf)
    data = model.createData()
    q = Q_HOME + np.linspace(-0.3, 0.3, 7)
    pinocchio.framesForwardKinematics(model, data, np.append(q, [0.04, 0.04]))
    hand = data.oMf[model.getFrameId(hand_frame(LEFT))]
    position, quat_xyzw = PandaKinematics().forward(q)
    np.testing.assert_allclose(hand.translation, position, atol=1e-12)
    turn = pinocchio.Quaternion(hand.rotation)
    assert abs(turn.coeffs() @ quat_xyzw) == pytest.approx(1.0)


def test_the_simulated_arms_frames_are_those_of_franka_description():
    links = link_names(robot_description(robot_limits('fr3'), LEFT, FINGERS, 'left_fr3_link0'))
    wanted = {'left_fr3_link0', 'left_fr3_link8', 'left_fr3_hand', 'left_fr3_hand_tcp'}
    assert wanted <= links
    assert 'base' not in links
    other = robot_description(robot_limits('fr3'), [f'axis_{n}' for n in range(7)])
    assert {'base', 'axis_0_link0', 'axis_0_hand_tcp'} <= link_names(other)
