"""The simulated graph brought up by launch itself: lifecycles, a switch, motion, its end."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('launch')
pytest.importorskip('launch_ros.actions')

import fakes
from graph_watch import GraphWatch, wait_for
from roboadapt_ros.bringup.client import GraphClient
from roboadapt_ros.bringup.environment import find_free_domain, process_environment
from roboadapt_ros.bringup.launching import RESPAWN_DELAY_S
from roboadapt_ros.errors import RoboAdaptError
import yaml

pytestmark = [pytest.mark.processes]
ROOT = Path(__file__).parents[2]
NODES = ('camera', 'encoder', 'policy', 'sim2real', 'governor', 'sim_rig', 'recorder')
START_S, END_S = 120.0, 20.0
# What `ros2 launch` does with a file and its arguments.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [tuple(word.split(':=', 1)) for word in sys.argv[2:]]
service = LaunchService(argv=sys.argv[2:])
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    return fakes.make_circle_models(tmp_path_factory.mktemp('models'))


@pytest.fixture
def start(tmp_path):
    """Return a function that launches the simulated rig in a domain, from an installed tree."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'roboadapt_ros').touch()
    scripts = tmp_path / 'lib' / 'roboadapt_ros'
    scripts.mkdir(parents=True)
    for name in NODES:
        script = scripts / f'{name}_node'
        run = f'exec {sys.executable} -m roboadapt_ros.nodes.{name}_node "$@"'
        script.write_text(f'#!/bin/sh\n{run}\n')
        script.chmod(0o755)
    started = []

    def begin(domain, **arguments):
        environment = process_environment(domain)
        paths = [str(tmp_path), environment.get('AMENT_PREFIX_PATH', ''), sys.prefix]
        environment['AMENT_PREFIX_PATH'] = os.pathsep.join(filter(None, paths))
        paths = [str(ROOT), environment.get('PYTHONPATH', '')]
        environment['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
        environment['ROS_LOG_DIR'] = str(tmp_path / 'log')
        words = [sys.executable, '-c', LAUNCH, str(ROOT / 'launch' / 'sim.launch.py')]
        words += [f'{name}:={value}' for name, value in arguments.items()]
        log = tmp_path / 'out'
        with log.open('w') as out:
            process = subprocess.Popen(
                words, stdout=out, stderr=subprocess.STDOUT, env=environment
            )
        started.append(process)
        return process, log

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _nodes_below(folder):
    """Return the running processes that were started from a folder, or log there."""
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            environment = (path / 'environ').read_bytes()
        except OSError:
            continue
        if str(folder).encode() in environment and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def _pids_of(node, folder):
    """Return the process ids of a node that was started from a folder."""
    lines = ((pid, Path(f'/proc/{pid}/cmdline').read_bytes()) for pid in _nodes_below(folder))
    return [pid for pid, line in lines if f'nodes.{node}_node'.encode() in line]


def _is_active(client, node):
    try:
        return client.state(f'/{node}') == 'active'
    except RoboAdaptError:
        return False


def test_launch_brings_the_graph_up_and_ends_it(start, models, tmp_path):
    domain = find_free_domain()
    process, log = start(domain, models_dir=models, task='circle_left')
    with GraphClient(domain_id=domain) as client:
        for node in ('sim_rig', 'governor', 'sim2real', 'policy', 'encoder'):
            wait_for(
                lambda node=node: _is_active(client, node) or process.poll() is not None,
                f'{node} to be active',
                START_S,
            )
        assert process.poll() is None, log.read_text()
        watch = GraphWatch(client)
        assert watch.serve('circle_right').generation >= 1
        watch.arm_until_moving()
        client.soft_stop()
        wait_for(lambda: not watch.is_moving(), 'the arm to stand')
    process.send_signal(signal.SIGINT)
    assert process.wait(END_S) == 0, log.read_text()
    text = log.read_text()
    assert text.count('process has finished cleanly') == 5, text
    assert 'Traceback' not in text
    assert not _nodes_below(tmp_path), 'a node outlived its launch'


def test_a_node_that_ends_is_started_again_and_the_arm_waits(start, models, tmp_path):
    domain = find_free_domain()
    process, log = start(domain, models_dir=models, task='circle_left')
    with GraphClient(domain_id=domain) as client:
        wait_for(lambda: _is_active(client, 'encoder'), 'the encoder to be active', START_S)
        watch = GraphWatch(client)
        watch.arm_until_moving()
        (killed,) = _pids_of('sim2real', tmp_path)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not watch.is_moving(), 'the arm to stand')
        client.forget('/sim2real')
        again = RESPAWN_DELAY_S + START_S
        wait_for(lambda: _pids_of('sim2real', tmp_path) not in ([], [killed]), 'another', again)
        wait_for(lambda: _is_active(client, 'sim2real'), 'it to be active', START_S)
        time.sleep(0.5)
        assert not watch.is_moving(), 'the arm must wait for an explicit arm'
        assert watch.gate_state() in ('dry_run', 'fault')
        watch.arm_until_moving()
    assert process.poll() is None
    assert "'sim2real' has ended; it is started again" in log.read_text()


def test_a_governor_that_ends_ends_the_launch(start, models, tmp_path):
    process, log = start(find_free_domain(), models_dir=models, task='circle_left')
    wait_for(lambda: _pids_of('governor', tmp_path), 'the governor', START_S)
    os.kill(_pids_of('governor', tmp_path)[0], signal.SIGKILL)
    process.wait(START_S)
    assert "'governor' has ended: a new one would not know" in log.read_text()
    assert not _nodes_below(tmp_path)


def test_a_node_that_can_not_be_activated_ends_the_launch_and_says_why(start, models, tmp_path):
    rig = yaml.safe_load((ROOT / 'config' / 'rigs' / 'sim.yaml').read_text())
    rig['cameras'] = [camera for camera in rig['cameras'] if camera['name'] == 'scene']
    path = tmp_path / 'one_eyed.yaml'
    path.write_text(yaml.safe_dump(rig))
    process, log = start(find_free_domain(), models_dir=models, task='circle_left', rig=path)
    process.wait(START_S)
    text = log.read_text()
    assert "'encoder' can't be activated" in text
    assert "camera of task 'circle_left' 'wrist'" in text
    assert not _nodes_below(tmp_path)


def test_a_task_nobody_knows_ends_the_launch_and_says_why(start, models, tmp_path):
    process, log = start(find_free_domain(), models_dir=models, task='circle_lfet')
    process.wait(START_S)
    text = log.read_text()
    assert "'encoder' can't be configured" in text
    assert "Did you mean 'circle_left'" in text, 'the nearest name'
    assert not _nodes_below(tmp_path)
