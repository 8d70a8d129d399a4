"""The engine on torch: adapters added in place to what the frozen blocks put out.

One pass over the rows per adapter: the up-projection's product is accumulated onto the
residual stream by the matrix multiplication itself. Nothing here can be trained through;
`adapters.bottleneck` has the same computation for that, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import threading
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.check import BaseCheck
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.encoder.accumulate import accumulate
from roboadapt_ros.encoder.allocator import keep_freed_memory
from roboadapt_ros.encoder.engine import AdapterHandle, Images, require_fit, Tensors
from roboadapt_ros.encoder.last_batch import LastBatch
from roboadapt_ros.encoder.rows import merge, RowAdapters, RowFormat, Sites, SiteWeights
import torch


@dataclass(frozen=True)
class Branches:
    """Tasks on the same images, in the order in which they branch off the bare stream."""

    order: tuple[int, ...]
    """Which of the tasks asked for each one is."""
    starts: tuple[int, ...]
    """Position of each one's first adapter, ascending; past the end for none."""
    adapted: tuple[AdapterHandle, ...]
    """Those that have adapters."""

    def in_order_asked(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (tasks, B, features) in the order the tasks were asked for."""
        result = np.empty_like(features)
        result[list(self.order)] = features
        return result


class TorchEngine:
    """Runs a frozen backbone on the CPU with torch."""

    _steady = True
    """Whether a transformer's bottlenecks have a steady unit, see `rows.STEADY`."""

    def __init__(self, path: Path, *, threads: int = 1):
        """Load and check the backbone.

        Args:
            path: Folder of the backbone.
            threads: Torch threads of this process.

        Raises:
            RoboAdaptError: The backbone is unreadable or not intact.
        """
        torch.set_num_threads(threads)
        self._path = path
        self.backbone = FrozenBackbone.load(path)
        keep_freed_memory()
        # The rows of a layout hold its format: both are gone with the last of its tasks.
        self._formats: WeakValueDictionary[AdapterLayout, RowFormat] = WeakValueDictionary()
        self._adding = threading.Lock()
        self._gathered: LastBatch[Sites] = LastBatch()

    @property
    def name(self) -> str:
        """What the engine is."""
        return f'torch {torch.__version__}, CPU, float32, {torch.get_num_threads()} threads'

    @property
    def manifest(self) -> BackboneManifest:
        """Identity of the backbone."""
        return self.backbone.manifest

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels along the chain."""
        return self.backbone.shape.channels

    def add(self, layout: AdapterLayout, tensors: Tensors) -> RowAdapters:
        """Hold one task's adapters; see `Engine.add`.

        Raises:
            ConfigError: The layout is for another backbone.
        """
        is_maps = self.backbone.chain.is_convolutional
        require_fit(self.manifest, self.channels, layout, is_maps=is_maps)
        parameter = next(self.backbone.parameters())
        with self._adding:
            known = self._formats.get(layout)
            format_ = known or RowFormat(
                layout, parameter.device, parameter.dtype, steady=self._steady and not is_maps
            )
            self._formats[layout] = format_
        adapters = format_.pack(tensors)
        if known is None:
            # Another task of the layout will run the kernels that this chooses.
            size = self.manifest.image_size
            self.run(np.zeros((1, size, size, 3), np.uint8), adapters)
        return adapters

    @torch.inference_mode()
    def run(self, images: Images, handle: AdapterHandle | None) -> npt.NDArray[np.float32]:
        """Encode images under one task's adapters; see `Engine.run`."""
        pixels = self._pixels(images)
        if handle is None:
            return _array(self.backbone(pixels))
        return _array(self._rest(self.backbone.chain.stem(pixels), own(handle).sites, 0))

    @torch.inference_mode()
    def run_mixed(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode each image under its own adapters; see `Engine.run_mixed`."""
        if not any(handles):
            return self.run(images, None)
        stem = self.backbone.chain.stem(self._pixels(images))
        return _array(self._rest(stem, self._gather(handles), len(handles)))

    @torch.inference_mode()
    def run_shared(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode the same images under several tasks; blocks below a task's first adapter once.

        The bare stream comes first in the batch; a task branches off it at the position of
        its first adapter, and the bare stream ends when the last task has branched off.
        """
        branches = self._branches(handles)
        sites = self._gather(branches.adapted) if branches.adapted else {}
        stem = self.backbone.chain.stem(self._pixels(images))
        return branches.in_order_asked(_array(self._branching(stem, branches.starts, sites)))

    def check(self) -> BaseCheck:
        """Hash the live tensors and run the stored probe with adapters off."""
        return self.backbone.check(self._path)

    def _pixels(self, images: Images) -> torch.Tensor:
        return self.backbone.normalise(torch.from_numpy(images))

    def _branches(self, handles: Sequence[AdapterHandle | None]) -> Branches:
        past_end = self.backbone.depth + 2
        starts = [past_end if h is None else h.layout.first_position for h in handles]
        order = sorted(range(len(handles)), key=starts.__getitem__)
        ordered = [handles[index] for index in order if starts[index] < past_end]
        adapted = tuple(handle for handle in ordered if handle is not None)
        return Branches(tuple(order), tuple(sorted(starts)), adapted)

    def _gather(self, handles: Sequence[AdapterHandle | None]) -> Sites:
        """Return the handles' weights as one batch; the last batch is kept."""
        mine = [None if handle is None else own(handle) for handle in handles]
        return self._gathered.of(mine, lambda: _batch(mine))

    def _rest(self, x: torch.Tensor, sites: Sites, tasks: int) -> torch.Tensor:
        """Run the chain after its stem to features, adapters included.

        Args:
            x: What the stem puts out; batch axis in task order.
            sites: Weights of one task (`tasks` 0) or of a batch of them.
            tasks: Number of tasks in the batch; each has the same number of images.

        Returns:
            (B, features_per_camera).
        """
        backbone = self.backbone
        for position in range(backbone.depth + 1):
            if position:
                x = backbone.chain.blocks[position - 1](x)
            x = self._adapt(x, sites.get((position, False)), tasks)
        return self._features(backbone.chain.final(x), sites, tasks)

    def _features(self, final: torch.Tensor, sites: Sites, tasks: int) -> torch.Tensor:
        """Return the features of the final map."""
        backbone = self.backbone
        spatial = backbone.spatial(final)
        pooled = backbone.pool(spatial)
        top = backbone.depth + 1
        for key in ((top, False), (top, True)):
            if key in sites:
                rows = pooled.view(*spatial.shape[:2], -1)
                accumulate(rows, spatial, sites[key], tasks)
        return pooled

    def _adapt(self, x: torch.Tensor, weights: SiteWeights | None, tasks: int) -> torch.Tensor:
        """Add a site's adapter to what a block put out, in place where memory allows."""
        if weights is None:
            return x
        rows = self.backbone.rows(x).contiguous()
        accumulate(rows, rows, weights, tasks)
        return self.backbone.from_rows(rows)

    def _branching(self, x: torch.Tensor, starts: Sequence[int], sites: Sites) -> torch.Tensor:
        """Return (len(starts), B, features) for tasks in the order they branch off.

        Args:
            x: The bare stream at position 0, (B, ...).
            starts: Position of each task's first adapter, ascending.
            sites: Weights of the tasks that have one, in that order.
        """
        backbone, images, active = self.backbone, len(x), 0
        last = backbone.depth + 1
        for position in range(last):
            if position:
                x = backbone.chain.blocks[position - 1](x)
            new = sum(start == position for start in starts)
            if new:
                bare, rest = x[:images], x[images:]
                stays = active + new < len(starts)
                x = torch.cat([bare] * stays + [rest] + [bare] * new)
                active += new
            bare_images = images if active < len(starts) else 0
            site = sites.get((position, False))
            if active and site is not None:
                rows = backbone.rows(x).contiguous()
                branched = rows[bare_images:]
                accumulate(branched, branched, site.first(active), active)
                x = backbone.from_rows(rows)
        return self._branched_features(x, images, active, starts, sites)

    def _branched_features(
        self, x: torch.Tensor, images: int, active: int, starts: Sequence[int], sites: Sites
    ) -> torch.Tensor:
        """Return each task's features from the streams after the last block."""
        bare_images = images if active < len(starts) else 0
        parts = []
        if active:
            firsts = {key: weights.first(active) for key, weights in sites.items()}
            final = self.backbone.chain.final(x[bare_images:])
            branched = self._features(final, firsts, active)
            parts.append(branched.unflatten(0, (active, images)))
        if bare_images:
            parts.append(self._tops(x[:bare_images], active, len(starts), sites))
        return torch.cat(parts)

    def _tops(self, x: torch.Tensor, active: int, tasks: int, sites: Sites) -> torch.Tensor:
        """Return features of the tasks whose first adapter, if any, is the top one."""
        backbone = self.backbone
        spatial = backbone.spatial(backbone.chain.final(x))
        count = tasks - active
        pooled = backbone.pool(spatial)[None].repeat(count, 1, 1)
        for key in ((backbone.depth + 1, False), (backbone.depth + 1, True)):
            if key not in sites:
                continue
            weights = {n: w[active:] for n, w in sites[key].weights.items()}
            adapted = len(next(iter(weights.values())))
            if not adapted:  # every task with adapters has branched off before
                continue
            rows = pooled[:adapted].view(adapted, -1, backbone.manifest.pooled_channels)
            shared = spatial.reshape(1, -1, spatial.shape[2]).expand(adapted, -1, -1)
            accumulate(rows, shared, SiteWeights(sites[key].site, weights), adapted)
        return pooled


def own(handle: AdapterHandle) -> RowAdapters:
    """Return the handle as this engine's own.

    Raises:
        TypeError: Another engine made it.
    """
    if not isinstance(handle, RowAdapters):
        raise TypeError(f'{type(handle).__name__} was made by another engine')
    return handle


def _batch(tasks: Sequence[RowAdapters | None]) -> Sites:
    """Return the weights of tasks, at least one of which has adapters, as one batch."""
    formats = {task.layout: task.format for task in tasks if task is not None}
    if len(formats) == 1:
        return next(iter(formats.values())).gather(tasks)
    batches = []
    for layout, format_ in formats.items():
        places = [i for i, t in enumerate(tasks) if t is not None and t.layout == layout]
        batches.append((places, format_.gather([tasks[i] for i in places])))
    return merge(batches, len(tasks))


def _array(features: torch.Tensor) -> npt.NDArray[np.float32]:
    return features.float().cpu().numpy()
