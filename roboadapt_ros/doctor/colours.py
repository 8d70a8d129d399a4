"""Whether a camera's red and blue are exchanged, by a picture of the same scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
BLOCKS = 12
"""Pictures are compared as means of this many blocks a side."""
SWAPPED_SHARE = 0.8
"""Red and blue look exchanged where exchanging them brings the error below this part."""


def colours_look_swapped(seen: Rgb, reference: Rgb) -> bool:
    """Return whether red and blue seem to be exchanged against a reference picture.

    Both are reduced to block means, each channel freed of its own brightness, so that light and
    exposure matter little. Grey scenes say nothing and give False.

    Args:
        seen: (H, W, 3) uint8 RGB.
        reference: (H', W', 3) uint8 RGB of the same scene.
    """
    now, then = _blocks(seen), _blocks(reference)
    direct = float(np.abs(now - then).mean())
    exchanged = float(np.abs(now[..., ::-1] - then).mean())
    colourfulness = float(np.abs(then[..., 0] - then[..., 2]).mean())
    return colourfulness > 4.0 and exchanged < SWAPPED_SHARE * direct


def _blocks(rgb: Rgb) -> npt.NDArray[np.float64]:
    """Return (BLOCKS, BLOCKS, 3) means, less the picture's grey mean."""
    rows = np.linspace(0, rgb.shape[0], BLOCKS + 1).astype(int)
    columns = np.linspace(0, rgb.shape[1], BLOCKS + 1).astype(int)
    sums = np.add.reduceat(rgb.astype(np.float64), rows[:-1], axis=0)
    sums = np.add.reduceat(sums, columns[:-1], axis=1)
    areas = np.outer(np.diff(rows), np.diff(columns))[..., None]
    means = sums / areas
    return np.asarray(means - means.mean(), dtype=np.float64)
