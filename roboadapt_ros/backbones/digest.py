"""The identity of a set of tensors: sha256 over names, dtypes, shapes and bytes."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib

import torch


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the hex sha256 of named tensors, independent of their order.

    Args:
        tensors: Named tensors on any device.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f'{name}|{tensor.dtype}|{tuple(tensor.shape)}|'.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
