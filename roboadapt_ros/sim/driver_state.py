"""Controllers and hardware of a simulated franka_ros2: what is active, what a fault does to it.

As since franka_ros2 2.4 and 3.3: an error under an active controller takes the hardware component
down; the way back is to recover the robot, to activate the component, and to activate the
controllers. Until then the arm hears no targets; a controller does, and starts from the last one
when it is activated, as gello's and crisp's impedance controllers do. The error itself is not
reported: the driver reads the robot no more. From Jazzy on all controllers end with the component,
broadcasters too; on Humble none does, and broadcasters repeat what was read last. An error without
an active controller is only reported, and starting one clears it. This module imports no ROS.
"""

from __future__ import annotations

from collections.abc import Iterable
import enum

from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.errors import SimError
from roboadapt_ros.sim.franka import RobotMode
from roboadapt_ros.sim.rig import SimRig

JOINT_BROADCASTER = 'joint_state_broadcaster'
ROBOT_BROADCASTER = 'franka_robot_state_broadcaster'
"""Controllers that only report."""


class Said(enum.Enum):
    """What a broadcaster reports."""

    NOW = 'now'
    LAST = 'last'
    """What was read last, with fresh stamps."""
    NOTHING = 'nothing'


class DriverState:
    """What of one driver is active.

    Example: after a reflex, `recover` alone leaves the arm still; `set_hardware(active=True)` and
    `switch(activate=['joint_impedance_controller'])` let it hear targets again.
    """

    def __init__(
        self,
        rig: SimRig,
        controllers: tuple[str, ...],
        component: str,
        *,
        is_humble: bool = False,
    ):
        """Start as a launch does: everything active.

        Args:
            rig: The arm behind the driver.
            controllers: Controllers that move it.
            component: Name of the hardware component.
            is_humble: Whether controllers stay active where an error takes the component down.
        """
        self._rig, self.component, self._is_humble = rig, component, is_humble
        self.controllers = dict.fromkeys(controllers, True)
        """Whether each is active."""
        self.broadcasters = {JOINT_BROADCASTER: True, ROBOT_BROADCASTER: True}
        """Whether each is active."""
        self.is_hardware_active = True
        self._commanding = True
        """Whether the robot has taken the mode of its controllers."""
        self._heard: FloatArray | None = None
        """The last target (7,) [rad]."""
        self.last_errors: tuple[str, ...] = ()
        """What ended the last motion."""

    @property
    def is_commanded(self) -> bool:
        """Whether a controller commands the arm."""
        return self.is_hardware_active and self._commanding and all(self.controllers.values())

    @property
    def mode(self) -> RobotMode:
        """The robot's mode: MOVE while a controller commands it, moving or not."""
        mode = self._rig.mode
        if mode in (RobotMode.IDLE, RobotMode.MOVE):
            return RobotMode.MOVE if self.is_commanded else RobotMode.IDLE
        return mode

    def update(self) -> None:
        """Take the component down where the robot has stopped under it; for every tick."""
        if self._rig.mode not in (RobotMode.REFLEX, RobotMode.USER_STOPPED):
            return
        self.last_errors = self._rig.errors or self.last_errors
        if self.is_commanded and self.controllers:
            self.is_hardware_active = self._commanding = False
            if not self._is_humble:
                self._end_controllers()

    def says(self, broadcaster: str) -> Said:
        """Return what a broadcaster reports now."""
        if not self.broadcasters[broadcaster]:
            return Said.NOTHING
        return Said.NOW if self.is_hardware_active else Said.LAST

    def hear(self, q: FloatArray) -> None:
        """Note a target (7,) [rad], whether or not a controller is active."""
        self._heard = q

    def recover(self) -> None:
        """Let the robot clear its errors; raises `SimError` where it can't."""
        self._rig.recover()
        self._settle()

    def set_hardware(self, *, active: bool) -> None:
        """Activate the component, whatever the robot's state, or not."""
        self.is_hardware_active = active
        if not active:
            self._end_controllers()
        self._settle()

    def switch(
        self, activate: Iterable[str], deactivate: Iterable[str], *, is_strict: bool
    ) -> None:
        """Switch controllers, all or none. The robot's error is cleared where one is activated.

        Raises:
            SimError: An unknown name, one that is there already (where strict), a component
                that is not active, or an error that can't be cleared.
        """
        wanted = {**dict.fromkeys(deactivate, False), **dict.fromkeys(activate, True)}
        loaded = self.controllers | self.broadcasters
        for name, is_on in wanted.items():
            if name not in loaded:
                known = ', '.join(loaded)
                raise SimError(f"controller '{name}' is not loaded; loaded: {known}")
            if is_strict and loaded[name] is is_on:
                raise SimError(f"controller '{name}' is {'' if is_on else 'in'}active already")
            if is_on and not self.is_hardware_active:
                raise SimError(f"'{name}' needs {self.component}, which is not active")
        moving = {name: is_on for name, is_on in wanted.items() if name in self.controllers}
        if any(moving.values()) and self._rig.mode in (RobotMode.REFLEX, RobotMode.USER_STOPPED):
            self._rig.recover()
        self.controllers |= moving
        self.broadcasters |= {name: on for name, on in wanted.items() if name not in moving}
        if moving:
            self._commanding = all(self.controllers.values())
            self._settle()

    def _end_controllers(self) -> None:
        self.controllers = dict.fromkeys(self.controllers, False)
        self.broadcasters = dict.fromkeys(self.broadcasters, False)
        self._commanding = False

    def _settle(self) -> None:
        """Let the arm hear targets, or not."""
        if self._rig.mode not in (RobotMode.IDLE, RobotMode.MOVE):
            return
        if self.is_commanded:
            self._rig.recover()  # holds where it is, and listens
            if self._heard is not None:
                self._rig.set_joint_target(self._heard)
        else:
            self._rig.deactivate()
