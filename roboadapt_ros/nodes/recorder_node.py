"""Everything small that flows, recorded to one MCAP file (https://mcap.dev).

Subscribes: features, chunks, points, statuses, joint states, /diagnostics and target (type by
parameter), which is what the arm is sent; camera images too with the parameter `cameras`.
Messages are written as they came, without being decoded, each with its definition, so that
Foxglove, rerun and rosbag2 read the file.
Publishes: /diagnostics
On failure: a folder that can't be written fails configuring; a write error stops the recording
and is an error on /diagnostics. The graph does not depend on this node.
"""

from __future__ import annotations

from functools import partial
import importlib
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.diagnostics import Health, Level
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import RecorderParameters
from roboadapt_ros.ros.polled import subscribe_polled
from roboadapt_ros.ros.qos import DATA, IMAGE, LATCHED_HISTORY, STATUS, TRACE
from roboadapt_ros.ros.run import run
from roboadapt_ros.ros.schema import definition

LOOK_PERIOD_S = 0.01
"""How often what came is written [s]; fewer messages come in that time than can wait."""
OWN = 'roboadapt_interfaces/msg'
TOPICS = {
    'encoder/features': (f'{OWN}/Features', DATA),
    'encoder/status': (f'{OWN}/AdapterStatus', LATCHED_HISTORY),
    'encoder/shadow_features': (f'{OWN}/Features', DATA),
    'policy/action_chunk': (f'{OWN}/ActionChunk', DATA),
    'policy/shadow_chunk': (f'{OWN}/ActionChunk', DATA),
    'sim2real/action_chunk': (f'{OWN}/ActionChunk', DATA),
    'sim2real/status': (f'{OWN}/GateStatus', STATUS),
    'governor/command': (f'{OWN}/ActionChunk', TRACE),
    'governor/status': (f'{OWN}/GateStatus', STATUS),
    'sim_rig/episode_status': (f'{OWN}/EpisodeStatus', STATUS),
    'joint_states': ('sensor_msgs/msg/JointState', TRACE),
    'gripper/joint_states': ('sensor_msgs/msg/JointState', TRACE),
    '/diagnostics': ('diagnostic_msgs/msg/DiagnosticArray', STATUS),
}
"""Type and QoS by topic."""


class RecorderNode(GraphNode[RecorderParameters]):
    """Writes an MCAP file; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('recorder', RecorderParameters)
        self._file: Any = None

    def configure(self, config: RecorderParameters) -> None:
        """Open the file and write the definitions."""
        folder = Path(config.folder)
        package, _, name = config.target_type.partition('/')
        self._topics = (
            TOPICS
            | {'target': (f'{package}/msg/{name}', TRACE)}
            | {
                f'cameras/{name}/image_raw': ('sensor_msgs/msg/Image', IMAGE)
                for name in config.cameras
            }
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            numbers = [path.stem.removeprefix('graph_') for path in folder.glob('graph_*.mcap')]
            last = max((int(number) for number in numbers if number.isdecimal()), default=-1)
            self._path = folder / f'graph_{last + 1:03d}.mcap'
            self._file = self._path.open('xb')
        except OSError as error:
            raise ConfigError(
                'parameter folder', config.folder, f'must be writable ({error})'
            ) from error
        self._writer = Writer(self._file, compression=CompressionType.ZSTD)
        self._writer.start(profile='ros2', library='roboadapt_ros')
        self._messages = 0
        self._channels = {topic: self._register(topic) for topic in self._topics}

    def activate(self) -> None:
        """Listen."""
        looks = []
        for topic, (kind, qos) in self._topics.items():
            package, _, name = kind.split('/')
            message_type = getattr(importlib.import_module(f'{package}.msg'), name)
            look = subscribe_polled(
                self, message_type, topic, partial(self._on_message, topic), qos, raw=True
            )
            looks.append(look)
        self.every(LOOK_PERIOD_S, lambda: [look() for look in looks])

    def release(self) -> None:
        """Finish the file."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            with file:
                self._writer.finish()
        except OSError as error:
            self.get_logger().error(f'{self._path} has no end: {error}')

    def health(self) -> Health:
        """Return how much was written."""
        if self.problem or not self.is_active:
            return super().health()
        return Health(Level.OK, f'recording to {self._path}', {'messages': self._messages})

    def _register(self, topic: str) -> int:
        kind, _ = self._topics[topic]
        schema = self._writer.register_schema(kind, 'ros2msg', definition(kind).encode())
        resolved = self.resolve_topic_name(topic)
        return int(self._writer.register_channel(resolved, 'cdr', schema))

    def _on_message(self, topic: str, data: bytes, came_ns: int) -> None:
        if self._file is None:
            return
        try:
            self._writer.add_message(
                channel_id=self._channels[topic], log_time=came_ns, publish_time=came_ns, data=data
            )
        except OSError as error:
            self.problem = f'{self._path} cannot be written: {error}'
            self.get_logger().error(self.problem)
            self._file = None
        self._messages += 1


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(RecorderNode, args)


if __name__ == '__main__':
    main()
