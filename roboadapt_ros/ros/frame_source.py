"""What every source of frames is, whatever they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ImageError

Frame = npt.NDArray[np.uint8]


class FrameSource(ABC):
    """Gives RGB frames one after the other.

    Example: ``with_source = make_source('folder', 'frames/', (640, 480), 30.0, loop=True)``;
    `open`, then `read` until it returns None, then `close`.
    """

    is_live = False
    """Whether the source sets the pace itself."""
    note = ''
    """In what the open source differs from what was asked; '' for nothing."""
    skipped = 0
    """Frames that were passed over, because they held no picture."""
    taken_s: float | None = None
    """When the last frame was taken, by time.monotonic() [s]; None: not known."""

    @abstractmethod
    def open(self) -> None:
        """Open the source; raises ImageError, naming it, when it is not there."""

    @abstractmethod
    def read(self) -> Frame | None:
        """Return the next (H, W, 3) uint8 RGB frame, or None at the end or when it is to stop.

        Raises:
            ImageError: The source broke off or gave another size than asked for.
        """

    def close(self) -> None:  # noqa: B027 - a folder of images holds nothing open
        """Free the source; may be called twice."""


def checked(name: str, bgr: npt.NDArray[np.generic], size: tuple[int, int]) -> Frame:
    """Return OpenCV's pixels as a frame.

    Raises:
        ImageError: They are not of the size asked for.
    """
    height, width = bgr.shape[:2]
    if (width, height) != size:
        raise ImageError(name, f'{width}x{height} pixels', f'{size_text(size)} pixels')
    code = cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(bgr, code), dtype=np.uint8)


def size_text(size: tuple[int, int]) -> str:
    """Return '640x480'."""
    return f'{size[0]}x{size[1]}'
