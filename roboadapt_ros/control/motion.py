"""Jerk-limited joint motion, one tick at a time, that can always stop.

Ruckig (https://github.com/pantor/ruckig, Berscheid and Kroeger 2021, arXiv:2105.04830) plans
from the commanded state to a target within speed, acceleration and jerk. Each state that is
taken carries a planned stop; the stop is followed where a next state is refused or can't be
planned. So as long as each taken state's stop is within bounds, everything that is commanded
is. This module imports numpy and ruckig only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.control.spline import Target
import ruckig

FloatArray = npt.NDArray[np.float64]

_SPEED_SHARE = 0.98
"""Part of the speed limit a target may have: Ruckig refuses targets at the limit itself."""
_ACCELERATION_SHARE = 0.5
"""Part of the acceleration limit a target may have, so that errors can still be caught up."""
_REST_SPEED_RAD_S = 1e-9


class MotionState(NamedTuple):
    """A commanded state."""

    q: FloatArray
    """(7,) [rad]."""
    dq: FloatArray
    """(7,) [rad/s]."""
    ddq: FloatArray
    """(7,) [rad/s^2]."""


class Step(NamedTuple):
    """A state one tick ahead with the stop that could follow it."""

    state: MotionState
    stop: ruckig.Trajectory
    q_low: FloatArray
    """(7,) lowest positions while stopping [rad]."""
    q_high: FloatArray
    """(7,) highest positions while stopping [rad]."""
    q_end: FloatArray
    """(7,) where the stop ends [rad]."""
    slowest: FloatArray
    """(7,) lowest velocities while stopping, zero or negative [rad/s]."""
    fastest: FloatArray
    """(7,) highest velocities while stopping, zero or positive [rad/s]."""

    @property
    def peak(self) -> FloatArray:
        """The velocities (7,) while stopping that are largest either way [rad/s]."""
        return np.where(self.fastest >= -self.slowest, self.fastest, self.slowest)

    def at(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """Return positions (7,) [rad] and speeds [rad/s] after a time of the stop [s]."""
        q, dq, *_ = self.stop.at_time(time_s)
        return np.array(q), np.array(dq)

    def way(self, times_s: list[float]) -> tuple[FloatArray, FloatArray]:
        """Return positions (n, 7) [rad] and speeds [rad/s] after n times of the stop [s]."""
        flat: list[float] = []
        for time_s in times_s:
            q, dq, *_ = self.stop.at_time(time_s)
            flat += q
            flat += dq
        found = np.array(flat).reshape(-1, 2, JOINTS)
        return found[:, 0], found[:, 1]


class JointMotion:
    """The commanded state and how it moves on.

    Each joint keeps its own time (no synchronisation): a target that moves is tracked by every
    joint as fast as that joint can.
    """

    def __init__(self, limits: RobotLimits, dt_s: float):
        """Build the planners.

        Args:
            limits: What may be commanded; its positions bound targets, not the motion.
            dt_s: Time of one tick [s].
        """
        self.limits, self.dt_s = limits, dt_s
        self._planner = ruckig.Ruckig(JOINTS, dt_s)
        self._towards = self._input(ruckig.ControlInterface.Position)
        self._towards.target_position = np.zeros(JOINTS)
        self._towards.target_velocity = np.zeros(JOINTS)
        self._stopping = self._input(ruckig.ControlInterface.Velocity)
        self._stopping.target_velocity = np.zeros(JOINTS)
        self._path = ruckig.Trajectory(JOINTS)
        self.reset(np.zeros(JOINTS))

    def reset(self, q: FloatArray) -> None:
        """Be at rest at `q` (7,) [rad]."""
        rest = np.zeros(JOINTS)
        self.state = MotionState(np.array(q, dtype=np.float64), rest, rest)
        self._stop: ruckig.Trajectory | None = None
        self._stop_time_s = 0.0

    @property
    def is_at_rest(self) -> bool:
        """Whether the commanded speed and acceleration are zero."""
        return not self.state.dq.any() and not self.state.ddq.any()

    def propose(self, target: Target, dq_max: FloatArray | None = None) -> Step | None:
        """Plan one tick towards a target without taking it.

        Args:
            target: Where to be at the coming tick; brought inside the limits.
            dq_max: Largest speeds (7,) [rad/s] of this plan, within the limits; default theirs.

        Returns:
            The next state with its stop, or None where Ruckig finds no plan.
        """
        most = self.limits.dq_max if dq_max is None else dq_max
        q, dq, ddq = self._inside(target, most)
        # Ruckig takes lists several times faster than arrays.
        plan = self._towards
        # In a frame that moves with the target: a plan to a point that will have moved on would
        # turn back whenever the arm is a little ahead.
        plan.current_position = (self.state.q - (q - dq * self.dt_s)).tolist()
        plan.current_velocity = (self.state.dq - dq).tolist()
        plan.current_acceleration = self.state.ddq.tolist()
        plan.target_acceleration = ddq.tolist()
        plan.max_velocity, plan.min_velocity = (most - dq).tolist(), (-most - dq).tolist()
        try:
            if self._planner.calculate(plan, self._path) < 0:
                return None
            ahead = [np.array(part) for part in self._path.at_time(self.dt_s)[:3]]
            return self._with_stop(MotionState(q + ahead[0], dq + ahead[1], ahead[2]))
        except (ruckig.RuckigError, ValueError):  # 0.19 raises the latter for a result of -101
            return None

    def take(self, step: Step) -> None:
        """Move on to a proposed state."""
        self.state, self._stop, self._stop_time_s = step.state, step.stop, 0.0

    def brake(self) -> None:
        """Move on along the stop of the last state that was taken."""
        if self._stop is None:
            return
        self._stop_time_s += self.dt_s
        if self._stop_time_s >= self._stop.duration:
            self.reset(np.array(self._stop.at_time(self._stop.duration)[0]))
            return
        ahead = self._stop.at_time(self._stop_time_s)
        self.state = MotionState(*(np.array(part) for part in ahead[:3]))

    def _input(self, interface: ruckig.ControlInterface) -> ruckig.InputParameter:
        plan = ruckig.InputParameter(JOINTS)
        plan.control_interface = interface
        plan.synchronization = ruckig.Synchronization.No
        plan.max_acceleration = self.limits.ddq_max
        plan.max_jerk = self.limits.dddq_max
        return plan

    def _with_stop(self, state: MotionState) -> Step | None:
        plan, stop = self._stopping, ruckig.Trajectory(JOINTS)
        plan.current_position = state.q.tolist()
        plan.current_velocity = state.dq.tolist()
        plan.current_acceleration = state.ddq.tolist()
        if self._planner.calculate(plan, stop) < 0:
            return None
        end = np.array(stop.at_time(stop.duration)[0])
        low, high = np.minimum(state.q, end), np.maximum(state.q, end)
        turn = self._turning_point(state)
        if turn is not None:
            low, high = np.minimum(low, turn), np.maximum(high, turn)
        return Step(state, stop, low, high, end, *self._peak_speeds(state))

    def _peak_speeds(self, state: MotionState) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest joint velocities while stopping [rad/s].

        A joint that still accelerates overshoots by ``a^2 / (2 jerk)`` before it slows down.
        """
        overshoot = state.ddq * np.abs(state.ddq) / (2.0 * self.limits.dddq_max)
        peak = state.dq + overshoot
        low, high = np.minimum(state.dq, peak), np.maximum(state.dq, peak)
        return np.minimum(low, 0.0), np.maximum(high, 0.0)

    def _turning_point(self, state: MotionState) -> FloatArray | None:
        """Return where joints turn round while stopping (7,) [rad], or None where none does.

        A joint that brakes too hard to end at rest passes zero speed before its braking has
        faded at full jerk. Ruckig's `position_extrema` is wrong for velocity targets (0.19).
        """
        q, dq, ddq = state
        way = np.sign(dq)
        speed, braking, jerk = way * dq, -way * ddq, self.limits.dddq_max
        surplus = braking**2 - 2.0 * jerk * speed
        turns = (surplus > 0.0) & (braking > 0.0)
        if not turns.any():
            return None
        time = (braking - np.sqrt(np.maximum(surplus, 0.0))) / jerk
        distance = time * (speed + time * (-braking / 2.0 + time * jerk / 6.0))
        return np.where(turns, q + way * distance, q)

    def _inside(self, target: Target, dq_max: FloatArray) -> Target:
        """Return a target within positions, speeds and accelerations, and able to stop."""
        limits = self.limits
        q = np.minimum(np.maximum(target.q, limits.q_min), limits.q_max)
        most = _ACCELERATION_SHARE * limits.ddq_max
        ddq = np.minimum(np.maximum(target.ddq, -most), most)
        speed = _SPEED_SHARE * dq_max - ddq**2 / (2.0 * limits.dddq_max)
        # A target that is met within a tick is left at its acceleration for the rest of it.
        speed = np.maximum(speed - np.abs(ddq) * self.dt_s, 0.0)
        # A target that moves towards an end must be able to brake before it.
        upward = np.minimum(speed, np.sqrt(most * (limits.q_max - q)))
        downward = np.minimum(speed, np.sqrt(most * (q - limits.q_min)))
        dq = np.minimum(np.maximum(target.dq, -downward), upward)
        return Target(q, dq, np.where(dq == target.dq, ddq, 0.0))
