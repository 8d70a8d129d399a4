"""`roboadapt bench transport`: do camera frames survive the way between two processes.

Two 640x480 rgb8 cameras at 60 Hz, best effort, from one process to another: once under the
Fast DDS profile that every process of the graph gets, once under Fast DDS's own defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import json
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bringup.environment import find_free_domain, process_environment
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.evaluation.statistics import percentile
from roboadapt_ros.learning.progress import Progress, silent

TOPICS = ('bench/left/image_raw', 'bench/right/image_raw')
START_S = 30.0
"""Longest time for the two processes to find each other [s]."""


@dataclass(frozen=True, kw_only=True)
class TransportConfig:
    """Settings of the experiment."""

    frames: int = field(default=300, metadata={'help': 'frames per camera'})
    rate_hz: float = field(default=60.0, metadata={'help': 'frames per second', 'unit': 'Hz'})
    width: int = field(default=640, metadata={'help': 'image width', 'unit': 'px'})
    height: int = field(default=480, metadata={'help': 'image height', 'unit': 'px'})

    def __post_init__(self) -> None:
        """Check there is something to send."""
        for name in ('frames', 'rate_hz', 'width', 'height'):
            if not getattr(self, name) > 0:
                raise ConfigError(name, getattr(self, name), 'must be positive')


def run(config: TransportConfig, progress: Progress = silent) -> BenchResult:
    """Run the experiment with and without the profile.

    Raises:
        BringupError: A process did not end by itself, or ended with an error.
    """
    progress(0, 2, 'with the profile')
    sent, latencies_ms = _send_and_receive(config, profile=True)
    progress(1, 2, 'without the profile')
    _, default_latencies_ms = _send_and_receive(config, profile=False)
    progress(2, 2, 'done')
    if not latencies_ms:
        raise BringupError('No camera frame arrived; is ROS_AUTOMATIC_DISCOVERY_RANGE=OFF set?')
    figures = {
        'frames_sent': sent,
        'frames_received': len(latencies_ms),
        'latency_ms_p50': percentile(latencies_ms, 50),
        'latency_ms_p99': percentile(latencies_ms, 99),
        'default_frames_received': len(default_latencies_ms),
    }
    return BenchResult(bench='transport', figures=figures)


def _send_and_receive(config: TransportConfig, *, profile: bool) -> tuple[int, list[float]]:
    """Return the number of frames sent and the latency of each received one [ms]."""
    environment = _environment(profile)
    length_s = START_S + config.frames / config.rate_hz + 10.0
    with tempfile.TemporaryDirectory() as folder:
        receiver = _start('receive', Path(folder), config, environment)
        sender = _start('send', Path(folder), config, environment)
        try:
            for process in (sender, receiver):
                _finish(process, length_s)
        finally:
            for process in (sender, receiver):
                if process.poll() is None:
                    process.kill()
                    process.wait()
        sent = _read(Path(folder), 'send')['stamps_ns']
        received = _read(Path(folder), 'receive')['latencies_ms']
    return len(sent) * len(TOPICS), received


def _environment(profile: bool) -> dict[str, str]:
    """Return a process's variables in a domain of its own, with our profile or with none."""
    own = process_environment(find_free_domain(), profile=profile)
    if profile:
        return own
    return {name: v for name, v in own.items() if not name.endswith('_DEFAULT_PROFILES_FILE')}


def _start(
    role: str, folder: Path, config: TransportConfig, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    settings = {
        '--frames': config.frames,
        '--rate-hz': config.rate_hz,
        '--width': config.width,
        '--height': config.height,
        '--timeout-s': START_S + config.frames / config.rate_hz,
    }
    words = [
        sys.executable,
        '-m',
        'roboadapt_ros.bench.camera_pair',
        role,
        folder / f'{role}.json',
    ]
    words += ['--topics', *TOPICS, *(str(word) for pair in settings.items() for word in pair)]
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE)


def _finish(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        _, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise BringupError(f'A camera process did not end within {timeout_s:.0f} s') from error
    if process.returncode != 0:
        last = errors.decode(errors='replace').strip().splitlines()[-1:]
        raise BringupError(f'A camera process failed ({process.returncode}): {" ".join(last)}')


def _read(folder: Path, role: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f'{role}.json').read_text(encoding='utf-8'))
    return found
