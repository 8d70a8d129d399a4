"""When a message came: by the middleware, where rclpy tells (not on Humble), else by the callback.

A busy process calls back late; what it makes of a message must not depend on that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.subscription import Subscription

_NEAR_NS = 1_000_000_000
"""Farther from the node's clock, the middleware's is another one (`use_sim_time`)."""


def with_arrival(
    callback: Callable[[Any, int], None], now_ns: Callable[[], int]
) -> Callable[..., None]:
    """Return a callback of a subscription that tells another when a message came.

    Args:
        callback: Told the message and its time [ns], node's clock.
        now_ns: The node's clock [ns].
    """

    def called(message: Any) -> None:
        callback(message, now_ns())

    def told(message: Any, info: Any) -> None:
        callback(message, arrived_ns(info, now_ns()))

    return told if hasattr(Subscription, 'CallbackType') else called


def arrived_ns(info: Any, now_ns: int) -> int:
    """Return when a message came [ns], node's clock.

    Args:
        info: What the middleware says of the message.
        now_ns: The node's clock [ns].
    """
    came_ns = int(info['received_timestamp'])
    is_of_this_clock = abs(now_ns - came_ns) < _NEAR_NS
    return min(came_ns, now_ns) if is_of_this_clock else now_ns
