"""The simulated rig as a node: it speaks and obeys as a Franka rig does, in real time.

Subscribes:
    target_joint (sensor_msgs/JointState): joint targets by name [rad].
    gripper/command (type and convention by parameter): wanted width.
Publishes:
    joint_states (sensor_msgs/JointState): arm, 100 Hz. gripper/joint_states: fingers, 20 Hz.
    current_pose (geometry_msgs/PoseStamped): hand TCP in the base frame, best effort, depth 1.
    cameras/<name>/image_raw (sensor_msgs/Image), cameras/<name>/camera_info: at `camera_rate_hz`.
    robot_state (diagnostic_msgs/DiagnosticStatus): robot mode and errors, 10 Hz and on change.
    sim_rig/episode_status (roboadapt_interfaces/EpisodeStatus): the judge, 20 Hz.
    sim_rig/status (diagnostic_msgs/DiagnosticStatus): real-time factor, targets received and
        errors raised, once a second. /diagnostics
Serves:
    sim_rig/reset_episode (ResetEpisode): new scene, arm at its start. The arm jumps there, so the
        order is: disarm, wait for the governor to be idle, reset, arm. Refused while targets come.
    sim_rig/recover (std_srvs/Trigger): clears the robot's errors.
On failure: a target that a real arm refuses ends in REFLEX until it is recovered; a malformed one
is refused and counted. It warns when it falls behind real time, and never runs faster.
"""

from __future__ import annotations

from collections import deque
import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
from roboadapt_interfaces.msg import EpisodeStatus
from roboadapt_interfaces.srv import ResetEpisode
from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.errors import RoboAdaptError, SpecError
from roboadapt_ros.nodes.parameters import SimRigParameters
from roboadapt_ros.ros.convert import from_time, to_time
from roboadapt_ros.ros.diagnostics import Health, Level, to_status
from roboadapt_ros.ros.gripper import GripperReader
from roboadapt_ros.ros.images import from_rgb
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.pacer import Pacer
from roboadapt_ros.ros.qos import COMMAND, DATA, IMAGE, STATE, STATE_OUT, STATUS
from roboadapt_ros.ros.rig_messages import camera_info, finger_state, joint_state, pose
from roboadapt_ros.ros.robot import JointReader
from roboadapt_ros.ros.run import run
from roboadapt_ros.sim.franka import RobotMode
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.rig_state import RigConfig, RigState
from roboadapt_ros.sim.tasks import make_task, Task
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger

TICK_S = 0.01
JUDGE_TICKS, GRIPPER_TICKS, ROBOT_TICKS, STATUS_TICKS = 5, 5, 10, 100
QUIET_S = 0.05
"""Time without a target after which the arm may be put elsewhere [s]."""
SLOW_FACTOR = 0.98


class SimRigNode(GraphNode[SimRigParameters]):
    """Runs a `SimRig` in real time; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('sim_rig', SimRigParameters)
        self._pacer: Pacer | None = None

    def configure(self, config: SimRigParameters) -> None:
        """Build the world."""
        self._config = config
        self._lock = threading.Lock()
        self._rig = SimRig(RigConfig(width=config.width, height=config.height), seed=config.seed)
        self._reader = JointReader(config.joint_names)
        self._gripper = GripperReader(
            config.gripper_message,
            GripperConvention(config.gripper_convention),
            self._rig.config.gripper.max_width_m,
        )
        self._targets: deque[tuple[np.ndarray[Any, Any], int]] = deque(maxlen=10)
        self._sent_ns = 0
        self._targets_received, self._last_target_ns = 0, 0
        self._task: Task | None = None
        self._episode = EpisodeStatus()
        self._episode_start_s = 0.0
        self._ticks, self._camera_ticks = 0, max(1, round(1.0 / config.camera_rate_hz / TICK_S))
        self._last_mode, self._robot_errors = RobotMode.IDLE, 0
        self._joints_out = self.publisher(JointState, 'joint_states', STATE_OUT)
        self._fingers_out = self.publisher(JointState, 'gripper/joint_states', STATE_OUT)
        self._pose_out = self.publisher(PoseStamped, 'current_pose', STATE)
        self._robot_out = self.publisher(DiagnosticStatus, 'robot_state', STATUS)
        self._episode_out = self.publisher(EpisodeStatus, 'sim_rig/episode_status', STATUS)
        self._status_out = self.publisher(DiagnosticStatus, 'sim_rig/status', STATUS)
        self._camera_out = {
            name: (
                self.publisher(Image, f'cameras/{name}/image_raw', IMAGE),
                self.publisher(CameraInfo, f'cameras/{name}/camera_info', IMAGE),
            )
            for name in self._rig.camera_names
        }

    def activate(self) -> None:
        """Listen, serve and let time run."""
        self.subscribe(JointState, 'target_joint', self._on_target, DATA)
        self.subscribe(self._gripper.message_type, 'gripper/command', self._on_gripper, COMMAND)
        self.serve(ResetEpisode, 'sim_rig/reset_episode', self._on_reset)
        self.serve(Trigger, 'sim_rig/recover', self._on_recover)
        self._pacer = Pacer(TICK_S, self._tick, failed=self._on_failed, ended=self._rig.close)
        self._pacer.start()

    def deactivate(self) -> None:
        """Let time stand still."""
        if self._pacer is not None:
            self._pacer.stop()
            self._pacer = None

    def health(self) -> Health:
        """Return whether it keeps up, and what it took and refused."""
        if self.problem or self._pacer is None:
            return super().health()
        factor = self._pacer.factor
        values = {
            'real_time_factor': round(factor, 4),
            'lost_s': round(self._pacer.lost_s, 3),
            'targets_received': self._targets_received,
            'robot_errors': self._robot_errors,
            **self.refused,
        }
        if factor < SLOW_FACTOR:
            return Health(Level.WARN, f'runs at {factor:.2f} of real time', values)
        return Health(Level.OK, 'runs in real time', values)

    # ---- commands, from the executor ----

    def _on_target(self, message: JointState) -> None:
        now_ns = self.now_ns()
        try:
            q, _ = self._reader.read(message)
            if not np.isfinite(q).all():
                raise SpecError('target_joint', str(q.tolist()), 'finite positions [rad]')
        except SpecError as error:
            self.refuse('target', str(error))
            return
        self._targets_received += 1
        self._last_target_ns = now_ns
        self._targets.append((q, from_time(message.header.stamp) or now_ns))

    def _on_gripper(self, message: Any) -> None:
        try:
            width_m = self._gripper.width_m(message)
        except SpecError as error:
            self.refuse('gripper', str(error))
            return
        with self._lock:
            self._rig.set_gripper_target(width_m)

    def _on_reset(
        self, request: ResetEpisode.Request, response: ResetEpisode.Response
    ) -> ResetEpisode.Response:
        quiet_s = (self.now_ns() - self._last_target_ns) / 1e9
        try:
            task = make_task(request.task)
            if quiet_s < QUIET_S:
                raise SpecError(
                    'reset_episode',
                    f'a target {quiet_s:.3f} s ago',
                    'no targets: disarm, and wait until the governor is idle',
                )
            with self._lock:
                self._start(task, int(request.seed))
            response.success, response.message = True, f'{request.task}, seed {request.seed}'
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
        response.stamp = to_time(self.now_ns())
        return response

    def _start(self, task: Task, seed: int) -> None:
        """Place everything for an episode; the lock is held."""
        self._targets.clear()
        self._rig.reset(seed)
        task.start(self._rig)
        self._task, self._episode_start_s = task, self._rig.time_s
        self._episode = EpisodeStatus(task=task.name, seed=seed, running=True, message='running')

    def _on_recover(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            with self._lock:
                self._targets.clear()
                self._rig.recover()
            response.success, response.message = True, 'errors cleared; arm the gate to go on'
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
        return response

    # ---- time, from the pacer's thread ----

    def _tick(self) -> None:
        with self._lock:
            # One target a tick, as they were sent; two where they have piled up behind a stall.
            for _ in range(min(len(self._targets), 1 if len(self._targets) < 4 else 2)):
                q, sent_ns = self._targets.popleft()
                self._rig.set_joint_target(q, sent_after_s=(sent_ns - self._sent_ns) / 1e9)
                self._sent_ns = sent_ns
            self._rig.advance(TICK_S)
            state = self._rig.state()
            stamp_ns = self.now_ns()
            self._publish_state(state, stamp_ns)
            if self._ticks % JUDGE_TICKS == 0:
                self._judge(stamp_ns)
            if self._ticks % self._camera_ticks == 0:
                self._expose(stamp_ns)
        self._ticks += 1
        if self._ticks % STATUS_TICKS == 0:
            self._report_status()

    def _publish_state(self, state: RigState, stamp_ns: int) -> None:
        stamp = to_time(stamp_ns)
        config = self._config
        self._joints_out.publish(
            joint_state(stamp, config.joint_names, state.q, state.dq, state.tau)
        )
        if self._ticks % GRIPPER_TICKS == 0:
            fingers = finger_state(stamp, config.gripper_joint_names, state.gripper_width_m)
            self._fingers_out.publish(fingers)
        self._pose_out.publish(
            pose(stamp, config.base_frame, state.ee_position, state.ee_quat_xyzw)
        )
        if self._rig.mode is not self._last_mode or self._ticks % ROBOT_TICKS == 0:
            self._report_robot()

    def _report_robot(self) -> None:
        rig = self._rig
        if rig.mode is not self._last_mode and rig.errors:
            self._robot_errors += 1
            self.get_logger().error(f'{rig.mode.name}: {", ".join(rig.errors)}')
        self._last_mode = rig.mode
        is_well = rig.mode in (RobotMode.IDLE, RobotMode.MOVE)
        message = ', '.join(rig.errors) or rig.mode.name.lower()
        values = {'robot_mode': int(rig.mode), 'current_errors': ' '.join(rig.errors)}
        health = Health(Level.OK if is_well else Level.ERROR, message, values)
        self._robot_out.publish(to_status('franka', health))

    def _judge(self, stamp_ns: int) -> None:
        status = self._episode
        if self._task is not None and status.running:
            outcome = self._task.outcome(self._rig)
            status.elapsed_s = self._rig.time_s - self._episode_start_s
            status.success = outcome.success
            status.running = not (outcome.success or outcome.failed)
            status.message = outcome.message
        status.stamp = to_time(stamp_ns)
        self._episode_out.publish(status)

    def _expose(self, stamp_ns: int) -> None:
        """Draw every camera at this very moment; joint states have the same stamp."""
        stamp = to_time(stamp_ns)
        for name, (image_out, info_out) in self._camera_out.items():
            frame_id = f'{name}_optical_frame'
            image_out.publish(from_rgb(self._rig.render(name), stamp, frame_id))
            model = self._rig.camera_model(name)
            size, focal = (model.width, model.height), (model.fx, model.fy, model.cx, model.cy)
            info_out.publish(camera_info(size, focal, stamp, frame_id))

    def _report_status(self) -> None:
        health = self.health()
        if health.level is not Level.OK:
            self.get_logger().warning(health.message, throttle_duration_sec=5.0)
        self._status_out.publish(to_status('sim_rig', health))

    def _on_failed(self, report: str) -> None:
        self.problem = 'the simulation ended with an exception; see the log'
        self.get_logger().fatal(f'The simulation has ended:\n{report}')


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(SimRigNode, args)


if __name__ == '__main__':
    main()
