"""Single nodes in processes of their own: life, death, cameras, recordings."""

import re
import signal
import time

import cv2
from graph_watch import wait_for
import numpy as np
import pytest
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.environment import find_free_domain, process_environment
from roboadapt_ros.bringup.process import NodeProcess, stop_all
from roboadapt_ros.bringup.processes import ProcessDescription
from roboadapt_ros.bringup.transitions import Transition
from roboadapt_ros.ros.images import to_rgb
from roboadapt_ros.ros.qos import IMAGE, STATUS
from sensor_msgs.msg import CameraInfo, Image

pytestmark = [pytest.mark.processes]
START_S = 60.0
GOVERNOR = {
    'robot': 'panda',
    'joint_names': [f'panda_joint{i}' for i in range(1, 8)],
    'gripper_joint_names': ['left', 'right'],
}


@pytest.fixture(scope='module')
def domain_of_processes():
    return find_free_domain()


@pytest.fixture(scope='module')
def connection(domain_of_processes):
    with Connection(domain_id=domain_of_processes, images=True) as made:
        yield made


@pytest.fixture
def start(tmp_path, domain_of_processes):
    """Return a function that starts a node and stops it after the test."""
    started = []

    def begin(node, parameters, remappings=()):
        description = ProcessDescription(
            name=node,
            executable=f'{node}_node',
            namespace='',
            parameters=parameters,
            remappings=remappings,
            environment={},
        )
        process = NodeProcess(description, tmp_path, process_environment(domain_of_processes))
        process.start()
        started.append(process)
        return process

    yield begin
    stop_all(started, 5.0)


def _up(connection, name):
    connection.forget(f'/{name}')
    wait_for(lambda: connection.is_ready(f'/{name}'), f'{name} to offer its lifecycle', START_S)


def _activate(connection, name):
    _up(connection, name)
    assert connection.transition(f'/{name}', Transition.CONFIGURE, 20.0)
    assert connection.transition(f'/{name}', Transition.ACTIVATE, 20.0)


def _settings(name, tmp_path):
    """Return parameters with which a node needs no other."""
    if name == 'camera':
        folder = str(_folder(tmp_path / 'frames'))
        return {'camera': 'scene', 'kind': 'folder', 'source': folder, 'width': 64, 'height': 48}
    return {'governor': GOVERNOR, 'recorder': {'folder': str(tmp_path / 'recording')}}[name]


NODES = pytest.mark.parametrize('name', ['governor', 'camera', 'recorder'])


@NODES
def test_a_node_goes_through_its_whole_life_twice(start, connection, tmp_path, name):
    process = start(name, _settings(name, tmp_path))
    _up(connection, name)
    for _ in range(2):
        for transition, state in (
            (Transition.CONFIGURE, 'inactive'),
            (Transition.ACTIVATE, 'active'),
            (Transition.DEACTIVATE, 'inactive'),
            (Transition.CLEANUP, 'unconfigured'),
        ):
            assert connection.transition(f'/{name}', transition, 10.0)
            assert connection.state(f'/{name}') == state
    assert process.is_running
    assert 'Traceback' not in process.log_path.read_text(encoding='utf-8')


@NODES
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_active_node_cleanly(start, connection, tmp_path, name, number):
    process = start(name, _settings(name, tmp_path))
    _activate(connection, name)
    process.signal(number)
    assert process.wait(5.0), 'the node did not end'
    assert process.exit_code == 0, process.tail()
    assert 'Traceback' not in process.log_path.read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'velocity_scal': 0.1}, "Did you mean 'velocity_scale'"),
        ({'velocity_scale': 2.0}, 'within 0.01..1.0'),
        ({'velocity_scale': 'fast'}, 'must be double'),
    ],
)
def test_a_wrong_parameter_ends_the_node_with_a_clear_error(start, change, words):
    process = start('governor', GOVERNOR | change)
    assert process.wait(START_S)
    assert process.exit_code == 1
    assert words in process.tail()
    assert 'Traceback' not in process.tail()


def test_a_missing_parameter_fails_configuring_and_can_be_asked_again(start, connection):
    process = start('governor', {k: v for k, v in GOVERNOR.items() if k != 'robot'})
    _up(connection, 'governor')
    assert not connection.transition('/governor', Transition.CONFIGURE, 10.0)
    assert connection.state('/governor') == 'unconfigured'
    assert 'parameter robot = None: is required' in process.tail()


def _folder(path, count=5):
    path.mkdir()
    for index in range(count):
        frame = np.full((48, 64, 3), 10 * index, np.uint8)
        frame[:, :, 2] = 200  # red in OpenCV's order
        cv2.imwrite(str(path / f'{index}.png'), frame)
    return path


def test_a_camera_publishes_a_folder_at_its_rate(start, connection, tmp_path):
    folder = _folder(tmp_path / 'frames')
    images, infos = [], []
    connection.watch(Image, 'scene/image_raw', images.append, IMAGE)
    connection.watch(CameraInfo, 'scene/camera_info', infos.append, IMAGE)
    start(
        'camera',
        {
            'camera': 'scene',
            'kind': 'folder',
            'source': str(folder),
            'width': 64,
            'height': 48,
            'rate_hz': 50.0,
            'intrinsics': [50.0, 50.0, 32.0, 24.0],
        },
        (('image_raw', 'scene/image_raw'), ('camera_info', 'scene/camera_info')),
    )
    _activate(connection, 'camera')
    wait_for(lambda: len(images) > 20 and infos, 'twenty frames')
    frame = to_rgb(images[0], 'scene')
    assert frame.shape == (48, 64, 3)
    assert (frame[:, :, 0] == 200).all(), 'colours are in the wrong order'
    assert infos[0].k[0] == 50.0
    assert infos[0].header.stamp == images[0].header.stamp


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'kind': 'device', 'source': '/dev/video99'}, '/dev/video99.*is not there'),
        ({'width': 32}, '64x48 pixels. Required: 32x48'),
    ],
)
def test_a_missing_or_wrong_camera_is_named_and_tried_again(
    start, connection, tmp_path, change, words
):
    folder = _folder(tmp_path / 'frames')
    images = []
    connection.watch(Image, 'image_raw', images.append, IMAGE)
    settings = {'camera': 'scene', 'kind': 'folder', 'source': str(folder)}
    process = start('camera', settings | {'width': 64, 'height': 48} | change)
    _activate(connection, 'camera')
    text = wait_for(lambda: 'trying again' in process.tail() and process.tail(), 'the error')
    assert re.search(words, text)
    time.sleep(0.3)
    assert images == []
    assert process.is_running


def test_a_camera_that_comes_back_goes_on(start, connection, tmp_path):
    folder = tmp_path / 'later'
    images = []
    connection.watch(Image, 'image_raw', images.append, IMAGE)
    settings = {'camera': 'scene', 'kind': 'folder', 'source': str(folder)}
    process = start('camera', settings | {'width': 64, 'height': 48, 'rate_hz': 30.0})
    _activate(connection, 'camera')
    wait_for(lambda: 'has no images' in process.tail(), 'the error')
    _folder(folder)
    wait_for(lambda: images, 'frames of the camera that came back')


def test_a_recording_can_be_read_by_other_tools(start, connection, tmp_path, domain_of_processes):
    from mcap_ros2 import reader as mcap_ros2

    folder = tmp_path / 'recording'
    governor = start('governor', GOVERNOR)
    recorder = start('recorder', {'folder': str(folder)})
    _activate(connection, 'recorder')
    _activate(connection, 'governor')
    seen = []
    from roboadapt_interfaces.msg import GateStatus

    connection.watch(GateStatus, 'governor/status', seen.append, STATUS)
    wait_for(lambda: len(seen) > 10, 'ten statuses')
    for process in (recorder, governor):
        process.signal(signal.SIGINT)
        assert process.wait(5.0)
    messages = list(mcap_ros2.read_ros2_messages(str(folder / 'graph_000.mcap')))
    states = [m.ros_msg.state for m in messages if m.channel.topic == '/governor/status']
    assert len(states) >= 10
    assert set(states) == {'idle'}
