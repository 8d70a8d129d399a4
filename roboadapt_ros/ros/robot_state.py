"""The robot's own state, out of the messages that tell it, as one plain report."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
import math
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from roboadapt_ros.control.robot_status import RobotMode, RobotStatus

_MODE_NUMBERS = frozenset(str(mode.value) for mode in RobotMode)


def _from_diagnostic(message: DiagnosticStatus) -> RobotStatus:
    """Read what the simulated rig says; keys other than these are left alone."""
    values = {pair.key: pair.value for pair in message.values}
    errors = tuple(values.get('current_errors', '').split())
    is_well = message.level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    number = values.get('robot_mode', '')
    mode = _mode(int(number)) if number in _MODE_NUMBERS else None
    said = message.message if message.message.isprintable() else repr(message.message)
    is_explained = bool(errors) or mode not in (None, RobotMode.IDLE, RobotMode.MOVE)
    return RobotStatus(
        mode=mode,
        errors=errors,
        trouble='' if is_well or is_explained else said or 'error',
    )


def _from_franka(message: Any) -> RobotStatus:
    """Read franka_msgs/FrankaRobotState."""
    errors, wrench = message.current_errors, message.o_f_ext_hat_k.wrench
    force, torque = wrench.force, wrench.torque
    return RobotStatus(
        mode=_mode(message.robot_mode),
        errors=_named(errors),
        last_errors=_named(message.last_motion_errors),
        time_s=message.time or None,
        success_rate=message.control_command_success_rate,
        force_n=math.hypot(force.x, force.y, force.z),
        torque_nm=math.hypot(torque.x, torque.y, torque.z),
    )


def _named(errors: Any) -> tuple[str, ...]:
    """Return the names of those that are set in a franka_msgs/Errors."""
    return tuple(name for name in _error_names(type(errors)) if getattr(errors, name))


@cache
def _error_names(kind: Any) -> tuple[str, ...]:
    return tuple(kind.get_fields_and_field_types())


def _mode(number: int) -> RobotMode:
    """Return the mode; a number that is not known is a robot that can't be moved."""
    known = {mode.value: mode for mode in RobotMode}
    return known.get(number, RobotMode.OTHER)


ROBOT_STATES: dict[str, Callable[[Any], RobotStatus]] = {
    'diagnostic_msgs/DiagnosticStatus': _from_diagnostic,
    'franka_msgs/FrankaRobotState': _from_franka,
}
"""Readers of a robot's own state by message type."""
