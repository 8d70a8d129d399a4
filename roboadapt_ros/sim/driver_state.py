"""Controllers and hardware of a simulated franka_ros2: what is active, what a fault does to it.

As since franka_ros2 2.4 and 3.3: an error takes the hardware component down and with it the
controllers; the way back is to recover the robot, to activate the component, and to activate the
controllers. Until then the arm hears no targets; a controller does, and starts from the last one
when it is activated, as gello's and crisp's impedance controllers do. This module imports no ROS.
"""

from __future__ import annotations

from collections.abc import Iterable

from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.errors import SimError
from roboadapt_ros.sim.franka import RobotMode
from roboadapt_ros.sim.rig import SimRig


class DriverState:
    """What of one driver is active.

    Example: after a reflex, `recover` alone leaves the arm still; `set_hardware(active=True)` and
    `switch(activate=['joint_impedance_controller'])` let it hear targets again.
    """

    def __init__(self, rig: SimRig, controllers: tuple[str, ...], component: str):
        """Start as a launch does: everything active.

        Args:
            rig: The arm behind the driver.
            controllers: Controllers that move it.
            component: Name of the hardware component.
        """
        self._rig, self.component = rig, component
        self.controllers = dict.fromkeys(controllers, True)
        """Whether each is active."""
        self.is_hardware_active = True
        self._heard: FloatArray | None = None
        """The last target (7,) [rad]."""
        self.last_errors: tuple[str, ...] = ()
        """What ended the last motion."""

    @property
    def is_commanded(self) -> bool:
        """Whether a controller commands the arm."""
        return self.is_hardware_active and all(self.controllers.values())

    @property
    def mode(self) -> RobotMode:
        """The robot's mode: MOVE while a controller commands it, moving or not."""
        mode = self._rig.mode
        if mode in (RobotMode.IDLE, RobotMode.MOVE):
            return RobotMode.MOVE if self.is_commanded else RobotMode.IDLE
        return mode

    def update(self) -> None:
        """Take the component down where the robot has stopped; for every tick."""
        if self._rig.mode in (RobotMode.REFLEX, RobotMode.USER_STOPPED):
            self.last_errors = self._rig.errors or self.last_errors
            self.is_hardware_active = False
            self.controllers = dict.fromkeys(self.controllers, False)

    def hear(self, q: FloatArray) -> None:
        """Note a target (7,) [rad], whether or not a controller is active."""
        self._heard = q

    def recover(self) -> None:
        """Let the robot clear its errors; raises `SimError` where it can't."""
        self._rig.recover()
        self._settle()

    def set_hardware(self, *, active: bool) -> None:
        """Activate the component, or not.

        Raises:
            SimError: The robot has an error, or its user stop is pressed.
        """
        if active and self._rig.mode not in (RobotMode.IDLE, RobotMode.MOVE):
            raise SimError(f'robot is {self._rig.mode.name}; recover it first')
        self.is_hardware_active = active
        if not active:
            self.controllers = dict.fromkeys(self.controllers, False)
        self._settle()

    def switch(
        self, activate: Iterable[str], deactivate: Iterable[str], *, is_strict: bool
    ) -> None:
        """Switch controllers, all or none.

        Raises:
            SimError: An unknown name, one that is there already (where strict), or a component
                that is not active.
        """
        wanted = {**dict.fromkeys(deactivate, False), **dict.fromkeys(activate, True)}
        for name, is_on in wanted.items():
            if name not in self.controllers:
                known = ', '.join(self.controllers) or 'none'
                raise SimError(f"controller '{name}' is not loaded; loaded: {known}")
            if is_strict and self.controllers[name] is is_on:
                raise SimError(f"controller '{name}' is {'' if is_on else 'in'}active already")
            if is_on and not self.is_hardware_active:
                raise SimError(f"'{name}' needs {self.component}, which is not active")
        self.controllers |= wanted
        self._settle()

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
