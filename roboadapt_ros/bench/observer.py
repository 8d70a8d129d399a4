"""Eyes on a running graph: everything that leads to motion, handed to the judges.

The callbacks run in the client's thread and only record; what a caller reads is the newest
value, or a copy. No judge asks a node how it thinks it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
import numpy as np
import numpy.typing as npt
from roboadapt_interfaces.msg import ActionChunk, EpisodeStatus, Features, GateStatus
from roboadapt_ros.bringup.client import GraphClient, SwitchAnswer
from roboadapt_ros.bringup.rig import RigConfig
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.dataflow import NO_ADAPTERS
from roboadapt_ros.errors import BringupError
from roboadapt_ros.evaluation.ledgers import LedgerBook
from roboadapt_ros.evaluation.monitor import IdentityMonitor
from roboadapt_ros.evaluation.motion import LimitMonitor, Violation
from roboadapt_ros.ros.convert import from_identity, from_ledger, from_time
from roboadapt_ros.ros.images import to_rgb
from roboadapt_ros.ros.qos import DATA, IMAGE, STATE, STATUS, TRACE
from roboadapt_ros.ros.robot import JointReader, message_class
from roboadapt_ros.ros.robot_state import ROBOT_STATES
from sensor_msgs.msg import Image, JointState

COMMAND_PERIOD_S = 0.01
"""Spacing of the governor's points [s]; each moves the arm by one period, however late."""
ROBOT_PERIOD_S = 0.05
"""Time between two looks at the robot's state [s]: to read a Franka's is a lot of work."""
PAUSE_S = 0.08
"""Silence between commands after which a new sequence starts [s]: the rig moves the arm elsewhere
only after 0.1 s without a target, and a governor that was released starts from the measured."""

FrameWatcher = Callable[[str, int, npt.NDArray[np.uint8]], None]


class GraphObserver:
    """Watches a graph from `start` on."""

    def __init__(self, client: GraphClient, rig: RigConfig):
        """Prepare the judges for a rig; `start` begins to listen."""
        self._client, self._rig = client, rig
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self.identities = IdentityMonitor()
        self.ledgers = LedgerBook()
        limits = robot_limits(rig.robot)
        self.motion = LimitMonitor(limits, period_s=COMMAND_PERIOD_S, max_gap_s=PAUSE_S)
        self.commands: list[tuple[int, npt.NDArray[np.float64]]] = []
        """(stamp [ns], (7,) positions [rad]) of every commanded point."""
        self.dq_max = limits.dq_max
        self.on_frame: FrameWatcher | None = None
        """Called with camera, stamp [ns] and (H, W, 3) RGB of every frame."""
        self._joints = JointReader(rig.arm.joint_names)
        self._speed_rad_s = 0.0
        self._episode: EpisodeStatus | None = None
        self._gates: dict[str, GateStatus] = {}
        self._newest: dict[str, tuple[int, int]] = {}
        self._exposures: dict[str, set[int]] = {camera.name: set() for camera in rig.cameras}
        self._encoded: set[int] = set()
        self._answers: list[SwitchAnswer] = []
        self._robot_error = ''
        self.robot_errors: list[str] = []
        """Errors the robot reported, each once per occurrence."""
        self.real_time_factors: list[float] = []
        """How fast the simulated rig ran, once a second."""

    def start(self) -> None:
        """Listen to everything that leads to motion."""
        watch = self._client.watch
        for stage, topic, message_type, qos in (
            ('features', 'encoder/features', Features, DATA),
            ('policy', 'policy/action_chunk', ActionChunk, DATA),
            ('sim2real', 'sim2real/action_chunk', ActionChunk, DATA),
            ('governor', 'governor/command', ActionChunk, TRACE),
        ):
            watch(message_type, topic, self._identified(stage), qos)
        for topic in ('sim2real/status', 'governor/status'):
            watch(GateStatus, topic, self._on_gate, STATUS)
        often, arm = self._client.watch_often, self._rig.arm
        often(JointState, arm.joint_states, self._on_joints, STATE, period_s=COMMAND_PERIOD_S)
        for camera in self._rig.cameras:
            watch(Image, camera.image, self._on_image(camera.name), IMAGE)
        if self._rig.simulated:
            watch(EpisodeStatus, 'sim_rig/episode_status', self._on_episode, STATUS)
            watch(DiagnosticStatus, 'sim_rig/status', self._on_sim_status, STATUS)
        if arm.robot_state:
            self._watch_robot(arm.robot_state, arm.robot_state_type)

    # ---- what a caller asks ----

    def note_switch(self, answer: SwitchAnswer) -> None:
        """Take a switch answer as the truth about its generation."""
        with self._lock:
            task = answer.task.removeprefix(NO_ADAPTERS)
            self.identities.switched(answer.generation, task, answer.package_digest)
            self._answers.append(answer)

    def episode(self) -> EpisodeStatus | None:
        """Return the judge's newest view."""
        return self._episode

    def gate(self, node: str) -> GateStatus | None:
        """Return the newest status of 'sim2real' or 'governor'."""
        return self._gates.get(node)

    def joint_speed_rad_s(self) -> float:
        """Return the newest measured speed of the fastest joint."""
        return self._speed_rad_s

    def await_message(
        self, stage: str, *, generation: int, after_ns: int, timeout_s: float
    ) -> None:
        """Wait for a message of `stage` from a generation on, of an exposure after a time.

        Raises:
            BringupError: None came in time.
        """

        def is_there() -> bool:
            newest = self._newest.get(stage, (-1, 0))
            return newest[0] >= generation and newest[1] > after_ns

        with self._arrived:
            if not self._arrived.wait_for(is_there, timeout_s):
                raise BringupError(
                    f'No message of {stage} for generation {generation} within {timeout_s:g} s; '
                    'see the log of that node'
                )

    def await_condition(self, is_there: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait for something among the newest values; raises `BringupError` naming `what`."""
        with self._arrived:
            if not self._arrived.wait_for(is_there, timeout_s):
                raise BringupError(f'{what} did not come within {timeout_s:g} s')

    def frames_dropped(self, answer: SwitchAnswer) -> int:
        """Return the exposures of a camera between a switch's boundary frames, never encoded.

        Counted from the cameras' own messages; the larger of that and the service's count.
        """
        if not answer.last_frame_before_ns or not answer.first_frame_after_ns:
            return answer.frames_dropped
        low, high = answer.last_frame_before_ns, answer.first_frame_after_ns
        with self._lock:
            lost = [
                sum(low < stamp < high and stamp not in self._encoded for stamp in stamps)
                for stamps in self._exposures.values()
            ]
        return max(answer.frames_dropped, *lost)

    def limit_violations(self) -> list[str]:
        """Return a line for each violation of a limit and each error of the robot."""
        with self._lock:
            found: list[Violation] = list(self.motion.violations)
            return [*map(str, found), *(f'robot error: {name}' for name in self.robot_errors)]

    def refused(self) -> Counter[str]:
        """Return what gate and governor counted, by cause."""
        total: Counter[str] = Counter()
        for status in list(self._gates.values()):
            total.update(dict(zip(status.causes, status.counts, strict=True)))
        return total

    # ---- callbacks, in the client's thread ----

    def _identified(self, stage: str) -> Callable[[Any], None]:
        def observe(message: Any) -> None:
            identity = from_identity(message.identity)
            stamp_ns = from_time(message.header.stamp)
            with self._arrived:
                self.identities.observe(stage, identity)
                self._newest[stage] = (identity.generation, stamp_ns)
                if stage == 'features':
                    self._encoded.update(identity.frame_stamps_ns)
                elif stage == 'governor':
                    self._on_command(message)
                self._arrived.notify_all()

        return observe

    def _on_command(self, message: ActionChunk) -> None:
        """Judge a commanded point; the lock is held."""
        q, stamp_ns = np.array(message.actions[:7]), from_time(message.start)
        self.commands.append((stamp_ns, q))
        self.motion.command(stamp_ns, q, message.sequence)
        self.ledgers.observe(from_ledger(message.ledger))

    def _on_joints(self, message: JointState) -> None:
        q, dq = self._joints.read(message)
        with self._lock:
            self._speed_rad_s = float(np.abs(dq).max())
            self.motion.measured(from_time(message.header.stamp), q, dq)

    def _on_image(self, camera: str) -> Callable[[Image], None]:
        def observe(message: Image) -> None:
            stamp_ns = from_time(message.header.stamp)
            with self._lock:
                self._exposures[camera].add(stamp_ns)
            if self.on_frame is not None:
                self.on_frame(camera, stamp_ns, to_rgb(message, camera))

        return observe

    def _on_gate(self, message: GateStatus) -> None:
        with self._arrived:
            self._gates[message.node] = message
            self._arrived.notify_all()

    def _on_episode(self, message: EpisodeStatus) -> None:
        with self._arrived:
            self._episode = message
            self._arrived.notify_all()

    def _watch_robot(self, topic: str, kind: str) -> None:
        """Listen to the robot's errors, which last until it is recovered."""
        read = ROBOT_STATES[kind]

        def observe(message: Any) -> None:
            error = read(message).problem or ''
            with self._lock:
                if error and error != self._robot_error:
                    self.robot_errors.append(error)
                self._robot_error = error

        self._client.watch_often(
            message_class(kind), topic, observe, STATE, period_s=ROBOT_PERIOD_S
        )

    def _on_sim_status(self, message: DiagnosticStatus) -> None:
        for value in message.values:
            if value.key == 'real_time_factor':
                self.real_time_factors.append(float(value.value))
