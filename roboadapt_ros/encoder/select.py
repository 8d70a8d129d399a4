"""The engine a rig file asks for, made ready to serve tasks.

The only place that knows all engines. Each is imported when it is asked for: a rig served by
ONNX Runtime loads no torch.
"""

from __future__ import annotations

from pathlib import Path

from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.backbones.manifest import backbone_path
from roboadapt_ros.encoder.engine import Engine, EngineKind
from roboadapt_ros.encoder.residency import DEFAULT_MAX_BYTES
from roboadapt_ros.encoder.task_encoder import TaskEncoder


def load_encoder(
    models_dir: Path,
    backbone_id: str,
    *,
    kind: EngineKind = EngineKind.TORCH,
    threads: int = 1,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> TaskEncoder:
    """Load a backbone into an engine and check it; no task is resident yet.

    Args:
        models_dir: Folder with `backbones/` and `tasks/`.
        backbone_id: Backbone to serve.
        kind: Which engine.
        threads: Threads of one forward pass.
        max_bytes: As `TaskEncoder`.

    Raises:
        RoboAdaptError: The backbone is unknown, unreadable or not intact, or the engine is
            not available.
    """
    engine = load_engine(backbone_path(models_dir, backbone_id), kind, threads=threads)
    return TaskEncoder(engine, TaskLibrary(models_dir / 'tasks'), max_bytes=max_bytes)


def load_engine(path: Path, kind: EngineKind, *, threads: int) -> Engine:
    """Load one engine over the backbone in `path`; raises as `load_encoder`."""
    if kind is EngineKind.ONNX:
        from roboadapt_ros.encoder.onnx_engine import OnnxEngine

        return OnnxEngine(path, threads=threads)
    from roboadapt_ros.encoder.torch_engine import TorchEngine

    return TorchEngine(path, threads=threads)
