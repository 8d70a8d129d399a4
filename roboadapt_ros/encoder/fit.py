"""Whether a task can be served over a backbone at all. Imports no torch."""

from __future__ import annotations

from roboadapt_ros.adapters.package import TaskManifest
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.encoder.engine import require_fit
from roboadapt_ros.errors import ConfigError


def require_served(
    task: TaskManifest,
    backbone: BackboneManifest,
    channels: tuple[int, ...],
    *,
    is_maps: bool,
    features_per_camera: int,
) -> None:
    """Raise `ConfigError` unless a task's adapters and head have the sizes of a backbone.

    Args:
        task: Of the package; it may be over another backbone, see `require_backbone`.
        backbone: Manifest of the backbone.
        channels: Along its chain.
        is_maps: Whether what its blocks exchange are maps, as in a convolutional net.
        features_per_camera: Length of its pooled features of one image.

    Raises:
        ConfigError: The layout is for other channels or has a kernel that is not possible, or
            the head reads another number of features than the contract's cameras give.
    """
    require_fit(backbone, channels, task.adapters, is_maps=is_maps)
    require_head(task, backbone.id, features_per_camera)


def require_head(task: TaskManifest, backbone_id: str, features_per_camera: int) -> None:
    """Raise `ConfigError` unless a task's head reads what its cameras give over a backbone."""
    cameras = len(task.contract.cameras)
    if task.head.feature_size != cameras * features_per_camera:
        raise ConfigError(
            'head.feature_size',
            task.head.feature_size,
            f'must be {cameras * features_per_camera}, for {cameras} cameras of '
            f'{features_per_camera} features over backbone {backbone_id}',
        )
