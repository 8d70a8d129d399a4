"""The torch engine on a GPU: forward passes captured as CUDA graphs, with static adapters.

Launching some two hundred small kernels from Python costs more than they take, so a forward
pass is captured once, with its copies from and to host memory, and replayed. A graph reads its
adapters from rows of its own; a frame under other adapters than the last one copies their rows
there first, on the device. So a switch records and compiles nothing.

In a transformer an adapter shares its kernel with the residual sum and the normalisation
around it, see `fused`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
import logging
from pathlib import Path
import subprocess
import threading
from typing import Any, cast
import weakref

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.check import BaseCheck, PROBE_TOLERANCE
from roboadapt_ros.backbones.probe import read_probe
from roboadapt_ros.encoder.accumulate import accumulate
from roboadapt_ros.encoder.engine import AdapterHandle, Images, Tensors
from roboadapt_ros.encoder.gpu import gpu_name, require_gpu
from roboadapt_ros.encoder.rows import RowAdapters, Sites, SiteWeights
from roboadapt_ros.encoder.torch_engine import own, TorchEngine
import torch

logger = logging.getLogger(__name__)

WARM_UP_RUNS = 3
"""Runs before a capture, so that libraries choose their kernels outside of it."""
HALF_PROBE_TOLERANCE = 0.1
"""As `PROBE_TOLERANCE`, in bfloat16: twice what the tests allow any feature of several models."""


@dataclass(frozen=True)
class _Pass:
    """What tells one captured forward pass from another."""

    images: int
    layout: AdapterLayout | None
    """Of all its tasks."""
    tasks: int = 0
    """Rows of adapters, one for each image or branch; 0 for one task's, all images."""
    starts: tuple[int, ...] | None = None
    """Where tasks on the same images branch off."""


@dataclass
class _Captured:
    """One forward pass on the device, with the memory it reads and writes."""

    graph: torch.cuda.CUDAGraph
    images: torch.Tensor
    """Pinned, (B, S, S, 3)."""
    rows: torch.Tensor | None
    features: torch.Tensor
    """Pinned, float32."""
    holds: list[weakref.ref[RowAdapters] | None]
    """Whose rows `rows` has now; None for the row that changes nothing."""


class CudaEngine(TorchEngine):
    """Runs a frozen backbone on an NVIDIA GPU with torch."""

    _steady = False  # the kernel of `fused` adds biases itself

    def __init__(self, path: Path, *, threads: int = 1, half: bool = False, fuse: bool = True):
        """Load and check the backbone, and move it to the GPU.

        Args:
            path: Folder of the backbone.
            threads: Torch threads of this process: the CPU checks the backbone at load.
            half: Compute in bfloat16; features then differ by about a per cent.
            fuse: Run adapters of a transformer in the kernel of `fused`, where it can be built.

        Raises:
            EngineError: torch sees no GPU.
            RoboAdaptError: The backbone is unreadable or not intact.
        """
        require_gpu()
        super().__init__(path, threads=threads)
        # Without this a convolution's float32 has the 10 bits of TF32.
        torch.backends.cudnn.allow_tf32 = False
        self._released = super().check()
        self._dtype = torch.bfloat16 if half else torch.float32
        self.backbone.to('cuda')
        self.backbone.model.to(self._dtype)
        self._digest = self.backbone.digest()
        self._captured: dict[_Pass, _Captured] = {}
        self._device = threading.Lock()
        """A graph's memory serves one call at a time."""
        self._capturing = threading.Lock()
        self._fused: Any = _fused() if fuse else None
        stored = read_probe(path, self.manifest, self.backbone.features_per_camera)
        self._probe, self._probe_features = stored.image, self.run(stored.image, None)
        tolerance = HALF_PROBE_TOLERANCE if half else PROBE_TOLERANCE
        difference = np.abs(self._probe_features - stored.features).max()
        self._probe_near = bool(difference <= tolerance * np.abs(stored.features).max())

    @property
    def name(self) -> str:
        """What the engine is."""
        kind = 'bfloat16' if self._dtype is torch.bfloat16 else 'float32'
        return f'torch {torch.__version__}, {gpu_name()}, {kind}, CUDA graphs'

    @property
    def weight_bytes(self) -> int:
        """Bytes of the backbone's tensors on the device: read at least once a pass."""
        return sum(tensor.nbytes for tensor in self.backbone.model.state_dict().values())

    def add(self, layout: AdapterLayout, tensors: Tensors) -> RowAdapters:
        """Hold one task's adapters, the layout's passes captured; see `Engine.add`."""
        is_new = layout not in self._formats
        adapters = super().add(layout, tensors)
        if is_new:
            # A copy: the thread that encodes may capture a pass meanwhile.
            for count in {kind.images for kind in tuple(self._captured) if not kind.tasks}:
                self._pass(_Pass(count, layout))
        return adapters

    def run(self, images: Images, handle: AdapterHandle | None) -> npt.NDArray[np.float32]:
        """Encode images under one task's adapters; see `Engine.run`."""
        if handle is None:
            return self._replay(_Pass(len(images), None), images, [])
        return self._replay(_Pass(len(images), handle.layout), images, [own(handle)])

    def run_mixed(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode each image under its own adapters; see `Engine.run_mixed`."""
        layouts = {handle.layout for handle in handles if handle is not None}
        if not layouts:
            return self.run(images, None)
        if len(layouts) > 1:
            with self._device:
                return super().run_mixed(images, handles)
        tasks = [None if handle is None else own(handle) for handle in handles]
        return self._replay(_Pass(len(images), layouts.pop(), len(tasks)), images, tasks)

    def run_shared(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode the same images under several tasks; see `Engine.run_shared`."""
        branches = self._branches(handles)
        layouts = {handle.layout for handle in branches.adapted}
        if len(layouts) > 1:
            with self._device:
                return super().run_shared(images, handles)
        layout = layouts.pop() if layouts else None
        kind = _Pass(len(images), layout, len(branches.adapted), branches.starts)
        tasks = [own(handle) for handle in branches.adapted]
        return branches.in_order_asked(self._replay(kind, images, tasks))

    def check(self) -> BaseCheck:
        """Compare tensors and probe features with those at load.

        The tensors were the released ones then, before they went to the device, and the features
        of the device as near the stored ones as its precision is.
        """
        digest = self.backbone.digest()
        released = self._released
        is_live = digest == self._digest
        equal = np.array_equal(self.run(self._probe, None), self._probe_features)
        return BaseCheck(
            released.backbone_id,
            released.digest if is_live else digest,
            released.expected_digest,
            released.probe_equal and self._probe_near and equal,
        )

    def _replay(
        self, kind: _Pass, images: Images, tasks: Sequence[RowAdapters | None]
    ) -> npt.NDArray[np.float32]:
        """Run a captured pass, capturing it first if it is new.

        Args:
            kind: Which.
            images: For it.
            tasks: Whose adapters its rows must hold.
        """
        captured = self._pass(kind)
        with self._device:
            captured.images.numpy()[:] = images
            self._hold(captured, kind, tasks)
            captured.graph.replay()
            torch.cuda.current_stream().synchronize()
            return captured.features.numpy().copy()

    def _pass(self, kind: _Pass) -> _Captured:
        """Return a pass, captured now if it is new, while others go on being replayed."""
        captured = self._captured.get(kind)
        if captured is None:
            with self._capturing:
                captured = self._captured.get(kind) or self._capture(kind)
                self._captured[kind] = captured
        return captured

    @torch.inference_mode()
    def _hold(self, captured: _Captured, kind: _Pass, tasks: Sequence[RowAdapters | None]) -> None:
        """Copy the rows of those tasks that a pass does not hold yet."""
        if captured.rows is None or kind.layout is None:
            return
        rows = captured.rows if kind.tasks else captured.rows[None]
        for index, task in enumerate(tasks):
            held = captured.holds[index]
            if (held is None) != (task is None) or (held is not None and held() is not task):
                rows[index].copy_(self._formats[kind.layout].row_of(task), non_blocking=True)
                captured.holds[index] = None if task is None else weakref.ref(task)

    @torch.inference_mode()
    def _capture(self, kind: _Pass) -> _Captured:
        """Record one forward pass."""
        size = self.manifest.image_size
        images = torch.zeros((kind.images, size, size, 3), dtype=torch.uint8, pin_memory=True)
        rows, sites = None, None
        if kind.layout is not None:
            rows, sites = self._formats[kind.layout].blank(kind.tasks)
        forward = partial(self._forward, kind, sites)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                example = forward(images.to('cuda'))
        torch.cuda.current_stream().wait_stream(side)
        features = torch.zeros(example.shape, dtype=torch.float32, pin_memory=True)
        graph = torch.cuda.CUDAGraph()
        # Other threads go on staging and serving.
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            features.copy_(forward(images.to('cuda', non_blocking=True)), non_blocking=True)
        return _Captured(graph, images, rows, features, [None] * max(kind.tasks, 1))

    def _pixels(self, images: Images) -> torch.Tensor:
        return self.backbone.normalise(torch.from_numpy(images).to('cuda')).to(self._dtype)

    def _forward(self, kind: _Pass, sites: Sites | None, images: torch.Tensor) -> torch.Tensor:
        pixels = self.backbone.normalise(images).to(self._dtype)
        if kind.starts is not None:
            stem = self.backbone.chain.stem(pixels)
            return self._branching(stem, kind.starts, sites or {}).float()
        if sites is None:
            features: torch.Tensor = self.backbone(pixels)
            return features.float()
        return self._rest(self.backbone.chain.stem(pixels), sites, kind.tasks).float()

    def _rest(self, x: torch.Tensor, sites: Sites, tasks: int) -> torch.Tensor:
        """Run the chain after its stem; blocks of known parts share kernels with adapters."""
        chain, delta = self.backbone.chain, None
        if self._fused is None or not chain.is_open:
            return super()._rest(x, sites, tasks)
        blocks = cast('tuple[Any, ...]', chain.blocks)
        x = x.contiguous()
        for position, block in enumerate(blocks):
            site = sites.get((position, False))
            normed = self._between(x, delta, site, tasks, block.norm1)
            normed = self._between(x, block.ls1(block.attn(normed)), None, tasks, block.norm2)
            delta = block.ls2(block.mlp(normed))
        last = sites.get((len(blocks), False))
        return self._features(self._between(x, delta, last, tasks, chain.final), sites, tasks)

    def _between(
        self,
        x: torch.Tensor,
        delta: torch.Tensor | None,
        weights: SiteWeights | None,
        tasks: int,
        norm: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Add `delta` and an adapter's output for the sum to `x`, in place; return its norm."""
        if self._fused.fits(weights, norm):
            fused: torch.Tensor = self._fused.between_blocks(x, delta, weights, tasks, norm)
            return fused
        if delta is not None:
            x += delta
        if weights is not None:
            accumulate(x, x, weights, tasks)
        return norm(x)


def _fused() -> Any:
    """Return the module `fused`, or None where triton is absent or can not build its kernel.

    It comes with torch's CUDA builds, but needs a C compiler and Python's headers.
    """
    try:
        from roboadapt_ros.encoder import fused

        fused.try_out('cuda')
    except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        logger.warning('Adapters run without a kernel of their own: %s', error)
        return None
    return fused
