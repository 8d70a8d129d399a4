"""What a camera of Video4Linux says of itself, asked of its device file without OpenCV.

OpenCV opens a camera or does not, and does not say why. Numbers and layouts are those of
linux/videodev2.h on 64-bit machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import errno
import fcntl
import os
from pathlib import Path
import struct

BY_ID = Path('/dev/v4l/by-id')
DEV = Path('/dev')
COMPRESSED = ('MJPG', 'JPEG')
FORMATS = (
    *('BGR3', 'RGB3', 'YV12', 'YU12', '411P', 'YUYV', 'UYVY', 'NV12', 'NV21'),
    *('BA81', 'GBRG', 'GRBG', 'XR24', 'AR24', 'S910'),
    *COMPRESSED,
    *('Y16 ', 'Y12 ', 'Y10 ', 'GREY'),
)
"""Formats OpenCV reads, in the order in which it tries them: raw ones, compressed, grey."""

_READ, _WRITE = 2, 1
_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_HAS_DEVICE_CAPS = 0x80000000
_GIVES_PICTURES = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE and the same of several planes
_DISCRETE = 1


@dataclass(frozen=True)
class Mode:
    """One format and size of a camera."""

    fourcc: str
    width: int
    height: int
    rates_hz: tuple[float, ...]
    """Rates offered at that [Hz]; empty: it does not say."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [px]."""
        return self.width, self.height


@dataclass(frozen=True)
class Device:
    """What a device file leads to."""

    name: str
    gives_pictures: bool
    """False for a camera's second device file, which gives data about its frames."""
    is_taken: bool
    """Whether another program has it."""
    modes: tuple[Mode, ...]
    """What it offers; empty: it does not say, or any size in steps."""

    def best(self, size: tuple[int, int], rate_hz: float) -> Mode | None:
        """Return the mode of that size that comes nearest to a rate, raw before compressed."""

        def rank(mode: Mode) -> tuple[int, int]:
            fastest_hz = max(mode.rates_hz, default=rate_hz)
            return round(min(fastest_hz, rate_hz)), -FORMATS.index(mode.fourcc)

        fitting = [mode for mode in self.modes if mode.size == size and mode.fourcc in FORMATS]
        return max(fitting, key=rank, default=None)

    def sizes(self) -> str:
        """Return the sizes it offers in a format that is read, from small to large."""
        found = {mode.size for mode in self.modes if mode.fourcc in FORMATS}
        return ', '.join(f'{width}x{height}' for width, height in sorted(found)) or 'none'


def find_devices() -> list[str]:
    """Return the device files of cameras here: those with a stable name if there are any."""
    stable = sorted(BY_ID.glob('*-video-index0'))
    return [str(path) for path in stable or sorted(DEV.glob('video[0-9]*'))]


def look_at(path: Path) -> Device:
    """Ask a device file what it is; nothing is changed.

    Raises:
        OSError: It can't be opened, or is not one of Video4Linux (ENOTTY, EINVAL).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = _ask(descriptor, _READ, 0, bytearray(104))  # VIDIOC_QUERYCAP
        name = bytes(answer[16:48]).partition(b'\0')[0].decode(errors='replace')
        everything, own = struct.unpack_from('=II', answer, 84)
        kinds = own if everything & _HAS_DEVICE_CAPS else everything
        if not kinds & _GIVES_PICTURES:
            return Device(name, False, False, ())
        return Device(name, True, _is_taken(descriptor), _modes(descriptor))
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    """Set the format that is set: refused while another program has the camera."""
    form = bytearray(208)
    struct.pack_into('=I', form, 0, _CAPTURE)
    try:
        _ask(descriptor, _READ | _WRITE, 4, form)  # VIDIOC_G_FMT
        _ask(descriptor, _READ | _WRITE, 5, form)  # VIDIOC_S_FMT
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _modes(descriptor: int) -> tuple[Mode, ...]:
    modes = []
    for answer in _each(descriptor, 2, 64, (_CAPTURE,)):  # VIDIOC_ENUM_FMT
        code = struct.unpack_from('=I', answer, 44)
        fourcc = struct.pack('=I', *code).decode('ascii', 'replace')
        for size in _each(descriptor, 74, 44, code):  # VIDIOC_ENUM_FRAMESIZES
            kind, width, height = struct.unpack_from('=III', size, 8)
            if kind != _DISCRETE:
                return ()
            rates_hz = _rates_hz(descriptor, (*code, width, height))
            modes.append(Mode(fourcc, width, height, rates_hz))
    return tuple(modes)


def _rates_hz(descriptor: int, of: Sequence[int]) -> tuple[float, ...]:
    found = set()
    for answer in _each(descriptor, 75, 52, of):  # VIDIOC_ENUM_FRAMEINTERVALS
        # The shortest comes first where there are steps.
        numerator, denominator = struct.unpack_from('=II', answer, 20)
        if numerator:
            found.add(denominator / numerator)
    return tuple(sorted(found))


def _each(descriptor: int, number: int, size: int, of: Sequence[int]) -> Iterator[bytearray]:
    """Ask for the first, second, ... until there is none."""
    for index in range(256):
        asked = bytearray(size)
        struct.pack_into(f'={1 + len(of)}I', asked, 0, index, *of)
        try:
            yield _ask(descriptor, _READ | _WRITE, number, asked)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise


def _ask(descriptor: int, direction: int, number: int, argument: bytearray) -> bytearray:
    """Make one request of Video4Linux; the answer is in the argument."""
    request = direction << 30 | len(argument) << 16 | ord('V') << 8 | number
    fcntl.ioctl(descriptor, request, argument)
    return argument
