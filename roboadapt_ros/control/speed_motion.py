"""Joint speeds within limits, one message at a time. This module imports numpy and ruckig only.

For what follows the governor's points and does not pass its planner: see `ros.outputs.velocity`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS
import ruckig

FloatArray = npt.NDArray[np.float64]

_TARGET_SHARE = 0.9
"""Part of the acceleration limit a target may have, so that it can still be caught up with."""


def within(values: FloatArray, most: FloatArray) -> FloatArray:
    """Return values (n,), all scaled alike so that none is beyond `most` (n,) in size.

    Example: ``within([1.0, 4.0], [2.0, 2.0])`` is ``[0.5, 2.0]``.
    """
    ratio = float((np.abs(values) / most).max())
    return values / max(ratio, 1.0)


def toward(dq: FloatArray, wanted: FloatArray, ddq_max: FloatArray, period_s: float) -> FloatArray:
    """Return speeds (7,) [rad/s] on the straight way from `dq` to `wanted`, after a period.

    What both ends keep, a limit of the joints' or of the hand's speed, is kept on the way.

    Example: from rest to 0.6 rad/s with 2.5 rad/s² in 20 ms is 0.05 rad/s.
    """
    return dq + within(wanted - dq, ddq_max * period_s)


class SpeedMotion:
    """Joint speeds and their changes, led to wanted ones.

    Example: from rest to 0.10 rad/s with 2.5 rad/s² and 250 rad/s³ in steps of 10 ms: 0.0125,
    0.0375, 0.0625, 0.0875 and 0.10 rad/s.
    """

    def __init__(self) -> None:
        """Be at rest."""
        self._planner = ruckig.Ruckig(JOINTS)
        self._path = ruckig.Trajectory(JOINTS)
        self._plan = ruckig.InputParameter(JOINTS)
        self._plan.control_interface = ruckig.ControlInterface.Velocity
        self._plan.target_velocity = self._plan.target_acceleration = np.zeros(JOINTS)
        self.rest()

    def rest(self) -> None:
        """Be at rest."""
        self.dq, self.ddq = np.zeros(JOINTS), np.zeros(JOINTS)

    def take(self, dq: FloatArray, ddq: FloatArray) -> None:
        """Have these speeds (7,) [rad/s] and their changes [rad/s²] from now on."""
        self.dq, self.ddq = dq, ddq

    def ahead(
        self,
        wanted: FloatArray,
        wanted_ddq: FloatArray,
        limits: tuple[FloatArray, FloatArray],
        period_s: float,
        *,
        straight: bool = False,
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return speeds [rad/s] and their changes [rad/s²] a period from now, (7,) each.

        Args:
            wanted: Speeds to have then (7,) [rad/s].
            wanted_ddq: How these change (7,) [rad/s²]; a way to speeds that will have moved on
                would always be late.
            limits: Accelerations [rad/s²] and jerks [rad/s³], (7,) each.
            period_s: Time until then [s].
            straight: Whether joints keep their ratio where that can be; else each is as quick as
                it may be.

        Returns:
            On the way to what is wanted; None where there is no plan.
        """
        ddq_max, plan = limits[0], self._plan
        moving = np.clip(wanted_ddq, -_TARGET_SHARE * ddq_max, _TARGET_SHARE * ddq_max)
        # In a frame that moves with the target, as `JointMotion.propose` has it.
        plan.current_velocity = self.dq - (wanted - moving * period_s)
        plan.current_acceleration = self.ddq - moving
        plan.max_acceleration, plan.min_acceleration = ddq_max - moving, -ddq_max - moving
        plan.max_jerk = limits[1]
        phase, none = ruckig.Synchronization.Phase, ruckig.Synchronization.No
        plan.synchronization = phase if straight else none
        try:
            if self._planner.calculate(plan, self._path) < 0:
                return None
        except (ruckig.RuckigError, ValueError):  # as in `JointMotion.propose`
            return None
        if self._path.duration <= period_s:
            return wanted, moving
        _, dq, ddq = self._path.at_time(period_s)[:3]
        return wanted + np.array(dq), moving + np.array(ddq)
