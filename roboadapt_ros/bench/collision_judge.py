"""A judge of self-collision that shares neither geometry nor kinematics with the governor.

The governor measures capsules on Pinocchio's joints; here are the meshes of the arm on MuJoCo's.
"""

from __future__ import annotations

import numpy as np
from roboadapt_ros.bench.motion_judge import hand_points, Stretch
from roboadapt_ros.control.self_collision import PAIRS
from roboadapt_ros.sim.collision import MeshDistance

_WRIST = tuple(pair for pair in PAIRS if pair[0] == 'link5')
CLEAR_M = {
    _WRIST: 0.045,
    tuple(pair for pair in PAIRS if pair not in _WRIST): 0.08,
}
"""How much nearer capsules may be than the meshes of these links [m]: links whose meshes are
further apart than this, and what is asked for, began with their capsules clear of each other."""


class MeshJudge:
    """Looks at two points of a stretch: measuring one takes about a millisecond.

    Example: an arm that was sent into its own base is looked at where it ended, and where its
    hand was nearest to the base's axis.
    """

    def __init__(self) -> None:
        """Read the meshes, which takes about a second."""
        self._distance = MeshDistance()
        self.looked = 0
        """Points that were measured."""

    def touches(self, stretch: Stretch, least_m: float) -> bool:
        """Return whether links are nearer than a distance [m] and were not when it began."""
        points = stretch.q
        if not points:
            return False
        tcp, _ = hand_points(np.array(points))
        folded = int(np.argmin(np.linalg.norm(tcp[:, :2], axis=1)))
        looks = {len(points) - 1, folded}
        self.looked += len(looks)
        return any(
            min(self._distance.between(points[k], pairs) for k in looks) < least_m
            and self._distance.between(stretch.rests[0], pairs) >= least_m + clear_m
            for pairs, clear_m in CLEAR_M.items()
        )
