"""What scripted experts have in common: the view, the intent, and the plan made of them.

An expert has no memory. It is a function of the hand's pose, the width of the gripper and the
poses of the objects, so it can label any state that a learned policy gets into. A plan is made by
rolling that function forward with a simple model of what moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.sim.rig import HAND_DOWN_XYZW, SimRig

FloatArray = npt.NDArray[np.float64]

_ROLLOUT_STEP_S = 0.02
# damping / stiffness of the arm's joints: it follows a moving target this much later.
_LAG_S = 0.055
_GRIPPER_SPEED_M_S = 0.1
# What the joints' limits allow over the whole table, with a margin.
_ACCELERATION_M_S2 = 0.8


@dataclass(frozen=True)
class SceneView:
    """What an expert looks at."""

    ee: FloatArray
    """Hand TCP (3,) [m], base frame."""
    width_m: float
    """Width of the gripper."""
    target: FloatArray
    """Centre (3,) [m] of the object the task is about."""
    mark: FloatArray
    """Centre (3,) [m] of the mark."""


@dataclass(frozen=True)
class Intent:
    """What an expert wants in one state."""

    velocity: FloatArray
    """Velocity (3,) [m/s] of the hand, base frame."""
    width_m: float
    """Width the gripper should have."""


class Motion(NamedTuple):
    """Where the command is and how fast it moves."""

    position: FloatArray
    """TCP (3,) [m], base frame."""
    velocity: FloatArray
    """(3,) [m/s]."""


class Expert(ABC):
    """A scripted policy; subclasses give `decide` and how the object moves with the hand."""

    target: str
    """Name of the object that is handled."""

    @abstractmethod
    def decide(self, view: SceneView) -> Intent:
        """Return what to do in the state `view`."""

    @abstractmethod
    def carry(self, view: SceneView, step: FloatArray) -> FloatArray:
        """Return where the object is after the hand has moved by `step` (3,) [m]."""

    @abstractmethod
    def limit_width(self, view: SceneView) -> float:
        """Return the width [m] below which the gripper can't close in this state."""

    def plan(
        self, rig: SimRig, horizon: int, dt_s: float, *, commanded: Motion | None = None
    ) -> FloatArray:
        """Return targets for the next `horizon` periods of `dt_s`, from the present state.

        Args:
            rig: The rig as it is; it is only read.
            horizon: Number of rows H.
            dt_s: Period [s]; row k is for the time now + (k + 1) dt_s.
            commanded: Commanded motion to plan from, with bounded acceleration, so that
                successive plans join smoothly; None plans from the measured position at once
                at the wanted speed, and leads it by the arm's lag.

        Returns:
            (H, 8): TCP position [m] and quaternion xyzw in the base frame, gripper width [m].
        """
        state = rig.state()
        view = SceneView(
            state.ee_position if commanded is None else commanded.position,
            state.gripper_width_m,
            rig.object_pose(self.target)[0],
            rig.object_pose('mark')[0],
        )
        steps = max(1, round(dt_s / _ROLLOUT_STEP_S))
        rows = np.zeros((horizon, 8))
        velocity = None if commanded is None else commanded.velocity
        for row in rows:
            for _ in range(steps):
                intent = self.decide(view)
                if velocity is not None:
                    velocity = _accelerate(velocity, intent.velocity, dt_s / steps)
                    intent = replace(intent, velocity=velocity)
                view = self._roll(view, intent, dt_s / steps)
            row[:3] = view.ee + (_LAG_S if commanded is None else 0.0) * intent.velocity
            row[3:7] = HAND_DOWN_XYZW
            row[7] = intent.width_m
        return rows

    def _roll(self, view: SceneView, intent: Intent, dt_s: float) -> SceneView:
        step = intent.velocity * dt_s
        limit = _GRIPPER_SPEED_M_S * dt_s
        width = view.width_m + min(max(intent.width_m - view.width_m, -limit), limit)
        if intent.width_m < view.width_m:
            width = min(view.width_m, max(width, self.limit_width(view)))
        return replace(view, ee=view.ee + step, width_m=width, target=self.carry(view, step))


def _accelerate(velocity: FloatArray, wanted: FloatArray, dt_s: float) -> FloatArray:
    """Return the velocity (3,) [m/s] after `dt_s`, at most `_ACCELERATION_M_S2` away."""
    change = wanted - velocity
    size = float(np.linalg.norm(change))
    return velocity + change * min(1.0, _ACCELERATION_M_S2 * dt_s / max(size, 1e-9))


def approach(
    ee: FloatArray,
    goal_xy: FloatArray,
    goal_z_m: float,
    *,
    speed_m_s: float = 0.2,
    gain_s: float = 3.0,
) -> FloatArray:
    """Return a velocity (3,) [m/s] to a point: bounded far away, slowing down near it.

    When the hand is too low the sideways motion waits for it to rise.

    Args:
        ee: Hand TCP (3,) [m].
        goal_xy: Point on the table (2,) [m].
        goal_z_m: Height to be at [m].
        speed_m_s: Bound on the sideways speed.
        gain_s: Speed per distance near the goal [1/s].
    """
    sideways = gain_s * (goal_xy - ee[:2])
    size = float(np.linalg.norm(sideways))
    missing = max(0.0, goal_z_m - float(ee[2]))
    bound = speed_m_s * float(np.clip(1.0 - missing / 0.05, 0.05, 1.0))
    if size > bound:
        sideways = sideways * (bound / size)
    vertical = float(np.clip(gain_s * (goal_z_m - ee[2]), -0.18, 0.18))
    return np.array([sideways[0], sideways[1], vertical])
