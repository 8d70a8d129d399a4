"""The identity of a set of tensors: sha256 over names, dtypes, shapes and bytes.

Imports no torch until it is given its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import PackageError
import safetensors

if TYPE_CHECKING:
    import torch

_TORCH_NAMES = {
    'F64': 'float64',
    'F32': 'float32',
    'F16': 'float16',
    'BF16': 'bfloat16',
    'I64': 'int64',
    'I32': 'int32',
    'I16': 'int16',
    'I8': 'int8',
    'U64': 'uint64',
    'U32': 'uint32',
    'U16': 'uint16',
    'U8': 'uint8',
    'BOOL': 'bool',
}
"""What torch calls the types of safetensors."""


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the hex sha256 of named tensors, independent of their order.

    Args:
        tensors: Named tensors on any device.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(_heading(name, str(tensor.dtype), tuple(tensor.shape)))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def arrays_digest(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return what `tensors_digest` gives for the same tensors as arrays, without torch."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order='C')
        digest.update(_heading(name, f'torch.{array.dtype.name}', array.shape))
        digest.update(array.tobytes() if array.ndim == 0 else array.data)
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """Return what `tensors_digest` gives for the tensors of a safetensors file, without torch.

    Raises:
        PackageError: Missing, truncated or corrupted.
    """
    try:
        tensors = dict(safetensors.deserialize(file.read_bytes()))
    except (OSError, safetensors.SafetensorError) as error:
        raise PackageError(
            file, f'cannot be read ({error})', 'a whole safetensors file'
        ) from error
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        kind = _TORCH_NAMES.get(tensor['dtype'], tensor['dtype'])
        digest.update(_heading(name, f'torch.{kind}', tuple(tensor['shape'])))
        digest.update(tensor['data'])
    return digest.hexdigest()


def _heading(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    return f'{name}|{dtype}|{shape}|'.encode()
