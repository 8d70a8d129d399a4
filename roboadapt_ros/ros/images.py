"""Image messages to numpy arrays and back, without trusting what a message says of itself.

cv_bridge converts where it is installed and works beside this numpy and OpenCV; numpy and OpenCV
do the same where not, and for padded rows, which cv_bridge reads wrongly or not at all. Every
size is checked against the bytes that are there.
"""

from __future__ import annotations

import array
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ImageError
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

Frame = npt.NDArray[np.uint8]


BROKEN_BRIDGE = (ImportError, AttributeError, KeyError, RuntimeError, SystemError, TypeError)


def _working_bridge() -> Any:
    """Return cv_bridge's CvBridge, or None.

    Beside numpy 2 it is not tried: a cv_bridge built for numpy 1, as Humble's and Jazzy's, imports
    there and ends the process at its first picture, and 3.4.0 refuses big-endian images.
    """
    if np.lib.NumpyVersion(np.__version__) >= '2.0.0':
        return None
    pixel = Image(height=1, width=1, step=3, encoding='bgr8', data=array.array('B', bytes(3)))
    try:
        from cv_bridge import CvBridge

        CvBridge().imgmsg_to_cv2(pixel, 'rgb8')
    except (*BROKEN_BRIDGE, cv2.error):
        return None  # built for another Python, numpy or OpenCV
    return CvBridge


CvBridge = _working_bridge()


@dataclass(frozen=True)
class Encoding:
    """How the bytes of an encoding are laid out, and its way to RGB."""

    channels: int
    depth: str
    """numpy kind and size: 'u1' or 'u2'."""
    to_rgb: int | None
    """OpenCV conversion code; None where there is nothing to convert."""
    is_colour: bool = True


# OpenCV names a Bayer pattern by its second row, ROS by its first: rggb is OpenCV's BG.
ENCODINGS = {
    'rgb8': Encoding(3, 'u1', None),
    'bgr8': Encoding(3, 'u1', cv2.COLOR_BGR2RGB),
    'rgba8': Encoding(4, 'u1', cv2.COLOR_RGBA2RGB),
    'bgra8': Encoding(4, 'u1', cv2.COLOR_BGRA2RGB),
    'mono8': Encoding(1, 'u1', cv2.COLOR_GRAY2RGB),
    'mono16': Encoding(1, 'u2', cv2.COLOR_GRAY2RGB),
    '8UC3': Encoding(3, 'u1', None, is_colour=False),
    '8UC1': Encoding(1, 'u1', None, is_colour=False),
    '16UC1': Encoding(1, 'u2', None, is_colour=False),
    'bayer_rggb8': Encoding(1, 'u1', cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': Encoding(1, 'u1', cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': Encoding(1, 'u1', cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': Encoding(1, 'u1', cv2.COLOR_BayerGB2RGB),
}
_COLOURS = ', '.join(name for name, encoding in ENCODINGS.items() if encoding.is_colour)


def to_array(message: Image, name: str) -> npt.NDArray[Any]:
    """Return the pixels as they are, in the host's byte order.

    Args:
        message: The image.
        name: Camera, for messages.

    Returns:
        (H, W) or (H, W, C), uint8 or uint16; a view of the message where possible.

    Raises:
        ImageError: An unknown encoding, an empty image, rows shorter than the width, or
            fewer or more bytes than height x step.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ImageError(name, f"encoding '{message.encoding}'", f'one of {", ".join(ENCODINGS)}')
    height, width, step = message.height, message.width, message.step
    depth = np.dtype(encoding.depth)
    row_bytes = width * encoding.channels * depth.itemsize
    if height == 0 or width == 0:
        raise ImageError(name, f'{width}x{height} pixels', 'at least one pixel')
    if step < row_bytes:
        raise ImageError(
            name,
            f'step {step} bytes for {width} pixels of {message.encoding}',
            f'at least {row_bytes} bytes',
        )
    if len(message.data) != height * step:
        raise ImageError(
            name,
            f'{len(message.data)} bytes for {width}x{height} {message.encoding}',
            f'height x step: {height} x {step} = {height * step} bytes',
        )
    rows = np.frombuffer(message.data, dtype=np.uint8).reshape(height, step)[:, :row_bytes]
    if depth.itemsize > 1:
        order = '>' if message.is_bigendian else '<'
        rows = np.ascontiguousarray(rows).view(order + encoding.depth).astype(depth, copy=False)
    shape = (height, width) if encoding.channels == 1 else (height, width, encoding.channels)
    return rows.reshape(shape)


def to_rgb(message: Image | CompressedImage, name: str) -> Frame:
    """Return a colour or grey image as RGB.

    Args:
        message: A raw or compressed image.
        name: Camera, for messages.

    Returns:
        (H, W, 3) uint8 RGB, contiguous; perhaps a read-only view of the message.

    Raises:
        ImageError: As `to_array`, or an encoding that has no colours, such as 16UC1.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message, name)
    pixels = to_array(message, name)
    encoding = ENCODINGS[message.encoding]
    if not encoding.is_colour:
        raise ImageError(name, f"encoding '{message.encoding}'", f'a colour encoding: {_COLOURS}')
    if encoding.to_rgb is None:
        return np.ascontiguousarray(pixels)
    if CvBridge is not None and message.step == pixels.nbytes // message.height:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, 'rgb8'))
    return _convert(pixels, encoding.to_rgb)


def require_size(frame: npt.NDArray[Any], name: str, width: int, height: int) -> None:
    """Raise `ImageError` unless an image (H, W, ...) is `width` x `height` [px]."""
    if frame.shape[:2] != (height, width):
        raise ImageError(
            name, f'{frame.shape[1]}x{frame.shape[0]} pixels', f'{width}x{height} pixels'
        )


def from_rgb(frame_rgb: Frame, stamp: Time, frame_id: str) -> Image:
    """Return an rgb8 message of (H, W, 3) uint8 RGB."""
    height, width = frame_rgb.shape[:2]
    message = Image(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        encoding='rgb8',
        is_bigendian=0,
        step=3 * width,
    )
    # Anything but array.array('B') is checked byte by byte: 1.4 s for 1080p.
    message.data = array.array('B', np.ascontiguousarray(frame_rgb).tobytes())
    return message


def _convert(pixels: npt.NDArray[Any], code: int) -> Frame:
    """Convert to RGB; for grey it makes no difference that cv_bridge changes the depth last."""
    if pixels.dtype == np.uint16:
        pixels = _to_8_bit(pixels)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code), dtype=np.uint8)


def _to_8_bit(pixels: npt.NDArray[np.uint16]) -> Frame:
    """Scale 65535 to 255 and round, as cv_bridge does."""
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0), dtype=np.uint8)


def decode(content: bytes | array.array[int]) -> Frame | None:
    """Return the BGR pixels (H, W, 3) of an image file, None where it is not whole.

    16 bits become 8 as in a raw message; IMREAD_COLOR alone would cut instead of round.
    A JPEG with damage inside may decode all the same: its format has no checksum.
    """
    data = np.frombuffer(content, dtype=np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:  # a header that asks for more than OpenCV decodes
        return None
    if pixels is not None and pixels.dtype == np.uint16:
        pixels = _to_8_bit(pixels)
    return pixels if pixels is not None and pixels.dtype == np.uint8 else None


def _decompress(message: CompressedImage, name: str) -> Frame:
    """Return the RGB pixels of a JPEG or PNG file."""
    bgr = decode(message.data)
    if bgr is None:
        raise ImageError(
            name,
            f"{len(message.data)} bytes of format '{message.format}' that do not decode",
            'a whole jpeg or png file',
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
