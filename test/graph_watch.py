"""What a test sees of a running graph, and waits with a name for each."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from roboadapt_interfaces.msg import ActionChunk, EpisodeStatus, Features, GateStatus
from roboadapt_ros.bringup.client import GraphClient, SwitchAnswer
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.qos import DATA, STATE_HISTORY, STATUS, TRACE
from sensor_msgs.msg import JointState

MOVING_RAD_S = 0.03


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
    """Return the first true value of a condition, or fail naming what was waited for."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline_s, f'waited {timeout_s:g} s for {what}'
        time.sleep(0.01)


class GraphWatch:
    """Keeps what a graph publishes."""

    def __init__(self, client: GraphClient, joint_states: str = 'franka/joint_states'):
        """Start listening; `joint_states` is the topic that shows whether the arm moves."""
        self._lock = threading.Lock()
        self.client = client
        self.features: list[Features] = []
        self.policy: list[ActionChunk] = []
        self.mapped: list[ActionChunk] = []
        self.commands: list[ActionChunk] = []
        self.governor: list[GateStatus] = []
        self.gate: list[GateStatus] = []
        self.episode: EpisodeStatus | None = None
        self.joints: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.diagnostics: dict[str, tuple[str, dict[str, str], bytes]] = {}
        for kind, topic, keep, qos in (
            (Features, 'encoder/features', self.features.append, DATA),
            (ActionChunk, 'policy/action_chunk', self.policy.append, DATA),
            (ActionChunk, 'sim2real/action_chunk', self.mapped.append, DATA),
            (ActionChunk, 'governor/command', self.commands.append, TRACE),
            (GateStatus, 'governor/status', self.governor.append, STATUS),
            (GateStatus, 'sim2real/status', self.gate.append, STATUS),
            (EpisodeStatus, 'sim_rig/episode_status', self._on_episode, STATUS),
            (JointState, joint_states, self._on_joints, STATE_HISTORY),
            (DiagnosticArray, '/diagnostics', self._on_diagnostics, STATUS),
        ):
            client.watch(kind, topic, keep, qos)

    def _on_episode(self, message: EpisodeStatus) -> None:
        self.episode = message

    def _on_joints(self, message: JointState) -> None:
        stamp_ns = from_time(message.header.stamp)
        self.joints.append((stamp_ns, np.array(message.position), np.array(message.velocity)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics[status.name] = (status.message, values, status.level)

    def speed_rad_s(self) -> float:
        """Return the measured speed of the fastest joint over the last 50 ms."""
        newest = self.joints[-5:]
        return max(float(np.abs(dq).max()) for _, _, dq in newest) if newest else 0.0

    def is_moving(self) -> bool:
        """Return whether the arm moves."""
        return self.speed_rad_s() > MOVING_RAD_S

    def governor_state(self) -> str:
        """Return the governor's last reported state."""
        return self.governor[-1].state if self.governor else ''

    def gate_state(self) -> str:
        """Return the gate's last reported state."""
        return self.gate[-1].state if self.gate else ''

    def count(self, node: str, cause: str) -> int:
        """Return how often a node has refused something for a cause, as /diagnostics says."""
        _, values, _ = self.diagnostics.get(node, ('', {}, b''))
        return int(values.get(cause, 0))

    def serve(self, task: str) -> SwitchAnswer:
        """Switch to a task, again where a busy machine let no frame through in time."""
        for _ in range(4):
            try:
                return self.client.switch(task)
            except RefusedError as error:
                if 'no frame was encoded' not in str(error):
                    raise
        raise AssertionError('no frame was encoded in four switches')

    def arm_until_moving(self) -> None:
        """Open the gate as soon as it can be, and wait for motion.

        A busy machine may be so slow that the gate closes again, or that the simulated robot
        stops for the points it missed; it is opened again then, and the robot recovered.
        """
        refusal = ''

        def moves() -> bool:
            nonlocal refusal
            if self.gate_state() != 'armed':
                try:
                    self.client.arm()
                except RefusedError as error:
                    refusal = str(error)
                    if "'roboadapt recover'" in refusal:
                        self.client.recover()
                time.sleep(0.1)
            return self.is_moving()

        try:
            wait_for(moves, 'the arm to move', 30.0)
        except AssertionError as error:
            state = f'{self.gate[-1].state}: {self.gate[-1].reason}' if self.gate else 'silent'
            told = {name: (said, values) for name, (said, values, _) in self.diagnostics.items()}
            raise AssertionError(
                f'{error}; gate {state}; last refusal: {refusal}; '
                f'governor {self.governor_state()}; diagnostics {told}'
            ) from error

    def rest(self) -> None:
        """Close the gate and wait until the governor has released the arm."""
        self.client.disarm()
        time.sleep(0.2)  # a chunk that passed the gate just before may be on its way
        self.governor.clear()
        wait_for(lambda: self.governor_state() == 'idle', 'the governor to be idle')
        wait_for(lambda: not self.is_moving(), 'the arm to be at rest')
