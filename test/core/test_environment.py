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
)
PROFILES = sorted((Path(__file__).parents[2] / 'config').glob('fastdds*.xml'))


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


def test_a_process_without_images_takes_little_shared_memory_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
):
    # A client of the graph puts the large profile into its own environment.
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(environment.fast_dds_profile()))
    small = without_images()['FASTDDS_DEFAULT_PROFILES_FILE']
    assert Path(small).name == 'fastdds_small.xml' and Path(small).is_file()
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/mine.xml')
    assert without_images() == {}


@pytest.mark.parametrize(
    ('distro', 'has_old_name'), [('', False), ('kilted', False), ('jazzy', True), ('humble', True)]
)
def test_profile_has_the_name_the_distribution_reads(
    monkeypatch: pytest.MonkeyPatch, distro: str, has_old_name: bool
):
    monkeypatch.setenv('ROS_DISTRO', distro)
    made = process_environment()
    assert Path(made['FASTDDS_DEFAULT_PROFILES_FILE']).is_file()
    assert ('FASTRTPS_DEFAULT_PROFILES_FILE' in made) == has_old_name
    assert ('ROS_LOCALHOST_ONLY' in made) == (distro == 'humble')
    assert 'FASTDDS_DEFAULT_PROFILES_FILE' not in process_environment(profile=False)


def test_short_shared_memory_takes_small_segments(monkeypatch: pytest.MonkeyPatch):
    """Docker gives 64 MiB: large segments would not fit and frames would leave by UDP."""
    usage = namedtuple('usage', 'free')
    monkeypatch.setattr(environment.shutil, 'disk_usage', lambda _: usage(64 * 2**20))
    assert environment.fast_dds_profile().name == 'fastdds_small.xml'
    monkeypatch.setattr(environment.shutil, 'disk_usage', lambda _: usage(2**30))
    assert environment.fast_dds_profile().name == 'fastdds.xml'


@pytest.mark.parametrize('path', PROFILES, ids=lambda path: path.name)
def test_profile_carries_a_whole_frame(path: Path):
    name = '{http://www.eprosima.com}'
    root = ElementTree.parse(path).getroot()
    (segment,) = (int(found.text or 0) for found in root.iter(f'{name}segment_size'))
    (message,) = (int(found.text or 0) for found in root.iter(f'{name}maxMessageSize'))
    assert FRAME_BYTES < message <= segment
    (participant,) = root.iter(f'{name}participant')
    assert participant.get('is_default_profile') == 'true', 'no process would use it'


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
