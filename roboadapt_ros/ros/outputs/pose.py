"""Poses of the hand: geometry_msgs/PoseStamped for a Cartesian controller, or for moveit_servo."""

from __future__ import annotations

from typing import Any

from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.outputs.output import Output, Point
from roboadapt_ros.ros.rig_messages import pose


class PoseOutput(Output):
    """The hand's tool centre point by forward kinematics, in the arm's base frame.

    The controller solves for the joints itself, so of the governor's limits those of the hand
    (box, floor, speed) hold for certain, those of the joints as far as it takes the same elbow.
    """

    def message(self, point: Point, now_ns: int) -> Any:
        """Return the pose."""
        return pose(to_time(now_ns), self.model.base_frame, *self.model.forward(point.q))
