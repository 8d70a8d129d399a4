"""Speeds that follow points: what is sent where a controller takes no positions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.ros.outputs.output import Point

FloatArray = npt.NDArray[np.float64]


def following_speed(point: Point, feedback_1_s: float, dq_max: FloatArray) -> FloatArray:
    """Return joint speeds (7,) [rad/s] that follow the point and catch up what was lost.

    All joints are slowed alike where one would be too fast, so that the direction stays.
    Without fresh joint states the point's own speeds are returned.

    Args:
        point: Where the arm should be, how fast, and where it is.
        feedback_1_s: Speed for each radian behind [1/s].
        dq_max: (7,) largest speeds [rad/s].
    """
    dq = point.dq
    if point.measured_q is not None:
        dq = dq + feedback_1_s * (point.q - point.measured_q)
    return within(dq, dq_max)


def within(values: FloatArray, most: FloatArray) -> FloatArray:
    """Return values (n,), all scaled alike so that none is beyond `most` (n,) in size.

    Example: ``within([1.0, 4.0], [2.0, 2.0])`` is ``[0.5, 2.0]``.
    """
    ratio = float((np.abs(values) / most).max())
    return values / max(ratio, 1.0)
