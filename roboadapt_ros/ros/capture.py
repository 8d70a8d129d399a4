"""Frames from a video file or a folder of images, and the source for a name."""

from __future__ import annotations

from pathlib import Path
import re
import threading

import cv2
from roboadapt_ros.errors import ImageError
from roboadapt_ros.ros.device import DeviceSource
from roboadapt_ros.ros.frame_source import checked, Frame, FrameSource
from roboadapt_ros.ros.images import decode

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp')
_A_VIDEO = 'a video OpenCV can read'


class VideoSource(FrameSource):
    """A video file."""

    def __init__(self, source: str, size: tuple[int, int], *, loop: bool):
        """Prepare; see `make_source`."""
        self._source, self._size, self._loop = source, size, loop
        self._capture: cv2.VideoCapture | None = None
        self._has_given = self._is_over = False

    def open(self) -> None:
        """Open the file."""
        if not Path(self._source).exists():
            raise ImageError(self._source, 'is not there', _A_VIDEO)
        capture = cv2.VideoCapture(self._source)
        if not capture.isOpened():
            capture.release()
            raise ImageError(self._source, 'cannot be opened', _A_VIDEO)
        self._capture = capture

    def read(self) -> Frame | None:
        """Return the next frame.

        A video that does not loop stays at its end, also when it is opened again.
        """
        if self._capture is None:
            raise ImageError(self._source, 'is not open', 'open() first')
        if self._is_over:
            return None
        is_there, bgr = self._capture.read()
        if not is_there and self._has_given:
            if not self._loop:
                self._is_over = True
                return None
            # Opened anew: some files can't be wound back.
            self.close()
            self.open()
            is_there, bgr = self._capture.read()
        if not is_there:
            raise ImageError(self._source, 'gave no frame', _A_VIDEO)
        self._has_given = True
        return checked(self._source, bgr, self._size)

    def close(self) -> None:
        """Release the file."""
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
        return checked(str(path), bgr, self._size)


def make_source(
    kind: str,
    source: str,
    size: tuple[int, int],
    rate_hz: float,
    *,
    loop: bool,
    ending: threading.Event | None = None,
) -> FrameSource:
    """Return a source; nothing is opened yet.

    Args:
        kind: 'device', 'video' or 'folder'.
        source: Device file or its number, video file or folder.
        size: Width and height every frame must have [px].
        rate_hz: Rate asked of a device [Hz].
        loop: Whether a file or folder starts again at its end.
        ending: Set by another thread, it ends a wait for a device's frame within a second.
    """
    if kind == 'folder':
        return FolderSource(source, size, loop=loop)
    if kind == 'video':
        return VideoSource(source, size, loop=loop)
    return DeviceSource(source, size, rate_hz, ending or threading.Event())


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return a key that puts 'frame_2' before 'frame_10'."""
    parts = re.split(r'(\d+)', path.name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]
