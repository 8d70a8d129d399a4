"""Facts about this host and this Python; reads files and asks nvidia-smi, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import importlib.util
from pathlib import Path
import platform
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree

from roboadapt_ros.doctor.facts import GpuFacts, HostFacts, ProfileFacts

DEFAULT_RMW = 'rmw_fastrtps_cpp'
"""Of Humble, Jazzy and Kilted."""
_LOAD_ROS = (
    'import rclpy; from rclpy.utilities import get_rmw_implementation_identifier as name; '
    'rclpy.init(); print(name())'
)
_LOAD_TIMEOUT_S = 30.0
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_SHARED_MEMORY = '/dev/shm'
_REALTIME = Path('/sys/kernel/realtime')
_RECEIVE_BUFFER_MAX = Path('/proc/sys/net/core/rmem_max')
_DATAGRAMS = Path('/proc/net/snmp')
_CPUS = Path('/sys/devices/system/cpu')
_GPU_FIELDS = 'name,clocks.sm,clocks.max.sm,persistence_mode,clocks_throttle_reasons.active'
_GPU_TIMEOUT_S = 10.0


def read_host(environment: Mapping[str, str], packages: Iterable[str]) -> HostFacts:
    """Return the facts of this host.

    Args:
        environment: Variables the processes of the graph get.
        packages: Python packages to look for.
    """
    folder, builds = _rclpy_files()
    rmw, problem = _load_ros(environment) if folder else ('', '')
    kernel = f'{platform.release()} {platform.version()}'
    return HostFacts(
        environment=environment,
        rmw=rmw or environment.get('RMW_IMPLEMENTATION') or DEFAULT_RMW,
        python='.'.join(platform.python_version_tuple()[:2]),
        extension_suffix=str(sysconfig.get_config_var('EXT_SUFFIX')),
        rclpy_path=folder,
        rclpy_builds=builds,
        rclpy_problem=problem,
        kernel=kernel,
        is_realtime=_text(_REALTIME) == '1' or 'PREEMPT_RT' in kernel,
        cpu_governors=_cpu_governors(),
        gpus=_gpus(),
        profile=_profile(environment),
        shared_memory_free=_shared_memory_free(),
        receive_buffer_max=_number(_text(_RECEIVE_BUFFER_MAX)) or None,
        datagrams_lost=parse_datagrams_lost(_text(_DATAGRAMS)),
        installed={name: _is_installed(name) for name in packages},
    )


def read_profile(path: Path) -> ProfileFacts:
    """Return what a Fast DDS profile says about shared memory."""
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        return ProfileFacts(path=str(path), problem=f'cannot be read ({error.strerror})')
    except ElementTree.ParseError as error:
        return ProfileFacts(path=str(path), problem=f'is not XML ({error})')
    segments, messages = [], []
    for transport in root.iter():
        if _tag(transport) != 'transport_descriptor':
            continue
        fields = {_tag(child): (child.text or '').strip() for child in transport}
        if fields.get('type', '').upper() == 'SHM':
            segments.append(_number(fields.get('segment_size')))
            messages.append(_number(fields.get('maxMessageSize')))
    return ProfileFacts(
        path=str(path),
        segment_bytes=max(segments, default=0),
        message_bytes=max(messages, default=0),
    )


def parse_gpus(text: str) -> tuple[GpuFacts, ...]:
    """Return the GPUs of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(',')]
        if len(cells) != len(_GPU_FIELDS.split(',')):
            continue
        name, clock, clock_max, persistence, throttle = cells
        found.append(
            GpuFacts(
                name=name,
                clock_mhz=_float(clock),
                clock_max_mhz=_float(clock_max),
                persistent=persistence == 'Enabled',
                throttle_bits=int(throttle, 16) if throttle.startswith('0x') else 0,
            )
        )
    return tuple(found)


def parse_datagrams_lost(text: str) -> int:
    """Return the UDP datagrams that a full receive buffer has cost, of /proc/net/snmp."""
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith('Udp:')]
    if len(rows) != 2:
        return 0
    return _number(dict(zip(*rows, strict=False)).get('RcvbufErrors'))


def _gpus() -> tuple[GpuFacts, ...] | None:
    program = shutil.which('nvidia-smi')
    if program is None:
        return None
    words = [program, f'--query-gpu={_GPU_FIELDS}', '--format=csv,noheader,nounits']
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(done.stdout) if done.returncode == 0 else ()


def _profile(environment: Mapping[str, str]) -> ProfileFacts | None:
    named = [environment[name] for name in PROFILE_VARIABLES if environment.get(name)]
    return read_profile(Path(named[0])) if named else None


def _shared_memory_free() -> int | None:
    try:
        return shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return None


def _cpu_governors() -> tuple[str, ...]:
    files = _CPUS.glob('cpu[0-9]*/cpufreq/scaling_governor')
    return tuple(sorted({_text(file) for file in files} - {''}))


def _rclpy_files() -> tuple[str, tuple[str, ...]]:
    """Return rclpy's folder and the names of its compiled modules, without importing it."""
    spec = importlib.util.find_spec('rclpy')
    if spec is None or spec.origin is None:
        return '', ()
    folder = Path(spec.origin).parent
    return str(folder), tuple(sorted(path.name for path in folder.glob('_rclpy_pybind11*')))


def _load_ros(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the middleware that comes up and '', or '' and why none does.

    In a process of its own: a middleware that is not installed ends the process it is loaded in.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-c', _LOAD_ROS],
            capture_output=True,
            text=True,
            env=dict(environment),
            timeout=_LOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return '', f'did not come up within {_LOAD_TIMEOUT_S:g} s'
    if done.returncode == 0:
        return done.stdout.split()[-1], ''
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return '', lines[-1] if lines else f'ended with code {done.returncode}'


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8').strip()
    except OSError:
        return ''


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition('}')[2]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # '[N/A]'
        return 0.0
