"""The simulated rig: one Panda, a table with objects, two cameras, and a real arm's manners.

`SimRig` is what the rig node, the experts and the evaluation drive. It refuses what a real arm
refuses (`stream_check`, `arm_check`): a jump of the target ends the motion with the errors a
Franka reports, and nothing moves until `recover`.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt
from roboadapt_ros.control.contact import hand_force
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.errors import SimError, UnknownNameError
from roboadapt_ros.sim.arm_check import CollisionConfig
from roboadapt_ros.sim.controller import ArmController
from roboadapt_ros.sim.franka import FRANKA_ERRORS, RobotMode
from roboadapt_ros.sim.impedance import GripperDrive
from roboadapt_ros.sim.rig_state import RigConfig, RigState
from roboadapt_ros.sim.scene import sample_scene, SceneSample
from roboadapt_ros.sim.table import Table
from roboadapt_ros.sim.world import TCP_SITE

__all__ = ['RigConfig', 'RigState', 'RobotMode', 'SimRig']  # what a caller needs

FloatArray = npt.NDArray[np.float64]

HAND_DOWN_XYZW = np.array([1.0, 0.0, 0.0, 0.0])
GRIPPER_STUCK = 'gripper_stuck'
"""Fault of the hand: it stays where it is, whatever it is told."""
_LOOK_STEPS = 10
"""Steps between two looks at what need not be judged every millisecond."""


class SimRig(Table):
    """A Panda on a table in MuJoCo.

    Example: a target every 0.01 s, ``rig.set_joint_target(q); rig.advance(0.01)``, moves the
    arm along them; one 0.3 rad further than the last puts the rig in `RobotMode.REFLEX`.
    """

    def __init__(self, config: RigConfig | None = None, *, seed: int = 0):
        """Build the world and draw the first scene from `seed`."""
        self.config = config if config is not None else RigConfig()
        super().__init__(self.config.width, self.config.height)
        self._kinematics = PandaKinematics()
        timestep = self._model.opt.timestep
        friction_nm = self._model.dof_frictionloss[:7]
        self._arm = ArmController(self.config, timestep, friction_nm)
        self._gripper = GripperDrive(self.config.gripper, timestep)
        self._tcp = self._model.site(TCP_SITE).id
        self._rng = np.random.default_rng(seed)
        self._time_offset_s, self._steps = 0.0, 0
        self._jacobian, self._hand_velocity = np.zeros((6, self._model.nv)), np.zeros(6)
        self.reset(seed)

    @property
    def time_s(self) -> float:
        """Simulated time [s]; it never runs backward, not even over a reset."""
        return self._time_offset_s + self._data.time

    @property
    def scene(self) -> SceneSample:
        """The scene as it was drawn at the last reset."""
        return self._scene

    def reset(self, seed: int | None = None) -> None:
        """Draw a new scene, put the arm at its start with an open gripper, and clear errors.

        Args:
            seed: Same seed, same scene, bit for bit; None goes on with the rig's own stream.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._time_offset_s += self._data.time
        mujoco.mj_resetData(self._model, self._data)
        self._scene = sample_scene(self._rng, self.config.scene)
        self._place_arm(self._scene.start_position)
        self._stage.place_objects(self._data, self._scene)
        self._stage.apply_look(self._scene.look)
        self._remainder_s = 0.0
        mujoco.mj_forward(self._model, self._data)

    def advance(self, duration_s: float, *, quiet_s: float = np.inf) -> None:
        """Run the simulation for `duration_s`; fractions of a step carry over.

        Args:
            duration_s: How long [s].
            quiet_s: Time without a target on the caller's clock [s], where it is shorter than
                the simulated one: a caller that was held up has not lost its sender.
        """
        timestep = self._model.opt.timestep
        steps = int((duration_s + self._remainder_s) / timestep + 1e-6)
        self._remainder_s += duration_s - steps * timestep
        for _ in range(steps):
            self._step()
            self._steps += 1
            if self._steps % _LOOK_STEPS == 0:
                self._look(quiet_s)

    def set_joint_target(
        self, q: FloatArray, *, sent_s: float | None = None, is_exact: bool = False
    ) -> None:
        """Give the impedance controller a new target.

        Args:
            q: Joint angles (7,) [rad].
            sent_s: When it was sent on its sender's clock [s]; None: now, in simulated time,
                without the jitter that a clock has.
            is_exact: Whether `sent_s` is without it too: of a controller that samples by its own
                time.

        Raises:
            SimError: Not seven finite numbers. (A target a real arm refuses raises nothing: it
                ends in REFLEX, as there.)
        """
        target = np.asarray(q)
        is_number = np.issubdtype(target.dtype, np.number)
        if target.shape != (7,) or not is_number or not np.isfinite(target).all():
            raise SimError(f'Joint target must be 7 finite angles [rad], got {q!r}')
        at = self._data.qpos[:7]
        self._arm.set_target(target.astype(np.float64), self.time_s, sent_s, at, is_exact=is_exact)

    def solve_pose(self, position: FloatArray, quat_xyzw: FloatArray) -> FloatArray:
        """Return the joint target nearest to the present one that puts the TCP at a pose.

        Args:
            position: TCP (3,) [m], base frame.
            quat_xyzw: TCP orientation (4,), base frame.

        Returns:
            Joint angles (7,) [rad].

        Raises:
            SimError: The pose is out of reach.
            SpecError: A shape is wrong or a value is not finite.
        """
        seed = self._arm.target
        found = self._kinematics.inverse(position, quat_xyzw, seed, seed)
        if not found.converged:
            raise SimError(
                f'Pose target {np.round(position, 3).tolist()} m is out of reach: '
                f'{found.position_error_m:.3f} m and {found.rotation_error_rad:.3f} rad are left'
            )
        return found.q

    def set_gripper_target(
        self, width_m: float, *, speed_m_s: float | None = None, force_n: float | None = None
    ) -> None:
        """Let the hand move to `width_m`, clipped to what it can open.

        Args:
            width_m: Distance between the fingers [m].
            speed_m_s: Largest speed of the width [m/s]; None: the configured one.
            force_n: Largest force of a finger [N]; None: the configured one.

        Raises:
            SimError: Not a finite number.
        """
        if not np.isfinite(width_m):
            raise SimError(f'Gripper width must be a finite number [m], got {width_m!r}')
        limit = self.config.gripper.max_width_m
        self._gripper.target_width_m = min(max(float(width_m), 0.0), limit)
        self._gripper.set_limits(speed_m_s, force_n)

    @property
    def mode(self) -> RobotMode:
        """What the robot says it does."""
        return self._arm.mode

    @property
    def errors(self) -> tuple[str, ...]:
        """Current errors, by the field names of `franka_msgs/Errors`."""
        return self._arm.errors

    def inject_error(self, name: str) -> None:
        """Raise the error `name` as the arm would: brake, hold, ignore targets.

        Raises:
            UnknownNameError: `name` is not a field of `franka_msgs/Errors`.
        """
        if name not in FRANKA_ERRORS:
            raise UnknownNameError('robot error', name, FRANKA_ERRORS)
        self._arm.brake((name,), self._data.qpos[:7])

    def set_faults(self, names: tuple[str, ...]) -> None:
        """Let causes of errors, and a stuck gripper, last until others are given.

        Args:
            names: Errors by the fields of `franka_msgs/Errors`, and 'gripper_stuck'.

        Raises:
            UnknownNameError: Another name.
        """
        errors = tuple(name for name in names if name != GRIPPER_STUCK)
        self._arm.persist(errors, self._data.qpos[:7])
        self._gripper.is_stuck = GRIPPER_STUCK in names

    @property
    def target(self) -> FloatArray:
        """Where the arm is held, or moved to (7,) [rad]."""
        return self._arm.target.copy()

    @property
    def takes_targets(self) -> bool:
        """Whether the arm follows targets."""
        return self._arm.takes_targets

    def set_user_stop(self, *, pressed: bool) -> None:
        """Press or release the user stop; a released arm with errors is in REFLEX."""
        self._arm.set_user_stop(self._data.qpos[:7], pressed=pressed)

    def recover(self) -> None:
        """Clear the errors and hold where the arm is.

        Raises:
            SimError: The user stop is pressed, or the cause of an error lasts.
        """
        self._arm.recover(self._data.qpos[:7])

    def deactivate(self) -> None:
        """Take the arm from its controller: it holds, and ignores targets until `recover`."""
        self._arm.deactivate(self._data.qpos[:7])

    def external_force(self) -> FloatArray:
        """Return force [N] and torque [Nm] on the hand TCP (6,), base frame, as the arm feels."""
        return hand_force(self.hand_jacobian(), self._arm.external_nm)

    def set_collision(self, torque_nm: tuple[float, ...], force_n: tuple[float, ...]) -> None:
        """Set the thresholds of a reflex: (7,) [Nm] of the joints, (6,) [N], [Nm] at the hand.

        Raises:
            ConfigError: A wrong length, or a threshold that is not above 0.
            SimError: The arm moves: a Franka takes them only while it is idle.
        """
        self._arm.set_collision(CollisionConfig(torque_nm=torque_nm, force_n=force_n))

    def state(self) -> RigState:
        """Return what the arm and hand measure now."""
        data = self._data
        quat_wxyz = np.zeros(4)
        mujoco.mju_mat2Quat(quat_wxyz, data.site_xmat[self._tcp])
        return RigState(
            time_s=self.time_s,
            q=data.qpos[:7].copy(),
            dq=data.qvel[:7].copy(),
            tau=data.ctrl[:7] + data.qfrc_gravcomp[:7],
            ee_position=data.site_xpos[self._tcp].copy(),
            ee_quat_xyzw=np.roll(quat_wxyz, -1),
            gripper_width_m=float(data.qpos[7] + data.qpos[8]),
            tau_external=self._arm.external_nm,
            q_desired=self._arm.target.copy(),
        )

    def hand_jacobian(self) -> FloatArray:
        """Return the Jacobian of the hand TCP (6, 7): linear rows first, base frame."""
        linear, angular = self._jacobian[:3], self._jacobian[3:]
        mujoco.mj_jacSite(self._model, self._data, linear, angular, self._tcp)
        return self._jacobian[:, :7]

    def _step(self) -> None:
        data = self._data
        # Gravity is compensated by the arm itself, so only the rest of the bias is left.
        coriolis = data.qfrc_bias[:7] - data.qfrc_gravcomp[:7]
        torque = self._arm.torque(data.qpos[:7], data.qvel[:7], coriolis)
        data.ctrl[:7] = torque
        left, right = data.qpos[7:9].tolist()
        data.ctrl[7:9] = self._gripper.step(left, right, 0.5 * float(data.qvel[7] + data.qvel[8]))
        mujoco.mj_step(self._model, data)
        gravity, felt = data.qfrc_gravcomp[:7], data.qfrc_constraint[:7]
        self._arm.supervise(data.qpos[:7], data.qvel[:7], torque, gravity, felt)

    def _look(self, quiet_s: float) -> None:
        """Have judged what need not be judged every millisecond."""
        velocity, site = self._hand_velocity, mujoco.mjtObj.mjOBJ_SITE
        mujoco.mj_objectVelocity(self._model, self._data, site, self._tcp, velocity, 0)
        speeds = float(np.linalg.norm(velocity[3:])), float(np.linalg.norm(velocity[:3]))
        q = self._data.qpos[:7]
        self._arm.look(q, speeds, self.hand_jacobian, self.time_s, quiet_s)

    def _place_arm(self, position: FloatArray) -> None:
        result = self._kinematics.inverse(position, HAND_DOWN_XYZW, Q_HOME)
        if not result.converged:
            raise SimError(f'Start position {position.tolist()} m is out of reach')
        width = self.config.gripper.max_width_m
        self._data.qpos[:7] = result.q
        self._data.qpos[7:9] = 0.5 * width
        self._arm.reset(result.q)
        self._gripper.reset(width)
