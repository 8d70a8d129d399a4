"""Whether the arm is where its kinematics say: held once, before anything moves.

An end effector set otherwise in Desk, a pose in another frame, joints in another order or
another arm's model all show here. This module imports numpy and `errors` only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import RefusedError

FloatArray = npt.NDArray[np.float64]
Forward = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
REST_RAD_S = 0.05
"""Joint speed up to which pose and joints may be of slightly different times [rad/s]."""
PAIR_S = 0.05
"""Largest distance in time of a pose and the joints it is held against [s]."""


class PoseDistance(NamedTuple):
    """How far apart two poses are."""

    position_m: float
    rotation_rad: float


def pose_distance(
    one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]
) -> PoseDistance:
    """Return the distance and the angle between two poses, NaN where one is no pose.

    Args:
        one: Position (3,) [m] and quaternion xyzw (4,).
        other: The other pose, in the same frame.
    """
    position_m = float(np.linalg.norm(one[0] - other[0]))
    length = float(np.linalg.norm(one[1]) * np.linalg.norm(other[1]))
    if not length > 1e-9:
        return PoseDistance(position_m, float('nan'))
    cosine = min(abs(float(one[1] @ other[1])) / length, 1.0)
    return PoseDistance(position_m, 2.0 * float(np.arccos(cosine)))


class PoseCheck:
    """Takes joint states and reported poses until a pair of one time was compared.

    Example: joints and pose of the same 20 ms, arm at rest, 1 mm apart: `require` passes from
    then on. 30 mm apart: every `require` raises with the distance, until `reset`.
    """

    def __init__(self, forward: Forward, tolerance_m: float, tolerance_rad: float, source: str):
        """Prepare.

        Args:
            forward: Joints (7,) [rad] to the hand's position [m] and quaternion xyzw.
            tolerance_m: Largest distance [m].
            tolerance_rad: Largest angle [rad].
            source: What reports the pose, for messages.
        """
        self._forward, self._source = forward, source
        self._tolerance = PoseDistance(tolerance_m, tolerance_rad)
        self.reset()

    def reset(self) -> None:
        """Ask anew."""
        self._joints: deque[tuple[int, FloatArray]] = deque(maxlen=200)
        self._is_moving = False
        self.is_decided, self.problem = False, f'{self._source} was not heard yet'

    def observe_joints(self, q: FloatArray, dq: FloatArray, stamp_ns: int) -> None:
        """Take measured joints (7,) [rad] and speeds [rad/s]."""
        if self.is_decided:
            return
        self._is_moving = not np.abs(dq).max() <= REST_RAD_S
        if self._is_moving:
            self._joints.clear()
        elif np.isfinite(q).all():
            self._joints.append((stamp_ns, q))

    def observe_pose(self, position: FloatArray, quat_xyzw: FloatArray, stamp_ns: int) -> None:
        """Take a reported pose: position (3,) [m] and quaternion (4,) in the base frame."""
        if self.is_decided:
            return
        if not self._joints:
            waits_for = 'the arm to be at rest' if self._is_moving else 'joint states'
            self.problem = f'{self._source} waits for {waits_for} to be compared with'
            return
        time_ns, q = min(self._joints, key=lambda pair: abs(pair[0] - stamp_ns))
        apart_s = abs(time_ns - stamp_ns) / 1e9
        if apart_s > PAIR_S:
            self.problem = (
                f'{self._source} is {apart_s:.3f} s apart from the nearest joint state, at most '
                f'{PAIR_S:g} s; check the clocks and stamps of both'
            )
            return
        self._decide(pose_distance(self._forward(q), (position, quat_xyzw)))

    def require(self) -> None:
        """Pass where the pose agreed.

        Raises:
            RefusedError: 'frame', while it is unknown and where it did not.
        """
        if self.problem:
            raise RefusedError('frame', self.problem)

    def _decide(self, found: PoseDistance) -> None:
        self.is_decided, self.problem = True, ''
        if not (
            found.position_m <= self._tolerance.position_m
            and found.rotation_rad <= self._tolerance.rotation_rad
        ):
            self.problem = (
                f'{self._source} is {1e3 * found.position_m:.1f} mm and {found.rotation_rad:.3f} '
                f'rad from the forward kinematics of the joints, at most '
                f'{1e3 * self._tolerance.position_m:g} mm and {self._tolerance.rotation_rad:g} '
                'rad; set the end effector to Franka Hand in Desk (or call '
                'service_server/set_tcp_frame), check robot, joint names and base_frame in the '
                'rig file, then deactivate and activate the governor'
            )
