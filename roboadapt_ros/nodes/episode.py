"""The judge of the simulated rig's episodes, as a message."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from roboadapt_interfaces.msg import EpisodeStatus
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.tasks import Task


class Episode:
    """One episode after another; between them there is nothing to judge."""

    def __init__(self, rig: SimRig):
        """Start with no episode."""
        self._rig = rig
        self._task: Task | None = None
        self._status = EpisodeStatus()
        self._started_s = 0.0

    def start(self, task: Task, seed: int) -> None:
        """Place the objects and start the clock."""
        self._rig.reset(seed)
        task.start(self._rig)
        self._task, self._started_s = task, self._rig.time_s
        self._status = EpisodeStatus(task=task.name, seed=seed, running=True, message='running')

    def judge(self, stamp: Time) -> EpisodeStatus:
        """Return how the episode stands; a verdict is final."""
        status = self._status
        if self._task is not None and status.running:
            outcome = self._task.outcome(self._rig)
            status.elapsed_s = self._rig.time_s - self._started_s
            status.success, status.message = outcome.success, outcome.message
            status.running = not (outcome.success or outcome.failed)
        status.stamp = stamp
        return status
