"""The governor's settings, part by part.

Every node reads its parameters beside the governor's, so this module stays light: numpy and the
control parts that load no Pinocchio and no Ruckig.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.bounds import Bounds
from roboadapt_ros.control.contact import ContactConfig
from roboadapt_ros.control.gripper import GripperLimitConfig
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.control.watchdog import WatchdogConfig
from roboadapt_ros.control.workspace import Workspace, WorkspaceConfig
from roboadapt_ros.errors import ConfigError

_MARGIN_MIN_RAD = 1e-6
_HAND_SHARE = 0.95
"""Part of the arm's own hand speed used at most: the guard looks at it at the ticks and on the way
between two, and within a tick it can be a little faster."""
KEPT_RAD = 0.02
"""Distance of the arm from the position it is told to keep, beyond which it was moved by somebody
else and keeps where it is now [rad]; unless it is known that its controller holds it."""
MIN_DISTANCE_MAX_M = 0.03
"""Largest distance that may be asked for [m]: what stays further apart is not
measured (`self_collision.PAIRS`)."""


@dataclass(frozen=True, kw_only=True)
class FollowerConfig:
    """How fast and how smoothly the arm is moved."""

    velocity_scale: float = 0.8
    """Part of the arm's joint speed used, in (0, 1]."""
    acceleration_scale: float = 0.9
    """Part of the arm's joint acceleration used, in (0, 1]."""
    jerk_scale: float = 0.2
    """Part of the arm's joint jerk used, in (0, 1]; lower is smoother and lags more."""
    position_margin_rad: float = 0.05
    """Distance kept from the joint limits [rad]; 1e-6 or more, so that rounding passes none."""
    hand_speed_max_m_s: float = 0.7
    """Largest speed of the hand [m/s]; never above 0.95 of the arm's own."""
    hand_turn_max_rad_s: float = 2.0
    """Largest rotational speed of the hand [rad/s]; never above 0.95 of the arm's own."""
    blend_s: float = 0.15
    """Time over which one chunk passes over into the next [s]; near the policy's period."""
    start_ramp_s: float = 0.5
    """Time over which the first chunk is joined from rest [s]."""
    ramp_down_s: float = 0.5
    """Time over which the command is eased to the measured position [s]."""
    ease_max_rad: float = 0.1
    """Largest distance eased [rad]: an arm that was pushed away is not followed further."""
    restart_tolerance_rad: float = 0.01
    """Measured distance from the last command [rad] within which motion starts at the command
    and not at the measured position, so that the controller sees no step."""

    def __post_init__(self) -> None:
        """Check what must be positive."""
        for name in (
            'hand_speed_max_m_s',
            'hand_turn_max_rad_s',
            'blend_s',
            'start_ramp_s',
            'ramp_down_s',
            'ease_max_rad',
            'restart_tolerance_rad',
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f'governor.motion.{name}', getattr(self, name), 'must be positive'
                )
        if not self.position_margin_rad >= _MARGIN_MIN_RAD:
            raise ConfigError(
                'governor.motion.position_margin_rad',
                self.position_margin_rad,
                f'must be {_MARGIN_MIN_RAD:g} or more',
            )

    def bounds(self, arm: RobotLimits, box: WorkspaceConfig) -> Bounds:
        """Return what a rig keeps.

        Args:
            arm: The arm's own limits.
            box: Where the hand may be.

        Raises:
            ConfigError: The margin leaves a joint no room.
        """
        return Bounds(
            arm=arm,
            limits=arm.scaled(
                velocity=self.velocity_scale,
                acceleration=self.acceleration_scale,
                jerk=self.jerk_scale,
            ).with_margin(self.position_margin_rad),
            hand_speed_max_m_s=min(self.hand_speed_max_m_s, _HAND_SHARE * arm.ee_speed_max),
            hand_turn_max_rad_s=min(self.hand_turn_max_rad_s, _HAND_SHARE * arm.ee_turn_max),
            box=box,
            workspace=Workspace(box),
        )


@dataclass(frozen=True, kw_only=True)
class SelfCollisionConfig:
    """How near the arm may come to itself."""

    min_distance_m: float = 0.01
    """Least distance between the capsules of two links [m]; the links themselves are further
    apart, by 6 mm or more. Usual poses with the hand straight down leave 0.015 m."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0.0 <= self.min_distance_m <= MIN_DISTANCE_MAX_M:
            raise ConfigError(
                'self_collision.min_distance_m',
                self.min_distance_m,
                f'must be 0..{MIN_DISTANCE_MAX_M:g}',
            )


@dataclass(frozen=True, kw_only=True)
class GovernorConfig:
    """How careful the governor is."""

    rate_hz: float = 100.0
    """Rate at which `command` is called and points are published [Hz]."""
    lookahead_s: float = 0.0
    """How far ahead of now the chunk is sampled [s], to make up for a controller's lag."""
    state_timeout_s: float = 0.1
    """Oldest measured state that may be moved on [s]."""
    start_speed_max_rad_s: float = 0.2
    """Largest measured joint speed at which motion may start [rad/s]."""
    tracking_error_max_rad: float = 0.35
    """Distance of command and measured position at which the arm holds [rad]."""
    motion: FollowerConfig = field(default_factory=FollowerConfig)
    workspace: WorkspaceConfig = field(default_factory=WorkspaceConfig)
    self_collision: SelfCollisionConfig = field(default_factory=SelfCollisionConfig)
    contact: ContactConfig = field(default_factory=ContactConfig)
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    gripper: GripperLimitConfig = field(default_factory=GripperLimitConfig)
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)

    def __post_init__(self) -> None:
        """Check what must be positive."""
        for name in (
            'rate_hz',
            'state_timeout_s',
            'start_speed_max_rad_s',
            'tracking_error_max_rad',
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f'governor.{name}', getattr(self, name), 'must be positive')
        if not 0.0 <= self.lookahead_s <= 0.3:
            raise ConfigError('governor.lookahead_s', self.lookahead_s, 'must be 0..0.3')
