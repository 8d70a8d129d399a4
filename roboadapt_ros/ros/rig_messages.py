"""What a rig publishes, from plain values: joint states, pose, fingers, camera geometry."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
import numpy as np
import numpy.typing as npt
from roboadapt_ros.ros.convert import to_float64s
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Header

FloatArray = npt.NDArray[np.float64]


def joint_state(
    stamp: Time,
    names: tuple[str, ...],
    q: FloatArray,
    dq: FloatArray | None = None,
    tau: FloatArray | None = None,
) -> JointState:
    """Return joint positions [rad] or [m], velocities and efforts, (n,) each, by name."""
    message = JointState(header=Header(stamp=stamp), name=list(names))
    message.position = to_float64s(q)
    if dq is not None:
        message.velocity = to_float64s(dq)
    if tau is not None:
        message.effort = to_float64s(tau)
    return message


def finger_state(stamp: Time, names: tuple[str, ...], width_m: float) -> JointState:
    """Return finger joints as franka_gripper publishes them: each half the width [m]."""
    zeros = np.zeros(len(names))
    return joint_state(stamp, names, zeros + width_m / len(names), zeros, zeros)


def pose(stamp: Time, frame_id: str, position: FloatArray, quat_xyzw: FloatArray) -> PoseStamped:
    """Return a pose: position (3,) [m] and rotation (4,) in `frame_id`."""
    message = PoseStamped(header=Header(stamp=stamp, frame_id=frame_id))
    for field, value in zip('xyz', position.tolist(), strict=True):
        setattr(message.pose.position, field, value)
    for field, value in zip('xyzw', quat_xyzw.tolist(), strict=True):
        setattr(message.pose.orientation, field, value)
    return message


def read_pose(message: PoseStamped) -> tuple[FloatArray, FloatArray]:
    """Return a pose message's position (3,) [m] and rotation (4,) xyzw."""
    point, turn = message.pose.position, message.pose.orientation
    return np.array([point.x, point.y, point.z]), np.array([turn.x, turn.y, turn.z, turn.w])


def camera_info(
    size: tuple[int, int], focal: tuple[float, float, float, float], stamp: Time, frame_id: str
) -> CameraInfo:
    """Return the CameraInfo of an undistorted pinhole camera.

    Args:
        size: Width and height [px].
        focal: fx, fy, cx, cy [px].
        stamp: The image's stamp.
        frame_id: The optical frame.
    """
    fx, fy, cx, cy = focal
    return CameraInfo(
        header=Header(stamp=stamp, frame_id=frame_id),
        width=size[0],
        height=size[1],
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
