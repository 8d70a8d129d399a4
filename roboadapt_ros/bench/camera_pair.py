"""Two synthetic cameras in a process of their own, and a process that listens to them.

Run as `python -m roboadapt_ros.bench.camera_pair send|receive FILE ...`; what happened is
written to FILE as JSON, so that the parent needs no ROS to read it.
"""

from __future__ import annotations

import argparse
import array
from collections.abc import Sequence
import json
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import try_shutdown
from roboadapt_ros.bringup.environment import process_environment
from roboadapt_ros.errors import BringupError
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.qos import IMAGE
from sensor_msgs.msg import Image

SETTLE_S = 1.0
"""Time for both ends of a connection to know each other before the first frame counts [s]."""
STOP_S = 10.0
"""From the signal to stop to the end of a camera process [s]."""
SILENCE_S = 3.0
"""No frame for this long after the first: the sender has ended [s]."""


def pictures(cameras: int, count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return the pictures cameras show, (cameras, count, height, width, 3) uint8 RGB.

    Coarse random blocks, which look different to a network after any resizing.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (cameras, count, 12, 16, 3), dtype=np.uint8)
    rows = np.arange(height) * 12 // height
    columns = np.arange(width) * 16 // width
    return np.ascontiguousarray(coarse[:, :, rows][:, :, :, columns])


class CameraPair(Node):
    """Publishes frames of two cameras, the same stamp on both, at a rate.

    Frame k shows picture k modulo the number of pictures, the same in every process.
    """

    def __init__(self, options: argparse.Namespace):
        """Create the publishers; frames go out once both have `listeners` subscriptions."""
        super().__init__('bench_cameras')
        self._options = options
        self._outputs = [self.create_publisher(Image, t, IMAGE) for t in options.topics]
        self._pictures = [
            [array.array('B', frame.tobytes()) for frame in frames]
            for frames in pictures(
                len(options.topics), options.pictures, options.height, options.width
            )
        ]
        self.stamps_ns: list[int] = []

    def run(self) -> None:
        """Publish until the number of frames is reached, or until told to stop."""
        while min(p.get_subscription_count() for p in self._outputs) < self._options.listeners:
            time.sleep(0.05)
            rclpy.spin_once(self, timeout_sec=0.0)
        time.sleep(SETTLE_S)
        period_s = 1.0 / self._options.rate_hz
        due_s = time.monotonic()
        while rclpy.ok() and len(self.stamps_ns) < self._options.frames:
            self._publish()
            due_s += period_s
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _publish(self) -> None:
        stamp, number = self.get_clock().now(), len(self.stamps_ns)
        self.stamps_ns.append(stamp.nanoseconds)
        width, height = self._options.width, self._options.height
        for output, frames in zip(self._outputs, self._pictures, strict=True):
            message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
            message.header.stamp = stamp.to_msg()
            message.data = frames[number % len(frames)]
            output.publish(message)


class Listener(Node):
    """Counts frames and measures publish to callback."""

    def __init__(self, topics: Sequence[str]):
        """Subscribe as any node of the graph does to cameras."""
        super().__init__('bench_listener')
        self.latencies_ms: list[float] = []
        self.last_s = 0.0
        for topic in topics:
            self.create_subscription(Image, topic, self._receive, IMAGE)

    def _receive(self, message: Image) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self.latencies_ms.append((now_ns - from_time(message.header.stamp)) / 1e6)
        self.last_s = time.monotonic()

    def run(self, frames: int, timeout_s: float) -> None:
        """Listen until all frames have come, or none has for a while."""
        deadline_s = time.monotonic() + timeout_s
        while rclpy.ok() and len(self.latencies_ms) < frames:
            rclpy.spin_once(self, timeout_sec=0.2)
            now_s = time.monotonic()
            if now_s > deadline_s or (self.last_s and now_s - self.last_s > SILENCE_S):
                return


class CameraProcess:
    """Two synthetic cameras as a child process, as a context; they run until it ends."""

    def __init__(
        self,
        topics: Sequence[str],
        file: Path,
        *,
        rate_hz: float,
        size: tuple[int, int],
        pictures: int,
        domain_id: int,
    ):
        """Prepare.

        Args:
            topics: Image topic of each camera.
            file: Where the process writes the stamps of what it sent.
            rate_hz: Exposures of all cameras [Hz].
            size: Width and height of a frame [px].
            pictures: Pictures shown in turn, see `pictures`.
            domain_id: ROS domain.
        """
        self._file = file
        settings = {
            '--frames': 1 << 30,
            '--rate-hz': rate_hz,
            '--width': size[0],
            '--height': size[1],
            '--pictures': pictures,
        }
        self._words = [
            sys.executable,
            '-m',
            'roboadapt_ros.bench.camera_pair',
            'send',
            str(file),
            '--topics',
            *topics,
        ]
        self._words += [str(word) for pair in settings.items() for word in pair]
        self._environment = process_environment(domain_id)

    def __enter__(self) -> CameraProcess:
        """Start; frames go out once somebody listens."""
        self._process = subprocess.Popen(self._words, env=self._environment)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for the record."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def stamps_ns(self) -> npt.NDArray[np.int64]:
        """Return the stamps of all frames sent, after the end.

        Raises:
            BringupError: The process ended without a record.
        """
        try:
            found = json.loads(self._file.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise BringupError('The cameras ended without a record') from error
        return np.array(found['stamps_ns'], np.int64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Send or receive, and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('role', choices=('send', 'receive'))
    parser.add_argument('file', type=Path)
    parser.add_argument('--topics', nargs='+', required=True)
    parser.add_argument('--frames', type=int, required=True, help='frames per camera')
    parser.add_argument('--width', type=int, default=640)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--rate-hz', type=float, default=60.0)
    parser.add_argument('--pictures', type=int, default=1, help='pictures shown in turn')
    parser.add_argument('--listeners', type=int, default=1, help='subscriptions to wait for')
    parser.add_argument('--timeout-s', type=float, default=60.0)
    options = parser.parse_args(arguments)
    rclpy.init()
    found: dict[str, list[float]] = {}
    try:
        if options.role == 'send':
            pair = CameraPair(options)
            found['stamps_ns'] = pair.stamps_ns
            pair.run()
        else:
            listener = Listener(options.topics)
            found['latencies_ms'] = listener.latencies_ms
            listener.run(options.frames * len(options.topics), options.timeout_s)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # asked to stop: what was sent so far is what is reported
    finally:
        options.file.write_text(json.dumps(found), encoding='utf-8')
        try_shutdown()


if __name__ == '__main__':
    main()
