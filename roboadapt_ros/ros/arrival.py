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
        came_ns, called_ns = int(info['received_timestamp']), now_ns()
        is_of_this_clock = abs(called_ns - came_ns) < _NEAR_NS
        callback(message, min(came_ns, called_ns) if is_of_this_clock else called_ns)

    return told if hasattr(Subscription, 'CallbackType') else called
