"""Tasks of the simulated rig: what counts as success and failure.

Every task uses the same scenes and the same start, so only the instruction tells them apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from roboadapt_ros.errors import SimError, UnknownNameError
from roboadapt_ros.sim.rig import RigState, RobotMode, SimRig

_ON_TABLE_Z_M = (-0.02, 0.06)
_REACH_M = 0.85


@dataclass(frozen=True)
class Outcome:
    """How an episode stands."""

    success: bool
    failed: bool
    """True when success is out of reach: out of time, an object lost, the arm stopped."""
    message: str


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """A task by name, sentence and time limit; `make_task` gives the one that judges."""

    name: str
    description: str
    target: str
    """Name of the object the task is about."""
    time_limit_s: float = 12.0
    """Time from `start` after which the episode has failed [s]."""
    hold_s: float = 0.3
    """Time for which the goal must hold [s]."""


LIFT_RED = TaskDefinition(
    name='lift_red',
    description='Grasp the red object and lift it 8 cm above the table.',
    target='red',
)
PUSH_BLUE = TaskDefinition(
    name='push_blue',
    description='Push the blue object onto the yellow mark and leave it there.',
    target='blue',
)
TASKS: dict[str, TaskDefinition] = {task.name: task for task in (LIFT_RED, PUSH_BLUE)}


class Task(ABC):
    """Judges one episode after another.

    Example: ``task.start(rig)``, then after each control period ``task.outcome(rig)``; success
    is reported once the goal has held for `hold_s` at every look, and stays reported.
    """

    def __init__(self, definition: TaskDefinition):
        """Store what is judged."""
        self.definition = definition
        self._start_s: float | None = None

    @property
    def name(self) -> str:
        """Name of the task in `TASKS`."""
        return self.definition.name

    @property
    def time_limit_s(self) -> float:
        """Time limit of an episode [s]."""
        return self.definition.time_limit_s

    def start(self, rig: SimRig) -> None:
        """Begin an episode at the rig's present time."""
        self._start_s = rig.time_s
        self._held_since_s: float | None = None
        self._succeeded = False

    def outcome(self, rig: SimRig) -> Outcome:
        """Return how the episode stands now.

        Raises:
            SimError: `start` has not been called.
        """
        if self._start_s is None:
            raise SimError(f"Task '{self.name}' has not been started; call start(rig) first")
        state = rig.state()
        self._update_hold(rig, state)
        if self._succeeded:
            return Outcome(True, False, f'{self.name}: done')
        reason = self._find_failure(rig, state)
        if reason is not None:
            return Outcome(False, True, f'{self.name}: {reason}')
        return Outcome(False, False, f'{self.name}: running')

    @abstractmethod
    def is_goal_met(self, rig: SimRig) -> bool:
        """Return whether the goal holds at this moment."""

    def _update_hold(self, rig: SimRig, state: RigState) -> None:
        if not self.is_goal_met(rig):
            self._held_since_s = None
        elif self._held_since_s is None:
            self._held_since_s = state.time_s
        elif state.time_s - self._held_since_s >= self.definition.hold_s - 1e-6:
            self._succeeded = True

    def _find_failure(self, rig: SimRig, state: RigState) -> str | None:
        """Return why success is out of reach, or None."""
        if rig.mode in (RobotMode.REFLEX, RobotMode.USER_STOPPED):
            return f'the arm stopped ({", ".join(rig.errors) or rig.mode.name})'
        position, _ = rig.object_pose(self.definition.target)
        if position[2] < _ON_TABLE_Z_M[0] or np.linalg.norm(position[:2]) > _REACH_M:
            return f'the {self.definition.target} object is out of reach'
        if state.time_s - self._start_s > self.time_limit_s:
            return f'{self.time_limit_s} s are over'
        return None


class LiftTask(Task):
    """The target object is at least `height_m` above its place on the table."""

    height_m = 0.08

    def is_goal_met(self, rig: SimRig) -> bool:
        """Return whether the object is up and the hand is at it, not throwing it."""
        position, _ = rig.object_pose(self.definition.target)
        lifted = position[2] - rig.rest_height_m(self.definition.target)
        near = np.linalg.norm(position - rig.state().ee_position) < 0.06
        return bool(lifted >= self.height_m and near)


class PushTask(Task):
    """The target object rests on the mark."""

    radius_m = 0.045
    max_speed_m_s = 0.02

    def is_goal_met(self, rig: SimRig) -> bool:
        """Return whether the object's centre is over the mark, on the table and at rest."""
        position, _ = rig.object_pose(self.definition.target)
        mark, _ = rig.object_pose('mark')
        is_on_mark = np.linalg.norm(position[:2] - mark[:2]) <= self.radius_m
        is_on_table = _ON_TABLE_Z_M[0] < position[2] < _ON_TABLE_Z_M[1]
        speed = rig.object_speed_m_s(self.definition.target)
        return bool(is_on_mark and is_on_table and speed < self.max_speed_m_s)


_JUDGES: dict[str, type[Task]] = {LIFT_RED.name: LiftTask, PUSH_BLUE.name: PushTask}


def make_task(name: str) -> Task:
    """Return the judge of the task `name`.

    Raises:
        UnknownNameError: No such task.
    """
    if name not in TASKS:
        raise UnknownNameError('task', name, TASKS)
    return _JUDGES[name](TASKS[name])
