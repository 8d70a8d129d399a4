"""What manufacturers publish for the arms, and where their hands are: a second time, on purpose.

Each number is from its source, and the hand is found by plain matrices, so that a judge who
reads these repeats no error of `control`. This module imports numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpeedLaw:
    """A limit of speed that falls towards the ends of a joint: -offset + sqrt(slope * room)."""

    offset: FloatArray
    slope: FloatArray
    """(7,) twice the deceleration [rad/s^2]."""
    low: FloatArray
    high: FloatArray

    def towards_high(self, q: FloatArray) -> FloatArray:
        """Return the largest speed towards the upper end at q (n, 7) [rad/s]."""
        room = np.maximum(self.high - q, 0.0)
        return np.maximum(np.sqrt(self.slope * room) - self.offset, 0.0)

    def towards_low(self, q: FloatArray) -> FloatArray:
        """Return the largest speed towards the lower end at q (n, 7) [rad/s]."""
        room = np.maximum(q - self.low, 0.0)
        return np.maximum(np.sqrt(self.slope * room) - self.offset, 0.0)


@dataclass(frozen=True)
class Table:
    """What a manufacturer publishes for an arm."""

    low: FloatArray
    high: FloatArray
    speed: FloatArray
    acceleration: FloatArray
    jerk: FloatArray
    hand_speed_m_s: float
    hand_turn_rad_s: float
    laws: tuple[SpeedLaw, ...] = ()


def _row(*values: float) -> FloatArray:
    return np.array(values)


# frankarobotics/docs, control_parameters (Panda/FER); libfranka 0.9.2 rate_limiting.h.
_PANDA = Table(
    low=_row(-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973),
    high=_row(2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973),
    speed=_row(2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61),
    acceleration=_row(15, 7.5, 10, 12.5, 15, 20, 20),
    jerk=_row(7500, 3750, 5000, 6250, 7500, 10000, 10000),
    hand_speed_m_s=1.7,
    hand_turn_rad_s=2.5,
)
# libfranka rate_limiting.h, computeUpper/LowerLimitsJointVelocity: system images before 5.9.0.
_FR3_FIRST_LAW = SpeedLaw(
    offset=_row(0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35),
    slope=_row(12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0),
    low=_row(-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196),
    high=_row(2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196),
)
# frankarobotics/docs 2026-05, control-parameters-joint-fr3.csv.
_FR3_SECOND_LAW = SpeedLaw(
    offset=_row(0.6599, 0.2517, 0.2000, 0.3533, 0.5757, 0.4878, 0.4628),
    slope=2.0 * _row(6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0),
    low=_row(-2.9007, -1.8361, -2.9007, -3.0770, -2.8763, 0.4398, -3.0508),
    high=_row(2.9007, 1.8361, 2.9007, -0.1169, 2.8763, 4.6216, 3.0508),
)
# Positions: docs 2025-08, inside those of 2026-05 but for joint 3, where they are equal.
_FR3 = Table(
    low=_row(-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159),
    high=_row(2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159),
    speed=_row(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    acceleration=np.full(7, 10.0),
    jerk=np.full(7, 5000.0),
    hand_speed_m_s=3.0,
    hand_turn_rad_s=2.5,
    laws=(_FR3_FIRST_LAW, _FR3_SECOND_LAW),
)
TABLES: Mapping[str, Table] = {'panda': _PANDA, 'fr3': _FR3}

# a [m], d [m], sine and cosine of alpha: modified Denavit-Hartenberg, docs control_parameters.
_LINKS = (
    (0.0, 0.333, 0, 1), (0.0, 0.0, -1, 0), (0.0, 0.316, 1, 0), (0.0825, 0.0, 1, 0),
    (-0.0825, 0.384, -1, 0), (0.0, 0.0, 1, 0), (0.088, 0.0, 1, 0),
)  # fmt: skip
_TCP_M = 0.107 + 0.1034
_FINGERTIP_M = 0.009


def hand_points(q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return TCP and fingertip (n, 3) [m], base frame, at joints (n, 7) [rad]."""
    pose = _flange(q)
    origin, tool = pose[:, :3, 3], pose[:, :3, 2]
    return origin + _TCP_M * tool, origin + (_TCP_M + _FINGERTIP_M) * tool


def hand_turns(q: FloatArray) -> FloatArray:
    """Return angles (n - 1,) [rad] by which the hand turns between successive joints (n, 7)."""
    rotation = _flange(q)[:, :3, :3]
    between = np.swapaxes(rotation[:-1], 1, 2) @ rotation[1:]
    skew = between - np.swapaxes(between, 1, 2)
    sine = np.linalg.norm([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=0) / 2.0
    cosine = (np.trace(between, axis1=1, axis2=2) - 1.0) / 2.0
    angle: FloatArray = np.arctan2(sine, cosine)
    return angle


def _flange(q: FloatArray) -> FloatArray:
    """Return poses (n, 4, 4) of the last joint's frame at joints (n, 7) [rad]."""
    pose = np.broadcast_to(np.eye(4), (len(q), 4, 4))
    for (a, d, sine, cosine), angle in zip(_LINKS, q.T, strict=True):
        link = np.zeros((len(q), 4, 4))
        c, s = np.cos(angle), np.sin(angle)
        link[:, 0, 0], link[:, 0, 1], link[:, 0, 3] = c, -s, a
        link[:, 1, 0], link[:, 1, 1] = s * cosine, c * cosine
        link[:, 1, 2], link[:, 1, 3] = -sine, -d * sine
        link[:, 2, 0], link[:, 2, 1] = s * sine, c * sine
        link[:, 2, 2], link[:, 2, 3] = cosine, d * cosine
        link[:, 3, 3] = 1.0
        pose = pose @ link
    return pose
