"""The environment variables of the processes this project starts, and a free ROS domain for them.

This module must not import rclpy: it prepares the processes that do.
"""

from __future__ import annotations

from collections.abc import Mapping
import fcntl
import os
from pathlib import Path
import shutil
import socket
import tempfile

from roboadapt_ros.bringup.paths import config_dir
from roboadapt_ros.errors import BringupError

# Fast DDS 3 (Kilted) warns about the old name; Humble's knows no other.
_PROFILE_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
_OLD_PROFILE_VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'
_PROFILE = 'fastdds.xml'
_SMALL_PROFILE = 'fastdds_small.xml'
_UDP_PROFILE = 'fastdds_udp.xml'
_LOCAL_UDP_PROFILE = 'fastdds_udp_localhost.xml'
_OWN_PROFILES = (_PROFILE, _SMALL_PROFILE, _UDP_PROFILE, _LOCAL_UDP_PROFILE)
_OLD_PROFILES = 'fastdds_2'
"""Folder of the same profiles for Fast DDS 2, which calls an element otherwise."""
_RANGE_VARIABLE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
_LOCALHOST_VARIABLE = 'ROS_LOCALHOST_ONLY'  # Humble's, which knows no discovery range
_DISTROS_WITH_FAST_DDS_2 = ('humble', 'iron', 'jazzy')

# Ten processes with the 16 MiB segments of fastdds.xml, and room for others' files.
_SHARED_MEMORY = Path('/dev/shm')
_LARGE_SEGMENTS_BYTES = 256 * 2**20

# Above 101 the ports of a domain reach Linux's ephemeral range (32768 and up).
_DOMAINS = range(1, 102)

# Lock files of the domains handed out; open, and so locked, for the life of this process.
_held: list[int] = []


def process_environment(domain_id: int | None = None, *, profile: bool = True) -> dict[str, str]:
    """Return a copy of this process's environment for a process of the graph.

    What the user has set stays: discovery range, Fast DDS profile, thread limits.

    Args:
        domain_id: ROS domain; None keeps the current one.
        profile: Whether to point Fast DDS at the transports that carry whole camera frames; what
            sees none is better off `without_images`.
    """
    environment = dict(os.environ)
    distro = environment.get('ROS_DISTRO', '')
    environment.setdefault(_RANGE_VARIABLE, 'LOCALHOST')
    if distro == 'humble' and environment[_RANGE_VARIABLE] == 'LOCALHOST':
        environment.setdefault(_LOCALHOST_VARIABLE, '1')
    if profile:
        environment |= _profile_variables(environment, _frame_profile())
    if domain_id is not None:
        environment['ROS_DOMAIN_ID'] = str(domain_id)
    return environment


def without_images(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep a process without images off shared memory.

    Nothing that it publishes waits for another process then; config/fastdds_udp.xml says why.
    Another middleware than Fast DDS, and a profile of the user's, are left alone.

    Args:
        environment: What the process would have, of `process_environment` and the rig file.
    """
    if 'fastrtps' not in environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp'):
        return {}
    stays_here = environment.get(_RANGE_VARIABLE) == 'LOCALHOST'
    if not stays_here or environment.get('ROS_STATIC_PEERS'):
        return _profile_variables(environment, _UDP_PROFILE)
    made = _profile_variables(environment, _LOCAL_UDP_PROFILE)
    if made:  # the profile says it all; what the ranges would add is shared memory
        made[_RANGE_VARIABLE] = 'SYSTEM_DEFAULT'
        if _LOCALHOST_VARIABLE in environment:
            made[_LOCALHOST_VARIABLE] = '0'
    return made


def _frame_profile() -> str:
    """Return the profile whose shared-memory segments fit this host."""
    try:
        is_roomy = shutil.disk_usage(_SHARED_MEMORY).free >= _LARGE_SEGMENTS_BYTES
    except OSError:
        is_roomy = False
    return _PROFILE if is_roomy else _SMALL_PROFILE


def _profile_variables(environment: Mapping[str, str], profile: str) -> dict[str, str]:
    """Return the variables that name a Fast DDS profile; none where the user has set one."""
    is_old = environment.get('ROS_DISTRO', '') in _DISTROS_WITH_FAST_DDS_2
    folder = config_dir() / _OLD_PROFILES if is_old else config_dir()
    chosen = {environment.get(name) for name in (_PROFILE_VARIABLE, _OLD_PROFILE_VARIABLE)}
    if chosen - {str(folder / name) for name in _OWN_PROFILES} - {None}:
        return {}
    names = [_PROFILE_VARIABLE]
    if is_old:
        names.append(_OLD_PROFILE_VARIABLE)
    return dict.fromkeys(names, str(folder / profile))


def find_free_domain() -> int:
    """Return a ROS domain (1 to 101) that no other process of this host seems to use.

    A lock file keeps it from other callers until this process ends.

    Raises:
        BringupError: If every domain is taken.
    """
    first = os.getpid() % len(_DOMAINS)  # spreads callers that start together
    for offset in range(len(_DOMAINS)):
        domain_id = _DOMAINS[(first + offset) % len(_DOMAINS)]
        if _has_free_ports(domain_id) and _lock(domain_id):
            return domain_id
    raise BringupError(
        'No free ROS domain from 1 to 101. Stop ROS processes that are no longer needed.'
    )


def _has_free_ports(domain_id: int) -> bool:
    """Return whether the UDP ports of a domain's first participants can be bound.

    Ports as in the RTPS specification 2.5, section 9.6.2.3 (base 7400, domain gain 250,
    participant gain 2).
    """
    base = 7400 + 250 * domain_id
    for port in (base + 10, base + 11, base + 12, base + 13):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', port))
            except OSError:
                return False
    return True


def _lock(domain_id: int) -> bool:
    """Return whether this process could take the domain's lock file."""
    path = Path(tempfile.gettempdir(), f'roboadapt-domain-{domain_id}.lock')
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # another user's file
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
