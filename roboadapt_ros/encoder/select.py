"""The engine a rig file asks for, made ready to serve tasks.

The only place that knows all engines. Each is imported when it is asked for: a rig served by
ONNX Runtime loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path

from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.backbones.manifest import backbone_path
from roboadapt_ros.encoder.engine import Engine
from roboadapt_ros.encoder.residency import DEFAULT_MAX_BYTES
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import EngineError

logger = logging.getLogger(__name__)


def load_encoder(
    models_dir: Path,
    backbone_id: str,
    *,
    kind: EngineKind = EngineKind.TORCH,
    threads: int = 1,
    max_bytes: int = DEFAULT_MAX_BYTES,
    log: Callable[[str], None] = logger.info,
) -> TaskEncoder:
    """Load a backbone into an engine and check it; no task is resident yet.

    Args:
        models_dir: Folder with `backbones/` and `tasks/`.
        backbone_id: Backbone to serve.
        kind: Which engine.
        threads: Threads of one forward pass.
        max_bytes: As `TaskEncoder`.
        log: Told which engine `AUTO` picked, and why.

    Raises:
        RoboAdaptError: The backbone is unknown, unreadable or not intact, or the engine is
            not available.
    """
    path = backbone_path(models_dir, backbone_id)
    engine = load_engine(path, kind, threads=threads, log=log)
    return TaskEncoder(engine, TaskLibrary(models_dir / 'tasks'), max_bytes=max_bytes)


def load_engine(
    path: Path, kind: EngineKind, *, threads: int, log: Callable[[str], None] = logger.info
) -> Engine:
    """Load one engine over the backbone in `path`; arguments and errors as `load_encoder`."""
    if kind is EngineKind.AUTO:
        from roboadapt_ros.encoder.choice import choose

        chosen, reason = choose(path, threads)
        log(f'The faster engine for {path.name}: {reason}')
        order = tuple(dict.fromkeys((chosen, EngineKind.ONNX, EngineKind.TORCH)))
        for other in order[: order.index(EngineKind.TORCH)]:
            try:
                return load_engine(path, other, threads=threads)
            except EngineError as error:
                log(f'{path.name} is not served by {other.value}, which failed: {error}')
        return load_engine(path, EngineKind.TORCH, threads=threads)
    if kind is EngineKind.TORCH:
        from roboadapt_ros.encoder.torch_engine import TorchEngine

        return TorchEngine(path, threads=threads)
    if kind in (EngineKind.CUDA, EngineKind.CUDA_HALF):
        from roboadapt_ros.encoder.cuda_engine import CudaEngine

        try:
            return CudaEngine(path, threads=threads, half=kind is EngineKind.CUDA_HALF)
        except RuntimeError as error:  # what torch raises, for instance of a card that is full
            raise EngineError(
                kind.value,
                f'torch can not use the GPU ({str(error).partition(chr(10))[0]})',
                "Free it, or name another engine: 'auto', 'onnx' or 'torch'.",
            ) from error
    try:
        from roboadapt_ros.encoder.onnx_engine import OnnxEngine
    except ModuleNotFoundError as error:
        if error.name != 'onnxruntime':
            raise
        raise EngineError(
            kind.value, 'onnxruntime is not installed', "Run 'make setup', or name 'torch'."
        ) from error
    return OnnxEngine(path, threads=threads, int8=kind is EngineKind.ONNX_INT8)
