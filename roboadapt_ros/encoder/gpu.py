"""The GPU at hand, as torch sees it."""

from __future__ import annotations

from roboadapt_ros.errors import EngineError
import torch

COPIED_BYTES, COPIES = 1 << 30, 20
"""What `copy_bytes_per_s` copies, and how often."""


def torch_sees_gpu() -> bool:
    """Return whether there is a GPU that torch can use."""
    return torch.cuda.is_available()


def gpu_name() -> str:
    """Return what the GPU is."""
    return torch.cuda.get_device_name()


def require_gpu() -> None:
    """Raise `EngineError` unless torch sees a GPU."""
    if not torch_sees_gpu():
        raise EngineError(
            'cuda', 'torch sees no NVIDIA GPU', "Check nvidia-smi, or name 'torch' or 'onnx'."
        )


def copy_bytes_per_s() -> float:
    """Return how fast the GPU copies its own memory, bytes read and written counted [1/s]."""
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device='cuda')
    target = torch.empty_like(source)
    target.copy_(source)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(COPIES):
        target.copy_(source)
    end.record()
    end.synchronize()
    return 2 * COPIES * COPIED_BYTES / (1e-3 * float(start.elapsed_time(end)))
