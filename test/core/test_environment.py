"""The environment of the processes this project starts, and the domain they meet in."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from roboadapt_ros.bringup import environment
from roboadapt_ros.bringup.environment import (
    find_free_domain,
    process_environment,
    without_images,
)

FRAME_BYTES = 640 * 480 * 3
VARIABLES = (
    'ROS_DISTRO',
    'ROS_DOMAIN_ID',
    'ROS_AUTOMATIC_DISCOVERY_RANGE',
    'ROS_LOCALHOST_ONLY',
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTRTPS_DEFAULT_PROFILES_FILE',
    'RMW_IMPLEMENTATION',
    'ROS_STATIC_PEERS',
)
CONFIG = Path(__file__).parents[2] / 'config'
PROFILES = [CONFIG / name for name in ('fastdds.xml', 'fastdds_small.xml')]
UDP_PROFILES = [CONFIG / name for name in ('fastdds_udp.xml', 'fastdds_udp_localhost.xml')]
NAME = '{http://www.eprosima.com}'


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test as on a fresh machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_processes_stay_on_this_host_by_default():
    assert process_environment(7)['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert process_environment(7)['ROS_DOMAIN_ID'] == '7'
    assert 'ROS_DOMAIN_ID' not in process_environment()


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/mine.xml')
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    made = process_environment()
    assert made['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SUBNET'
    assert made['FASTRTPS_DEFAULT_PROFILES_FILE'] == '/mine.xml'
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' not in made
    assert made['OMP_NUM_THREADS'] == '3'


def test_a_process_without_images_has_no_shared_memory_and_stays_on_this_host():
    own = without_images(process_environment())
    assert Path(own['FASTDDS_DEFAULT_PROFILES_FILE']).name == 'fastdds_udp_localhost.xml'
    # With the range LOCALHOST the middleware would add shared memory again.
    assert own['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SYSTEM_DEFAULT'
    assert 'ROS_LOCALHOST_ONLY' not in own


def test_humble_is_told_by_its_own_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    own = without_images(process_environment())
    assert own['ROS_LOCALHOST_ONLY'] == '0'
    assert own['FASTRTPS_DEFAULT_PROFILES_FILE'] == own['FASTDDS_DEFAULT_PROFILES_FILE']


@pytest.mark.parametrize(
    'wider', [{'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}, {'ROS_STATIC_PEERS': '10.0.0.2'}]
)
def test_a_graph_over_several_hosts_keeps_its_range(wider: dict[str, str]):
    own = without_images({**process_environment(), **wider})
    assert Path(own['FASTDDS_DEFAULT_PROFILES_FILE']).name == 'fastdds_udp.xml'
    assert 'ROS_AUTOMATIC_DISCOVERY_RANGE' not in own


@pytest.mark.parametrize(
    'chosen',
    [
        {'FASTDDS_DEFAULT_PROFILES_FILE': '/mine.xml'},
        {'FASTRTPS_DEFAULT_PROFILES_FILE': '/mine.xml'},
        {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'},
    ],
)
def test_a_profile_or_a_middleware_of_the_user_is_left_alone(chosen: dict[str, str]):
    """Another middleware knows no profile of ours, and would be let out of this host."""
    assert without_images({**process_environment(profile=False), **chosen}) == {}


@pytest.mark.parametrize(
    ('distro', 'has_old_name'), [('', False), ('kilted', False), ('jazzy', True), ('humble', True)]
)
def test_profile_has_the_name_the_distribution_reads(
    monkeypatch: pytest.MonkeyPatch, distro: str, has_old_name: bool
):
    monkeypatch.setenv('ROS_DISTRO', distro)
    made = process_environment()
    path = Path(made['FASTDDS_DEFAULT_PROFILES_FILE'])
    assert path.is_file()
    assert (path.parent.name == 'fastdds_2') == has_old_name
    assert ('FASTRTPS_DEFAULT_PROFILES_FILE' in made) == has_old_name
    assert ('ROS_LOCALHOST_ONLY' in made) == (distro == 'humble')
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' not in process_environment(profile=False)


def test_short_shared_memory_takes_small_segments(monkeypatch: pytest.MonkeyPatch):
    """Docker gives 64 MiB: large segments would not fit and frames would leave by UDP."""
    usage = namedtuple('usage', 'free')
    monkeypatch.setattr(environment.shutil, 'disk_usage', lambda _: usage(64 * 2**20))
    assert process_environment()['FASTDDS_DEFAULT_PROFILES_FILE'].endswith('/fastdds_small.xml')
    monkeypatch.setattr(environment.shutil, 'disk_usage', lambda _: usage(2**30))
    assert process_environment()['FASTDDS_DEFAULT_PROFILES_FILE'].endswith('/fastdds.xml')


@pytest.mark.parametrize('path', PROFILES, ids=lambda path: path.name)
def test_profile_carries_a_whole_frame(path: Path):
    root = ElementTree.parse(path).getroot()
    (segment,) = (int(found.text or 0) for found in root.iter(f'{NAME}segment_size'))
    (message,) = (int(found.text or 0) for found in root.iter(f'{NAME}maxMessageSize'))
    assert FRAME_BYTES < message <= segment


@pytest.mark.parametrize('path', [*PROFILES, *UDP_PROFILES], ids=lambda path: path.name)
def test_profile_is_that_of_every_process_it_is_given_to(path: Path):
    (participant,) = ElementTree.parse(path).getroot().iter(f'{NAME}participant')
    assert participant.get('is_default_profile') == 'true', 'no process would use it'


@pytest.mark.parametrize('path', [*PROFILES, *UDP_PROFILES], ids=lambda path: path.name)
def test_profile_of_fast_dds_2_says_the_same_in_its_words(path: Path):
    new, old = (
        ElementTree.canonicalize(from_file=str(found), strip_text=True)
        for found in (path, path.parent / 'fastdds_2' / path.name)
    )
    assert 'heartbeat_period' in new
    assert new.replace('heartbeat_period', 'heartbeatPeriod') == old


@pytest.mark.parametrize('path', UDP_PROFILES, ids=lambda path: path.name)
def test_profile_without_images_has_udp_only(path: Path):
    root = ElementTree.parse(path).getroot()
    assert [found.text for found in root.iter(f'{NAME}type')] == ['UDPv4']
    (built_in,) = root.iter(f'{NAME}useBuiltinTransports')
    assert built_in.text == 'false', 'those have shared memory'


def test_domains_handed_out_differ_within_a_process_and_between_processes():
    mine = {find_free_domain(), find_free_domain()}
    program = 'from roboadapt_ros.bringup.environment import *; print(find_free_domain())'
    other = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert len(mine | {int(other.stdout)}) == 3
    assert all(1 <= domain <= 101 for domain in mine)


def test_domain_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, '_lock', lambda _: True)
    free = find_free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('', 7400 + 250 * free + 10))
        assert find_free_domain() != free
