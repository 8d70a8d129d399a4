"""What a rig's arm offers beside motion: sections of a rig file's `arm`, and parameters.

`arm.recovery` names what brings the arm back, `arm.watch` what is too much for it,
`arm.contact` how hard it may press, `arm.collision` and `arm.load` what the robot is told while
it is idle. This module must not
import rclpy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
import math

from roboadapt_ros.control.contact import ContactConfig
from roboadapt_ros.control.limits import JOINTS
from roboadapt_ros.control.recovery import MOST_ATTEMPTS
from roboadapt_ros.control.robot_status import RobotWatchConfig
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.field import check_fields, param

ROBOT_STATE_TYPES = ('diagnostic_msgs/DiagnosticStatus', 'franka_msgs/FrankaRobotState')
"""Types of a robot's own state that can be read, see `robot_state`."""
THRESHOLD_MAX = 100.0
"""Largest collision threshold [Nm, N]: that of Franka's own examples (pylibfranka). No touch gets
beyond it."""
PAYLOAD_MAX_KG = 3.0
"""What Panda and FR3 carry, by Franka's data sheets; the hand counts [kg]."""
WRENCH = 6
_CONTACT = ContactConfig()
_INERTIA = 9


@dataclass(frozen=True, kw_only=True)
class RecoverySettings:
    """What a recovery and a hard stop can use; what is '' is left out of them."""

    error_recovery: str = param(
        '', help='action franka_msgs/ErrorRecovery of the driver: action_server/error_recovery'
    )
    hardware_component: str = param(
        '', help="hardware component to activate again: FrankaHardwareInterface; '' = none"
    )
    broadcasters: tuple[str, ...] = param(
        (),
        help='controllers that only report, activated again with the hardware component: an error '
        'may have ended them too',
    )
    recover_service: str = param(
        '', help='std_srvs/Trigger that clears errors, where there is no such action'
    )
    stop_service: str = param(
        '', help='std_srvs/Trigger that ends motion, where there is no controller manager'
    )
    attempts: int = param(
        3,
        help='times the sequence is tried for one confirmation, up to the activation',
        minimum=1,
        maximum=MOST_ATTEMPTS,
    )

    def __post_init__(self) -> None:
        """Check bounds, and that errors are cleared in one way."""
        check_fields(self, 'arm.recovery')
        if self.broadcasters and not self.hardware_component:
            raise ConfigError(
                'arm.recovery.broadcasters', self.broadcasters, 'needs a hardware_component'
            )
        if self.error_recovery and self.recover_service:
            raise ConfigError(
                'arm.recovery.recover_service', self.recover_service, 'or error_recovery, not both'
            )


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """What is too much, where the robot reports it."""

    success_rate_min: float = param(
        0.95,
        help='part of the control commands in time below which a moving robot is a warning',
        minimum=0.0,
        maximum=1.0,
    )
    force_max_n: float = param(
        0.0,
        help='external force at which the arm is stopped; 0 = by the robot only',
        unit='N',
        minimum=0.0,
        maximum=200.0,
    )
    torque_max_nm: float = param(
        0.0,
        help='external torque at which the arm is stopped; 0 = by the robot only',
        unit='Nm',
        minimum=0.0,
        maximum=100.0,
    )

    def __post_init__(self) -> None:
        """Check bounds."""
        check_fields(self, 'arm.watch')

    def config(self) -> RobotWatchConfig:
        """Return the core's configuration."""
        return RobotWatchConfig(
            success_rate_min=self.success_rate_min,
            force_max_n=self.force_max_n or None,
            torque_max_nm=self.torque_max_nm or None,
        )


@dataclass(frozen=True, kw_only=True)
class ContactSettings:
    """The gains of the arm's impedance controller, and how hard it may press with them.

    One number per joint. Without gains nothing is held back, as for a controller of positions.
    """

    stiffness_nm_rad: tuple[float, ...] = param((), help='joint stiffness', unit='Nm/rad')
    damping_nm_s_rad: tuple[float, ...] = param((), help='joint damping', unit='Nm s/rad')
    force_max_n: float = param(
        _CONTACT.force_max_n,
        help='largest force at the hand',
        unit='N',
        minimum=1.0,
        maximum=200.0,
    )
    torque_max_nm: float = param(
        _CONTACT.torque_max_nm,
        help='largest torque of a joint beyond gravity',
        unit='Nm',
        minimum=1.0,
        maximum=100.0,
    )
    patience_s: float = param(
        _CONTACT.patience_s,
        help='time for which the arm may be held back before it is stopped',
        unit='s',
        minimum=0.5,
        maximum=60.0,
    )

    def __post_init__(self) -> None:
        """Check bounds and lengths."""
        check_fields(self, 'arm.contact')
        config = self.config()
        if not config.is_known and config != _CONTACT:
            raise ConfigError(
                'arm.contact.stiffness_nm_rad',
                (),
                'is required: without gains nothing is held back',
            )

    def config(self) -> ContactConfig:
        """Return the core's configuration.

        Raises:
            ConfigError: The gains are not 7 positive numbers each.
        """
        return ContactConfig(
            stiffness_nm_rad=self.stiffness_nm_rad,
            damping_nm_s_rad=self.damping_nm_s_rad,
            force_max_n=self.force_max_n,
            torque_max_nm=self.torque_max_nm,
            patience_s=self.patience_s,
        )


@dataclass(frozen=True, kw_only=True)
class CollisionSettings:
    """From which external torques and forces on the robot reports a contact, and stops.

    One number per joint, and per axis of the hand (x, y, z, then about x, y, z). They hold for
    phases with and without acceleration alike.
    """

    service: str = param(
        'service_server/set_full_collision_behavior',
        help='franka_msgs/SetFullCollisionBehavior of the driver',
    )
    contact_torque_nm: tuple[float, ...] = param((), help='contact, by joint', unit='Nm')
    collision_torque_nm: tuple[float, ...] = param((), help='reflex, by joint', unit='Nm')
    contact_force_n: tuple[float, ...] = param((), help='contact, by axis', unit='N, Nm')
    collision_force_n: tuple[float, ...] = param((), help='reflex, by axis', unit='N, Nm')

    @property
    def is_given(self) -> bool:
        """Whether there is something to set."""
        return bool(self.collision_torque_nm)

    def __post_init__(self) -> None:
        """Check lengths and that a contact is less than a collision."""
        given = [field.name for field in fields(self)[1:] if getattr(self, field.name)]
        for what, count in (('torque_nm', JOINTS), ('force_n', WRENCH)):
            low, high = (getattr(self, f'{kind}_{what}') for kind in ('contact', 'collision'))
            for kind, values in (('contact', low), ('collision', high)):
                is_good = all(0.0 < value <= THRESHOLD_MAX for value in values)
                if given and (len(values) != count or not is_good):
                    raise ConfigError(
                        f'arm.collision.{kind}_{what}',
                        values,
                        f'must be {count} positive numbers, none above {THRESHOLD_MAX:g}',
                    )
            if any(low_i > high_i for low_i, high_i in zip(low, high, strict=True)):
                raise ConfigError(
                    f'arm.collision.contact_{what}', low, f'must not exceed collision_{what}'
                )


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """What the hand carries beyond the end effector set in Desk."""

    service: str = param('service_server/set_load', help='franka_msgs/SetLoad of the driver')
    mass_kg: float = param(
        0.0, help='mass; 0 = nothing is set', unit='kg', minimum=0.0, maximum=PAYLOAD_MAX_KG
    )
    center_m: tuple[float, ...] = param(
        (0.0, 0.0, 0.0), help='centre of mass in the flange frame', unit='m'
    )
    inertia_kg_m2: tuple[float, ...] = param(
        (0.0,) * _INERTIA, help='inertia about the centre of mass, column by column', unit='kg m²'
    )

    @property
    def is_given(self) -> bool:
        """Whether there is something to set."""
        return self.mass_kg > 0.0

    def __post_init__(self) -> None:
        """Check bounds and lengths."""
        check_fields(self, 'arm.load')
        for name, count in (('center_m', 3), ('inertia_kg_m2', _INERTIA)):
            values = getattr(self, name)
            if len(values) != count or not all(math.isfinite(value) for value in values):
                raise ConfigError(f'arm.load.{name}', values, f'must be {count} finite numbers')
            if any(values) and not self.is_given:
                raise ConfigError('arm.load.mass_kg', self.mass_kg, f'must be given with {name}')
