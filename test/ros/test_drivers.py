"""The governor as a process with each kind of driver, beside an arm of this test."""

from contextlib import contextmanager

from fake_arm import FakeArm
from geometry_msgs.msg import PoseStamped, TwistStamped
from graph_watch import wait_for
from node_process import governor_process
import numpy as np
import pytest
from roboadapt_ros.bringup.transitions import Transition
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.outputs.settings import TOPICS
from roboadapt_ros.ros.qos import COMMAND, STATE, TRACE
from roboadapt_ros.ros.rig_messages import pose
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

pytestmark = [pytest.mark.processes]
SWING_RAD = 0.1
"""What the arm's chunks move joint 1 by, both ways."""


@contextmanager
def governed(connection, folder, **parameters):
    """Run an active governor beside an arm; yields the arm."""
    arm = FakeArm(connection)
    try:
        with governor_process(connection, folder, parameters):
            wait_for(lambda: arm.state == 'idle', 'an idle governor')
            yield arm
    finally:
        arm.close()


@contextmanager
def hearing(connection, kind, topic, qos=TRACE):
    """Listen, without losing what comes in a burst; yields the list of messages."""
    heard = []
    made = connection._node.create_subscription(kind, topic, heard.append, qos)
    try:
        yield heard
    finally:
        connection._node.destroy_subscription(made)


def move_and_stop(arm, heard, count, seen=lambda: True):
    """Have the arm move until messages came, then let the chunks end and the governor idle.

    `seen` is what must be true of them as well: a busy machine makes the arm hold for a while.
    """
    arm.sends_chunks = True
    wait_for(lambda: len(heard) > count and seen(), 'messages of a whole motion', 30.0)
    arm.sends_chunks = False
    wait_for(lambda: arm.state == 'idle', 'a release')


def test_trajectories_reach_the_controller_at_their_own_rate(connection, tmp_path):
    output = {'driver': 'joint_trajectory', 'rate_hz': 50.0, 'horizon_s': 0.06}
    with (
        governed(connection, tmp_path, output=output) as arm,
        hearing(connection, JointTrajectory, TOPICS['joint_trajectory']) as heard,
        hearing(connection, *_points()) as points,
    ):

        def swing():
            return np.ptp([message.points[0].positions[0] for message in heard])

        move_and_stop(arm, heard, 100, lambda: swing() > SWING_RAD)
        wait_for(lambda: len(points) > 1.9 * len(heard), 'all points')
        assert len(points) < 2.2 * len(heard), 'half of the points are sent'
        firsts = np.array([message.points[0].positions for message in heard])
        assert {p.time_from_start.nanosec for p in (m.points[0] for m in heard)} == {60_000_000}
        sent = {tuple(p.actions[:7]) for p in points}
        assert sum(tuple(first) in sent for first in firsts) > 0.9 * len(firsts)


def test_poses_are_those_of_the_points(connection, tmp_path):
    parameters = {'output': {'driver': 'cartesian_pose'}, 'base_frame': 'panda_link0'}
    with (
        governed(connection, tmp_path, **parameters) as arm,
        hearing(connection, PoseStamped, TOPICS['cartesian_pose']) as heard,
    ):
        width_m = 2 * SWING_RAD * PandaKinematics().forward(Q_HOME)[0][0]

        def across():
            return np.ptp([message.pose.position.y for message in heard])

        move_and_stop(arm, heard, 100, lambda: across() > 0.7 * width_m)
        assert heard[-1].header.frame_id == 'panda_link0'
        assert across() == pytest.approx(width_m, rel=0.3)


def test_speeds_move_an_arm_and_end_in_zeros(connection, tmp_path):
    output = {'driver': 'float64_array', 'quantity': 'velocity'}
    with (
        governed(connection, tmp_path, output=output) as arm,
        hearing(connection, Float64MultiArray, TOPICS['float64_array']) as heard,
    ):

        def integrate(message):
            arm.q = arm.q + 0.01 * np.array(message.data)

        topic = TOPICS['float64_array']
        made = connection._node.create_subscription(Float64MultiArray, topic, integrate, COMMAND)
        try:
            move_and_stop(arm, heard, 300)
            assert np.ptp([m.data[0] for m in heard]) > 0.2, 'rad/s'
            assert np.abs(arm.q - Q_HOME).max() < 0.15
            wait_for(lambda: not np.any([m.data for m in heard[-5:]]), 'zeros at the end')
        finally:
            connection._node.destroy_subscription(made)


def test_servo_is_started_before_anything_moves_and_left_with_zeros(connection, tmp_path):
    output = {'driver': 'servo_twist', 'servo_release': 'humble', 'rate_hz': 50.0}
    with (
        governed(connection, tmp_path, output=output) as arm,
        hearing(connection, TwistStamped, TOPICS['servo_twist']) as heard,
    ):
        arm.sends_chunks = True
        wait_for(lambda: _count(arm, 'output') > 3, 'refused chunks')
        assert heard == []
        arm.serve('servo_node/start_servo')
        move_and_stop(arm, heard, 100)
        assert 'servo_node/start_servo' in arm.calls
        assert np.ptp([m.twist.linear.y for m in heard]) > 0.05
        wait_for(lambda: all(m.twist.linear.y == 0.0 for m in heard[-5:]), 'zeros at the end')


def test_an_arm_that_is_not_where_its_model_has_it_is_not_moved(connection, tmp_path):
    with (
        governed(connection, tmp_path, check_pose=True) as arm,
        hearing(connection, *_points()) as points,
    ):
        position, quat_xyzw = PandaKinematics().forward(Q_HOME)
        out = connection._node.create_publisher(PoseStamped, 'current_pose', STATE)

        def report(off_m):
            stamp = to_time(connection._node.get_clock().now().nanoseconds)
            out.publish(pose(stamp, 'base', position + np.array([0.0, 0.0, off_m]), quat_xyzw))

        try:
            arm.sends_chunks = True
            wait_for(lambda: _count(arm, 'frame') > 2, 'chunks refused without a pose')
            wait_for(lambda: report(0.1034) or _count(arm, 'frame') > 10, 'refused chunks')
            assert (points, arm.state) == ([], 'idle')
            for transition in (Transition.DEACTIVATE, Transition.ACTIVATE):
                assert connection.transition('/governor', transition, 20.0)
            wait_for(lambda: report(0.001) or arm.state == 'tracking', 'motion')
        finally:
            connection._node.destroy_publisher(out)


def _points():
    from roboadapt_interfaces.msg import ActionChunk

    return ActionChunk, 'governor/command', TRACE


def _count(arm, cause):
    """Return how many chunks the governor refused for a cause."""
    if not arm.status:
        return 0
    status = arm.status[-1]
    return dict(zip(status.causes, status.counts, strict=True)).get(cause, 0)
