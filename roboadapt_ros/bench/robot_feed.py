"""What stands for arm and policy while the robot's side is timed: a process of its own.

Publishes joint states, fingers, the robot's state and a policy's chunks on the rig's topics,
puts the arm where the targets say, and writes down when each target was stamped and arrived.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from roboadapt_interfaces.msg import ActionChunk as ChunkMessage
from roboadapt_interfaces.msg import GateStatus
from roboadapt_ros.bringup.rig import load_rig, RigConfig
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.dataflow import ActionChunk, EE_POSE_NAMES, Identity, LatencyLedger
from roboadapt_ros.ros.convert import from_time, to_chunk, to_time
from roboadapt_ros.ros.qos import COMMAND, DATA, STATE_OUT, STATUS
from roboadapt_ros.ros.rig_messages import finger_state, joint_state, pose
from sensor_msgs.msg import JointState

POLICY_S, FINGERS_S, ROBOT_S = 0.1, 1.0 / 15.0, 0.1
SETTLE_S = 3.0
"""Time from the first target to the first one that counts [s]."""
FIRST_TARGET_S = 20.0
ROWS = 8
_RADIUS_M, _TURN_S = 0.05, 4.0


class RobotFeed(Node):
    """The stand-in; `record` is what it wrote down."""

    def __init__(self, rig: RigConfig, task: str, digest: str, state_rate_hz: float):
        """Publish on the rig's topics for a task package with a digest."""
        super().__init__('robot_feed')
        self._rig, self._task, self._digest = rig, task, digest
        self._q, self._dq = Q_HOME.copy(), np.zeros(len(Q_HOME))
        self._centre = PandaKinematics().forward(Q_HOME)[0]
        self.record: dict[str, Any] = {
            'stamps_ns': [],
            'arrivals_ns': [],
            'governor': {},
            'gate': '',
        }
        arm, hand = rig.arm, rig.gripper
        self._arm_out = self.create_publisher(JointState, arm.joint_states, STATE_OUT)
        self._hand_out = self.create_publisher(JointState, hand.joint_states, STATE_OUT)
        self._pose_out = self.create_publisher(PoseStamped, arm.current_pose, STATE_OUT)
        self._kinematics = PandaKinematics()
        self._robot_out = self.create_publisher(DiagnosticStatus, arm.robot_state, STATE_OUT)
        self._chunk_out = self.create_publisher(ChunkMessage, 'policy/action_chunk', DATA)
        self.create_subscription(JointState, arm.output.topic, self._on_target, COMMAND)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, STATUS)
        self.create_subscription(GateStatus, 'sim2real/status', self._on_gate, STATUS)
        for period_s, publish in (
            (1.0 / state_rate_hz, self._publish_arm),
            (FINGERS_S, self._publish_hand),
            (ROBOT_S, self._publish_robot),
            (POLICY_S, self._publish_chunk),
        ):
            self.create_timer(period_s, publish)

    def now_ns(self) -> int:
        """Return the time [ns]."""
        return int(self.get_clock().now().nanoseconds)

    def _publish_arm(self) -> None:
        names, stamp = self._rig.arm.joint_names, to_time(self.now_ns())
        self._arm_out.publish(joint_state(stamp, names, self._q, self._dq))

    def _publish_hand(self) -> None:
        names = self._rig.gripper.joint_names
        self._hand_out.publish(finger_state(to_time(self.now_ns()), names, 0.08))

    def _publish_robot(self) -> None:
        self._robot_out.publish(DiagnosticStatus(level=DiagnosticStatus.OK, name='robot'))
        hand = self._kinematics.forward(self._q)
        self._pose_out.publish(pose(to_time(self.now_ns()), self._rig.arm.base_frame, *hand))

    def _publish_chunk(self) -> None:
        """Publish the next rows of a circle."""
        now_ns = self.now_ns()
        turn = 2.0 * np.pi / _TURN_S * (now_ns / 1e9 % _TURN_S + POLICY_S * np.arange(1, ROWS + 1))
        rows = np.zeros((ROWS, len(EE_POSE_NAMES)))
        rows[:, :3] = self._centre
        rows[:, 0] += _RADIUS_M * np.cos(turn)
        rows[:, 1] += _RADIUS_M * np.sin(turn)
        rows[:, 3], rows[:, -1] = 1.0, 0.04  # the hand points down
        identity = Identity(
            task=self._task, package_digest=self._digest, generation=1, frame_stamps_ns=(now_ns,)
        )
        chunk = ActionChunk(
            stamp_ns=now_ns,
            identity=identity,
            ledger=LatencyLedger(exposure=now_ns, head=now_ns),
            space=ActionSpace.EE_POSE,
            names=EE_POSE_NAMES,
            period_s=POLICY_S,
            start_ns=now_ns,
            actions=rows,
        )
        self._chunk_out.publish(to_chunk(chunk))

    def _on_target(self, message: JointState) -> None:
        self.record['arrivals_ns'].append(self.now_ns())
        self.record['stamps_ns'].append(from_time(message.header.stamp))
        self._q = np.array(message.position)
        self._dq = np.array(message.velocity)

    def _on_gate(self, message: GateStatus) -> None:
        self.record['gate'] = f'{message.state}: {message.reason}'

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'governor':
                self.record['governor'] = {pair.key: pair.value for pair in status.values}


def main(arguments: Sequence[str] | None = None) -> None:
    """Feed until the targets of some seconds were recorded, and write them down."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('file', type=Path)
    parser.add_argument('--rig', required=True)
    parser.add_argument('--task', required=True)
    parser.add_argument('--digest', required=True)
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--state-rate-hz', type=float, required=True)
    options = parser.parse_args(arguments)
    rclpy.init(args=[])
    feed = RobotFeed(load_rig(options.rig), options.task, options.digest, options.state_rate_hz)
    executor = SingleThreadedExecutor()
    executor.add_node(feed)
    stamps = feed.record['stamps_ns']
    _spin_until(executor, lambda: bool(stamps), FIRST_TARGET_S)
    _spin_until(executor, lambda: False, SETTLE_S)
    first = len(stamps)
    _spin_until(executor, lambda: False, options.seconds)
    for name in ('stamps_ns', 'arrivals_ns'):
        feed.record[name] = feed.record[name][first:]
    options.file.write_text(json.dumps(feed.record), encoding='utf-8')
    feed.destroy_node()
    rclpy.try_shutdown()


def _spin_until(executor: SingleThreadedExecutor, is_done: Any, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_done() and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.1)


if __name__ == '__main__':
    main()
