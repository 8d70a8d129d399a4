"""The base of every node: a lifecycle with owned entities, parameters, health and refusals.

A node overrides four hooks. Configuring loads and warms up, activating connects; what the
hooks create through this class is destroyed in the opposite transition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import gc
import time
import traceback
from typing import Any, Generic, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import QoSProfile
from roboadapt_ros.errors import RoboAdaptError
from roboadapt_ros.ros.diagnostics import Health, Level, Reporter
from roboadapt_ros.ros.params import declare, read, require_known

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

ConfigT = TypeVar('ConfigT')
REFUSAL_LOG_PERIOD_S = 2.0


def clock_ns(node: Node) -> int:
    """Return the time on a node's ROS clock [ns].

    `Clock.now` makes objects that cost a tick on a busy core ten times as much as the time does.
    """
    clock = node.get_clock()
    return int(clock.now().nanoseconds) if clock.ros_time_is_active else time.time_ns()


class GraphNode(LifecycleNode, Generic[ConfigT]):
    """Lifecycle node with parameters from a dataclass.

    A hook that raises a `RoboAdaptError` fails its transition: the error is logged, shown on
    /diagnostics, and the node stays where it was with nothing half made.
    """

    def __init__(self, name: str, config_type: type[ConfigT]):
        """Declare the parameters; nothing else happens before `configure`.

        Raises:
            ConfigError: A parameter has the wrong type or is out of bounds.
            UnknownNameError: A parameter was set that the node does not have.
        """
        super().__init__(name)
        declare(self, config_type)
        require_known(self, config_type)
        self._config_type = config_type
        self._made_publishers: list[Any] = []
        self._while_active: list[tuple[Callable[[Any], Any], Any]] = []
        self._refusal_logged_s: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        """What was refused, by cause."""
        self.is_active = False
        self.problem = 'not configured'
        """Why the node does not work; '' while it does."""
        self._reporter = Reporter(self, self.health)

    # ---- hooks ----

    def configure(self, config: ConfigT) -> None:
        """Load, warm up, create publishers."""

    def activate(self) -> None:
        """Subscribe, serve, start timers."""

    def deactivate(self) -> None:
        """Stop what leads to motion, before publishers fall silent."""

    def release(self) -> None:
        """Free what `configure` made; must cope with a `configure` that failed half way."""

    def health(self) -> Health:
        """Return how the node does, for /diagnostics."""
        if self.problem:
            return Health(Level.ERROR, self.problem, dict(self.refused))
        return Health(Level.OK, 'active' if self.is_active else 'inactive', dict(self.refused))

    # ---- tools for the hooks ----

    def now_ns(self) -> int:
        """Return the time on the ROS clock [ns]."""
        return clock_ns(self)

    def publisher(self, message_type: type, topic: str, qos: QoSProfile) -> Any:
        """Create a publisher that speaks only while the node is active; for `configure`."""
        # Each event handler takes its time in every turn of rclpy's executor, a millisecond for
        # ten publishers; a mismatch of QoS is reported by the subscriber's side as well.
        made = self.create_lifecycle_publisher(
            message_type,
            topic,
            qos,
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )
        self._made_publishers.append(made)
        return made

    def sole_topics(self) -> list[str]:
        """Return the topics on which this node alone may publish: all but those of its name."""
        own = f'/{self.get_name()}/'
        names = [made.topic_name for made in self._made_publishers]
        return [name for name in names if own not in name]

    def destroy_with_active(self, destroy: Callable[[Any], Any], entity: Any) -> None:
        """Have an entity that was created directly destroyed when the node is deactivated."""
        self._while_active.append((destroy, entity))

    def subscribe(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        group: CallbackGroup | None = None,
    ) -> None:
        """Listen for as long as the node is active; for `activate`."""
        made = self.create_subscription(message_type, topic, callback, qos, callback_group=group)
        self._while_active.append((self.destroy_subscription, made))

    def serve(
        self,
        service_type: type,
        name: str,
        callback: Callable[[Any, Any], Any],
        group: CallbackGroup | None = None,
    ) -> None:
        """Answer a service for as long as the node is active; for `activate`.

        A call that is still going on when the node is deactivated has no answer.
        """
        made = self.create_service(service_type, name, callback, callback_group=group)
        send = made.send_response

        def answer(response: Any, header: Any) -> None:
            try:
                send(response, header)
            except RuntimeError as error:  # rclpy's InvalidHandle, which would end the process
                if made in self.services:
                    raise
                self.get_logger().warning(f'{name} has ended before its answer: {error}')

        made.send_response = answer
        self._while_active.append((self.destroy_service, made))

    def every(
        self, period_s: float, callback: Callable[[], None], group: CallbackGroup | None = None
    ) -> None:
        """Call back at a rate for as long as the node is active; for `activate`."""
        made = self.create_timer(period_s, callback, callback_group=group)
        self._while_active.append((self.destroy_timer, made))

    def refuse(self, cause: str, detail: str) -> None:
        """Count a refusal and log it, at most once in two seconds for each cause."""
        self.refused[cause] += 1
        now_s = time.monotonic()
        if (
            now_s - self._refusal_logged_s.get(cause, -REFUSAL_LOG_PERIOD_S)
            >= REFUSAL_LOG_PERIOD_S
        ):
            self._refusal_logged_s[cause] = now_s
            count = self.refused[cause]
            self.get_logger().warning(f'Refused ({cause}, {count} so far): {detail}')

    # ---- transitions ----

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and call `configure`."""
        start_s = time.monotonic()
        if self._fails(lambda: self.configure(read(self, self._config_type)), 'configure'):
            self._release_all()
            return TransitionCallbackReturn.FAILURE
        # The first line that a process logs takes rclpy 25 ms, and a full collection over what was
        # imported and built up to 0.1 s, some second into the work: here nobody waits for a tick.
        self.get_logger().info(f'configured in {time.monotonic() - start_s:.1f} s')
        gc.collect()
        gc.freeze()
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the publishers speak and call `activate`."""
        result = super().on_activate(state)
        if self._fails(self.activate, 'activate'):
            self._destroy_active()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self.is_active = True
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop: commands first, publishers last."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free what was configured."""
        result = super().on_cleanup(state)
        self._release_all()
        self.problem = 'not configured'
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an unknown exception in a transition."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop and free everything, in whatever state; also called when the process ends."""
        if self.is_active:
            self._stop()
        self._destroy_active()
        self._release_all()

    # ---- inside ----

    def _fails(self, hook: Callable[[], None], transition: str) -> bool:
        """Run a hook and return whether it failed, with the reason logged and kept."""
        try:
            hook()
        except RoboAdaptError as error:
            self.problem = str(error)
            self.get_logger().error(f'Cannot {transition}: {error}')
            return True
        except Exception:
            # rclpy turns this into its error transition without a word.
            self.get_logger().fatal(f'Cannot {transition}:\n{traceback.format_exc()}')
            raise
        self.problem = ''
        return False

    def _stop(self) -> None:
        self.is_active = False
        self.deactivate()
        self._destroy_active()

    def _destroy_active(self) -> None:
        while self._while_active:
            destroy, entity = self._while_active.pop()
            destroy(entity)

    def _release_all(self) -> None:
        gc.unfreeze()
        self.release()
        while self._made_publishers:
            self.destroy_lifecycle_publisher(self._made_publishers.pop())
