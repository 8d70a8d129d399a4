"""Cameras of V4L2 that are files, for processes that `fake_v4l2.c` is preloaded into.

OpenCV's own V4L2 code runs over them; the C file says what the text of a camera's file means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
from pathlib import Path
import shutil
import subprocess
import sys

import numpy as np
import pytest

VGA = 'yuyv=640x480@30'
BARS_RGB = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (0, 255, 255),
    (255, 0, 255),
    (255, 255, 255),
    (128, 128, 128),
)
ROUNDING = 3
"""How far a colour may be off after YUV of eight bits."""
_SOURCE = Path(__file__).with_name('fake_v4l2.c')
_FIELDS = 16
_LENGTH = 200


class FakeCameras:
    """A folder of cameras. Example: ``path = cameras.plug(0)``; ``cameras.unplug(0)``."""

    def __init__(self, library: Path, folder: Path):
        """Begin without a camera."""
        self.folder = folder
        self.environment = {'LD_PRELOAD': str(library), 'FAKE_V4L2': str(folder)}
        """What a process needs to see the cameras."""

    def path(self, number: int) -> Path:
        """Return the device file, whether or not the camera is plugged in."""
        return self.folder / f'video{number}'

    def plug(self, number: int, text: str = VGA) -> str:
        """Plug a camera in, or change what a plugged one does; return its device file."""
        path = self.path(number)
        content = text.ljust(_LENGTH).encode()
        if path.exists():
            with path.open('r+b', buffering=0) as file:  # whole at once: it is read at any time
                file.write(content)
        else:
            new = self.folder / f'new{number}'
            new.write_bytes(content)
            new.rename(path)
        return str(path)

    def unplug(self, number: int) -> None:
        """Take a camera away."""
        self.path(number).unlink()

    @contextmanager
    def taken(self, number: int) -> Iterator[None]:
        """Have another program use a camera."""
        with self.path(number).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def build(folder: Path) -> Path:
    """Compile the library, or skip the test where that can't be."""
    compiler = shutil.which('cc')
    if not sys.platform.startswith('linux') or compiler is None:
        pytest.skip('cameras of V4L2 are simulated on Linux with a C compiler (cc) only')
    library = folder / 'fake_v4l2.so'
    words = [compiler, '-O2', '-shared', '-fPIC', '-o', str(library), str(_SOURCE)]
    subprocess.run([*words, '-ldl', '-lpthread'], check=True)
    return library


def bars(picture: np.ndarray) -> np.ndarray:
    """Return the colour in the middle of each bar, (8, 3)."""
    height, width = picture.shape[:2]
    return picture[height // 2, width // 16 :: width // 8].astype(int)


def number_of(picture: np.ndarray) -> int:
    """Return the number of the frame, as the lowest eighth shows it."""
    height, width = picture.shape[:2]
    step = width // _FIELDS
    fields = picture[height - height // 16, step // 2 :: step, 0] > 127
    return int(sum(int(bit) << (_FIELDS - 1 - index) for index, bit in enumerate(fields)))
