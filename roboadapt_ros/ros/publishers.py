"""Who else sends on a topic that only one node may send on.

A controller that hears two senders follows each in turn (a jump between two points), or, as
crisp_controllers do, neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rclpy.node import Node
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.node import GraphNode


class OwnTopics:
    """Remembers whether somebody else was found on the topics that are a node's alone.

    Example: `look` finds a second publisher, which is stopped then: `are_shared` stays true until
    `require` passes, or a recovery makes its own check (`forget`).
    """

    def __init__(self, node: GraphNode[Any]):
        """Look after `node.sole_topics()`; nobody is found yet."""
        self._node = node
        self.are_shared = False

    def look(self) -> str | None:
        """Return who else publishes there now, None where nobody does."""
        found = other_publishers(self._node, self._node.sole_topics())
        self.are_shared = self.are_shared or found is not None
        return found

    def require(self) -> None:
        """Pass where the node is alone.

        Raises:
            RefusedError: 'publisher'.
        """
        found = self.look()
        if found is not None:
            raise RefusedError('publisher', f'not reset: {found}')
        self.forget()

    def forget(self) -> None:
        """Find out anew; the next look says so where it is not alone."""
        self.are_shared = False


def other_publishers(node: Node, topics: Iterable[str]) -> str | None:
    """Return who else publishes on topics that are a node's own, None where nobody does.

    A second node of the same name counts too. A process that was killed is seen until its
    middleware's lease ends, 20 s with Fast DDS's default.

    Args:
        node: The node that publishes there.
        topics: Full names.
    """
    own = (node.get_name(), node.get_namespace())
    for topic in topics:
        # Counting is an order of magnitude cheaper than naming.
        if node.count_publishers(topic) < 2:
            continue
        found = [
            (info.node_name, info.node_namespace)
            for info in node.get_publishers_info_by_topic(topic)
        ]
        others = sorted({_full(name) for name in found if name != own})
        if found.count(own) > 1:
            others.append(f'a second {_full(own)}')
        if others:
            return f'{topic} has another publisher: {", ".join(others)}; stop it'
    return None


def _full(name: tuple[str, str]) -> str:
    return f'{name[1].rstrip("/")}/{name[0]}'
