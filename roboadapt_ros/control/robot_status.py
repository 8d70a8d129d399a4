"""What a robot says of itself, and whether the arm may move by it. No ROS, no clock.

Modes and error names are those of franka_msgs/FrankaRobotState and franka_msgs/Errors:
https://github.com/frankarobotics/franka_ros2/tree/humble/franka_msgs/msg.
"""

from __future__ import annotations

from dataclasses import dataclass
import enum

from roboadapt_ros.errors import ConfigError, RefusedError

RECOVER_HINT = "look at the arm, then 'roboadapt recover'"
RESET_HINT = "'roboadapt arm' goes on"


class RobotMode(enum.Enum):
    """Modes by their number in franka_msgs/FrankaRobotState."""

    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    AUTOMATIC_ERROR_RECOVERY = 6


_MOVABLE = (RobotMode.IDLE, RobotMode.MOVE)
_FAULTS = (RobotMode.REFLEX, RobotMode.USER_STOPPED, RobotMode.AUTOMATIC_ERROR_RECOVERY)


@dataclass(frozen=True, kw_only=True)
class RobotStatus:
    """One report of a robot; None where its message does not say."""

    mode: RobotMode | None = None
    errors: tuple[str, ...] = ()
    """Current errors, by the field names of franka_msgs/Errors."""
    last_errors: tuple[str, ...] = ()
    """Errors that ended the last motion; they stay when the robot has cleared them."""
    time_s: float | None = None
    """The robot's own clock [s]."""
    trouble: str = ''
    """Why it can't move, for a person, where the robot reports no error by name."""
    success_rate: float | None = None
    """Part of the last 100 control commands that reached the robot in time, 0..1."""
    force_n: float | None = None
    """External force at the hand, magnitude [N]."""
    torque_nm: float | None = None
    """External torque at the hand, magnitude [Nm]."""

    @property
    def problem(self) -> str | None:
        """Why it can't move, None while it can."""
        named = ', '.join(self.errors) or self.trouble
        if named:
            return named
        if self.mode is None or self.mode in _MOVABLE:
            return None
        return f'robot mode {self.mode.value} ({self.mode.name.lower()})'

    @property
    def is_fault(self) -> bool:
        """Whether it takes a recovery; a robot guided by hand can't move and is not at fault."""
        return bool(self.errors or self.trouble) or self.mode in _FAULTS

    @property
    def is_user_stopped(self) -> bool:
        """Whether the user stop is pressed; errors may well be empty then."""
        return self.mode is RobotMode.USER_STOPPED

    def values(self) -> dict[str, object]:
        """Return what is known, for diagnostics."""
        known: dict[str, object] = {
            'robot_mode': None if self.mode is None else self.mode.name.lower(),
            'robot_errors': ' '.join(self.errors) or self.trouble or 'none',
            'control_command_success_rate': self.success_rate,
            'external_force_n': self.force_n,
            'external_torque_nm': self.torque_nm,
        }
        return {
            key: round(value, 3) if isinstance(value, float) else value
            for key, value in known.items()
            if value is not None
        }


@dataclass(frozen=True, kw_only=True)
class RobotWatchConfig:
    """From when on a report is a warning, or ends the motion."""

    success_rate_min: float = 0.95
    """Part of commands in time below which a moving robot is a warning, 0..1."""
    force_max_n: float | None = None
    """External force at which the arm is stopped [N]; None: the robot's own thresholds only."""
    torque_max_nm: float | None = None
    """External torque at which the arm is stopped [Nm]; None as above."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 <= self.success_rate_min <= 1.0:
            raise ConfigError('success_rate_min', self.success_rate_min, 'must be 0..1')
        for name in ('force_max_n', 'torque_max_nm'):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise ConfigError(name, value, 'must be positive, or left out')


class Release(enum.Enum):
    """What ends a stop."""

    RESET = 'reset'
    """An explicit reset, which arming sends along."""
    RECOVERY = 'recovery'
    """A recovery that a person has confirmed."""


class RobotWatch:
    """Remembers why the arm must not move until a person has ended it.

    A fault of the robot stays one after its error has gone: franka_hardware recovers the robot by
    itself when a controller is started, so that somebody's controller switch clears a reflex
    nobody has looked at. Not thread-safe.

    Example: a report of 'joint_reflex', then one without errors: `blocked` still says so, `reset`
    is refused, and `recovered` (called at the end of a confirmed recovery) lifts it.
    """

    def __init__(self, config: RobotWatchConfig | None = None):
        """Start with nothing seen and nothing stopped."""
        self._config = config or RobotWatchConfig()
        self.status: RobotStatus | None = None
        """The last report."""
        self.release: Release | None = None
        """What ends the present stop; None while there is none."""
        self._reason = ''

    @property
    def blocked(self) -> str | None:
        """Why the arm must not move and what ends that; None: it may."""
        problem = None if self.status is None else self.status.problem
        if self.release is None:
            return None if problem is None else f'robot: {problem}'
        if self.release is Release.RESET:
            return f'{self._reason}; {RESET_HINT}'
        if problem is None and self._reason.startswith('robot: '):
            return (
                f'{self._reason}; it has gone without a confirmed recovery (starting a controller '
                f'clears errors unasked): {RECOVER_HINT}'
            )
        return f'{self._reason}; {RECOVER_HINT}'

    @property
    def warning(self) -> str | None:
        """What a person should know though the arm may move."""
        status, least = self.status, self._config.success_rate_min
        if status is None or status.mode is not RobotMode.MOVE or status.success_rate is None:
            return None
        if status.success_rate >= least:
            return None
        return (
            f'only {status.success_rate:.2f} of the control commands reach the robot in time '
            f'(warned below {least:g}): real-time kernel, network, load?'
        )

    def observe(self, status: RobotStatus, *, is_moving: bool, was_lost: bool = False) -> None:
        """Take a report.

        Args:
            status: The report.
            is_moving: Whether the arm is being moved; what merely prevents motion (guiding by
                hand) is then a stop that takes a reset, else it only lasts as long as it is there.
            was_lost: Whether it is the first after a loss (`RobotPulse.loss`). An error that is
                the same as the last one can't be told from it then, and so counts as new.
        """
        known = None if self.status is None else () if was_lost else self.status.last_errors
        self.status = status
        problem = status.problem
        if problem is not None and (status.is_fault or is_moving):
            self.stop(f'robot: {problem}', Release.RECOVERY if status.is_fault else Release.RESET)
        if known is not None and status.last_errors not in ((), known):
            # It came and went between two reports, or while there was none.
            self.stop(f'robot: {", ".join(status.last_errors)}', Release.RECOVERY)
        pressed = self._pressed()
        if pressed is not None:
            self.stop(pressed, Release.RESET)

    def stop(self, reason: str, release: Release) -> None:
        """Stop; a stop that takes more to end replaces one that takes less."""
        if self.release is None or (self.release is Release.RESET and release is Release.RECOVERY):
            self.release, self._reason = release, reason

    def reset(self) -> None:
        """End a stop that takes no recovery.

        Raises:
            RefusedError: 'recovery' when it takes one, 'robot' while the cause is still there.
        """
        if self.release is Release.RECOVERY:
            raise RefusedError('recovery', f'not reset: {self.blocked}')
        cause = self._pressed() or (None if self.status is None else self.status.problem)
        if cause is not None:
            raise RefusedError('robot', f'not reset: {cause}')
        self.release = None

    def recovered(self) -> None:
        """Lift every stop, at the end of a recovery that a person has confirmed."""
        self.release = None

    def inherit(self, other: RobotWatch) -> None:
        """Take over the stop of a watch that this one replaces."""
        self.release, self._reason = other.release, other._reason

    def _pressed(self) -> str | None:
        """Return that something presses on the hand too hard."""
        status, config = self.status, self._config
        if status is None:
            return None
        for value, most, what, unit in (
            (status.force_n, config.force_max_n, 'force', 'N'),
            (status.torque_nm, config.torque_max_nm, 'torque', 'Nm'),
        ):
            if value is not None and most is not None and value > most:
                return f'external {what} {value:.1f} {unit}, at most {most:g} {unit}'
        return None
