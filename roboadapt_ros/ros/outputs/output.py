"""What a driver of the arm is: one governed point to one message of the rig's controller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.outputs.settings import OutputConfig, TYPES

FloatArray = npt.NDArray[np.float64]


class Point(NamedTuple):
    """One point of the governor."""

    q: FloatArray
    """(7,) positions [rad], rig order."""
    dq: FloatArray
    """(7,) velocities [rad/s]."""
    measured_q: FloatArray | None
    """(7,) measured positions [rad]; None where they are stale."""


@dataclass(frozen=True, kw_only=True)
class ArmModel:
    """What drivers know about the arm."""

    limits: RobotLimits
    """What points keep: scaled and narrowed; `joint_names` are the rig's."""
    hand_speed_max_m_s: float
    forward: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    """Joints (7,) [rad] to the hand's position [m] and quaternion xyzw, base frame."""
    jacobian: Callable[[FloatArray], FloatArray]
    """Joints (7,) [rad] to (6, 7): linear rows [m/rad] first, base-frame axes."""
    base_frame: str
    brake_ddq_max: FloatArray
    """(7,) largest joint accelerations of a stop: the arm's own, not scaled [rad/s^2]."""
    brake_dddq_max: FloatArray
    """(7,) largest joint jerks of a stop, the same [rad/s^3]."""
    rate_hz: float
    """Rate of points [Hz]."""


class Output(ABC):
    """Makes the messages of one kind of controller.

    A driver whose messages are speeds has `is_velocity`: its last message must say zero, and it
    remembers what it sent last (`velocity.SpeedOutput`). The others have no memory.
    """

    is_velocity: ClassVar[bool] = False

    def __init__(self, config: OutputConfig, model: ArmModel):
        """Find the message type and the order of joints.

        Raises:
            ConfigError: The message package is not installed, or options contradict each other.
        """
        self.config, self.model = config, model
        self.names = config.joint_order or model.limits.joint_names
        """Joints in the order the controller assumes."""
        self._order = [model.limits.joint_names.index(name) for name in self.names]
        package, _, name = TYPES[config.driver].partition('/')
        self.message_type: Any = interface_class(f'{package}/msg/{name}')
        self.ticks_per_message = ticks_per_message(config, model.rate_hz)

    @abstractmethod
    def message(self, point: Point, now_ns: int) -> Any:
        """Return the message for a point.

        Args:
            point: Where the arm should be now.
            now_ns: Time now [ns], ROS clock.
        """

    def observe(self, stamp_ns: int, came_ns: int) -> None:  # noqa: B027 - most need no clock
        """Take a joint state's stamp [ns], the controller's clock, and when it came [ns], ours."""

    def braking(self, now_ns: int) -> Any | None:
        """Return the message of a tick in which the arm is slowed, None where it is at rest."""
        return None

    def zero(self, now_ns: int) -> Any | None:
        """Return the message that stops the arm, None where the last point already does."""
        return None

    def ordered(self, values: FloatArray) -> FloatArray:
        """Return values (7,) of the rig's order in the controller's."""
        return values[self._order]


def ticks_per_message(config: OutputConfig, rate_hz: float) -> int:
    """Return how many points there are to a message.

    Args:
        config: With the rate of messages.
        rate_hz: Rate of points [Hz].

    Raises:
        ConfigError: A rate that is no whole part of the governor's.
    """
    if config.rate_hz == 0.0:
        return 1
    ticks = round(rate_hz / config.rate_hz)
    if ticks < 1 or abs(rate_hz / ticks - config.rate_hz) > 0.01 * config.rate_hz:
        whole = ', '.join(f'{rate_hz / n:g}' for n in range(1, 6))
        raise ConfigError(
            'output.rate_hz',
            config.rate_hz,
            f'must be a whole part of the governor rate ({rate_hz:g} Hz): {whole}, ...',
        )
    return ticks
