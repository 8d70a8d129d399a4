"""A forward_command_controller of speeds: the last ones hold until others come."""

from __future__ import annotations

from collections import deque
import math

import numpy as np
from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.errors import SpecError
from roboadapt_ros.nodes.inputs.arm_input import ArmInput, TICK_S
from roboadapt_ros.nodes.inputs.targets import ArrayReader, PILED_UP
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.qos import STATUS
from std_msgs.msg import Float64MultiArray


class SpeedArrayInput(ArmInput):
    """Speeds by their place in the message, added up to targets.

    Messages have no stamps and come when they may: one a tick counts, so that two that come
    together are no step of double size. Where they have piled up, every other one is left out.
    """

    def __init__(self, host: SimHost):
        """Prepare; `listen` begins."""
        super().__init__(host)
        self._read = ArrayReader(host.config)
        self._waiting: deque[FloatArray] = deque(maxlen=10)
        self.forget()

    def listen(self) -> None:
        """Subscribe."""
        self._node.subscribe(Float64MultiArray, 'commands', self._on_array, STATUS)

    def advance(self) -> float:
        """Move the target on by the speeds of a tick."""
        if not self._rig.takes_targets:
            self.forget()
            return math.inf
        for _ in range(min(len(self._waiting), 1 if len(self._waiting) < PILED_UP else 2)):
            self._dq = self._waiting.popleft()
        if self._dq.any():
            q = self._rig.target if self._q is None else self._q
            self._q = q + self._dq * TICK_S
        if self._q is not None:
            self._rig.set_joint_target(self._q)
        return math.inf

    def forget(self) -> None:
        """Stand still where the arm is held."""
        self._waiting.clear()
        self._q: FloatArray | None = None
        self._dq = np.zeros(len(self._config.joint_names))

    def _on_array(self, message: Float64MultiArray) -> None:
        try:
            self._waiting.append(self._read(message))
        except SpecError as error:
            self.refuse(error)
        else:
            self.count()
