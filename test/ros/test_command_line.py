"""The commands on a live graph: the demonstration, a graph kept up, an evaluation, a benchmark."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import fakes
import pytest
from roboadapt_ros.bringup.environment import find_free_domain
import tiny

pytestmark = [pytest.mark.processes, pytest.mark.slow]
COMMAND_TIMEOUT_S = 240.0
UP_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Return a models folder whose tasks have the simulator's names and move in circles."""
    folder = tmp_path_factory.mktemp('models')
    backbone = tiny.make_backbone(folder)
    for task, turn in (('lift_red', 1.0), ('push_blue', -1.0)):
        fakes.make_circle_task(folder, task, turn, backbone.id, backbone.digest)
    return folder


def _words(*words):
    return [sys.executable, '-m', 'roboadapt_ros.cli.main', *map(str, words)]


def _environment(**changes):
    return {**os.environ, 'COLUMNS': '120', **changes}


def _run(*words, **changes):
    return subprocess.run(
        _words(*words),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env=_environment(**changes),
        check=False,
    )


def _running_below(folder):
    """Return the command lines of processes whose parameters are in a folder."""
    found = subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True, check=True)
    return [line for line in found.stdout.splitlines() if f'{folder}/' in line]


def _pid_of(node, folder):
    """Return the process id of a node whose parameters are in a folder."""
    found = subprocess.run(
        ['pgrep', '-f', f'{node}_node .*{folder}/'], capture_output=True, text=True, check=True
    )
    return int(found.stdout.split()[0])


def test_the_demonstration_reports_what_it_saw(models, tmp_path):
    done = _run('demo', '--episodes', 1, '--models', models, '--runs', tmp_path)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    summary = json.loads((tmp_path / 'latest' / 'summary.json').read_text())
    assert {task: s['episodes'] for task, s in summary['tasks'].items()} == {
        'lift_red': 1,
        'push_blue': 1,
    }
    assert summary['mixed_task_messages'] == 0
    assert summary['messages_judged'] > 500, 'every stage of the graph was listened to'
    assert summary['switches'] == 3
    assert summary['switches_while_moving'] == 1, 'the second episode is handed over in motion'
    assert summary['switch_us_p99'] > 0
    for name in ('limit_violations', 'frames_dropped_at_switch', 'wall_s'):
        assert name in summary
    page = (tmp_path / 'latest' / 'report.html').read_text()
    assert page.count('data:image/jpeg') >= 12, 'a film strip of each task'
    assert 'push_blue' in done.stdout
    assert 'report.html' in done.stdout
    assert not _running_below(tmp_path), 'the graph outlived the command'


def test_a_graph_that_is_up_is_switched_armed_stopped_and_ended(models, tmp_path):
    domain = str(find_free_domain())
    words = _words('up', '--rig', 'sim', '--models', models, '--runs', tmp_path)
    with (tmp_path / 'out').open('w') as out:
        up = subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, env=_environment(ROS_DOMAIN_ID=domain)
        )
    try:
        deadline_s = time.monotonic() + UP_TIMEOUT_S
        while 'Ctrl-C' not in (tmp_path / 'out').read_text():
            assert up.poll() is None, (tmp_path / 'out').read_text()
            assert time.monotonic() < deadline_s, (tmp_path / 'out').read_text()
            time.sleep(0.2)
        switched = _run('switch', 'push_blue', ROS_DOMAIN_ID=domain)
        assert switched.returncode == 0, switched.stderr
        assert 'push_blue is active: generation 1' in switched.stdout
        wrong = _run('switch', 'push_bleu', ROS_DOMAIN_ID=domain)
        assert wrong.returncode == 2
        assert "Did you mean 'push_blue'?" in wrong.stderr
        second = _run('up', '--rig', 'sim', '--models', models, ROS_DOMAIN_ID=domain)
        assert second.returncode == 2
        assert f'Another graph is up in ROS domain {domain}' in ' '.join(second.stderr.split())
        stopped = _run('stop', ROS_DOMAIN_ID=domain)
        assert stopped.returncode == 0, stopped.stdout
        assert "'roboadapt arm' goes on" in ' '.join(stopped.stdout.split())
        stopped = _run('stop', '--hard', ROS_DOMAIN_ID=domain)
        assert stopped.returncode == 0, stopped.stdout
        refused = _run('arm', ROS_DOMAIN_ID=domain)
        assert refused.returncode == 2
        assert "'roboadapt recover'" in ' '.join(refused.stderr.split())
        unasked = _run('recover', ROS_DOMAIN_ID=domain)
        assert unasked.returncode == 2, 'without a terminal nobody has looked at the arm'
        assert 'clear: let the robot clear its errors' in unasked.stdout
        assert '--yes' in unasked.stderr
        recovered = _run('recover', '--yes', ROS_DOMAIN_ID=domain)
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        assert 'settle: done' in recovered.stdout
        os.kill(_pid_of('policy', tmp_path), signal.SIGKILL)
        deadline_s = time.monotonic() + UP_TIMEOUT_S
        while 'policy: up again' not in (tmp_path / 'out').read_text():
            assert up.poll() is None, (tmp_path / 'out').read_text()
            assert time.monotonic() < deadline_s, (tmp_path / 'out').read_text()
            time.sleep(0.2)
        armed = _run('arm', ROS_DOMAIN_ID=domain)
        assert armed.returncode == 0, armed.stdout + armed.stderr
    finally:
        up.send_signal(signal.SIGTERM)
        code = up.wait(STOP_TIMEOUT_S)
    assert code == 130
    assert not _running_below(tmp_path), 'the graph outlived the command'


def test_a_switch_without_a_graph_says_how_to_start_one(tmp_path):
    done = _run('switch', 'push_blue', '--domain', find_free_domain())
    assert done.returncode == 2
    assert "Start it with 'roboadapt up'" in done.stderr


def test_an_evaluation_writes_its_figures(models, tmp_path):
    file = tmp_path / 'found.json'
    words = ('eval', '--task', 'lift_red', '--adapter', 'none', '--episodes', 1, '--json', file)
    done = _run(*words, '--models', models, '--runs', tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert (found['episodes'], found['through'], found['adapter']) == (1, 'ros', 'none')
    assert len(found['package_digest']) == 64
    assert found['records'][0]['duration_s'] > 0


def test_the_driver_of_a_real_rig_is_evaluated_on_its_simulated_arm(models, tmp_path):
    """One that keeps the arm where it is between episodes, too."""
    file = tmp_path / 'found.json'
    words = ('eval', '--rig', 'fr3_crisp', '--fake', '--task', 'lift_red', '--adapter', 'none')
    done = _run(*words, '--episodes', 2, '--json', file, '--models', models, '--runs', tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert [record['seed'] for record in found['records']] == [5000, 5001]
    is_left_out = importlib.util.find_spec('franka_msgs') is None
    assert ('Not installed: franka_msgs' in done.stdout) == is_left_out


def test_wrong_names_are_answered_before_anything_starts(models, tmp_path):
    common = ('--models', models, '--runs', tmp_path)
    for words, nearest in (
        (('eval', '--task', 'lift_rde', '--adapter', 'none', *common), 'lift_red'),
        (('eval', '--task', 'lift_red', '--adapter', 'push_bule', *common), 'push_blue'),
        (('demo', '--tasks', 'lift_red', 'push_bleu', *common), 'push_blue'),
        (('demo', '--rig', 'smi', *common), 'sim'),
    ):
        done = _run(*words)
        assert done.returncode == 2
        assert f"Did you mean '{nearest}'?" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_frames_between_processes_are_counted(tmp_path):
    file = tmp_path / 'transport.json'
    done = _run('bench', 'transport', '--frames', 20, '--json', file)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found['bench'] == 'transport'
    assert found['figures']['frames_sent'] == 40
    assert {
        'frames_received',
        'latency_ms_p50',
        'latency_ms_p99',
        'default_frames_received',
    } <= found['figures'].keys()
    assert found['machine']['cores'] >= 1
