"""Image messages to arrays: every encoding, and what a broken driver may send."""

import array
import itertools
import struct
import sys
import time
from types import SimpleNamespace
import zlib

from builtin_interfaces.msg import Time
import cv2
import numpy as np
import pytest
from roboadapt_ros.errors import ImageError
from roboadapt_ros.ros import images
from roboadapt_ros.ros.images import ENCODINGS, from_rgb, require_size, to_array, to_rgb
from sensor_msgs.msg import CompressedImage, Image

WIDTH, HEIGHT = 6, 4
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _message(pixels, encoding, *, padding=0, is_bigendian=False):
    """Return a message of an array, with bytes of padding at the end of every row."""
    data = pixels.astype(pixels.dtype.newbyteorder('>' if is_bigendian else '<'))
    rows = np.frombuffer(data.tobytes(), np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    message = Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=int(is_bigendian),
    )
    message.data = array.array('B', rows.tobytes())
    return message


@pytest.mark.parametrize('padding', [0, 1, 5])
@pytest.mark.parametrize(
    ('encoding', 'channels'),
    [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('rgba8', [0, 1, 2, 0]), ('bgra8', [2, 1, 0, 0])],
)
def test_every_channel_order_becomes_rgb(encoding, channels, padding):
    message = _message(RGB[:, :, channels], encoding, padding=padding)
    np.testing.assert_array_equal(to_rgb(message, 'scene'), RGB)


@pytest.mark.parametrize('padding', [0, 3])
def test_grey_becomes_three_equal_channels(padding):
    frame = to_rgb(_message(RGB[:, :, 0], 'mono8', padding=padding), 'scene')
    np.testing.assert_array_equal(frame, np.repeat(RGB[:, :, :1], 3, axis=2))


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_depth_keeps_its_values_in_either_byte_order(is_bigendian):
    depth = np.random.default_rng(0).integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)
    message = _message(depth, '16UC1', padding=3, is_bigendian=is_bigendian)
    found = to_array(message, 'depth')
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, depth)


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_grey_of_16_bits_is_scaled_to_8(is_bigendian):
    grey = np.array([[0, 257, 65535]], dtype=np.uint16)
    frame = to_rgb(_message(grey, 'mono16', is_bigendian=is_bigendian), 'scene')
    np.testing.assert_array_equal(frame[0, :, 0], [0, 1, 255])


@pytest.mark.parametrize(
    ('pattern', 'red', 'blue'),
    [('rggb', (0, 0), (1, 1)), ('bggr', (1, 1), (0, 0)), ('gbrg', (1, 0), (0, 1)),
     ('grbg', (0, 1), (1, 0))],
)  # fmt: skip
def test_bayer_patterns_find_their_red_and_blue(pattern, red, blue):
    mosaic = np.zeros((8, 8), dtype=np.uint8)
    mosaic[red[0] :: 2, red[1] :: 2] = 200
    mosaic[blue[0] :: 2, blue[1] :: 2] = 50
    inside = to_rgb(_message(mosaic, f'bayer_{pattern}8'), 'scene')[2:-2, 2:-2]
    assert inside[:, :, 0].min() > 150, 'red cells of the pattern are not red'
    assert inside[:, :, 1].max() == 0
    assert 30 < inside[:, :, 2].max() <= 50


@pytest.mark.parametrize(('suffix', 'tolerance'), [('.png', 0), ('.jpg', 12)])
def test_compressed_images_become_rgb(suffix, tolerance):
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    _, data = cv2.imencode(suffix, cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))
    message = CompressedImage(format=suffix[1:], data=array.array('B', data.tobytes()))
    difference = np.abs(to_rgb(message, 'scene').astype(int) - smooth.astype(int))
    assert difference.mean() <= tolerance


def test_broken_compressed_data_names_camera_and_format():
    message = CompressedImage(format='jpeg', data=array.array('B', b'\xff\xd8 not a jpeg'))
    with pytest.raises(ImageError, match=r"'wrist'.*jpeg"):
        to_rgb(message, 'wrist')


def test_a_picture_larger_than_opencv_decodes_is_refused():
    header = b'\x89PNG\r\n\x1a\n' + struct.pack(
        '>I4sIIBBBBB', 13, b'IHDR', 100_000, 100_000, *b'\x08\x02\x00\x00\x00'
    )
    data = header + struct.pack('>I', zlib.crc32(header[12:])) + struct.pack('>I4s', 0, b'IDAT')
    message = CompressedImage(format='png', data=array.array('B', data + bytes(64)))
    with pytest.raises(ImageError, match='wrist'):
        to_rgb(message, 'wrist')


def test_a_message_made_here_is_read_back():
    message = from_rgb(RGB, Time(sec=3), 'scene_optical_frame')
    assert (message.header.stamp.sec, message.header.frame_id) == (3, 'scene_optical_frame')
    np.testing.assert_array_equal(to_rgb(message, 'scene'), RGB)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'height': HEIGHT + 1}, 'bytes for 6x5 rgb8.*height x step'),
        ({'width': WIDTH + 1}, 'step 18 bytes for 7 pixels.*at least 21'),
        ({'height': 0}, 'at least one pixel'),
        ({'step': 17}, 'step 17 bytes'),
        ({'encoding': 'rgb'}, "encoding 'rgb'.*one of rgb8"),
        ({'encoding': '16UC1', 'step': 18}, 'a colour encoding: rgb8'),
        ({'encoding': '8UC3'}, 'a colour encoding'),
    ],
)
def test_a_message_that_does_not_add_up_is_a_clear_error(change, words):
    message = _message(RGB, 'rgb8')
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ImageError, match=rf"(?s)'scene'.*{words}"):
        to_rgb(message, 'scene')


def test_another_size_than_required_is_named():
    with pytest.raises(ImageError, match=r"'scene'.*6x4 pixels.*640x480"):
        require_size(RGB, 'scene', 640, 480)


def test_a_full_hd_message_is_filled_without_a_look_at_each_byte():
    frame = np.zeros((1080, 1920, 3), dtype=np.uint8)
    start_s = time.thread_time()
    from_rgb(frame, Time(), 'scene')
    assert time.thread_time() - start_s < 0.3, 'the slow path takes 1.4 s'


def _squares(encoding, height, width):
    """Return pixels of an encoding that look random and need no generator."""
    layout = ENCODINGS[encoding]
    shape = (height, width) if layout.channels == 1 else (height, width, layout.channels)
    high = 256 if layout.depth == 'u1' else 2**16
    return (
        (np.arange(1, np.prod(shape) + 1) ** 2 * 7919 % high).astype(layout.depth).reshape(shape)
    )


SIZES = [(1, 1), (1, 2), (2, 1), (3, 5), (6, 7)]
CRC32_OF_CV_BRIDGE = {
    'rgb8': 0xCD1A0177,
    'bgr8': 0xF49FEBA3,
    'rgba8': 0xADA7A47E,
    'bgra8': 0x43DBEE27,
    'mono8': 0xD528CE63,
    'mono16': 0xCE96E1DE,
    'bayer_rggb8': 0x41223D14,
    'bayer_bggr8': 0x1A208775,
    'bayer_gbrg8': 0x7228CDC7,
    'bayer_grbg8': 0x57571751,
}
"""The RGB bytes of `SIZES` by cv_bridge 1.16.2, the same by 3.4.0."""


@pytest.mark.parametrize('encoding', CRC32_OF_CV_BRIDGE)
def test_without_cv_bridge_every_pixel_is_as_with_it(encoding, monkeypatch):
    monkeypatch.setattr(images, 'CvBridge', None)
    frames = [to_rgb(_message(_squares(encoding, *size), encoding), 'scene') for size in SIZES]
    assert [frame.shape for frame in frames] == [(*size, 3) for size in SIZES]
    found = zlib.crc32(b''.join(frame.tobytes() for frame in frames))
    assert found == CRC32_OF_CV_BRIDGE[encoding]


@pytest.mark.skipif(images.CvBridge is None, reason='no cv_bridge that works beside this numpy')
def test_cv_bridge_gives_the_same_where_it_works(monkeypatch):
    layouts = [(0, False), (0, True), (1, False), (12, True)]
    for encoding, size, layout in itertools.product(CRC32_OF_CV_BRIDGE, SIZES, layouts):
        padding, is_bigendian = layout
        pixels = _squares(encoding, *size)
        message = _message(pixels, encoding, padding=padding, is_bigendian=is_bigendian)
        by_cv_bridge = to_rgb(message, 'scene')
        with monkeypatch.context() as patch:
            patch.setattr(images, 'CvBridge', None)
            ours = to_rgb(message, 'scene')
        np.testing.assert_array_equal(by_cv_bridge, ours, f'{encoding} {size} {layout}')


class Bridge:
    """Stands for a cv_bridge that answers every image with one fault."""

    fault: BaseException = RuntimeError()

    def imgmsg_to_cv2(self, *_):
        raise self.fault

    cv2_to_imgmsg = imgmsg_to_cv2


@pytest.mark.parametrize('padding', [1, 12])
def test_cv_bridge_gets_no_padded_rows(padding, monkeypatch):
    """1.16.2 takes padding for pixels, 3.4.0 what is no whole pixel of it."""
    pixels = _squares('bgr8', 3, 5)
    plain = to_rgb(_message(pixels, 'bgr8'), 'scene')
    monkeypatch.setattr(images, 'CvBridge', Bridge)
    found = to_rgb(_message(pixels, 'bgr8', padding=padding), 'scene')
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize('fault', [AttributeError(), KeyError(16), TypeError(), SystemError()])
def test_a_cv_bridge_that_does_not_work_is_left_alone(fault, monkeypatch):
    monkeypatch.setattr(Bridge, 'fault', fault)
    monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=Bridge))
    monkeypatch.setattr(np, '__version__', '1.26.4')
    assert images._working_bridge() is None


def test_beside_numpy_2_cv_bridge_is_not_even_tried(monkeypatch):
    """Built for numpy 1 it ends the process there."""
    monkeypatch.setattr(Bridge, 'fault', SystemExit('a crash'))
    monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=Bridge))
    monkeypatch.setattr(np, '__version__', '2.4.6')
    assert images._working_bridge() is None


def test_16_bits_in_a_png_become_8_as_in_a_raw_message():
    grey = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    raw = to_rgb(_message(grey, 'mono16'), 'scene')
    for pixels in (grey, np.repeat(grey[:, :, None], 3, axis=2)):
        _, data = cv2.imencode('.png', pixels)
        message = CompressedImage(format='png', data=array.array('B', data.tobytes()))
        np.testing.assert_array_equal(to_rgb(message, 'scene'), raw)
