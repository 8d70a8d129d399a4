"""Tasks and pictures that a graph is traced with, and measured on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.frozen import FrozenBackbone
from roboadapt_ros.encoder.engine import Images, Tensors
from roboadapt_ros.encoder.places import Arrays, graph_arrays, Places

WIDTHS = (4, 7)
"""Of the example tasks' adapters."""


class TaskTensors(NamedTuple):
    """One task's adapters."""

    layout: AdapterLayout
    tensors: Tensors

    def arrays(self, *, maps: bool) -> Arrays:
        """Return them as a graph takes them."""
        return graph_arrays(self.layout, self.tensors, maps=maps)


def example_tasks(backbone: FrozenBackbone, places: Places) -> list[TaskTensors]:
    """Return random tasks with adapters at `places`, one for each of `WIDTHS`; none if bare."""
    if not places.positions:
        return []
    return [TaskTensors(layout, _random_tensors(layout)) for layout in _layouts(backbone, places)]


def _layouts(backbone: FrozenBackbone, places: Places) -> list[AdapterLayout]:
    """Return layouts with adapters at `places`, one for each of `WIDTHS`."""
    pooled = backbone.manifest.pooled_channels
    has = set(places.positions).__contains__
    last = backbone.depth + 1
    return [
        AdapterLayout(
            channels=backbone.shape.channels,
            pooled_channels=pooled,
            bottom=width * has(0),
            middle=tuple(width * has(position) for position in range(1, last)),
            top=(pooled if places.is_linear_top else width) * has(last),
            top_kind=places.top_kind,
            kernel=places.kernel,
        )
        for width in WIDTHS
    ]


def _random_tensors(layout: AdapterLayout) -> Arrays:
    """Return adapters that change the stream by about its own size, not more."""
    rng = np.random.default_rng(1)
    tensors = {}
    for name, shape in layout.shapes().items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 4
        tensors[name] = rng.normal(0.0, 0.5 * fan_in**-0.5, shape).astype(np.float32)
    return tensors


def noise_images(probe: Images) -> Images:
    """Return the probe image (1, S, S, 3), and two of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *probe.shape[1:]), dtype=np.uint8)
    return np.concatenate([probe, noise])


def scene_images(pictures: Images) -> tuple[Images, Images]:
    """Return pictures to take ranges from, and other ones to measure an error on.

    Args:
        pictures: (n, S, S, 3), such as the backbone is to see.

    Returns:
        Both (4 n, S, S, 3): the pictures moved about, mirrored, darker and brighter.
    """
    step = pictures.shape[1] // 8
    moved = [np.roll(pictures, (step * k, step * (k * 3 % 8)), (1, 2)) for k in range(4)]
    bright = np.clip(pictures.astype(np.float32) * 1.3, 0, 255).astype(np.uint8)
    dark, dim = ((pictures * share).astype(np.uint8) for share in (0.6, 0.8))
    ranges = np.concatenate([moved[0], moved[1], bright, dark])
    others = np.concatenate([moved[2][:, :, ::-1], moved[3], pictures[:, :, ::-1], dim])
    return ranges, others
