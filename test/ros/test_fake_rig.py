"""A real rig file without its robot: what the fake takes from it, and what it serves."""

from __future__ import annotations

from dataclasses import replace
import time

from builtin_interfaces.msg import Duration
import fakes
from geometry_msgs.msg import TwistStamped
from graph_watch import GraphWatch, wait_for
import numpy as np
import pytest
from rig_in_process import RigInProcess
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.fake import fake_rig, is_installed
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import load_rig, rig_names
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.control.description import arm_limits
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.qos import COMMAND, LATCHED
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

ALL = ('franka_msgs', 'control_msgs', 'controller_manager_msgs', 'moveit_msgs')
REAL = tuple(name for name in rig_names() if not load_rig(name).simulated)
SHIPPED = {'fr3_franka_ros2', 'fr3_crisp', 'fr3_jtc', 'fr3_moveit_servo', 'panda_jtc'}
WINDOW_S, WINDOWS = 3.0, 4


def fake(name, *installed):
    return fake_rig(load_rig(name), lambda package: package in installed)


def test_every_shipped_rig_file_is_among_those_that_are_faked_here():
    assert set(REAL) == SHIPPED


@pytest.mark.parametrize('name', REAL)
def test_the_names_are_those_of_the_rig_file(name):
    rig, lacks = fake(name, *ALL)
    real = load_rig(name)
    assert lacks == ()
    assert rig.simulated
    assert rig.arm.joint_names == real.arm.joint_names
    assert rig.arm.controllers == real.arm.controllers
    for part in ('joint_states', 'output', 'current_pose', 'robot_state', 'robot_state_type'):
        assert getattr(rig.arm, part) == getattr(real.arm, part)
    assert rig.arm.recovery == real.arm.recovery
    assert rig.gripper == real.gripper
    assert [camera.image for camera in rig.cameras] == [camera.image for camera in real.cameras]


def test_the_simulated_rig_stands_behind_the_names(models):
    rig, _ = fake('fr3_franka_ros2', *ALL)
    described = process_list(rig, models_dir=models)[0]
    assert described.name == 'sim_rig'
    remaps = dict(described.remappings)
    assert remaps['target_joint'] == 'gello/joint_states'
    assert remaps['joint_states'] == 'franka/joint_states'
    assert remaps['merged_joint_states'] == 'joint_states'
    assert remaps['robot_state'] == 'franka_robot_state_broadcaster/robot_state'
    parameters = described.parameters
    assert (parameters['robot'], parameters['fake_driver']) == ('fr3', True)
    assert parameters['robot_state_type'] == 'franka_msgs/FrankaRobotState'
    assert parameters['controllers'] == ['joint_impedance_controller']


def test_what_is_not_installed_is_left_out_and_named():
    rig, lacks = fake('fr3_franka_ros2')
    assert [lack.split(':')[0] for lack in lacks] == ['controller_manager_msgs', 'franka_msgs']
    assert rig.arm.robot_state_type == 'diagnostic_msgs/DiagnosticStatus'
    assert (rig.arm.controllers, rig.controller_manager) == ((), '')
    assert rig.arm.recovery.recover_service == 'sim_rig/recover'
    assert rig.arm.recovery.stop_service == 'sim_rig/deactivate'
    assert not rig.arm.collision.is_given


@pytest.mark.parametrize('name', ['fr3_jtc', 'panda_jtc'])
def test_a_hand_whose_actions_are_not_installed_takes_a_topic(name):
    rig, lacks = fake(name)
    assert any(lack.endswith('the hand has a topic instead of actions') for lack in lacks)
    assert (rig.gripper.driver, rig.gripper.joint_states) == (
        'topic',
        load_rig(name).gripper.joint_states,
    )


def test_a_servo_without_moveit_msgs_is_humbles(monkeypatch):
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    rig, lacks = fake('fr3_moveit_servo', *ALL[:3])
    assert rig.arm.output.servo_release == 'humble'
    assert [lack.split(':')[0] for lack in lacks] == ['moveit_msgs']
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    assert fake('fr3_moveit_servo', *ALL[:3])[1] == ()


@pytest.mark.parametrize(
    ('driver', 'package'), [('servo_jog', 'control-msgs'), ('servo_pose', 'moveit-msgs')]
)
def test_a_driver_whose_messages_are_not_installed_is_refused_with_their_package(driver, package):
    rig = load_rig('fr3_moveit_servo')
    output = replace(rig.arm.output, driver=driver, units='speed', feedback_1_s=2.0)
    other = replace(rig, arm=replace(rig.arm, joint_prefix='', output=output))
    with pytest.raises(ConfigError, match=f'{driver}.*apt install.*{package}'):
        fake_rig(other, lambda package: False)


def test_only_an_arm_that_holds_the_points_is_held_back_by_the_simulated_gains():
    assert fake('fr3_jtc', *ALL)[0].arm.contact.stiffness_nm_rad
    assert not fake('fr3_moveit_servo', *ALL)[0].arm.contact.stiffness_nm_rad


def test_the_hands_node_is_that_of_its_action():
    assert fake('panda_jtc', *ALL)[0].nodes['sim_rig']['gripper_node'] == 'panda_gripper'
    rig = load_rig('panda_jtc')
    other = replace(rig, gripper=replace(rig.gripper, action='hand/gripper_cmd'))
    with pytest.raises(ConfigError, match=r'hand/gripper_cmd.*NODE/gripper_action only'):
        fake_rig(other, lambda package: True)


def test_a_camera_the_simulated_rig_lacks_is_refused():
    rig = load_rig('fr3_franka_ros2')
    other = replace(rig, cameras=(replace(rig.cameras[0], name='shoulder'),))
    with pytest.raises(ConfigError, match=r"'shoulder'.*scene, wrist"):
        fake_rig(other, lambda package: True)


def trajectory_step(names, q):
    due = Duration(nanosec=60_000_000)
    point = JointTrajectoryPoint(
        positions=(q + 0.1).tolist(), velocities=[0.0] * 7, time_from_start=due
    )
    return JointTrajectory(joint_names=names, points=[point])


def target_step(names, q):
    return JointState(name=names, position=(q + 0.3).tolist())


STEPS = {'joint_impedance': target_step, 'joint_trajectory': trajectory_step}
"""Driver -> a step for it."""


class FakeInProcess(RigInProcess):
    """The simulated arm of a rig file, and a node that sends to the file's own topic.

    A servo is Humble's: that of Jazzy takes messages that may not be installed.
    """

    def __init__(self, name, domain, models):
        def installed(package):
            return package != 'moveit_msgs' and is_installed(package)

        self.config, _ = fake_rig(load_rig(name), installed)
        described = process_list(self.config, models_dir=models)[0]
        super().__init__(domain, dict(described.parameters), described.remappings)
        self.names = list(self.config.arm.joint_names)
        self.spin()

    def publish(self, message):
        topic = self.config.arm.output.topic
        publisher = self.node.create_publisher(type(message), topic, COMMAND)
        wait_for(publisher.get_subscription_count, f'the rig to listen to {topic}')
        message.header.stamp = self.node.get_clock().now().to_msg()
        publisher.publish(message)


@pytest.fixture
def made(domain, models):
    """Return a function that makes the simulated arm of a rig file."""
    rigs = []

    def make(name):
        rigs.append(FakeInProcess(name, domain, models))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.mark.parametrize('name', [n for n in REAL if load_rig(n).arm.output.driver in STEPS])
def test_a_step_sent_straight_to_the_rigs_topic_is_an_error_of_the_robot(made, name):
    rig = made(name)
    arm = rig.rig._rig
    assert arm.errors == ()
    rig.publish(STEPS[rig.config.arm.output.driver](rig.names, arm.target))
    wait_for(lambda: arm.errors, 'the robot to refuse')
    assert arm.mode.name == 'REFLEX'


def test_a_step_sent_straight_to_servo_is_brought_within_the_limits_as_servo_does(made):
    """Its own checks stand before the arm's: a step moves the hand, at servo's speed."""
    rig = made('fr3_moveit_servo')
    arm = rig.rig._rig
    rig.ask(Trigger, 'servo_node/start_servo')
    before_m = arm.state().ee_position[2]
    message = TwistStamped()
    message.header.frame_id = rig.config.arm.base_frame
    message.twist.linear.z = 5.0
    for _ in range(20):  # servo halts 0.1 s after the last, be it that the machine was busy
        rig.publish(message)
        time.sleep(0.02)
    assert arm.state().ee_position[2] > before_m + 0.01
    assert arm.errors == ()


@pytest.mark.parametrize('name', ['fr3_jtc', 'panda_jtc'])
def test_the_arm_is_described_to_whoever_listens_later(made, name):
    rig, heard = made(name), []
    rig.node.create_subscription(String, 'robot_description', heard.append, LATCHED)
    wait_for(lambda: heard, 'the description')
    low, high, speed = arm_limits(heard[0].data, rig.names)
    table = robot_limits(rig.config.robot)
    for found, wanted in ((low, table.q_min), (high, table.q_max), (speed, table.dq_max)):
        np.testing.assert_array_equal(found, wanted)


def errors_of_the_robot(watch):
    """Return how many errors the simulated robot has had, as its newest report says."""
    watch.diagnostics.pop('sim_rig', None)
    _, values, _ = wait_for(lambda: watch.diagnostics.get('sim_rig'), 'a report of the arm')
    return int(values['robot_errors'])


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize('name', REAL)
def test_the_graph_of_every_rig_file_moves_its_arm_without_an_error(models, tmp_path, name):
    """Seconds of motion under chunks; a machine that stalled for a while gets another try."""
    rig, _ = fake_rig(load_rig(name))
    graph = Graph(rig, log_dir=tmp_path, domain_id=find_free_domain(), models_dir=models)
    with graph:
        watch = GraphWatch(graph.client)
        watch.serve(fakes.CIRCLE_LEFT)
        for _ in range(WINDOWS):
            watch.arm_until_moving()
            before, start = errors_of_the_robot(watch), len(watch.joints)
            time.sleep(WINDOW_S)
            way = np.ptp([q for _, q, _ in watch.joints[start:]], axis=0)
            if errors_of_the_robot(watch) == before and way.max() > 0.02:
                break
        else:
            pytest.fail(f'no {WINDOW_S:g} s without an error: {watch.diagnostics}')
        watch.rest()
        told = graph.log_path('governor').read_text(encoding='utf-8')
        table = f"robot_description allows all that the table of '{rig.robot}' does"
        assert table in told, 'the governor has not heard the description'
