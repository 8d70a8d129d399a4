"""A tap in a stream of a running graph: messages pass, stop, come late, come twice, or as garbage.

The producer is remapped to `<topic>_true`; the tap listens there and speaks on `<topic>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
import enum
import heapq
import itertools
import threading
import time
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.processes import ProcessDescription

SUFFIX = '_true'


class Fault(enum.Enum):
    """What a tap does to a stream."""

    NONE = 'none'
    FROZEN = 'frozen'
    DELAYED = 'delayed'
    DUPLICATED = 'duplicated'
    GARBAGE = 'garbage'


@dataclass(frozen=True)
class Stream:
    """A topic with the process that fills it."""

    topic: str
    """As resolved by the rig file."""
    kind: type
    producer: str
    qos: QoSProfile
    garbage: Callable[[Any], Any]
    """Makes a good message a bad one."""


class Tap:
    """Relays one stream, without decoding it except to spoil it."""

    delay_s = 0.2

    def __init__(self, connection: Connection, stream: Stream):
        """Begin to relay."""
        self.stream, self.fault = stream, Fault.NONE
        node = connection._node
        self._out = node.create_publisher(stream.kind, stream.topic, stream.qos)
        node.create_subscription(
            stream.kind, stream.topic + SUFFIX, self._take, stream.qos, raw=True
        )
        self._due: list[tuple[float, int, bytes]] = []
        self._count = itertools.count()
        self._wake = threading.Condition()
        threading.Thread(target=self._send_late, daemon=True).start()

    def _take(self, data: bytes) -> None:
        fault = self.fault
        if fault is Fault.GARBAGE:
            self._out.publish(self.stream.garbage(deserialize_message(data, self.stream.kind)))
        elif fault is Fault.DELAYED:
            with self._wake:
                heapq.heappush(
                    self._due, (time.monotonic() + self.delay_s, next(self._count), data)
                )
                self._wake.notify()
        elif fault is not Fault.FROZEN:
            for _ in range(2 if fault is Fault.DUPLICATED else 1):
                self._out.publish(data)

    def _send_late(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._due)
                left_s = self._due[0][0] - time.monotonic()
                data = heapq.heappop(self._due)[2] if left_s <= 0 else None
            if data is not None:
                self._out.publish(data)
            else:
                time.sleep(min(left_s, 0.005))


def tapped(streams: Mapping[str, Stream]) -> Callable[[ProcessDescription], ProcessDescription]:
    """Return a change of process descriptions that puts taps behind the producers."""

    def change(description: ProcessDescription) -> ProcessDescription:
        remappings = dict(description.remappings)
        for stream in streams.values():
            if stream.producer != description.name:
                continue
            names = [old for old, new in remappings.items() if new == stream.topic]
            for name in names or [stream.topic]:
                remappings[name] = stream.topic + SUFFIX
        return replace(description, remappings=tuple(remappings.items()))

    return change
