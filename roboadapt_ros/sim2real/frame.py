"""Two base frames that differ by an offset and a turn about the vertical.

This module imports numpy, `dataflow` and `errors` only.
"""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import numpy.typing as npt
from roboadapt_ros.dataflow import RobotState
from roboadapt_ros.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
Pose = tuple[FloatArray, FloatArray]
Corner = tuple[float | None, float | None, float | None]


class BaseFrame:
    """Poses in the contract's base frame and in the rig's.

    Example: with the contract's base 0.1 m to the left (y) of the rig's, unturned, the task's
    position (0.5, 0.0, 0.2) m is the rig's (0.5, 0.1, 0.2) m.
    """

    def __init__(self, offset_m: tuple[float, ...], yaw_rad: float):
        """Store where the contract's base is, seen from the rig's.

        Args:
            offset_m: Position [m].
            yaw_rad: Turn about z [rad].

        Raises:
            ConfigError: No three finite numbers, or no finite angle.
        """
        if len(offset_m) != 3 or not all(math.isfinite(x) for x in (*offset_m, yaw_rad)):
            found = (offset_m, yaw_rad)
            raise ConfigError('base_offset_m, base_yaw_rad', found, 'must be x, y, z and a yaw')
        cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
        self._turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        self._offset, self._yaw_rad = np.array(offset_m, dtype=np.float64), yaw_rad
        self._half = (math.sin(yaw_rad / 2.0), math.cos(yaw_rad / 2.0))

    def to_rig(self, position: FloatArray, quat_xyzw: FloatArray) -> Pose:
        """Return a pose of the contract's base frame in the rig's.

        Args:
            position: (3,) [m].
            quat_xyzw: (4,) unit.
        """
        sine, cosine = self._half
        return self._turn @ position + self._offset, _turn_about_z(sine, cosine, quat_xyzw)

    def to_contract(self, position: FloatArray, quat_xyzw: FloatArray) -> Pose:
        """Return a pose of the rig's base frame in the contract's.

        Args:
            position: (3,) [m].
            quat_xyzw: (4,) unit.
        """
        sine, cosine = self._half
        return self._turn.T @ (position - self._offset), _turn_about_z(-sine, cosine, quat_xyzw)

    def seen_from_contract(self, state: RobotState) -> RobotState:
        """Return a rig's state with the hand in the contract's base frame."""
        position, quat_xyzw = self.to_contract(state.ee_position, state.ee_quat_xyzw)
        commanded, _ = self.to_contract(state.ee_commanded, state.ee_quat_xyzw)
        return replace(state, ee_position=position, ee_quat_xyzw=quat_xyzw, ee_commanded=commanded)

    def box_to_rig(self, low_m: Corner, high_m: Corner) -> tuple[Corner, Corner]:
        """Return the corners [m] of a box of the contract's base frame in the rig's; None: open.

        Raises:
            ConfigError: The frames are turned by no multiple of a quarter, so that the sides of
                the box are not along the rig's axes.
        """
        if low_m == high_m == (None, None, None):
            return low_m, high_m
        turn = np.round(self._turn)
        if not np.allclose(self._turn, turn, atol=1e-9):
            raise ConfigError(
                'bridge.base_yaw_rad',
                self._yaw_rad,
                'must be a multiple of a quarter turn, because the task brings a box of its own',
            )
        low = [-math.inf if side is None else side for side in low_m]
        high = [math.inf if side is None else side for side in high_m]
        lows: list[float | None] = []
        highs: list[float | None] = []
        for row, offset in zip(turn, self._offset, strict=True):
            axis = int(np.flatnonzero(row)[0])
            ends = sorted((row[axis] * low[axis] + offset, row[axis] * high[axis] + offset))
            lows.append(float(ends[0]) if math.isfinite(ends[0]) else None)
            highs.append(float(ends[1]) if math.isfinite(ends[1]) else None)
        return (lows[0], lows[1], lows[2]), (highs[0], highs[1], highs[2])


def _turn_about_z(sine: float, cosine: float, quat_xyzw: FloatArray) -> FloatArray:
    """Return the product of a turn about z (half-angle sine and cosine) and a rotation."""
    x, y, z, w = quat_xyzw
    return np.array(
        [
            cosine * x - sine * y,
            cosine * y + sine * x,
            cosine * z + sine * w,
            cosine * w - sine * z,
        ]
    )
