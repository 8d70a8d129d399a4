"""Cameras of V4L2 through OpenCV's own code for them, over simulated ones (fake_v4l2.c)."""

import os
import signal
import time

from camera_reader import CameraReader
import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from graph_watch import wait_for
import numpy as np
import pytest
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.environment import find_free_domain, process_environment
from roboadapt_ros.bringup.process import NodeProcess, stop_all
from roboadapt_ros.bringup.processes import ProcessDescription
from roboadapt_ros.bringup.transitions import Transition
from roboadapt_ros.ros import v4l2
from roboadapt_ros.ros.qos import IMAGE, STATUS
from sensor_msgs.msg import Image
from v4l2_cameras import bars, BARS_RGB, build, FakeCameras, number_of, ROUNDING, VGA

CAMERA = 9
TWO_FORMATS = 'yuyv=640x480@30,640x480@60,1280x720@10 mjpg=1280x720@30 card=Cam'
HD = (1280, 720)
FOREVER = 10_000
START_S = 60.0


@pytest.fixture(scope='module')
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp('library'))


@pytest.fixture(scope='module')
def cameras(library, tmp_path_factory):
    return FakeCameras(library, tmp_path_factory.mktemp('dev'))


@pytest.fixture(scope='module')
def reader(cameras):
    made = CameraReader(os.environ | cameras.environment)
    yield made
    made.close()


@pytest.fixture
def plug(cameras):
    """Return a function that plugs a camera in, or changes it, until the end of the test."""
    yield lambda text=VGA: cameras.plug(CAMERA, text)
    cameras.path(CAMERA).unlink(missing_ok=True)


def lost_share(numbers):
    """Return the share of frames that the camera sent and that did not come."""
    return 1.0 - (len(numbers) - 1) / (numbers[-1] - numbers[0])


@pytest.mark.parametrize('rate_hz', [30.0, 60.0])
def test_size_colours_rate_and_times_are_right(plug, reader, rate_hz):
    seen = reader.read(plug(TWO_FORMATS), 40, (640, 480), rate_hz)
    assert (seen['error'], seen['note']) == ('', '')
    assert np.abs(np.array(seen['bars']) - BARS_RGB).max() <= ROUNDING
    # With a single buffer every other one is lost.
    assert lost_share(seen['numbers']) < 0.4
    # From the beginning of the frame on, which takes a period to come.
    assert 1.0 / rate_hz <= min(seen['ages_s']) < 5.0 / rate_hz


def test_a_size_that_only_jpeg_has_at_the_rate_is_asked_for_as_jpeg(cameras, plug, reader):
    path = plug(TWO_FORMATS + ' bad=3')
    picture = np.repeat(np.array(BARS_RGB, np.uint8)[None], HD[1], 0).repeat(HD[0] // 8, 1)
    cv2.imwrite(f'{path}.{HD[0]}x{HD[1]}.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    seen = reader.read(path, 10, HD)
    assert (seen['error'], seen['note']) == ('', '')
    assert np.abs(np.array(seen['bars']) - BARS_RGB).max() <= ROUNDING
    # A frame that holds no picture is passed over; OpenCV would give the one before it again.
    assert seen['skipped'] >= 3
    plug(TWO_FORMATS + ' bad=1')
    assert '10 frames in a row hold no picture' in reader.read(path, 1, HD)['error']


def test_a_rate_that_is_not_offered_is_noted_with_those_that_are(plug, reader):
    seen = reader.read(plug('yuyv=640x480@15,640x480@30'), 1, rate_hz=60.0)
    assert seen['error'] == ''
    assert 'sends 30 frames a second, rate_hz is 60; at 640x480 it offers: 15, 30' in seen['note']


def test_a_size_that_is_not_offered_is_refused_with_those_that_are(plug, reader):
    error = reader.read(plug(TWO_FORMATS), 1, (800, 600))['error']
    assert error.endswith('800x600 is not offered. Required: a size out of: 640x480, 1280x720')


def test_a_device_goes_by_its_number_and_by_a_link(cameras, plug, reader):
    link = cameras.folder / 'usb-Cam-video-index0'
    link.symlink_to(plug())
    for name in (str(CAMERA), str(link)):
        assert reader.read(name, 1)['error'] == ''


@pytest.mark.parametrize(
    ('text', 'error'),
    [
        ('meta card=Cam', 'is a device of Cam that gives no pictures. Required: a camera'),
        (VGA + ' full', 'does not start to send. Required: room on its USB'),
    ],
)
def test_what_gives_no_pictures_says_why(plug, reader, text, error):
    assert error in reader.read(plug(text), 1)['error']


def test_what_is_missing_or_no_camera_is_called_that(cameras, reader):
    assert 'is not there. Required: a camera' in reader.read(str(cameras.path(77)), 1)['error']
    assert 'is no camera. Required: a camera' in reader.read('/dev/null', 1)['error']


def test_the_cameras_here_are_told_by_their_stable_names(tmp_path, monkeypatch):
    monkeypatch.setattr(v4l2, 'BY_ID', tmp_path / 'by-id')
    monkeypatch.setattr(v4l2, 'DEV', tmp_path)
    (tmp_path / 'video0').touch()
    assert v4l2.find_devices() == [str(tmp_path / 'video0')]
    (tmp_path / 'by-id').mkdir()
    for name in ('usb-Cam-video-index0', 'usb-Cam-video-index1'):
        (tmp_path / 'by-id' / name).touch()
    assert v4l2.find_devices() == [str(tmp_path / 'by-id/usb-Cam-video-index0')]


def test_a_camera_that_another_program_uses_is_had_when_that_ends(cameras, plug, reader):
    path = plug()
    with cameras.taken(CAMERA):
        assert 'is used by another program' in reader.read(path, 1)['error']
    assert reader.read(path, 1)['error'] == ''


def test_a_camera_that_takes_its_time_to_start_is_waited_for(plug, reader):
    assert reader.read(plug(VGA + ' slow=1500'), 2)['error'] == ''


def test_an_unplugged_camera_is_noticed_and_had_again_when_it_is_back(cameras, plug, reader):
    path = plug()
    reader.begin(path, FOREVER)
    cameras.unplug(CAMERA)
    assert 'broke off. Required: a camera that stays plugged in' in reader.end()['error']
    assert 'is not there' in reader.read(path, 1)['error']
    plug()
    assert reader.read(path, 1)['error'] == ''


# ---- the node ----


class Watched:
    """A camera node in a process of its own, with its images and what it says of itself."""

    def __init__(self, connection, cameras, name, number, folder):
        self.connection, self.cameras, self.number = connection, cameras, number
        self.node = f'/camera_{name}'
        self.images, self.health = [], None
        description = ProcessDescription(
            name=f'camera_{name}',
            executable='camera_node',
            namespace='',
            parameters={
                'camera': name,
                'kind': 'device',
                'source': str(cameras.path(number)),
                'width': 640,
                'height': 480,
            },
            remappings=(('image_raw', f'{name}/image_raw'), ('camera_info', f'{name}/info')),
            environment=cameras.environment,
        )
        self.process = NodeProcess(description, folder, process_environment(connection._domain_id))
        connection.watch(Image, f'{name}/image_raw', self._on_image, IMAGE)
        connection.watch(DiagnosticArray, '/diagnostics', self._on_diagnostics, STATUS)
        self.process.start()

    def activate(self):
        wait_for(lambda: self.connection.is_ready(self.node), self.node, START_S)
        for transition in (Transition.CONFIGURE, Transition.ACTIVATE):
            assert self.transition(transition), self.process.tail()

    def transition(self, transition):
        return self.connection.transition(self.node, transition, 20.0)

    def wait_for_images(self, count=3):
        self.images.clear()
        wait_for(lambda: len(self.images) >= count, f'images of {self.node}')

    def wait_for_health(self, level, text):
        what = f"{self.node} to say '{text}'"
        wait_for(lambda: self.health == level and text in self.message, what)

    def _on_image(self, message):
        self.images.append((time.time_ns(), message))

    def _on_diagnostics(self, message):
        for status in message.status:
            if status.name == self.node[1:]:
                self.message, self.health = status.message, status.level


@pytest.fixture(scope='module')
def watched(cameras, tmp_path_factory):
    folder = tmp_path_factory.mktemp('log')
    with Connection(domain_id=find_free_domain(), images=True) as connection:
        both = [
            Watched(connection, cameras, name, number, folder)
            for number, name in enumerate(('scene', 'wrist'))
        ]
        try:
            for each in both:
                cameras.plug(each.number)
                each.activate()
            yield both
        finally:
            stop_all([each.process for each in both], 5.0)


@pytest.fixture
def scene(watched):
    """Return the first of the two nodes, whose camera sends."""
    watched[0].cameras.plug(watched[0].number)
    watched[0].wait_for_images()
    return watched[0]


@pytest.fixture
def wrist(watched):
    return watched[1]


@pytest.mark.processes
def test_two_nodes_publish_whole_pictures_with_the_times_of_their_frames(scene, wrist):
    for each in (scene, wrist):
        each.wait_for_images(15)
        images = [message for _, message in each.images]
        pictures = [np.frombuffer(m.data, np.uint8).reshape(480, 640, 3) for m in images]
        assert np.abs([bars(picture) - BARS_RGB for picture in pictures]).max() <= ROUNDING
        assert lost_share([number_of(picture) for picture in pictures]) < 0.4
        stamps_ns = np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in images])
        ages_ns = np.array([received_ns for received_ns, _ in each.images]) - stamps_ns
        assert ages_ns.min() >= 1e9 / 30
        # As even as the camera's own frames, whenever they were read.
        numbers = np.array([number_of(picture) for picture in pictures])
        steps_ns = np.diff(stamps_ns) / np.diff(numbers)
        assert np.median(np.abs(steps_ns - 1e9 / 30)) < 1e6


@pytest.mark.processes
def test_a_node_whose_camera_is_unplugged_says_so_and_goes_on_when_it_is_back(scene, wrist):
    scene.cameras.unplug(scene.number)
    scene.wait_for_health(DiagnosticStatus.ERROR, 'is not there')
    wrist.wait_for_images()
    scene.cameras.plug(scene.number, 'yuyv=640x480@15')
    scene.wait_for_images()
    scene.wait_for_health(DiagnosticStatus.WARN, 'sends 15 frames a second, rate_hz is 30')


@pytest.mark.processes
def test_a_node_whose_camera_is_silent_can_be_deactivated_and_goes_on_afterwards(scene):
    scene.cameras.plug(scene.number, VGA + ' freeze')
    scene.wait_for_health(DiagnosticStatus.ERROR, 'no frame for')
    begun_s = time.monotonic()
    assert scene.transition(Transition.DEACTIVATE)
    assert time.monotonic() - begun_s < 4.0
    scene.cameras.plug(scene.number)
    assert scene.transition(Transition.ACTIVATE)
    scene.wait_for_images()


@pytest.mark.processes
def test_a_node_ends_at_a_signal_while_its_camera_is_silent_and_leaves_it_free(wrist, reader):
    path = wrist.cameras.plug(wrist.number, VGA + ' freeze')
    assert 'is used by another program' in reader.read(path, 1)['error']
    wrist.process.signal(signal.SIGINT)
    assert wrist.process.wait(6.0)
    assert wrist.process.exit_code == 0
    wrist.cameras.plug(wrist.number)
    assert reader.read(path, 1)['error'] == ''
