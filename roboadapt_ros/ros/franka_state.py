"""franka_msgs/FrankaRobotState, written: what franka_robot_state_broadcaster says of an arm.

Values that a simulated arm does not have (motor positions, inertias, elbow) stay zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Wrench, WrenchStamped
import numpy as np
import numpy.typing as npt
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.rig_messages import joint_state, pose
from std_msgs.msg import Header

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ArmReport:
    """One moment of an arm."""

    stamp: Time
    time_s: float
    """Time on the arm's own clock [s]."""
    mode: int
    """As in FrankaRobotState."""
    errors: Sequence[str]
    last_errors: Sequence[str]
    """Those that ended the last motion."""
    q: FloatArray
    """(7,) [rad]."""
    dq: FloatArray
    """(7,) [rad/s]."""
    tau: FloatArray
    """(7,) [Nm]."""
    q_desired: FloatArray
    """(7,) [rad]."""
    tau_external: FloatArray
    """(7,) [Nm]."""
    force: FloatArray
    """External force and torque at the hand (6,) [N], [Nm], base frame."""
    position: FloatArray
    """Hand TCP (3,) [m], base frame."""
    quat_xyzw: FloatArray


class StateWriter:
    """Writes reports as messages of franka_msgs."""

    def __init__(self, joint_names: tuple[str, ...], base_frame: str):
        """Find the type.

        Raises:
            ConfigError: franka_msgs is not installed here.
        """
        self.message_type: Any = interface_class('franka_msgs/msg/FrankaRobotState')
        self._names, self._frame = joint_names, base_frame

    def message(self, report: ArmReport) -> Any:
        """Return the message of a report."""
        stamp, names, frame = report.stamp, self._names, self._frame
        message = self.message_type()
        message.header = Header(stamp=stamp, frame_id=frame)
        message.measured_joint_state = joint_state(stamp, names, report.q, report.dq, report.tau)
        zeros = np.zeros(len(names))
        message.desired_joint_state = joint_state(stamp, names, report.q_desired, zeros, zeros)
        message.tau_ext_hat_filtered = joint_state(stamp, names, zeros, zeros, report.tau_external)
        message.o_f_ext_hat_k = wrench(stamp, frame, report.force)
        message.o_t_ee = pose(stamp, frame, report.position, report.quat_xyzw)
        message.time = report.time_s
        message.control_command_success_rate = 1.0
        message.robot_mode = report.mode
        for name in report.errors:
            setattr(message.current_errors, name, True)
        for name in report.last_errors:
            setattr(message.last_motion_errors, name, True)
        return message


def hand_axes(quat_xyzw: FloatArray) -> FloatArray:
    """Return the axes of the hand (3, 3), as columns in the base frame."""
    x, y, z, w = quat_xyzw
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def in_hand(report: ArmReport) -> FloatArray:
    """Return the external force and torque (6,) [N], [Nm] in the axes of the hand."""
    turn = hand_axes(report.quat_xyzw)
    return np.concatenate([report.force[:3] @ turn, report.force[3:] @ turn])


def wrench(stamp: Time, frame_id: str, values: FloatArray) -> WrenchStamped:
    """Return force and torque (6,) [N], [Nm] in `frame_id`."""
    made = Wrench()
    for part, numbers in ((made.force, values[:3]), (made.torque, values[3:])):
        part.x, part.y, part.z = numbers.tolist()
    return WrenchStamped(header=Header(stamp=stamp, frame_id=frame_id), wrench=made)
