"""A bridge for every task package on disk, read by manifest alone."""

from __future__ import annotations

from pathlib import Path

from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import load_manifest
from roboadapt_ros.dataflow import Identity
from roboadapt_ros.errors import RefusedError, RoboAdaptError
from roboadapt_ros.sim2real.bridge import Bridge, BridgeConfig, InverseKinematics


class TaskBridges:
    """Finds the bridge of exactly the package a chunk comes from.

    Example: after task 'lift' was staged anew, its first chunk has another digest; the manifest
    is read again, and the chunk is refused only when the one on disk does not match either.
    """

    def __init__(self, models_dir: Path, config: BridgeConfig, kinematics: InverseKinematics):
        """Remember the folder and the rig's side; nothing is read yet."""
        self.library = TaskLibrary(models_dir / 'tasks')
        self._config, self._kinematics = config, kinematics
        self._bridges: dict[str, tuple[str, Bridge]] = {}

    def load(self, task: str) -> tuple[str, Bridge]:
        """Read a task's manifest; returns the package digest and the bridge.

        Raises:
            RoboAdaptError: Unknown task, or a manifest that can't be read.
        """
        manifest, digest = load_manifest(self.library.path(task))
        self._bridges[task] = digest, Bridge(self._config, manifest.contract, self._kinematics)
        return self._bridges[task]

    def find(self, identity: Identity) -> Bridge:
        """Return the bridge of the package that a message names.

        Raises:
            RefusedError: 'unknown_task' or 'digest'.
        """
        digest, bridge = self._bridges.get(identity.task, ('', None))
        if bridge is not None and digest == identity.package_digest:
            return bridge
        try:
            digest, bridge = self.load(identity.task)
        except RoboAdaptError as error:
            raise RefusedError('unknown_task', str(error)) from error
        if digest != identity.package_digest:
            raise RefusedError(
                'digest',
                f"chunk of task '{identity.task}' from package {identity.package_digest[:12]}; "
                f'the package here is {digest[:12]}',
            )
        return bridge

    def reset(self) -> None:
        """Forget the last solutions, for instance when the arm was put elsewhere."""
        for _, bridge in self._bridges.values():
            bridge.reset()
