"""Drivers of the arm: what is in their messages, how often they come, and how they end."""

from dataclasses import replace
import sys
import time

import numpy as np
import pytest
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.motion import JointMotion
from roboadapt_ros.control.spline import Target
from roboadapt_ros.errors import ConfigError, RefusedError, UnknownNameError
from roboadapt_ros.ros.outputs.output import ArmModel, Point
from roboadapt_ros.ros.outputs.sender import ArmSender, OUTPUTS, ZEROS
from roboadapt_ros.ros.outputs.servo import Servo
from roboadapt_ros.ros.outputs.settings import OPTIONS, OutputConfig, TOPICS, TYPES
from sensor_msgs.msg import JointState
from std_msgs.msg import Int8
from trajectory_msgs.msg import JointTrajectory

T0_NS = 1_700_000_000_123_456_789
NAMES = tuple(f'fr3_joint{n}' for n in range(1, 8))
KINEMATICS = PandaKinematics()
RATE_HZ = 100.0
Q = Q_HOME + np.linspace(-0.05, 0.05, 7)
DQ = np.linspace(-0.3, 0.3, 7)
POINT = Point(Q, DQ, None)


def model(**changes):
    limits = replace(
        robot_limits('fr3').scaled(velocity=0.5, acceleration=0.25, jerk=0.05), joint_names=NAMES
    )
    values = {
        'limits': limits,
        'hand_speed_max_m_s': 0.25,
        'forward': KINEMATICS.forward,
        'jacobian': KINEMATICS.jacobian,
        'base_frame': 'fr3_link0',
        'brake_ddq_max': robot_limits('fr3').ddq_max,
        'brake_dddq_max': robot_limits('fr3').dddq_max,
        'rate_hz': RATE_HZ,
        **changes,
    }
    return ArmModel(**values)


def output(driver, hand_speed_max_m_s=0.25, **options):
    made = model(hand_speed_max_m_s=hand_speed_max_m_s)
    return OUTPUTS[driver](OutputConfig(driver=driver, **options), made)


def settled(driver, point):
    """Return the message of a driver of speeds that has followed one point for long."""
    for _ in range(300):
        message = driver.message(point, T0_NS)
    return message


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def seconds(duration):
    return duration.sec + duration.nanosec / 1e9


# ---- settings ----


def test_every_driver_has_options_a_topic_a_type_and_a_class():
    assert set(OPTIONS) == set(TOPICS) == set(TYPES) == set(OUTPUTS)


def test_an_unknown_driver_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'joint_trajectory'"):
        OutputConfig(driver='joint_trajectories')


def test_an_option_of_another_driver_is_refused_with_its_own():
    with pytest.raises(ConfigError, match=r'horizon_s.*option of joint_trajectory; cartesian_pos'):
        OutputConfig(driver='cartesian_pose', horizon_s=0.1)


def test_a_rate_that_is_no_part_of_the_governors_is_refused_with_some_that_are():
    with pytest.raises(ConfigError, match=r'100, 50, 33\.3333'):
        output('joint_impedance', rate_hz=60.0)
    with pytest.raises(ConfigError, match='whole part'):
        output('joint_impedance', rate_hz=200.0)


def test_a_type_that_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'control_msgs.msg', None)
    with pytest.raises(
        ConfigError, match=r'control_msgs/msg/JointJog.*ros-\$ROS_DISTRO-control-m'
    ):
        output('servo_jog')


# ---- joints ----


def test_a_joint_target_is_freshly_stamped_and_carries_speeds():
    message = output('joint_impedance').message(POINT, T0_NS)
    assert isinstance(message, JointState)
    assert stamp_ns(message) == T0_NS
    assert tuple(message.name) == NAMES
    np.testing.assert_array_equal(message.position, Q)
    np.testing.assert_array_equal(message.velocity, DQ)
    without = output('joint_impedance', velocities=False).message(POINT, T0_NS)
    assert len(without.velocity) == 0


@pytest.mark.parametrize('driver', ['joint_impedance', 'float64_array', 'joint_trajectory'])
def test_joints_are_written_in_the_order_the_controller_assumes(driver):
    order = tuple(reversed(NAMES))
    message = output(driver, joint_order=order).message(POINT, T0_NS)
    if driver == 'float64_array':
        np.testing.assert_array_equal(message.data, Q[::-1])
        return
    values = message.position if driver == 'joint_impedance' else message.points[0].positions
    np.testing.assert_array_equal(values, Q[::-1])
    assert tuple(getattr(message, 'name', None) or message.joint_names) == order


@pytest.mark.parametrize('ahead_ns', [0, 80_000_000, -80_000_000, 10**15])
def test_a_trajectory_begins_in_its_turn_by_the_controllers_clock(ahead_ns):
    made, late_ns = output('joint_trajectory', stamped=True, rate_hz=50.0), 13_000_000
    for number in range(100):
        came_ns, on_the_way_ns = T0_NS + number * 10_000_000, 300_000 + number % 7 * 1_000_000
        made.observe(came_ns - on_the_way_ns + ahead_ns, came_ns)
    begin_ns = came_ns + ahead_ns - 300_000
    assert stamp_ns(made.message(POINT, came_ns)) == begin_ns
    next_ns = stamp_ns(made.message(POINT, came_ns + 20_000_000 + late_ns))
    assert 0 <= next_ns - begin_ns - 20_000_000 < 0.05 * late_ns


def test_a_trajectory_begins_when_it_comes_by_default_and_while_the_clock_is_not_known():
    unstamped = output('joint_trajectory')
    unstamped.observe(T0_NS, T0_NS)
    assert stamp_ns(unstamped.message(POINT, T0_NS)) == 0
    stamped = output('joint_trajectory', stamped=True)
    stamped.observe(0, T0_NS)
    assert stamp_ns(stamped.message(POINT, T0_NS)) == 0, 'a driver that does not stamp'


def test_a_trajectory_leads_to_its_point_and_ends_at_rest():
    message = output('joint_trajectory', rate_hz=50.0).message(POINT, T0_NS)
    assert isinstance(message, JointTrajectory)
    assert tuple(message.joint_names) == NAMES
    first, last = message.points
    assert seconds(first.time_from_start) == pytest.approx(0.04), 'two periods of 50 Hz'
    np.testing.assert_array_equal(first.positions, Q)
    np.testing.assert_array_equal(first.velocities, DQ)
    np.testing.assert_array_equal(last.velocities, np.zeros(7))
    stop_s = seconds(last.time_from_start) - seconds(first.time_from_start)
    np.testing.assert_allclose(last.positions, Q + DQ * stop_s / 2)
    assert (np.abs(DQ) / stop_s <= model().limits.ddq_max).all()


def test_the_stop_behind_a_trajectory_stays_within_the_joints():
    limits = model().limits
    edge = Point(limits.q_max - 1e-3, limits.dq_max, None)
    last = output('joint_trajectory').message(edge, T0_NS).points[1]
    assert (np.array(last.positions) <= limits.q_max).all()


def test_a_horizon_of_less_than_two_periods_is_refused():
    with pytest.raises(ConfigError, match=r'horizon_s = 0\.03.*at least 2 periods.*0\.04 s'):
        output('joint_trajectory', rate_hz=50.0, horizon_s=0.03)


class Controller:
    """joint_trajectory_controller as far as a stream needs it, at 1 kHz, one joint.

    Cubic from the state it desires now to the first point, then to the second; a new trajectory
    replaces the old (`interpolate_from_desired_state: true`).
    """

    def __init__(self, q):
        self.q, self.dq, self.knots = q, 0.0, []

    def take(self, message, joint, now_s):
        self.knots = [(now_s - 1e-3, self.q, self.dq)]  # where it was a cycle ago
        for point in message.points:
            due_s = now_s + seconds(point.time_from_start)
            self.knots.append((due_s, point.positions[joint], point.velocities[joint]))

    def step(self, now_s):
        while len(self.knots) > 1 and now_s > self.knots[1][0]:
            self.knots.pop(0)
        if len(self.knots) < 2:
            self.q, self.dq = (self.knots[0][1], 0.0) if self.knots else (self.q, 0.0)
            return self.q
        (t0, q0, v0), (t1, q1, v1) = self.knots[:2]
        span, s = t1 - t0, (now_s - t0) / (t1 - t0)
        h = (2 * s**3 - 3 * s**2 + 1, s**3 - 2 * s**2 + s, 3 * s**2 - 2 * s**3, s**3 - s**2)
        d = (6 * s**2 - 6 * s, 3 * s**2 - 4 * s + 1, 6 * s - 6 * s**2, 3 * s**2 - 2 * s)
        self.q = h[0] * q0 + h[1] * span * v0 + h[2] * q1 + h[3] * span * v1
        self.dq = (d[0] * q0 + d[2] * q1) / span + d[1] * v0 + d[3] * v1
        return self.q


def test_a_stream_of_trajectories_is_followed_a_horizon_later_and_ends_gently():
    """Joint 1 swings by 0.1 rad with 0.5 Hz; the stream breaks off in full motion."""
    driver = output('joint_trajectory', rate_hz=50.0, horizon_s=0.06)
    controller, track = Controller(Q[0]), []
    swing = 2 * np.pi * 0.5

    def wanted(now_s):
        return Q[0] + 0.1 * (1 - np.cos(swing * now_s)), 0.1 * swing * np.sin(swing * now_s)

    for tick in range(4000):
        now_s = tick / 1000
        if tick % 20 == 0 and now_s < 2.4:
            q, dq = Q.copy(), np.zeros(7)
            q[0], dq[0] = wanted(now_s)
            controller.take(driver.message(Point(q, dq, None), T0_NS), 0, now_s)
        track.append(controller.step(now_s))
    track = np.array(track)
    times = np.arange(0.5, 2.3, 0.001)
    late = [wanted(now_s - 0.06)[0] for now_s in times]
    found = track[(times * 1000).round().astype(int)]
    assert np.abs(found - late).max() < 1e-3
    acceleration = np.diff(track, 2) * 1e6
    assert np.abs(acceleration[100:]).max() < 1.001 * model().limits.ddq_max[0]
    assert np.abs(np.diff(track[-500:])).max() == 0.0, 'it has stopped by itself'
    assert abs(track[-1] - wanted(2.38)[0]) < 0.1


# ---- hand ----


@pytest.mark.parametrize('driver', ['cartesian_pose', 'servo_pose'])
def test_a_pose_is_that_of_the_joints_in_the_base_frame(driver):
    message = output(driver).message(POINT, T0_NS)
    position, quat_xyzw = KINEMATICS.forward(Q)
    assert message.header.frame_id == 'fr3_link0'
    assert stamp_ns(message) == T0_NS
    place, turn = message.pose.position, message.pose.orientation
    np.testing.assert_array_equal([place.x, place.y, place.z], position)
    np.testing.assert_array_equal([turn.x, turn.y, turn.z, turn.w], quat_xyzw)


def twist_of(message):
    linear, angular = message.twist.linear, message.twist.angular
    return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])


def test_a_twist_is_how_the_hand_moves():
    slow = Point(Q, 0.1 * DQ, None)
    message = settled(output('servo_twist'), slow)
    before, after = (KINEMATICS.forward(Q + sign * 1e-6 * DQ) for sign in (-1, 1))
    np.testing.assert_allclose(
        twist_of(message)[:3], 0.1 * (after[0] - before[0]) / 2e-6, atol=1e-6
    )
    assert message.header.frame_id == 'fr3_link0'
    assert stamp_ns(message) == T0_NS


def test_a_twist_is_never_faster_than_the_hand_may_be():
    behind = Point(Q, DQ, Q - 0.3)
    found = twist_of(settled(output('servo_twist', feedback_1_s=5.0), behind))
    assert np.linalg.norm(found[:3]) == pytest.approx(0.25)


def test_unitless_speeds_are_parts_of_servos_scales_and_at_most_one():
    point = Point(Q, 0.05 * DQ, None)
    speeds = twist_of(settled(output('servo_twist'), point))
    parts = twist_of(settled(output('servo_twist', units='unitless'), point))
    np.testing.assert_allclose(parts, speeds / np.repeat([0.4, 0.8], 3))
    driver = output('servo_twist', units='unitless', scale_linear_m_s=0.05)
    fast = twist_of(settled(driver, Point(Q, 9 * DQ, None)))
    assert np.abs(fast).max() == pytest.approx(1.0)
    assert np.abs(fast).max() <= 1.0


def test_a_jog_has_a_speed_for_every_joint():
    jog = pytest.importorskip('control_msgs.msg', reason='control_msgs is not installed').JointJog
    order = tuple(reversed(NAMES))
    driver = output('servo_jog', hand_speed_max_m_s=3.0, rate_hz=50.0, joint_order=order)
    message = settled(driver, POINT)
    assert isinstance(message, jog)
    assert tuple(message.joint_names) == NAMES[::-1]
    np.testing.assert_array_equal(message.velocities, DQ[::-1])
    assert list(message.displacements) == []
    assert message.duration == pytest.approx(0.02)
    assert (message.header.frame_id, stamp_ns(message)) == ('fr3_link0', T0_NS)
    assert list(driver.zero(T0_NS).velocities) == [0.0] * 7


# ---- speeds ----


def test_an_arm_moved_by_speeds_does_not_drift_away():
    """An arm that does 5 % less than it is told is brought back to the points."""
    driver = output('float64_array', 3.0, quantity='velocity', feedback_1_s=2.0)
    measured, errors = Q.copy(), []
    for tick in range(1000):
        q = Q + 0.2 * (1 - np.cos(tick / 100)) * np.ones(7)
        dq = 0.2 * np.sin(tick / 100) * np.ones(7)
        speeds = np.array(driver.message(Point(q, dq, measured), T0_NS).data)
        assert (np.abs(speeds) <= model().limits.dq_max + 1e-9).all()
        measured = measured + 0.95 * speeds / RATE_HZ
        errors.append(np.abs(q - measured).max())
    assert max(errors) < 0.01


def test_without_fresh_joint_states_speeds_are_the_points_own():
    driver = output('float64_array', 3.0, quantity='velocity')
    np.testing.assert_array_equal(settled(driver, POINT).data, DQ)


STEP = 0.3
"""A measured position that jumps [rad]."""


def stepped(driver, read):
    """Return what is sent while a joint state jumps, comes back, and turns stale."""
    jumped = Q.copy()
    jumped[0] -= STEP
    sent = []
    for measured in (Q, jumped, Q, jumped, None):
        for _ in range(40):
            sent.append(read(driver.message(Point(Q, 0.0 * Q, measured), T0_NS)))
    return np.array(sent)


def test_speeds_come_and_go_with_the_arms_acceleration_however_states_jump():
    driver = output('float64_array', quantity='velocity', rate_hz=50.0)
    sent = stepped(driver, lambda message: np.array(message.data))
    limits = model().limits
    most = limits.ddq_max * 0.02
    assert (np.abs(np.diff(sent, axis=0)) <= most + 1e-12).all()
    assert np.abs(np.diff(sent, axis=0)).max() == pytest.approx(most[0]), 'as fast as it may'
    assert sent[79, 0] == pytest.approx(0.25 * limits.dq_max[0]), 'catching up is capped'
    assert abs(sent[-1, 0]) < 1e-12


def test_a_twist_comes_and_goes_with_the_arms_acceleration_too():
    driver = output('servo_twist', rate_hz=50.0)
    sent = stepped(driver, twist_of)
    most = np.abs(KINEMATICS.jacobian(Q)[:, 0]) * model().limits.ddq_max[0] * 0.02
    assert (np.abs(np.diff(sent, axis=0)) <= most + 1e-12).all()
    assert np.linalg.norm(sent[79, :3]) > 0.05
    assert np.abs(sent[-1]).max() < 1e-12


def test_catching_up_is_slower_near_a_joints_end_where_an_fr3_has_to_be():
    limits = model().limits
    driver = output('float64_array', 3.0, quantity='velocity', feedback_1_s=20.0)
    q = Q.copy()
    q[0] = limits.q_max[0] - 0.04
    sent = np.array(settled(driver, Point(q, np.zeros(7), q - 0.1)).data)
    _, high = limits.velocity_bounds(q)
    assert high[0] < 0.25 * limits.dq_max[0], 'near enough'
    assert sent[0] == pytest.approx(high[0])
    assert sent[1] > 0.1


def test_catching_up_makes_the_hand_no_faster_than_it_may_be():
    """Joint 1 turns the whole arm: what a jog adds must not pass the limit of the hand."""
    driver = output('float64_array', hand_speed_max_m_s=0.1, quantity='velocity')
    behind = Point(Q, np.zeros(7), Q - np.eye(7)[0])
    for _ in range(100):
        dq = np.array(driver.message(behind, T0_NS).data)
        assert np.linalg.norm(KINEMATICS.jacobian(Q)[:3] @ dq) < 0.1 + 1e-9
    assert np.linalg.norm(KINEMATICS.jacobian(Q)[:3] @ dq) == pytest.approx(0.1)


@pytest.mark.parametrize('rate_hz', [100.0, 50.0])
def test_plan_and_catching_up_together_keep_speed_acceleration_and_jerk(rate_hz):
    """A plan at its own limits all the time, under joint states that jump to and fro."""
    driver = output('float64_array', 3.0, quantity='velocity', rate_hz=rate_hz)
    limits, motion = model().limits, JointMotion(model().limits, 1.0 / RATE_HZ)
    motion.reset(Q)
    rng, measured, sent = np.random.default_rng(0), Q.copy(), []
    for tick in range(3000):
        if tick % 60 == 0:
            goal = Target(Q + rng.uniform(-0.3, 0.3, 7), np.zeros(7), np.zeros(7))
        motion.take(motion.propose(goal))
        q, dq, _ = motion.state
        heard = measured + (rng.uniform(-STEP, STEP, 7) if tick // 100 % 7 == 3 else 0.0)
        if tick % round(RATE_HZ / rate_hz) == 0:
            sent.append(np.array(driver.message(Point(q, dq, heard), T0_NS).data))
        measured = measured + 0.98 * sent[-1] / RATE_HZ
    speeds = np.array(sent)
    assert (np.abs(speeds) <= limits.dq_max + 1e-9).all()
    changes = np.diff(speeds, axis=0) * rate_hz
    assert (np.abs(changes) <= limits.ddq_max * (1 + 1e-9)).all()
    assert (np.abs(np.diff(changes, axis=0)) * rate_hz <= limits.dddq_max * (1 + 1e-9)).all()


def test_what_is_sent_is_not_late_for_a_plan_at_its_limits():
    """An arm that does what it is told stays near its points, though speeds pass a limiter."""
    driver = output('float64_array', 3.0, quantity='velocity')
    motion = JointMotion(model().limits, 1.0 / RATE_HZ)
    motion.reset(Q)
    measured, errors = Q.copy(), []
    for tick in range(600):
        goal = Target(Q + 0.3 * (-1) ** (tick // 100), np.zeros(7), np.zeros(7))
        motion.take(motion.propose(goal))
        q, dq, _ = motion.state
        speeds = np.array(driver.message(Point(q, dq, measured), T0_NS).data)
        measured = measured + speeds / RATE_HZ
        errors.append(np.abs(q - measured).max())
    assert max(errors) < 0.02


# ---- sending ----


class Publisher:
    def __init__(self):
        self.sent = []

    def publish(self, message):
        self.sent.append(message)


class FakeNode:
    """As much of a node as the sender needs."""

    def __init__(self):
        self.out, self.made = Publisher(), []

    def publisher(self, kind, topic, qos):
        self.made.append((kind, topic, qos))
        return self.out

    def subscribe(self, kind, topic, callback, qos):
        self.made.append((kind, topic, callback))


def sender(driver, **options):
    node = FakeNode()
    return ArmSender(node, OutputConfig(driver=driver, **options), model()), node


def test_at_half_the_rate_every_other_point_is_sent_and_the_first_after_a_silence():
    made, node = sender('joint_impedance', rate_hz=50.0)
    for tick in range(5):
        made.send(POINT, T0_NS + tick)
    assert [stamp_ns(m) - T0_NS for m in node.out.sent] == [0, 2, 4]
    made.quiet(T0_NS)
    made.send(POINT, T0_NS + 9)
    assert stamp_ns(node.out.sent[-1]) == T0_NS + 9


def test_a_driver_of_positions_just_falls_silent():
    made, node = sender('joint_impedance')
    made.send(POINT, T0_NS)
    for _ in range(50):
        made.quiet(T0_NS)
    made.end(T0_NS)
    assert len(node.out.sent) == 1


def test_a_driver_of_speeds_brakes_and_sends_zeros_before_it_falls_silent():
    made, node = sender('float64_array', quantity='velocity', rate_hz=50.0)
    for _ in range(400):
        made.send(Point(Q, 0.5 * DQ, None), T0_NS)
    count = len(node.out.sent)
    before = np.array(node.out.sent[-1].data)
    for _ in range(50):
        made.quiet(T0_NS)
    sent = np.array([before, *(list(message.data) for message in node.out.sent[count:])])
    full = robot_limits('fr3').ddq_max
    assert (np.abs(np.diff(sent, axis=0)) <= full / RATE_HZ + 1e-12).all()
    assert len(sent) == 1 + 1 + ZEROS, 'from 0.15 rad/s with 10 rad/s2: two ticks, then zeros'
    assert (sent[2:] == 0.0).all()
    np.testing.assert_allclose(sent[1], before * sent[1, 0] / before[0], err_msg='same way')
    made.send(Point(Q, 0.5 * DQ, None), T0_NS)
    assert np.abs(node.out.sent[-1].data).max() <= 0.02 * model().limits.ddq_max[0] + 1e-12


@pytest.mark.parametrize('driver', ['float64_array', 'servo_twist'])
def test_a_driver_of_speeds_that_ends_in_motion_comes_to_rest_first(driver):
    """One zero at once would be a step of as much as the arm was fast."""
    is_array = driver == 'float64_array'
    options = {'quantity': 'velocity'} if is_array else {'servo_release': 'humble'}
    made, node = sender(driver, **options)
    made._servo = None  # nobody to be asked
    for _ in range(400):
        made.send(POINT, T0_NS)
    count = len(node.out.sent)
    made.end(T0_NS)
    read = (lambda message: np.array(message.data)) if is_array else twist_of
    sent = np.array([read(message) for message in node.out.sent[count - 1 :]])
    full = robot_limits('fr3').ddq_max / RATE_HZ
    most = full if is_array else np.abs(KINEMATICS.jacobian(Q)) @ full
    assert len(sent) > 3
    assert (np.abs(np.diff(sent, axis=0)) <= most + 1e-12).all()
    assert (sent[-1] == 0.0).all()
    count = len(node.out.sent)
    made.end(T0_NS)
    assert len(node.out.sent) == count


def test_a_twist_that_ends_is_freshly_stamped_to_the_last():
    """moveit_servo minds a command that is older than 0.1 s."""
    made, node = sender('servo_twist', servo_release='humble')
    made._servo = None
    for _ in range(400):
        made.send(POINT, T0_NS)
    before_s, count = time.monotonic(), len(node.out.sent)
    made.end(T0_NS)
    took_ns = (time.monotonic() - before_s) * 1e9
    stamps = np.array([stamp_ns(message) - T0_NS for message in node.out.sent[count:]])
    assert (np.diff(stamps) > 0).all()
    assert 0.0 <= took_ns - stamps[-1] < 5e7


def test_an_array_of_positions_has_no_zeros():
    made, node = sender('float64_array')
    made.send(POINT, T0_NS)
    made.quiet(T0_NS)
    assert len(node.out.sent) == 1


def test_depth_and_reliability_are_the_rig_files():
    _, node = sender('joint_impedance', depth=3, reliable=False)
    kind, topic, qos = node.made[0]
    assert (kind, topic, qos.depth) == (JointState, 'target_joint', 3)
    assert qos.reliability.name == 'BEST_EFFORT'


# ---- moveit_servo ----


class Client:
    def __init__(self, name):
        self.srv_name, self.requests, self.is_there, self.answers = name, [], False, []

    def service_is_ready(self):
        return self.is_there

    def call_async(self, request):
        self.requests.append(request)
        return self

    def done(self):
        return bool(self.answers)

    def result(self):
        return self.answers.pop(0)

    def remove_pending_request(self, _):
        pass


class ServoNode(FakeNode):
    """Whose service clients are in `clients`."""

    def __init__(self):
        super().__init__()
        self.clients = {}

    def create_client(self, kind, name):
        self.clients[name] = Client(name)
        return self.clients[name]

    def destroy_client(self, client):
        del self.clients[client.srv_name]


def test_humbles_servo_is_started_before_anything_is_sent():
    node = ServoNode()
    made = ArmSender(node, OutputConfig(driver='servo_twist', servo_release='humble'), model())
    made.begin()
    client = node.clients['servo_node/start_servo']
    with pytest.raises(RefusedError, match=r'output: service servo_node/start_servo is not there'):
        made.require()
    client.is_there = True
    made.quiet(T0_NS)
    assert len(client.requests) == 1
    client.answers.append(type('Answer', (), {'success': False, 'message': 'no planning scene'}))
    made.quiet(T0_NS)
    with pytest.raises(RefusedError, match=r'start_servo: no planning scene'):
        made.require()
    made.quiet(T0_NS + 900_000_000)
    assert len(client.requests) == 1, 'it is asked once a second'
    made.quiet(T0_NS + 1_100_000_000)
    assert len(client.requests) == 2
    client.answers.append(type('Answer', (), {'success': True, 'message': ''}))
    made.quiet(T0_NS)
    made.require()


def test_servos_status_is_told_by_its_release():
    node = ServoNode()
    made = ArmSender(node, OutputConfig(driver='servo_twist', servo_release='humble'), model())
    made.begin()
    kind, topic, heard = node.made[-1]
    assert (kind, topic) == (Int8, 'servo_node/status')
    heard(Int8(data=6))
    assert made.remark == 'servo slows down while it leaves a singularity'
    heard(Int8(data=0))
    assert made.remark == ''


def test_jazzys_servo_is_told_the_type_of_command():
    srv = pytest.importorskip('moveit_msgs.srv', reason='moveit_msgs is not installed')
    msg = pytest.importorskip('moveit_msgs.msg')
    for driver, wanted in (('servo_twist', 'TWIST'), ('servo_pose', 'POSE')):
        node = ServoNode()
        made = ArmSender(node, OutputConfig(driver=driver, servo_release='jazzy'), model())
        made.begin()
        client = node.clients['servo_node/switch_command_type']
        client.is_there = True
        made.quiet(T0_NS)
        request = client.requests[0]
        assert request.command_type == getattr(srv.ServoCommandType.Request, wanted)
        client.answers.append(srv.ServoCommandType.Response(success=True))
        made.quiet(T0_NS)
        made.require()
        kind, _, heard = node.made[-1]
        assert kind is msg.ServoStatus
        heard(msg.ServoStatus(code=msg.ServoStatus.JOINT_BOUND))
        assert made.remark == 'servo has halted at the end of a joint'


def test_poses_for_humbles_servo_are_refused_with_what_it_takes():
    with pytest.raises(ConfigError, match='takes servo_twist or servo_jog'):
        Servo(ServoNode(), OutputConfig(driver='servo_pose', servo_release='humble'))


def test_the_release_follows_the_distribution(monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    assert Servo(ServoNode(), OutputConfig(driver='servo_twist')).release == 'humble'
