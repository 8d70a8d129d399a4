"""Frames of several cameras to complete sets, by exposure stamp."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import StampError

KEPT = 4


@dataclass(frozen=True)
class Frame:
    """One frame as it came."""

    stamp_ns: int
    received_ns: int
    pixels: npt.NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class FrameSet:
    """One frame of every camera, exposed together."""

    frames: dict[str, Frame]

    @property
    def stamp_ns(self) -> int:
        """Oldest exposure [ns]."""
        return min(frame.stamp_ns for frame in self.frames.values())

    @property
    def received_ns(self) -> int:
        """When the frame of the oldest exposure came [ns]."""
        return min(self.frames.values(), key=lambda frame: frame.stamp_ns).received_ns


@dataclass(frozen=True, kw_only=True)
class StampRule:
    """What a frame's stamp must be."""

    max_age_s: float
    future_tolerance_s: float = 0.05

    def judge(self, stamp_ns: int, last_ns: int, now_ns: int) -> str | None:
        """Return the cause for which a stamp is refused, None when it is good."""
        if stamp_ns <= 0:
            return 'zero_stamp'
        if stamp_ns == last_ns:
            return 'repeated_stamp'
        if stamp_ns < last_ns:
            return 'reordered'
        if stamp_ns - now_ns > self.future_tolerance_s * 1e9:
            return 'future'
        return 'stale' if now_ns - stamp_ns > self.max_age_s * 1e9 else None

    def explain(self, camera: str, cause: str, stamp_ns: int, now_ns: int) -> str:
        """Return the sentence for a refused stamp."""
        age_s = (now_ns - stamp_ns) / 1e9
        found, rule = {
            'zero_stamp': ('zero', 'the driver must stamp the exposure'),
            'repeated_stamp': ('that of the frame before', 'each exposure has its own stamp'),
            'reordered': ('older than the frame before', 'stamps go forward'),
            'future': (f'{-age_s:.3f} s ahead', f'at most {self.future_tolerance_s:g} s ahead'),
            'stale': (f'{age_s:.3f} s old', f'at most {self.max_age_s:g} s'),
        }[cause]
        return str(StampError(camera, found, rule))


class FramePairer:
    """Finds sets of frames whose exposures lie within a tolerance.

    Example, tolerance 10 ms: scene at 1.000 s, wrist at 1.004 s is a set; a wrist frame at
    1.100 s with no scene frame near it waits, and is counted as unpaired once it is passed by.
    """

    def __init__(self, cameras: tuple[str, ...], tolerance_s: float):
        """Start empty."""
        self.cameras = cameras
        self._tolerance_ns = int(tolerance_s * 1e9)
        self._waiting: dict[str, deque[Frame]] = {name: deque() for name in cameras}
        self.last_stamp_ns: dict[str, int] = dict.fromkeys(cameras, 0)
        """Newest exposure by camera [ns]; 0 before the first."""
        self.counts: Counter[str] = Counter()
        """Frames that found no partner, by 'unpaired_<camera>'."""

    def add(self, camera: str, frame: Frame) -> FrameSet | None:
        """Take a frame; return the set it completes, if any."""
        self.last_stamp_ns[camera] = frame.stamp_ns
        self._waiting[camera].append(frame)
        if len(self._waiting[camera]) > KEPT:
            self._waiting[camera].popleft()
            self.counts[f'unpaired_{camera}'] += 1
        chosen = {}
        for name in self.cameras:
            near = [
                f
                for f in self._waiting[name]
                if abs(f.stamp_ns - frame.stamp_ns) <= self._tolerance_ns
            ]
            if not near:
                return None
            chosen[name] = min(near, key=lambda f: abs(f.stamp_ns - frame.stamp_ns))
        for name, used in chosen.items():
            self._forget_until(name, used)
        return FrameSet(chosen)

    def _forget_until(self, camera: str, used: Frame) -> None:
        waiting = self._waiting[camera]
        while waiting:
            passed = waiting.popleft()
            if passed is used:
                return
            self.counts[f'unpaired_{camera}'] += 1
