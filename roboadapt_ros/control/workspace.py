"""Where the hand may be: a box, a floor and a cone for the tool's direction.

This module imports numpy and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError

FloatArray = npt.NDArray[np.float64]

_INSIDE_M = 0.0005
"""How far inside a displaced pose ends up [m]."""
_TILT = 6
"""Number of the cone, after the box's six sides."""


class Kinematics(Protocol):
    """What the governor needs to know about the arm's geometry."""

    def forward(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return TCP position (3,) [m] and quaternion (4,) xyzw in the base frame."""

    def jacobian(self, q: FloatArray) -> FloatArray:
        """Return the TCP Jacobian (6, 7), linear rows [m/rad] first, base-frame axes."""


@dataclass(frozen=True, kw_only=True)
class WorkspaceConfig:
    """A box in the base frame that TCP and fingertips stay in.

    None leaves a side open; zero is a bound like any other.
    """

    x_min_m: float | None = 0.1
    x_max_m: float | None = 0.8
    y_min_m: float | None = -0.5
    y_max_m: float | None = 0.5
    z_min_m: float | None = 0.0
    """The floor: a table top at the base's height is 0.0."""
    z_max_m: float | None = 0.8
    fingertip_m: float = 0.009
    """How far the fingertips reach beyond the TCP along the tool [m]: the Franka hand's TCP
    lies at 0.1034 m, in the middle of the finger pads, which end at about 0.112 m."""
    max_tilt_rad: float | None = None
    """Largest angle between the tool and straight down [rad]."""

    def __post_init__(self) -> None:
        """Check that each lower bound lies below its upper one."""
        for axis in 'xyz':
            low, high = getattr(self, f'{axis}_min_m'), getattr(self, f'{axis}_max_m')
            if low is not None and high is not None and not low < high:
                raise ConfigError(f'workspace.{axis}_min_m', low, f'must be below {high}')
        if self.max_tilt_rad is not None and not self.max_tilt_rad > 0:
            raise ConfigError('workspace.max_tilt_rad', self.max_tilt_rad, 'must be positive')

    def sides(self, axis: str) -> tuple[float | None, float | None]:
        """Return the lower and upper side along 'x', 'y' or 'z' [m]; None: open."""
        return getattr(self, f'{axis}_min_m'), getattr(self, f'{axis}_max_m')


class Excess(NamedTuple):
    """How far a pose is outside."""

    amount: float
    """Metres beyond the worst side or radians beyond the cone; negative inside."""
    detail: str
    """The side, the value and the bound, for a person; empty inside."""


class Workspace:
    """Judges hand poses.

    Example: with a floor at 0.0 m and fingertips 0.009 m beyond the TCP, a hand pointing down
    with its TCP at z = 0.005 m is outside by 0.004 m.
    """

    def __init__(self, config: WorkspaceConfig):
        """Turn open sides into infinite bounds."""
        self._fingertip_m = config.fingertip_m
        self._max_tilt_rad = config.max_tilt_rad
        bounds = [(getattr(config, f'{a}_min_m'), getattr(config, f'{a}_max_m')) for a in 'xyz']
        self._lower = [-math.inf if low is None else float(low) for low, _ in bounds]
        self._upper = [math.inf if high is None else float(high) for _, high in bounds]

    def excess(self, position: FloatArray, quat_xyzw: FloatArray) -> Excess:
        """Return how far a pose is outside.

        Args:
            position: TCP (3,) [m], base frame.
            quat_xyzw: TCP rotation (4,), unit, base frame.
        """
        tool, tcp = _tool_axis(quat_xyzw), position.tolist()
        worst, at = -math.inf, 0
        for axis in (0, 1, 2):
            one = tcp[axis]
            other = one + self._fingertip_m * tool[axis]
            if one > other:
                one, other = other, one
            for side, amount in (
                (2 * axis, self._lower[axis] - one),
                (2 * axis + 1, other - self._upper[axis]),
            ):
                if amount > worst:
                    worst, at = amount, side
                elif amount != amount:  # not a number: no comparison would see it
                    return Excess(math.inf, f'{"xyz"[axis]} is not a number')
        tilt = 0.0
        if self._max_tilt_rad is not None:
            tilt = math.acos(min(max(-tool[2], -1.0), 1.0))
            if tilt - self._max_tilt_rad > max(worst, 0.0):
                worst, at = tilt - self._max_tilt_rad, _TILT
        return Excess(worst, '' if worst <= 0.0 else self._detail(at, worst, tilt))

    def amounts(self, position: FloatArray, quat_xyzw: FloatArray) -> list[float]:
        """Return how far a pose is beyond each side and the cone; negative inside.

        Args:
            position: TCP (3,) [m], base frame.
            quat_xyzw: TCP rotation (4,), unit, base frame.
        """
        tool, found = _tool_axis(quat_xyzw), []
        for tcp, along, low, high in zip(
            position.tolist(), tool, self._lower, self._upper, strict=True
        ):
            tip = tcp + self._fingertip_m * along
            found += [low - min(tcp, tip), max(tcp, tip) - high]
        if self._max_tilt_rad is not None:
            found.append(math.acos(min(max(-tool[2], -1.0), 1.0)) - self._max_tilt_rad)
        return found

    def _detail(self, at: int, amount: float, tilt: float) -> str:
        """Return what is beyond its bound."""
        if at == _TILT:
            return f'tilt = {tilt:.4f}, bound {self._max_tilt_rad:g}'
        axis, is_upper = divmod(at, 2)
        bound = (self._upper if is_upper else self._lower)[axis]
        value = bound + amount if is_upper else bound - amount
        return f'{"xyz"[axis]} = {value:.4f}, bound {bound:g}'

    def push(self, position: FloatArray, quat_xyzw: FloatArray) -> FloatArray:
        """Return the displacement (3,) [m] that brings TCP and fingertips inside the box.

        Args:
            position: TCP (3,) [m], base frame.
            quat_xyzw: TCP rotation (4,), unit, base frame.
        """
        tip = position + self._fingertip_m * np.array(_tool_axis(quat_xyzw))
        low, high = np.minimum(position, tip), np.maximum(position, tip)
        below = np.maximum(np.array(self._lower) + _INSIDE_M - low, 0.0)
        return below - np.maximum(high - np.array(self._upper) + _INSIDE_M, 0.0)


def _tool_axis(quat_xyzw: FloatArray) -> tuple[float, float, float]:
    """Return the direction the tool points in, base frame."""
    qx, qy, qz, qw = quat_xyzw.tolist()
    return (
        2.0 * (qx * qz + qw * qy),
        2.0 * (qy * qz - qw * qx),
        1.0 - 2.0 * (qx * qx + qy * qy),
    )
