"""What a node says about itself on /diagnostics, once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import enum

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from roboadapt_ros.ros.qos import STATUS

PERIOD_S = 1.0


class Level(enum.Enum):
    """How well something is."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Health:
    """A node's own view of how it does."""

    level: Level
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


def to_status(name: str, health: Health) -> DiagnosticStatus:
    """Return one entry of a diagnostics message."""
    return DiagnosticStatus(
        level=health.level.value,
        name=name,
        message=health.message,
        hardware_id='roboadapt',
        values=[KeyValue(key=key, value=str(value)) for key, value in health.values.items()],
    )


class Reporter:
    """Publishes a node's health once a second for as long as the node lives.

    The topic is absolute by ROS convention; tools look for it there.
    """

    def __init__(self, node: Node, health: Callable[[], Health]):
        """Start reporting what `health` returns."""
        self._node, self._health = node, health
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', STATUS)
        self._timer = node.create_timer(PERIOD_S, self.report)

    def report(self) -> None:
        """Publish now."""
        message = DiagnosticArray(status=[to_status(self._node.get_name(), self._health())])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
