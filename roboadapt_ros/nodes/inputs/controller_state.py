"""control_msgs/JointTrajectoryControllerState, of a simulated controller."""

from __future__ import annotations

from typing import Any

from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.convert import to_float64s, to_time
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import STATUS
from roboadapt_ros.sim.joint_trajectory import Motion
from roboadapt_ros.sim.rig_state import RigState


class ControllerState:
    """Says what is desired and what is measured."""

    def __init__(self, node: GraphNode[Any], names: tuple[str, ...]):
        """Create the publisher, beside the controller's topic.

        Raises:
            ConfigError: control_msgs is not installed here.
        """
        self._type = interface_class('control_msgs/msg/JointTrajectoryControllerState')
        self._names = list(names)
        controller = node.resolve_topic_name('joint_trajectory').rpartition('/')[0]
        self._out = node.publisher(self._type, f'{controller}/controller_state', STATUS)

    def publish(self, stamp_ns: int, desired: Motion, state: RigState) -> None:
        """Publish both and their difference."""
        message = self._type(joint_names=self._names)
        message.header.stamp = to_time(stamp_ns)
        reference = message.reference
        _fill(reference, desired.q, desired.dq)
        reference.accelerations = to_float64s(desired.ddq)
        _fill(message.feedback, state.q, state.dq)
        _fill(message.error, desired.q - state.q, desired.dq - state.dq)
        message.output.effort = to_float64s(state.tau)
        self._out.publish(message)


def _fill(point: Any, q: FloatArray, dq: FloatArray) -> None:
    point.positions, point.velocities = to_float64s(q), to_float64s(dq)
