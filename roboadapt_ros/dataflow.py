"""What flows from a frame to a command, as plain values.

The core's counterparts of the ROS messages: each carries the stamps of its frames, the
task, the package digest and the switch generation, so that everything downstream chooses
by what the data says. Times are integer nanoseconds of one clock. Imports numpy,
`contract`, `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.errors import SpecError

EE_POSE_NAMES = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'gripper_width')
"""Columns of an absolute end-effector chunk: [m], unit quaternion, gripper width [m]."""
NO_ADAPTERS = 'none:'
"""Before the name of a task that is to be served: over the bare backbone, for evaluation."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a message was computed from."""

    task: str
    package_digest: str
    generation: int
    frame_stamps_ns: tuple[int, ...]
    """Exposure stamps, contract camera order [ns]."""


@dataclass(frozen=True, kw_only=True)
class LatencyLedger:
    """When an exposure passed each stage [ns]; 0 = not reached."""

    exposure: int = 0
    received: int = 0
    preprocessed: int = 0
    encoded: int = 0
    head: int = 0
    bridged: int = 0
    governed: int = 0
    published: int = 0

    def stamped(self, stage: str, time_ns: int) -> LatencyLedger:
        """Return a copy with one stage's time set."""
        return replace(self, **{stage: time_ns})

    def durations_ms(self) -> dict[str, float]:
        """Return the time each reached stage took since the reached one before it [ms]."""
        durations, previous = {}, self.exposure
        for field in fields(self)[1:]:
            time_ns = getattr(self, field.name)
            if time_ns:
                durations[field.name] = (time_ns - previous) / 1e6
                previous = time_ns
        return durations


LEDGER_STAGES = tuple(field.name for field in fields(LatencyLedger))
"""Stage names in order."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Pooled features of one synchronised set of frames."""

    stamp_ns: int
    """Oldest exposure used [ns]."""
    identity: Identity
    ledger: LatencyLedger
    values: npt.NDArray[np.float32]
    """(n_cameras * features_per_camera,)."""


@dataclass(frozen=True, kw_only=True)
class RobotState:
    """Measured state of arm and gripper at one time."""

    stamp_ns: int
    q: npt.NDArray[np.float64]
    """(7,) joint positions [rad], arm order."""
    dq: npt.NDArray[np.float64]
    """(7,) joint velocities [rad/s]."""
    ee_position: npt.NDArray[np.float64]
    """(3,) hand TCP in the base frame [m]."""
    ee_quat_xyzw: npt.NDArray[np.float64]
    """(4,) hand TCP rotation in the base frame."""
    ee_commanded: npt.NDArray[np.float64]
    """(3,) where the newest command wants the hand TCP [m], base frame: forward kinematics of
    the governor's last point (`governor/command`), or `ee_position` while there is none."""
    gripper_width_m: float


@dataclass(frozen=True, kw_only=True)
class ActionChunk:
    """A horizon of absolute targets with their due times."""

    stamp_ns: int
    """Oldest exposure the chunk answers to [ns]."""
    identity: Identity
    ledger: LatencyLedger
    space: ActionSpace
    """EE_POSE (columns EE_POSE_NAMES) or JOINT_POSITION (joint names, then gripper_width)."""
    names: tuple[str, ...]
    period_s: float
    start_ns: int
    """Row k is due at start + (k + 1) * period [ns]."""
    actions: npt.NDArray[np.float64]
    """(horizon, len(names))."""
    envelope: Envelope | None = None
    """Bounds of the task's own, base frame of the columns; None: it has none."""

    def __post_init__(self) -> None:
        """Check rows and columns agree with the names."""
        if self.actions.ndim != 2 or self.actions.shape[1] != len(self.names):
            raise SpecError(
                'actions', f'shape {self.actions.shape}', f'(horizon, {len(self.names)})'
            )

    def sample(self, time_ns: int) -> npt.NDArray[np.float64]:
        """Return the row due at a time, linear between rows, held outside them.

        Args:
            time_ns: Time on the chunk's clock [ns].

        Returns:
            (len(names),) targets. Quaternion columns are interpolated linearly and are
            normalised by the reader.
        """
        position = (time_ns - self.start_ns) / (self.period_s * 1e9) - 1.0
        last = len(self.actions) - 1
        low = int(min(max(position, 0.0), last))
        high = min(low + 1, last)
        fraction = min(max(position - low, 0.0), 1.0)
        return (1.0 - fraction) * self.actions[low] + fraction * self.actions[high]
