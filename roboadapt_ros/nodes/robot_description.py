"""The robot's description, as the governor hears it: it narrows the limits and widens none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from roboadapt_ros.control.description import arm_limits
from roboadapt_ros.control.governor import Governor
from roboadapt_ros.errors import ConfigError, SpecError
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import LATCHED
from std_msgs.msg import String

TOPIC = 'robot_description'
CAUSE = 'robot_description'
"""What a description that could not be used is counted as."""


class DescribedLimits:
    """Listens for a URDF and narrows a governor's limits to its.

    Example: where it says ``<limit lower="-2.3" upper="2.3" velocity="2.0"/>`` of joint 1, the
    arm turns joint 1 no further and no faster from then on, whatever its table allows.
    """

    def __init__(self, node: GraphNode, names: Sequence[str], governor: Governor):
        """Store whose limits are narrowed.

        Args:
            node: Listens and logs.
            names: The arm's joints, in the governor's order.
            governor: Its limits are narrowed, also while it moves.
        """
        self._node, self._names, self._governor = node, tuple(names), governor

    def activate(self) -> None:
        """Listen; what was published before is heard too."""
        self._node.subscribe(String, TOPIC, self._on_description, LATCHED)

    def _on_description(self, message: String) -> None:
        before = self._governor.limits
        try:
            self._governor.narrow(*arm_limits(message.data, self._names))
        except (SpecError, ConfigError) as error:
            self._node.refused[CAUSE] += 1
            self._node.get_logger().error(f'{error}. The limits are kept as they were.')
            return
        after = self._governor.limits
        changed = (
            (before.q_min != after.q_min)
            | (before.q_max != after.q_max)
            | (before.dq_max != after.dq_max)
        )
        said = [
            f'{self._names[i]} {after.q_min[i]:g}..{after.q_max[i]:g} rad, '
            f'{after.dq_max[i]:g} rad/s'
            for i in np.flatnonzero(changed)
        ]
        self._node.get_logger().info(
            f'Limits narrowed by {TOPIC}: {"; ".join(said)}'
            if said
            else f"{TOPIC} allows all that the table of '{after.robot}' does"
        )
