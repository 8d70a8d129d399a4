"""A robot description narrows limits where it is one, and changes nothing where it is not."""

import math

import numpy as np
import pytest
from roboadapt_ros.control.description import arm_limits, joint_limits, MAX_CHARACTERS
from roboadapt_ros.errors import SpecError

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
