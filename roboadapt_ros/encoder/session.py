"""One graph in ONNX Runtime: images and adapter values in, features out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors
from roboadapt_ros.encoder.engine import Images
from roboadapt_ros.encoder.places import REPEATS

CUDA = 'CUDAExecutionProvider'
CPU = 'CPUExecutionProvider'
_EXACT_CUDA = {'use_tf32': '0', 'cudnn_conv_algo_search': 'HEURISTIC'}
"""Full float32 products, and the same algorithm at every start."""
ERRORS_ONLY = 3
REFUSALS = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NotImplemented,
    errors.RuntimeException,
)
"""What ONNX Runtime raises about a graph that it can't run."""

Values = Mapping[str, Any]
"""Adapter inputs by name: arrays, or what `Session.hold` returned."""


def has_cuda() -> bool:
    """Return whether graphs run on the graphics card."""
    return CUDA in ort.get_available_providers()


class Session:
    """Runs one graph, on the graphics card where onnxruntime-gpu finds one, else on the CPU."""

    def __init__(self, content: bytes, *, threads: int):
        """Load a graph.

        Args:
            content: The graph's file.
            threads: Threads of one pass; they sleep between passes, for the cameras' and the
                arm's processes need the cores too.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers: list[Any] = [(CUDA, _EXACT_CUDA), CPU] if has_cuda() else [CPU]
        self._session = ort.InferenceSession(content, options, providers=providers)
        self.device = 'cuda' if self._session.get_providers()[0] == CUDA else 'cpu'

    def hold(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Values:
        """Return values kept where the graph runs, to be given to many runs."""
        return {
            name: ort.OrtValue.ortvalue_from_numpy(array, self.device)
            for name, array in arrays.items()
        }

    def run(self, images: Images, values: Values, repeats: int = 1) -> npt.NDArray[np.float32]:
        """Return features of images under adapters.

        Args:
            images: (B, S, S, 3).
            values: Adapter inputs, of one task or of one for each row.
            repeats: How often the images' streams are repeated at the first adapter, for as many
                tasks; more than once only where there are adapters.

        Returns:
            (repeats * B, features_per_camera), the rows of one repetition together.
        """
        feeds = {'images': np.ascontiguousarray(images), **values}
        if repeats > 1:
            feeds[REPEATS] = np.array([repeats])
        features: npt.NDArray[np.float32] = self._session.run(['features'], feeds)[0]
        return features


def write_adapters(path: Path, arrays: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write adapter inputs as a file that any ONNX Runtime loads with `LoraAdapter`."""
    adapters = ort.AdapterFormat()
    adapters.set_adapter_version(1)
    adapters.set_model_version(1)
    values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
    adapters.set_parameters(values)
    adapters.export_adapter(str(path))
