"""Tensors from a safetensors file, held against what is required of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from roboadapt_ros.errors import PackageError, TensorError
import safetensors
import safetensors.torch
import torch

_FAULTS = (OSError, safetensors.SafetensorError, ValueError, LookupError, TypeError)
"""What reading a damaged safetensors file raises."""


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        PackageError: Missing, truncated, corrupted or of types torch does not have.
    """
    try:
        return safetensors.torch.load_file(file)
    except _FAULTS as error:
        raise PackageError(
            file, f'cannot be read ({error})', 'a whole safetensors file'
        ) from error


def require_tensors(
    path: Path, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> None:
    """Raise `TensorError` unless names, shapes and types are those of `wanted`."""
    required = {name: kind(tensor) for name, tensor in wanted.items()}
    mismatched = [
        f'{name}: found {kind(found[name])}, required {what}'
        for name, what in required.items()
        if name in found and kind(found[name]) != what
    ]
    missing = sorted(required.keys() - found.keys())
    unexpected = sorted(found.keys() - required.keys())
    if missing or unexpected or mismatched:
        raise TensorError(path, missing=missing, unexpected=unexpected, mismatched=mismatched)


def kind(tensor: torch.Tensor) -> str:
    """Return '(2, 3) float32'."""
    return f'{tuple(tensor.shape)} {str(tensor.dtype).removeprefix("torch.")}'
