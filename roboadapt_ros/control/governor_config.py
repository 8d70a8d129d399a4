"""The governor's settings, part by part. This module imports the control parts' settings only."""

from __future__ import annotations

from dataclasses import dataclass, field

from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.follower import FollowerConfig
from roboadapt_ros.control.gripper import GripperLimitConfig
from roboadapt_ros.control.self_collision import SelfCollisionConfig
from roboadapt_ros.control.watchdog import WatchdogConfig
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import ConfigError


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
