"""What a gripper number means, in metres between the fingers.

This module imports `contract` and `errors` only.
"""

from __future__ import annotations

from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.errors import ConfigError

RANGE_SLACK = 0.25
"""Part of a convention's range that a number may lie beyond it, to be clamped: further out it is
no noise but another unit."""
_RANGES = {
    # value when closed, value when open
    GripperConvention.ZERO_OPEN: (1.0, 0.0),
    GripperConvention.ONE_OPEN: (0.0, 1.0),
    GripperConvention.MINUS_OPEN: (1.0, -1.0),
    GripperConvention.BYTE_OPEN: (0.0, 255.0),
}


def gripper_range(convention: GripperConvention, width_max_m: float) -> tuple[float, float]:
    """Return the numbers for closed and for open.

    Args:
        convention: What the number means.
        width_max_m: Distance between the fingers when open [m].

    Raises:
        ConfigError: A width that is not positive.
    """
    if not width_max_m > 0:
        raise ConfigError('gripper width_max_m', width_max_m, 'must be positive')
    if convention is GripperConvention.WIDTH_M:
        return 0.0, width_max_m
    if convention is GripperConvention.FINGER_M:
        return 0.0, 0.5 * width_max_m
    return _RANGES[convention]


def to_width(value: float, convention: GripperConvention, width_max_m: float) -> float:
    """Return the distance between the fingers [m], within 0..width_max_m.

    Example: ``to_width(1.0, GripperConvention.MINUS_OPEN, 0.08)`` is 0.0: closed.

    Args:
        value: The number in the convention; beyond its range it is brought to the nearer end.
        convention: What the number means.
        width_max_m: Distance between the fingers when open [m].
    """
    closed, opened = gripper_range(convention, width_max_m)
    part = (value - closed) / (opened - closed)
    return width_max_m * min(max(part, 0.0), 1.0)


def width_seen(width_m: float, rig_max_m: float, task_max_m: float) -> float:
    """Return a rig's width as that of the hand a task was trained with [m].

    Open is open: a hand that opens to 0.0785 m where the rig file says 0.078 is at 0.08 m.

    Args:
        width_m: Distance between the rig's fingers [m].
        rig_max_m: The same when they are open [m].
        task_max_m: The same of the task's hand [m].
    """
    return min(width_m / rig_max_m, 1.0) * task_max_m


def from_width(width_m: float, convention: GripperConvention, width_max_m: float) -> float:
    """Return the number in a convention for a distance between the fingers [m].

    Args:
        width_m: Distance; beyond 0..width_max_m it is brought to the nearer end.
        convention: What the number means.
        width_max_m: Distance between the fingers when open [m].
    """
    closed, opened = gripper_range(convention, width_max_m)
    return closed + (opened - closed) * min(max(width_m / width_max_m, 0.0), 1.0)
