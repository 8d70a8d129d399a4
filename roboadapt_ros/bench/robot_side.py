"""The processes of the robot's side as they are, on busy cores: their clock and their memory.

Governor, sim2real, recorder and a camera process per camera run in a ROS domain of their own;
`robot_feed` stands for arm and policy. On every core a loop at normal priority takes what time
it gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

import cv2
import numpy as np
from roboadapt_ros.adapters.package import load_manifest
from roboadapt_ros.bringup.environment import find_free_domain, process_environment, without_images
from roboadapt_ros.bringup.paths import models_dir
from roboadapt_ros.bringup.process import prepare
from roboadapt_ros.bringup.rig import load_rig, RigConfig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import BringupError, RefusedError
from roboadapt_ros.evaluation.statistics import percentile
from roboadapt_ros.learning.progress import Progress, silent
import yaml

RIG, TASK = 'sim', 'lift_red'
PERIOD_MS = 10.0
WIDTH, HEIGHT, CAMERA_RATE_HZ = 640, 480, 30.0
FRAMES = 8
FEED_NICENESS, FEED_REALTIME = -10, 5
ARM_TIMEOUT_S, RETRY_S = 30.0, 0.2
END_TIMEOUT_S = 30.0
TICK_FIGURES = tuple(
    f'{part}_ms_{of}' for part in ('compute', 'tick') for of in ('p50', 'p99', 'max')
)
ENOUGH = 0.9
"""Part of the points that must have come."""
MIB = 2**20
_BUSY = 'import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass'
_LIBRARIES = ('libtorch', '/torch/')


def measure(
    seconds: float, *, load: bool, state_rate_hz: float, progress: Progress = silent
) -> dict[str, float]:
    """Return the figures of the robot's side.

    Args:
        seconds: Time measured [s].
        load: Whether every core is kept busy.
        state_rate_hz: Rate of joint states [Hz].
        progress: Told what is going on.

    Raises:
        BringupError: A process ended, or the arm was not moved in time.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rig = _with_cameras(load_rig(RIG), folder)
        cameras = tuple(f'camera_{camera.name}' for camera in rig.cameras)
        graph = Graph(
            rig,
            log_dir=folder / 'log',
            domain_id=find_free_domain(),
            record_to=folder / 'recording',
            only=('governor', 'sim2real', 'recorder', *cameras),
            progress=lambda message: progress(0, 1, message),
        )
        with graph, _busy_cores(load=load), _feed(graph, folder, seconds, state_rate_hz) as feed:
            _arm(graph)
            progress(0, 1, f'timing for {seconds:.0f} s')
            time.sleep(seconds)
            memory = memory_figures(graph.pids())
            graph.check()
            _await_end(feed, seconds)
        record = json.loads((folder / 'feed.json').read_text(encoding='utf-8'))
    progress(1, 1, f'{len(record["stamps_ns"])} points')
    return timing_figures(record, seconds) | memory


def timing_figures(record: dict[str, Any], seconds: float) -> dict[str, float]:
    """Return jitter and compute time from what the feed wrote down.

    Jitter is how far the time from one point to the next is off the period: of the stamps, and
    of the arrivals, which have the listener's own delays in them. The governor itself tells how
    long it computes a point, and how long a tick with its publications takes, over a minute.

    Raises:
        BringupError: The stream of points broke off, so that there is no clock to speak of.
    """
    found, expected = len(record['stamps_ns']), seconds * 1e3 / PERIOD_MS
    if found < ENOUGH * expected or set(TICK_FIGURES) - set(record['governor']):
        raise BringupError(
            f'{found} of {expected:.0f} points came; the gate was {record["gate"] or "silent"}'
        )
    figures: dict[str, float] = {'timed_points': len(record['stamps_ns'])}
    for name, times in (('jitter', 'stamps_ns'), ('arrival_jitter', 'arrivals_ns')):
        off_ms = np.abs(np.diff(np.array(record[times], dtype=np.int64)) / 1e6 - PERIOD_MS)
        figures |= {
            f'{name}_ms_p50': percentile(off_ms.tolist(), 50),
            f'{name}_ms_p99': percentile(off_ms.tolist(), 99),
            f'{name}_ms_max': float(off_ms.max()),
        }
    told = {name: float(record['governor'][name]) for name in TICK_FIGURES}
    return figures | told


def memory_figures(pids: dict[str, int]) -> dict[str, float]:
    """Return the memory of processes [MiB], and how many of them have torch mapped.

    `robot_side_mb` is their proportional set size: pages that several of them share count once.
    """
    figures = {'robot_side_mb': 0.0, 'robot_side_unique_mb': 0.0, 'robot_side_processes': 0.0}
    with_torch = 0
    for name, pid in pids.items():
        sizes = _sizes_kb(Path(f'/proc/{pid}/smaps_rollup'))
        figures[f'memory_{name}_mb'] = sizes['Pss'] * 1024 / MIB
        figures['robot_side_mb'] += sizes['Pss'] * 1024 / MIB
        unique_kb = sizes['Private_Clean'] + sizes['Private_Dirty']
        figures['robot_side_unique_mb'] += unique_kb * 1024 / MIB
        figures['robot_side_processes'] += 1
        maps = Path(f'/proc/{pid}/maps').read_text(encoding='utf-8')
        with_torch += any(library in maps for library in _LIBRARIES)
    return figures | {'robot_side_with_torch': with_torch}


def _sizes_kb(file: Path) -> dict[str, int]:
    lines = file.read_text(encoding='utf-8').splitlines()[1:]
    return {line.split(':')[0]: int(line.split()[1]) for line in lines}


def _with_cameras(rig: RigConfig, folder: Path) -> RigConfig:
    """Return the rig with a camera node per camera, each reading a folder of pictures."""
    pictures = folder / 'pictures'
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(FRAMES):
        small = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
        picture = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(pictures / f'{number:03d}.png'), picture)
    driver = folder / 'camera.yaml'
    settings = {'kind': 'folder', 'source': str(pictures), 'rate_hz': CAMERA_RATE_HZ}
    driver.write_text(yaml.safe_dump(settings | {'width': WIDTH, 'height': HEIGHT}))
    cameras = tuple(replace(camera, driver=str(driver)) for camera in rig.cameras)
    return replace(rig, simulated=False, cameras=cameras)


@contextmanager
def _busy_cores(*, load: bool) -> Iterator[None]:
    """Keep every core busy for the time of the block."""
    cores = sorted(os.sched_getaffinity(0)) if load else []
    words = [sys.executable, '-c', _BUSY]
    # Sessions of their own, so that theirs is the usual priority whatever the terminal's is.
    loops = [subprocess.Popen([*words, str(core)], start_new_session=True) for core in cores]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextmanager
def _feed(
    graph: Graph, folder: Path, seconds: float, state_rate_hz: float
) -> Iterator[subprocess.Popen[bytes]]:
    _, digest = load_manifest(models_dir() / 'tasks' / TASK)
    settings = {
        '--rig': RIG, '--task': TASK, '--digest': digest,
        '--seconds': seconds, '--state-rate-hz': state_rate_hz,
    }  # fmt: skip
    words = [sys.executable, '-m', 'roboadapt_ros.bench.robot_feed', str(folder / 'feed.json')]
    words += [str(word) for pair in settings.items() for word in pair]
    environment = process_environment(graph.domain_id)
    environment |= without_images(environment)
    # It stands for another machine, so it must not wait for this one's load.
    feed = subprocess.Popen(
        words,
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=partial(prepare, FEED_NICENESS, FEED_REALTIME),
    )
    try:
        yield feed
    finally:
        if feed.poll() is None:
            feed.kill()
        feed.communicate()


def _arm(graph: Graph) -> None:
    """Open the gate as soon as chunks come; raises the last refusal when that takes too long."""
    deadline_s = time.monotonic() + ARM_TIMEOUT_S
    while True:
        try:
            return graph.client.arm()
        except RefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(RETRY_S)


def _await_end(feed: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        _, errors = feed.communicate(timeout=seconds + END_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BringupError('The stand-in of the arm did not end') from error
    if feed.returncode != 0:
        last = errors.decode(errors='replace').strip().splitlines()[-1:]
        raise BringupError(f'The stand-in of the arm failed: {" ".join(last)}')
