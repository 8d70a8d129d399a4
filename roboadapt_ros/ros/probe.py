"""A subscription that keeps when messages came and their stamps, and only the newest whole.

Messages stay serialised: at a kilohertz, or with camera frames, making Python objects of all of
them would slow down what is being measured.
"""

from __future__ import annotations

import struct
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from roboadapt_ros.ros.convert import NS_PER_S


def read_stamp(data: bytes) -> int:
    """Return the stamp [ns] of a serialised message whose first field is a header.

    Four bytes of encapsulation (the second one odd: little endian), then int32 seconds and
    uint32 nanoseconds (OMG DDS-XTypes 1.3, section 7.6.3).
    """
    order = '<' if data[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{order}iI', data, 4)
    return int(seconds) * NS_PER_S + int(nanoseconds)


class Probe:
    """Listens to one topic."""

    def __init__(self, node: Node, message_type: Any, topic: str, qos: QoSProfile):
        """Start listening."""
        self._node, self._type = node, message_type
        first = next(iter(message_type.get_fields_and_field_types().values()), '')
        self.has_stamp = first == 'std_msgs/Header'
        self._samples: list[tuple[int, int]] = []
        self._newest: bytes | None = None
        self._subscription = node.create_subscription(
            message_type, topic, self._on_message, qos, raw=True
        )

    def _on_message(self, data: bytes) -> None:
        received_ns = self._node.get_clock().now().nanoseconds
        self._samples.append((received_ns, read_stamp(data) if self.has_stamp else 0))
        self._newest = data

    def begin(self) -> None:
        """Forget what came before now."""
        self._samples = []

    def samples(self) -> list[tuple[int, int]]:
        """Return (received, stamp) of each message since `begin` [ns]."""
        return list(self._samples)

    def newest(self) -> Any | None:
        """Return the newest message, or None."""
        data = self._newest
        return None if data is None else deserialize_message(data, self._type)

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)
