"""Services and actions of others, asked without ever waiting: begun, then polled.

What is asked of a robot's drivers comes from the governor's only thread, which has a point to
send every 10 ms. So a call is begun at once or as soon as its server is there, its outcome is
looked at in a later tick, and whoever began it has the deadline.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import importlib
from typing import Any

from rclpy.exceptions import NameValidationException, NoTypeSupportImportedException
from rclpy.node import Node
from roboadapt_ros.control.recovery import Outcome, Pending
from roboadapt_ros.errors import ConfigError

CLIENT_ERRORS = (
    NameValidationException,
    NoTypeSupportImportedException,
    RuntimeError,
    ValueError,
)
"""What making and using a client raises. rclpy's RCLError and InvalidHandle are RuntimeErrors; an
action client takes a wrong name for a ValueError, a service's for a NameValidationException."""
_SUCCEEDED = 4
"""action_msgs/GoalStatus.STATUS_SUCCEEDED."""
_PACKAGES = {
    'controller_manager_msgs': 'sudo apt install ros-$ROS_DISTRO-controller-manager-msgs',
    'franka_msgs': 'sudo apt install ros-$ROS_DISTRO-franka-msgs, or source the workspace that '
    'has franka_ros2',
    'control_msgs': 'sudo apt install ros-$ROS_DISTRO-control-msgs',
}


def interface_class(name: str) -> Any:
    """Return the class of 'package/srv/Name', 'package/action/Name' or 'package/msg/Name'.

    Raises:
        ConfigError: The package is not installed here, or has no such type; it names the apt
            package.
    """
    package, kind, leaf = name.split('/')
    try:
        return getattr(importlib.import_module(f'{package}.{kind}'), leaf)
    except (ImportError, AttributeError) as error:
        apt = f'sudo apt install ros-$ROS_DISTRO-{package.replace("_", "-")}'
        raise ConfigError(
            'rig file asks for type', name, f'{_PACKAGES.get(package, apt)} ({error})'
        ) from error


class ServiceCall:
    """A request that goes out as soon as its service is there.

    Example: ``call = ServiceCall(client, Trigger.Request(), trigger_outcome)``, then ``call.poll``
    in every tick until it is not None.
    """

    def __init__(self, client: Any, request: Any, read: Callable[[Any], Outcome]):
        """Send the request, or wait for the service.

        Args:
            client: rclpy client.
            request: What to ask.
            read: From the response to the outcome.
        """
        self._client, self._request, self._read = client, request, read
        self._future: Any = None
        self.poll(0)

    def poll(self, now_ns: int) -> Outcome | None:
        """Return the outcome once the service has answered, or can not be called."""
        try:
            if self._future is None and self._client.service_is_ready():
                self._future = self._client.call_async(self._request)
            if self._future is None or not self._future.done():
                return None
            answer = self._future.result()
        except CLIENT_ERRORS as error:
            return Outcome(False, f'service {self._client.srv_name}: {_said(error)}')
        return self._read(answer)

    def cancel(self) -> str:
        """Forget the request; returns what it was waiting for."""
        if self._future is None:
            return f'service {self._client.srv_name} is not there'
        if not self._future.done():
            self._client.remove_pending_request(self._future)
        return f'service {self._client.srv_name} does not answer'


class ActionCall:
    """A goal that goes out as soon as its server is there, and its result."""

    def __init__(self, client: Any, goal: Any, name: str):
        """Send the goal, or wait for the server.

        Args:
            client: rclpy action client.
            goal: What to ask.
            name: Of the action, for messages.
        """
        self._client, self._goal, self._name = client, goal, name
        self._sent: Any = None
        self._result: Any = None
        self.poll(0)

    def poll(self, now_ns: int) -> Outcome | None:
        """Return the outcome once the goal has ended, or can not be sent."""
        try:
            return self._look()
        except CLIENT_ERRORS as error:
            return Outcome(False, f'action {self._name}: {_said(error)}')

    def _look(self) -> Outcome | None:
        if self._sent is None and self._client.server_is_ready():
            self._sent = self._client.send_goal_async(self._goal)
        if self._sent is None or not self._sent.done():
            return None
        handle = self._sent.result()
        if not handle.accepted:
            return Outcome(False, f'action {self._name} refused the goal')
        if self._result is None:
            self._result = handle.get_result_async()
        if not self._result.done():
            return None
        status = self._result.result().status
        if status == _SUCCEEDED:
            return Outcome(True)
        return Outcome(False, f'action {self._name} ended with status {status}')

    def cancel(self) -> str:
        """Ask the server to give the goal up; returns what it was waiting for."""
        if self._sent is None:
            return f'action {self._name} is not there'
        try:
            if self._sent.done():
                _cancel_accepted(self._sent)
            else:
                self._sent.add_done_callback(_cancel_accepted)
        except CLIENT_ERRORS as error:
            return f'action {self._name} does not end, nor can it be cancelled: {_said(error)}'
        return f'action {self._name} does not end'


def _cancel_accepted(sent: Any) -> None:
    """Have a goal given up whose acceptance is known, where it was accepted."""
    handle = sent.result()
    if handle is not None and handle.accepted:
        handle.cancel_goal_async()


class Failed:
    """Something that could not be begun."""

    def __init__(self, reason: str):
        """Keep why."""
        self._reason = reason

    def poll(self, now_ns: int) -> Outcome:
        """Return that it failed."""
        return Outcome(False, self._reason)

    def cancel(self) -> str:
        """Return why."""
        return self._reason


class Condition:
    """Something that is waited for without anything being asked of others."""

    def __init__(self, question: Callable[[int], Outcome | None], waits_for: Callable[[], str]):
        """Wait.

        Args:
            question: Takes the time now [ns]; the outcome, None until there is one.
            waits_for: Says what is missing, once it is given up.
        """
        self._question, self._waits_for = question, waits_for

    def poll(self, now_ns: int) -> Outcome | None:
        """Return what the question says now."""
        return self._question(now_ns)

    def cancel(self) -> str:
        """Return what it was waiting for."""
        return self._waits_for()


class Sequence:
    """Actions one after the other; the first that is not good ends it."""

    def __init__(self, begin: list[Callable[[], Pending]]):
        """Begin the first."""
        self._left = list(begin)
        self._now: Pending | None = self._left.pop(0)() if self._left else None
        self._said: list[str] = []

    def poll(self, now_ns: int) -> Outcome | None:
        """Return the outcome of the last, or of the first that is not good."""
        if self._now is None:
            return Outcome(True)
        outcome = self._now.poll(now_ns)
        if outcome is None or not outcome.is_good:
            return outcome
        self._said += [outcome.detail] if outcome.detail else []
        if not self._left:
            return Outcome(True, '; '.join(self._said))
        self._now = self._left.pop(0)()
        return None

    def cancel(self) -> str:
        """Give up the present one."""
        return '' if self._now is None else self._now.cancel()


def trigger_outcome(response: Any) -> Outcome:
    """Return the outcome of a std_srvs/Trigger."""
    return Outcome(bool(response.success), str(response.message))


class Clients:
    """Clients of services and actions, made at their first use, or before it by `meet_…`.

    Each one costs every turn of rclpy's executor some time. A server that has not yet met its
    client may lose the answer.
    """

    def __init__(self, node: Node):
        """Make none yet."""
        self._node = node
        self._services: dict[str, Any] = {}
        self._actions: dict[str, Any] = {}

    def service(self, service_type: Any, name: str) -> Any:
        """Return the client of a service."""
        if name not in self._services:
            self._services[name] = self._node.create_client(service_type, name)
        return self._services[name]

    def action(self, action_type: Any, name: str) -> Any:
        """Return the client of an action."""
        if name not in self._actions:
            from rclpy.action import ActionClient

            self._actions[name] = ActionClient(self._node, action_type, name)
        return self._actions[name]

    def call(
        self, service_type: Any, name: str, request: Any, read: Callable[[Any], Outcome]
    ) -> Pending:
        """Begin a request; where that raises, it has failed. Arguments as `ServiceCall`."""
        try:
            return ServiceCall(self.service(service_type, name), request, read)
        except CLIENT_ERRORS as error:
            return Failed(f'service {name}: {_said(error)}')

    def send(self, action_type: Any, name: str, goal: Any) -> Pending:
        """Begin a goal; where that raises, it has failed. Arguments as `ActionCall`."""
        try:
            return ActionCall(self.action(action_type, name), goal, name)
        except CLIENT_ERRORS as error:
            return Failed(f'action {name}: {_said(error)}')

    def meet_service(self, service_type: Any, name: str) -> None:
        """Make a client before its first use; where that raises, its use will say so."""
        with contextlib.suppress(*CLIENT_ERRORS):
            self.service(service_type, name)

    def meet_action(self, action_type: Any, name: str) -> None:
        """Make a client of an action before its first use, as `meet_service`."""
        with contextlib.suppress(*CLIENT_ERRORS):
            self.action(action_type, name)

    def destroy(self) -> None:
        """Destroy them all."""
        for client in self._services.values():
            self._node.destroy_client(client)
        for client in self._actions.values():
            client.destroy()
        self._services.clear()
        self._actions.clear()


def _said(error: Exception) -> str:
    """Return what an error says, without the drawing that rclpy puts below a wrong name."""
    return str(error).partition('\n')[0].rstrip(' :') or type(error).__name__
