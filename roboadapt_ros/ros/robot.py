"""What a rig says about its arm and hand: joint states by name, and the gripper's width."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
import importlib

import numpy as np
import numpy.typing as npt
from roboadapt_ros.dataflow import RobotState
from roboadapt_ros.errors import ConfigError, RefusedError, SpecError
from roboadapt_ros.ros.convert import from_time
from sensor_msgs.msg import JointState

FloatArray = npt.NDArray[np.float64]
GRIPPER_MAX_DISTANCE_S = 0.5
"""Longest time between an exposure and the gripper's state [s]: a Franka hand says 15 a second."""
SPAN_S = 1.0
"""Time that is kept [s]: a frame is answered up to half a second after its exposure."""
REORDERED_S = 0.1
"""A state older than the last by less than this is dropped [s]; by more, a clock was set back."""
COMMAND_TIMEOUT_S = 0.1
"""A command that is not followed by another for this long is no longer in force [s]."""


class JointReader:
    """Reads joints out of JointState messages by name, in the caller's order.

    The order in a message is not to be trusted: franka_ros2 has swapped joints in it
    (https://github.com/frankarobotics/franka_ros2/issues/156).
    """

    def __init__(self, names: tuple[str, ...]):
        """Remember which joints to read."""
        self.names = names
        self._seen: list[str] | None = None
        self._index = np.zeros(len(names), dtype=np.intp)

    def read(self, message: JointState) -> tuple[FloatArray, FloatArray]:
        """Return positions and velocities, (n,) each; missing velocities read as zero.

        Raises:
            SpecError: A joint is missing, or fewer positions than names.
        """
        if message.name != self._seen:
            missing = [name for name in self.names if name not in message.name]
            if missing:
                raise SpecError(
                    'joint_states', f'joints {", ".join(message.name)}', ', '.join(self.names)
                )
            self._index = np.array([message.name.index(name) for name in self.names])
            self._seen = list(message.name)
        if len(message.position) != len(message.name):
            raise SpecError(
                'joint_states.position', f'{len(message.position)} values', f'{len(message.name)}'
            )
        positions = np.array(message.position, dtype=np.float64)[self._index]
        if len(message.velocity) != len(message.name):
            return positions, np.zeros(len(self.names))
        return positions, np.array(message.velocity, dtype=np.float64)[self._index]

    def read_target(self, message: JointState) -> FloatArray:
        """Return positions (n,) that may be moved to; raises as `read`, and for a NaN."""
        positions, _ = self.read(message)
        if not np.isfinite(positions).all():
            raise SpecError('joint target', str(positions.tolist()), 'finite positions [rad]')
        return positions


@dataclass(frozen=True)
class ArmSample:
    """One joint state [rad], [rad/s]."""

    stamp_ns: int
    q: FloatArray
    dq: FloatArray


class StateBuffer:
    """The last second of measured states, found by time.

    Example: with states every 10 ms, `nearest(t)` returns one at most 5 ms from t, its pose by
    forward kinematics and the newest gripper width.
    """

    def __init__(
        self,
        joint_names: tuple[str, ...],
        gripper_joint_names: tuple[str, ...],
        forward: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    ):
        """Prepare.

        Args:
            joint_names: Arm joints in order.
            gripper_joint_names: Finger joints; their positions add up to the width [m].
            forward: Joints (7,) [rad] to TCP position [m] and quaternion xyzw, base frame.
        """
        self._arm, self._fingers = JointReader(joint_names), JointReader(gripper_joint_names)
        self._forward = forward
        self._samples: deque[ArmSample] = deque()
        self._widths: deque[tuple[int, float]] = deque()
        self._commands: deque[ArmSample] = deque()

    def arm(self, message: JointState) -> ArmSample | None:
        """Take a joint state; None (and forgotten) when it is not newer than the last.

        Raises:
            SpecError: As `JointReader.read`.
        """
        q, dq = self._arm.read(message)
        sample = ArmSample(from_time(message.header.stamp), q, dq)
        if self._samples:
            behind_ns = self._samples[-1].stamp_ns - sample.stamp_ns
            if behind_ns > REORDERED_S * 1e9:
                self._samples.clear()
            elif behind_ns >= 0:
                return None
        self._samples.append(sample)
        while _is_past(self._samples[0].stamp_ns, sample.stamp_ns):
            self._samples.popleft()
        return sample

    def gripper(self, message: JointState) -> None:
        """Take the finger joints; raises as `arm`."""
        fingers, _ = self._fingers.read(message)
        stamp_ns = from_time(message.header.stamp)
        self._widths.append((stamp_ns, float(fingers.sum())))
        while _is_past(self._widths[0][0], stamp_ns):
            self._widths.popleft()

    def command(self, stamp_ns: int, names: Sequence[str], values: Sequence[float]) -> None:
        """Take a point that was sent to the arm.

        Args:
            stamp_ns: When it was sent [ns].
            names: The arm's joints in order, then whatever else.
            values: Positions [rad] of those names, and the rest.

        Raises:
            SpecError: Other joints, or not as many values as names.
        """
        count = len(self._arm.names)
        if tuple(names[:count]) != self._arm.names or len(values) != len(names):
            raise SpecError(
                'command',
                f'{len(values)} values of {", ".join(names)}',
                ', '.join(self._arm.names),
            )
        q = np.array(values[:count], dtype=np.float64)
        self._commands.append(ArmSample(stamp_ns, q, np.zeros(count)))
        while _is_past(self._commands[0].stamp_ns, stamp_ns):
            self._commands.popleft()

    @property
    def latest(self) -> ArmSample | None:
        """The newest joint state."""
        return self._samples[-1] if self._samples else None

    @property
    def width_m(self) -> float | None:
        """The newest gripper width [m]."""
        return self._widths[-1][1] if self._widths else None

    def nearest(self, time_ns: int, *, max_distance_s: float) -> RobotState:
        """Return the state measured nearest to a time.

        Raises:
            RefusedError: 'state_missing' when nothing was measured near it, 'gripper_stale' when
                the gripper was not.
        """
        if not self._samples or not self._widths:
            missing = 'gripper' if self._samples else 'arm'
            raise RefusedError('state_missing', f'no joint state of the {missing} was received')
        samples = list(self._samples)
        sample = samples[_nearest([s.stamp_ns for s in samples], time_ns)]
        distance_s = abs(sample.stamp_ns - time_ns) / 1e9
        if distance_s > max_distance_s:
            raise RefusedError(
                'state_missing',
                f'nearest joint state is {distance_s:.3f} s from the exposure, '
                f'at most {max_distance_s:g} s',
            )
        widths = list(self._widths)
        width_ns, width_m = widths[_nearest([stamp for stamp, _ in widths], time_ns)]
        distance_s = abs(width_ns - time_ns) / 1e9
        if distance_s > GRIPPER_MAX_DISTANCE_S:
            raise RefusedError(
                'gripper_stale',
                f'nearest joint state of the gripper is {distance_s:.3f} s from the exposure, '
                f'at most {GRIPPER_MAX_DISTANCE_S:g} s',
            )
        position, quat_xyzw = self._forward(sample.q)
        return RobotState(
            stamp_ns=sample.stamp_ns,
            q=sample.q,
            dq=sample.dq,
            ee_position=position,
            ee_quat_xyzw=quat_xyzw,
            ee_commanded=self._commanded(time_ns, position),
            gripper_width_m=width_m,
        )

    def _commanded(self, time_ns: int, otherwise: FloatArray) -> FloatArray:
        """Return the hand position of the command in force at a time, if there was one."""
        for sample in reversed(self._commands):
            if sample.stamp_ns <= time_ns:
                is_in_force = time_ns - sample.stamp_ns <= COMMAND_TIMEOUT_S * 1e9
                return self._forward(sample.q)[0] if is_in_force else otherwise
        return otherwise


def _is_past(stamp_ns: int, newest_ns: int) -> bool:
    """Return whether what was stamped then is to be forgotten; so is what a clock had ahead."""
    return abs(newest_ns - stamp_ns) > SPAN_S * 1e9


def _nearest(stamps: list[int], time_ns: int) -> int:
    """Return the index of the stamp (ascending) nearest to a time."""
    right = bisect_left(stamps, time_ns)
    if right == 0:
        return 0
    if right == len(stamps):
        return right - 1
    return right if stamps[right] - time_ns < time_ns - stamps[right - 1] else right - 1


def message_class(type_name: str) -> type:
    """Return the class of 'package/Message'.

    Raises:
        ConfigError: The package is not installed here, or has no such message.
    """
    package, _, name = type_name.partition('/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            'message type', type_name, f'must be installed here ({error}); source its workspace'
        ) from error
