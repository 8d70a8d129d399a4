"""Cameras that break while the arm moves: their own process, and the device behind it.

Part of the fault matrix. The wrist's images come from `camera_node`, over a V4L2 camera that
OpenCV's own code reads (`fake_v4l2.c`); the scene's from the simulated rig.
"""

from __future__ import annotations

from dataclasses import replace
import signal

from fault_bench import Bench, RIG, write_table
from graph_watch import GraphWatch, wait_for
import pytest
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.supervisor import Graph
from v4l2_cameras import build, FakeCameras
import yaml

pytestmark = [pytest.mark.processes, pytest.mark.slow]
CAMERA = 5
SIZE = RIG.nodes['sim_rig']['width'], RIG.nodes['sim_rig']['height']
WORKS = f'yuyv={SIZE[0]}x{SIZE[1]}@30'
WITHIN_S = 0.6
"""A frame period, the pipeline and two policy periods."""


@pytest.fixture(scope='module')
def cameras(tmp_path_factory):
    made = FakeCameras(build(tmp_path_factory.mktemp('library')), tmp_path_factory.mktemp('dev'))
    made.plug(CAMERA, WORKS)
    return made


@pytest.fixture(scope='module')
def bench(models, cameras, tmp_path_factory):
    """Return a graph with a camera of its own, up; what was seen is written at the end."""
    own = tmp_path_factory.mktemp('faults')
    settings = own / 'wrist.yaml'
    settings.write_text(
        yaml.safe_dump(
            {
                'kind': 'device',
                'source': str(cameras.path(CAMERA)),
                'width': SIZE[0],
                'height': SIZE[1],
                'rate_hz': 30.0,
            }
        )
    )
    scene, wrist = RIG.cameras
    wrist = replace(wrist, image='wrist_device/image_raw', driver=str(settings))
    rig = replace(
        RIG,
        cameras=(scene, wrist),
        nodes={**RIG.nodes, 'encoder': {'engine': 'torch'}},  # no race at start
    )

    def sees_cameras(description):
        if not description.name.startswith('camera_'):
            return description
        environment = {**description.environment, **cameras.environment}
        return replace(description, environment=environment)

    running = Graph(
        rig,
        log_dir=own / 'log',
        domain_id=find_free_domain(),
        models_dir=models,
        change=sees_cameras,
    )
    with running:
        made = Bench(running, GraphWatch(running.client))
        yield made
    write_table(made.rows)


def wait_for_health(bench: Bench, node: str, words: str) -> None:
    """Wait until a node's health says some words, or fails to."""
    wait_for(lambda: words in bench.watch.diagnostics[node][0], f"{node} to say '{words}'")


def test_a_killed_camera_node_ends_in_a_hold(bench):
    row = bench.breaks(
        'camera_node killed', lambda: bench.graph.kill('camera_wrist', signal.SIGKILL), WITHIN_S
    )
    wait_for_health(bench, 'encoder', 'no good frames from wrist')
    bench.graph.restart('camera_wrist')
    bench.resume(row)


def test_an_unplugged_device_ends_in_a_hold_and_is_taken_up_again(bench, cameras):
    row = bench.breaks('device unplugged', lambda: cameras.unplug(CAMERA), WITHIN_S)
    wait_for_health(bench, 'camera_wrist', 'is not there')
    cameras.plug(CAMERA, WORKS)
    bench.resume(row)


def test_a_frozen_device_ends_in_a_hold_and_is_taken_up_again(bench, cameras):
    row = bench.breaks('device frozen', lambda: cameras.plug(CAMERA, WORKS + ' freeze'), WITHIN_S)
    wait_for_health(bench, 'camera_wrist', 'no frame for')
    cameras.plug(CAMERA, WORKS)
    bench.resume(row)
