"""Messages of a rig to the doctor's plain values; what can not be read is left out, not raised."""

from __future__ import annotations

import math
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.doctor.facts import ArmState, Controller, FirstAction, Picture
from roboadapt_ros.errors import ImageError, SpecError
from roboadapt_ros.ros.convert import from_chunk
from roboadapt_ros.ros.images import to_rgb
from roboadapt_ros.ros.rig_messages import read_pose
from roboadapt_ros.ros.robot import JointReader
from roboadapt_ros.sim2real.frame import BaseFrame
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

FloatArray = npt.NDArray[np.float64]


def to_arm(
    joint_names: tuple[str, ...], message: JointState, pose: PoseStamped | None
) -> ArmState:
    """Return joints and hand; `q` is None where one of the joints is missing."""
    try:
        q, _ = JointReader(joint_names).read(message)
    except SpecError:
        return ArmState(names=tuple(message.name), q=None)
    hand = _forward(q)
    return ArmState(
        names=tuple(message.name),
        q=q,
        hand_m=None if hand is None else hand[0],
        hand_quat_xyzw=None if hand is None else hand[1],
        reported_hand_m=None if pose is None else read_pose(pose)[0],
        reported_quat_xyzw=None if pose is None else read_pose(pose)[1],
        pose_frame='' if pose is None else pose.header.frame_id,
    )


def to_first_action(message: Any, frame: BaseFrame) -> FirstAction | None:
    """Return the first row of an action chunk, None where it has none or can't be read.

    Args:
        message: From the policy, whose poses are in the base frame of its task.
        frame: Where that is, seen from the rig's base, in which the answer is.
    """
    try:
        chunk = from_chunk(message)
    except SpecError:
        return None
    if not len(chunk.actions):
        return None
    values = chunk.actions[0].copy()
    if chunk.space is ActionSpace.EE_POSE:
        values[:3], values[3:7] = frame.to_rig(values[:3], values[3:7])
    return FirstAction(
        task=chunk.identity.task, space=chunk.space.value, names=chunk.names, values=values
    )


def to_controllers(answer: Any) -> tuple[Controller, ...]:
    """Return the controllers of a ListControllers response."""
    return tuple(
        Controller(name=c.name, state=c.state, claimed=tuple(c.claimed_interfaces))
        for c in answer.controller
    )


def to_hardware(answer: Any) -> dict[str, str]:
    """Return the hardware components of a ListHardwareComponents response and their states."""
    return {component.name: component.state.label for component in answer.component}


def to_picture(name: str, message: Image | CompressedImage, info: CameraInfo | None) -> Picture:
    """Return an image and its CameraInfo as plain values."""
    rgb, problem = None, ''
    try:
        rgb = to_rgb(message, name)
    except ImageError as error:
        problem = str(error)
    height, width = rgb.shape[:2] if rgb is not None else (0, 0)
    is_raw = isinstance(message, Image)
    intrinsics = None
    if info is not None and all(math.isfinite(value) for value in info.k):
        intrinsics = (float(info.k[0]), float(info.k[4]), float(info.k[2]), float(info.k[5]))
    return Picture(
        width=int(message.width) if is_raw else width,
        height=int(message.height) if is_raw else height,
        encoding=message.encoding if is_raw else '',
        frame_id=message.header.frame_id,
        rgb=rgb,
        problem=problem,
        intrinsics=intrinsics,
    )


def _forward(q: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return the hand's pose, None where kinematics can't be loaded or joints are no numbers."""
    if not np.isfinite(q).all():
        return None
    try:
        from roboadapt_ros.control.kinematics import PandaKinematics
    except ImportError:
        return None  # reported as a missing package
    return PandaKinematics().forward(q)
