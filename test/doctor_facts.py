"""Facts of a rig on which everything is as it should be, for tests to spoil one thing of."""

from __future__ import annotations

from dataclasses import replace

import fakes
import numpy as np
from roboadapt_ros.doctor.contract import TaskFacts
from roboadapt_ros.doctor.facts import (
    ArmState,
    CameraFacts,
    Controller,
    Endpoint,
    FirstAction,
    GraphFacts,
    HostFacts,
    Picture,
    ProfileFacts,
    Report,
    RigFacts,
    Stream,
    StreamRule,
    Topic,
)

JOINTS = tuple(f'fr3_joint{i}' for i in range(1, 8))
NODES = ('/governor', '/sim2real', '/policy', '/encoder')
HERE, THERE = b'\x01\x0f\x78\xfd', b'\x01\x0f\x11\x22'
"""First bytes of a GUID of Fast DDS on this host, and on another."""
CYCLONE = b'\x01\x10\x78\xfd'
START_NS = 1_700_000_000_000_000_000
STATE, TARGET, GRIPPER = '/franka/joint_states', '/target_joint', '/gripper/commands'
SCENE, WRIST = '/cameras/scene/image_raw', '/cameras/wrist/image_raw'
HAND_M = (0.45, 0.0, 0.35)

RIG = RigFacts(
    name='fr3_crisp',
    simulated=False,
    robot='fr3',
    joint_names=JOINTS,
    joint_states=STATE,
    command=TARGET,
    gripper_command=GRIPPER,
    robot_state_type='franka_msgs/FrankaRobotState',
    cameras=(
        CameraFacts(name='scene', topic=SCENE, has_driver=True),
        CameraFacts(name='wrist', topic=WRIST, has_driver=False),
    ),
    nodes=NODES,
    workspace_m=((0.25, -0.4, 0.0), (0.7, 0.4, 0.6)),
)
ARM = StreamRule(topic=STATE, role='joint states of the arm', minimum_hz=50.0, max_age_s=0.1)
CAMERA = StreamRule(
    topic=SCENE, role="camera 'scene'", minimum_hz=10.0, max_age_s=0.3, is_camera=True
)
TASK = TaskFacts(
    name=fakes.CIRCLE_LEFT, contract=replace(fakes.circle_contract(), robot='fr3'), references={}
)


def endpoint(node, *, guid=HERE, kind='sensor_msgs/msg/JointState', reliable=True, **changes):
    """Return a reliable, volatile endpoint on this host."""
    settings = {'transient_local': False, **changes}
    return Endpoint(node=node, type=kind, reliable=reliable, guid=guid + bytes(12), **settings)


def stream(rule, *, hz, age_s=0.01, count=60, **changes):
    """Return regular messages that all are equally old when they come."""
    received = [START_NS + round(k * 1e9 / hz) for k in range(count)]
    stamps = tuple(time_ns - round(age_s * 1e9) for time_ns in received)
    values = {'received_ns': tuple(received), 'stamps_ns': stamps, **changes}
    return Stream(rule=rule, seconds=count / hz, **values)


def picture(**changes):
    """Return what the contract's cameras show."""
    values = {
        'width': 192,
        'height': 144,
        'encoding': 'rgb8',
        'frame_id': 'scene_optical_frame',
        'rgb': colours(),
        'intrinsics': (170.0, 170.0, 96.0, 72.0),
        **changes,
    }
    return Picture(**values)


def colours():
    """Return (144, 192, 3) a picture that is red on the left and blue on the right."""
    rgb = np.full((144, 192, 3), 60, np.uint8)
    rgb[:, :96, 0] = 220
    rgb[:, 96:, 2] = 180
    return rgb


def arm(**changes):
    """Return the arm in a middle pose, its hand where it says it is."""
    values = {
        'names': JOINTS,
        'q': np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785]),
        'hand_m': np.array(HAND_M),
        'hand_quat_xyzw': np.array([1.0, 0.0, 0.0, 0.0]),
        'reported_hand_m': np.array(HAND_M),
        'pose_frame': 'base',
        **changes,
    }
    return ArmState(**values)


def action(offset_m=0.02, **changes):
    """Return a first action beside the hand."""
    position = np.add(HAND_M, (offset_m, 0.0, 0.0))
    values = {
        'task': fakes.CIRCLE_LEFT,
        'space': 'ee_pose',
        'names': ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'gripper_width'),
        'values': np.array([*position, 1.0, 0.0, 0.0, 0.0, 0.08]),
        **changes,
    }
    return FirstAction(**values)


def host(**changes):
    """Return a host that has everything."""
    values = {
        'environment': {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_DOMAIN_ID': '3'},
        'rmw': 'rmw_fastrtps_cpp',
        'python': '3.12',
        'extension_suffix': '.cpython-312-x86_64-linux-gnu.so',
        'rclpy_path': '/opt/ros/jazzy/lib/python3.12/site-packages/rclpy',
        'rclpy_builds': ('_rclpy_pybind11.cpython-312-x86_64-linux-gnu.so',),
        'rclpy_problem': '',
        'kernel': '6.8.1-rt #1 SMP PREEMPT_RT',
        'is_realtime': True,
        'cpu_governors': ('performance',),
        'gpus': None,
        'profile': ProfileFacts(
            path='/config/fastdds.xml', segment_bytes=2**25, message_bytes=2**24
        ),
        'shared_memory_free': 2**30,
        'receive_buffer_max': 4 * 2**20,
        'datagrams_lost': 0,
        'installed': _Everything(),
        **changes,
    }
    return HostFacts(**values)


def graph(**changes):
    """Return a graph in which everything runs."""
    image = 'sensor_msgs/msg/Image'
    talk = {
        STATE: (('/joint_state_broadcaster',), ('/governor', '/sim2real', '/policy')),
        TARGET: (('/governor',), ('/joint_impedance_controller', '/policy')),
        GRIPPER: (('/governor',), ('/gripper_client',)),
        SCENE: (('/camera_scene',), ('/encoder',)),
    }
    topics = {
        name: Topic(
            name=name,
            publishers=tuple(endpoint(n, kind=image if n == '/camera_scene' else _K) for n in out),
            subscribers=tuple(
                endpoint(n, kind=image if n == '/encoder' else _K, reliable=False) for n in into
            ),
        )
        for name, (out, into) in talk.items()
    }
    values = {
        'domain': '3',
        'seconds': 3.0,
        'nodes': frozenset(NODES),
        'topics': topics,
        'streams': (stream(ARM, hz=100.0), stream(CAMERA, hz=10.0, age_s=0.03)),
        'pictures': {'scene': picture(), 'wrist': picture()},
        'arm': arm(),
        'first_action': action(),
        'active_task': fakes.CIRCLE_LEFT,
        'controllers': (
            Controller(
                name='joint_impedance_controller',
                state='active',
                claimed=tuple(f'{name}/effort' for name in JOINTS),
            ),
        ),
        'reports': {'encoder': Report(level=0, message='serving')},
        'own_guid': HERE + bytes(12),
        **changes,
    }
    return GraphFacts(**values)


_K = 'sensor_msgs/msg/JointState'


class _Everything(dict):
    """Says of every package that it is installed, but for those that were set otherwise."""

    def get(self, name, default=None):
        """Return True unless told otherwise."""
        return super().get(name, True)


def without(*names):
    """Return what is installed where some packages are not."""
    return _Everything(dict.fromkeys(names, False))
