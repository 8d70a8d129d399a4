"""The names of the engines: what may run a backbone. The engines themselves are in `encoder`."""

from __future__ import annotations

from enum import Enum


class EngineKind(Enum):
    """The engines a rig file may name."""

    AUTO = 'auto'
    """The fastest exact one on this machine, measured at start."""
    TORCH = 'torch'
    """On the CPU, float32."""
    CUDA = 'cuda'
    """torch on an NVIDIA GPU, float32, CUDA graphs."""
    CUDA_HALF = 'cuda_half'
    """The same in bfloat16: faster, not exact."""
    ONNX = 'onnx'
    """ONNX Runtime, float32."""
    ONNX_INT8 = 'onnx_int8'
    """ONNX Runtime, the backbone's matrices in 8 bits: faster on some CPUs, not exact."""
