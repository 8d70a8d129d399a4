"""What the governor sees of a hand, whatever drives it; and the hand that listens to a topic."""

from __future__ import annotations

import time
from typing import Any

from roboadapt_ros.control.recovery import Outcome, Pending
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.calls import Clients, trigger_outcome
from roboadapt_ros.ros.gripper import GripperWriter
from roboadapt_ros.ros.hands.settings import GripperConfig
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import COMMAND
from std_srvs.srv import Trigger

STOP_TIMEOUT_S = 3.0
"""Longest wait for the answer to a stop [s]."""


class HandPort:
    """A hand of the rig; all methods return at once, and belong to the governor's thread."""

    @property
    def problem(self) -> str:
        """Why the hand does not do what is wanted; '' where that is not known."""
        return ''

    @property
    def remark(self) -> str:
        """What a person should know of the hand; '' = nothing."""
        return ''

    @property
    def counts(self) -> dict[str, int]:
        """What was ordered and what went wrong, by cause."""
        return {}

    @property
    def has_given_up(self) -> bool:
        """Whether the hand did not do what is wanted, and is no longer asked."""
        return False

    def begin(self) -> None:
        """Connect; for `activate`."""

    def observe(self, width_m: float) -> None:
        """Take the measured distance between the fingers [m]."""

    def tell(self, goal_m: float, width_m: float, now_ns: int) -> None:
        """Say what is wanted, in every tick with a point.

        Args:
            goal_m: Width the hand should come to [m].
            width_m: Width it should have now, on the way there at limited speed [m].
            now_ns: Time now [ns], ROS clock.
        """
        raise NotImplementedError

    def quiet(self) -> None:
        """Want nothing in this tick; what was begun goes on."""

    def halt(self) -> None:
        """Stop the hand, where it can be told to."""

    def home(self) -> None:
        """Let the hand find its range.

        Raises:
            RefusedError: 'gripper', where it can't.
        """
        raise RefusedError('gripper', 'only driver franka_actions can home the hand')

    def end(self) -> None:
        """Disconnect; for `deactivate`."""


class TopicHand(HandPort):
    """A hand that takes its width from a topic."""

    def __init__(self, node: GraphNode[Any], config: GripperConfig, width_max_m: float):
        """Create the publisher; for `configure`."""
        self._writer = GripperWriter(config.command_type, config.meaning, width_max_m)
        self._goal_at_once, self._stop_service = config.goal_at_once, config.stop_service
        self._out = node.publisher(self._writer.message_type, 'gripper/command', COMMAND)
        self._clients = Clients(node)
        self._stop: Pending | None = None
        self._problem, self._asked_s = '', 0.0

    @property
    def problem(self) -> str:
        """Why the hand was not stopped."""
        return self._problem

    def begin(self) -> None:
        """Look for the service that stops it."""
        if self._stop_service:
            self._clients.meet_service(Trigger, self._stop_service)

    def tell(self, goal_m: float, width_m: float, now_ns: int) -> None:
        """Publish the width, now or at the end, where the hand does not know it."""
        self._stop, self._problem = None, ''
        message = self._writer.message(goal_m if self._goal_at_once else width_m, now_ns)
        if message is not None:
            self._out.publish(message)

    def quiet(self) -> None:
        """See to the answer of a stop."""
        if self._stop is None:
            return
        outcome = self._stop.poll(0)
        if outcome is None and time.monotonic() - self._asked_s > STOP_TIMEOUT_S:
            outcome = Outcome(False, self._stop.cancel())
        if outcome is not None:
            self._stop = None
            self._problem = '' if outcome.is_good else f'not stopped: {outcome.detail}'

    def halt(self) -> None:
        """Call the service that stops the hand, where the rig file names one."""
        if self._stop_service:
            self._asked_s = time.monotonic()
            self._stop = self._clients.call(
                Trigger, self._stop_service, Trigger.Request(), trigger_outcome
            )

    def end(self) -> None:
        """Disconnect."""
        self._stop = None
        self._clients.destroy()
