"""Joint limits and links out of a robot description (URDF), as the doctor compares them."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from roboadapt_ros.control import description
from roboadapt_ros.errors import SpecError


def link_names(urdf: str) -> frozenset[str]:
    """Return the links of a robot description, none where it is no description."""
    try:
        description.joint_limits(urdf)  # refuses what must not be parsed
    except SpecError:
        return frozenset()
    root = ElementTree.fromstring(urdf)
    return frozenset(link.get('name', '') for link in root.findall('link'))


def joint_limits(urdf: str) -> dict[str, tuple[float, float, float]]:
    """Return joint -> lower, upper [rad] and speed [rad/s], of joints that have all three.

    Empty where it is no description.
    """
    try:
        found = description.joint_limits(urdf)
    except SpecError:
        return {}
    return {
        name: (limit.low, limit.high, limit.speed)
        for name, limit in found.items()
        if not any(map(math.isnan, limit))
    }
