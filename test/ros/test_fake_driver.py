"""The fake franka_ros2 with the real franka_msgs, control_msgs and controller_manager_msgs.

Skipped where these packages are not installed.
"""

from __future__ import annotations

import time

from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from graph_watch import GraphWatch, wait_for
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from rig_in_process import RigInProcess
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.fake import fake_rig
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.qos import STATE
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

franka_actions = pytest.importorskip('franka_msgs.action', reason='franka_msgs is not installed')
franka = pytest.importorskip('franka_msgs.srv', reason='franka_msgs is not installed')
franka_msg = pytest.importorskip('franka_msgs.msg', reason='franka_msgs is not installed')
control = pytest.importorskip('control_msgs.action', reason='control_msgs is not installed')
manager = pytest.importorskip(
    'controller_manager_msgs.srv', reason='controller_manager_msgs is not installed'
)

CONTROLLER = 'joint_impedance_controller'
BROADCASTERS = ['joint_state_broadcaster', 'franka_robot_state_broadcaster']
MOVE, IDLE, REFLEX = 2, 1, 4
EXTRAS = {
    'external_wrench_in_base_frame': WrenchStamped,
    'external_wrench_in_stiffness_frame': WrenchStamped,
    'last_desired_pose': PoseStamped,
    'desired_end_effector_twist': TwistStamped,
}


class Driver(RigInProcess):
    """A fake driver in this process, and a node that asks it."""

    def __init__(self, domain):
        parameters = {
            'joint_names': [f'fr3_joint{i}' for i in range(1, 8)],
            'gripper_joint_names': ['fr3_finger_joint1', 'fr3_finger_joint2'],
            'gripper_message': 'std_msgs/Float32',
            'robot': 'fr3',
            'fake_driver': True,
            'controllers': [CONTROLLER],
            'robot_state_type': 'franka_msgs/FrankaRobotState',
            'robot_state_rate_hz': 100.0,
        }
        super().__init__(domain, parameters)
        self.states, self.merged, self.torques = [], [], []
        subscribe = self.node.create_subscription
        subscribe(franka_msg.FrankaRobotState, 'robot_state', self.states.append, STATE)
        subscribe(JointState, 'merged_joint_states', self.merged.append, STATE)
        topic = 'franka_robot_state_broadcaster/external_joint_torques'
        subscribe(JointState, topic, self.torques.append, STATE)
        self.extras = {}
        for leaf, kind in EXTRAS.items():
            topic, kept = (
                f'franka_robot_state_broadcaster/{leaf}',
                self.extras.setdefault(leaf, []),
            )
            subscribe(kind, topic, kept.append, STATE)
        self.spin()
        wait_for(lambda: self.states and self.merged and self.torques, 'the broadcaster')

    def begin(self, kind, name, goal=None):
        """Send a goal; return its accepted handle's result future."""
        client = ActionClient(self.node, kind, name)
        assert client.wait_for_server(5.0), name
        sent = client.send_goal_async(goal or kind.Goal())
        wait_for(sent.done, f'{name} to accept')
        assert sent.result().accepted
        return sent.result().get_result_async()

    def act(self, kind, name, goal=None):
        future = self.begin(kind, name, goal)
        wait_for(future.done, f'the result of {name}')
        return future.result()

    def switch(self, activate=(), deactivate=(), strictness=2):
        request = manager.SwitchController.Request(strictness=strictness)
        request.activate_controllers = list(activate)
        request.deactivate_controllers = list(deactivate)
        return self.ask(
            manager.SwitchController, 'controller_manager/switch_controller', request
        ).ok

    def set_hardware(self):
        request = manager.SetHardwareComponentState.Request(name='FrankaHardwareInterface')
        request.target_state.label = 'active'
        name = 'controller_manager/set_hardware_component_state'
        return self.ask(manager.SetHardwareComponentState, name, request)

    def await_mode(self, mode):
        wait_for(lambda: self.states[-1].robot_mode == mode, f'robot mode {mode}')

    def await_silence(self):
        def is_silent():
            count = len(self.states)
            time.sleep(0.3)
            return len(self.states) == count

        wait_for(is_silent, 'the broadcaster to end')

    def width_m(self):
        return sum(self.merged[-1].position[7:])


@pytest.fixture(scope='module')
def driver(domain):
    made = Driver(domain)
    yield made
    made.close()


def test_the_state_of_the_robot_has_the_fields_of_a_franka(driver):
    state = driver.states[-1]
    assert state.robot_mode == MOVE
    assert state.measured_joint_state.name[0] == 'fr3_joint1'
    assert np.abs(np.array(state.desired_joint_state.position)).max() > 0.1
    assert state.control_command_success_rate == 1.0
    assert state.o_t_ee.header.frame_id == 'base'
    assert state.o_t_ee.pose.position.z > 0.05
    assert abs(state.o_f_ext_hat_k.wrench.force.z) < 5.0
    errors = state.current_errors
    assert not any(getattr(errors, name) for name in errors.get_fields_and_field_types())


def test_the_merged_joint_states_hold_arm_and_fingers(driver):
    names = driver.merged[-1].name
    assert len(names) == 9
    assert names[-1] == 'fr3_finger_joint2'
    assert len(driver.torques[-1].effort) == 7


def test_wrenches_desired_pose_and_twist_come_in_frankas_frames(driver):
    wait_for(lambda: all(driver.extras.values()), 'the other topics')
    newest = {leaf: kept[-1] for leaf, kept in driver.extras.items()}
    frames = {leaf: message.header.frame_id for leaf, message in newest.items()}
    assert frames.pop('external_wrench_in_stiffness_frame') == 'fr3_hand_tcp'
    assert set(frames.values()) == {'base'}
    desired, measured = newest['last_desired_pose'].pose, driver.states[-1].o_t_ee.pose
    for axis in 'xyz':
        place = getattr(measured.position, axis)
        assert getattr(desired.position, axis) == pytest.approx(place, abs=0.02)
    assert newest['desired_end_effector_twist'].twist.linear.x == 0.0


def test_a_reflex_takes_the_whole_way_back(driver):
    assert driver.set_faults('cartesian_reflex').successful
    driver.await_silence()
    assert not driver.states[-1].current_errors.cartesian_reflex, 'the error itself is not told'
    aborted = driver.act(franka_actions.ErrorRecovery, 'action_server/error_recovery')
    assert aborted.status == 6, 'the cause lasts'
    driver.set_faults('')
    done = driver.act(franka_actions.ErrorRecovery, 'action_server/error_recovery')
    assert done.status == 4
    assert not driver.switch(activate=[CONTROLLER]), 'its component is not active'
    answer = driver.set_hardware()
    assert (answer.ok, answer.state.label) == (True, 'active')
    assert driver.switch(activate=BROADCASTERS)
    driver.await_mode(IDLE)
    assert driver.states[-1].last_motion_errors.cartesian_reflex
    assert driver.switch(activate=[CONTROLLER])
    driver.await_mode(MOVE)


def test_an_error_without_an_active_controller_is_told_and_one_that_starts_clears_it(driver):
    assert driver.switch(deactivate=[CONTROLLER])
    assert driver.set_faults('joint_reflex').successful
    driver.await_mode(REFLEX)
    assert driver.states[-1].current_errors.joint_reflex
    driver.set_faults('')
    assert driver.switch(activate=[CONTROLLER])
    driver.await_mode(MOVE)
    assert driver.states[-1].last_motion_errors.joint_reflex


def test_thresholds_are_taken_while_idle_only(driver):
    kind, name = franka.SetFullCollisionBehavior, 'service_server/set_full_collision_behavior'
    request = kind.Request(
        upper_torque_thresholds_nominal=[30.0] * 7, upper_force_thresholds_nominal=[30.0] * 6
    )
    refused = driver.ask(kind, name, request)
    assert (refused.success, 'not idle' in refused.error) == (False, True)
    assert driver.switch(deactivate=[CONTROLLER])
    assert driver.ask(kind, name, request).success
    request.upper_force_thresholds_nominal = [0.0] * 6
    assert 'above 0' in driver.ask(kind, name, request).error
    assert driver.ask(franka.SetLoad, 'service_server/set_load').success
    assert driver.switch(activate=[CONTROLLER])


def test_controllers_and_hardware_are_listed(driver):
    found = driver.ask(manager.ListControllers, 'controller_manager/list_controllers').controller
    states = {controller.name: controller for controller in found}
    assert states[CONTROLLER].state == 'active'
    assert len(states[CONTROLLER].claimed_interfaces) == 7
    components = driver.ask(
        manager.ListHardwareComponents, 'controller_manager/list_hardware_components'
    ).component
    assert [part.name for part in components] == ['FrankaHardwareInterface']


def test_the_hand_moves_and_grasps_as_franka_gripper_says(driver):
    move, grasp = franka_actions.Move, franka_actions.Grasp
    moved = driver.act(move, 'franka_gripper/move', move.Goal(width=0.04, speed=0.1)).result
    assert (moved.success, moved.error) == (True, '')
    assert driver.width_m() == pytest.approx(0.04, abs=0.003)
    goal = grasp.Goal(width=0.03, speed=0.1, force=20.0)
    goal.epsilon.inner = goal.epsilon.outer = 0.005
    empty = driver.act(grasp, 'franka_gripper/grasp', goal).result
    assert (empty.success, 'not within epsilon' in empty.error) == (False, True)
    goal.epsilon.inner = 0.08
    assert driver.act(grasp, 'franka_gripper/grasp', goal).result.success
    assert driver.act(franka_actions.Homing, 'franka_gripper/homing').result.success
    assert driver.width_m() == pytest.approx(0.08, abs=0.003)


def test_a_gripper_command_is_half_a_width_and_answers_with_a_whole_one(driver):
    kind = control.GripperCommand
    goal = kind.Goal()
    goal.command.position = 0.04
    answer = driver.act(kind, 'franka_gripper/gripper_action', goal)
    assert answer.status == 4
    assert answer.result.position == pytest.approx(0.08, abs=0.003)
    goal.command.position = 0.05
    assert driver.act(kind, 'franka_gripper/gripper_action', goal).status == 6, 'too wide'


def test_a_stop_ends_the_command_that_is_going_on(driver):
    goal = franka_actions.Move.Goal(width=0.0, speed=0.02)
    going = driver.begin(franka_actions.Move, 'franka_gripper/move', goal)
    time.sleep(0.5)
    assert driver.ask(Trigger, 'franka_gripper/stop').success
    wait_for(going.done, 'the move to end')
    assert (going.result().result.success, going.result().result.error) == (False, 'stopped')
    width_m = driver.width_m()
    assert 0.05 < width_m < 0.08
    time.sleep(0.3)
    assert driver.width_m() == pytest.approx(width_m, abs=0.004)


def test_a_stuck_hand_fails_the_command(driver):
    assert driver.set_faults('gripper_stuck').successful
    goal = franka_actions.Move.Goal(width=0.01, speed=0.1)
    result = driver.act(franka_actions.Move, 'franka_gripper/move', goal).result
    assert not result.success
    driver.set_faults('')


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize('release', ['humble', 'jazzy'])
def test_the_graph_of_the_real_rig_file_moves_and_comes_back_from_a_reflex(
    models, tmp_path, release
):
    """Real types, the rig file's own names: arm, reflex, confirmed recovery, arm again."""
    import fakes

    rig, lacks = fake_rig(load_rig('fr3_franka_ros2'))
    assert lacks == ()
    rig.nodes['sim_rig']['driver_release'] = release
    graph = Graph(rig, log_dir=tmp_path, domain_id=find_free_domain(), models_dir=models)
    with graph:
        watch = GraphWatch(graph.client)
        watch.serve(fakes.CIRCLE_LEFT)
        watch.arm_until_moving()
        fault = SetParameters.Request()
        fault.parameters = [Parameter('faults', value='joint_reflex').to_parameter_msg()]
        graph.client.call(SetParameters, 'sim_rig/set_parameters', fault)
        # Nobody says so: reports end, or the last ones are repeated.
        wait_for(lambda: watch.governor_state() == 'fault', 'the governor to notice')
        with pytest.raises(RefusedError, match='roboadapt recover'):
            graph.client.arm()
        fault.parameters = [Parameter('faults', value='').to_parameter_msg()]
        graph.client.call(SetParameters, 'sim_rig/set_parameters', fault)
        steps = ' '.join(graph.client.recover().steps)
        for word in ('deactivate', 'clear', 'hardware', 'activate'):
            assert word in steps
        assert not watch.is_moving()
        watch.arm_until_moving()
        watch.rest()
