"""Topics that are heard in a thread of their own, beside the node they belong to.

For each message an executor of rclpy looks at every entity of its nodes, and one with several
threads hands a callback out again and again until a thread has begun it. Two cameras at 60 Hz,
beside services that wait for a frame, kept the encoder's interpreter busy all the time so, and
one frame in ten came too late. Alone on a node of their own they do not.
"""

from __future__ import annotations

from collections.abc import Callable
import threading
import traceback
from typing import Any

from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

STOP_S = 2.0


class Listener:
    """Subscriptions of a node, in a thread of their own.

    Example: ``Listener(node, 'frames', failed)`` is '/encoder_frames' beside '/encoder'; names
    are remapped as the node's are.
    """

    def __init__(self, node: Node, suffix: str, failed: Callable[[str], None]):
        """Prepare; `start` begins to listen.

        Args:
            node: Whose names, context and clock are used.
            suffix: What is put behind its name.
            failed: Told the traceback of a callback that raised; nothing is heard from then on.
        """
        self._owner, self._failed = node, failed
        self._node = Node(
            f'{node.get_name()}_{suffix}',
            context=node.context,
            namespace=node.get_namespace(),
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._listen, name=suffix, daemon=True)

    def subscribe(
        self, message_type: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> None:
        """Listen to a topic by the owner's name of it; before `start`."""
        resolved = self._owner.resolve_topic_name(topic)
        self._node.create_subscription(message_type, resolved, callback, qos)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; a callback that runs comes to its end."""
        self._executor.shutdown(timeout_sec=STOP_S)
        self._thread.join(STOP_S)
        self._node.destroy_node()

    def _listen(self) -> None:
        try:
            self._executor.spin()
        except (ExternalShutdownException, ShutdownException):
            return
        except Exception:  # noqa: BLE001 - the edge of this thread; reported with its traceback
            self._failed(traceback.format_exc())
