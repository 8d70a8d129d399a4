"""Forward and inverse kinematics of the Franka Emika Panda with its hand.

The model is built in memory from the published Denavit-Hartenberg parameters (Craig's
convention), so no URDF file is needed: https://frankaemika.github.io/docs/control_parameters.html.
Poses are those of the hand's tool centre point (TCP) in the base frame (link 0). This module
imports numpy, Pinocchio and the limit tables only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pinocchio as pin
from roboadapt_ros.control.limits import robot_limits, RobotLimits
from roboadapt_ros.errors import SpecError

FloatArray = npt.NDArray[np.float64]

DH_ROWS = (  # (a [m], d [m], alpha [rad]) of joints 1..7, modified convention
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
)
FLANGE_Z_M = 0.107
HAND_YAW_RAD = -np.pi / 4
TCP_Z_M = 0.1034
Q_HOME = np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4])


@dataclass(frozen=True, kw_only=True)
class IkConfig:
    """How the inverse is iterated."""

    position_tolerance_m: float = 1e-5
    """Position error that counts as reached [m]."""
    rotation_tolerance_rad: float = 1e-4
    """Rotation error that counts as reached [rad]."""
    max_iterations: int = 12
    """Iterations before giving up; one iteration is about 40 us."""
    max_step_rad: float = 0.25
    """Largest change of one joint in one iteration [rad]."""
    limit_margin_rad: float = 0.03
    """Distance kept from the joint limits [rad]."""
    singular_value: float = 0.06
    """Singular value of the Jacobian below which damping sets in."""
    damping: float = 0.05
    """Damping at a singular value of zero; raising it trades accuracy for calm."""
    posture_gain: float = 0.05
    """Share of the posture error removed per call, inside the null space."""
    max_posture_step_rad: float = 0.003
    """Largest null-space motion per call [rad]: 0.3 rad/s at 100 Hz."""


@dataclass(frozen=True)
class IkResult:
    """Joint angles with the error that is left at them."""

    q: FloatArray
    """Joint angles (7,) [rad], inside the limits by the margin."""
    position_error_m: float
    rotation_error_rad: float
    converged: bool


def build_panda_model() -> tuple[pin.Model, int]:
    """Build the seven-joint model and return it with the frame index of the hand TCP."""
    model = pin.Model()
    parent = 0
    for number, (a, d, alpha) in enumerate(DH_ROWS, start=1):
        turn = pin.utils.rotate('x', alpha)
        placement = pin.SE3(turn, turn @ np.array([a, 0.0, d]))
        parent = model.addJoint(parent, pin.JointModelRZ(), placement, f'panda_joint{number}')
    tcp = pin.SE3(pin.utils.rotate('z', HAND_YAW_RAD), np.array([0.0, 0.0, FLANGE_Z_M + TCP_Z_M]))
    frame = pin.Frame('panda_hand_tcp', parent, 0, tcp, pin.FrameType.OP_FRAME)
    return model, model.addFrame(frame)


class PandaKinematics:
    """Kinematics of the hand TCP in the base frame.

    Example: at `Q_HOME` the TCP is at (0.307, 0.0, 0.487) m and points straight down,
    quaternion (x, y, z, w) = (1, 0, 0, 0).
    """

    def __init__(self, config: IkConfig | None = None, *, limits: RobotLimits | None = None):
        """Build the model.

        Args:
            config: How the inverse is iterated.
            limits: Joint limits that the inverse keeps; default those of the Panda.
        """
        self.config = config if config is not None else IkConfig()
        self._model, self._frame = build_panda_model()
        self._data = self._model.createData()
        kept = (limits or robot_limits('panda')).with_margin(self.config.limit_margin_rad)
        self._lower, self._upper = kept.q_min, kept.q_max

    def forward(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the TCP pose at `q`.

        Args:
            q: Joint angles (7,) [rad].

        Returns:
            Position (3,) [m] and quaternion (4,) in x, y, z, w order, in the base frame.
        """
        pose = self._pose(_vector('q', q, 7))
        return pose.translation.copy(), pin.Quaternion(pose.rotation).coeffs().copy()

    def jacobian(self, q: FloatArray) -> FloatArray:
        """Return the TCP Jacobian (6, 7): linear rows [m/rad] first, base-frame axes.

        Args:
            q: Joint angles (7,) [rad].
        """
        return pin.computeFrameJacobian(
            self._model, self._data, _vector('q', q, 7), self._frame, pin.LOCAL_WORLD_ALIGNED
        )

    def way_to(self, position: FloatArray, quat_xyzw: FloatArray, q: FloatArray) -> FloatArray:
        """Return the straight way (6,) of the TCP from `q` to a pose, base-frame axes.

        Args:
            position: TCP position (3,) [m], base frame.
            quat_xyzw: TCP orientation (4,), base frame.
            q: Joint angles (7,) [rad].

        Returns:
            Translation [m], and rotation as axis times angle [rad].
        """
        return self._error(_goal(position, quat_xyzw), _vector('q', q, 7))

    def inverse(
        self,
        position: FloatArray,
        quat_xyzw: FloatArray,
        q_seed: FloatArray,
        q_nullspace: FloatArray | None = None,
    ) -> IkResult:
        """Return joint angles near `q_seed` whose TCP pose is the wanted one.

        Damped least squares, warm-started. The null space moves a little towards the posture
        on every call, so a stream of calls settles there without a jump.

        Args:
            position: TCP position (3,) [m], base frame.
            quat_xyzw: TCP orientation (4,), base frame.
            q_seed: Where to start (7,) [rad]: the last command, or the measured angles.
            q_nullspace: Posture (7,) [rad] the null space is pulled to; default `Q_HOME`.

        Returns:
            The best angles found; `converged` is False when the pose is out of reach.
        """
        goal = _goal(position, quat_xyzw)
        posture = Q_HOME if q_nullspace is None else _vector('q_nullspace', q_nullspace, 7)
        q = np.clip(_vector('q_seed', q_seed, 7), self._lower, self._upper)
        return self._iterate(goal, q, posture)

    def _iterate(self, goal: pin.SE3, q: FloatArray, posture: FloatArray) -> IkResult:
        config = self.config
        for iteration in range(config.max_iterations + 1):
            error = self._error(goal, q)
            off_m, off_rad = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
            close = off_m < config.position_tolerance_m and off_rad < config.rotation_tolerance_rad
            if iteration == config.max_iterations or (close and iteration > 0):
                break
            step = self._step(q, error, posture if iteration == 0 else None)
            step *= min(1.0, config.max_step_rad / max(float(np.abs(step).max()), 1e-9))
            q = np.clip(q + step, self._lower, self._upper)
        return IkResult(q, off_m, off_rad, close)

    def _step(self, q: FloatArray, error: FloatArray, posture: FloatArray | None) -> FloatArray:
        config = self.config
        left, singular, right = np.linalg.svd(self.jacobian(q), full_matrices=False)
        lack = np.clip(1.0 - singular[-1] / config.singular_value, 0.0, 1.0)
        damping_sq = (config.damping * lack) ** 2
        step = right.T @ ((singular / (singular**2 + damping_sq)) * (left.T @ error))
        if posture is not None:
            pull = config.posture_gain * (posture - q)
            pull -= right.T @ (right @ pull)
            size = max(float(np.abs(pull).max()), 1e-9)
            step += pull * min(1.0, config.max_posture_step_rad / size)
        return step

    def _error(self, goal: pin.SE3, q: FloatArray) -> FloatArray:
        pose = self._pose(q)
        turn = pin.log3(goal.rotation @ pose.rotation.T)
        return np.concatenate([goal.translation - pose.translation, turn])

    def _pose(self, q: FloatArray) -> pin.SE3:
        pin.framesForwardKinematics(self._model, self._data, q)
        return self._data.oMf[self._frame]


def _goal(position: FloatArray, quat_xyzw: FloatArray) -> pin.SE3:
    """Return a pose, or name what is wrong with it."""
    quaternion = _vector('quat_xyzw', quat_xyzw, 4)
    norm = float(np.linalg.norm(quaternion))
    if norm < 1e-6:
        raise SpecError('quat_xyzw', f'norm {norm:.1e}', 'a unit quaternion')
    turn = pin.Quaternion(quaternion / norm).toRotationMatrix()
    return pin.SE3(turn, _vector('position', position, 3))


def _vector(name: str, value: FloatArray, length: int) -> FloatArray:
    """Return `value` as finite float64 (length,), or name what is wrong with it."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (length,):
        raise SpecError(name, f'shape {array.shape}', f'shape ({length},)')
    if not np.isfinite(array).all():
        raise SpecError(name, f'{array.tolist()}', 'finite values')
    return array
