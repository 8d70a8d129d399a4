"""How long the encoder node takes from its start to its first features.

The node of the simulated rig, a process of its own and alone in a ROS domain. Synthetic
cameras publish before it is there, so that nothing but the node is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import threading
import time

from roboadapt_interfaces.msg import Features
from roboadapt_ros.adapters.package import load_manifest
from roboadapt_ros.bringup.environment import find_free_domain, process_environment
from roboadapt_ros.bringup.paths import models_dir
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import BringupError
from roboadapt_ros.ros.qos import DATA, IMAGE
from sensor_msgs.msg import Image

RIG, TASK = 'sim', 'lift_red'
CAMERA_RATE_HZ = 30.0
TIMEOUT_S = 120.0
STOP_S = 5.0


def node_start_s(task: str = TASK, models: Path | None = None) -> float:
    """Start the encoder node with a task and return the time to its first features [s].

    Args:
        task: The one task, served from the start.
        models: Folder with backbones/ and tasks/; None: the package's own.

    Raises:
        BringupError: The node ended, could not be configured, or gave no features in time.
        RoboAdaptError: There is no such task.
    """
    models = models_dir() if models is None else models
    manifest, _ = load_manifest(models / 'tasks' / task)
    rig = replace(load_rig(RIG), tasks=(task,), backbone_id=manifest.backbone_id, nodes={})
    with tempfile.TemporaryDirectory() as folder:
        graph = Graph(
            rig,
            log_dir=Path(folder),
            domain_id=find_free_domain(),
            models_dir=models,
            initial_task=task,
            only=('encoder',),
            images=True,
        )
        arrived = threading.Event()
        try:
            graph.client.open()
            graph.client.watch(Features, 'encoder/features', lambda _: arrived.set(), DATA)
            camera = manifest.contract.cameras[0]
            with _cameras(graph, (camera.width, camera.height), Path(folder)):
                start_s = time.monotonic()
                graph.start()
                if not arrived.wait(TIMEOUT_S):
                    graph.check()
                    raise BringupError(f'The encoder node gave no features in {TIMEOUT_S:g} s')
                return time.monotonic() - start_s
        finally:
            graph.stop()


@contextmanager
def _cameras(graph: Graph, size: tuple[int, int], folder: Path) -> Iterator[None]:
    """Publish frames of (width, height) from before the block to its end."""
    topics = [camera.image for camera in graph.rig.cameras]
    settings = {
        '--listeners': 0,
        '--frames': round(4 * TIMEOUT_S * CAMERA_RATE_HZ),
        '--rate-hz': CAMERA_RATE_HZ,
        '--width': size[0],
        '--height': size[1],
    }
    words = [sys.executable, '-m', 'roboadapt_ros.bench.camera_pair', 'send']
    words += [str(folder / 'cameras.json'), '--topics', *topics]
    words += [str(word) for pair in settings.items() for word in pair]
    arrived = threading.Event()
    stop_watching = graph.client.watch(Image, topics[-1], lambda _: arrived.set(), IMAGE)
    environment = process_environment(graph.domain_id)
    sender = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    try:
        if not arrived.wait(TIMEOUT_S):
            raise BringupError('The synthetic cameras sent no frame')
        stop_watching()
        yield
    finally:
        sender.send_signal(signal.SIGINT)
        try:
            sender.wait(STOP_S)
        except subprocess.TimeoutExpired:
            sender.kill()
            sender.wait()
