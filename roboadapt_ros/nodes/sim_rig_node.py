"""The simulated rig as a node: it speaks and obeys as a Franka rig does, in real time.

Subscribes:
    gripper/command (type and convention by parameter): wanted width.
    By `output.driver`, as the rig file has it for the governor: see `inputs`.
    joint_impedance, cartesian_pose: target_joint (sensor_msgs/JointState), joints by name [rad];
        target_pose (geometry_msgs/PoseStamped), hand TCP in the base frame, solved to joints.
    joint_trajectory: joint_trajectory (trajectory_msgs/JointTrajectory).
    servo_twist, servo_jog, servo_pose: the topics of a moveit_servo node, and its services.
    float64_array: commands (std_msgs/Float64MultiArray), positions or speeds.
Publishes:
    joint_states (sensor_msgs/JointState): arm, at `joint_state_rate_hz`.
    gripper/joint_states (sensor_msgs/JointState): fingers, at `finger_rate_hz`.
    current_pose (geometry_msgs/PoseStamped): hand TCP in the base frame, best effort, depth 1,
        at `pose_rate_hz`.
    cameras/<name>/image_raw (sensor_msgs/Image), cameras/<name>/camera_info: at `camera_rate_hz`.
    robot_state (type by parameter): robot mode and errors, at `robot_state_rate_hz` and on change.
    sim_rig/episode_status (roboadapt_interfaces/EpisodeStatus): the judge, 20 Hz.
    sim_rig/status (diagnostic_msgs/DiagnosticStatus): real-time factor, targets received and
        errors raised, once a second. /diagnostics
Serves:
    sim_rig/reset_episode (ResetEpisode): new scene, arm at its start. The arm jumps there, so the
        order is: disarm, wait for the governor to be idle, reset, arm. Refused while targets come.
    sim_rig/recover (std_srvs/Trigger): clears the robot's errors; its controller is active again.
    sim_rig/deactivate (std_srvs/Trigger): its controller hears no more targets, the arm holds.
    sim_rig/user_stop (std_srvs/SetBool): presses or releases the robot's user stop.
    With `fake_driver`: what franka_ros2 offers, see `fake_driver`.
    Parameter `faults` can be set at any time: see `rig_faults` for what can be put in.
On failure: a target that a real arm refuses ends in REFLEX until it is recovered; a malformed one
is refused and counted. It warns when it falls behind real time, and never runs faster.
"""

from __future__ import annotations

import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from roboadapt_interfaces.msg import EpisodeStatus
from roboadapt_interfaces.srv import ResetEpisode
from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.errors import RoboAdaptError, SpecError
from roboadapt_ros.nodes.episode import Episode
from roboadapt_ros.nodes.fake_driver import FakeDriver
from roboadapt_ros.nodes.inputs.arm_input import TICK_S
from roboadapt_ros.nodes.inputs.make import input_class, make_input
from roboadapt_ros.nodes.rig_faults import RigFaults
from roboadapt_ros.nodes.rig_output import RigOutput
from roboadapt_ros.nodes.rig_services import RigServices
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.diagnostics import Health, Level, to_status
from roboadapt_ros.ros.gripper import GripperReader
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import SimRigParameters
from roboadapt_ros.ros.pacer import Pacer
from roboadapt_ros.ros.qos import COMMAND, STATUS
from roboadapt_ros.ros.run import run
from roboadapt_ros.sim.impedance import ImpedanceConfig
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.rig_state import RigConfig, RigState
from roboadapt_ros.sim.stream_check import StreamConfig
from roboadapt_ros.sim.tasks import make_task

JUDGE_TICKS, STATUS_TICKS = 5, 100
QUIET_S = 0.05
"""Time without a target after which the arm may be put elsewhere [s]."""
SLOW_FACTOR = 0.98


def build_config(parameters: SimRigParameters) -> RigConfig:
    """Return the core's configuration."""
    makes_points = input_class(parameters.output).makes_points
    period_s = TICK_S if makes_points else 1.0 / parameters.target_rate_hz
    return RigConfig(
        width=parameters.width,
        height=parameters.height,
        robot=parameters.robot,
        impedance=ImpedanceConfig(command_period_s=period_s),
        stream=StreamConfig(period_s=period_s, timeout_s=parameters.target_timeout_s),
    )


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
        self._rig = SimRig(build_config(config), seed=config.seed)
        self._gripper = GripperReader(
            config.gripper_message,
            GripperConvention(config.gripper_convention),
            self._rig.config.gripper.max_width_m,
        )
        host = SimHost(self, config, self._rig, self._lock)
        self._input = make_input(host)
        self._width_m: float | None = None
        self._episode, faults = Episode(self._rig), RigFaults(self._rig)
        faults.set(config.faults)
        self._driver = FakeDriver(host) if config.fake_driver else None
        if self._driver is not None:
            self._input.heard = self._driver.state.hear
        self._output = RigOutput(self, config, self._rig, faults, self._driver, TICK_S)
        self._requests = RigServices(self, self._rig, faults, self._lock, self._input.forget)
        self._ticks, self._camera_ticks = 0, max(1, round(1.0 / config.camera_rate_hz / TICK_S))
        self._episode_out = self.publisher(EpisodeStatus, 'sim_rig/episode_status', STATUS)
        self._status_out = self.publisher(DiagnosticStatus, 'sim_rig/status', STATUS)

    def activate(self) -> None:
        """Listen, serve and let time run."""
        with self._lock:
            self._input.forget()  # what came before it was deactivated
        self._input.listen()
        self.subscribe(self._gripper.message_type, 'gripper/command', self._on_gripper, COMMAND)
        self.serve(ResetEpisode, 'sim_rig/reset_episode', self._on_reset)
        self._requests.serve()
        if self._driver is not None:
            self._driver.serve()
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
            'targets_received': self._input.received,
            'robot_errors': self._output.robot_errors,
            **self.refused,
        }
        if factor < SLOW_FACTOR:
            return Health(Level.WARN, f'runs at {factor:.2f} of real time', values)
        return Health(Level.OK, 'runs in real time', values)

    # ---- commands, from the executor ----

    def _on_gripper(self, message: Any) -> None:
        try:
            self._width_m = self._gripper.width_m(message)
        except SpecError as error:
            self.refuse('gripper', str(error))

    def _on_reset(
        self, request: ResetEpisode.Request, response: ResetEpisode.Response
    ) -> ResetEpisode.Response:
        quiet_s = self._input.quiet_s()
        try:
            task = make_task(request.task)
            if quiet_s < QUIET_S:
                raise SpecError(
                    'reset_episode',
                    f'a target {quiet_s:.3f} s ago',
                    'no targets: disarm, and wait until the governor is idle',
                )
            with self._lock:
                self._width_m = None
                self._episode.start(task, int(request.seed))
                self._input.forget()
            response.success, response.message = True, f'{request.task}, seed {request.seed}'
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
        response.stamp = to_time(self.now_ns())
        return response

    # ---- time, from the pacer's thread ----

    def _tick(self) -> None:
        with self._lock:
            quiet_s = self._input.advance()
            width_m, self._width_m = self._width_m, None
            if width_m is not None:
                self._rig.set_gripper_target(width_m)
            samples = self._advance(quiet_s)
            stamp_ns, ticks = self.now_ns(), self._ticks
            self._output.joints(samples, stamp_ns)
            self._output.state(ticks, stamp_ns)
            if ticks % JUDGE_TICKS == 0:
                self._episode_out.publish(self._episode.judge(to_time(stamp_ns)))
            if ticks % self._camera_ticks == 0:
                self._output.cameras(stamp_ns)
        self._ticks += 1
        if self._ticks % STATUS_TICKS == 0:
            health = self.health()
            if health.level is not Level.OK:
                self.get_logger().warning(health.message, throttle_duration_sec=5.0)
            self._status_out.publish(to_status('sim_rig', health))

    def _advance(self, quiet_s: float) -> list[RigState]:
        """Let a tick of time pass; return the states that are due in it, oldest first."""
        count = max(1, round(TICK_S * self._config.joint_state_rate_hz))
        samples = []
        for _ in range(count):
            self._rig.advance(TICK_S / count, quiet_s=quiet_s)
            samples.append(self._rig.state())
        return samples

    def _on_failed(self, report: str) -> None:
        self.problem = 'the simulation ended with an exception; see the log'
        self.get_logger().fatal(f'The simulation has ended:\n{report}')


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(SimRigNode, args)


if __name__ == '__main__':
    main()
