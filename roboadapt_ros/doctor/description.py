"""Joint limits out of a robot description (URDF), as the doctor compares them."""

from __future__ import annotations

import math

from roboadapt_ros.control import description
from roboadapt_ros.errors import SpecError


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
