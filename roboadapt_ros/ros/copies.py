"""A message sent several times with later stamps, at the price of writing it once.

rclpy takes some hundred microseconds to turn a large message into bytes, and two to send bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import struct
from typing import Any

from rclpy.serialization import serialize_message

_STAMP_AT = 4  # after CDR's own header: sec (int32), nanosec (uint32)
_SECOND_NS = 1_000_000_000


def stamped_copies(message: Any, stamps_ns: Sequence[int]) -> Iterator[bytes]:
    """Yield a message once for each stamp, as bytes that a publisher takes.

    Args:
        message: Of a type whose first field is a std_msgs/Header.
        stamps_ns: Their stamps, in the order they are sent.

    Example::

        for data in stamped_copies(state, [now_ns - 1_000_000, now_ns]):
            publisher.publish(data)
    """
    data = bytearray(serialize_message(message))
    layout = '<iI' if data[1] & 1 else '>iI'
    for stamp_ns in stamps_ns:
        struct.pack_into(layout, data, _STAMP_AT, *divmod(stamp_ns, _SECOND_NS))
        yield bytes(data)
