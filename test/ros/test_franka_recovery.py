"""Recovery, hard stop and setup against a stand-in for franka_ros2, with the real types."""

import pytest

pytest.importorskip('controller_manager_msgs.srv', reason='controller_manager_msgs is not here')
pytest.importorskip('franka_msgs.msg', reason='franka_msgs is not here: build it beside ROS')

from controller_manager_msgs.msg import ControllerState
from controller_manager_msgs.srv import (
    ListControllers,
    SetHardwareComponentState,
    SwitchController,
)
from fake_arm import FakeArm, IDLE, MOVE, REFLEX
from franka_msgs.action import ErrorRecovery
from franka_msgs.msg import Errors, FrankaRobotState
from franka_msgs.srv import SetFullCollisionBehavior, SetLoad
from graph_watch import wait_for
from node_process import governor_process
from rclpy.action import ActionServer
from roboadapt_interfaces.srv import Recover
from std_srvs.srv import Trigger

pytestmark = [pytest.mark.processes]
CONTROLLER = 'joint_impedance_controller'
BROADCASTER = 'franka_robot_state_broadcaster'
TORQUES = [35.0, 35.0, 32.0, 30.0, 29.0, 27.0, 24.0]
PARAMETERS = {
    'robot_state_type': 'franka_msgs/FrankaRobotState',
    'controllers': [CONTROLLER],
    'controller_manager': 'controller_manager',
    'recovery': {
        'error_recovery': 'action_server/error_recovery',
        'hardware_component': 'FrankaHardwareInterface',
        'broadcasters': [BROADCASTER],
        'attempts': 2,
    },
    'collision': {
        'contact_torque_nm': [20.0] * 7,
        'collision_torque_nm': TORQUES,
        'contact_force_n': [20.0] * 6,
        'collision_force_n': [40.0] * 6,
    },
    'load': {'mass_kg': 0.3, 'center_m': [0.0, 0.0, 0.05]},
}
SEQUENCE = [
    f'deactivate {CONTROLLER}',
    'clear',
    'FrankaHardwareInterface active',
    f'activate {BROADCASTER}',
    'collision',
    'load',
    f'activate {CONTROLLER} strictly',
]


class FrankaArm(FakeArm):
    """An arm behind the services and actions of franka_ros2 and of a controller manager."""

    state_type = FrankaRobotState

    def __init__(self, connection):
        """Offer them all; the controller is active."""
        super().__init__(connection)
        self.hardware_refusals = 0
        self.is_stubborn = False
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
        message = FrankaRobotState(robot_mode=self.mode, control_command_success_rate=1.0)
        for name in self.errors.split():
            setattr(message.current_errors, name, True)
        return message

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
                self.mode = self.mode if self.errors else (MOVE if verb == 'activate' else IDLE)
                self.has_controller = verb == 'activate' or self.is_stubborn
        response.ok = True
        return response

    def _list(self, request, response):
        state = 'active' if self.has_controller else 'inactive'
        response.controller.append(ControllerState(name=CONTROLLER, state=state))
        return response

    def _hardware(self, request, response):
        response.ok = self.hardware_refusals <= 0
        self.hardware_refusals -= 1
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


@pytest.fixture(scope='module')
def governor(connection, tmp_path_factory):
    """Return the process of an active governor."""
    with governor_process(connection, tmp_path_factory.mktemp('log'), PARAMETERS) as process:
        yield process


@pytest.fixture
def arm(connection, governor):
    """Return an arm in a reflex that the governor knows of."""
    made = FrankaArm(connection)
    made.mode, made.errors = REFLEX, 'joint_reflex'
    try:
        wait_for(lambda: 'joint_reflex' in made.reason, 'the governor to stop')
        yield made
        assert governor.is_running, governor.log_path.read_text()
    finally:
        made.close()


def _recover(connection, *, confirm=True):
    return connection.call(Recover, 'governor/recover', Recover.Request(confirm=confirm), 90.0)


def _trigger(connection, name):
    return connection.call(Trigger, f'governor/{name}', Trigger.Request())


def test_the_steps_are_frankas_in_their_order(connection, arm):
    plan = _recover(connection, confirm=False)
    wanted = ['deactivate', 'clear', 'hardware', 'check', 'setup', 'align', 'activate', 'settle']
    assert [line.split(':')[0] for line in plan.steps] == wanted
    assert arm.calls == []

    answer = _recover(connection)
    assert answer.success, answer
    assert arm.calls == SEQUENCE
    wait_for(lambda: arm.state == 'idle', 'an idle governor')


def test_hardware_that_does_not_become_active_is_tried_again_from_the_start(connection, arm):
    arm.hardware_refusals = 1
    answer = _recover(connection)
    assert answer.success, answer
    assert arm.calls == [*SEQUENCE[:2], 'FrankaHardwareInterface unconfigured', *SEQUENCE]
    assert any('it is unconfigured' in line for line in answer.steps)


def test_hardware_that_stays_down_leaves_the_controller_inactive(connection, arm):
    arm.hardware_refusals = 99
    answer = _recover(connection)
    assert not answer.success
    assert 'hardware failed in attempt 2 of 2: it is unconfigured' in answer.message
    assert not any(call.startswith('activate') for call in arm.calls)
    assert arm.state == 'fault'


def test_a_controller_started_by_somebody_else_clears_no_fault(connection, arm):
    """franka_hardware recovers the robot by itself when a controller starts."""
    arm.mode, arm.errors = MOVE, ''
    wait_for(lambda: 'gone without a confirmed recovery' in arm.reason, 'the governor to say so')
    assert not _trigger(connection, 'reset').success
    assert _recover(connection).success


def test_a_hard_stop_deactivates_the_controller(connection, arm):
    assert _recover(connection).success
    arm.calls.clear()
    answer = _trigger(connection, 'hard_stop')
    assert answer.success, answer
    assert arm.calls == [f'deactivate {CONTROLLER}']
    assert not _trigger(connection, 'reset').success
    assert _recover(connection).success


def test_a_hard_stop_that_leaves_a_controller_active_says_so(connection, arm):
    assert _recover(connection).success
    arm.is_stubborn = True
    answer = _trigger(connection, 'hard_stop')
    assert not answer.success
    assert f'still active: {CONTROLLER}' in answer.message
    arm.is_stubborn = False
    assert _recover(connection).success


def test_thresholds_and_load_are_set_while_idle_only(connection, arm):
    assert _recover(connection).success
    arm.calls.clear()
    wait_for(lambda: arm.mode == MOVE, 'an active controller')
    refused = wait_for(
        lambda: (answer := _trigger(connection, 'setup')) and not answer.success and answer,
        'the governor to have heard of it',
    )
    assert 'robot mode is move' in refused.message
    arm.calls.clear()
    arm.mode = IDLE
    answer = wait_for(
        lambda: (answer := _trigger(connection, 'setup')) and answer.success and answer, 'setup'
    )
    assert answer.message == 'collision thresholds set; load set'
    assert arm.calls[-2:] == ['collision', 'load']
    for phase in ('acceleration', 'nominal'):
        assert list(getattr(arm.collision, f'upper_torque_thresholds_{phase}')) == TORQUES
        assert list(getattr(arm.collision, f'lower_force_thresholds_{phase}')) == [20.0] * 6
    assert arm.load.mass == 0.3
    assert list(arm.load.center_of_mass) == [0.0, 0.0, 0.05]


def test_every_error_that_franka_names_is_read(connection, arm):
    names = list(Errors.get_fields_and_field_types())
    assert len(names) == 36
    assert _recover(connection).success
    arm.mode, arm.errors = REFLEX, names[-1]
    wait_for(lambda: names[-1] in arm.reason, 'the governor to name it')
