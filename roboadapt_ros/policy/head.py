"""The policy head at serving time: a small perceptron in numpy.

A head of half a million values needs no deep-learning runtime, so the policy process
starts in a second and stays light. `learning.head` holds the torch twin used in training;
a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.layout import HeadLayout
from roboadapt_ros.specs import ArraySpec

NORM_EPSILON = 1e-5
"""As `torch.nn.LayerNorm`."""


class NumpyHead:
    """Layer norm over the features, proprioception appended, ReLU layers, linear output."""

    def __init__(self, layout: HeadLayout, tensors: Mapping[str, npt.NDArray[np.float32]]):
        """Keep the weights (float32, transposed for row vectors).

        Args:
            layout: Sizes.
            tensors: Named and shaped as `layout.shapes()`; checked when the package loads.
        """
        self.layout = layout
        self._norm = tensors['norm.weight'], tensors['norm.bias']
        names = [f'layers.{i}' for i in range(len(layout.hidden))] + ['out']
        self._layers = [
            (np.ascontiguousarray(tensors[f'{n}.weight'].T), tensors[f'{n}.bias']) for n in names
        ]
        self._features = ArraySpec(name='features', shape=(layout.feature_size,), dtype='float32')
        self._proprio = ArraySpec(name='proprio', shape=(layout.proprio_size,), dtype='float32')

    def __call__(
        self, features: npt.NDArray[np.float32], proprio: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return normalised actions.

        Args:
            features: (feature_size,) from the encoder.
            proprio: (proprio_size,) normalised.

        Returns:
            (chunk_length, action_size) normalised.

        Raises:
            SpecError: A wrong shape or dtype, or a non-finite value.
        """
        self._features.validate(features)
        self._proprio.validate(proprio)
        centred = features - features.mean()
        scale = 1.0 / np.sqrt(centred.var() + NORM_EPSILON)
        x = np.concatenate([centred * scale * self._norm[0] + self._norm[1], proprio])
        for weight, bias in self._layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self._layers[-1]
        out = x @ weight + bias
        return out.reshape(self.layout.chunk_length, self.layout.action_size).astype(np.float32)
