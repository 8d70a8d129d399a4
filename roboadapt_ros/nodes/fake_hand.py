"""franka_gripper on the simulated hand: its actions, one thread of fingers behind them.

Serves, relative to the rig's namespace, as node `gripper_node`:
    homing, move, grasp (franka_msgs actions), gripper_action (control_msgs/GripperCommand),
    stop (std_srvs/Trigger).
As there, goals are accepted at once, one that is running is not given up for the next, and
results come when the fingers rest. Here the newest goal has the fingers; one that lost them
fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time
from typing import Any

from rclpy.action import ActionServer
from rclpy.task import Future
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.calls import interface_class
from std_srvs.srv import Trigger

LOOK_S = 0.02
REST_S = 0.2
"""Time without motion after which the fingers rest [s]."""
LONGEST_S = 10.0
STILL_M = 2e-4
REACHED_M = 2e-3
DEFAULT_SPEED_M_S, DEFAULT_FORCE_N = 0.1, 40.0


@dataclass
class _Command:
    """What the fingers are doing."""

    width_m: float
    done: Any
    """Future of '' once they rest, or of why they do not."""
    began_s: float
    still_since_s: float
    last_m: float


class FakeHand:
    """The actions of one hand."""

    def __init__(self, host: SimHost):
        """Prepare; `serve` begins."""
        self._node, self._rig, self._lock = host.node, host.rig, host.lock
        self._name, self._max_m = host.config.gripper_node, host.rig.config.gripper.max_width_m
        self._command: _Command | None = None

    def serve(self) -> None:
        """Offer the stop and the actions.

        Raises:
            ConfigError: Neither franka_msgs nor control_msgs is installed.
        """
        self._node.serve(Trigger, f'{self._name}/stop', self._on_stop)
        offered = []
        for name, kind, execute in (
            ('homing', 'franka_msgs/action/Homing', self._home),
            ('move', 'franka_msgs/action/Move', self._move),
            ('grasp', 'franka_msgs/action/Grasp', self._grasp),
            ('gripper_action', 'control_msgs/action/GripperCommand', self._follow),
        ):
            try:
                self._offer(interface_class(kind), name, execute)
                offered.append(name)
            except ConfigError as error:
                missing = error
        if not offered:
            raise missing
        self._node.every(LOOK_S, self._look)

    def _offer(self, kind: Any, name: str, execute: Callable[[Any, Any], Any]) -> None:
        async def run(goal: Any) -> Any:
            return await execute(kind, goal)

        server = ActionServer(self._node, kind, f'{self._name}/{name}', run)
        self._node.destroy_with_active(lambda made: made.destroy(), server)

    async def _home(self, kind: Any, goal: Any) -> Any:
        """Close, then open wide."""
        for width_m in (0.0, self._max_m):
            trouble = await self._go(width_m, DEFAULT_SPEED_M_S, DEFAULT_FORCE_N)
        return self._end(kind, goal, trouble)

    async def _move(self, kind: Any, goal: Any) -> Any:
        wanted_m = float(goal.request.width)
        trouble = await self._go(wanted_m, goal.request.speed, DEFAULT_FORCE_N)
        if not trouble and abs(self._width_m() - wanted_m) > REACHED_M:
            trouble = f'the fingers are at {self._width_m():.4f} m'
        return self._end(kind, goal, trouble)

    async def _grasp(self, kind: Any, goal: Any) -> Any:
        """Close; well where the width at the end is within epsilon of the one asked for."""
        asked, epsilon = float(goal.request.width), goal.request.epsilon
        trouble = await self._go(0.0, goal.request.speed, goal.request.force)
        if not trouble and not asked - epsilon.inner < self._width_m() < asked + epsilon.outer:
            trouble = f'grasped at {self._width_m():.4f} m, not within epsilon of {asked:.4f} m'
        return self._end(kind, goal, trouble)

    async def _follow(self, kind: Any, goal: Any) -> Any:
        """Move where that opens, grasp where it closes; position is that of one finger."""
        command = goal.request.command
        wanted_m = 2.0 * command.position
        result = kind.Result()
        if not 0.0 <= wanted_m <= self._max_m:
            goal.abort()
            return result
        opens = wanted_m >= self._width_m()
        force_n = DEFAULT_FORCE_N if opens else float(command.max_effort)
        trouble = await self._go(wanted_m if opens else 0.0, DEFAULT_SPEED_M_S, force_n)
        result.position = self._width_m()  # the width, as franka_gripper has it
        result.reached_goal = not trouble
        goal.abort() if trouble else goal.succeed()
        return result

    def _end(self, kind: Any, goal: Any, trouble: str) -> Any:
        result = kind.Result(success=not trouble, error=trouble)
        goal.abort() if trouble else goal.succeed()
        return result

    def _width_m(self) -> float:
        with self._lock:
            return self._rig.state().gripper_width_m

    def _go(self, width_m: float, speed_m_s: float, force_n: float) -> Any:
        """Begin to move the fingers; the future is '' once they rest, or says what went wrong."""
        self._lose('another command has the fingers')
        future: Any = Future(executor=self._node.executor)
        if not 0.0 <= width_m <= self._max_m or not speed_m_s > 0:
            future.set_result(f'width {width_m} m or speed {speed_m_s} m/s is out of range')
            return future
        with self._lock:
            self._rig.set_gripper_target(width_m, speed_m_s=speed_m_s, force_n=force_n)
        now_s = time.monotonic()
        self._command = _Command(width_m, future, now_s, now_s, self._width_m())
        return future

    def _look(self) -> None:
        """End the command once the fingers rest."""
        command, now_s = self._command, time.monotonic()
        if command is None:
            return
        width_m = self._width_m()
        if abs(width_m - command.last_m) > STILL_M:
            command.last_m, command.still_since_s = width_m, now_s
        is_late = now_s - command.began_s > LONGEST_S
        if now_s - command.still_since_s > REST_S or is_late:
            self._command = None
            command.done.set_result('the fingers do not come to rest' if is_late else '')

    def _lose(self, why: str) -> None:
        if self._command is not None:
            command, self._command = self._command, None
            command.done.set_result(why)

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._lose('stopped')
        with self._lock:
            self._rig.set_gripper_target(self._rig.state().gripper_width_m)
        response.success, response.message = True, ''
        return response
