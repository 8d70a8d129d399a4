"""The probe stored with a backbone: an image, and the features it gave when it was released.

Imports no torch: every engine reads it from here, and is refused the same files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.backbones.manifest import BackboneManifest, PROBE_NAME
from roboadapt_ros.errors import PackageError, TensorError
from roboadapt_ros.files import package_file
import safetensors
import safetensors.numpy

_FAULTS = (OSError, safetensors.SafetensorError, ValueError, LookupError, TypeError)
"""What reading a damaged safetensors file raises."""


class Probe(NamedTuple):
    """What a backbone's probe file holds."""

    image: npt.NDArray[np.uint8]
    """(1, S, S, 3) RGB."""
    features: npt.NDArray[np.float32]
    """(1, features_per_camera), finite."""


def read_probe(path: Path, manifest: BackboneManifest, features: int) -> Probe:
    """Read a backbone's probe strictly.

    Args:
        path: Folder of the backbone.
        manifest: Its manifest, for the image's size.
        features: Features of one image.

    Raises:
        PackageError: The file is missing, a link out of the package, or unreadable.
        TensorError: It holds other tensors than these, or features that are not finite: within
            a share of an infinite one lies everything.
    """
    file = package_file(path, PROBE_NAME)
    try:
        found = safetensors.numpy.load_file(file)
    except _FAULTS as error:
        raise PackageError(
            file, f'cannot be read ({error})', 'a whole safetensors file'
        ) from error
    size = manifest.image_size
    required = {'image': f'{(1, size, size, 3)} uint8', 'features': f'{(1, features)} float32'}
    missing, unexpected = required.keys() - found.keys(), found.keys() - required.keys()
    mismatched = [
        f'{name}: found {_kind(found[name])}, required {kind}'
        for name, kind in required.items()
        if name in found and _kind(found[name]) != kind
    ]
    if not (missing or unexpected or mismatched) and not np.isfinite(found['features']).all():
        mismatched = ['features: found nan or inf, required finite values']
    if missing or unexpected or mismatched:
        raise TensorError(
            file, missing=sorted(missing), unexpected=sorted(unexpected), mismatched=mismatched
        )
    return Probe(**found)


def _kind(array: npt.NDArray[Any]) -> str:
    """Return '(2, 3) float32'."""
    return f'{array.shape} {array.dtype.name}'
