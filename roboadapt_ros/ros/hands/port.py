"""What the governor sees of a hand, whatever drives it; and the hand that listens to a topic."""

from __future__ import annotations

from typing import Any

from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.gripper import GripperWriter
from roboadapt_ros.ros.hands.settings import GripperConfig
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import COMMAND


class HandPort:
    """A hand of the rig; all methods return at once, and belong to the governor's thread."""

    @property
    def problem(self) -> str:
        """Why the hand does not do what is wanted; '' where that is not known."""
        return ''

    @property
    def counts(self) -> dict[str, int]:
        """What was ordered and what went wrong, by cause."""
        return {}

    def begin(self) -> None:
        """Connect; for `activate`."""

    def tell(self, goal_m: float, width_m: float, now_ns: int) -> None:
        """Say what is wanted, in every tick with a point.

        Args:
            goal_m: Width the hand should come to [m].
            width_m: Width it should have now, on the way there at limited speed [m].
            now_ns: Time now [ns], ROS clock.
        """
        raise NotImplementedError

    def quiet(self) -> None:
        """Want nothing in this tick; what was begun goes on."""

    def halt(self) -> None:
        """Stop the hand, where it can be told to."""

    def home(self) -> None:
        """Let the hand find its range.

        Raises:
            RefusedError: 'gripper', where it can't.
        """
        raise RefusedError('gripper', 'only driver franka_actions can home the hand')

    def end(self) -> None:
        """Disconnect; for `deactivate`."""


class TopicHand(HandPort):
    """A hand that takes its width from a topic."""

    def __init__(self, node: GraphNode[Any], config: GripperConfig, width_max_m: float):
        """Create the publisher; for `configure`."""
        self._writer = GripperWriter(config.command_type, config.meaning, width_max_m)
        self._goal_at_once = config.goal_at_once
        self._out = node.publisher(self._writer.message_type, 'gripper/command', COMMAND)

    def tell(self, goal_m: float, width_m: float, now_ns: int) -> None:
        """Publish the width, now or at the end, where the hand does not know it."""
        message = self._writer.message(goal_m if self._goal_at_once else width_m, now_ns)
        if message is not None:
            self._out.publish(message)
