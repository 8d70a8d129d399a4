"""The hand that a rig file asks for."""

from __future__ import annotations

from typing import Any

from roboadapt_ros.ros.hands.actions import CommandHand, FrankaHand
from roboadapt_ros.ros.hands.port import HandPort, TopicHand
from roboadapt_ros.ros.hands.settings import (
    FRANKA_ACTIONS,
    GRIPPER_COMMAND,
    GripperConfig,
    TOPIC,
)
from roboadapt_ros.ros.node import GraphNode

HANDS = {TOPIC: TopicHand, FRANKA_ACTIONS: FrankaHand, GRIPPER_COMMAND: CommandHand}
"""Driver -> its class."""


def make_hand(node: GraphNode[Any], config: GripperConfig, width_max_m: float) -> HandPort:
    """Return the hand; for `configure`.

    Args:
        node: Publishes or calls.
        config: Section `gripper` of the rig file.
        width_max_m: Distance between the fingers when open [m].

    Raises:
        ConfigError: A type that is not installed.
    """
    return HANDS[config.driver](node, config, width_max_m)
