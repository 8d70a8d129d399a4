"""Pictures of an episode for people: a film strip with what happened when."""

from __future__ import annotations

from collections.abc import Mapping
import itertools

import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ImageError
from roboadapt_ros.evaluation.run_record import FilmStrip, Frame

JPEG_QUALITY = 88


class FilmRecorder:
    """Keeps the frames of one episode and picks a few of them.

    Example: frames at 0.0 .. 5.0 s, `mark(1.0, 'switched')`, `end('success')`, then
    `strip(..., phases=6)` gives pictures near 0.0, 1.0, 2.0, 3.0, 4.0 and 5.0 s, captioned
    '0.0 s', '1.0 s: switched', ... '5.0 s: success'.
    """

    def __init__(self) -> None:
        """Start without frames."""
        self._frames: list[tuple[float, dict[str, npt.NDArray[np.uint8]]]] = []
        self._marks: dict[float, str] = {}

    def clear(self) -> None:
        """Forget everything; a new episode begins."""
        self._frames.clear()
        self._marks.clear()

    def add(self, time_s: float, frames_rgb: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Keep the latest (H, W, 3) uint8 RGB frame of each camera at an episode time [s]."""
        self._frames.append((time_s, dict(frames_rgb)))

    def mark(self, time_s: float, caption: str) -> None:
        """Note what happened at an episode time [s]; the picture nearest to it is kept."""
        self._marks[time_s] = caption

    def end(self, caption: str) -> None:
        """Note how it ended, at the last frame there is."""
        if self._frames:
            self._marks[self._frames[-1][0]] = caption

    def strip(self, task: str, title: str, *, phases: int) -> FilmStrip:
        """Return about `phases` moments: every mark, and even steps between them.

        Args:
            task: Task of the episode.
            title: Which episode, and how it ended.
            phases: Number of pictures per camera where there are enough frames.
        """
        cameras = tuple(self._frames[-1][1]) if self._frames else ()
        frames = [
            Frame(camera=camera, caption=caption, jpeg=encode_jpeg(camera, images[camera]))
            for caption, images in self._moments(phases)
            for camera in cameras
            if camera in images
        ]
        return FilmStrip(task=task, title=title, cameras=cameras, frames=tuple(frames))

    def _moments(self, phases: int) -> list[tuple[str, dict[str, npt.NDArray[np.uint8]]]]:
        """Return (caption, frames) in order of time."""
        if not self._frames:
            return []
        times = np.array([time_s for time_s, _ in self._frames])
        wanted = {int(np.abs(times - at).argmin()): text for at, text in self._marks.items()}
        chosen = {0, len(times) - 1, *wanted}
        while len(chosen) < min(phases, len(times)):
            # The widest gap in time gets the next picture, in its middle.
            ordered = sorted(chosen)
            gaps = [times[b] - times[a] for a, b in itertools.pairwise(ordered)]
            widest = int(np.argmax(gaps))
            low, high = ordered[widest], ordered[widest + 1]
            middle = int(np.abs(times - (times[low] + times[high]) / 2).argmin())
            if middle in chosen:
                break
            chosen.add(middle)
        moments = []
        for index in sorted(chosen):
            note = f': {wanted[index]}' if index in wanted else ''
            moments.append((f'{times[index]:.1f} s{note}', self._frames[index][1]))
        return moments


def encode_jpeg(name: str, frame_rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return the JPEG file of an (H, W, 3) uint8 RGB frame.

    Raises:
        ImageError: It can't be encoded.
    """
    bgr = cv2.cvtColor(frame_rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode('.jpg', bgr, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    if not done:
        raise ImageError(name, f'shape {frame_rgb.shape} was not encoded', 'an RGB image')
    return data.tobytes()
