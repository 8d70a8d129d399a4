"""Whether a camera's red and blue are exchanged, by a picture of the same scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
BLOCKS = 12
"""Pictures are compared as means of this many blocks a side."""
SWAPPED_SHARE = 0.8
"""Red and blue look exchanged where exchanging them brings the difference below this part."""
COLOURFUL = 4.0
"""Mean distance of red and blue, of 255, under which a picture says nothing."""


def colours_look_swapped(seen: Rgb, reference: Rgb) -> bool:
    """Return whether red and blue seem to be exchanged against a reference picture.

    Only the distance of red and blue is compared, block by block: brightness and exposure drop
    out, and exchanging the channels turns its sign. Grey scenes say nothing and give False.

    Args:
        seen: (H, W, 3) uint8 RGB.
        reference: (H', W', 3) uint8 RGB of the same view.
    """
    now, then = _redness(seen), _redness(reference)
    if float(np.abs(then).mean()) < COLOURFUL:
        return False
    return float(np.abs(now + then).mean()) < SWAPPED_SHARE * float(np.abs(now - then).mean())


def _redness(rgb: Rgb) -> npt.NDArray[np.float64]:
    """Return (BLOCKS, BLOCKS) means of red less blue."""
    redness = rgb[..., 0].astype(np.float64) - rgb[..., 2]
    rows = np.linspace(0, rgb.shape[0], BLOCKS + 1).astype(int)
    columns = np.linspace(0, rgb.shape[1], BLOCKS + 1).astype(int)
    sums = np.add.reduceat(np.add.reduceat(redness, rows[:-1], axis=0), columns[:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)), dtype=np.float64)
