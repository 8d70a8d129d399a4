"""How widths reach the hand: section `gripper` of a rig file, parameters `gripper.*`.

This module must not import rclpy.
"""

from __future__ import annotations

from dataclasses import dataclass

from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.field import check_fields, check_options, param
from roboadapt_ros.sim2real.hand_order import HandConfig, HandMode

TOPIC = 'topic'
FRANKA_ACTIONS = 'franka_actions'
GRIPPER_COMMAND = 'gripper_command'
TOPIC_TYPES = ('std_msgs/Float64MultiArray', 'std_msgs/Float64', 'std_msgs/Float32')
WIDEST_M = 0.08
"""Franka's hand when open; a grasp with these tolerances succeeds at every width."""
_HAND = HandConfig()
_ACTION = (
    'driver',
    'mode',
    'close_below_m',
    'open_above_m',
    'change_m',
    'dwell_s',
    'timeout_s',
    'attempts',
    'force_n',
    'open_width_m',
)
OPTIONS: dict[str, tuple[str, ...]] = {
    TOPIC: ('driver', 'command_type', 'convention', 'goal_at_once', 'stop_service'),
    FRANKA_ACTIONS: (
        *_ACTION,
        'node',
        'speed_m_s',
        'epsilon_inner_m',
        'epsilon_outer_m',
    ),
    GRIPPER_COMMAND: (*_ACTION, 'action', 'stop_service', 'convention'),
}
"""Driver -> options it takes."""
TYPES: dict[str, tuple[str, ...]] = {
    TOPIC: (),
    FRANKA_ACTIONS: (
        'franka_msgs/action/Move',
        'franka_msgs/action/Grasp',
        'franka_msgs/action/Homing',
    ),
    GRIPPER_COMMAND: ('control_msgs/action/GripperCommand',),
}
"""Driver -> types it imports beyond those that every ROS installation has."""
CONVENTIONS: dict[str, GripperConvention] = {
    TOPIC: GripperConvention.WIDTH_M,
    FRANKA_ACTIONS: GripperConvention.WIDTH_M,
    GRIPPER_COMMAND: GripperConvention.FINGER_M,
}
"""Driver -> what its numbers mean where nothing is said: as franka_gripper takes them."""


@dataclass(frozen=True, kw_only=True)
class GripperConfig:
    """Which driver sends the widths, and how."""

    driver: str = param(TOPIC, help='how widths go to the hand', choices=tuple(OPTIONS))
    command_type: str = param(
        'std_msgs/Float64MultiArray', help='type of the command topic', choices=TOPIC_TYPES
    )
    convention: str = param(
        '',
        help="what the number of a command means; '' = width_m for a topic, finger_m for "
        'GripperCommand, as franka_gripper has it',
        choices=('', *(convention.value for convention in GripperConvention)),
    )
    goal_at_once: bool = param(
        False,
        help='whether the width at the end is sent at once, for a hand that drops what comes '
        'while it moves, and not the width on the way there at limited speed',
    )
    node: str = param('franka_gripper', help='name of the franka_gripper node')
    action: str = param('franka_gripper/gripper_action', help='name of the GripperCommand action')
    stop_service: str = param(
        '',
        help="std_srvs/Trigger that stops the hand; '' = the goal of a GripperCommand is "
        'cancelled instead, and a hand on a topic is not stopped',
    )
    mode: str = param(
        _HAND.mode.value,
        help='binary: open or grasp; width: go to every width',
        choices=tuple(mode.value for mode in HandMode),
    )
    close_below_m: float = param(
        _HAND.close_below_m,
        help='a width below this is a grasp; raising it grasps earlier',
        unit='m',
        minimum=0.0,
        maximum=0.2,
    )
    open_above_m: float = param(
        _HAND.open_above_m,
        help='a width above this opens; one between that stays is moved to (franka_actions)',
        unit='m',
        minimum=0.0,
        maximum=0.2,
    )
    change_m: float = param(
        _HAND.change_m,
        help='least change of a width, or of one between, that is worth a command',
        unit='m',
        minimum=0.0005,
        maximum=0.05,
    )
    dwell_s: float = param(
        _HAND.dwell_s,
        help='least time from the start of a command to the next; raising it is calmer',
        unit='s',
        minimum=0.0,
        maximum=10.0,
    )
    timeout_s: float = param(
        _HAND.timeout_s,
        help='longest wait for a result; then the hand is stopped and asked again',
        unit='s',
        minimum=0.5,
        maximum=60.0,
    )
    attempts: int = param(_HAND.attempts, help='times one command is tried', minimum=1, maximum=10)
    open_width_m: float = param(
        0.0,
        help='width asked for when opening; 0 = the full width',
        unit='m',
        minimum=0.0,
        maximum=0.2,
    )
    speed_m_s: float = param(
        0.1, help='speed of the fingers', unit='m/s', minimum=0.005, maximum=0.2
    )
    force_n: float = param(20.0, help='force of a grasp', unit='N', minimum=0.0, maximum=140.0)
    epsilon_inner_m: float = param(
        0.08, help='how much narrower than asked a grasp may end', unit='m', minimum=0.0
    )
    epsilon_outer_m: float = param(
        0.08, help='how much wider than asked a grasp may end', unit='m', minimum=0.0
    )

    def __post_init__(self) -> None:
        """Check bounds, and that every option set is one of the driver's.

        Raises:
            UnknownNameError: No such driver, type or choice.
            ConfigError: Out of bounds, or an option of another driver.
        """
        check_fields(self, 'gripper')
        check_options(self, 'gripper', OPTIONS)
        hand = self.hand()
        if hand.mode is HandMode.BINARY and 0.0 < self.open_width_m <= self.open_above_m:
            raise ConfigError(
                'gripper.open_width_m',
                self.open_width_m,
                f'must be above open_above_m ({self.open_above_m:g}), or the hand never opens',
            )

    @property
    def meaning(self) -> GripperConvention:
        """What the number of a command means."""
        return GripperConvention(self.convention or CONVENTIONS[self.driver])

    def hand(self) -> HandConfig:
        """Return how the core decides what an action hand is told.

        Raises:
            ConfigError: Thresholds in the wrong order.
        """
        return HandConfig(
            mode=HandMode(self.mode),
            close_below_m=self.close_below_m,
            open_above_m=self.open_above_m,
            goes_between=self.driver == FRANKA_ACTIONS,
            change_m=self.change_m,
            dwell_s=self.dwell_s,
            timeout_s=self.timeout_s,
            attempts=self.attempts,
            grasp_takes_anything=self.driver == FRANKA_ACTIONS
            and min(self.epsilon_inner_m, self.epsilon_outer_m) >= WIDEST_M,
        )
