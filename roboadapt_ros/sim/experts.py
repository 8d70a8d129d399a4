"""The scripted experts, by task."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import UnknownNameError
from roboadapt_ros.sim.expert import approach, Expert, Intent, SceneView

FloatArray = npt.NDArray[np.float64]

_OPEN_M = 0.08


class LiftExpert(Expert):
    """Comes down over the object in a funnel, closes, lifts; opens and retries when empty."""

    target = 'red'
    object_width_m = 0.05
    lift_z_m = 0.16
    lowest_z_m = 0.018

    def decide(self, view: SceneView) -> Intent:
        """Return what to do in the state `view`."""
        offset = view.target - view.ee
        lateral = self._lateral(offset)
        grasp_z = max(float(view.target[2]), self.lowest_z_m)
        above = float(view.ee[2]) - grasp_z
        if self._is_around(lateral, above, view.width_m) and view.width_m > 0.036:
            return self._close_and_lift(view, offset, grasp_z)
        # Descend only as the hand gets above the object, and only with an open gripper.
        funnel = float(np.clip(2.5 * (lateral - 0.005), 0.0, 0.14))
        if view.width_m < 0.07:
            funnel = max(funnel, 0.08 * min(1.0, (0.07 - view.width_m) / 0.01))
        velocity = approach(view.ee, view.target[:2], grasp_z + funnel)
        return Intent(velocity, _OPEN_M)

    def carry(self, view: SceneView, step: FloatArray) -> FloatArray:
        """Return the object's place: it goes with the hand once it is held."""
        held = self._is_held(view)
        return view.target + step if held else view.target

    def limit_width(self, view: SceneView) -> float:
        """Return the object's width when it is between the fingers, else 0."""
        offset = view.target - view.ee
        between = np.hypot(offset[0], offset[1]) < 0.02 and abs(offset[2]) < 0.03
        return self.object_width_m if between else 0.0

    def _lateral(self, offset: FloatArray) -> float:
        # The fingers close along y; along x the pads are wide and nothing is in the way.
        return float(np.hypot(0.7 * offset[0], offset[1]))

    def _is_around(self, lateral: float, above: float, width_m: float) -> bool:
        # Once the fingers close a little, the region grows: a grasp begun is a grasp finished.
        begun = float(np.clip((0.079 - width_m) / 0.008, 0.0, 1.0))
        return lateral < 0.013 + 0.013 * begun and -0.025 < above < 0.016 + 0.01 * begun

    def _is_held(self, view: SceneView) -> bool:
        offset = view.target - view.ee
        lateral = self._lateral(offset)
        around = self._is_around(lateral, -float(offset[2]), view.width_m)
        return around and 0.036 < view.width_m < 0.054

    def _close_and_lift(self, view: SceneView, offset: FloatArray, grasp_z: float) -> Intent:
        # The fingers stop at the object: 0.050 to 0.053 m. The hand rises as they get there.
        grip = float(np.clip((0.058 - view.width_m) / 0.004, 0.0, 1.0))
        rise = 0.15 * float(np.clip((self.lift_z_m - view.ee[2]) / 0.04, 0.0, 1.0))
        settle = np.array([*(3.0 * offset[:2]), 3.0 * (grasp_z - view.ee[2])])
        velocity = (1.0 - grip) * settle + grip * np.array([0.0, 0.0, rise])
        return Intent(velocity, 0.0)


class PushExpert(Expert):
    """Goes down behind the object as seen from the mark, pushes it there, lifts the hand off."""

    target = 'blue'
    push_width_m = 0.03
    push_z_m = 0.034
    push_speed_m_s = 0.12
    behind_m = 0.075
    contact_m = 0.036
    """Distance of the hand from the object's centre when they touch."""
    goal_m = 0.02

    def decide(self, view: SceneView) -> Intent:
        """Return what to do in the state `view`."""
        way = view.mark[:2] - view.target[:2]
        distance = float(np.linalg.norm(way))
        if distance < self.goal_m:
            return Intent(self._leave(view), self.push_width_m)
        direction = way / distance
        offset = view.ee[:2] - view.target[:2]
        along = float(offset @ direction)
        lateral = offset - along * direction
        ready = self._readiness(view, along, float(np.linalg.norm(lateral)))
        behind = view.target[:2] - self.behind_m * direction
        away = float(np.linalg.norm(view.ee[:2] - behind))
        funnel = (1.0 - ready) * float(np.clip(2.0 * (away - 0.008), 0.0, 0.12))
        velocity = approach(view.ee, behind, self.push_z_m + funnel)
        speed = min(self.push_speed_m_s, 3.0 * (distance - 0.5 * self.goal_m))
        aside = float(np.linalg.norm(lateral))
        # Off centre the object would turn away: back off until the hand is behind it again.
        centred = float(np.clip((0.036 - aside) / 0.02, -0.4, 1.0))
        # In touch the object sticks to the fingers, and steering would carry it off its way.
        steering = 2.5 * float(np.clip(max(-along - 0.042, aside - 0.016) / 0.012, 0.0, 1.0))
        push = speed * centred * direction - steering * lateral
        velocity[:2] = (1.0 - ready) * velocity[:2] + ready * push
        return Intent(velocity, self.push_width_m)

    def carry(self, view: SceneView, step: FloatArray) -> FloatArray:
        """Return the object's place: it keeps its distance once the hand touches it."""
        offset = view.target - view.ee
        reach = float(np.hypot(offset[0], offset[1]))
        if reach > self.contact_m + 0.01 or reach < 1e-6 or abs(offset[2]) > 0.04:
            return view.target
        normal = np.array([offset[0] / reach, offset[1] / reach, 0.0])
        pressed = reach < self.contact_m or float(normal @ step) <= 0.0
        advance = max(0.0, float(normal @ step) - max(0.0, reach - self.contact_m))
        return view.target + advance * normal if pressed or advance > 0.0 else view.target

    def limit_width(self, view: SceneView) -> float:
        """Return 0: nothing is grasped."""
        return 0.0

    def _readiness(self, view: SceneView, along: float, lateral: float) -> float:
        """Return 1 when the hand is low in the corridor behind the object, 0 outside it."""
        centred = np.clip((0.06 - lateral) / 0.025, 0.0, 1.0)
        is_behind = np.clip((-0.010 - along) / 0.018, 0.0, 1.0)
        is_near = np.clip((0.13 + along) / 0.02, 0.0, 1.0)
        is_low = np.clip((self.push_z_m + 0.055 - view.ee[2]) / 0.03, 0.0, 1.0)
        return float(centred * is_behind * is_near * is_low)

    def _leave(self, view: SceneView) -> FloatArray:
        back = view.ee[:2] - view.target[:2]
        back = back / max(float(np.linalg.norm(back)), 1e-6)
        rise = 0.2 * float(np.clip((0.14 - view.ee[2]) / 0.04, 0.0, 1.0))
        return np.array([*(0.05 * back * min(1.0, 5.0 * rise)), rise])


EXPERTS: dict[str, type[Expert]] = {'lift_red': LiftExpert, 'push_blue': PushExpert}


def make_expert(task_name: str) -> Expert:
    """Return the expert of a task.

    Raises:
        UnknownNameError: No such task.
    """
    if task_name not in EXPERTS:
        raise UnknownNameError('task', task_name, EXPERTS)
    return EXPERTS[task_name]()
