"""Demonstrations on disk and in memory.

One episode is one `.npz` (plain arrays, no pickle): what the cameras saw, the robot's
state, the expert's plan from each state, and where the objects were. Frames are stored as
the rig published them; the network's input is made by `encoder.preprocess` when read, as
in serving.
"""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
from pathlib import Path
import zipfile

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import Contract
from roboadapt_ros.dataflow import RobotState
from roboadapt_ros.encoder.preprocess import preprocess
from roboadapt_ros.errors import PackageError, TrainingError
from roboadapt_ros.learning.progress import Progress, silent
from roboadapt_ros.policy.decode import encode_actions, proprioception

OBJECTS = ('red', 'green', 'blue', 'mark')
"""Order of the positions in an episode."""


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
    temporary = path.with_suffix('.part')
    with temporary.open('wb') as file:
        np.savez(file, success=np.array(episode.success), **arrays)
    temporary.replace(path)


def load_episode(path: Path) -> Episode:
    """Read an episode.

    Raises:
        PackageError: The file is missing, truncated, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            frames = {n[7:]: arrays[n] for n in arrays.files if n.startswith('frames.')}
            fields = {name: arrays[name] for name in _ARRAYS}
            return Episode(frames=frames, success=bool(arrays['success']), **fields)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PackageError(path, f'cannot be read ({error})', 'a whole episode file') from error


def episode_paths(folder: Path) -> list[Path]:
    """Return the episodes in a folder, sorted.

    Raises:
        TrainingError: There are none.
    """
    paths = sorted(folder.glob('episode_*.npz'))
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
