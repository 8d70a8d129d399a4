"""Joint targets: sensor_msgs/JointState, trajectory_msgs/JointTrajectory, Float64MultiArray."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Duration
import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.stream_clock import RemoteClock, StreamTimes
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.convert import to_float64s, to_time
from roboadapt_ros.ros.outputs.output import ArmModel, Output, Point
from roboadapt_ros.ros.outputs.settings import OutputConfig
from roboadapt_ros.ros.outputs.velocity import SpeedOutput
from roboadapt_ros.ros.rig_messages import joint_state

FloatArray = npt.NDArray[np.float64]
PERIODS_MIN = 2
"""Least horizon of a trajectory, in periods of messages."""


class JointImpedanceOutput(Output):
    """JointState for an impedance controller (crisp's, gello's): freshly stamped, by index."""

    def message(self, point: Point, now_ns: int) -> Any:
        """Return positions and velocities in the controller's order."""
        velocities = self.ordered(point.dq) if self.config.velocities else None
        return joint_state(to_time(now_ns), self.names, self.ordered(point.q), velocities)


class JointTrajectoryOutput(Output):
    """JointTrajectory for joint_trajectory_controller, each replacing the one before.

    Two points: the governed one, due after the horizon, and a stop behind it. The controller
    moves to the first along a cubic; when nothing follows it brakes along the second by itself,
    and so needs neither `cmd_timeout` nor a trajectory that may end in motion. Points always carry
    velocities: without, the controller draws straight lines, and the speed jumps at each point.
    A trajectory begins when it comes; one that comes late begins late, and the longer the horizon
    the less that bends the motion. A stamped one begins in its turn, by the controller's clock,
    which joint states tell: late or not it is the same motion, until it is late by the horizon.

    Example, horizon 0.06 s, joint 1 at 0.10 rad moving at 0.5 rad/s, with deceleration up to
    2.5 rad/s²: 0.10 rad at 0.06 s with 0.5 rad/s, then 0.15 rad at 0.26 s with 0 rad/s.
    """

    def __init__(self, config: OutputConfig, model: ArmModel):
        """Choose the horizon; raises as `Output`, and where it is too short."""
        super().__init__(config, model)
        period_s = self.ticks_per_message / model.rate_hz
        self.horizon_s = config.horizon_s or PERIODS_MIN * period_s
        if self.horizon_s < PERIODS_MIN * period_s - 1e-9:
            raise ConfigError(
                'output.horizon_s',
                config.horizon_s,
                f'must be at least {PERIODS_MIN} periods of messages: {PERIODS_MIN * period_s:g} '
                's; a nearer point is reached before the next one comes, and the arm stutters',
            )
        self._point_type = _point_type()
        self._clock = RemoteClock()
        # While it is no later than that, the point before is not passed yet.
        self._times = StreamTimes(period_s, self.horizon_s - period_s)

    def observe(self, stamp_ns: int, came_ns: int) -> None:
        """Learn the controller's clock."""
        self._clock.observe(stamp_ns, came_ns)

    def message(self, point: Point, now_ns: int) -> Any:
        """Return the trajectory; a stamp of zero means: begin when it comes."""
        limits = self.model.limits
        stop_s = max(float((np.abs(point.dq) / limits.ddq_max).max()), self.horizon_s)
        rest = np.clip(point.q + 0.5 * stop_s * point.dq, limits.q_min, limits.q_max)
        ends = ((point.q, point.dq, self.horizon_s), (rest, 0.0 * rest, self.horizon_s + stop_s))
        message = self.message_type(joint_names=list(self.names))
        if self.config.stamped:
            message.header.stamp = to_time(self._clock.at(self._times.next(now_ns)) or 0)
        message.points = [self._point(*end) for end in ends]
        return message

    def _point(self, q: FloatArray, dq: FloatArray, time_s: float) -> Any:
        return self._point_type(
            positions=to_float64s(self.ordered(q)),
            velocities=to_float64s(self.ordered(dq)),
            time_from_start=_duration(time_s),
        )


class FloatArrayOutput(SpeedOutput):
    """Float64MultiArray for a forward_command_controller: positions, or velocities.

    Such a controller neither interpolates nor stops by itself. Not for the position or velocity
    interface of a real Franka: see `docs/rig_files.md`.
    """

    def __init__(self, config: OutputConfig, model: ArmModel):
        """Raises as `Output`."""
        super().__init__(config, model)
        self._has_speeds = config.quantity == 'velocity'

    @property
    def is_velocity(self) -> bool:  # type: ignore[override]
        """Whether the numbers are speeds."""
        return self._has_speeds

    def message(self, point: Point, now_ns: int) -> Any:
        """Return one number for each joint."""
        return super().message(point, now_ns) if self._has_speeds else self.say(point.q, now_ns)

    def zero(self, now_ns: int) -> Any | None:
        """Return zero speeds; zero positions are no stop."""
        return super().zero(now_ns) if self._has_speeds else None

    def say(self, dq: FloatArray, now_ns: int) -> Any:
        """Return the numbers in the controller's order."""
        return self.message_type(data=to_float64s(self.ordered(dq)))


def _point_type() -> Any:
    from trajectory_msgs.msg import JointTrajectoryPoint

    return JointTrajectoryPoint


def _duration(time_s: float) -> Duration:
    nanoseconds = round(time_s * 1e9)
    return Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
