"""An arm behind the services and actions of franka_ros2 and of a controller manager.

With the real types; whoever imports this skips where they are not installed.
"""

from __future__ import annotations

import time

from controller_manager_msgs.msg import ControllerState
from controller_manager_msgs.srv import (
    ListControllers,
    SetHardwareComponentState,
    SwitchController,
)
from fake_arm import FakeArm, IDLE, MOVE
from franka_msgs.action import ErrorRecovery
from franka_msgs.msg import FrankaRobotState
from franka_msgs.srv import SetFullCollisionBehavior, SetLoad
from rclpy.action import ActionServer

CONTROLLER = 'joint_impedance_controller'
BROADCASTER = 'franka_robot_state_broadcaster'


class FrankaArm(FakeArm):
    """As franka_ros2 does, but for what is told otherwise.

    Example: ``arm.stands_still = True`` is a driver on Humble that has lost the robot: the last
    report goes on and on. ``arm.is_mute = True`` is one from Jazzy on: there are none.
    """

    state_type = FrankaRobotState

    def __init__(self, connection):
        """Offer them all; the controller is active."""
        super().__init__(connection)
        self.hardware_refusals = 0
        self.is_stubborn = False
        self.obeys = True
        """Whether an activated controller is active then."""
        self.last_errors = ''
        self.startles = ''
        """An error that a controller's start meets and clears by itself."""
        self.stands_still = self.is_mute = False
        self.comes_back = True
        """Whether it reports again when its hardware is active again."""
        self._clock_s = 0.0
        self.collision = self.load = None
        node = self._node
        for kind, name, answer in (
            (SwitchController, 'controller_manager/switch_controller', self._switch),
            (ListControllers, 'controller_manager/list_controllers', self._list),
            (
                SetHardwareComponentState,
                'controller_manager/set_hardware_component_state',
                self._hardware,
            ),
            (
                SetFullCollisionBehavior,
                'service_server/set_full_collision_behavior',
                self._collide,
            ),
            (SetLoad, 'service_server/set_load', self._carry),
        ):
            made = node.create_service(kind, name, answer)
            self._made.append((node.destroy_service, made))
        server = ActionServer(node, ErrorRecovery, 'action_server/error_recovery', self._clear)
        self._made.append((lambda made: made.destroy(), server))

    def _report(self):
        if not self.stands_still:
            self._clock_s = time.monotonic()
        message = FrankaRobotState(robot_mode=self.mode, control_command_success_rate=1.0)
        message.time = self._clock_s
        for name in self.errors.split():
            setattr(message.current_errors, name, True)
        for name in self.last_errors.split():
            setattr(message.last_motion_errors, name, True)
        return message

    def _publish_slow(self):
        if self.is_mute:
            self._publish_hand()
        else:
            super()._publish_slow()

    def _switch(self, request, response):
        strictly = ' strictly' if request.strictness == request.STRICT else ''
        for verb, names in (
            ('deactivate', request.deactivate_controllers),
            ('activate', request.activate_controllers),
        ):
            if names:
                self.calls.append(f'{verb} {",".join(names)}{strictly}')
                if list(names) == [BROADCASTER]:
                    continue
                is_on = verb == 'activate' and self.obeys
                self.mode = self.mode if self.errors else (MOVE if is_on and self.moves else IDLE)
                self.has_controller = is_on or self.is_stubborn
                self.last_errors = (is_on and self.startles) or self.last_errors
        response.ok = True
        return response

    def _list(self, request, response):
        state = 'active' if self.has_controller else 'inactive'
        response.controller.append(ControllerState(name=CONTROLLER, state=state))
        return response

    def _hardware(self, request, response):
        response.ok = self.hardware_refusals <= 0
        self.hardware_refusals -= 1
        if response.ok and self.comes_back:
            self.stands_still = self.is_mute = False
        label = request.target_state.label if response.ok else 'unconfigured'
        response.state.label = label
        self.calls.append(f'{request.name} {label}')
        return response

    def _clear(self, goal):
        self.calls.append('clear')
        self.mode, self.errors = IDLE, ''
        goal.succeed()
        return ErrorRecovery.Result()

    def _collide(self, request, response):
        self.calls.append('collision')
        self.collision = request
        response.success = self.mode == IDLE
        return response

    def _carry(self, request, response):
        self.calls.append('load')
        self.load = request
        response.success = self.mode == IDLE
        return response
