"""Frames from a V4L2 device, a video file or a folder of images, through OpenCV."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
import re

import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ImageError
from roboadapt_ros.ros.images import decode

Frame = npt.NDArray[np.uint8]
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp')


class FrameSource(ABC):
    """Gives RGB frames one after the other.

    Example: ``with_source = make_source('folder', 'frames/', (640, 480), 30.0, loop=True)``;
    `open`, then `read` until it returns None, then `close`.
    """

    is_live = False
    """Whether the source sets the pace itself."""

    @abstractmethod
    def open(self) -> None:
        """Open the source; raises ImageError, naming it, when it is not there."""

    @abstractmethod
    def read(self) -> Frame | None:
        """Return the next (H, W, 3) uint8 RGB frame, or None at the end.

        Raises:
            ImageError: The source broke off or gave another size than asked for.
        """

    def close(self) -> None:  # noqa: B027 - a folder of images holds nothing open
        """Free the source; may be called twice."""


class CaptureSource(FrameSource):
    """A V4L2 device or a video file."""

    def __init__(
        self, source: str, size: tuple[int, int], rate_hz: float, *, is_device: bool, loop: bool
    ):
        """Prepare; see `make_source`."""
        self._source, self._size, self._rate_hz = source, size, rate_hz
        self.is_live, self._loop = is_device, loop
        self._capture: cv2.VideoCapture | None = None
        self._required = 'a camera that is plugged in' if is_device else 'a video OpenCV can read'
        self._has_given = self._is_over = False

    def open(self) -> None:
        """Open it and, for a device, ask for size and rate."""
        if not Path(self._source).exists():
            raise ImageError(self._source, 'is not there', self._required)
        capture = self._capture_device() if self.is_live else cv2.VideoCapture(self._source)
        if not capture.isOpened():
            capture.release()
            raise ImageError(self._source, 'cannot be opened', self._required)
        if self.is_live:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            capture.set(cv2.CAP_PROP_FPS, self._rate_hz)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture

    def _capture_device(self) -> cv2.VideoCapture:
        """Open a device by its number, which names under /dev/v4l/by-id lead to as well."""
        number = Path(self._source).resolve().name.removeprefix('video')
        if not number.isdigit():
            raise ImageError(self._source, 'is no V4L2 device', '/dev/video0 or a link to one')
        return cv2.VideoCapture(int(number), cv2.CAP_V4L2)

    def read(self) -> Frame | None:
        """Return the next frame; a device that gives none is unplugged.

        A video that does not loop stays at its end, also when it is opened again.
        """
        if self._capture is None:
            raise ImageError(self._source, 'is not open', 'open() first')
        if self._is_over:
            return None
        is_there, bgr = self._capture.read()
        if not is_there and not self.is_live and self._has_given:
            if not self._loop:
                self._is_over = True
                return None
            # Opened anew: some files can't be wound back.
            self.close()
            self.open()
            is_there, bgr = self._capture.read()
        if not is_there:
            raise ImageError(self._source, 'gave no frame', self._required)
        self._has_given = True
        return _checked(self._source, bgr, self._size)

    def close(self) -> None:
        """Release the device or file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class FolderSource(FrameSource):
    """A folder of images in the order of their names, numbers in them by value."""

    def __init__(self, folder: str, size: tuple[int, int], *, loop: bool):
        """Prepare; see `make_source`."""
        self._folder, self._size, self._loop = Path(folder), size, loop
        self._paths: list[Path] = []
        self._next = 0

    def open(self) -> None:
        """List the folder."""
        found = self._folder.glob('[!.]*') if self._folder.is_dir() else ()
        images = (path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
        self._paths = sorted(images, key=_by_number)
        if not self._paths:
            raise ImageError(
                str(self._folder), 'has no images', f'a folder with {", ".join(IMAGE_SUFFIXES)}'
            )

    def read(self) -> Frame | None:
        """Return the next image."""
        if self._next >= len(self._paths):
            if not self._loop:
                return None
            self._next = 0
        path = self._paths[self._next]
        self._next += 1
        bgr = decode(path.read_bytes())
        if bgr is None:
            raise ImageError(str(path), 'cannot be read', 'a whole image file')
        return _checked(str(path), bgr, self._size)


def make_source(
    kind: str, source: str, size: tuple[int, int], rate_hz: float, *, loop: bool
) -> FrameSource:
    """Return a source; nothing is opened yet.

    Args:
        kind: 'device', 'video' or 'folder'.
        source: Device file, video file or folder.
        size: Width and height every frame must have [px].
        rate_hz: Rate asked of a device [Hz].
        loop: Whether a file or folder starts again at its end.
    """
    if kind == 'folder':
        return FolderSource(source, size, loop=loop)
    return CaptureSource(source, size, rate_hz, is_device=kind == 'device', loop=loop)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return a key that puts 'frame_2' before 'frame_10'."""
    parts = re.split(r'(\d+)', path.name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]


def _checked(name: str, bgr: npt.NDArray[np.generic], size: tuple[int, int]) -> Frame:
    height, width = bgr.shape[:2]
    if (width, height) != size:
        raise ImageError(name, f'{width}x{height} pixels', f'{size[0]}x{size[1]} pixels')
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
