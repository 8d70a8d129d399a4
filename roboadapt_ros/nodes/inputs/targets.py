"""Streams of positions: one target a message, passed on as it was sent.

An impedance controller takes sensor_msgs/JointState or geometry_msgs/PoseStamped, a
forward_command_controller std_msgs/Float64MultiArray.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.errors import RoboAdaptError, SpecError
from roboadapt_ros.nodes.inputs.arm_input import ArmInput
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.node_parameters import SimRigParameters
from roboadapt_ros.ros.polled import subscribe_polled
from roboadapt_ros.ros.qos import STATUS
from roboadapt_ros.ros.rig_messages import read_pose
from roboadapt_ros.ros.robot import JointReader
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

PILED_UP = 4
"""Targets from which two go in a tick: they have piled up behind a stall."""


class TargetInput(ArmInput):
    """Passes targets on in the order they came.

    They are taken in the tick, and wake nobody: a thread of their own would wait for the lock
    while the simulation works, and lose what comes meanwhile.
    """

    makes_points = False

    def __init__(self, host: SimHost):
        """Prepare; `listen` begins."""
        super().__init__(host)
        self._targets: deque[tuple[FloatArray, int]] = deque(maxlen=10)
        self._looks: list[Callable[[], None]] = []

    def hear(self, kind: type, topic: str, callback: Callable[[Any, int], None]) -> None:
        """Take messages of a topic in each tick; for `listen`."""
        self._looks.append(subscribe_polled(self._node, kind, topic, callback, STATUS))

    def advance(self) -> float:
        """Hand the arm a target, as it was sent; two where they have piled up."""
        for look in self._looks:
            look()
        for _ in range(min(len(self._targets), 1 if len(self._targets) < PILED_UP else 2)):
            q, sent_ns = self._targets.popleft()
            self._rig.set_joint_target(q, sent_s=sent_ns / 1e9)
        return 0.0 if self._targets else self.quiet_s()

    def forget(self) -> None:
        """Drop the targets that wait."""
        self._targets.clear()

    def take(self, q: FloatArray, sent_ns: int) -> None:
        """Queue a target (7,) [rad] that was sent at a time [ns]; 0: now."""
        self.count()
        self._targets.append((q, sent_ns or self._last_ns))


class ImpedanceInput(TargetInput):
    """What an impedance controller takes: joints by name, or poses, solved to joints."""

    def __init__(self, host: SimHost):
        """Prepare; `listen` begins."""
        super().__init__(host)
        self._reader = JointReader(host.config.joint_names)

    def listen(self) -> None:
        """Subscribe to both."""
        self.hear(JointState, 'target_joint', self._on_target)
        self.hear(PoseStamped, 'target_pose', self._on_pose)

    def take(self, q: FloatArray, sent_ns: int) -> None:
        """Queue a target (7,) [rad], and have it known."""
        if self.heard is not None:
            self.heard(q)
        super().take(q, sent_ns)

    def _on_target(self, message: JointState, _: int) -> None:
        try:
            q = self._reader.read_target(message)
        except SpecError as error:
            self.refuse(error)
        else:
            self.take(q, from_time(message.header.stamp))

    def _on_pose(self, message: PoseStamped, _: int) -> None:
        try:
            q = self._rig.solve_pose(*read_pose(message))
        except RoboAdaptError as error:
            self.refuse(error)
        else:
            self.take(q, from_time(message.header.stamp))


class PositionArrayInput(TargetInput):
    """Positions by their place in the message, which has no stamp: sent when it came."""

    def __init__(self, host: SimHost):
        """Prepare; `listen` begins."""
        super().__init__(host)
        self._read = ArrayReader(host.config)

    def listen(self) -> None:
        """Subscribe."""
        self.hear(Float64MultiArray, 'commands', self._on_array)

    def _on_array(self, message: Float64MultiArray, came_ns: int) -> None:
        try:
            q = self._read(message)
        except SpecError as error:
            self.refuse(error)
        else:
            self.take(q, came_ns)


class ArrayReader:
    """Reads one number for each joint, in the order of the controller (`joint_order`)."""

    def __init__(self, config: SimRigParameters):
        """Find the order."""
        order = config.output.joint_order or config.joint_names
        self._order = [order.index(name) for name in config.joint_names]
        self._names = order

    def __call__(self, message: Float64MultiArray) -> FloatArray:
        """Return the numbers (7,) in the rig's order.

        Raises:
            SpecError: Another number of them, or one that is not finite.
        """
        values = np.array(message.data, dtype=np.float64)
        if values.shape != (len(self._names),) or not np.isfinite(values).all():
            raise SpecError(
                'commands', str(values.tolist()), f'a number for each of {", ".join(self._names)}'
            )
        return values[self._order]
