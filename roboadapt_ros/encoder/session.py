"""One graph in ONNX Runtime: images and adapter values in, features out."""

from __future__ import annotations

from collections.abc import Mapping
import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors
from roboadapt_ros.encoder.engine import Images
from roboadapt_ros.encoder.places import REPEATS
from roboadapt_ros.errors import EngineError
from roboadapt_ros.files import replacing

CUDA = 'CUDAExecutionProvider'
CPU = 'CPUExecutionProvider'
_EXACT_CUDA = {'use_tf32': '0', 'cudnn_conv_algo_search': 'HEURISTIC'}
"""Full float32 products, and the same algorithm at every start."""
_ON_CUDA: list[Any] = [(CUDA, _EXACT_CUDA), CPU]
ERRORS_ONLY = 3
REFUSALS = (
    errors.EPFail,
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NotImplemented,
    errors.RuntimeException,
)
"""What ONNX Runtime raises about a graph that it can't run."""

CUDA_DRIVER = 'libcuda.so.1'
"""NVIDIA's driver as programs load it; it comes with the card's kernel module."""
_SMALLEST = (
    b'\x08\x08:/\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0b\n\x01x\x12\x06\n\x04\x08\x01\x12\x00'
    b'b\x0b\n\x01y\x12\x06\n\x04\x08\x01\x12\x00B\x04\n\x00\x10\x11'
)
"""A graph as onnx writes it: y = Identity(x), one float."""

Values = Mapping[str, Any]
"""Adapter inputs by name: arrays, or what `Session.hold` returned."""


@cache
def has_cuda() -> bool:
    """Return whether graphs run on the graphics card; asked once, by loading a small one.

    onnxruntime-gpu offers CUDA on any machine, and runs a graph on the CPU where there is no
    card, or where CUDA's libraries are missing. Without a card nothing is loaded for it, so that
    nothing is said on stderr; of a missing library ONNX Runtime tells there once.
    """
    if CUDA not in ort.get_available_providers() or not _driver_has_gpu():
        return False
    try:
        session = ort.InferenceSession(_SMALLEST, _options(1), providers=_ON_CUDA)
    except REFUSALS:
        return False
    return _device(session) == 'cuda'


def _driver_has_gpu() -> bool:
    """Return whether NVIDIA's driver is installed and lets this process see a card."""
    try:
        driver = ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return False
    count = ctypes.c_int(0)
    fails = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return not fails and count.value > 0


def _options(threads: int) -> Any:
    """Return a session's options, see `Session`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return options


def _device(session: Any) -> str:
    """Return where a session runs what it can: 'cuda' or 'cpu'."""
    return 'cuda' if session.get_providers()[0] == CUDA else 'cpu'


class Session:
    """Runs one graph, on the graphics card where onnxruntime-gpu finds one, else on the CPU."""

    def __init__(self, content: bytes, *, threads: int):
        """Load a graph.

        Args:
            content: The graph's file.
            threads: Threads of one pass; they sleep between passes, for the cameras' and the
                arm's processes need the cores too.
        """
        providers = _ON_CUDA if has_cuda() else [CPU]
        self._session = ort.InferenceSession(content, _options(threads), providers=providers)
        # It keeps the file beside what it made of it, to load it anew on other providers.
        self._session._model_bytes = None
        self.device = _device(self._session)

    @property
    def features(self) -> int:
        """Features of one image."""
        return int(self._session.get_outputs()[0].shape[1])

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
    with replacing(path) as temporary:
        try:
            adapters.export_adapter(str(temporary))
        except RuntimeError as error:  # what it raises of a disk that is full
            raise EngineError('onnx', f'{path} can not be written', 'Make room for it.') from error
