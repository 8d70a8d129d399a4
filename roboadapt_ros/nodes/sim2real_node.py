"""The bridge and the gate as a node: a task's chunks become the rig's, when armed.

Subscribes:
    policy/action_chunk (roboadapt_interfaces/ActionChunk): chunks of the task's contract.
    joint_states, gripper/joint_states (sensor_msgs/JointState): measured arm and fingers.
    governor/status (roboadapt_interfaces/GateStatus): the governor's heartbeat.
    robot_state (type by parameter): the robot's own error state.
Publishes:
    sim2real/action_chunk (roboadapt_interfaces/ActionChunk): joint chunks, only while armed.
    sim2real/status (roboadapt_interfaces/GateStatus): at 10 Hz and on change; in dry-run the
        reason says what the last chunk would have done.
    /diagnostics
Serves:
    sim2real/arm (roboadapt_interfaces/Arm): opens or closes the gate.
On failure: starts in dry-run. Disarms by itself when chunks stop for 0.5 s, when the governor or
the robot reports a fault or falls silent; it takes an explicit arm to go on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from roboadapt_interfaces.msg import ActionChunk as ChunkMessage
from roboadapt_interfaces.msg import GateStatus
from roboadapt_interfaces.srv import Arm
from roboadapt_ros.control.command import GovernorState
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.robot_status import RobotStatus
from roboadapt_ros.dataflow import ActionChunk, RobotState
from roboadapt_ros.errors import RefusedError, RoboAdaptError, SpecError
from roboadapt_ros.nodes.task_bridges import TaskBridges
from roboadapt_ros.ros.convert import from_chunk, to_chunk, to_gate_status
from roboadapt_ros.ros.listen import listen_robot, listen_state
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import Sim2RealParameters
from roboadapt_ros.ros.qos import DATA, STATE, STATUS
from roboadapt_ros.ros.robot import StateBuffer
from roboadapt_ros.ros.run import run
from roboadapt_ros.sim2real.bridge import BridgeConfig
from roboadapt_ros.sim2real.gate import Gate, GateConfig, GateState

STATUS_PERIOD_S = 0.1
STATE_MAX_AGE_S = 0.1
ROBOT_STATE_TIMEOUT_S = 1.0
ROBOT_PERIOD_S = 0.05
"""How often arm, hand and robot are looked at [s]; the governor does it in every tick."""
GOVERNOR_STATES = tuple(state.value for state in GovernorState)
LET_GO = (GovernorState.IDLE.value, GovernorState.RAMP_DOWN.value)
NO_ROBOT_STATE = 'the rig file names an error state of the robot, and none comes'


def bridge_config(parameters: Sim2RealParameters) -> BridgeConfig:
    """Return the rig's side of the mapping."""
    return BridgeConfig(
        robot=parameters.robot,
        joint_names=parameters.joint_names,
        base_offset_m=parameters.base_offset_m,
        base_yaw_rad=parameters.base_yaw_rad,
        gripper_width_max_m=parameters.gripper_width_max_m,
    )


class Sim2RealNode(GraphNode[Sim2RealParameters]):
    """Drives a `Bridge` per task and one `Gate`; see the module for topics and failures."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('sim2real', Sim2RealParameters)

    def configure(self, config: Sim2RealParameters) -> None:
        """Read every task's contract and build the bridges."""
        self._config = config
        kinematics = PandaKinematics(limits=robot_limits(config.robot))
        self._bridges = TaskBridges(Path(config.models_dir), bridge_config(config), kinematics)
        for task in self._bridges.library.names():
            try:
                self._bridges.load(task)
            except RoboAdaptError as error:
                self.get_logger().error(f"Task '{task}' is not served: {error}")
        self._gate = Gate(
            GateConfig(
                chunk_timeout_s=config.chunk_timeout_s,
                governor_timeout_s=config.governor_timeout_s,
                robot_timeout_s=config.robot_timeout_s,
            )
        )
        self._buffer = StateBuffer(
            config.joint_names, config.gripper_joint_names, kinematics.forward
        )
        self._robot_problem = NO_ROBOT_STATE if config.robot_state_type else None
        self._robot_ns = 0
        self._preview, self._last_state = '', self._gate.state
        self._chunk_out = self.publisher(ChunkMessage, 'sim2real/action_chunk', DATA)
        self._status_out = self.publisher(GateStatus, 'sim2real/status', STATUS)

    def activate(self) -> None:
        """Listen, and serve `arm`; the gate is closed."""
        config = self._config
        self._look_at_state = listen_state(self, self._buffer, STATE, self._on_arm_state)
        look_at_robot = listen_robot(self, config.robot_state_type, self._on_robot)

        def look() -> None:
            look_at_robot()
            self._look_at_state()

        self.every(ROBOT_PERIOD_S, look)
        self.subscribe(GateStatus, 'governor/status', self._on_governor, STATUS)
        self.subscribe(ChunkMessage, 'policy/action_chunk', self._on_chunk, DATA)
        self.serve(Arm, 'sim2real/arm', self._on_arm)
        self.every(STATUS_PERIOD_S, self._report)

    def deactivate(self) -> None:
        """Close the gate."""
        self._gate.disarm('deactivated')

    def _on_arm_state(self, *_: object) -> None:
        now_ns = self.now_ns()
        quiet_s = (now_ns - self._robot_ns) / 1e9
        if self._config.robot_state_type and quiet_s > ROBOT_STATE_TIMEOUT_S:
            self._robot_problem = NO_ROBOT_STATE
        self._gate.observe_robot(now_ns, self._robot_problem)

    def _on_robot(self, status: RobotStatus) -> None:
        problem = status.problem
        self._robot_problem, self._robot_ns = problem, self.now_ns()
        if problem is not None:
            self._gate.observe_robot(self.now_ns(), problem)
            self._report_change()

    def _on_governor(self, message: GateStatus) -> None:
        fault = message.reason if message.state == GovernorState.FAULT.value else None
        if message.state not in GOVERNOR_STATES:
            known = ', '.join(GOVERNOR_STATES)
            fault = f'the state {message.state!r} of the governor is none of {known}'
        idle = message.reason if message.state in LET_GO else None
        self._gate.observe_governor(self.now_ns(), fault, idle)
        self._report_change()

    def _on_chunk(self, message: ChunkMessage) -> None:
        now_ns = self.now_ns()
        try:
            self._pass(from_chunk(message), now_ns)
        except SpecError as error:
            self._refuse(RefusedError('shape', str(error)))
        except RefusedError as error:
            self._refuse(error)
        self._report_change()

    def _pass(self, chunk: ActionChunk, now_ns: int) -> None:
        """Map a chunk and let it through where the gate is open."""
        bridge = self._bridges.find(chunk.identity)
        self._look_at_state()
        state = self._buffer.nearest(now_ns, max_distance_s=STATE_MAX_AGE_S)
        mapped = bridge.map(chunk, state)
        mapped = replace(mapped, ledger=mapped.ledger.stamped('bridged', self.now_ns()))
        if self._gate.admit(mapped, now_ns, bridge.contract.max_observation_age_s):
            self._chunk_out.publish(to_chunk(mapped))
        self._preview = _describe(mapped, state)

    def _refuse(self, error: RefusedError) -> None:
        self._gate.refuse(error, self.now_ns())
        self.refuse(error.cause, error.detail)

    def _on_arm(self, request: Arm.Request, response: Arm.Response) -> Arm.Response:
        try:
            if request.arm:
                self._look_at_state()
                self._bridges.reset()
                self._gate.arm(self.now_ns())
            else:
                self._gate.disarm('disarmed by request')
            response.success, response.message = True, self._gate.reason
        except RefusedError as error:
            response.success, response.message = False, error.detail
        response.state = self._gate.state.value
        self._report_change()
        return response

    def _report_change(self) -> None:
        if self._gate.state is not self._last_state:
            self._report()

    def _report(self) -> None:
        now_ns = self.now_ns()
        self._gate.tick(now_ns)
        is_news, self._last_state = self._gate.state is not self._last_state, self._gate.state
        if is_news:
            self.get_logger().info(f'{self._gate.state.value}: {self._gate.reason}')
        reason = self._gate.reason
        if self._gate.state is not GateState.ARMED and self._preview:
            reason += f'; {self._preview}'
        self._status_out.publish(
            to_gate_status(
                node='sim2real',
                stamp_ns=now_ns,
                state=self._gate.state.value,
                reason=reason,
                generation=self._gate.generation,
                accepted=self._gate.accepted,
                refused=self._gate.refused,
                counts=self._gate.counts,
            )
        )


def _describe(chunk: ActionChunk, state: RobotState) -> str:
    """Return for a person what a chunk would do."""
    steps = chunk.actions[-1, :-1] - state.q
    joint = int(np.argmax(np.abs(steps)))
    return (
        f"the last chunk of task '{chunk.identity.task}' moves {chunk.names[joint]} most, by "
        f'{steps[joint]:+.3f} rad, and the fingers to {chunk.actions[-1, -1]:.3f} m'
    )


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(Sim2RealNode, args)


if __name__ == '__main__':
    main()
