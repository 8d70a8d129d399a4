"""A moveit_servo node in the simulated rig: its topics, its services, its status.

Subscribes, as the release of the rig file's servo has it, relative to servo's node:
    delta_twist_cmds (geometry_msgs/TwistStamped): in axes of the base frame or of the hand.
    delta_joint_cmds (control_msgs/JointJog): where control_msgs is installed.
    pose_target_cmds (geometry_msgs/PoseStamped): in the base frame; not on Humble.
Publishes:
    status (moveit_msgs/ServoStatus; on Humble std_msgs/Int8), 100 Hz.
Serves:
    switch_command_type (moveit_msgs/ServoCommandType), pause_servo (std_srvs/SetBool); on Humble
    start_servo, stop_servo, pause_servo, unpause_servo (std_srvs/Trigger).
Nothing is taken before the command type was chosen, on Humble before servo was started.
"""

from __future__ import annotations

from collections import deque
import math
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from roboadapt_ros.control.command import FloatArray
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import ConfigError, SpecError
from roboadapt_ros.nodes.inputs.arm_input import ArmInput, TICK_S
from roboadapt_ros.nodes.inputs.servo_port import ServoPort
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.calls import interface_class
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.franka_state import hand_axes
from roboadapt_ros.ros.outputs.settings import (
    checked_servo_release,
    SERVO_JOG,
    SERVO_POSE,
    SERVO_TWIST,
    TOPICS,
)
from roboadapt_ros.ros.qos import STATUS
from roboadapt_ros.ros.rig_messages import read_pose
from roboadapt_ros.sim.description import hand_frame
from roboadapt_ros.sim.servo import CommandType, ServoCommand, ServoConfig, SimulatedServo


class ServoInput(ArmInput):
    """Follows the commands of one servo node, once a tick; see `sim.servo`."""

    def __init__(self, host: SimHost):
        """Create the publisher; `listen` begins.

        Raises:
            ConfigError: A type that is not installed, or poses for Humble's servo.
        """
        super().__init__(host)
        config, output = host.config, host.config.output
        settings = ServoConfig(
            period_s=TICK_S,
            is_unitless=output.units == 'unitless',
            linear_m_s=output.scale_linear_m_s,
            rotational_rad_s=output.scale_rotational_rad_s,
            joint_rad_s=output.scale_joint_rad_s,
        )
        self._servo = SimulatedServo(settings, robot_limits(config.robot), PandaKinematics())
        release = checked_servo_release(output)
        self._port = ServoPort(host.node, output.servo_node, release, self._servo, host.lock)
        self._hand_frame = hand_frame(config.joint_names)
        kinds = {SERVO_TWIST: (TwistStamped, self._on_twist)}
        if release != 'humble':
            kinds[SERVO_POSE] = (PoseStamped, self._on_pose)
        try:
            kinds[SERVO_JOG] = (interface_class('control_msgs/msg/JointJog'), self._on_jog)
        except ConfigError as error:
            if output.driver == SERVO_JOG:
                raise
            host.node.get_logger().warning(f'Without {TOPICS[SERVO_JOG]}: {error}')
        self._kinds = kinds
        self._newest: deque[tuple[ServoCommand, bool]] = deque(maxlen=1)
        """The newest command, and whether it is in axes of the hand; taken over in a tick."""

    def listen(self) -> None:
        """Subscribe and serve."""
        output = self._config.output
        for driver, (kind, callback) in self._kinds.items():
            leaf = TOPICS[driver]
            # The rig file's own topic is remapped; the others are servo's.
            topic = leaf if driver == output.driver else f'{output.servo_node}/{leaf}'
            self._node.subscribe(kind, topic, callback, STATUS)
        self._port.serve()

    def advance(self) -> float:
        """Hand the arm servo's next target, where it has one."""
        if self._newest:
            command, in_hand = self._newest.pop()
            if not self._port.closed:  # it may have been paused since
                self._follow(command, in_hand=in_hand)
        if not self._rig.takes_targets:
            self._servo.rest()
        q = self._servo.step(self._node.now_ns() / 1e9, self._rig.target)
        if q is not None:
            self._rig.set_joint_target(q)
        self._port.publish()
        return math.inf

    def forget(self) -> None:
        """Drop command and motion."""
        self._newest.clear()
        self._servo.rest()

    def _on_jog(self, message: Any) -> None:
        names, given = self._config.joint_names, list(message.joint_names)
        values = np.zeros(len(names))
        try:
            if len(given) != len(message.velocities):
                found = f'{len(message.velocities)} velocities for {len(given)} joints'
                raise SpecError('JointJog', found, 'one velocity for each joint')
            for name, value in zip(given, message.velocities, strict=True):
                if name not in names:
                    raise SpecError('JointJog.joint_names', name, ', '.join(names))
                values[names.index(name)] = value
            self._take(CommandType.JOINT_JOG, values, message)
        except SpecError as error:
            self.refuse(error)

    def _on_twist(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        values = np.array([*_xyz(linear), *_xyz(angular)])
        try:
            self._require_frame(message, self._config.base_frame, self._hand_frame)
            in_hand = message.header.frame_id == self._hand_frame
            self._take(CommandType.TWIST, values, message, in_hand=in_hand)
        except SpecError as error:
            self.refuse(error)

    def _on_pose(self, message: PoseStamped) -> None:
        try:
            self._require_frame(message, self._config.base_frame)
            self._take(CommandType.POSE, np.concatenate(read_pose(message)), message)
        except SpecError as error:
            self.refuse(error)

    def _require_frame(self, message: Any, *frames: str) -> None:
        """Pass where the planning frame is known from the message's."""
        frame = message.header.frame_id
        if frame not in frames:
            raise SpecError(f'frame_id of a {type(message).__name__}', repr(frame), repr(frames))

    def _take(
        self, kind: CommandType, values: FloatArray, message: Any, *, in_hand: bool = False
    ) -> None:
        """Keep a command for the next tick; raises `SpecError` where servo does not listen.

        Without the lock, for which a callback may wait through several ticks.
        """
        if self._port.closed:
            raise SpecError(f'{kind.name} command', self._port.closed, 'a servo that listens')
        command = ServoCommand(kind, values, from_time(message.header.stamp) / 1e9)
        self._newest.append((command, in_hand))
        self.count()

    def _follow(self, command: ServoCommand, *, in_hand: bool) -> None:
        """Have servo follow a command, or say why it does not."""
        if in_hand:
            axes, values = hand_axes(self._rig.state().ee_quat_xyzw), command.values
            values = np.concatenate([axes @ values[:3], axes @ values[3:]])
            command = command._replace(values=values)
        try:
            self._servo.take(command)
        except SpecError as error:
            self.refuse(error)


def _xyz(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z
