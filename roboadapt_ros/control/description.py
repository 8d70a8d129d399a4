"""Joint limits out of a robot description (URDF): what this very arm is allowed.

A description comes from the network, so it is read as such: no document type (an entity can
grow without bound), no more than a few megabytes. This module imports numpy and `errors` only.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import NamedTuple
import xml.etree.ElementTree as ElementTree

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import SpecError

FloatArray = npt.NDArray[np.float64]

MAX_CHARACTERS = 4_000_000
"""A description longer than this is left unread."""


class JointRange(NamedTuple):
    """Limits of one joint; NaN where the description says nothing, or nothing that is a number."""

    low: float
    """[rad]; minus infinity for a joint without ends."""
    high: float
    speed: float
    """[rad/s]."""


def joint_limits(urdf: str) -> dict[str, JointRange]:
    """Return the limits of all turning joints by name.

    Raises:
        SpecError: It is no description: too long, with a document type, not XML, another root.
    """
    if len(urdf) > MAX_CHARACTERS:
        raise SpecError(
            'robot_description', f'{len(urdf)} characters', f'at most {MAX_CHARACTERS}'
        )
    if '<!DOCTYPE' in urdf or '<!ENTITY' in urdf:
        raise SpecError('robot_description', 'a document type', 'a URDF without one')
    try:
        root = ElementTree.fromstring(urdf)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise SpecError('robot_description', f'no XML ({error})', 'a URDF') from error
    if root.tag != 'robot':
        raise SpecError('robot_description', f'<{root.tag[:40]}>', 'a URDF, <robot>')
    # Only the robot's own joints: those of <ros2_control> and <transmission> share their names.
    turning = [j for j in root.findall('joint') if j.get('type') in ('revolute', 'continuous')]
    return {joint.get('name', ''): _range(joint) for joint in turning}


def arm_limits(urdf: str, names: Sequence[str]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return lowest and highest positions [rad] and largest speeds [rad/s] of an arm's joints.

    Args:
        urdf: The description.
        names: The joints, in the order that is wanted.

    Raises:
        SpecError: It is no description, lacks a joint, or has one without sensible limits.
    """
    found = joint_limits(urdf)
    missing = [name for name in names if name not in found]
    if missing:
        raise SpecError(
            'robot_description',
            f'no turning joint {", ".join(missing)}; it has {", ".join(found) or "none"}',
            'the joints of the rig file',
        )
    for name in names:
        low, high, speed = found[name]
        if not (low < high and 0.0 < speed < math.inf):  # false for NaN
            raise SpecError(
                'robot_description',
                f'{name} from {low:g} to {high:g} rad at {speed:g} rad/s',
                'lower below upper, velocity above zero',
            )
    low, high, speed = np.array([found[name] for name in names]).T
    return low, high, speed


def _range(joint: ElementTree.Element) -> JointRange:
    limit = joint.find('limit')
    low, high, speed = (_number(limit, name) for name in ('lower', 'upper', 'velocity'))
    if joint.get('type') == 'continuous':
        low, high = -math.inf, math.inf
    return JointRange(low, high, speed)


def _number(limit: ElementTree.Element | None, name: str) -> float:
    try:
        return math.nan if limit is None else float(limit.get(name, 'nan'))
    except ValueError:
        return math.nan
