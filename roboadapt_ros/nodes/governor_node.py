"""The governor as a node: chunks in, safe joint targets out, 100 times a second.

Subscribes:
    sim2real/action_chunk (roboadapt_interfaces/ActionChunk): joint chunks of the rig. Where an
        adapter needs no bridge this is remapped to policy/action_chunk.
    joint_states, gripper/joint_states (sensor_msgs/JointState): measured arm and fingers.
    robot_state (type by parameter): the robot's own error state.
Publishes:
    target_joint (sensor_msgs/JointState): positions [rad] and velocities [rad/s] by name.
    gripper/command (type and convention by parameter): wanted width, while it changes.
    governor/command (roboadapt_interfaces/ActionChunk): each point sent, with its whole ledger.
    governor/status (roboadapt_interfaces/GateStatus): at 10 Hz and on change.
    /diagnostics: with compute time, length and jitter of the last minute's ticks
On failure: a chunk that breaks a rule is refused, counted by cause and logged; without good
chunks the arm holds after two policy periods and is released after 0.5 s. A robot error stops
the stream at once; when the robot has recovered the governor is idle again, and the gate has
to be armed anew. Killed, it leaves the arm in its controller's hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roboadapt_interfaces.msg import ActionChunk as ChunkMessage
from roboadapt_interfaces.msg import GateStatus
from roboadapt_ros.contract import GripperConvention
from roboadapt_ros.control.command import GovernorCommand, GovernorState
from roboadapt_ros.control.follower import FollowerConfig
from roboadapt_ros.control.governor import Governor, GovernorConfig
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.errors import RefusedError, SpecError
from roboadapt_ros.nodes.parameters import GovernorParameters
from roboadapt_ros.ros.convert import (
    from_chunk,
    to_chunk,
    to_float64s,
    to_gate_status,
    to_time,
)
from roboadapt_ros.ros.diagnostics import Health
from roboadapt_ros.ros.gripper import GripperWriter
from roboadapt_ros.ros.listen import listen_robot, listen_state
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.qos import COMMAND, DATA, STATE, STATUS, TRACE
from roboadapt_ros.ros.rig_messages import joint_state
from roboadapt_ros.ros.robot import ArmSample, StateBuffer
from roboadapt_ros.ros.run import run
from roboadapt_ros.ros.ticks import TickTimes
from sensor_msgs.msg import JointState

STATUS_TICKS = 10


def build_config(parameters: GovernorParameters) -> GovernorConfig:
    """Return the core's configuration."""
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
        ),
        workspace=WorkspaceConfig(**bounds),
    )


class GovernorNode(GraphNode[GovernorParameters]):
    """Drives a `Governor` from ROS; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('governor', GovernorParameters)

    def configure(self, config: GovernorParameters) -> None:
        """Build the governor and its publishers."""
        limits = replace(robot_limits(config.robot), joint_names=config.joint_names)
        self._config = config
        kinematics = PandaKinematics()
        self._governor = Governor(build_config(config), limits, kinematics)
        self._buffer = StateBuffer(
            config.joint_names, config.gripper_joint_names, kinematics.forward
        )
        self._robot_problem: str | None = None
        self._ticks, self._last_state = 0, self._governor.state
        self._tick_times = TickTimes(1.0 / config.rate_hz)
        self._gripper = GripperWriter(
            config.gripper.command_type,
            GripperConvention(config.gripper.convention),
            limits.gripper_width_max_m,
        )
        self._trace_of: Any = None
        self._sent = 0
        self._target_out = self.publisher(JointState, 'target_joint', COMMAND)
        self._gripper_out = self.publisher(self._gripper.message_type, 'gripper/command', COMMAND)
        self._trace_out = self.publisher(ChunkMessage, 'governor/command', TRACE)
        self._status_out = self.publisher(GateStatus, 'governor/status', STATUS)

    def activate(self) -> None:
        """Listen, and start the clock."""
        config = self._config
        listen_state(self, self._buffer, STATE, self._on_arm_state)
        listen_robot(self, config.robot_state_type, lambda status: self._on_robot(status.problem))
        self.subscribe(ChunkMessage, 'sim2real/action_chunk', self._on_chunk, DATA)
        self.every(1.0 / config.rate_hz, self._tick)

    def deactivate(self) -> None:
        """Send no more points; the arm's controller holds."""
        self._governor.reset()

    def health(self) -> Health:
        """Return how regular and quick the ticks are."""
        health = super().health()
        if not self.is_active:
            return health
        return replace(health, values={**health.values, **self._tick_times.values()})

    def _on_arm_state(self, sample: ArmSample) -> None:
        width_m = self._buffer.width_m
        if width_m is not None:
            self._governor.observe(sample.q, sample.dq, width_m, sample.stamp_ns)

    def _on_robot(self, problem: str | None) -> None:
        """Stop on a robot error; be idle again when it has gone."""
        if problem is not None and self._robot_problem is None:
            self.get_logger().error(f'Robot error: {problem}')
            self._governor.fault(f'robot: {problem}')
        elif problem is None and self._robot_problem is not None:
            self.get_logger().info('Robot has recovered; arm the gate to go on')
            self._governor.reset()
        self._robot_problem = problem

    def _on_chunk(self, message: ChunkMessage) -> None:
        now_ns = self.now_ns()
        try:
            chunk = from_chunk(message)
            chunk = replace(chunk, ledger=chunk.ledger.stamped('governed', now_ns))
            self._governor.accept(chunk, now_ns)
        except SpecError as error:
            self.refuse('shape', str(error))
        except RefusedError as error:
            self.refuse(error.cause, error.detail)

    def _tick(self) -> None:
        self._tick_times.begin()
        now_ns = self.now_ns()
        command = self._governor.command(now_ns)
        self._tick_times.computed()
        if command.q is not None and self._robot_problem is None:
            self._send(command, now_ns)
        self._ticks += 1
        if command.state is not self._last_state:
            self.get_logger().info(f'{command.state.value}: {command.reason}')
        if command.state is not self._last_state or self._ticks % STATUS_TICKS == 0:
            self._report(command.state, command.reason, now_ns)
        self._tick_times.end()

    def _send(self, command: GovernorCommand, now_ns: int) -> None:
        names = self._config.joint_names
        self._target_out.publish(joint_state(to_time(now_ns), names, command.q, command.dq))
        gripper = self._gripper.message(command.gripper_width_m, now_ns)
        if gripper is not None:
            self._gripper_out.publish(gripper)
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
                refused=governor.refused,
                counts=governor.counts,
            )
        )


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(GovernorNode, args)


if __name__ == '__main__':
    main()
