"""moveit_servo: speeds and poses become joint targets, one a period.

Modelled after moveit_servo of Jazzy and later with its AccelerationLimitedPlugin, on Humble too:
the joints are those of the pseudo-inverse at the last target, slowed for the joints' speed limits
and near singularities, halted before the end of a joint; speeds change by no more than the arm's
accelerations, also when a command has become too old. It begins where the arm is held. Servo
begins where it is measured, which sends an arm that lags or sags back by that within one period.
https://moveit.picknik.ai/main/doc/examples/realtime_servo/realtime_servo_tutorial.html
Left out: collisions, and the 0.1 s by which it sends points ahead (`max_expected_latency`).
This module imports numpy and parts of the control only.
"""

from __future__ import annotations

from dataclasses import dataclass
import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import JOINTS, RobotLimits
from roboadapt_ros.control.speed_motion import toward, within
from roboadapt_ros.errors import SpecError

FloatArray = npt.NDArray[np.float64]
_STOPPED_RAD_S = 1e-4
"""Speed of every joint below which it has halted [rad/s]: servo's STOPPED_VELOCITY_EPS."""


class CommandType(enum.IntEnum):
    """What a command is; numbers of moveit_msgs/srv/ServoCommandType."""

    JOINT_JOG = 0
    TWIST = 1
    POSE = 2


class ServoStatus(enum.Enum):
    """How servo does."""

    INVALID = 'a command that it can not follow'
    NO_WARNING = 'no warning'
    NEARS_SINGULARITY = 'slows down near a singularity'
    AT_SINGULARITY = 'has halted at a singularity'
    LEAVES_SINGULARITY = 'slows down while it leaves a singularity'
    JOINT_BOUND = 'has halted at the end of a joint'


class ServoCommand(NamedTuple):
    """A command, in the axes of the planning frame."""

    kind: CommandType
    values: FloatArray
    """Speeds of the joints (7,) [rad/s]; of the hand (6,) [m/s], [rad/s]; its pose (7,): position
    [m] and quaternion xyzw. Speeds are parts of the scales where servo is `unitless`."""
    sent_s: float
    """Its stamp [s]."""


@dataclass(frozen=True, kw_only=True)
class ServoConfig:
    """Parameters of moveit_servo, with its own defaults."""

    period_s: float = 0.01
    """`publish_period` [s]."""
    timeout_s: float = 0.1
    """`incoming_command_timeout` [s]: age from which a command is a halt."""
    is_unitless: bool = False
    """Whether `command_in_type` is unitless, else speed_units."""
    linear_m_s: float = 0.4
    """`scale.linear`: of unitless twists; the largest speed of others and of poses [m/s]."""
    rotational_rad_s: float = 0.8
    """`scale.rotational`, the same [rad/s]."""
    joint_rad_s: float = 0.5
    """`scale.joint`: of unitless joint speeds [rad/s]."""
    margin_rad: float = 0.1
    """`joint_limit_margins`: distance from a joint's end at which it halts [rad]."""
    slow_condition: float = 17.0
    """`lower_singularity_threshold`: condition of the Jacobian from which it is slower."""
    halt_condition: float = 30.0
    """`hard_stop_singularity_threshold`: and at which it halts."""
    leaving_factor: float = 2.0
    """`leaving_singularity_threshold_multiplier`: raising it is faster on the way out."""
    singularity_step: float = 0.01
    """`singularity_step_scale`: how far ahead it looks for a worse condition."""


class SimulatedServo:
    """Follows the newest command.

    Example: ``take(ServoCommand(CommandType.JOINT_JOG, dq, now_s))`` fifty times a second and
    `step` a hundred times: targets that move with `dq`. 0.1 s after the last command they slow
    down, and then `step` gives None.
    """

    def __init__(self, config: ServoConfig, limits: RobotLimits, kinematics: PandaKinematics):
        """Wait for commands of any kind.

        Args:
            config: Its parameters.
            limits: Of the arm.
            kinematics: From joints to the hand.
        """
        self._config, self._limits, self._kinematics = config, limits, kinematics
        self.kind: CommandType | None = None
        """The kind it takes; None: any."""
        self.status = ServoStatus.NO_WARNING
        self.rest()

    def rest(self) -> None:
        """Forget command and motion."""
        self._command: ServoCommand | None = None
        self._q: FloatArray | None = None
        self._dq = np.zeros(JOINTS)

    def take(self, command: ServoCommand) -> None:
        """Follow a command.

        Raises:
            SpecError: Another kind than is taken, or a number that is not finite.
        """
        self.status = ServoStatus.INVALID
        if self.kind is not None and command.kind is not self.kind:
            raise SpecError(
                'servo command',
                command.kind.name,
                f'{self.kind.name}, which is what it was switched to',
            )
        if not np.isfinite(command.values).all():
            raise SpecError(
                f'{command.kind.name} command', str(command.values.tolist()), 'finite numbers'
            )
        self.status = ServoStatus.NO_WARNING
        self._command = command

    def halt(self) -> None:
        """Come to rest, as after the last command has become too old."""
        self._command = None

    def step(self, now_s: float, held: FloatArray) -> FloatArray | None:
        """Let a period pass; return the joint target (7,) [rad], None where none is sent.

        Args:
            now_s: Time now, on the clock of the commands' stamps [s].
            held: Where the arm is held (7,) [rad].
        """
        config, command = self._config, self._command
        if command is not None and now_s - command.sent_s >= config.timeout_s:
            command = self._command = None
        if command is None and (np.abs(self._dq) < _STOPPED_RAD_S).all():
            self.rest()
            return None
        q = held if self._q is None else self._q
        wanted = np.zeros(JOINTS) if command is None else self._speeds(command, q)
        self._dq = toward(self._dq, wanted, self._limits.ddq_max, config.period_s)
        self._q = q + self._dq * config.period_s
        return self._q

    def _speeds(self, command: ServoCommand, q: FloatArray) -> FloatArray:
        """Return the joints' speeds (7,) [rad/s] that a command asks for, as far as is allowed."""
        config, limits = self._config, self._limits
        self.status = ServoStatus.NO_WARNING
        if command.kind is CommandType.JOINT_JOG:
            dq = command.values * (config.joint_rad_s if config.is_unitless else 1.0)
        else:
            is_twist = command.kind is CommandType.TWIST
            hand = self._twist(command.values) if is_twist else self._way(command.values, q)
            dq = self._joints(hand, q)
        dq = within(dq, limits.dq_max)
        ahead = q + dq * config.period_s
        low, high = limits.q_min + config.margin_rad, limits.q_max - config.margin_rad
        if (((dq < 0.0) & (ahead < low)) | ((dq > 0.0) & (ahead > high))).any():
            self.status = ServoStatus.JOINT_BOUND
            return np.zeros(JOINTS)
        return dq

    def _twist(self, values: FloatArray) -> FloatArray:
        """Return the hand's speeds (6,) [m/s], [rad/s] of a twist command."""
        config = self._config
        if config.is_unitless:
            return values * np.repeat((config.linear_m_s, config.rotational_rad_s), 3)
        return self._kept(values)

    def _kept(self, hand: FloatArray) -> FloatArray:
        """Return the hand's speeds (6,), each half no faster than its scale."""
        config = self._config
        linear = np.linalg.norm(hand[:3]) / config.linear_m_s
        rotational = np.linalg.norm(hand[3:]) / config.rotational_rad_s
        return hand / np.repeat((max(linear, 1.0), max(rotational, 1.0)), 3)

    def _way(self, pose: FloatArray, q: FloatArray) -> FloatArray:
        """Return the hand's speeds (6,) that reach a pose (7,) within a period, if they may."""
        way = self._kinematics.way_to(pose[:3], pose[3:], q)
        return self._kept(way / self._config.period_s)

    def _joints(self, hand: FloatArray, q: FloatArray) -> FloatArray:
        """Return the joints' speeds (7,) [rad/s] for the hand's (6,); slower at a singularity."""
        if not hand.any():
            return np.zeros(JOINTS)
        left, singular, right = np.linalg.svd(self._kinematics.jacobian(q), full_matrices=False)
        # The one the hand can move in least; its sign is by chance, so look where it gets worse.
        worst = left[:, -1]
        ahead = q + right.T @ ((left.T @ worst) / singular) * self._config.singularity_step
        condition = singular[0] / singular[-1]
        if self._condition(ahead) <= condition:
            worst = -worst
        share = self._share(condition, nears=bool(worst @ hand > 0.0))
        return share * (right.T @ ((left.T @ hand) / singular))

    def _condition(self, q: FloatArray) -> float:
        singular = np.linalg.svd(self._kinematics.jacobian(q), compute_uv=False)
        return float(singular[0] / singular[-1])

    def _share(self, condition: float, *, nears: bool) -> float:
        """Return the part of the speed that a condition of the Jacobian leaves."""
        config = self._config
        if condition >= config.halt_condition:
            self.status = ServoStatus.AT_SINGULARITY
            return 0.0
        if condition <= config.slow_condition:
            return 1.0
        kinds = (ServoStatus.LEAVES_SINGULARITY, ServoStatus.NEARS_SINGULARITY)
        self.status = kinds[nears]
        room = config.halt_condition - config.slow_condition
        room *= 1.0 if nears else config.leaving_factor
        return 1.0 - (condition - config.slow_condition) / room
