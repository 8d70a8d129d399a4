"""Named array specs: the shape, dtype, bounds and unit of what crosses a boundary.

Imports numpy and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """What an array must be.

    Example: ``ArraySpec(name='q', shape=(7,), dtype='float64', unit='rad')`` refuses a
    list of integers, six values, or a NaN, and names which.
    """

    name: str
    """What the array is, used in every message."""
    shape: tuple[int | None, ...]
    """Required shape; None leaves an axis free."""
    dtype: str
    """Required numpy dtype name; an integer array is not accepted for a float."""
    unit: str = ''
    """Unit, for messages and documentation."""
    minimum: float | None = None
    """Inclusive lower bound, or None."""
    maximum: float | None = None
    """Inclusive upper bound, or None."""

    def validate(self, value: object) -> npt.NDArray[np.generic]:
        """Return `value` as it is when it satisfies the spec.

        Args:
            value: Candidate array.

        Returns:
            The same array.

        Raises:
            SpecError: Wrong type, dtype, shape, a non-finite entry or one out of bounds.
        """
        if not isinstance(value, np.ndarray):
            raise SpecError(self.name, f'{type(value).__name__}', f'an array of {self.dtype}')
        if value.dtype != np.dtype(self.dtype):
            raise SpecError(self.name, f'dtype {value.dtype}', f'dtype {self.dtype}')
        self._check_shape(value.shape)
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            bad = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
            raise SpecError(self.name, f'{value[bad]} at {list(bad)}', 'finite values')
        self._check_bounds(value)
        return value

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        fits = len(shape) == len(self.shape) and all(
            want is None or want == have for want, have in zip(self.shape, shape, strict=True)
        )
        if not fits:
            wanted = tuple('any' if n is None else n for n in self.shape)
            raise SpecError(self.name, f'shape {shape}', f'shape {wanted}')

    def _check_bounds(self, value: npt.NDArray[np.generic]) -> None:
        if value.size == 0:
            return
        if self.minimum is not None and value.min() < self.minimum:
            raise SpecError(self.name, f'{value.min()} {self.unit}', f'>= {self.minimum}')
        if self.maximum is not None and value.max() > self.maximum:
            raise SpecError(self.name, f'{value.max()} {self.unit}', f'<= {self.maximum}')
