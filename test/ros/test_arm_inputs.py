"""What the simulated rig takes by driver, over ROS: trajectories, servo's commands, arrays."""

from __future__ import annotations

import time

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import TwistStamped
from graph_watch import wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from rig_in_process import RigInProcess
from roboadapt_ros.errors import SpecError
from roboadapt_ros.nodes.inputs.make import INPUTS
from roboadapt_ros.nodes.inputs.targets import ArrayReader
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.outputs.settings import OPTIONS
from roboadapt_ros.ros.polled import arrived_ns, poll
from roboadapt_ros.ros.qos import COMMAND, STATE, STATUS
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Int8
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

NAMES = [f'fr3_joint{number}' for number in range(1, 8)]
STEP_ERROR = 'joint_motion_generator_velocity_discontinuity'


class Bench(RigInProcess):
    """A rig with one driver, and a node that sends to it."""

    def __init__(self, domain, **output):
        super().__init__(
            domain,
            {
                'joint_names': NAMES,
                'gripper_joint_names': ['left', 'right'],
                'gripper_message': 'std_msgs/Float64MultiArray',
                'robot': 'fr3',
                'base_frame': 'fr3_link0',
                'output': output,
            },
        )
        self.joints, self.sent = [], {}
        self.node.create_subscription(JointState, 'joint_states', self.joints.append, STATE)
        self.spin()
        wait_for(lambda: self.joints, 'joint states')

    def now(self):
        return self.node.get_clock().now()

    def publish(self, topic, message):
        if topic not in self.sent:
            self.sent[topic] = self.node.create_publisher(type(message), topic, COMMAND)
            wait_for(self.sent[topic].get_subscription_count, f'the rig to listen to {topic}')
        self.sent[topic].publish(message)

    def target(self):
        return self.rig._rig.target

    def errors(self):
        return self.rig._rig.errors

    def refused(self):
        return self.rig.refused['target']

    def recover(self):
        assert self.ask(Trigger, 'sim_rig/recover').success

    def stream(self, seconds, send, rate_hz=50.0):
        """Call `send` with the time since the start, at a rate."""
        began = time.monotonic()
        for number in range(round(seconds * rate_hz)):
            time.sleep(max(0.0, began + number / rate_hz - time.monotonic()))
            send(number / rate_hz)


def bench_of(**output):
    """Return a fixture that makes a bench for a module's tests of one driver."""

    @pytest.fixture
    def bench(domain):
        made = Bench(domain, **output)
        yield made
        made.close()

    return bench


jtc = bench_of(driver='joint_trajectory')
servo = bench_of(driver='servo_twist', servo_release='humble')
positions = bench_of(driver='float64_array', joint_order=NAMES[::-1])
speeds = bench_of(driver='float64_array', quantity='velocity')


def trajectory(*points, names=NAMES, stamp=None):
    """Return a message of (time [s], positions, velocities) points."""
    message = JointTrajectory(joint_names=names)
    if stamp is not None:
        message.header.stamp = stamp
    for time_s, q, dq in points:
        due = Duration(sec=int(time_s), nanosec=round(time_s % 1 * 1e9))
        point = JointTrajectoryPoint(positions=list(q), velocities=list(dq), time_from_start=due)
        message.points.append(point)
    return message


def test_every_driver_has_an_input():
    assert set(INPUTS) == set(OPTIONS)


def test_a_trajectory_moves_the_arm_to_its_end_and_holds_it_there(jtc):
    rest, goal = np.zeros(7), jtc.target() + 0.1
    jtc.publish('joint_trajectory', trajectory((1.0, goal, rest)))
    wait_for(lambda: np.abs(jtc.target() - goal).max() < 1e-9, 'the end of the trajectory', 5.0)
    time.sleep(0.5)
    assert jtc.errors() == (), 'an arm that is held at the end needs no more messages'
    shuffled = trajectory((1.0, (goal - 0.1)[::-1], rest), names=NAMES[::-1])
    jtc.publish('joint_trajectory', shuffled)
    wait_for(lambda: np.abs(jtc.target() - goal + 0.1).max() < 1e-9, 'joints by name', 5.0)


def test_a_later_trajectory_replaces_the_running_one_without_a_step(jtc):
    rest, start = np.zeros(7), jtc.target()
    jtc.publish('joint_trajectory', trajectory((2.0, start + 0.4, rest)))
    wait_for(lambda: np.abs(jtc.target() - start).max() > 0.1, 'the arm to be on its way')
    jtc.publish('joint_trajectory', trajectory((1.0, start, rest)))
    wait_for(lambda: np.abs(jtc.target() - start).max() < 1e-9, 'the arm to be back', 5.0)
    assert jtc.errors() == ()


def test_a_step_is_the_robots_error_and_ends_the_trajectory(jtc):
    rest, start = np.zeros(7), jtc.target()
    # On its way first: the first point of a motion is judged by its distance alone.
    jtc.publish('joint_trajectory', trajectory((4.0, start + 0.2, rest)))
    wait_for(lambda: np.abs(jtc.target() - start).max() > 0.02, 'the arm to be on its way')
    jtc.publish('joint_trajectory', trajectory((0.06, jtc.target() + 0.1, rest)))
    wait_for(jtc.errors, 'the robot to refuse')
    assert STEP_ERROR in jtc.errors()
    held = jtc.target()
    jtc.publish('joint_trajectory', trajectory((0.5, held + 0.1, rest)))
    time.sleep(0.3)
    jtc.recover()
    time.sleep(0.3)
    assert np.abs(jtc.target() - held).max() < 0.02, 'one that came meanwhile is not gone on with'
    assert jtc.errors() == ()
    goal = jtc.target() + 0.05
    jtc.publish('joint_trajectory', trajectory((1.0, goal, rest)))
    wait_for(lambda: np.abs(jtc.target() - goal).max() < 1e-9, 'the next one', 5.0)


def test_trajectories_that_the_controller_refuses_move_nothing(jtc):
    held, rest = jtc.target(), np.zeros(7)
    goal = held + 0.1
    old = to_time(jtc.now().nanoseconds - 5_000_000_000)
    for number, message in enumerate(
        (
            trajectory((1.0, goal, rest), names=['a', *NAMES[1:]]),
            trajectory((1.0, goal[:6], rest[:6]), names=NAMES[:6]),
            trajectory((1.0, goal, rest), (1.0, goal, rest)),
            trajectory((1.0, goal, rest + 0.1)),
            trajectory((1.0, goal[:6], rest)),
            trajectory((1.0, goal, rest), stamp=old),
            trajectory(),
        ),
        start=1,
    ):
        jtc.publish('joint_trajectory', message)
        wait_for(lambda n=number: jtc.refused() == n, f'message {number} to be refused')
    np.testing.assert_array_equal(jtc.target(), held)


def test_a_stamp_says_when_a_trajectory_begins(jtc):
    rest, goal = np.zeros(7), jtc.target() + 0.05
    ahead_s, began = 0.5, time.monotonic()
    stamp = to_time(jtc.now().nanoseconds + round(ahead_s * 1e9))
    jtc.publish('joint_trajectory', trajectory((0.5, goal, rest), stamp=stamp))
    wait_for(lambda: np.abs(jtc.target() - goal).max() < 1e-9, 'the end', 5.0)
    assert time.monotonic() - began > 0.9


def test_a_controllers_state_says_what_is_desired_and_measured(jtc):
    state = pytest.importorskip('control_msgs.msg', reason='control_msgs is not installed')
    heard = []
    kind = state.JointTrajectoryControllerState
    jtc.node.create_subscription(kind, 'controller_state', heard.append, STATUS)
    goal = jtc.target() + 0.1
    jtc.publish('joint_trajectory', trajectory((0.8, goal, np.zeros(7))))

    def has_come():
        return heard and np.abs(np.array(heard[-1].reference.positions) - goal).max() < 1e-9

    wait_for(has_come, 'the reference to come to the end')
    newest = heard[-1]
    assert list(newest.joint_names) == NAMES
    difference = np.array(newest.reference.positions) - np.array(newest.feedback.positions)
    np.testing.assert_allclose(newest.error.positions, difference)


def twist(bench, linear=(0.0, 0.0, 0.0), frame='fr3_link0', stamp=True):
    message = TwistStamped()
    message.header.frame_id = frame
    if stamp:
        message.header.stamp = bench.now().to_msg()
    vector = message.twist.linear
    vector.x, vector.y, vector.z = linear
    return message


UP = (0.0, 0.0, 0.05)


def height_m(bench):
    return bench.rig._rig.state().ee_position[2]


def test_servo_takes_nothing_before_it_was_started_and_then_moves_the_hand(servo):
    before_m = height_m(servo)

    def send(_):
        servo.publish('delta_twist_cmds', twist(servo, UP))

    servo.stream(0.3, send)
    assert height_m(servo) == pytest.approx(before_m, abs=1e-3)
    assert servo.refused() > 5
    assert servo.ask(Trigger, 'servo_node/start_servo').success
    servo.stream(2.0, send)
    assert height_m(servo) - before_m == pytest.approx(0.1, abs=0.03)
    # Silence in motion: it halts by itself.
    time.sleep(0.5)
    stopped_m = height_m(servo)
    time.sleep(0.3)
    assert height_m(servo) == pytest.approx(stopped_m, abs=1e-3)
    assert servo.errors() == ()


def test_servo_keeps_a_step_within_the_arms_limits(servo):
    servo.ask(Trigger, 'servo_node/start_servo')
    before_m = height_m(servo)
    servo.stream(0.4, lambda _: servo.publish('delta_twist_cmds', twist(servo, (0.0, 0.0, 5.0))))
    assert height_m(servo) > before_m + 0.05
    time.sleep(0.5)
    assert servo.errors() == ()


def test_servo_knows_the_frames_of_the_base_and_of_the_hand_only(servo):
    servo.ask(Trigger, 'servo_node/start_servo')
    before_m = height_m(servo)
    servo.publish('delta_twist_cmds', twist(servo, UP, frame='world'))
    wait_for(lambda: servo.refused() == 1, 'a frame it does not know to be refused')
    down = servo.rig._rig.state()
    assert down.ee_quat_xyzw[0] ** 2 > 0.9, 'the hand points down'

    def send(_):
        servo.publish('delta_twist_cmds', twist(servo, UP, frame='fr3_hand_tcp'))

    servo.stream(1.0, send)
    assert before_m - height_m(servo) == pytest.approx(0.05, abs=0.02)


def test_a_command_without_a_fresh_stamp_moves_nothing(servo):
    servo.ask(Trigger, 'servo_node/start_servo')
    held = servo.target()
    servo.stream(0.3, lambda _: servo.publish('delta_twist_cmds', twist(servo, UP, stamp=False)))
    np.testing.assert_array_equal(servo.target(), held)


def test_servo_is_stopped_and_says_how_it_does(servo):
    heard = []
    servo.node.create_subscription(Int8, 'servo_node/status', heard.append, STATUS)
    servo.ask(Trigger, 'servo_node/start_servo')
    servo.stream(0.3, lambda _: servo.publish('delta_twist_cmds', twist(servo, UP)))
    wait_for(lambda: heard, 'a status')
    assert heard[-1].data == 0
    for leaf in ('pause_servo', 'stop_servo'):
        assert servo.ask(Trigger, f'servo_node/{leaf}').success
        count = servo.refused()
        servo.publish('delta_twist_cmds', twist(servo, UP))
        wait_for(lambda n=count: servo.refused() == n + 1, f'it to be refused after {leaf}')
        assert servo.ask(Trigger, 'servo_node/start_servo').success
    assert servo.errors() == ()


def test_jazzys_servo_takes_the_type_of_command_it_was_switched_to(domain):
    srv = pytest.importorskip('moveit_msgs.srv', reason='moveit_msgs is not installed')
    status = pytest.importorskip('moveit_msgs.msg', reason='moveit_msgs is not installed')
    jog = pytest.importorskip('control_msgs.msg', reason='control_msgs is not installed').JointJog
    bench = Bench(domain, driver='servo_jog', servo_release='jazzy')
    try:
        heard = []
        bench.node.create_subscription(
            status.ServoStatus, 'servo_node/status', heard.append, STATUS
        )

        def send(_):
            message = jog(joint_names=NAMES[:1], velocities=[0.2])
            message.header.stamp = bench.now().to_msg()
            bench.publish('delta_joint_cmds', message)

        def switch(number):
            kind, name = srv.ServoCommandType, 'servo_node/switch_command_type'
            return bench.ask(kind, name, kind.Request(command_type=number)).success

        start = bench.target()
        bench.stream(0.2, send)
        assert bench.refused() > 3, 'no type was chosen'
        assert not switch(7)
        assert switch(1)
        bench.stream(0.2, send)
        np.testing.assert_array_equal(bench.target(), start)
        assert heard[-1].code in (-1, 0)
        assert switch(0)
        bench.stream(1.0, send)
        moved = bench.target() - start
        assert moved[0] == pytest.approx(0.2, abs=0.06)
        np.testing.assert_allclose(moved[1:], 0.0, atol=1e-3)
        paused = bench.ask(SetBool, 'servo_node/pause_servo', SetBool.Request(data=True))
        assert paused.success
        count = bench.refused()
        send(0.0)
        wait_for(lambda: bench.refused() == count + 1, 'it to be refused while paused')
        assert bench.errors() == ()
    finally:
        bench.close()


def test_positions_in_an_array_are_in_the_controllers_order(positions):
    start = positions.target()

    def send(t_s):
        q = start + 0.05 * (1.0 - np.cos(np.pi * t_s))
        positions.publish('commands', Float64MultiArray(data=q[::-1].tolist()))

    positions.stream(1.0, send, rate_hz=100.0)
    wait_for(lambda: (positions.target() - start > 0.09).all(), 'every joint to move')
    assert positions.errors() == ()
    positions.publish('commands', Float64MultiArray(data=[0.0] * 6))
    wait_for(lambda: positions.refused() == 1, 'another number of joints to be refused')
    positions.publish('commands', Float64MultiArray(data=(positions.target() + 0.3).tolist()))
    wait_for(positions.errors, 'a step to be an error')


def test_speeds_in_an_array_hold_until_others_come(speeds):
    start = speeds.target()

    def send(t_s):
        dq = 0.2 * min(1.0, 5.0 * t_s, 5.0 * max(1.0 - t_s, 0.0))
        speeds.publish('commands', Float64MultiArray(data=[dq] * 7))

    speeds.stream(1.0, send, rate_hz=100.0)
    speeds.publish('commands', Float64MultiArray(data=[0.0] * 7))
    time.sleep(0.5)
    np.testing.assert_allclose(speeds.target() - start, 0.16, atol=0.04)
    assert speeds.errors() == ()
    speeds.publish('commands', Float64MultiArray(data=[1.0] * 7))
    wait_for(speeds.errors, 'a step to be an error')
    assert STEP_ERROR in speeds.errors()


def test_a_rig_that_was_inactive_does_not_go_on_with_what_it_was_told(speeds):
    speeds.publish('commands', Float64MultiArray(data=[0.01] * 7))
    start = speeds.target()
    wait_for(lambda: (speeds.target() > start).all(), 'the arm to move')
    for step in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request()
        request.transition.id = step
        assert speeds.ask(ChangeState, 'sim_rig/change_state', request).success
    held = speeds.target()
    time.sleep(0.3)
    np.testing.assert_array_equal(speeds.target(), held)


def test_an_array_of_another_length_is_refused_with_the_joints(speeds):
    with pytest.raises(SpecError, match='a number for each of fr3_joint1, fr3_joint2'):
        ArrayReader(speeds.rig._config)(Float64MultiArray(data=[0.0, float('nan')]))


def test_a_look_that_is_late_is_told_when_the_message_came(make_node):
    node, told = make_node('late'), []
    _, look = poll(node, Int8, 'number', lambda _, came_ns: told.append(came_ns), STATUS)
    publisher = node.create_publisher(Int8, 'number', STATUS)
    wait_for(publisher.get_subscription_count, 'the subscription')
    publisher.publish(Int8())
    time.sleep(0.3)
    now_ns = node.get_clock().now().nanoseconds
    look()
    assert 0.25e9 < now_ns - told[0] < 5e9
    elsewhere = {'received_timestamp': now_ns - 5_000_000_000}
    assert arrived_ns(elsewhere, now_ns) == now_ns, 'a time of another clock counts for nothing'
