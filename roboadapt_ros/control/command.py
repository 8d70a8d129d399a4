"""What the governor says at each tick. This module imports numpy and `dataflow` only."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.dataflow import ActionChunk

FloatArray = npt.NDArray[np.float64]


class GovernorState(enum.Enum):
    """What the governor is doing."""

    IDLE = 'idle'
    """Publishes nothing; the arm's controller holds."""
    TRACKING = 'tracking'
    """Follows the newest chunk."""
    HOLD = 'hold'
    """Stopped, or stopping, and keeping the position; the next good chunk resumes."""
    RAMP_DOWN = 'ramp_down'
    """Easing the command to the measured position; IDLE follows."""
    FAULT = 'fault'
    """Stopped, then silent until `reset`."""


class GovernorCommand(NamedTuple):
    """One point for the arm."""

    q: FloatArray | None
    """(7,) joint positions [rad], rig order; None: publish nothing."""
    dq: FloatArray | None
    """(7,) joint velocities [rad/s]."""
    gripper_width_m: float | None
    """Distance between the fingers [m]."""
    state: GovernorState
    reason: str
    """Why it is in this state, for a person."""
    chunk: ActionChunk | None
    """The chunk followed, or last followed."""
