"""Demonstrations on disk and in memory.

One episode is one `.npz` (plain arrays, no pickle): what the cameras saw, the robot's
state, the expert's plan from each state, where the objects were, and which task it shows.
Frames are stored as the rig published them; the network's input is made by
`encoder.preprocess` when read, as in serving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import hashlib
from pathlib import Path
from typing import Any
import zipfile

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.package import VERSION_MARK
from roboadapt_ros.contract import Contract
from roboadapt_ros.dataflow import RobotState
from roboadapt_ros.encoder.preprocess import preprocess
from roboadapt_ros.errors import PackageError, TrainingError
from roboadapt_ros.files import replacing
from roboadapt_ros.learning.progress import Progress, silent, Tell, untold
from roboadapt_ros.policy.decode import encode_actions, proprioception

OBJECTS = ('red', 'green', 'blue', 'mark')
"""Order of the positions in an episode."""
EPISODES = 'episode_*.npz'
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


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


_ARRAYS = (
    'stamps_ns',
    'q',
    'dq',
    'ee_position',
    'ee_quat_xyzw',
    'ee_commanded',
    'gripper_width_m',
    'plan',
    'objects',
)


def save_episode(path: Path, episode: Episode) -> None:
    """Write an episode atomically."""
    arrays = {name: getattr(episode, name) for name in _ARRAYS}
    arrays |= {f'frames.{name}': frames for name, frames in episode.frames.items()}
    if episode.task is not None:
        arrays['task'] = np.array(episode.task)
    with replacing(path) as temporary, temporary.open('wb') as file:
        np.savez(file, success=np.array(episode.success), **arrays)


def load_episode(path: Path) -> Episode:
    """Read an episode.

    Raises:
        PackageError: The file is missing, truncated, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            frames = {n[7:]: arrays[n] for n in arrays.files if n.startswith('frames.')}
            fields = {name: arrays[name] for name in _ARRAYS}
            success, task = bool(arrays['success']), _task(arrays)
            return Episode(frames=frames, success=success, task=task, **fields)
    except _UNREADABLE as error:
        raise PackageError(path, f'cannot be read ({error})', 'a whole episode file') from error


def episode_task(path: Path) -> str | None:
    """Return the task of an episode, without reading its frames; None where it does not say.

    Raises:
        PackageError: The file can't be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _task(arrays)
    except _UNREADABLE as error:
        raise PackageError(path, f'cannot be read ({error})', 'a whole episode file') from error


def _task(arrays: Mapping[str, npt.NDArray[Any]]) -> str | None:
    if 'task' not in arrays:
        return None
    task = arrays['task']
    if task.shape != () or task.dtype.kind != 'U':
        raise ValueError('task is not a text')
    return str(task)


def require_task(folders: Iterable[Path], task: str, tell: Tell = untold) -> None:
    """Refuse folders that hold episodes of another task; a version belongs to its task.

    Args:
        folders: Folders of episodes; one that is missing or empty holds nothing wrong.
        task: Task wanted, '<task>' or '<task>@<version>'.
        tell: Told of files that do not say their task: they are taken as they are.

    Raises:
        TrainingError: An episode is of another task.
        PackageError: An episode can't be read.
    """
    wanted = task.partition(VERSION_MARK)[0]
    for folder in folders:
        paths = sorted(folder.glob(EPISODES))
        untitled = 0
        for path in paths:
            found = episode_task(path)
            untitled += found is None
            if found not in (None, wanted):
                raise TrainingError(
                    f"{folder} holds demonstrations of task '{found}' ({path.name}); wanted: "
                    f"'{wanted}'. Name a folder of that task."
                )
        if untitled:
            tell(
                f'{folder}: {untitled} of {len(paths)} episodes do not say their task (recorded '
                f"by an older version); taken to be of '{wanted}'."
            )


def episode_paths(folder: Path) -> list[Path]:
    """Return the episodes in a folder, sorted.

    Raises:
        TrainingError: There are none.
    """
    paths = sorted(folder.glob(EPISODES))
    if not paths:
        raise TrainingError(f"No episodes in {folder}. Record some with 'roboadapt collect'.")
    return paths


def data_hash(paths: list[Path]) -> str:
    """Return one sha256 over the files' names and contents, for provenance."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open('rb') as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Samples:
    """All steps of a set of episodes as training arrays."""

    images: npt.NDArray[np.uint8]
    """(N, n_cameras, S, S, 3) network input, contract camera order."""
    proprio: npt.NDArray[np.float64]
    """(N, proprio_size), contract units."""
    actions: npt.NDArray[np.float64]
    """(N, chunk_length, action_size), contract units."""
    objects: npt.NDArray[np.float64]
    """(N, 12) object positions [m]."""
    episode: npt.NDArray[np.int64]
    """(N,) index of the episode."""


def load_samples(
    paths: list[Path], contract: Contract, size_px: int, progress: Progress = silent
) -> Samples:
    """Read episodes through the same decode path as serving."""
    images, proprio, actions, objects, index = [], [], [], [], []
    for number, path in enumerate(paths):
        episode = load_episode(path)
        for step in range(len(episode)):
            state = episode.state(step)
            images.append(
                [preprocess(episode.frames[c.name][step], c, size_px) for c in contract.cameras]
            )
            proprio.append(proprioception(contract, state))
            actions.append(encode_actions(contract, episode.plan[step], state))
            objects.append(episode.objects[step].reshape(-1))
            index.append(number)
        progress(number + 1, len(paths), 'reading episodes')
    return Samples(
        np.array(images, dtype=np.uint8),
        np.array(proprio),
        np.array(actions),
        np.array(objects),
        np.array(index),
    )
