"""A camera as a node: a V4L2 device, a video file or a folder of images.

Publishes:
    image_raw (sensor_msgs/Image, rgb8), camera_info (sensor_msgs/CameraInfo): remapped by the rig
        file to the camera's topics. /diagnostics
On failure: a source that is not there, breaks off, is silent or has another size than asked for is
an error on /diagnostics and in the log; nothing is published, and it is tried again every second.
Images are stamped with the time at which the driver says the frame began, where it does.
"""

from __future__ import annotations

import threading
import time
import traceback

from roboadapt_ros.errors import ConfigError, ImageError
from roboadapt_ros.ros.capture import make_source
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.diagnostics import Health, Level
from roboadapt_ros.ros.frame_source import Frame, FrameSource
from roboadapt_ros.ros.images import from_rgb
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import CameraParameters
from roboadapt_ros.ros.qos import IMAGE
from roboadapt_ros.ros.rig_messages import camera_info
from roboadapt_ros.ros.run import run
from sensor_msgs.msg import CameraInfo, Image

RETRY_S = 1.0
SILENT_S = 1.0


class CameraNode(GraphNode[CameraParameters]):
    """Reads a `FrameSource` in a thread; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('camera', CameraParameters)
        self._thread: threading.Thread | None = None

    def configure(self, config: CameraParameters) -> None:
        """Prepare the source; it is opened when the node is activated."""
        if len(config.intrinsics) != 4:
            raise ConfigError('parameter intrinsics', config.intrinsics, 'must be fx, fy, cx, cy')
        self._config = config
        self._frame_id = config.frame_id or f'{config.camera}_optical_frame'
        self._ending, self._trouble, self._frames = threading.Event(), '', 0
        self._source = make_source(
            config.kind,
            config.source,
            (config.width, config.height),
            config.rate_hz,
            loop=config.loop,
            ending=self._ending,
        )
        self._frame_s = time.monotonic()
        self._image_out = self.publisher(Image, 'image_raw', IMAGE)
        self._info_out = self.publisher(CameraInfo, 'camera_info', IMAGE)

    def activate(self) -> None:
        """Start reading."""
        self._ending.clear()
        self._frame_s = time.monotonic()
        self._thread = threading.Thread(
            target=self._read_until_stopped, name='camera', daemon=True
        )
        self._thread.start()

    def deactivate(self) -> None:
        """Stop reading."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def health(self) -> Health:
        """Return whether frames come."""
        if self.problem or not self.is_active:
            return super().health()
        source = self._source
        values = {'frames': self._frames, 'source': self._config.source, **self.refused}
        if source.skipped:
            values['frames without a picture'] = source.skipped
        if self._trouble:
            return Health(Level.ERROR, self._trouble, values)
        quiet_s = time.monotonic() - self._frame_s
        if quiet_s > max(SILENT_S, 3.0 / self._config.rate_hz):
            return Health(Level.ERROR, f'no frame for {quiet_s:.1f} s', values)
        if source.note:
            return Health(Level.WARN, source.note, values)
        return Health(Level.OK, 'frames come', values)

    def _read_until_stopped(self) -> None:
        """Read the source to its end, again and again; runs in the node's own thread."""
        while not self._ending.is_set():
            try:
                self._source.open()
                if self._source.note:
                    self.get_logger().warning(self._source.note)
                self._read(self._source)
            except (ImageError, OSError) as error:
                if str(error) != self._trouble:
                    self.get_logger().error(f'{error}; trying again every {RETRY_S:g} s')
                self._trouble = str(error)
                self.refused['camera'] += 1
            except Exception:  # noqa: BLE001 - a thread that ends must not do so in silence
                self.problem = 'reading ended with an exception; see the log'
                self.get_logger().fatal(f'Reading has ended:\n{traceback.format_exc()}')
                return
            finally:
                self._source.close()
            self._ending.wait(RETRY_S)

    def _read(self, source: FrameSource) -> None:
        period_s, due_s = 1.0 / self._config.rate_hz, time.monotonic()
        while not self._ending.is_set():
            frame = source.read()
            if frame is None and self._ending.is_set():
                return
            if frame is None:
                raise ImageError(self._config.source, 'is at its end', 'loop: true to go on')
            self._publish(frame, source.taken_s)
            due_s = max(due_s + period_s, time.monotonic() - period_s)
            if not source.is_live:
                self._ending.wait(max(0.0, due_s - time.monotonic()))

    def _publish(self, frame_rgb: Frame, taken_s: float | None) -> None:
        if self._trouble:
            self.get_logger().info('frames come')
            self._trouble = ''
        config = self._config
        age_s = config.exposure_lag_s + (0.0 if taken_s is None else time.monotonic() - taken_s)
        stamp = to_time(self.now_ns() - int(age_s * 1e9))
        self._image_out.publish(from_rgb(frame_rgb, stamp, self._frame_id))
        size, (fx, fy, cx, cy) = (config.width, config.height), config.intrinsics
        self._info_out.publish(camera_info(size, (fx, fy, cx, cy), stamp, self._frame_id))
        self._frames += 1
        self._frame_s = time.monotonic()


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(CameraNode, args)


if __name__ == '__main__':
    main()
