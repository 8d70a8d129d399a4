"""Whether a task can be served over a backbone at all. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roboadapt_ros.adapters.package import TaskManifest, TaskPackage
from roboadapt_ros.encoder.engine import require_fit
from roboadapt_ros.errors import ConfigError

if TYPE_CHECKING:
    from roboadapt_ros.backbones.frozen import FrozenBackbone


def require_over(package: TaskPackage, backbone: FrozenBackbone) -> None:
    """Raise unless a package is of exactly this backbone, and of its sizes.

    Args:
        package: What is to be served.
        backbone: Over which; it may be hollow.

    Raises:
        BackboneMismatchError: Trained over another backbone.
        ConfigError: The layout is for other channels or has a kernel that is not possible, or as
            `require_head`.
    """
    package.require_backbone(backbone.manifest)
    is_maps, layout = backbone.chain.is_convolutional, package.manifest.adapters
    require_fit(backbone.manifest, backbone.shape.channels, layout, is_maps=is_maps)
    require_head(package.manifest, backbone.manifest.id, backbone.features_per_camera)


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
