"""Speeds that follow points: what is sent where a controller takes no positions.

The governor's points keep its limits. What is added to follow them does not pass the governor, so
it is bounded here: in size, and in how the sum of both changes when joint states jump or end.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.control.speed_motion import SpeedMotion, toward, within
from roboadapt_ros.ros.outputs.output import ArmModel, Output, Point
from roboadapt_ros.ros.outputs.settings import OutputConfig

FloatArray = npt.NDArray[np.float64]
FEEDBACK_SHARE = 0.25
"""Largest part of the joints' speed limits that catching up adds to the points' own speeds."""
_ROUNDING = 1e-9


def following_speed(point: Point, feedback_1_s: float, limits: RobotLimits) -> FloatArray:
    """Return joint speeds (7,) [rad/s] that follow the point and catch up what was lost.

    All joints are slowed alike where one would be too fast, so that the direction stays; near a
    joint's end, where an FR3 has to be slower, that joint alone. Without fresh joint states the
    point's own speeds are returned.

    Example: 0.3 rad behind at 2/s with a limit of 0.66 rad/s adds 0.16 rad/s, not 0.6.

    Args:
        point: Where the arm should be, how fast, and where it is.
        feedback_1_s: Speed for each radian behind [1/s].
        limits: What the points keep.
    """
    dq = point.dq
    if point.measured_q is not None:
        behind = point.q - point.measured_q
        dq = dq + within(feedback_1_s * behind, FEEDBACK_SHARE * limits.dq_max)
        low, high = limits.velocity_bounds(point.q)
        dq = np.clip(dq, np.minimum(low, point.dq), np.maximum(high, point.dq))
    return within(dq, limits.dq_max)


class SpeedOutput(Output):
    """Makes messages of speeds that come and go within accelerations and jerks.

    Where that would make a joint or the hand too fast, for the joints need not come to rest
    together, the jerk gives way for a message: speed and acceleration are kept in any case.
    """

    is_velocity = True

    def __init__(self, config: OutputConfig, model: ArmModel):
        """Begin at rest; raises as `Output`."""
        super().__init__(config, model)
        self._motion = SpeedMotion()
        self._planned: FloatArray | None = None
        """(7,) the last point's own speeds [rad/s]; None after a silence."""
        self.jacobian: FloatArray = np.zeros((6, JOINTS))
        """(6, 7) of the point sent last."""

    def message(self, point: Point, now_ns: int) -> Any:
        """Return the speeds that follow the point."""
        limits = self.model.limits
        self.jacobian = self.model.jacobian(point.q)
        wanted = following_speed(point, self.config.feedback_1_s, limits)
        wanted = wanted / max(self.excess(wanted), 1.0)
        period_s = self.ticks_per_message / self.model.rate_hz
        before = point.dq if self._planned is None else self._planned
        self._planned = point.dq
        most = (limits.ddq_max, limits.dddq_max)
        ahead = self._motion.ahead(wanted, (point.dq - before) / period_s, most, period_s)
        return self._take(ahead, wanted, limits.ddq_max, period_s, now_ns)

    def braking(self, now_ns: int) -> Any | None:
        """Return slower speeds, None where the arm comes to rest within this tick."""
        period_s, rest = 1.0 / self.model.rate_hz, np.zeros(JOINTS)
        self._planned, most = None, (self.model.brake_ddq_max, self.model.brake_dddq_max)
        ahead = self._motion.ahead(rest, rest, most, period_s, straight=True)
        message = self._take(ahead, rest, self.model.brake_ddq_max, period_s, now_ns)
        return message if self._motion.dq.any() else None

    def zero(self, now_ns: int) -> Any | None:
        """Return no speed."""
        self._motion.rest()
        self._planned = None
        return self.say(self._motion.dq, now_ns)

    def _take(
        self,
        ahead: tuple[FloatArray, FloatArray] | None,
        wanted: FloatArray,
        ddq_max: FloatArray,
        period_s: float,
        now_ns: int,
    ) -> Any:
        """Return the message of speeds ahead, or of ones nearer to the wanted ones."""
        if ahead is None or not self._is_kept(ahead[0]):
            dq = toward(self._motion.dq, wanted, ddq_max, period_s)
            ahead = dq, (dq - self._motion.dq) / period_s
        self._motion.take(*ahead)
        return self.say(ahead[0], now_ns)

    def _is_kept(self, dq: FloatArray) -> bool:
        """Return whether joint speeds (7,) [rad/s] keep the limits of joints and hand."""
        is_slow = bool((np.abs(dq) <= self.model.limits.dq_max + _ROUNDING).all())
        return is_slow and self.excess(dq) <= 1.0 + _ROUNDING

    def excess(self, dq: FloatArray) -> float:
        """Return by which factor joint speeds (7,) are too fast for the hand, where above one."""
        return float(np.linalg.norm(self.jacobian[:3] @ dq)) / self.model.hand_speed_max_m_s

    @abstractmethod
    def say(self, dq: FloatArray, now_ns: int) -> Any:
        """Return the message of joint speeds (7,) [rad/s]."""
