"""What each arm can do: joint limits by robot, each with its source.

Numbers are the manufacturer's, per joint in the arm's order; scaling them down for a task is
the governor's business. This module imports numpy and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError, UnknownNameError

FloatArray = npt.NDArray[np.float64]

JOINTS = 7
"""Joints of the arms this project knows."""
HAND_WIDTH_MAX_M = 0.08
"""Franka hand: each finger travels 0..0.04 m (franka_description hand joint limits)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotLimits:
    """Limits of one arm and its hand.

    Example: ``robot_limits('panda').scaled(velocity=0.5).with_margin(0.1)`` allows half the
    joint speed and keeps 0.1 rad from the ends; accelerations and jerks stay the table's.
    """

    robot: str
    """Name of the table: panda or fr3."""
    joint_names: tuple[str, ...]
    q_min: FloatArray
    """(7,) lower joint positions [rad]."""
    q_max: FloatArray
    """(7,) upper joint positions [rad]."""
    dq_max: FloatArray
    """(7,) largest joint speeds [rad/s]."""
    ddq_max: FloatArray
    """(7,) largest joint accelerations [rad/s^2]."""
    dddq_max: FloatArray
    """(7,) largest joint jerks [rad/s^3]."""
    ee_speed_max: float
    """Largest translational speed of the hand [m/s]."""
    ee_turn_max: float
    """Largest rotational speed of the hand [rad/s]."""
    gripper_width_max_m: float = HAND_WIDTH_MAX_M
    """Distance between the fingers when open [m]."""
    velocity_offset: FloatArray | None = None
    """(7,) offset of the position-dependent speed limit [rad/s]; None where there is none."""
    deceleration: FloatArray | None = None
    """(7,) deceleration of the position-dependent speed limit [rad/s^2]."""

    def __post_init__(self) -> None:
        """Freeze the arrays and check shapes, finiteness and order."""
        for name in ('q_min', 'q_max', 'dq_max', 'ddq_max', 'dddq_max'):
            object.__setattr__(self, name, _frozen(f'limits.{name}', getattr(self, name)))
        for name in ('velocity_offset', 'deceleration'):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _frozen(f'limits.{name}', getattr(self, name)))
        if (self.velocity_offset is None) != (self.deceleration is None):
            raise ConfigError(
                'limits.deceleration', self.deceleration, 'goes together with velocity_offset'
            )
        if len(self.joint_names) != JOINTS:
            raise ConfigError('limits.joint_names', self.joint_names, f'must be {JOINTS} names')
        if not (self.q_min < self.q_max).all():
            raise ConfigError('limits.q_min', self.q_min.tolist(), 'must lie below q_max')
        for name in ('dq_max', 'ddq_max', 'dddq_max'):
            if not (getattr(self, name) > 0).all():
                raise ConfigError(
                    f'limits.{name}', getattr(self, name).tolist(), 'must be positive'
                )
        for name in ('ee_speed_max', 'ee_turn_max', 'gripper_width_max_m'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'limits.{name}', getattr(self, name), 'must be positive')

    def scaled(
        self, *, velocity: float = 1.0, acceleration: float = 1.0, jerk: float = 1.0
    ) -> RobotLimits:
        """Return limits that are a part of these.

        Args:
            velocity: Part of the joint speed kept, in (0, 1]. The hand's speed limit stays.
            acceleration: Part of the joint acceleration kept, in (0, 1].
            jerk: Part of the joint jerk kept, in (0, 1].

        Raises:
            ConfigError: A factor that is not in (0, 1].
        """
        for name, factor in (
            ('velocity', velocity),
            ('acceleration', acceleration),
            ('jerk', jerk),
        ):
            if not 0.0 < factor <= 1.0:
                raise ConfigError(f'{name} scale', factor, 'must be in (0, 1]')
        return replace(
            self,
            dq_max=velocity * self.dq_max,
            ddq_max=acceleration * self.ddq_max,
            dddq_max=jerk * self.dddq_max,
        )

    def with_margin(self, margin_rad: float) -> RobotLimits:
        """Return limits whose positions are narrower by a margin at both ends [rad].

        Raises:
            ConfigError: A negative margin, or one that leaves a joint no room.
        """
        if not margin_rad >= 0.0:
            raise ConfigError('position margin', margin_rad, 'must be zero or more')
        return replace(self, q_min=self.q_min + margin_rad, q_max=self.q_max - margin_rad)

    def within(self, *, q_min: FloatArray, q_max: FloatArray, dq_max: FloatArray) -> RobotLimits:
        """Return the narrower of these limits and others, joint by joint.

        Args:
            q_min: (7,) [rad]; infinite: no other bound.
            q_max: (7,) [rad].
            dq_max: (7,) [rad/s].

        Raises:
            ConfigError: They leave a joint no room, no speed, or are not numbers.
        """
        return replace(
            self,
            q_min=np.maximum(self.q_min, q_min),
            q_max=np.minimum(self.q_max, q_max),
            dq_max=np.minimum(self.dq_max, dq_max),
        )

    def velocity_bounds(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest joint velocities allowed at `q`.

        Where the arm's limit depends on the position (FR3), it is
        ``min(dq_max, max(0, -offset + sqrt(2 * deceleration * (q_max - q))))`` towards the
        upper end, and likewise towards the lower one.

        Args:
            q: Joint positions (7,) [rad].

        Returns:
            Two arrays (7,) [rad/s], the first zero or negative.
        """
        return self.lowest_velocity(q), self.highest_velocity(q)

    def lowest_velocity(self, q: FloatArray) -> FloatArray:
        """Return the first of `velocity_bounds`."""
        return -self._fastest_with(q - self.q_min)

    def highest_velocity(self, q: FloatArray) -> FloatArray:
        """Return the second of `velocity_bounds`."""
        return self._fastest_with(self.q_max - q)

    def _fastest_with(self, room: FloatArray) -> FloatArray:
        """Return the speed from which the arm's firmware can still brake within `room` [rad]."""
        if self.velocity_offset is None or self.deceleration is None:
            return self.dq_max
        speed = np.sqrt(2.0 * self.deceleration * np.maximum(room, 0.0)) - self.velocity_offset
        return np.minimum(np.maximum(speed, 0.0), self.dq_max)


def robot_limits(robot: str) -> RobotLimits:
    """Return the table of an arm.

    Args:
        robot: panda (also called FER) or fr3.

    Raises:
        UnknownNameError: Another name.
    """
    tables = {limits.robot: limits for limits in (PANDA, FR3)}
    if robot not in tables:
        raise UnknownNameError('robot', robot, tables)
    return tables[robot]


def _frozen(name: str, values: npt.ArrayLike) -> FloatArray:
    """Return a read-only float64 copy (7,), or say what is wrong with it."""
    array = np.array(values, dtype=np.float64)
    if array.shape != (JOINTS,) or not np.isfinite(array).all():
        raise ConfigError(name, array.tolist(), f'must be {JOINTS} finite numbers')
    array.setflags(write=False)
    return array


def _most_cautious(robot: str, one: RobotLimits, other: RobotLimits) -> RobotLimits:
    """Return limits that lie within those of two tables with position-dependent speeds."""
    offsets = [
        table.velocity_offset for table in (one, other) if table.velocity_offset is not None
    ]
    brakes = [table.deceleration for table in (one, other) if table.deceleration is not None]
    return replace(
        one,
        robot=robot,
        q_min=np.maximum(one.q_min, other.q_min),
        q_max=np.minimum(one.q_max, other.q_max),
        dq_max=np.minimum(one.dq_max, other.dq_max),
        ddq_max=np.minimum(one.ddq_max, other.ddq_max),
        dddq_max=np.minimum(one.dddq_max, other.dddq_max),
        ee_speed_max=min(one.ee_speed_max, other.ee_speed_max),
        ee_turn_max=min(one.ee_turn_max, other.ee_turn_max),
        velocity_offset=np.max(offsets, axis=0),
        deceleration=np.min(brakes, axis=0),
    )


# libfranka 0.9.2 rate_limiting.h and frankaemika/docs control_parameters (Panda, also called
# FER); hand speed: the docs' 1.7 m/s, which is below the header's 2.0.
PANDA = RobotLimits(
    robot='panda',
    joint_names=tuple(f'panda_joint{i}' for i in range(1, JOINTS + 1)),
    q_min=np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
    q_max=np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
    dq_max=np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61]),
    ddq_max=np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0]),
    dddq_max=np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0]),
    ee_speed_max=1.7,
    ee_turn_max=2.5,
)

_FR3_JOINTS = tuple(f'fr3_joint{i}' for i in range(1, JOINTS + 1))

# frankarobotics/docs 2025-08 control-parameters-joint-fr3.csv; franka_description 1.0.1
# robots/fr3/joint_limits.yaml. Offset and deceleration of the position-dependent speed limit:
# libfranka rate_limiting.h (system images before 5.9.0), whose ends lie 0.003..0.01 rad further
# out than these.
FR3_2025_08 = RobotLimits(
    robot='fr3_2025_08',
    joint_names=_FR3_JOINTS,
    q_min=np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]),
    q_max=np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]),
    dq_max=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    ddq_max=np.full(JOINTS, 10.0),
    dddq_max=np.full(JOINTS, 5000.0),
    ee_speed_max=3.0,
    ee_turn_max=2.5,
    velocity_offset=np.array([0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35]),
    deceleration=np.array([6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0]),
)

# frankarobotics/docs 2026-05 control-parameters-joint-fr3.csv.
FR3_2026_05 = RobotLimits(
    robot='fr3_2026_05',
    joint_names=_FR3_JOINTS,
    q_min=np.array([-2.9007, -1.8361, -2.9007, -3.0770, -2.8763, 0.4398, -3.0508]),
    q_max=np.array([2.9007, 1.8361, 2.9007, -0.1169, 2.8763, 4.6216, 3.0508]),
    dq_max=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    ddq_max=np.full(JOINTS, 10.0),
    dddq_max=np.full(JOINTS, 5000.0),
    ee_speed_max=3.0,
    ee_turn_max=2.5,
    velocity_offset=np.array([0.6599, 0.2517, 0.2000, 0.3533, 0.5757, 0.4878, 0.4628]),
    deceleration=np.array([6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0]),
)

# Which of the two an arm obeys depends on its system image: this one keeps both.
FR3 = _most_cautious('fr3', FR3_2025_08, FR3_2026_05)
