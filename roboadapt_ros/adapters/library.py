"""The task packages on disk, found by name."""

from __future__ import annotations

from pathlib import Path

from roboadapt_ros.adapters.package import load_package, MANIFEST_NAME, TaskPackage
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.errors import UnknownNameError


class TaskLibrary:
    """Finds and reads task packages under one folder (`models/tasks`)."""

    def __init__(self, root: Path):
        """Remember the folder; it is read anew at each call."""
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Return the tasks that have a manifest, sorted; hidden folders are being written."""
        names = (path.parent.name for path in self.root.glob(f'*/{MANIFEST_NAME}'))
        return tuple(sorted(name for name in names if not name.startswith('.')))

    def path(self, task: str) -> Path:
        """Return a task's folder.

        Raises:
            UnknownNameError: No such task; the message has the nearest name and the choices.
        """
        if task not in self.names():
            raise UnknownNameError('task', task, self.names())
        return self.root / task

    def load(self, task: str, backbone: BackboneManifest) -> TaskPackage:
        """Read a package that was trained over a backbone.

        Raises:
            UnknownNameError: As `path`.
            BackboneMismatchError: Trained over another backbone.
            RoboAdaptError: As `load_package`.
        """
        package = load_package(self.path(task))
        package.require_backbone(backbone)
        return package
