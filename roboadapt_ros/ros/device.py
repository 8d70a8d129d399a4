"""Frames from a V4L2 device, such as a USB camera, through OpenCV."""

from __future__ import annotations

import errno
import os
from pathlib import Path
import threading
import time

import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ImageError
from roboadapt_ros.ros.frame_source import checked, Frame, FrameSource, size_text
from roboadapt_ros.ros.images import decode
from roboadapt_ros.ros.v4l2 import COMPRESSED, Device, find_devices, FORMATS, look_at

BUFFERS = 3
"""Frames a device has room for. With one it has none while the last is read: half are lost."""
FIRST_FRAME_S, FRAME_S = 5.0, 2.0
"""Longest wait for the first frame of a device and for another [s]."""
OLDEST_S = 10.0
"""A frame that seems older than this has no time from its driver [s]."""
BAD_FRAMES = 10
"""Frames without a picture, one after the other, that are no accident any more."""
_AT_ONCE_S = 0.5

# OpenCV waits in steps of this many seconds (else 10), during which nobody can stop it. It reads
# the variable at its first wait.
os.environ.setdefault('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', '1')


class DeviceSource(FrameSource):
    """A V4L2 device."""

    is_live = True

    def __init__(
        self, source: str, size: tuple[int, int], rate_hz: float, ending: threading.Event
    ):
        """Prepare; see `make_source`."""
        self._source, self._size, self._rate_hz = source, size, rate_hz
        self._ending = ending
        self._path = Path(f'/dev/video{source}' if source.isdecimal() else source)
        self._capture: cv2.VideoCapture | None = None
        self._has_given = self._is_compressed = False

    def open(self) -> None:
        """Open it in the mode that comes nearest to size and rate."""
        device = self._found()
        if device.is_taken:
            raise self._error(
                'is used by another program',
                f'a camera for this one alone (fuser -v {self._path} names the other)',
            )
        mode = device.best(self._size, self._rate_hz)
        if device.modes and mode is None:
            asked = size_text(self._size)
            raise self._error(f'{asked} is not offered', f'a size out of: {device.sizes()}')
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_V4L2)
        if mode is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.fourcc))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        capture.set(cv2.CAP_PROP_FPS, self._rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, BUFFERS)
        if not capture.isOpened():
            capture.release()
            raise self._error('cannot be opened', f'a format OpenCV reads: {", ".join(FORMATS)}')
        fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little').decode('latin-1')
        self._is_compressed = fourcc in COMPRESSED
        if self._is_compressed:  # OpenCV takes the last picture for one that can't be read
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._capture, self._has_given = capture, False
        self.note = self._rate_note(capture.get(cv2.CAP_PROP_FPS), device)

    def read(self) -> Frame | None:
        """Return the next frame; a device that breaks off is unplugged."""
        capture = self._capture
        if capture is None:
            raise self._error('is not open', 'open() first')
        for _ in range(BAD_FRAMES):
            if not self._wait(capture):
                return None
            taken_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            has_time = 0.0 <= time.monotonic() - taken_s < OLDEST_S
            self.taken_s = taken_s if has_time else None
            bgr = self._picture(capture)
            if bgr is not None:
                return checked(self._source, bgr, self._size)
            self.skipped += 1
        raise self._error(
            f'{BAD_FRAMES} frames in a row hold no picture',
            'whole frames: another cable or port, or a smaller size',
        )

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _found(self) -> Device:
        """Return what the device says of itself, if it is a camera."""
        try:
            device = look_at(self._path)
        except PermissionError as error:
            user = 'a user in its group (sudo usermod -aG video $USER, then log in again)'
            raise self._error('may not be opened', user) from error
        except OSError as error:
            is_gone = error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
            is_other = error.errno in (errno.ENOTTY, errno.EINVAL, errno.EISDIR)
            found = 'is not there' if is_gone else 'is no camera' if is_other else str(error)
            raise self._error(found, _cameras_here()) from error
        if not device.gives_pictures:
            raise self._error(
                f'is a device of {device.name} that gives no pictures', _cameras_here()
            )
        return device

    def _wait(self, capture: cv2.VideoCapture) -> bool:
        """Wait for a frame; return False when it is to stop instead."""
        begun_s = time.monotonic()
        longest_s = max(FRAME_S, 3.0 / self._rate_hz) if self._has_given else FIRST_FRAME_S
        while True:
            tried_s = time.monotonic()
            if capture.grab():
                self._has_given = True
                return True
            if self._ending.is_set():
                return False
            now_s = time.monotonic()
            if now_s - tried_s < _AT_ONCE_S:
                raise self._broken_off()
            if now_s - begun_s >= longest_s:
                required = 'frames; plug the camera in again if this goes on'
                raise self._error(f'no frame for {now_s - begun_s:.0f} s', required)

    def _picture(self, capture: cv2.VideoCapture) -> npt.NDArray[np.generic] | None:
        """Return the pixels of the frame that was grabbed, None where it holds no picture."""
        try:
            is_there, content = capture.retrieve()
        except cv2.error:
            return None
        if not is_there:
            return None
        return decode(content.tobytes()) if self._is_compressed else content

    def _broken_off(self) -> ImageError:
        """Return the error of a device that gave up at once."""
        if self._has_given:
            return self._error('broke off', 'a camera that stays plugged in: cable, port, power')
        return self._error(
            'does not start to send',
            'room on its USB: a controller of its own, a smaller size or a lower rate',
        )

    def _rate_note(self, rate_hz: float, device: Device) -> str:
        if rate_hz <= 0.0 or abs(rate_hz - self._rate_hz) < 0.05 * self._rate_hz:
            return ''
        rates = {
            rate for mode in device.modes if mode.size == self._size for rate in mode.rates_hz
        }
        offered = ', '.join(f'{rate:g}' for rate in sorted(rates)) or 'not known'
        return (
            f'{self._source} sends {rate_hz:g} frames a second, rate_hz is {self._rate_hz:g}; '
            f'at {size_text(self._size)} it offers: {offered}'
        )

    def _error(self, found: str, required: str) -> ImageError:
        return ImageError(self._source, found, required)


def _cameras_here() -> str:
    found = ', '.join(find_devices())
    return f'a camera out of: {found}' if found else 'a camera; none is plugged in'
