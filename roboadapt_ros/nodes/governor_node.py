"""The governor as a node: chunks in, safe joint targets out, 100 times a second.

Subscribes:
    sim2real/action_chunk (roboadapt_interfaces/ActionChunk): joint chunks of the rig.
    joint_states, gripper/joint_states (sensor_msgs/JointState): measured arm and fingers.
    robot_state (type by parameter): the robot's own mode, errors, success rate and wrench.
    robot_description (std_msgs/String, latched): URDF; where its limits are narrower, they hold.
Publishes:
    target_joint (sensor_msgs/JointState): positions [rad] and velocities [rad/s], with the default
        driver of the arm; others have another topic and type, or leave out points (`rig_link`).
    gripper/command (type and convention by parameter): wanted width, while it changes, with the
        default driver of the hand; others call actions.
    governor/command (roboadapt_interfaces/ActionChunk): each point, with its whole ledger.
    governor/status (roboadapt_interfaces/GateStatus): at 10 Hz and on change.
    /diagnostics: with compute time, length and jitter of the last minute's ticks, and the robot's
        own state
Serves:
    governor/soft_stop, governor/hard_stop, governor/reset, governor/recover, governor/setup: see
        `robot_services`.
On failure: a chunk that breaks a rule is refused, counted by cause and logged; without good
chunks the arm holds after two policy periods and is released after 0.5 s. A robot error stops
the stream with the next point, and it stays in fault until a recovery that a person has confirmed
has completed, even if the error goes away before; then the gate has to be armed anew. Another
publisher on a topic of the arm is a stop, too. Killed, it leaves the arm in its controller's hold.
"""

from __future__ import annotations

from dataclasses import replace
import math
import time
from typing import Any

from roboadapt_interfaces.msg import ActionChunk as ChunkMessage
from roboadapt_interfaces.msg import GateStatus
from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.command import FloatArray, GovernorCommand, GovernorState
from roboadapt_ros.control.governor import Governor
from roboadapt_ros.control.governor_config import (
    FollowerConfig,
    GovernorConfig,
    SelfCollisionConfig,
)
from roboadapt_ros.control.gripper import GripperLimitConfig
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import RefusedError, SpecError
from roboadapt_ros.nodes.rig_link import RigLink
from roboadapt_ros.nodes.robot_description import DescribedLimits
from roboadapt_ros.nodes.robot_guard import RobotGuard
from roboadapt_ros.nodes.robot_services import RobotServices
from roboadapt_ros.ros.convert import (
    from_chunk,
    to_chunk,
    to_float64s,
    to_gate_status,
    to_time,
)
from roboadapt_ros.ros.diagnostics import Health, Level
from roboadapt_ros.ros.hands.settings import TOPIC
from roboadapt_ros.ros.listen import listen_arm, listen_hand, listen_robot
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import GovernorParameters
from roboadapt_ros.ros.qos import DATA, STATE, STATUS, TRACE
from roboadapt_ros.ros.robot import ArmSample, StateBuffer
from roboadapt_ros.ros.run import run
from roboadapt_ros.ros.ticks import TickTimes

STATUS_HZ = 10.0
END_S = 1.0
"""Longest stop at the end [s]; a rig with slower limits ends before it is at rest."""
_HAND = GripperLimitConfig()


def build_config(parameters: GovernorParameters) -> GovernorConfig:
    """Return the core's configuration.

    Raises:
        ConfigError: Settings contradict others.
    """
    corners = zip('xyz', parameters.workspace_low_m, parameters.workspace_high_m, strict=True)
    bounds = {}
    for axis, low, high in corners:
        bounds |= {f'{axis}_min_m': low, f'{axis}_max_m': high}
    return GovernorConfig(
        rate_hz=parameters.rate_hz,
        lookahead_s=parameters.lookahead_s,
        motion=FollowerConfig(
            velocity_scale=parameters.velocity_scale,
            acceleration_scale=parameters.acceleration_scale,
            jerk_scale=parameters.jerk_scale,
            hand_speed_max_m_s=parameters.hand_speed_max_m_s,
            hand_turn_max_rad_s=parameters.hand_turn_max_rad_s,
            position_margin_rad=parameters.position_margin_rad,
        ),
        workspace=WorkspaceConfig(**bounds, max_tilt_rad=parameters.tilt_max_rad or None),
        admission=AdmissionConfig(max_jump_rad=parameters.jump_max_rad),
        self_collision=SelfCollisionConfig(min_distance_m=parameters.self_distance_min_m),
        contact=parameters.contact.config(),
        # A hand with actions is asked again by its driver, which gives up in the end.
        gripper=_HAND if parameters.gripper.driver == TOPIC else replace(_HAND, jam_s=math.inf),
    )


class GovernorNode(GraphNode[GovernorParameters]):
    """Drives a `Governor` from ROS; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters, and offer the services of the robot."""
        super().__init__('governor', GovernorParameters)
        self._services_of_robot = RobotServices(self)

    def configure(self, config: GovernorParameters) -> None:
        """Build the governor and its publishers."""
        limits = replace(robot_limits(config.robot), joint_names=config.joint_names)
        self._config = config
        kinematics = PandaKinematics()
        self._governor = Governor(build_config(config), limits, kinematics)
        self._described = DescribedLimits(self, config.joint_names, self._governor)
        self._buffer = StateBuffer(
            config.joint_names, config.gripper_joint_names, kinematics.forward
        )
        self._ticks, self._last_state = 0, self._governor.state
        self._status_ticks = max(1, round(config.rate_hz / STATUS_HZ))
        self._tick_times = TickTimes(1.0 / config.rate_hz)
        self._link = RigLink(self, config, self._governor, kinematics)
        self._trace_of: Any = None
        self._sent = 0
        self._trace_out = self.publisher(ChunkMessage, 'governor/command', TRACE)
        self._status_out = self.publisher(GateStatus, 'governor/status', STATUS)
        services = self._services_of_robot
        self._robot = RobotGuard(
            self,
            config,
            self._governor,
            self._state_age_s,
            self._link.hand.halt,
            before=services.guard,
        )
        services.guard = self._robot

    def activate(self) -> None:
        """Listen, and start the clock."""
        config = self._config
        self._look_at_hand = listen_hand(self, self._buffer, STATE)
        self._look_at_arm = listen_arm(self, self._buffer, STATE, self._on_arm_state)
        self._look_at_robot = listen_robot(self, config.robot_state_type, self._robot.observe)
        self._described.activate()
        self.subscribe(ChunkMessage, 'sim2real/action_chunk', self._on_chunk, DATA)
        self._link.begin()
        self.every(1.0 / config.rate_hz, self._tick)
        self._robot.activate()

    def deactivate(self) -> None:
        """Bring the arm to rest and send no more points; the arm's controller holds."""
        try:
            self._come_to_rest()
        finally:
            self._link.end(self.now_ns())
            self._robot.deactivate()
            self._governor.reset()

    def release(self) -> None:
        """Let the robot's drivers go."""
        if self._services_of_robot.guard is not None:
            self._services_of_robot.guard.release()

    def health(self) -> Health:
        """Return how the robot does, and how regular and quick the ticks are."""
        health = super().health()
        if not self.is_active:
            return health
        values = {**health.values, **self._tick_times.values(), **self._robot.values()}
        for level, said in (
            (Level.ERROR, self._robot.watch.blocked),
            (Level.ERROR, self._link.problem),
            (Level.WARN, self._robot.warning),
            (Level.WARN, self._link.remark),
        ):
            if said:
                return Health(level, said, values)
        return replace(health, values=values)

    def _state_age_s(self) -> float:
        newest = self._buffer.latest
        return float('inf') if newest is None else abs(self.now_ns() - newest.stamp_ns) / 1e9

    def _on_arm_state(self, sample: ArmSample, came_ns: int) -> None:
        self._link.observe(sample, came_ns)
        width_m = self._buffer.width_m
        if width_m is not None:
            self._link.hand.observe(width_m)
            self._governor.observe(sample.q, sample.dq, width_m, sample.stamp_ns)

    def _on_chunk(self, message: ChunkMessage) -> None:
        self._look_at_arm()
        now_ns = self.now_ns()
        try:
            chunk = from_chunk(message)
            chunk = replace(chunk, ledger=chunk.ledger.stamped('governed', now_ns))
            self._link.require()
            self._governor.accept(chunk, now_ns)
        except SpecError as error:
            self.refuse('shape', str(error))
        except RefusedError as error:
            self.refuse(error.cause, error.detail)

    def _tick(self) -> None:
        self._tick_times.begin()
        self._look_at_arm()
        now_ns = self.now_ns()
        command = self._governor.command(now_ns)
        self._tick_times.computed()
        is_sent = command.q is not None and self._robot.rights.may_stream
        self._governor.kept = None
        if is_sent:
            self._send(command, now_ns)
            if self._link.hand.has_given_up and self._robot.is_moving:
                self._governor.fault(f'the hand has given up: {self._link.hand.problem}')
        elif self._robot.rights.may_keep:
            self._governor.kept = self._keep(now_ns)
        else:
            self._link.quiet(now_ns)
        # Only now, for a point that waits is late: reading a FrankaRobotState takes four times as
        # long as computing one.
        self._look_at_robot()
        self._look_at_hand()
        self._link.look()
        self._robot.note_stream(now_ns, is_sent=is_sent)
        self._robot.tick(now_ns, is_at_rest=command.q is None)
        self._ticks += 1
        if command.state is not self._last_state:
            self.get_logger().info(f'{command.state.value}: {command.reason}')
        if command.state is not self._last_state or self._ticks % self._status_ticks == 0:
            self._report(command.state, command.reason, now_ns)
        self._tick_times.end()

    def _come_to_rest(self) -> None:
        """Send the points of a stop, and wait for it: nothing else runs any more.

        A stream that broke off in motion would leave the controller a step in speed.
        """
        self._governor.fault('the governor was deactivated')
        period_s, end_s = 1.0 / self._config.rate_hz, time.monotonic() + END_S
        while self._robot.rights.may_stream and time.monotonic() < end_s:
            now_ns = self.now_ns()
            command = self._governor.command(now_ns)
            if command.q is None:
                return
            self._send(command, now_ns)
            time.sleep(period_s)

    def _keep(self, now_ns: int) -> FloatArray | None:
        """Send what the arm at rest is to keep, and return it."""
        robot, is_off = self._robot, self._link.is_off(now_ns)
        hold = robot.rights.hold(now_ns, robot.mode(now_ns), is_off=is_off)
        return self._link.keep(now_ns, hold)

    def _send(self, command: GovernorCommand, now_ns: int) -> None:
        self._link.send(command, now_ns)
        if command.chunk is not None:
            self._trace(command, now_ns)

    def _trace(self, command: GovernorCommand, now_ns: int) -> None:
        """Publish the point with the ledger of its chunk; one message serves a whole chunk."""
        if self._trace_of is not command.chunk:
            self._trace_of = command.chunk
            self._trace_message = to_chunk(
                replace(command.chunk, actions=command.chunk.actions[:1])
            )
        message = self._trace_message
        self._sent += 1
        message.sequence = self._sent
        message.start = to_time(now_ns)
        message.period_s = 1.0 / self._config.rate_hz
        message.ledger.published = now_ns
        message.actions = to_float64s([*command.q, command.gripper_width_m])
        self._trace_out.publish(message)

    def _report(self, state: GovernorState, reason: str, now_ns: int) -> None:
        self._last_state = state
        governor = self._governor
        self._status_out.publish(
            to_gate_status(
                node='governor',
                stamp_ns=now_ns,
                state=state.value,
                reason=reason,
                generation=governor.generation,
                accepted=governor.accepted,
                refused=governor.refused + self._link.refused,
                counts={**governor.counts, **self._link.counts},
            )
        )


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(GovernorNode, args)


if __name__ == '__main__':
    main()
