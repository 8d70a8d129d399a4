"""A place in a running ROS graph: one node in a thread of its own, services with deadlines.

The caller's thread waits on events and never spins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import os
import threading
import time
from typing import Any, TypeVar

from lifecycle_msgs.srv import ChangeState, GetState
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from roboadapt_ros.bringup.endpoints import node_names
from roboadapt_ros.bringup.environment import process_environment, without_images
from roboadapt_ros.bringup.transitions import PendingTransition, Transition
from roboadapt_ros.errors import BringupError
from roboadapt_ros.ros.polled import poll

ConnectionT = TypeVar('ConnectionT', bound='Connection')
SERVICE_TIMEOUT_S = 5.0
SETTLE_S = 0.3
"""From finding a service to its first use [s]: rmw_fastrtps drops the answer to a client that the
server's process has not met within 0.1 s, as on a busy machine."""
REPEAT_S = 1.0
"""From one request to the same again, where it may be repeated [s]."""


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the environment for as long as the middleware reads them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:  # one by one: other threads must not find the environment empty meanwhile
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Connection:
    """Calls services, drives lifecycles and listens, from outside the graph."""

    _carries_images: bool | None = None
    """What this process's first connection asked for: Fast DDS reads its profile once."""

    def __init__(self, *, namespace: str = '', domain_id: int | None = None, images: bool = False):
        """Prepare; `open` (or entering the context) joins the graph.

        Args:
            namespace: Namespace of the rig.
            domain_id: ROS domain; None: that of the environment.
            images: Whether camera frames will be listened to. They need shared memory, and a
                process that has it can hold up the nodes it listens to when it joins or dies
                (config/fastdds_udp.xml). What the first connection of a process asks for holds
                for all.
        """
        self._namespace, self._domain_id = namespace.strip('/'), domain_id
        self._images = images
        self._context: Context | None = None
        self._clients: dict[tuple[type, str], Any] = {}
        self._lock = threading.Lock()

    def __enter__(self: ConnectionT) -> ConnectionT:
        """Join the graph."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the graph."""
        self.close()

    def open(self) -> None:
        """Join the graph; nothing happens when it has been joined."""
        if self._context is not None:
            return
        if Connection._carries_images is None:
            Connection._carries_images = self._images
        environment = process_environment(self._domain_id)
        if not Connection._carries_images:
            environment |= without_images(environment)
        self._context = Context()
        with _environment(environment):
            # The caller's own handlers stay: Ctrl-C must reach whoever stops the processes.
            rclpy.init(
                args=[],
                context=self._context,
                domain_id=self._domain_id,
                signal_handler_options=SignalHandlerOptions.NO,
            )
            self._node = Node(
                f'client_{os.getpid()}',
                context=self._context,
                namespace=self._namespace or None,
                start_parameter_services=False,
            )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='client', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph; may be called twice."""
        context, self._context = self._context, None
        if context is None:
            return
        self._executor.shutdown(timeout_sec=1.0)
        context.try_shutdown()
        self._thread.join(timeout=2.0)
        self._node.destroy_node()
        self._clients.clear()

    def now_ns(self) -> int:
        """Return the time on the graph's clock [ns]."""
        return int(self._node.get_clock().now().nanoseconds)

    def watch(
        self, message_type: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> Callable[[], None]:
        """Call back with every message, in the client's thread.

        Args:
            message_type: ROS message class.
            topic: Name relative to the rig's namespace.
            callback: Takes the message; must be quick and must not call this client.
            qos: Profile, see `ros.qos`.

        Returns:
            Call it to stop.
        """
        made = self._node.create_subscription(message_type, topic, callback, qos)

        def stop() -> None:
            self._node.destroy_subscription(made)

        return stop

    def watch_often(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        *,
        period_s: float,
    ) -> Callable[[], None]:
        """Watch what comes too often to be woken by each message; else as `watch`.

        Args:
            message_type: ROS message class.
            topic: Name relative to the rig's namespace.
            callback: As that of `watch`.
            qos: Profile; its depth is how many messages of a period are heard, the newest.
            period_s: Time between two looks [s].
        """
        made, look = poll(self._node, message_type, topic, lambda m, _: callback(m), qos)
        timer = self._node.create_timer(period_s, look)

        def stop() -> None:
            self._node.destroy_timer(timer)
            self._node.destroy_subscription(made)

        return stop

    def nodes(self) -> frozenset[str]:
        """Return the full names of all nodes that are known by now."""
        return node_names(self._node)

    # ---- lifecycles ----

    def is_ready(self, node: str) -> bool:
        """Return whether a node's lifecycle can be driven."""
        return bool(self._client(ChangeState, f'{node}/change_state').service_is_ready())

    def state(self, node: str) -> str:
        """Return a node's lifecycle state: 'unconfigured', 'inactive', 'active', ..."""
        return str(
            self.call(
                GetState, f'{node}/get_state', GetState.Request(), repeat=True
            ).current_state.label
        )

    def begin_transition(self, node: str, transition: Transition) -> Callable[[], bool | None]:
        """Ask for a transition; returns a question that is None until it is answered."""
        return PendingTransition(
            self._client(ChangeState, f'{node}/change_state'),
            self._client(GetState, f'{node}/get_state'),
            transition,
        )

    def transition(self, node: str, transition: Transition, timeout_s: float) -> bool:
        """Drive a transition and return whether it succeeded; BringupError without an answer."""
        pending = self.begin_transition(node, transition)
        deadline_s = time.monotonic() + timeout_s
        while (answer := pending()) is None:
            if time.monotonic() > deadline_s:
                raise BringupError(
                    f"'{node}' did not {transition.name.lower()} in {timeout_s:g} s"
                )
            time.sleep(0.01)
        return answer

    def forget(self, node: str) -> None:
        """Drop the lifecycle clients of a node that is being restarted."""
        with self._lock:
            for key in [key for key in self._clients if key[1].startswith(f'{node}/')]:
                self._node.destroy_client(self._clients.pop(key))

    def call(
        self,
        service: type,
        name: str,
        request: Any,
        timeout_s: float = SERVICE_TIMEOUT_S,
        *,
        repeat: bool = False,
    ) -> Any:
        """Call a service and wait for the answer.

        Args:
            service: Its type.
            name: Relative to the rig's namespace, or a full name.
            request: What to ask.
            timeout_s: Longest wait for the service, and for its answer [s].
            repeat: Whether the request goes out at once, and again while no answer comes: a stop,
                or a question. What must not happen twice, or late, waits until client and server
                know each other.

        Raises:
            BringupError: The service is not there, or did not answer in time.
        """
        is_new = (service, name) not in self._clients
        client = self._client(service, name)
        if not client.wait_for_service(timeout_sec=timeout_s):
            resolved = self._node.resolve_service_name(name)
            raise BringupError(
                f"Service '{resolved}' is not there (waited {timeout_s:g} s); is the graph up, in "
                f"ROS domain {self.domain()}? Start it with 'roboadapt up'."
            )
        if is_new and not repeat:
            time.sleep(SETTLE_S)
        answered, futures = threading.Event(), list[Any]()
        deadline_s = time.monotonic() + timeout_s
        try:
            while (left_s := deadline_s - time.monotonic()) > 0:
                if repeat or not futures:
                    futures.append(client.call_async(request))
                    futures[-1].add_done_callback(lambda _: answered.set())
                if answered.wait(min(left_s, REPEAT_S)):
                    return next(future.result() for future in futures if future.done())
        finally:
            for future in futures:
                if not future.done():
                    client.remove_pending_request(future)
        raise BringupError(f"Service '{name}' did not answer within {timeout_s:g} s")

    def domain(self) -> int | str:
        """Return the ROS domain."""
        if self._domain_id is not None:
            return self._domain_id
        return os.environ.get('ROS_DOMAIN_ID', '0')

    def _client(self, service: type, name: str) -> Any:
        with self._lock:
            if (service, name) not in self._clients:
                self._clients[service, name] = self._node.create_client(service, name)
            return self._clients[service, name]

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
        except Exception:
            if self._context is not None:  # else `close` has taken ROS away under it
                raise
