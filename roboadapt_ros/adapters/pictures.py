"""What each camera of a task saw when it was learned: a picture beside the package's weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import Contract
from roboadapt_ros.files import package_file, replacing

Rgb = npt.NDArray[np.uint8]
"""(S, S, 3) uint8 RGB, cropped and resized as the network sees it."""


def read_pictures(package: Path, contract: Contract) -> dict[str, Rgb]:
    """Return the pictures that are there and can be read, by camera name.

    Raises:
        PackageError: What has a picture's name is not a file, or a link out of the package.
    """
    found = {}
    for camera in contract.cameras:
        path = _path(package, camera.name)
        if not (path.exists() or path.is_symlink()):
            continue
        bgr = cv2.imread(str(package_file(package, path.name)), cv2.IMREAD_COLOR)
        if bgr is not None:
            found[camera.name] = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return found


def write_picture(package: Path, camera: str, picture: Rgb) -> None:
    """Write what a camera saw into a package's folder."""
    _, png = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with replacing(_path(package, camera)) as temporary:
        temporary.write_bytes(png.tobytes())


def _path(package: Path, camera: str) -> Path:
    return package / f'reference_{camera}.png'
