"""The robot description (URDF) of a simulated arm: its joints, its limits, the frames of its hand.

Links are called as franka_description calls them, after the joints: left_fr3_joint1 turns
left_fr3_link1. Without masses and meshes: nothing here simulates from it.
This module imports numpy and parts of the control only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from roboadapt_ros.control.kinematics import DH_ROWS, FLANGE_Z_M, HAND_YAW_RAD, TCP_Z_M
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.sim.arm_check import TORQUE_MAX_NM

FINGER_Z_M = 0.0584
"""From the hand to its fingers (franka_description, hand.xacro)."""
FINGER_SPEED_M_S, FINGER_FORCE_N = 0.2, 100.0


def link_stem(joint_names: Sequence[str]) -> str:
    """Return what the links are called, but for 'link0' and the like: 'fr3_' of fr3_joint1."""
    first = joint_names[0]
    return first.removesuffix('joint1') if first.endswith('joint1') else f'{first}_'


def hand_frame(joint_names: Sequence[str]) -> str:
    """Return the frame of the hand's tool centre point: fr3_hand_tcp."""
    return f'{link_stem(joint_names)}hand_tcp'


def robot_description(
    limits: RobotLimits,
    joint_names: Sequence[str],
    finger_names: Sequence[str] = (),
    base_frame: str = 'base',
) -> str:
    """Return the URDF of an arm with its hand.

    Args:
        limits: Of the joints, in the arm's order.
        joint_names: What the joints are called, in that order.
        finger_names: What the fingers' joints are called; () = none.
        base_frame: Frame the arm stands in: the root, where it is not link 0 itself.
    """
    stem = link_stem(joint_names)
    links = [f'{stem}link{number}' for number in range(len(joint_names) + 1)]
    robot = Element('robot', name=stem.strip('_') or 'arm')
    if base_frame != links[0]:
        _joint(robot, f'{stem}base_joint', 'fixed', (base_frame, links[0]))
    for number, name in enumerate(joint_names):
        a, d, alpha = DH_ROWS[number]
        place = (a, -d * np.sin(alpha), d * np.cos(alpha))
        ends = (links[number], links[number + 1])
        joint = _joint(robot, name, 'revolute', ends, place, (alpha, 0.0, 0.0))
        SubElement(joint, 'axis', xyz='0 0 1')
        low, high = limits.q_min[number], limits.q_max[number]
        _limit(joint, (low, high, limits.dq_max[number], TORQUE_MAX_NM[number]))
    flange, hand, tcp = f'{stem}link8', f'{stem}hand', hand_frame(joint_names)
    _joint(robot, f'{stem}joint8', 'fixed', (links[-1], flange), (0.0, 0.0, FLANGE_Z_M))
    turn = (0.0, 0.0, HAND_YAW_RAD)
    _joint(robot, f'{stem}hand_joint', 'fixed', (flange, hand), rpy=turn)
    _joint(robot, f'{stem}hand_tcp_joint', 'fixed', (hand, tcp), (0.0, 0.0, TCP_Z_M))
    for name, side, y in zip(finger_names, ('left', 'right'), (1, -1), strict=False):
        ends = (hand, f'{stem}{side}finger')
        joint = _joint(robot, name, 'prismatic', ends, (0.0, 0.0, FINGER_Z_M))
        SubElement(joint, 'axis', xyz=f'0 {y} 0')
        width_m = limits.gripper_width_max_m / 2.0
        _limit(joint, (0.0, width_m, FINGER_SPEED_M_S, FINGER_FORCE_N))
    _name_links(robot)
    ElementTree.indent(robot)
    return ElementTree.tostring(robot, encoding='unicode', xml_declaration=True)


def _joint(
    robot: Element,
    name: str,
    kind: str,
    ends: tuple[str, str],
    xyz: Iterable[float] = (0.0, 0.0, 0.0),
    rpy: Iterable[float] = (0.0, 0.0, 0.0),
) -> Element:
    """Add a joint from one link to another; return it."""
    joint = SubElement(robot, 'joint', name=name, type=kind)
    SubElement(joint, 'parent', link=ends[0])
    SubElement(joint, 'child', link=ends[1])
    SubElement(joint, 'origin', xyz=_text(xyz), rpy=_text(rpy))
    return joint


def _limit(joint: Element, values: tuple[float, float, float, float]) -> None:
    """Say lowest and highest position, largest speed and effort of a joint."""
    names = ('lower', 'upper', 'velocity', 'effort')
    given = {name: repr(float(value)) for name, value in zip(names, values, strict=True)}
    SubElement(joint, 'limit', given)


def _name_links(robot: Element) -> None:
    """Add every link that a joint names, once."""
    ends = [end for joint in robot for end in (joint.find('parent'), joint.find('child'))]
    names = dict.fromkeys(end.get('link', '') for end in ends if end is not None)
    for name in names:
        SubElement(robot, 'link', name=name)


def _text(values: Iterable[float]) -> str:
    return ' '.join(repr(float(value)) for value in values)
