"""Taps in the streams of a running graph: messages pass, stop, come late, come twice, or spoilt.

Each producer is remapped to `<topic>_true`; a process of its own listens there and speaks on
`<topic>`, so that neither the nodes nor the test know of it. It is told what to do by lines
'<stream>=<fault>' on its standard input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import contextlib
from dataclasses import dataclass, replace
import enum
import heapq
import itertools
import os
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from roboadapt_interfaces.msg import ActionChunk, Features, GateStatus
from roboadapt_ros.bringup.environment import process_environment
from roboadapt_ros.bringup.process import prepare
from roboadapt_ros.bringup.processes import ProcessDescription
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.ros.qos import DATA, IMAGE, STATE_OUT, STATUS
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

SUFFIX = '_true'
DELAY_S, MORE_S = 0.2, 0.25
"""How late late messages are [s]. Late targets begin with a silence, and the robot minds one of
more than 0.2 s."""


class Fault(enum.Enum):
    """What a tap does to a stream."""

    NONE = 'none'
    FROZEN = 'frozen'
    DELAYED = 'delayed'
    DELAYED_MORE = 'delayed 0.25 s'
    DUPLICATED = 'duplicated'
    GARBAGE = 'garbage'


@dataclass(frozen=True)
class Stream:
    """A topic with the process that fills it."""

    topic: str
    """As resolved by the rig file."""
    kind: type
    producer: str
    qos: QoSProfile
    garbage: Callable[[Any], Any]
    """Makes a good message a bad one."""


def _bad_image(message: Image) -> Image:
    message.data = message.data[: len(message.data) // 3]
    return message


def _bad_joints(message: JointState) -> JointState:
    message.position = [float('nan')] * len(message.position)
    return message


def _bad_width(message: Float64MultiArray) -> Float64MultiArray:
    message.data = [float('nan')] * len(message.data)
    return message


def _bad_status(message: DiagnosticStatus) -> DiagnosticStatus:
    message.level, message.message = b'\x2a', '\x07\x07'
    return message


def _bad_features(message: Features) -> Features:
    message.features = [float('nan')] * len(message.features)
    return message


def _bad_chunk(message: ActionChunk) -> ActionChunk:
    message.actions = [float('inf'), *message.actions[1:]]
    return message


def _bad_gate(message: GateStatus) -> GateStatus:
    message.state = '\x07\x07'
    return message


def _streams() -> dict[str, Stream]:
    rig = load_rig('sim')
    arm, hand, (scene, wrist) = rig.arm, rig.gripper, rig.cameras
    return {
        'scene image': Stream(scene.image, Image, 'sim_rig', IMAGE, _bad_image),
        'wrist image': Stream(wrist.image, Image, 'sim_rig', IMAGE, _bad_image),
        'joint states': Stream(arm.joint_states, JointState, 'sim_rig', STATE_OUT, _bad_joints),
        'gripper states': Stream(hand.joint_states, JointState, 'sim_rig', STATE_OUT, _bad_joints),
        'robot state': Stream(arm.robot_state, DiagnosticStatus, 'sim_rig', STATUS, _bad_status),
        'features': Stream('encoder/features', Features, 'encoder', DATA, _bad_features),
        'policy chunks': Stream('policy/action_chunk', ActionChunk, 'policy', DATA, _bad_chunk),
        'joint chunks': Stream('sim2real/action_chunk', ActionChunk, 'sim2real', DATA, _bad_chunk),
        'governor status': Stream('governor/status', GateStatus, 'governor', STATUS, _bad_gate),
        'arm targets': Stream(arm.output.topic, JointState, 'governor', STATUS, _bad_joints),
        'gripper widths': Stream(hand.command, Float64MultiArray, 'governor', STATUS, _bad_width),
    }


STREAMS = _streams()
"""Every stream of the simulated rig's graph, by what it carries."""


def tapped(streams: Mapping[str, Stream]) -> Callable[[ProcessDescription], ProcessDescription]:
    """Return a change of process descriptions that puts taps behind the producers."""

    def change(description: ProcessDescription) -> ProcessDescription:
        remappings = dict(description.remappings)
        for stream in streams.values():
            if stream.producer != description.name:
                continue
            names = [old for old, new in remappings.items() if new == stream.topic]
            for name in names or [stream.topic]:
                remappings[name] = stream.topic + SUFFIX
        return replace(description, remappings=tuple(remappings.items()))

    return change


class Taps:
    """The process with a tap in every stream, as a context."""

    def __init__(self, domain_id: int):
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            text=True,
            env={**process_environment(domain_id), 'PYTHONPATH': os.pathsep.join(sys.path)},
        )

    def __enter__(self) -> Taps:
        """Return the taps."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:  # a thread of it that still publishes can hold it up
            self._process.kill()
            self._process.wait(5.0)

    def set(self, name: str, fault: Fault) -> None:
        """Have a fault in a stream from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{name}={fault.value}\n')
        self._process.stdin.flush()


class _Tap:
    """Relays one stream, without decoding it except to spoil it."""

    def __init__(self, node: Node, stream: Stream):
        self.stream, self.fault = stream, Fault.NONE
        self._out = node.create_publisher(stream.kind, stream.topic, stream.qos)
        node.create_subscription(
            stream.kind, stream.topic + SUFFIX, self._take, stream.qos, raw=True
        )
        self._late: list[tuple[float, int, bytes]] = []
        self._lock = threading.Lock()
        self._count = itertools.count()

    def _take(self, data: bytes) -> None:
        fault = self.fault
        if fault is Fault.GARBAGE:
            self._out.publish(self.stream.garbage(deserialize_message(data, self.stream.kind)))
        elif fault in (Fault.DELAYED, Fault.DELAYED_MORE):
            delay_s = DELAY_S if fault is Fault.DELAYED else MORE_S
            with self._lock:
                due = (time.monotonic() + delay_s, next(self._count), data)
                heapq.heappush(self._late, due)
        elif fault is not Fault.FROZEN:
            for _ in range(2 if fault is Fault.DUPLICATED else 1):
                self._out.publish(data)

    def send_late(self) -> None:
        """Send what was kept long enough."""
        while self._late and self._late[0][0] <= time.monotonic():
            with self._lock:
                _, _, data = heapq.heappop(self._late)
            self._out.publish(data)


def _main() -> None:
    prepare(-10)  # as urgent as the rig and the governor, between which it stands
    rclpy.init()
    node = Node('taps')
    taps = {name: _Tap(node, stream) for name, stream in STREAMS.items()}

    def listen() -> None:
        for line in sys.stdin:
            name, _, fault = line.strip().partition('=')
            taps[name].fault = Fault(fault)

    def send_late() -> None:
        # A timer of the node would wake its executor 200 times a second, also without a fault.
        while rclpy.ok():
            time.sleep(0.005)
            for tap in taps.values():
                tap.send_late()

    for work in (listen, send_late):
        threading.Thread(target=work, daemon=True).start()
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


if __name__ == '__main__':
    _main()
