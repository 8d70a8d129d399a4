"""Hands behind actions: franka_gripper's own, and control_msgs/GripperCommand.

What is sent when is decided by `sim2real.hand.Hand`; here it is only carried out. A result says
whether the hand thinks that it did well; where the fingers are, the joint states say:
franka_gripper's GripperCommand takes the position of one finger and answers with the width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
import math
import time
from typing import Any

from roboadapt_ros.control.recovery import Outcome as CallOutcome
from roboadapt_ros.control.recovery import Pending
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.calls import (
    ActionCall,
    Clients,
    interface_class,
    ServiceCall,
    trigger_outcome,
)
from roboadapt_ros.ros.hands.port import HandPort
from roboadapt_ros.ros.hands.settings import GripperConfig
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.sim2real.gripper import from_width
from roboadapt_ros.sim2real.hand import Hand
from roboadapt_ros.sim2real.hand_order import Act, HandMode, HandOrder, Outcome
from std_srvs.srv import Trigger

SETTLE_S = 0.5
"""Time from finding a server to its first use [s]: one that has not found this node's ends yet
carries an order out and loses the answer."""

OPEN_SLACK_M = 0.0005
"""A hand that is nearer than this to where it should open to is open [m]."""


class ActionHand(HandPort):
    """Carries out the orders of a `Hand`, one at a time, without ever waiting."""

    def __init__(self, node: GraphNode[Any], config: GripperConfig, width_max_m: float):
        """Prepare; nothing is connected before `begin`."""
        self.config = config
        self.width_max_m = config.open_width_m or width_max_m
        self.clients = Clients(node)
        self._hand = Hand(config.hand(), self.width_max_m)
        self._pending: dict[int, Pending] = {}
        self._servers: dict[str, Callable[[], bool]] = {}
        self._found_ns: dict[str, int] = {}

    @property
    def problem(self) -> str:
        """Why the hand does not do what is wanted."""
        return self._hand.problem

    @property
    def remark(self) -> str:
        """What is wanted and can't be told to this hand."""
        return self._hand.remark

    @property
    def has_given_up(self) -> bool:
        """Whether the hand did not do what is wanted, and is no longer asked."""
        return self._hand.has_given_up

    @property
    def counts(self) -> dict[str, int]:
        """What was ordered and what went wrong, by cause."""
        return {f'hand_{cause}': count for cause, count in self._hand.counts.items() if count}

    def begin(self) -> None:
        """Look for the servers; the state of the hand is unknown."""
        self._hand = Hand(self.config.hand(), self.width_max_m)
        self._pending.clear()
        self._servers.clear()
        self._found_ns.clear()
        self.connect()

    def observe(self, width_m: float) -> None:
        """Let the hand know where it is."""
        self._hand.measured_m = width_m

    def tell(self, goal_m: float, width_m: float, now_ns: int) -> None:
        """Let the hand come to a width."""
        self._turn(goal_m)

    def quiet(self) -> None:
        """Only see to the answers."""
        self._turn(None)

    def halt(self) -> None:
        """Stop the hand at once."""
        self._hand.halt()
        self._turn(None)

    def end(self) -> None:
        """Leave the hand as it is: a grasp must not open because the governor ends."""
        self._pending.clear()
        self.clients.destroy()

    @abstractmethod
    def connect(self) -> None:
        """Make the clients that the first order needs, so that they find their servers."""

    @abstractmethod
    def carry_out(self, order: HandOrder) -> Pending | str:
        """Begin an order; return what to poll, or why it can't be begun now."""

    def _turn(self, goal_m: float | None) -> None:
        """Take the answers that have come, and send what is due."""
        now_ns = time.monotonic_ns()
        for name, is_there in self._servers.items():
            if name not in self._found_ns and is_there():
                self._found_ns[name] = now_ns
        for number, pending in list(self._pending.items()):
            outcome = pending.poll(now_ns)
            if outcome is not None:
                del self._pending[number]
                ended = Outcome.DONE if outcome.is_good else Outcome.FAILED
                self._hand.answer(number, ended, outcome.detail, now_ns)
        order = self._hand.next(goal_m, now_ns)
        if order is None:
            return
        begun = self.carry_out(order)
        if isinstance(begun, str):
            self._hand.answer(order.number, Outcome.UNAVAILABLE, begun, now_ns)
        else:
            self._pending[order.number] = begun

    def look_for_action(self, kind: Any, name: str) -> None:
        """Make a client and find its server; for `connect`."""
        self._servers[name] = self.clients.action(kind, name).server_is_ready

    def look_for_stop(self, name: str) -> None:
        """Make a client of a Trigger and find its server; for `connect`."""
        self._servers[name] = self.clients.service(Trigger, name).service_is_ready

    def act(self, kind: Any, name: str, goal: Any) -> Pending | str:
        """Begin an action whose server has to be there."""
        if not self._is_ready(name):
            return f'action {name} is not there'
        return ActionCall(self.clients.action(kind, name), goal, name)

    def stop_by(self, service: str) -> Pending | str:
        """Call a Trigger that stops the hand and has to be there."""
        if not self._is_ready(service):
            return f'service {service} is not there'
        client = self.clients.service(Trigger, service)
        return ServiceCall(client, Trigger.Request(), trigger_outcome)

    def _is_ready(self, name: str) -> bool:
        """Return whether a server is there, and has been long enough."""
        if not self._servers[name]():
            self._found_ns.pop(name, None)
            return False
        return time.monotonic_ns() - self._found_ns.get(name, math.inf) >= SETTLE_S * 1e9


class FrankaHand(ActionHand):
    """franka_gripper: move, grasp, homing, and the service that stops it."""

    def __init__(self, node: GraphNode[Any], config: GripperConfig, width_max_m: float):
        """Find the types; raises `ConfigError` where franka_msgs is not installed."""
        super().__init__(node, config, width_max_m)
        kinds = {'move': 'Move', 'grasp': 'Grasp', 'homing': 'Homing'}
        self._kinds = {
            leaf: interface_class(f'franka_msgs/action/{kind}') for leaf, kind in kinds.items()
        }

    def connect(self) -> None:
        """Look for move, grasp and stop; homing is looked for when it is asked for."""
        for leaf in ('move', 'grasp'):
            self.look_for_action(self._kinds[leaf], f'{self.config.node}/{leaf}')
        self.look_for_stop(f'{self.config.node}/stop')

    def home(self) -> None:
        """Let the hand find its range; raises `RefusedError` while it is busy."""
        self._hand.home()

    def carry_out(self, order: HandOrder) -> Pending | str:
        """Begin an order."""
        config, node = self.config, self.config.node
        if order.act is Act.STOP:
            return self.stop_by(f'{node}/stop')
        if order.act is Act.HOME:
            name = f'{node}/homing'
            client = self.clients.action(self._kinds['homing'], name)
            return ActionCall(client, self._kinds['homing'].Goal(), name)  # waits for its server
        leaf = 'move' if order.act is Act.MOVE else 'grasp'
        goal = self._kinds[leaf].Goal(width=order.width_m, speed=config.speed_m_s)
        if order.act is Act.GRASP:
            goal.force = config.force_n
            goal.epsilon.inner, goal.epsilon.outer = config.epsilon_inner_m, config.epsilon_outer_m
        return self.act(self._kinds[leaf], f'{node}/{leaf}', goal)


class CommandHand(ActionHand):
    """control_msgs/GripperCommand: one action for both directions.

    franka_gripper grasps, with force, where the position is below that of its fingers, else it
    moves. So a hand that is at least as open as it should be is not told to open: it would close.
    """

    def __init__(self, node: GraphNode[Any], config: GripperConfig, width_max_m: float):
        """Find the type; raises `ConfigError` where control_msgs is not installed."""
        super().__init__(node, config, width_max_m)
        self._kind = interface_class('control_msgs/action/GripperCommand')
        self._full_width_m = width_max_m
        self._convention = config.meaning
        self._going: ActionCall | None = None

    def connect(self) -> None:
        """Look for the action, and for the service that stops."""
        self.look_for_action(self._kind, self.config.action)
        if self.config.stop_service:
            self.look_for_stop(self.config.stop_service)

    def home(self) -> None:
        """Refuse: there is no such action."""
        raise RefusedError('gripper', 'GripperCommand has no homing; use driver franka_actions')

    def carry_out(self, order: HandOrder) -> Pending | str:
        """Begin an order."""
        if order.act is Act.STOP:
            if self.config.stop_service:
                return self.stop_by(self.config.stop_service)
            if self._going is not None:
                self._going.cancel()
            return _Done()  # what was cancelled still has to say that it has ended
        is_opening = order.act is Act.MOVE and self.config.hand().mode is HandMode.BINARY
        if is_opening and self._hand.measured_m >= order.width_m - OPEN_SLACK_M:
            return _Done()
        goal = self._kind.Goal()
        goal.command.position = from_width(order.width_m, self._convention, self._full_width_m)
        goal.command.max_effort = self.config.force_n
        begun = self.act(self._kind, self.config.action, goal)
        self._going = begun if isinstance(begun, ActionCall) else None
        return begun


class _Done:
    """Something that has ended well."""

    def poll(self, now_ns: int) -> CallOutcome:
        """Return that."""
        return CallOutcome(True)

    def cancel(self) -> str:
        """There is nothing to give up."""
        return ''
