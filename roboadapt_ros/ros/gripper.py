"""Gripper widths to the command message a rig's hand takes."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.errors import SpecError
from roboadapt_ros.sim2real.gripper import from_width, to_width
from std_msgs.msg import Float32, Float64, Float64MultiArray

SMALLEST_CHANGE_M = 2e-4
REPEAT_S = 0.2
"""A command that stays the same is repeated this often, for a hand that came up late."""

GRIPPER_MESSAGES: dict[str, tuple[type, Callable[[float], Any], Callable[[Any], float]]] = {
    'std_msgs/Float64MultiArray': (
        Float64MultiArray,
        lambda value: Float64MultiArray(data=[value]),
        lambda message: message.data[0] if len(message.data) == 1 else math.nan,
    ),
    'std_msgs/Float64': (Float64, lambda value: Float64(data=value), lambda message: message.data),
    'std_msgs/Float32': (Float32, lambda value: Float32(data=value), lambda message: message.data),
}
"""Type, writer and reader by name."""


class GripperWriter:
    """Turns commanded widths into messages, only when there is something to say.

    Example: for Float32 in ONE_OPEN, a width of 0.04 m of 0.08 m is ``Float32(data=0.5)``.
    """

    def __init__(self, message: str, convention: GripperConvention, width_max_m: float):
        """Choose the message and what its number means."""
        self.message_type, self._write, _ = GRIPPER_MESSAGES[message]
        self._convention, self._width_max_m = convention, width_max_m
        self._sent_m, self._sent_ns = math.inf, 0

    def message(self, width_m: float | None, now_ns: int) -> Any | None:
        """Return the message for a width [m], or None where the hand knows already."""
        if width_m is None:
            return None
        is_same = abs(width_m - self._sent_m) < SMALLEST_CHANGE_M
        if is_same and now_ns - self._sent_ns < REPEAT_S * 1e9:
            return None
        self._sent_m, self._sent_ns = width_m, now_ns
        return self._write(from_width(width_m, self._convention, self._width_max_m))


class GripperReader:
    """The other side, for the simulated hand: messages to widths."""

    def __init__(self, message: str, convention: GripperConvention, width_max_m: float):
        """Choose the message and what its number means."""
        self.message_type, _, self._read = GRIPPER_MESSAGES[message]
        self._convention, self._width_max_m = convention, width_max_m

    def width_m(self, message: Any) -> float:
        """Return the width [m] a command asks for.

        Raises:
            SpecError: Not exactly one finite number.
        """
        value = float(self._read(message))
        if not math.isfinite(value):
            raise SpecError('gripper command', str(message), 'one finite number')
        return to_width(value, self._convention, self._width_max_m)
