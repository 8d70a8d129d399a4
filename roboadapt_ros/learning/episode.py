"""One demonstration on disk, and what it must hold.

An episode is one `.npz` (plain arrays, no pickle): what the cameras saw, the robot's state,
the expert's plan from each state, where the objects were, and which task it shows. Frames are
stored as the rig published them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
import zipfile
import zlib

import numpy as np
from numpy.lib.npyio import NpzFile
import numpy.typing as npt
from roboadapt_ros.contract import Contract
from roboadapt_ros.dataflow import RobotState
from roboadapt_ros.encoder.preprocess import require_seen
from roboadapt_ros.errors import ImageError, PackageError
from roboadapt_ros.files import replacing

OBJECTS = ('red', 'green', 'blue', 'mark')
"""Order of the positions in an episode."""
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged npz file raises."""


@dataclass(frozen=True)
class Episode:
    """One recorded episode of T steps."""

    frames: dict[str, npt.NDArray[np.uint8]]
    """(T, height, width, 3) RGB by camera."""
    stamps_ns: npt.NDArray[np.int64]
    """(T,) exposure [ns]."""
    q: npt.NDArray[np.float64]
    """(T, 7) [rad]."""
    dq: npt.NDArray[np.float64]
    """(T, 7) [rad/s]."""
    ee_position: npt.NDArray[np.float64]
    """(T, 3) [m], base frame."""
    ee_quat_xyzw: npt.NDArray[np.float64]
    """(T, 4)."""
    ee_commanded: npt.NDArray[np.float64]
    """(T, 3) [m], base frame."""
    gripper_width_m: npt.NDArray[np.float64]
    """(T,)."""
    plan: npt.NDArray[np.float64]
    """(T, H, 8) the expert's absolute targets from each state."""
    objects: npt.NDArray[np.float64]
    """(T, 4, 3) positions of OBJECTS [m], base frame."""
    success: bool
    task: str | None = None
    """What was demonstrated; files of older versions do not say it."""

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.stamps_ns)

    def state(self, index: int) -> RobotState:
        """Return the robot's state at one step."""
        return RobotState(
            stamp_ns=int(self.stamps_ns[index]),
            q=self.q[index],
            dq=self.dq[index],
            ee_position=self.ee_position[index],
            ee_quat_xyzw=self.ee_quat_xyzw[index],
            ee_commanded=self.ee_commanded[index],
            gripper_width_m=float(self.gripper_width_m[index]),
        )


_SHAPES: dict[str, tuple[int | None, ...]] = {
    'stamps_ns': (),
    'q': (7,),
    'dq': (7,),
    'ee_position': (3,),
    'ee_quat_xyzw': (4,),
    'ee_commanded': (3,),
    'gripper_width_m': (),
    'plan': (None, 8),
    'objects': (len(OBJECTS), 3),
}
"""Shape of each array at one step; None is any length."""


def save_episode(path: Path, episode: Episode) -> None:
    """Write an episode atomically."""
    arrays = {name: getattr(episode, name) for name in _SHAPES}
    arrays |= {f'frames.{name}': frames for name, frames in episode.frames.items()}
    if episode.task is not None:
        arrays['task'] = np.array(episode.task)
    with replacing(path) as temporary, temporary.open('wb') as file:
        np.savez(file, success=np.array(episode.success), **arrays)


def load_episode(path: Path) -> Episode:
    """Read an episode.

    Raises:
        PackageError: The file is missing, truncated, lacks an array, or one is not as `Episode`
            says: another shape or kind, another number of steps, or a value not finite.
    """
    with _opened(path) as arrays:
        frames = {n[7:]: arrays[n] for n in arrays.files if n.startswith('frames.')}
        fields = {name: arrays[name] for name in _SHAPES}
        success, task = bool(arrays['success']), _task(arrays)
    _require_whole(path, frames, fields)
    return Episode(frames=frames, success=success, task=task, **fields)


def _require_whole(
    path: Path,
    frames: Mapping[str, npt.NDArray[Any]],
    fields: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Raise `PackageError` unless every array is as `Episode` says."""
    steps = fields['stamps_ns'].shape[0] if fields['stamps_ns'].ndim else 0
    if steps == 0:
        raise PackageError(path, 'holds no steps', 'one or more')
    for name, shape in _SHAPES.items():
        array = fields[name]
        wanted = (steps, *shape)
        fits = len(wanted) == array.ndim and all(
            length in (None, found) for length, found in zip(wanted, array.shape, strict=True)
        )
        kinds = 'i' if name == 'stamps_ns' else 'if'
        if not fits or array.dtype.kind not in kinds:
            text = str(wanted).replace('None', 'any')
            numbers = 'whole numbers' if kinds == 'i' else 'numbers'
            raise _misshapen(path, name, array, f'{numbers} of shape {text}')
        if not np.isfinite(array).all():
            raise PackageError(path, f'{name} holds a value that is not finite', 'finite values')
    for name, array in frames.items():
        is_rgb = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3
        if not is_rgb or len(array) != steps:
            wanted_text = f'uint8 of shape ({steps}, height, width, 3)'
            raise _misshapen(path, f'frames.{name}', array, wanted_text)


def _misshapen(path: Path, name: str, array: npt.NDArray[Any], wanted: str) -> PackageError:
    return PackageError(path, f'{name} is {array.dtype} of shape {array.shape}', wanted)


def require_cameras(path: Path, episode: Episode, contract: Contract) -> None:
    """Raise `PackageError` unless an episode has the frames of a contract's cameras.

    Args:
        path: The episode's file, for the message.
        episode: What it holds.
        contract: Cameras and the sizes of their frames.
    """
    try:
        require_seen({name: frames[0] for name, frames in episode.frames.items()}, contract)
    except ImageError as error:
        raise PackageError(
            path, f'does not have the frames of the contract ({error})', 'every camera of it'
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    """Open an episode; raises `PackageError` for what can't be read of it in the block."""
    try:
        arrays = np.load(path, allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise ValueError('it is one array')
        with arrays:
            yield arrays
    except _UNREADABLE as error:
        raise PackageError(path, f'cannot be read ({error})', 'a whole episode file') from error


def episode_task(path: Path) -> str | None:
    """Return the task of an episode, without reading its frames; None where it does not say.

    Raises:
        PackageError: The file can't be read.
    """
    with _opened(path) as arrays:
        return _task(arrays)


def _task(arrays: Mapping[str, npt.NDArray[Any]]) -> str | None:
    if 'task' not in arrays:
        return None
    task = arrays['task']
    if task.shape != () or task.dtype.kind != 'U':
        raise ValueError('task is not a text')
    return str(task)
