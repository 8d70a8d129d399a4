"""The policies as a node: features and robot state to an action chunk.

Subscribes:
    encoder/features (roboadapt_interfaces/Features)
    encoder/shadow_features (roboadapt_interfaces/Features): of candidates that ride along.
    encoder/status (roboadapt_interfaces/AdapterStatus): which tasks need a head here.
    joint_states, gripper/joint_states (sensor_msgs/JointState): measured arm and fingers.
    governor/command (roboadapt_interfaces/ActionChunk): every point the governor sent.
Publishes:
    policy/action_chunk (roboadapt_interfaces/ActionChunk): one per features message.
    policy/shadow_chunk (roboadapt_interfaces/ActionChunk): what a candidate would have done;
        for recording and comparison, nothing that moves an arm subscribes to it.
    /diagnostics
On failure: features of an unknown task or of another version of its package, and features
without a robot state measured near their exposure, are refused, counted by cause and logged;
nothing is published for them, so the governor holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rclpy.publisher import Publisher
from roboadapt_interfaces.msg import ActionChunk as ChunkMessage
from roboadapt_interfaces.msg import AdapterStatus
from roboadapt_interfaces.msg import Features as FeaturesMessage
from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import load_package
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import HAND_WIDTH_MAX_M
from roboadapt_ros.dataflow import ActionChunk, Features, RobotState
from roboadapt_ros.errors import RefusedError, RoboAdaptError, SpecError
from roboadapt_ros.policy.policy import TaskPolicies
from roboadapt_ros.ros.convert import from_features, from_time, to_chunk
from roboadapt_ros.ros.listen import listen_state
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import PolicyParameters
from roboadapt_ros.ros.polled import subscribe_polled
from roboadapt_ros.ros.qos import DATA, LATCHED, STATE_HISTORY
from roboadapt_ros.ros.robot import StateBuffer
from roboadapt_ros.ros.run import run
from roboadapt_ros.sim2real.frame import BaseFrame
from roboadapt_ros.sim2real.gripper import width_seen

LOOK_PERIOD_S = 0.02
"""How often states and commands are collected [s]: of 1,000 a second no more than can wait."""


class PolicyNode(GraphNode[PolicyParameters]):
    """Drives `TaskPolicies` from ROS; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('policy', PolicyParameters)

    def configure(self, config: PolicyParameters) -> None:
        """Load the heads of every task package."""
        self._config = config
        self._frame = BaseFrame(config.base_offset_m, config.base_yaw_rad)
        self._library = TaskLibrary(Path(config.models_dir) / 'tasks')
        self._policies = TaskPolicies(
            ensemble_chunks=config.ensemble_chunks, ensemble_decay=config.ensemble_decay
        )
        self._refused_digests: dict[str, str] = {}
        for task in self._library.names():
            self._stage(task)
        self._buffer = StateBuffer(
            config.joint_names, config.gripper_joint_names, PandaKinematics().forward
        )
        self._chunk_out = self.publisher(ChunkMessage, 'policy/action_chunk', DATA)
        self._shadow_out = self.publisher(ChunkMessage, 'policy/shadow_chunk', DATA)

    def activate(self) -> None:
        """Listen."""
        self._policies.reset()
        look_at_state = listen_state(self, self._buffer, STATE_HISTORY)
        look_at_command = subscribe_polled(
            self, ChunkMessage, 'governor/command', self._on_command, STATE_HISTORY
        )

        def look() -> None:
            look_at_state()
            look_at_command()

        self._look = look
        self.every(LOOK_PERIOD_S, look)
        self.subscribe(AdapterStatus, 'encoder/status', self._on_status, LATCHED)
        self.subscribe(FeaturesMessage, 'encoder/features', self._on_features, DATA)
        self.subscribe(FeaturesMessage, 'encoder/shadow_features', self._on_shadow_features, DATA)

    def _stage(self, task: str) -> None:
        """Load a task's head; a package that can't be read leaves the task unserved."""
        try:
            package = load_package(self._library.path(task))
            self._policies.add(package)
        except RoboAdaptError as error:
            self.get_logger().error(f"Task '{task}' is not served: {error}")

    def _on_status(self, message: AdapterStatus) -> None:
        """Take a head for what the encoder has staged, and for a new version that is active."""
        for task in message.resident_tasks:
            is_active = task == message.active_task
            if task not in self._policies.resident or (
                is_active and not self._policies.has(task, message.active_digest)
            ):
                self._stage(task)

    def _look_again(self, message: FeaturesMessage) -> None:
        """Read a task's package again, once for each digest that was not the one held here."""
        task, digest = message.identity.task, message.identity.package_digest
        if self._refused_digests.get(task) != digest:
            self._refused_digests[task] = digest
            self._stage(task)

    def _on_command(self, message: ChunkMessage, _: int) -> None:
        try:
            self._buffer.command(from_time(message.start), message.names, message.actions)
        except SpecError as error:
            self.refuse('command', str(error))

    def _on_features(self, message: FeaturesMessage) -> None:
        self._answer(message, self._policies.act, self._chunk_out, '')

    def _on_shadow_features(self, message: FeaturesMessage) -> None:
        self._answer(message, self._policies.act_as_shadow, self._shadow_out, 'shadow_')

    def _answer(
        self,
        message: FeaturesMessage,
        act: Callable[[Features, RobotState, Callable[[], int]], ActionChunk],
        out: Publisher,
        prefix: str,
    ) -> None:
        """Publish the chunk that answers to features; refusals count under prefix + cause."""
        try:
            features = from_features(message)
            self._look()
            state = self._buffer.nearest(
                features.stamp_ns, max_distance_s=self._config.state_tolerance_s
            )
            chunk = act(features, self._seen(state), self.now_ns)
        except RefusedError as error:
            self.refuse(prefix + error.cause, error.detail)
            if error.cause == 'digest':
                self._look_again(message)
        except SpecError as error:
            self.refuse(f'{prefix}shape', str(error))
        else:
            out.publish(to_chunk(chunk))

    def _seen(self, state: RobotState) -> RobotState:
        """Return the rig's state as the tasks see it: their base, their hand."""
        width_m = width_seen(
            state.gripper_width_m, self._config.gripper_width_max_m, HAND_WIDTH_MAX_M
        )
        return replace(self._frame.seen_from_contract(state), gripper_width_m=width_m)


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(PolicyNode, args)


if __name__ == '__main__':
    main()
