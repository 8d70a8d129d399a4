"""A task package on disk: manifest, weights, card. Strict both ways; no pickle, no torch.

`models/tasks/<task>/`, or `<task>@<version>/` for one version beside others, holds
`manifest.json` (identity, layout, contract, normaliser, provenance) and `weights.safetensors`
(adapter and head tensors, nothing else). The manifest stores the sha256 of the weights, and the
package digest is the sha256 of the manifest, so that one digest names both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout, HeadLayout, task_shapes
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.config import MAX_JSON_BYTES, parse_json, require_plain_name, save_json
from roboadapt_ros.contract import Contract
from roboadapt_ros.errors import BackboneMismatchError, ConfigError, PackageError, TensorError
from roboadapt_ros.files import folder_aside, package_file, read_bytes
import safetensors
import safetensors.numpy

MANIFEST_NAME = 'manifest.json'
WEIGHTS_NAME = 'weights.safetensors'
VERSION_MARK = '@'
"""Between a task's name and a version, in the name of a package."""
MAX_WEIGHTS_BYTES = 256 * 1024 * 1024
"""A weights file larger than this is refused unread."""
_MAX_ENTRY_BYTES = 160
"""Room a safetensors header needs for one tensor, beside its name."""


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """Mean and deviation of proprioception and actions, in the contract's units."""

    proprio_mean: tuple[float, ...]
    proprio_std: tuple[float, ...]
    action_mean: tuple[float, ...]
    """(chunk_length * action_size,) row-major, so that each row has its own scale."""
    action_std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check deviations are positive and lengths agree."""
        for name in ('proprio', 'action'):
            mean, std = getattr(self, f'{name}_mean'), getattr(self, f'{name}_std')
            if len(mean) != len(std):
                raise ConfigError(
                    f'normaliser.{name}_std', len(std), f'must have {len(mean)} values'
                )
            if not all(np.isfinite(mean)) or not all(np.isfinite(s) and s > 0 for s in std):
                raise ConfigError(f'normaliser.{name}_std', std, 'must be finite and positive')


@dataclass(frozen=True, kw_only=True)
class TaskManifest:
    """What `manifest.json` holds."""

    schema_version: int
    task: str
    description: str
    backbone_id: str
    backbone_digest: str
    adapters: AdapterLayout
    head: HeadLayout
    contract: Contract
    normaliser: Normaliser
    weights_sha256: str
    backbone_settings: str | None = None
    """`BackboneManifest.settings_digest`; packages from before it was recorded have none."""
    version: str | None = None
    """Tells packages of one task apart; part of the folder's name when given."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Data ids and hashes, recipe, seed, code revision, parents, measured success."""

    @property
    def package_name(self) -> str:
        """Name of the package's folder: '<task>' or '<task>@<version>'."""
        return self.task if self.version is None else f'{self.task}{VERSION_MARK}{self.version}'

    def __post_init__(self) -> None:
        """Check the parts agree with each other."""
        if self.schema_version != 1:
            raise ConfigError('manifest.schema_version', self.schema_version, 'must be 1')
        for field_name in ('task', 'backbone_id', 'version'):
            name = getattr(self, field_name)
            if name is not None:  # a version may be
                require_plain_name(f'manifest.{field_name}', name)
        pairs = (
            ('head.proprio_size', self.head.proprio_size, self.contract.proprio_size),
            ('head.chunk_length', self.head.chunk_length, self.contract.chunk_length),
            ('head.action_size', self.head.action_size, self.contract.action_size),
            ('normaliser.proprio', len(self.normaliser.proprio_mean), self.contract.proprio_size),
            (
                'normaliser.action',
                len(self.normaliser.action_mean),
                self.contract.chunk_length * self.contract.action_size,
            ),
        )
        for name, found, required in pairs:
            if found != required:
                raise ConfigError(f'manifest.{name}', found, f'must be {required} by the contract')


@dataclass(frozen=True)
class TaskPackage:
    """A task package read whole and checked."""

    path: Path
    manifest: TaskManifest
    digest: str
    """sha256 of the manifest file, which holds the sha256 of the weights."""
    tensors: dict[str, npt.NDArray[np.float32]]

    @property
    def task(self) -> str:
        """Name the package is served under: '<task>' or '<task>@<version>'."""
        return self.manifest.package_name

    @property
    def contract(self) -> Contract:
        """What the task saw and what its actions mean."""
        return self.manifest.contract

    @property
    def nbytes(self) -> int:
        """Size of the tensors [bytes]."""
        return sum(t.nbytes for t in self.tensors.values())

    def part(self, prefix: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the tensors under 'adapters' or 'head', without the prefix."""
        start = f'{prefix}.'
        return {n[len(start) :]: t for n, t in self.tensors.items() if n.startswith(start)}

    def require_backbone(self, backbone: BackboneManifest) -> None:
        """Raise `BackboneMismatchError` unless trained over exactly this backbone."""
        manifest, settings = self.manifest, backbone.settings_digest
        found = f'{manifest.backbone_id} ({manifest.backbone_digest[:12]})'
        required = f'{backbone.id} ({backbone.digest[:12]})'
        if (manifest.backbone_id, manifest.backbone_digest) != (backbone.id, backbone.digest):
            raise BackboneMismatchError(self.path, self.task, found, required)
        if manifest.backbone_settings not in (None, settings):
            raise BackboneMismatchError(
                self.path,
                self.task,
                f'{found} with other settings ({manifest.backbone_settings[:12]})',
                f'{required}, whose model, input or pooling is set otherwise ({settings[:12]})',
            )


def load_manifest(path: Path) -> tuple[TaskManifest, str]:
    """Read a package's manifest alone.

    Args:
        path: Package folder.

    Returns:
        The manifest and the package digest.

    Raises:
        PackageError: Missing, unreadable, or in a folder of another name.
        RoboAdaptError: As `config.load_json` for keys, types and rules.
    """
    file = package_file(path, MANIFEST_NAME)
    data = read_bytes(file, MAX_JSON_BYTES)  # once: the digest must be of what was parsed
    manifest = parse_json(TaskManifest, data, file)
    if manifest.package_name != path.name:
        raise PackageError(
            file, f"names task '{manifest.package_name}'", f"the folder's name '{path.name}'"
        )
    return manifest, hashlib.sha256(data).hexdigest()


def load_package(path: Path) -> TaskPackage:
    """Read a task package and check every tensor.

    Raises:
        PackageError: A file is missing, truncated, corrupted or too large.
        TensorError: Names, shapes or dtypes differ from the layout's; each is named.
        RoboAdaptError: As `load_manifest`.
    """
    manifest, digest = load_manifest(path)
    file = package_file(path, WEIGHTS_NAME)
    data = read_bytes(file, MAX_WEIGHTS_BYTES)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != manifest.weights_sha256:
        raise PackageError(
            file,
            f'is truncated or corrupted ({len(data)} bytes, sha256 {sha256[:12]})',
            f'the file with sha256 {manifest.weights_sha256[:12]} of the manifest',
        )
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError) as error:
        raise PackageError(
            file, f'cannot be read ({error})', 'a whole safetensors file'
        ) from error
    _check(file, manifest, tensors)
    return TaskPackage(path, manifest, digest, tensors)


def require_loadable(path: Path, adapters: AdapterLayout, head: HeadLayout) -> None:
    """Raise `PackageError` for layouts whose weights file would be too large to be read.

    Args:
        path: The package's folder, for the message.
        adapters: Sites and widths.
        head: Sizes of the head.
    """
    size = sum(
        4 * math.prod(shape) + len(name) + _MAX_ENTRY_BYTES
        for name, shape in task_shapes(adapters, head).items()
    )
    if size > MAX_WEIGHTS_BYTES:
        raise PackageError(
            path / WEIGHTS_NAME,
            f'would have {size} bytes',
            f'at most {MAX_WEIGHTS_BYTES}; choose smaller adapters or a smaller head',
        )


def save_package(
    path: Path,
    manifest: TaskManifest,
    tensors: dict[str, npt.NDArray[np.float32]],
    card: str,
    *,
    add_files: Callable[[Path], None] | None = None,
) -> TaskPackage:
    """Write a task package whole or not at all; nothing of one that was there stays.

    Args:
        path: Folder to create or replace; its name is the package's.
        manifest: Everything but the weights' hash, which is replaced by the file's own.
        tensors: float32 tensors named as `task_shapes`.
        card: Markdown model card.
        add_files: Writes what else belongs to the package into the folder it is given.

    Returns:
        The package as read back.

    Raises:
        PackageError: The folder has another name than the package, the package would be too
            large, or it can't be written; what was there stands.
        TensorError: The tensors are not the layout's.
    """
    if manifest.package_name != path.name:
        raise PackageError(
            path,
            'is not the folder to write it to',
            f"the package's name '{manifest.package_name}'",
        )
    contiguous = {name: np.ascontiguousarray(t) for name, t in tensors.items()}
    _check(path / WEIGHTS_NAME, manifest, contiguous)
    require_loadable(path, manifest.adapters, manifest.head)
    data = safetensors.numpy.save(contiguous)
    manifest = replace(manifest, weights_sha256=hashlib.sha256(data).hexdigest())
    try:
        with folder_aside(path) as folder:
            (folder / WEIGHTS_NAME).write_bytes(data)
            save_json(manifest, folder / MANIFEST_NAME)
            (folder / 'card.md').write_text(card, encoding='utf-8')
            if add_files is not None:
                add_files(folder)
    except OSError as error:
        raise PackageError(
            path, f'cannot be written ({error.strerror})', 'a folder that can be, with room'
        ) from error
    return load_package(path)


def add_provenance(path: Path, key: str, value: Any) -> TaskPackage:
    """Write one entry of a package's provenance; its digest changes, its weights do not.

    Raises:
        RoboAdaptError: As `load_package`.
    """
    package = load_package(path)
    provenance = {**package.manifest.provenance, key: value}
    save_json(replace(package.manifest, provenance=provenance), path / MANIFEST_NAME)
    return load_package(path)


def _check(
    file: Path, manifest: TaskManifest, tensors: dict[str, npt.NDArray[np.float32]]
) -> None:
    """Raise `TensorError` unless the tensors are exactly the layout's, float32 and finite."""
    required = task_shapes(manifest.adapters, manifest.head)
    mismatched = []
    for name in sorted(required.keys() & tensors.keys()):
        tensor = tensors[name]
        if tensor.shape != required[name]:
            mismatched.append(f'{name}: found {tensor.shape}, required {required[name]}')
        elif tensor.dtype != np.float32:
            mismatched.append(f'{name}: found {tensor.dtype}, required float32')
        elif not np.isfinite(tensor).all():
            mismatched.append(f'{name}: found a non-finite value, required finite values')
    missing = sorted(required.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - required.keys())
    if missing or unexpected or mismatched:
        raise TensorError(file, missing=missing, unexpected=unexpected, mismatched=mismatched)
