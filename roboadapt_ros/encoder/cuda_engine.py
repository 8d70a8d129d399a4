"""The torch engine on a GPU: one captured graph per batch size and layout, static adapters.

Launching some two hundred small kernels from Python costs more than they take, so a forward
pass is captured once as a CUDA graph and replayed. A graph reads its adapters from a row of its
own; a frame under other adapters than the last one copies their row there first, on the device.
So a switch records and compiles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import threading

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.check import BaseCheck
from roboadapt_ros.encoder.engine import AdapterHandle, Images
from roboadapt_ros.encoder.rows import RowAdapters
from roboadapt_ros.encoder.torch_engine import own, TorchEngine
from roboadapt_ros.errors import EngineError
import torch

WARM_UP_RUNS = 3
"""Runs before a capture, so that libraries choose their kernels outside of it."""


def torch_sees_gpu() -> bool:
    """Return whether there is a GPU that torch can use."""
    return torch.cuda.is_available()


@dataclass
class _Captured:
    """One forward pass on the device, with the memory it reads and writes."""

    graph: torch.cuda.CUDAGraph
    images: torch.Tensor
    pinned: torch.Tensor
    adapters: RowAdapters | None
    features: torch.Tensor
    holds: AdapterHandle | None = None
    """Whose row `adapters` has now."""


class CudaEngine(TorchEngine):
    """Runs a frozen backbone on an NVIDIA GPU with torch."""

    def __init__(self, path: Path, *, half: bool = False):
        """Load and check the backbone, and move it to the GPU.

        Args:
            path: Folder of the backbone.
            half: Compute in bfloat16; features then differ by about a per cent.

        Raises:
            EngineError: torch sees no GPU.
            RoboAdaptError: The backbone is unreadable or not intact.
        """
        if not torch_sees_gpu():
            raise EngineError(
                'cuda', 'torch sees no NVIDIA GPU', "Check nvidia-smi, or name 'torch' or 'onnx'."
            )
        super().__init__(path, threads=1)
        self._released = super().check()
        self._dtype = torch.bfloat16 if half else torch.float32
        self.backbone.to('cuda')
        self.backbone.model.to(self._dtype)
        self._digest = self.backbone.digest()
        size = self.manifest.image_size
        self._probe = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
        self._captured: dict[tuple[int, AdapterLayout | None], _Captured] = {}
        self._device = threading.Lock()
        """A graph's memory serves one call at a time."""
        self._probe_features = self.run(self._probe, None)

    @property
    def name(self) -> str:
        """What the engine is."""
        kind = 'bfloat16' if self._dtype is torch.bfloat16 else 'float32'
        device = torch.cuda.get_device_name()
        return f'torch {torch.__version__}, {device}, {kind}, CUDA graphs'

    @torch.inference_mode()
    def run(self, images: Images, handle: AdapterHandle | None) -> npt.NDArray[np.float32]:
        """Encode images under one task's adapters; see `Engine.run`."""
        layout = None if handle is None else handle.layout
        with self._device:
            captured = self._captured.get((len(images), layout))
            if captured is None:
                captured = self._capture(len(images), layout)
                self._captured[len(images), layout] = captured
            captured.pinned.copy_(torch.from_numpy(images))
            captured.images.copy_(captured.pinned, non_blocking=True)
            if handle is not None and captured.holds is not handle:
                assert captured.adapters is not None  # mypy: it was captured for a layout
                captured.adapters.row.copy_(own(handle).row, non_blocking=True)
                captured.holds = handle
            captured.graph.replay()
            return captured.features.float().cpu().numpy()

    def run_mixed(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode each image under its own adapters; see `Engine.run_mixed`."""
        with self._device:
            return super().run_mixed(images, handles)

    def run_shared(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode the same images under several tasks; see `Engine.run_shared`."""
        with self._device:
            return super().run_shared(images, handles)

    def check(self) -> BaseCheck:
        """Compare tensors and probe features with those at load, which were the released ones."""
        digest = self.backbone.digest()
        released = self._released
        is_live = digest == self._digest
        equal = np.array_equal(self.run(self._probe, None), self._probe_features)
        return BaseCheck(
            released.backbone_id,
            released.digest if is_live else digest,
            released.expected_digest,
            released.probe_equal and equal,
        )

    def _pixels(self, images: Images) -> torch.Tensor:
        return self.backbone.normalise(torch.from_numpy(images).to('cuda')).to(self._dtype)

    def _forward(self, images: torch.Tensor, adapters: RowAdapters | None) -> torch.Tensor:
        pixels = self.backbone.normalise(images).to(self._dtype)
        if adapters is None:
            features: torch.Tensor = self.backbone(pixels)
            return features
        return self._rest(self.backbone.chain.stem(pixels), 0, adapters.sites, 0)

    def _capture(self, batch: int, layout: AdapterLayout | None) -> _Captured:
        """Record one forward pass for a batch size and a layout."""
        size = self.manifest.image_size
        shape = (batch, size, size, 3)
        images = torch.zeros(shape, dtype=torch.uint8, device='cuda')
        pinned = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        adapters = None if layout is None else self._formats[layout].blank()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                self._forward(images, adapters)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            features = self._forward(images, adapters)
        return _Captured(graph, images, pinned, adapters, features)
