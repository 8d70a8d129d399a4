"""Folders of demonstrations, and the training arrays made of them.

The network's input is made by `encoder.preprocess` when episodes are read, as in serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.package import VERSION_MARK
from roboadapt_ros.contract import Contract
from roboadapt_ros.encoder.preprocess import preprocess
from roboadapt_ros.errors import PackageError, TrainingError
from roboadapt_ros.learning.episode import Episode, episode_task, load_episode, require_cameras
from roboadapt_ros.learning.progress import Progress, silent, Tell, untold
from roboadapt_ros.policy.decode import encode_actions, proprioception

EPISODES = 'episode_*.npz'


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
    """Read episodes through the same decode path as serving.

    Raises:
        PackageError: An episode can't be read, or does not fit the contract.
    """
    images, proprio, actions, objects, index = [], [], [], [], []
    for number, path in enumerate(paths):
        episode = load_episode(path)
        require_cameras(path, episode, contract)
        _require_plan(path, episode, contract)
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


def _require_plan(path: Path, episode: Episode, contract: Contract) -> None:
    """Raise `PackageError` unless the expert's plan has the rows of a contract's chunk."""
    rows = episode.plan.shape[1]
    if rows != contract.chunk_length:
        raise PackageError(
            path, f'plan has {rows} rows a step', f'{contract.chunk_length}, as the contract'
        )
