"""A subscription that wakes nobody: its messages are taken when somebody looks.

For each message that wakes it an executor of rclpy looks at every entity of its nodes, which takes
longer than what is done with a joint state. The nodes need states when they work, not when they
come: states and poses of arm, hand and robot wake none of them, nor what is recorded the recorder.
(A driver publishes a thousand states a second; woken by each one and reading it, rclpy spends half
a core on franka_msgs/FrankaRobotState.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from roboadapt_ros.ros.node import clock_ns, GraphNode

_NEAR_NS = 1_000_000_000
"""Farther from the node's clock, the middleware's is another one (`use_sim_time`)."""


class _NeverReady(CallbackGroup):
    """Keeps what is in it out of the executor's wait set."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


def subscribe_polled(
    node: GraphNode[Any],
    kind: type,
    topic: str,
    callback: Callable[[Any, int], None],
    qos: QoSProfile,
    *,
    raw: bool = False,
) -> Callable[[], None]:
    """Subscribe for as long as the node is active, without being woken; for `activate`.

    Args:
        node: Whose subscription it is.
        kind: Message class.
        topic: Relative name.
        callback: Told every message that is waiting when somebody looks, and when it came [ns].
        qos: Its depth is how many can wait.
        raw: Whether messages are left as the bytes that came.

    Returns:
        Call it to look; nothing happens once the node is inactive.
    """
    made, look = poll(node, kind, topic, callback, qos, raw=raw)
    node.destroy_with_active(node.destroy_subscription, made)
    return lambda: look() if node.is_active else None


def poll(
    node: Node,
    kind: type,
    topic: str,
    callback: Callable[[Any, int], None],
    qos: QoSProfile,
    *,
    raw: bool = False,
) -> tuple[Subscription, Callable[[], None]]:
    """Subscribe as `subscribe_polled`, with any node; return the subscription and the look."""
    made = node.create_subscription(
        kind, topic, lambda _: None, qos, callback_group=_NeverReady(), raw=raw
    )

    def look() -> None:
        with made.handle:
            # At most as many as can wait: a fast sender must not keep anybody here.
            for _ in range(qos.depth):
                taken = made.handle.take_message(made.msg_type, made.raw)
                if taken is None:
                    return
                message, info = taken
                callback(message, arrived_ns(info, clock_ns(node)))

    return made, look


def arrived_ns(info: Any, now_ns: int) -> int:
    """Return when a message came [ns], node's clock.

    Args:
        info: What the middleware says of the message.
        now_ns: The node's clock [ns].
    """
    came_ns = int(info['received_timestamp'])
    is_of_this_clock = abs(now_ns - came_ns) < _NEAR_NS
    return min(came_ns, now_ns) if is_of_this_clock else now_ns
