"""The doctor on real graphs: small nodes that do everything wrong, and the simulated rig."""

from dataclasses import replace
import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import fakes
from graph_watch import GraphWatch, wait_for
import numpy as np
import pytest
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    qos_check_compatible,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.serialization import serialize_message
from roboadapt_ros.bringup.endpoints import to_endpoints
from roboadapt_ros.bringup.environment import find_free_domain, process_environment
from roboadapt_ros.bringup.examiner import Examiner
from roboadapt_ros.bringup.observed import to_controllers, to_hardware, to_picture
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.rig_facts import rig_facts, stream_rules
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.doctor.contract import TaskFacts
from roboadapt_ros.doctor.examine import examine
from roboadapt_ros.doctor.facts import Controller
from roboadapt_ros.doctor.finding import Severity
from roboadapt_ros.doctor.host import read_host
from roboadapt_ros.doctor.packages import needed_packages
from roboadapt_ros.doctor.topics import mismatch
from roboadapt_ros.errors import BringupError
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.images import from_rgb
from roboadapt_ros.ros.probe import read_stamp
from roboadapt_ros.ros.qos import COMMAND, IMAGE, STATE_OUT
from roboadapt_ros.ros.rig_messages import camera_info, finger_state, joint_state
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String

NAMESPACE = 'bad'
SECONDS = 2.5
COMMAND_TIMEOUT_S = 120.0
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def _findings(rig, name, graph, models, task=None):
    known = rig_facts(rig, name, models_dir=models)
    host = read_host(process_environment(), needed_packages(known))
    return examine(known, host, graph, task)


# ---- what is read ----


@pytest.mark.parametrize('message', [JointState(), Image()], ids=['JointState', 'Image'])
def test_the_stamp_is_read_without_making_the_message(message):
    message.header.stamp = to_time(1_763_672_400_123_456_789)
    message.header.frame_id = 'base'
    assert read_stamp(serialize_message(message)) == 1_763_672_400_123_456_789


def _profile(**changes):
    """Return a profile that leaves nothing to the middleware."""
    return QoSProfile(
        **{
            'depth': 1,
            'reliability': ReliabilityPolicy.RELIABLE,
            'durability': DurabilityPolicy.VOLATILE,
            'liveliness': LivelinessPolicy.AUTOMATIC,
            **changes,
        }
    )


PROFILES = {
    'reliable': _profile(),
    'best effort': _profile(reliability=ReliabilityPolicy.BEST_EFFORT),
    'latched': _profile(durability=DurabilityPolicy.TRANSIENT_LOCAL),
    'deadline': _profile(deadline=Duration(nanoseconds=10_000_000)),
    'longer deadline': _profile(deadline=Duration(nanoseconds=20_000_000)),
    'manual': _profile(liveliness=LivelinessPolicy.MANUAL_BY_TOPIC),
}


def _endpoint(profile):
    info = SimpleNamespace(
        node_name='n',
        node_namespace='/',
        topic_type='t',
        qos_profile=profile,
        endpoint_gid=[0] * 24,
    )
    return to_endpoints([info])[0]


@pytest.mark.parametrize('offered', PROFILES)
@pytest.mark.parametrize('asked', PROFILES)
def test_compatibility_is_what_rclpy_says_it_is(offered, asked):
    verdict, reason = qos_check_compatible(PROFILES[offered], PROFILES[asked])
    found = mismatch(_endpoint(PROFILES[offered]), _endpoint(PROFILES[asked]))
    assert bool(found) == (verdict == QoSCompatibility.ERROR), reason


def test_controllers_are_read_by_name():
    controller = SimpleNamespace(name='jtc', state='active', claimed_interfaces=['j1/effort'])
    found = to_controllers(SimpleNamespace(controller=[controller]))
    assert found == (Controller(name='jtc', state='active', claimed=('j1/effort',)),)


def _component(name, label):
    return SimpleNamespace(name=name, state=SimpleNamespace(label=label))


def test_hardware_is_read_by_name_and_asked_for_only_where_the_rig_file_names_it(monkeypatch):
    answer = SimpleNamespace(component=[_component('a', 'active'), _component('b', 'inactive')])
    known = {'a': 'active', 'b': 'inactive'}
    assert to_hardware(answer) == known
    asked = []

    def ask(self, kind, leaf):
        asked.append((kind, leaf))
        if len(asked) > 1:
            raise BringupError('no answer')
        return answer

    monkeypatch.setattr(Examiner, '_ask_manager', ask)
    assert Examiner(load_rig('sim'))._hardware() is None
    assert asked == []
    examiner = Examiner(load_rig('fr3_crisp'))
    assert examiner._hardware() == known
    assert asked == [('ListHardwareComponents', 'list_hardware_components')]
    assert examiner._hardware() is None


def test_a_picture_that_does_not_decode_keeps_its_size_and_the_reason():
    message = from_rgb(np.zeros((4, 6, 3), np.uint8), to_time(1), 'scene')
    info = camera_info((6, 4), (5.0, 5.0, 3.0, 2.0), to_time(1), 'scene')
    good = to_picture('scene', message, info)
    assert (good.width, good.height, good.encoding) == (6, 4, 'rgb8')
    assert good.intrinsics == (5.0, 5.0, 3.0, 2.0)
    message.encoding = '32FC1'
    bad = to_picture('scene', message, None)
    assert (bad.width, bad.rgb, bad.intrinsics) == (6, None, None)
    assert '32FC1' in bad.problem


# ---- small nodes that do everything wrong ----


class _Bad:
    """A rig whose every topic has something wrong with it."""

    def __init__(self, make_node, rig):
        """Create the nodes; `tick` publishes, 100 times a second."""
        self.rig, self.ticks = rig, 0
        space = ('-r', f'__ns:=/{NAMESPACE}')
        self.nodes = [make_node(name, *space) for name in ('driver', 'teleop', 'mine')]
        driver, teleop, mine = self.nodes
        self.arm = driver.create_publisher(JointState, rig.arm.joint_states, BEST_EFFORT)
        mine.create_subscription(JointState, rig.arm.joint_states, lambda _: None, 10)
        self.hand = driver.create_publisher(JointState, rig.gripper.joint_states, STATE_OUT)
        self.scene = driver.create_publisher(Image, rig.cameras[0].image, IMAGE)
        self.wrist = driver.create_publisher(Image, rig.cameras[1].image, IMAGE)
        self.targets = [
            node.create_publisher(JointState, rig.arm.output.topic, COMMAND)
            for node in (driver, teleop)
        ]
        mine.create_subscription(JointState, rig.arm.output.topic, lambda _: None, COMMAND)
        mine.create_subscription(String, rig.gripper.command, lambda _: None, COMMAND)
        teleop.create_publisher(Float64MultiArray, rig.gripper.command, COMMAND)
        urdf = driver.create_publisher(String, 'robot_description', LATCHED)
        urdf.publish(String(data=_URDF))
        self._stop = threading.Event()
        self._executors = []
        for node in self.nodes:
            executor = SingleThreadedExecutor(context=node.context)
            executor.add_node(node)
            self._executors.append(executor)
        driver.create_timer(0.01, self.tick)
        self._threads = [threading.Thread(target=e.spin, daemon=True) for e in self._executors]
        for thread in self._threads:
            thread.start()

    def tick(self):
        """Publish: arm at 5 Hz and without stamps, scene grey, wrist ahead of time."""
        now_ns = time.time_ns()
        if self.ticks % 20 == 0:
            names = self.rig.arm.joint_names
            self.arm.publish(joint_state(to_time(0), names, np.array(_HOME)))
        if self.ticks % 5 == 0:
            names = self.rig.gripper.joint_names
            self.hand.publish(finger_state(to_time(now_ns), names, 0.08))
        if self.ticks % 10 == 0:
            grey = from_rgb(np.zeros((60, 80, 3), np.uint8), to_time(now_ns - 20_000_000), 'scene')
            grey.encoding, grey.step = 'mono8', 240
            self.scene.publish(grey)
            ahead = to_time(now_ns + 500_000_000)
            self.wrist.publish(from_rgb(np.zeros((144, 192, 3), np.uint8), ahead, 'wrist'))
        self.ticks += 1

    def stop(self):
        """Stop spinning."""
        for executor in self._executors:
            executor.shutdown(timeout_sec=1.0)
        for thread in self._threads:
            thread.join(2.0)


_HOME = (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785)
_URDF = """<robot name="r"><joint name="panda_joint4" type="revolute">
<limit lower="-3.0" upper="-0.1" velocity="2.0" effort="87"/></joint></robot>"""


@pytest.fixture(scope='module')
def bad_findings(models):
    """Return what the doctor says to the bad rig, and the rig's topics by full name."""
    rig = replace(load_rig('sim'), namespace=NAMESPACE, simulated=False)
    domain, made = find_free_domain(), []
    bad = _Bad(lambda *words: _make(made, domain, *words), rig)
    try:
        task = TaskFacts(name=fakes.CIRCLE_LEFT, contract=fakes.circle_contract())
        with Examiner(rig, domain_id=domain) as examiner:
            graph = examiner.look(stream_rules(rig, task.contract), seconds=SECONDS)
        yield _findings(rig, 'bad', graph, models, task)
    finally:
        bad.stop()
        for node, context in made:
            node.destroy_node()
            context.try_shutdown()


def _make(made, domain, name, *arguments):
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node

    context = Context()
    rclpy.init(args=['--ros-args', *arguments], context=context, domain_id=domain)
    made.append((Node(name, context=context), context))
    return made[-1][0]


def _full(topic):
    return f'/{NAMESPACE}/{topic}'


@pytest.mark.parametrize(
    ('check', 'subject', 'severity', 'words'),
    [
        ('qos', _full('franka/joint_states'), 'error', f'{_full("driver")} → {_full("mine")}'),
        ('stamps', _full('franka/joint_states'), 'error', 'are zero'),
        ('rate', _full('franka/joint_states'), 'error', 'joint states of the arm: '),
        (
            'command_publishers',
            _full('joint_impedance_controller/target_joint'),
            'error',
            f'2 publishers: {_full("driver")}, {_full("teleop")}',
        ),
        ('types', _full('franka_gripper/target_width'), 'error', 'std_msgs/msg/String in'),
        ('encoding', 'scene', 'warning', 'mono8'),
        ('contract_size', 'scene', 'error', '80x60 pixels'),
        ('contract_size', 'wrist', 'ok', '192x144 pixels'),
        ('rate', _full('franka_gripper/joint_states'), 'ok', 'joint states of the hand'),
        (
            'rate',
            _full('franka_robot_state_broadcaster/robot_status'),
            'error',
            'nothing publishes it',
        ),
        ('limits', 'robot_description', 'warning', 'panda_joint4 from -3'),
        ('nodes', 'graph', 'warning', f'none of {_full("governor")}'),
        ('controller', _full('joint_impedance_controller/target_joint'), 'info', 'not checked'),
        ('joints', _full('franka/joint_states'), 'ok', 'panda_joint1'),
        ('vendors', 'DDS', 'ok', 'Fast DDS'),
        ('middleware', 'rmw_fastrtps_cpp', 'info', 'not seen on another host'),
    ],
)
def test_what_is_wrong_with_a_graph_is_found(bad_findings, check, subject, severity, words):
    (found,) = [f for f in bad_findings if (f.check, f.subject) == (check, subject)][:1]
    assert found.severity is Severity(severity), found
    assert words in found.found
    assert found.fix or severity in ('ok', 'info')


def test_a_camera_ahead_of_time_shows_in_the_clocks(bad_findings):
    (found,) = [f for f in bad_findings if f.check == 'clock']
    assert found.severity is Severity.ERROR
    assert 'wrist' in found.found
    assert 'this host' in found.subject, 'told apart by the GUIDs of Fast DDS'


# ---- the simulated rig ----


@pytest.fixture(scope='module')
def graph(models, tmp_path_factory):
    """Return the simulated rig's graph, up, serving a task with the gate closed."""
    running = Graph(
        load_rig('sim'),
        log_dir=tmp_path_factory.mktemp('doctor') / 'log',
        domain_id=find_free_domain(),
        models_dir=models,
        initial_task=fakes.CIRCLE_LEFT,
    )
    with running:
        yield running


def _doctor(*words, **changes):
    program = [sys.executable, '-m', 'roboadapt_ros.cli.main', 'doctor', *map(str, words)]
    return subprocess.run(
        program,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env={**os.environ, 'COLUMNS': '160', **changes},
        check=False,
    )


@pytest.mark.processes
@pytest.mark.slow
def test_the_simulated_rig_is_well_and_is_left_alone(graph, models, tmp_path):
    watch = GraphWatch(graph.client)
    wait_for(lambda: watch.policy, 'chunks of the policy')
    file, domain = tmp_path / 'found.json', {'ROS_DOMAIN_ID': str(graph.domain_id)}
    words = ('--rig', 'sim', '--task', fakes.CIRCLE_LEFT, '--models', models, '--json', file)
    for _ in range(3):  # a busy machine may let cameras wait for longer than the contract allows
        done = _doctor(*words, **domain)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert '0 error' in done.stdout
    found = json.loads(file.read_text())
    assert all({'check', 'severity', 'found', 'fix'} <= entry.keys() for entry in found)
    assert 'error' not in {entry['severity'] for entry in found}
    by_check = {entry['check']: entry for entry in found}
    for check in ('qos', 'command_publishers', 'contract_size', 'limits', 'frame', 'base'):
        assert by_check[check]['severity'] in ('ok', 'info'), by_check[check]
    assert 'from the hand' in by_check['first_action']['found']
    served = json.loads(_doctor(*words[:2], *words[4:6], '--json', **domain).stdout)
    assert 'contract_size' in {entry['check'] for entry in served}, 'of the task that is served'
    assert (watch.mapped, watch.commands) == ([], []), 'the doctor would have moved the arm'
    assert watch.gate_state() == 'dry_run'


@pytest.mark.processes
@pytest.mark.slow
def test_without_a_graph_the_topics_are_missing_with_the_command_that_starts_it(models):
    words = ('--rig', 'sim', '--models', models, '--domain', find_free_domain(), '--seconds', 2)
    done = _doctor(*words, '--json')
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    rates = [f for f in found if f['check'] == 'rate' and f['severity'] == 'error']
    assert len(rates) == 6, 'arm, hand, robot state, pose, two cameras'
    assert {f['fix'] for f in rates} == {'roboadapt up --rig sim'}
    assert next(f for f in found if f['check'] == 'nodes')['severity'] == 'warning'


@pytest.mark.processes
@pytest.mark.slow
def test_a_middleware_that_is_not_installed_is_reported_and_does_not_end_the_doctor(models):
    words = ('--rig', 'sim', '--models', models, '--json')
    done = _doctor(*words, RMW_IMPLEMENTATION='rmw_of_nobody')
    assert done.returncode == 1, done.stderr
    python = next(f for f in json.loads(done.stdout) if f['check'] == 'python')
    assert python['severity'] == 'error'
    assert 'rmw_of_nobody' in python['found']
    assert 'RMW_IMPLEMENTATION' in python['fix']


@pytest.mark.parametrize(
    ('words', 'nearest'),
    [
        (('--rig', 'smi'), "Did you mean 'sim'?"),
        (('--rig', 'sim', '--task', 'circle_lift'), "Did you mean 'circle_left'?"),
        (('--rig', 'sim', '--seconds', '0'), 'must be 2 to 600'),
    ],
)
def test_a_wrong_request_is_code_2(models, words, nearest):
    done = _doctor(*words, '--models', models)
    assert done.returncode == 2
    assert nearest in done.stderr
