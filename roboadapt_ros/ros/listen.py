"""The topics of arm, hand and robot state, as three nodes listen to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import QoSProfile
from roboadapt_ros.control.robot_status import RobotStatus
from roboadapt_ros.errors import SpecError, UnknownNameError
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.polled import subscribe_polled
from roboadapt_ros.ros.qos import STATE
from roboadapt_ros.ros.robot import ArmSample, message_class, StateBuffer
from roboadapt_ros.ros.robot_state import ROBOT_STATES
from sensor_msgs.msg import JointState


def listen_arm(
    node: GraphNode[Any],
    buffer: StateBuffer,
    qos: QoSProfile,
    on_arm: Callable[[ArmSample, int], None],
) -> Callable[[], None]:
    """Fill a buffer from `joint_states` while the node is active.

    Args:
        node: Refuses, counts and logs malformed messages.
        buffer: Takes the states.
        qos: How many states wait until they are looked for.
        on_arm: Told every new state of the arm, and when it came [ns].

    Returns:
        Call it to look for states; to be woken by each would cost a node more than its own work.
    """

    def take(message: JointState, came_ns: int) -> None:
        try:
            sample = buffer.arm(message)
        except SpecError as error:
            node.refuse('joint_state', str(error))
            return
        if sample is not None:
            on_arm(sample, came_ns)

    return subscribe_polled(node, JointState, 'joint_states', take, qos)


def listen_hand(node: GraphNode[Any], buffer: StateBuffer, qos: QoSProfile) -> Callable[[], None]:
    """Fill a buffer from `gripper/joint_states`; see `listen_arm`."""

    def take(message: JointState, _: int) -> None:
        try:
            buffer.gripper(message)
        except SpecError as error:
            node.refuse('gripper_state', str(error))

    return subscribe_polled(node, JointState, 'gripper/joint_states', take, qos)


def listen_state(
    node: GraphNode[Any],
    buffer: StateBuffer,
    qos: QoSProfile,
    on_arm: Callable[[ArmSample, int], None] = lambda *_: None,
) -> Callable[[], None]:
    """Fill a buffer from both; see `listen_arm`."""
    look_at_hand = listen_hand(node, buffer, qos)
    look_at_arm = listen_arm(node, buffer, qos, on_arm)

    def look() -> None:
        look_at_hand()
        look_at_arm()

    return look


def listen_robot(
    node: GraphNode[Any], type_name: str, on_status: Callable[[RobotStatus], None]
) -> Callable[[], None]:
    """Tell the robot's own state, while the node is active, whenever it is looked for.

    Args:
        node: The node.
        type_name: Message type of `robot_state`; '' = the rig has none.
        on_status: Told every report.

    Returns:
        Call it to look for a report: a Franka sends a thousand a second, far more than are needed.

    Raises:
        UnknownNameError: A type that can't be read.
        ConfigError: Its package is not installed.
    """
    if not type_name:
        return lambda: None
    if type_name not in ROBOT_STATES:
        raise UnknownNameError('type of robot_state', type_name, ROBOT_STATES)
    status = ROBOT_STATES[type_name]
    kind = message_class(type_name)
    return subscribe_polled(
        node, kind, 'robot_state', lambda message, _: on_status(status(message)), STATE
    )
