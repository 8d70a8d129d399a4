"""What a rig says: joints by name, the state at an exposure, grippers, errors."""

import math
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np
import pytest
from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.control.robot_status import RobotMode
from roboadapt_ros.errors import ConfigError, RefusedError, SpecError
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.gripper import GripperReader, GripperWriter
from roboadapt_ros.ros.hands.settings import TOPIC_TYPES
from roboadapt_ros.ros.rig_messages import finger_state, joint_state
from roboadapt_ros.ros.robot import JointReader, message_class, StateBuffer
from roboadapt_ros.ros.robot_state import ROBOT_STATES
from sensor_msgs.msg import JointState

ARM, FINGERS = ('a', 'b', 'c'), ('left', 'right')
T0_NS = 10_000_000_000
TICK_NS = 10_000_000


def _forward(q):
    return np.asarray(q), np.array([0.0, 0.0, 0.0, 1.0])


def _arm(time_ns, q):
    return joint_state(to_time(time_ns), ARM, np.array(q), np.zeros(3))


@pytest.fixture
def buffer():
    """Return a buffer with joint a at 0, 1, 2, ... every 10 ms and a width of 0.06 m."""
    made = StateBuffer(ARM, FINGERS, _forward)
    made.gripper(finger_state(to_time(T0_NS), FINGERS, 0.06))
    for tick in range(10):
        made.arm(_arm(T0_NS + tick * TICK_NS, [float(tick), 0.0, 0.0]))
    return made


def test_joints_are_read_by_name_in_the_callers_order():
    message = JointState(name=['c', 'x', 'a'], position=[3.0, 9.0, 1.0], velocity=[0.3, 0.9, 0.1])
    q, dq = JointReader(('a', 'c')).read(message)
    np.testing.assert_array_equal(q, [1.0, 3.0])
    np.testing.assert_array_equal(dq, [0.1, 0.3])


def test_a_change_of_order_between_messages_is_noticed():
    reader = JointReader(('a', 'b'))
    reader.read(JointState(name=['a', 'b'], position=[1.0, 2.0]))
    q, _ = reader.read(JointState(name=['b', 'a'], position=[2.0, 1.0]))
    np.testing.assert_array_equal(q, [1.0, 2.0])


def test_missing_joints_and_missing_positions_are_named():
    with pytest.raises(SpecError, match=r'joints a.*required a, b'):
        JointReader(('a', 'b')).read(JointState(name=['a'], position=[1.0]))
    with pytest.raises(SpecError, match=r'1 values.*2'):
        JointReader(('a', 'b')).read(JointState(name=['a', 'b'], position=[1.0]))


def test_the_state_nearest_to_an_exposure_is_found(buffer):
    state = buffer.nearest(T0_NS + int(3.4 * TICK_NS), max_distance_s=0.02)
    assert state.q[0] == 3.0
    assert state.ee_position[0] == 3.0
    assert state.gripper_width_m == pytest.approx(0.06)


def test_a_state_too_far_from_the_exposure_is_refused(buffer):
    with pytest.raises(RefusedError, match=r'0\.110 s from the exposure'):
        buffer.nearest(T0_NS + 20 * TICK_NS, max_distance_s=0.05)


def test_a_gripper_that_fell_silent_is_refused(buffer):
    late_ns = T0_NS + int(0.6e9)
    buffer.arm(_arm(late_ns, [0.0, 0.0, 0.0]))
    with pytest.raises(RefusedError, match=r'gripper is 0\.600 s from the exposure, at most 0\.5'):
        buffer.nearest(late_ns, max_distance_s=0.02)


def test_a_rig_that_never_spoke_is_refused():
    with pytest.raises(RefusedError, match=r'of the arm'):
        StateBuffer(ARM, FINGERS, _forward).nearest(T0_NS, max_distance_s=1.0)


def test_a_repeated_or_older_state_is_not_taken(buffer):
    assert buffer.arm(_arm(T0_NS, [9.0, 0.0, 0.0])) is None
    assert buffer.latest.q[0] == 9.0 or buffer.latest.stamp_ns == T0_NS + 9 * TICK_NS


def test_a_clock_that_was_set_back_is_followed(buffer):
    hour_ns = 3600 * 10**9
    assert buffer.arm(_arm(T0_NS + hour_ns, [9.0, 0.0, 0.0])) is not None
    for tick in range(3):
        assert buffer.arm(_arm(T0_NS + (20 + tick) * TICK_NS, [1.0, 0.0, 0.0])) is not None
    assert buffer.latest.q[0] == 1.0


def test_a_second_is_kept_at_any_rate(buffer):
    for ms in range(2000):
        buffer.arm(_arm(T0_NS + 10**9 + ms * 10**6, [float(ms), 0.0, 0.0]))
        buffer.gripper(finger_state(to_time(T0_NS + 10**9 + ms * 10**6), FINGERS, 0.06))
    assert buffer.nearest(T0_NS + 2_100_000_000, max_distance_s=0.001).q[0] == 1100.0
    with pytest.raises(RefusedError, match='state_missing'):
        buffer.nearest(T0_NS + 1_900_000_000, max_distance_s=0.05)


def test_the_command_in_force_at_the_exposure_is_found(buffer):
    for tick in range(10):
        buffer.command(T0_NS + tick * TICK_NS, (*ARM, 'width'), [100.0 + tick, 0.0, 0.0, 0.04])
    at = T0_NS + int(4.9 * TICK_NS)
    assert buffer.nearest(at, max_distance_s=0.02).ee_commanded[0] == 104.0


def test_a_command_of_other_joints_is_refused(buffer):
    with pytest.raises(SpecError, match=r'3 values of b, a, c.*required a, b, c'):
        buffer.command(T0_NS, ('b', 'a', 'c'), [0.0, 0.0, 0.0])
    with pytest.raises(SpecError, match=r'2 values'):
        buffer.command(T0_NS, ARM, [0.0, 0.0])


def test_without_a_command_in_force_the_measured_place_counts(buffer):
    buffer.command(T0_NS - 20 * TICK_NS, ARM, [100.0, 0.0, 0.0])
    assert buffer.nearest(T0_NS, max_distance_s=0.02).ee_commanded[0] == 0.0


@pytest.mark.parametrize('kind', TOPIC_TYPES)
@pytest.mark.parametrize('convention', list(GripperConvention))
def test_a_width_survives_every_convention_and_message(kind, convention):
    writer, reader = (c(kind, convention, 0.08) for c in (GripperWriter, GripperReader))
    assert reader.width_m(writer.message(0.03, 1)) == pytest.approx(0.03, abs=1e-6)


def test_a_gripper_is_told_only_what_is_new():
    writer = GripperWriter('std_msgs/Float64', GripperConvention.WIDTH_M, 0.08)
    assert writer.message(0.03, 0) is not None
    assert writer.message(0.03, 10**7) is None
    assert writer.message(0.031, 2 * 10**7) is not None
    assert writer.message(0.031, 10**9) is not None, 'a hand that came up late must hear of it'


def test_a_gripper_command_that_is_no_number_is_refused():
    reader = GripperReader('std_msgs/Float64MultiArray', GripperConvention.WIDTH_M, 0.08)
    for data in ([], [0.1, 0.2], [math.nan]):
        with pytest.raises(SpecError, match=r'one finite number'):
            reader.width_m(reader.message_type(data=data))


def test_an_error_level_is_a_robot_that_can_not_move():
    read = ROBOT_STATES['diagnostic_msgs/DiagnosticStatus']
    assert read(DiagnosticStatus(level=DiagnosticStatus.OK, message='move')).problem is None
    found = read(DiagnosticStatus(level=DiagnosticStatus.ERROR, message='reflex'))
    assert found.problem == 'reflex'
    assert found.is_fault


def test_mode_and_errors_are_read_where_a_diagnostic_status_has_them():
    values = [
        KeyValue(key='robot_mode', value='4'),
        KeyValue(key='current_errors', value='joint_reflex cartesian_reflex'),
    ]
    message = DiagnosticStatus(level=DiagnosticStatus.ERROR, message='x', values=values)
    found = ROBOT_STATES['diagnostic_msgs/DiagnosticStatus'](message)
    assert found.mode is RobotMode.REFLEX
    assert found.problem == 'joint_reflex, cartesian_reflex'


class _Errors:
    """As rosidl makes franka_msgs/Errors: fields by name, all bool."""

    def __init__(self, *raised):
        for name in self.get_fields_and_field_types():
            setattr(self, name, name in raised)

    @classmethod
    def get_fields_and_field_types(cls):
        return {'joint_reflex': 'boolean', 'communication_constraints_violation': 'boolean'}


def _franka(mode, *raised):
    wrench = SimpleNamespace(
        force=SimpleNamespace(x=3.0, y=0.0, z=-4.0), torque=SimpleNamespace(x=0.0, y=2.0, z=0.0)
    )
    return SimpleNamespace(
        robot_mode=mode,
        current_errors=_Errors(*raised),
        last_motion_errors=_Errors('joint_reflex'),
        time=12.5,
        control_command_success_rate=0.9,
        o_f_ext_hat_k=SimpleNamespace(wrench=wrench),
    )


def test_a_franka_tells_mode_errors_success_rate_and_wrench():
    read = ROBOT_STATES['franka_msgs/FrankaRobotState']
    found = read(_franka(2))
    assert (found.mode, found.problem, found.success_rate) == (RobotMode.MOVE, None, 0.9)
    assert (found.force_n, found.torque_nm) == (5.0, 2.0)
    assert (found.last_errors, found.time_s) == (('joint_reflex',), 12.5)
    assert read(_franka(4, 'joint_reflex')).problem == 'joint_reflex'
    assert read(_franka(3)).problem == 'robot mode 3 (guiding)'
    assert not read(_franka(3)).is_fault
    assert read(_franka(5)).is_user_stopped, 'a user stop may raise no error'
    assert read(_franka(99)).problem is not None, 'an unknown mode must not move the arm'


def test_a_message_package_that_is_not_installed_is_named():
    with pytest.raises(ConfigError, match=r'no_such_msgs/Thing.*installed'):
        message_class('no_such_msgs/Thing')


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('controller_manager_msgs/srv/NoSuch', r'ros-\$ROS_DISTRO-controller-manager-msgs'),
        ('no_such_msgs/action/Thing', r'ros-\$ROS_DISTRO-no-such-msgs'),
        ('std_srvs/srv/Triger', 'std_srvs/srv/Triger'),
    ],
)
def test_a_type_that_a_rig_file_asks_for_and_is_not_here_names_its_package(name, words):
    with pytest.raises(ConfigError, match=words):
        interface_class(name)
