"""The arm behind its command interface: targets in, torques out, and errors as a Franka has them.

A joint impedance controller and the two checks, with the modes that follow from them. An error
brakes the arm and holds it (REFLEX) until `recover`. This module imports numpy only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import SimError, UnknownNameError
from roboadapt_ros.sim.arm_check import ArmCheck, CollisionConfig
from roboadapt_ros.sim.franka import FRANKA_ERRORS, RobotMode
from roboadapt_ros.sim.impedance import JointImpedance
from roboadapt_ros.sim.rig_state import RigConfig
from roboadapt_ros.sim.stream_check import SILENCE, StreamCheck

FloatArray = npt.NDArray[np.float64]

_MOVABLE = (RobotMode.IDLE, RobotMode.MOVE)


class ArmController:
    """Moves one arm and supervises it.

    Example: `set_target` with a step of 0.3 rad gives REFLEX and the errors of a
    discontinuity; `torque` brakes, and further targets are ignored until `recover`.
    """

    def __init__(self, config: RigConfig, timestep_s: float, friction_nm: FloatArray):
        """Build controller and checks.

        Args:
            config: Limits, gains and thresholds.
            timestep_s: Time of one step [s].
            friction_nm: Dry friction of the joints (7,) [Nm].
        """
        limits = robot_limits(config.robot)
        self._impedance = JointImpedance(config.impedance, timestep_s)
        self._stream = StreamCheck(config.stream, limits)
        self._arm = ArmCheck(config.collision, limits, timestep_s, friction_nm)
        self._causes: tuple[str, ...] = ()
        self._target_s = 0.0
        self._is_active = True
        self.reset(np.zeros(7))

    def reset(self, q: FloatArray) -> None:
        """Hold `q` (7,) [rad] without torque, errors or a motion."""
        self.mode, self.errors = RobotMode.IDLE, ()
        self._impedance.reset(q)
        self._stream.restart()
        self._arm.restart(q, np.zeros(7))
        if self._causes:
            self.brake(self._causes, q)

    @property
    def target(self) -> FloatArray:
        """Where the arm is held, or moved to (7,) [rad]."""
        return self._impedance.target

    @property
    def external_nm(self) -> FloatArray:
        """What the joints feel of contacts (7,) [Nm], as the arm estimates it."""
        return self._arm.external_nm

    @property
    def takes_targets(self) -> bool:
        """Whether it follows targets: not in REFLEX, in USER_STOPPED or without a controller."""
        return self.mode in _MOVABLE and self._is_active

    def set_target(
        self,
        q: FloatArray,
        now_s: float,
        sent_s: float | None,
        at: FloatArray,
        *,
        is_exact: bool = False,
    ) -> None:
        """Take a joint target, or the errors it raises.

        It is ignored while none are taken.

        Args:
            q: Joint angles (7,) [rad].
            now_s: Simulated time [s].
            sent_s: When it was sent on its sender's clock [s]; None: now.
            at: Measured positions (7,) [rad].
            is_exact: Whether `sent_s` has no jitter.
        """
        if not self.takes_targets:
            return
        errors = self._stream.judge(
            q,
            now_s if sent_s is None else sent_s,
            is_exact=is_exact or sent_s is None,
            held=self.target,
            measured=at,
        )
        if errors:
            self.brake(errors, at)
            return
        self.mode, self._target_s = RobotMode.MOVE, now_s
        self._impedance.set_target(q)

    def torque(self, q: FloatArray, dq: FloatArray, coriolis: FloatArray) -> FloatArray:
        """Return the torques (7,) [Nm] of one step; arguments as `JointImpedance.step`."""
        return self._impedance.step(q, dq, coriolis)

    def supervise(
        self,
        q: FloatArray,
        dq: FloatArray,
        torque: FloatArray,
        gravity: FloatArray,
        felt: FloatArray,
    ) -> None:
        """Judge one step; arguments as `ArmCheck.step`."""
        errors = self._arm.step(q, dq, torque, gravity, felt)
        if errors and self.mode in _MOVABLE:
            self.brake(errors, q)

    def look(
        self,
        q: FloatArray,
        hand_speeds: tuple[float, float],
        jacobian: Callable[[], FloatArray],
        now_s: float,
        quiet_s: float,
    ) -> None:
        """Judge what need not be judged every millisecond.

        Args:
            q: Measured positions (7,) [rad].
            hand_speeds: Measured speed of the hand [m/s] and of its turning [rad/s].
            jacobian: Gives that of the hand (6, 7), base frame, linear rows first.
            now_s: Simulated time [s].
            quiet_s: Time without a target on the caller's clock [s].
        """
        errors = self._arm.look(q, hand_speeds, jacobian)
        if self._stream.is_silent(min(now_s - self._target_s, quiet_s)):
            errors += (SILENCE,)
        if errors and self.mode in _MOVABLE:
            self.brake(errors, q)

    def brake(self, errors: tuple[str, ...], q: FloatArray) -> None:
        """Take errors as the arm does: brake, hold where it is measured (7,) [rad]."""
        self.errors += tuple(name for name in errors if name not in self.errors)
        if self.mode != RobotMode.USER_STOPPED:
            self.mode = RobotMode.REFLEX
        self._hold(q)

    def persist(self, names: tuple[str, ...], q: FloatArray) -> None:
        """Let causes of errors last until others are given: recovering does not help meanwhile.

        Args:
            names: Errors, by the fields of `franka_msgs/Errors`; () removes the causes.
            q: Measured positions (7,) [rad].

        Raises:
            UnknownNameError: A name is not such a field.
        """
        for name in names:
            if name not in FRANKA_ERRORS:
                raise UnknownNameError('robot error', name, FRANKA_ERRORS)
        new = tuple(name for name in names if name not in self._causes)
        self._causes = names
        if new:
            self.brake(new, q)

    def set_user_stop(self, q: FloatArray, *, pressed: bool) -> None:
        """Press or release the user stop; a released arm with errors is in REFLEX."""
        if pressed:
            self._hold(q)
            self.mode = RobotMode.USER_STOPPED
        elif self.mode == RobotMode.USER_STOPPED:
            self.mode = RobotMode.REFLEX if self.errors else RobotMode.IDLE

    def recover(self, q: FloatArray) -> None:
        """Clear the errors and hold where the arm is (7,) [rad].

        Raises:
            SimError: The user stop is pressed, or the cause of an error lasts.
        """
        if self.mode == RobotMode.USER_STOPPED:
            raise SimError('The user stop is pressed; release it before recovering')
        if self._causes:
            raise SimError(
                f'The cause of {", ".join(self._causes)} lasts; remove it before recovering'
            )
        self.mode, self.errors, self._is_active = RobotMode.IDLE, (), True
        self._hold(q)

    def deactivate(self, q: FloatArray) -> None:
        """Take the arm from its controller: it holds `q` (7,) [rad] and hears nothing more.

        A recovery activates the controller again.
        """
        self._is_active = False
        if self.mode is RobotMode.MOVE:
            self.mode = RobotMode.IDLE
        self._hold(q)

    def set_collision(self, config: CollisionConfig) -> None:
        """Set the thresholds of a reflex.

        Raises:
            SimError: The arm moves: a Franka takes them only while it is idle.
        """
        if self.mode == RobotMode.MOVE and self._stream.is_moving:
            raise SimError('Collision thresholds are set while the arm is idle; it moves')
        self._arm.set_collision(config.torque_nm, config.force_n)

    def _hold(self, q: FloatArray) -> None:
        """Hold `q`; the motion that was commanded is over."""
        self._impedance.hold(q)
        self._stream.restart()
