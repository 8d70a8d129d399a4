"""A server with franka_gripper's ways: what a hand behind actions talks to."""

from __future__ import annotations

import importlib
import threading
import time

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

OPEN_M = 0.08


class FakeGripper:
    """A server with franka_gripper's ways, on a node of its own.

    Its fingers move at 0.4 m/s; `object_m` is how wide what they grasp is.
    """

    def __init__(self, node):
        self.node, self.width_m, self.object_m = node, 0.04, 0.0
        self.done, self.stops, self.together, self.is_stuck = [], 0, 0, False
        self._stopped, self._is_holding = threading.Event(), False
        self._group, self._going = ReentrantCallbackGroup(), 0
        self._lock = threading.Lock()
        self._made = [
            node.create_service(
                Trigger, 'franka_gripper/stop', self._on_stop, callback_group=self._group
            )
        ]

    def serve(self, kind, name, execute):
        self._made.append(
            ActionServer(
                self.node,
                kind,
                f'franka_gripper/{name}',
                execute,
                callback_group=self._group,
                cancel_callback=lambda _: CancelResponse.ACCEPT,
            )
        )

    def serve_franka(self):
        kinds = importlib.import_module('franka_msgs.action')
        self.serve(kinds.Move, 'move', lambda goal: self._franka(kinds.Move, goal, 'move'))
        self.serve(kinds.Grasp, 'grasp', lambda goal: self._franka(kinds.Grasp, goal, 'grasp'))
        self.serve(kinds.Homing, 'homing', lambda goal: self._franka(kinds.Homing, goal, 'homing'))
        return self

    def serve_command(self):
        kind = importlib.import_module('control_msgs.action').GripperCommand
        self.serve(kind, 'gripper_action', lambda goal: self._command(kind, goal))
        return self

    def close(self):
        self._stopped.set()
        for server in self._made[1:]:
            server.destroy()
        self.node.destroy_service(self._made[0])

    def _franka(self, kind, handle, name):
        goal = handle.request
        width_m = OPEN_M if name == 'homing' else goal.width
        is_good = self._go(name, width_m)
        if name == 'grasp':
            low, high = goal.width - goal.epsilon.inner, goal.width + goal.epsilon.outer
            is_good = is_good and low < self.width_m < high
        handle.succeed() if is_good else handle.abort()
        return kind.Result(success=is_good)

    def _command(self, kind, handle):
        width_m = 2.0 * handle.request.command.position
        if width_m > OPEN_M + 1e-9:
            handle.abort()
            return kind.Result()
        name = 'grasp' if width_m < self.width_m else 'move'
        is_good = self._go(name, width_m, lambda: handle.is_cancel_requested)
        if handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.succeed() if is_good else handle.abort()
        return kind.Result(position=self.width_m, reached_goal=is_good)

    def _go(self, name, width_m, is_cancelled=lambda: False):
        with self._lock:
            self._going += 1
            self.together = max(self.together, self._going)
            if self._going == 1:
                self._stopped.clear()
        must_hang = name == 'grasp' and self._is_holding
        try:
            while not self._stopped.wait(0.005) and not is_cancelled():
                if self.is_stuck or must_hang:
                    continue
                end_m = max(width_m, self.object_m) if name == 'grasp' else width_m
                gap_m = end_m - self.width_m
                self.width_m += max(min(gap_m, 0.002), -0.002)
                if abs(gap_m) < 1e-6:
                    self._is_holding = name == 'grasp'
                    self.done.append((name, round(width_m, 6)))
                    return True
            return False
        finally:
            with self._lock:
                self._going -= 1

    def _on_stop(self, _, response):
        self.stops += 1
        self._is_holding = False
        self._stopped.set()
        time.sleep(0.02)
        response.success = True
        return response
