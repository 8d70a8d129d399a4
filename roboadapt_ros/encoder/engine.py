"""What every serving engine offers: the frozen backbone, with adapters given per call.

An engine knows tensors, not tasks: which adapters a frame gets is the caller's choice at each
call, so that a switch is the exchange of one reference and changes nothing here. Imports no
torch and no onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.backbones.check import BaseCheck
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.errors import ConfigError

Images = npt.NDArray[np.uint8]
"""(B, S, S, 3) uint8 RGB of the manifest's size."""
Tensors = Mapping[str, npt.NDArray[np.float32]]


@dataclass(eq=False)
class AdapterHandle:
    """Adapters an engine holds, for as long as somebody holds this."""

    layout: AdapterLayout
    nbytes: int
    """Bytes that the engine holds for them."""
    note: str = field(default='', kw_only=True)
    """What whoever serves them should know; '' for nothing."""


class Engine(Protocol):
    """Runs one frozen backbone."""

    @property
    def name(self) -> str:
        """What the engine is, for logs: library, device, precision."""

    @property
    def manifest(self) -> BackboneManifest:
        """Identity of the backbone."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels before the first block, after each block, and of the final map."""

    def add(self, layout: AdapterLayout, tensors: Tensors) -> AdapterHandle:
        """Hold one task's adapters, and be ready to run with them.

        Args:
            layout: Must be for this backbone's channels.
            tensors: Named and shaped as `layout.shapes()`.

        Returns:
            The adapters; their memory is free again when nobody refers to it any more.
        """

    def run(self, images: Images, handle: AdapterHandle | None) -> npt.NDArray[np.float32]:
        """Encode images under one task's adapters, None for the bare backbone.

        Returns:
            (B, features_per_camera).
        """

    def run_mixed(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode each image under its own adapters, in one forward pass.

        Returns:
            (B, features_per_camera), equal to single runs within float tolerance.
        """

    def run_shared(
        self, images: Images, handles: Sequence[AdapterHandle | None]
    ) -> npt.NDArray[np.float32]:
        """Encode the same images under several tasks' adapters.

        Returns:
            (len(handles), B, features_per_camera).
        """

    def check(self) -> BaseCheck:
        """Check that the backbone is the one released."""


def require_fit(
    manifest: BackboneManifest, channels: tuple[int, ...], layout: AdapterLayout, *, is_maps: bool
) -> None:
    """Raise `ConfigError` unless a layout's channels and kernel are possible over a backbone.

    Args:
        manifest: Of the backbone.
        channels: Along its chain.
        layout: Of the adapters.
        is_maps: Whether what its blocks exchange are maps, as in a convolutional net.
    """
    if layout.kernel > 1 and not is_maps:
        raise ConfigError(
            'adapters.kernel', layout.kernel, f'must be 1 over backbone {manifest.id}, no conv net'
        )
    found = (layout.channels, layout.pooled_channels)
    if found != (channels, manifest.pooled_channels):
        raise ConfigError(
            'adapters.channels',
            found,
            f'must be {(channels, manifest.pooled_channels)} over backbone {manifest.id}',
        )
