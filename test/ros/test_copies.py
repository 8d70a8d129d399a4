"""A message sent at a driver's rate: several stamps for one writing."""

from itertools import pairwise
import time

from geometry_msgs.msg import PoseStamped
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rig_in_process import RigInProcess
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.copies import stamped_copies
from sensor_msgs.msg import JointState

T0_NS = 1_700_000_000_123_456_789
STAMPS_NS = [T0_NS, T0_NS + 1_000_000, 2_147_483_647_999_999_999]
MANY = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.mark.parametrize('kind', [PoseStamped, JointState])
def test_copies_differ_in_their_stamp_alone(kind):
    message = kind()
    message.header.frame_id = 'base'
    if kind is JointState:
        message.name, message.position = ['a', 'b'], [0.25, -1.5]
    else:
        message.pose.position.x = 1.5
    for data, stamp_ns in zip(stamped_copies(message, STAMPS_NS), STAMPS_NS, strict=True):
        found = deserialize_message(data, kind)
        assert from_time(found.header.stamp) == stamp_ns
        message.header.stamp = found.header.stamp
        assert found == message


def test_a_rig_sends_a_thousand_poses_a_second_in_order(domain):
    """As franka_ros2's broadcaster does, whose tick is ten times shorter than the rig's."""
    rig = RigInProcess(
        domain,
        {
            'joint_names': [f'panda_joint{i}' for i in range(1, 8)],
            'gripper_joint_names': ['panda_finger_joint1', 'panda_finger_joint2'],
            'gripper_message': 'std_msgs/Float64MultiArray',
            'pose_rate_hz': 1000.0,
            'robot_state_rate_hz': 1000.0,  # a DiagnosticStatus has no stamp: once a tick
        },
    )
    try:
        came = []
        rig.node.create_subscription(PoseStamped, 'current_pose', came.append, MANY, raw=True)
        rig.spin()
        deadline_s = time.monotonic() + 20.0
        while len(came) < 1500 and time.monotonic() < deadline_s:
            time.sleep(0.05)
    finally:
        rig.close()
    poses = [deserialize_message(data, PoseStamped) for data in came]
    stamps_ns = [from_time(pose.header.stamp) for pose in poses]
    assert len(poses) >= 1500
    assert all(after > before for before, after in pairwise(stamps_ns))
    per_s = (len(poses) - 1) / (stamps_ns[-1] - stamps_ns[0]) * 1e9
    assert per_s == pytest.approx(1000.0, rel=0.1), 'some may be lost on a busy machine'
    assert len({pose.pose.position.z for pose in poses[:40]}) <= 8, 'ten with the same values'
