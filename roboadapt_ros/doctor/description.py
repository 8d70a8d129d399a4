"""Joint limits out of a robot description (URDF)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

MAX_CHARACTERS = 4_000_000
"""A description longer than this is left unread."""


def joint_limits(urdf: str) -> dict[str, tuple[float, float, float]]:
    """Return joint -> lower, upper [rad] and speed [rad/s]; empty where it is no XML."""
    if len(urdf) > MAX_CHARACTERS or '<!DOCTYPE' in urdf:  # an entity can grow without bound
        return {}
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError:
        return {}
    found = {}
    for joint in root.iter('joint'):
        limit = joint.find('limit')
        if limit is None or joint.get('type') not in ('revolute', 'continuous'):
            continue
        try:
            values = tuple(float(limit.get(name, 'nan')) for name in ('lower', 'upper'))
            speed = float(limit.get('velocity', '0'))
        except ValueError:
            continue
        found[joint.get('name', '')] = (values[0], values[1], speed)
    return found
