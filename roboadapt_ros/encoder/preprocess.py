"""From a camera frame to the network's input, by the task's contract.

The one path that recording, training, evaluation and serving share. numpy and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import CameraContract, Contract
from roboadapt_ros.errors import ImageError

Frames = Mapping[str, npt.NDArray[np.uint8]]
"""(height, width, 3) uint8 RGB by camera name."""


def require_seen(frames: Frames, contract: Contract) -> None:
    """Raise `ImageError` unless a set has every frame of a contract, as it says."""
    for camera in contract.cameras:
        if camera.name not in frames:
            raise ImageError(
                camera.name,
                f'is missing; got {", ".join(sorted(frames)) or "none"}',
                f'cameras {", ".join(c.name for c in contract.cameras)}',
            )
        _require_frame(frames[camera.name], camera)


def preprocess_set(frames: Frames, contract: Contract, size_px: int) -> npt.NDArray[np.uint8]:
    """Crop and resize the frames a contract asks for.

    Returns:
        (n_cameras, size_px, size_px, 3) uint8 RGB in contract order.

    Raises:
        ImageError: A camera is missing, or a frame is not as in the contract.
    """
    require_seen(frames, contract)
    return np.stack(
        [preprocess(frames[camera.name], camera, size_px) for camera in contract.cameras]
    )


def preprocess(
    frame_rgb: npt.NDArray[np.uint8], camera: CameraContract, size_px: int
) -> npt.NDArray[np.uint8]:
    """Crop and resize a frame to the network's input.

    Args:
        frame_rgb: (height, width, 3) uint8 RGB of the size the contract names.
        camera: The camera's contract.
        size_px: Side of the square input [px].

    Returns:
        (size_px, size_px, 3) uint8 RGB.

    Raises:
        ImageError: The frame is not uint8 RGB of the contract's size.
    """
    _require_frame(frame_rgb, camera)
    left, top, width, height = camera.crop
    cropped = frame_rgb[top : top + height, left : left + width]
    if cropped.shape[:2] == (size_px, size_px):
        return np.ascontiguousarray(cropped)
    shrinks = max(width, height) > size_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(cropped, (size_px, size_px), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def _require_frame(frame_rgb: npt.NDArray[np.uint8], camera: CameraContract) -> None:
    """Raise `ImageError` for a frame that is not uint8 RGB of the contract's size."""
    required = (camera.height, camera.width, 3)
    if frame_rgb.shape != required or frame_rgb.dtype != np.uint8:
        raise ImageError(
            camera.name,
            f'{frame_rgb.dtype} of shape {frame_rgb.shape}',
            f'uint8 of shape {required} (height, width, RGB), as the task was trained',
        )
