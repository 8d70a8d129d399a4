"""Every check of the doctor: silent on a rig that is well, and plain about what is not."""

from dataclasses import replace
from pathlib import Path

import doctor_facts as facts
import numpy as np
import pytest
from roboadapt_ros.bringup.names import full_name
from roboadapt_ros.bringup.rig import load_rig, rig_names
from roboadapt_ros.bringup.rig_facts import rig_facts, stream_rules
from roboadapt_ros.doctor.colours import colours_look_swapped
from roboadapt_ros.doctor.description import joint_limits
from roboadapt_ros.doctor.examine import examine
from roboadapt_ros.doctor.facts import (
    Controller,
    GpuFacts,
    ProfileFacts,
    Report,
    ServiceFacts,
    Topic,
)
from roboadapt_ros.doctor.finding import Finding, has_error, Severity, worst_first
from roboadapt_ros.doctor.host import parse_datagrams_lost, parse_gpus, read_host, read_profile
from roboadapt_ros.doctor.machine import RECEIVE_BUFFER_BYTES
from roboadapt_ros.doctor.streams import timing
from roboadapt_ros.doctor.topics import mismatch
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.robot_settings import CollisionSettings, LoadSettings, RecoverySettings

ROOT = Path(__file__).parents[2]
BAD = (Severity.ERROR, Severity.WARNING)


def _examine(*, rig=facts.RIG, host=None, graph=None, task=facts.TASK):
    return examine(rig, host or facts.host(), graph or facts.graph(), task)


def _bad(**changes):
    """Return what is an error or a warning."""
    return [finding for finding in _examine(**changes) if finding.severity in BAD]


def _only(check, **changes):
    """Return the one error or warning there is, which must be of a check."""
    found = _bad(**changes)
    assert [finding.check for finding in found] == [check], found
    assert found[0].fix
    assert found[0].rule
    return found[0]


def _of(check, **changes):
    return [finding for finding in _examine(**changes) if finding.check == check]


def test_a_rig_that_is_well_has_nothing_to_fix():
    assert _bad() == []


def test_every_check_is_in_the_manual():
    manual = (ROOT / 'docs' / 'doctor.md').read_text(encoding='utf-8')
    sources = (ROOT / 'roboadapt_ros' / 'doctor').glob('*.py')
    text = ''.join(path.read_text(encoding='utf-8') for path in sources)
    names = {line.split("'")[1] for line in text.splitlines() if "check='" in line}
    assert len(names) > 20
    missing = sorted(name for name in names if f'`{name}`' not in manual)
    assert missing == []


# ---- findings ----


def test_a_finding_that_is_wrong_needs_a_rule_and_a_fix():
    with pytest.raises(ConfigError, match='needs a rule and a fix'):
        Finding(check='x', subject='y', severity=Severity.ERROR, found='z')


def test_the_worst_comes_first_and_an_error_is_an_error():
    findings = _examine(host=facts.host(rclpy_path=''))
    order = [finding.severity for finding in worst_first(findings)]
    assert order == sorted(order, key=list(Severity).index)
    assert has_error(findings)
    assert not has_error(_examine())
    assert set(findings[0].to_mapping()) >= {'check', 'severity', 'found', 'fix'}


# ---- middleware ----


def _with(topic, **changes):
    """Return a graph whose topic is changed."""
    graph = facts.graph()
    return replace(graph, topics={**graph.topics, topic: replace(graph.topics[topic], **changes)})


def test_an_arm_on_another_host_over_fast_dds_is_the_problem_of_two_machines():
    away = facts.endpoint('/joint_state_broadcaster', guid=facts.THERE)
    found = _only('middleware', graph=_with(facts.STATE, publishers=(away,)))
    assert facts.STATE in found.found
    assert 'rmw_cyclonedds_cpp' in found.fix


def test_another_middleware_than_fast_dds_is_told_what_it_has_to_do_without():
    findings = _of('middleware', host=facts.host(rmw='rmw_cyclonedds_cpp'))
    assert findings[0].severity is Severity.INFO
    assert 'one host' in findings[0].fix


def test_two_implementations_of_dds_are_not_to_be_mixed():
    other = facts.endpoint('/joint_state_broadcaster', guid=facts.CYCLONE)
    found = _only('vendors', graph=_with(facts.STATE, publishers=(other,)))
    assert 'Cyclone DDS: /joint_state_broadcaster' in found.found
    assert 'RMW_IMPLEMENTATION' in found.fix


def test_discovery_that_is_off_is_an_error():
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}
    found = _only('discovery', host=facts.host(environment=environment))
    assert found.severity is Severity.ERROR
    assert 'LOCALHOST' in found.fix


def test_a_missing_arm_with_discovery_on_this_host_only_gets_the_hint():
    graph = replace(_with(facts.STATE, publishers=()), streams=())
    found = _only('discovery', graph=graph)
    assert 'SUBNET' in found.fix
    wide = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
    assert _bad(graph=graph, host=facts.host(environment=wide)) == []
    humble = {'ROS_LOCALHOST_ONLY': '1', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
    _only('discovery', graph=graph, host=facts.host(environment=humble))


# ---- Python and packages ----


def test_no_rclpy_is_an_error():
    found = _only('python', host=facts.host(rclpy_path=''))
    assert 'setup.bash' in found.fix


def test_an_rclpy_of_another_python_is_named_with_the_python_it_needs():
    builds = ('_rclpy_pybind11.cpython-310-x86_64-linux-gnu.so',)
    found = _only('python', host=facts.host(rclpy_builds=builds))
    assert 'cpython-310' in found.found
    assert '.cpython-312' in found.rule
    assert 'python3.10' in found.fix


def test_a_middleware_that_does_not_come_up_is_named_with_its_package():
    host = facts.host(rmw='rmw_cyclonedds_cpp', rclpy_problem='not found')
    found = _only('python', host=host)
    assert 'rmw_cyclonedds_cpp: not found' in found.found
    assert 'rmw-cyclonedds-cpp' in found.fix


def test_two_installations_of_ros_are_noticed():
    environment = {'ROS_DISTRO': 'humble', 'AMENT_PREFIX_PATH': '/ws/install:/opt/ros/humble'}
    found = _only('python', host=facts.host(environment=environment))
    assert '/opt/ros/humble is sourced' in found.found


def test_a_missing_package_is_named_with_where_to_get_it():
    host = facts.host(installed=facts.without('franka_msgs'))
    found = _only('packages', host=host)
    assert found.subject == 'franka_msgs'
    assert 'franka_ros2' in found.fix
    environment = {**facts.host().environment, 'ROS_DISTRO': 'jazzy'}
    host = facts.host(installed=facts.without('sensor_msgs'), environment=environment)
    assert 'ros-jazzy-sensor-msgs' in _only('packages', host=host).fix


def test_a_package_that_is_only_helpful_is_no_error():
    host = facts.host(installed=facts.without('onnxruntime', 'controller_manager_msgs'))
    assert _bad(host=host) == []
    names = {f.subject: f for f in _of('packages', host=host)}
    assert 'controller-manager-msgs' in names['controller_manager_msgs'].fix


# ---- shared memory, kernel, clocks ----


@pytest.mark.parametrize(
    ('profile', 'words'),
    [
        (None, 'own defaults'),
        (ProfileFacts(path='/p.xml', problem='cannot be read (gone)'), 'cannot be read'),
        (ProfileFacts(path='/p.xml', segment_bytes=2**19, message_bytes=2**19), 'segment 524,288'),
        (ProfileFacts(path='/p.xml'), 'segment 0'),
    ],
)
def test_shared_memory_must_take_a_frame(profile, words):
    found = _only('shared_memory', host=facts.host(profile=profile))
    assert words in found.found
    assert 'config/fastdds.xml' in found.fix


def test_a_large_picture_needs_a_larger_segment():
    large = facts.picture(width=3840, height=2160)
    profile = ProfileFacts(path='/p.xml', segment_bytes=2**22, message_bytes=2**21)
    graph = facts.graph(pictures={'scene': large})
    host = facts.host(profile=profile)
    found = [f for f in _bad(host=host, graph=graph, task=None) if f.check == 'shared_memory']
    assert '24,883,200' in found[0].rule


def test_full_shared_memory_is_named():
    found = _only('shared_memory', host=facts.host(shared_memory_free=2**22))
    assert found.subject == '/dev/shm'
    assert 'shm' in found.fix


def test_a_small_receive_buffer_is_named_with_what_it_has_cost():
    found = _only(
        'receive_buffer', host=facts.host(receive_buffer_max=212992, datagrams_lost=12345)
    )
    assert found.severity is Severity.WARNING
    assert found.found == '208 KiB at most, 12,345 datagrams lost since this host came up'
    assert 'sysctl -w net.core.rmem_max=4194304' in found.fix
    untold = _of('receive_buffer', host=facts.host(receive_buffer_max=None))
    assert [f.severity for f in untold] == [Severity.INFO]


def test_the_receive_buffer_is_the_one_that_the_profiles_ask_for():
    for path in (ROOT / 'config').rglob('fastdds*.xml'):
        asked = f'<receiveBufferSize>{RECEIVE_BUFFER_BYTES}</receiveBufferSize>'
        assert asked in path.read_text(encoding='utf-8'), path


def test_lost_datagrams_are_read_by_the_name_of_their_column():
    text = 'Ip: Forwarding\nIp: 1\nUdp: InDatagrams InErrors RcvbufErrors\nUdp: 9 8 7\n'
    assert parse_datagrams_lost(text) == 7
    assert parse_datagrams_lost('') == 0


def test_other_peoples_camera_drivers_are_told_of_the_profile():
    hints = [f for f in _of('shared_memory') if f.severity is Severity.INFO]
    assert [f.subject for f in hints] == ['wrist'], 'scene has our own camera node'
    assert '/config/fastdds.xml' in hints[0].fix


def test_a_kernel_without_real_time_is_a_warning_only_where_the_arm_may_be():
    host = facts.host(is_realtime=False, kernel='6.8 PREEMPT_DYNAMIC')
    assert 'PREEMPT_RT' in _only('kernel', host=host).fix
    away = facts.endpoint('/joint_state_broadcaster', guid=facts.THERE)
    graph = _with(facts.STATE, publishers=(away,))
    assert _of('kernel', host=host, graph=graph)[0].severity is Severity.INFO
    simulated = replace(facts.RIG, simulated=True)
    assert _of('kernel', host=host, rig=simulated)[0].severity is Severity.INFO


def test_a_core_that_saves_power_is_a_warning():
    found = _only('cpu_clock', host=facts.host(cpu_governors=('powersave',)))
    assert 'cpupower' in found.fix


def test_gpus_are_read_from_nvidia_smi():
    text = 'NVIDIA RTX A4000, 1560, 2100, Enabled, 0x0000000000000020\nX, [N/A], [N/A], No, [N/A]'
    hot, unknown = parse_gpus(text)
    assert hot == GpuFacts(
        name='NVIDIA RTX A4000',
        clock_mhz=1560.0,
        clock_max_mhz=2100.0,
        persistent=True,
        throttle_bits=0x20,
    )
    assert (unknown.clock_mhz, unknown.throttle_bits) == (0.0, 0)
    found = _only('gpu_clock', host=facts.host(gpus=(hot,)))
    assert 'software thermal slowdown' in found.found


def test_a_gpu_at_rest_is_told_how_to_keep_its_clock():
    idle = GpuFacts(
        name='GPU', clock_mhz=345.0, clock_max_mhz=1980.0, persistent=False, throttle_bits=1
    )
    (found,) = _of('gpu_clock', host=facts.host(gpus=(idle,)))
    assert found.severity is Severity.INFO
    assert '-lgc 1980' in found.fix
    busy = replace(idle, clock_mhz=1980.0, persistent=True, throttle_bits=0)
    assert _of('gpu_clock', host=facts.host(gpus=(busy,)))[0].severity is Severity.OK


def test_a_driver_that_does_not_answer_is_a_warning():
    assert 'nvidia-smi' in _only('gpu_clock', host=facts.host(gpus=())).found


# ---- endpoints ----


@pytest.mark.parametrize(
    ('publisher', 'subscriber', 'words'),
    [
        ({}, {}, ''),
        ({'reliable': False}, {'reliable': False}, ''),
        ({}, {'reliable': False}, ''),
        ({'reliable': False}, {}, 'best effort is offered, reliable is asked for'),
        ({}, {'transient_local': True}, 'volatile is offered'),
        ({'transient_local': True}, {'transient_local': True}, ''),
        ({}, {'deadline_ns': 10**7}, 'a deadline of none is offered, 10 ms is asked for'),
        ({'deadline_ns': 2 * 10**7}, {'deadline_ns': 10**7}, 'a deadline of 20 ms'),
        ({'deadline_ns': 10**7}, {'deadline_ns': 10**7}, ''),
        ({}, {'manual_liveliness': True}, 'automatic liveliness is offered'),
    ],
)
def test_a_publisher_offers_at_least_what_is_asked_for(publisher, subscriber, words):
    found = mismatch(facts.endpoint('/a', **publisher), facts.endpoint('/b', **subscriber))
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_best_effort_against_reliable_names_topic_nodes_and_fix():
    publishers = (facts.endpoint('/joint_state_broadcaster', reliable=False),)
    subscribers = (facts.endpoint('/mine'), facts.endpoint('/governor', reliable=False))
    graph = _with(facts.STATE, publishers=publishers, subscribers=subscribers)
    found = _only('qos', graph=graph)
    assert found.subject == facts.STATE
    assert '/joint_state_broadcaster → /mine' in found.found
    assert '/governor' not in found.found
    assert 'qos_profile_sensor_data' in found.fix


def test_two_types_on_a_topic_are_named():
    other = facts.endpoint('/wrong', kind='trajectory_msgs/msg/JointTrajectory', reliable=False)
    graph = _with(facts.TARGET, subscribers=(other, facts.endpoint('/controller')))
    found = [f for f in _bad(graph=graph) if f.check == 'types']
    assert 'JointTrajectory in /wrong' in found[0].found


def test_a_second_publisher_of_commands_is_an_error():
    two = (facts.endpoint('/governor'), facts.endpoint('/teleop'))
    found = _only('command_publishers', graph=_with(facts.TARGET, publishers=two))
    assert '2 publishers: /governor, /teleop' in found.found
    assert found.severity is Severity.ERROR


def test_commands_that_nobody_hears_are_an_error():
    own = (facts.endpoint('/policy', reliable=False),)
    found = _only('command_listener', graph=_with(facts.GRIPPER, subscribers=own))
    assert found.subject == facts.GRIPPER
    assert 'list_controllers' in found.fix


def test_no_graph_is_a_warning_with_the_command_that_starts_it():
    found = _only('nodes', graph=facts.graph(nodes=frozenset()))
    assert 'ROS domain 3' in found.found
    assert 'roboadapt up --rig fr3_crisp' in found.fix


def test_a_node_that_is_missing_among_the_others_is_an_error():
    found = _only('nodes', graph=facts.graph(nodes=frozenset(facts.NODES) - {'/encoder'}))
    assert found.subject == '/encoder'


def test_what_a_node_says_of_itself_is_passed_on():
    reports = {'encoder': Report(level=2, message='no good frames from wrist')}
    found = _only('health', graph=facts.graph(reports=reports))
    assert (found.subject, found.found) == ('encoder', 'no good frames from wrist')
    assert found.severity is Severity.ERROR


# ---- streams ----


def _streams(*streams):
    return facts.graph(streams=streams)


def test_figures_of_a_stream():
    found = timing(facts.stream(facts.ARM, hz=100.0))
    assert found.rate_hz == pytest.approx(100.0)
    assert found.gap_s == pytest.approx(0.01)
    assert found.jitter_s == pytest.approx(0.0, abs=1e-6)
    assert timing(facts.stream(facts.ARM, hz=100.0, count=1)) is None


def test_a_stream_that_ceased_has_the_rate_of_the_whole_time():
    ceased = replace(facts.stream(facts.ARM, hz=100.0), seconds=6.0)
    assert timing(ceased).rate_hz == pytest.approx(10.0, rel=0.05)


@pytest.mark.parametrize(('hz', 'severity'), [(30.0, Severity.WARNING), (15.0, Severity.ERROR)])
def test_a_slow_joint_state_is_named_with_the_faster_topic(hz, severity):
    found = [f for f in _bad(graph=_streams(facts.stream(facts.ARM, hz=hz))) if f.check == 'rate']
    assert found[0].severity is severity
    assert f'{hz:.1f} Hz' in found[0].found
    assert 'franka/joint_states' in found[0].fix


def test_a_camera_at_one_hertz_is_told_of_shared_memory():
    found = _bad(graph=_streams(facts.stream(facts.CAMERA, hz=1.0, age_s=0.03)))
    assert 'shared memory' in next(f for f in found if f.check == 'rate').fix


def test_a_topic_without_publisher_is_told_of_similar_ones():
    rule = replace(facts.CAMERA, topic='/scene/image_raw')
    graph = _streams(facts.stream(rule, hz=10.0, count=0))
    found = _only('rate', graph=graph)
    assert 'nothing publishes it in ROS domain 3' in found.found
    assert f'there are: {facts.SCENE}' in found.fix
    optional = replace(rule, is_optional=True)
    assert _only('rate', graph=_streams(facts.stream(optional, hz=1.0, count=0))).severity is (
        Severity.WARNING
    )


def test_a_silent_publisher_is_named():
    graph = _streams(facts.stream(facts.CAMERA, hz=10.0, count=0))
    found = _only('rate', graph=graph)
    assert '0 messages' in found.found
    assert '/camera_scene' in found.found


def test_a_gap_is_a_warning():
    good = facts.stream(facts.CAMERA, hz=10.0, age_s=0.03)
    late = tuple(t + 400_000_000 * (k >= 30) for k, t in enumerate(good.received_ns))
    stamps = tuple(t - 30_000_000 for t in late)
    found = _only('jitter', graph=_streams(replace(good, received_ns=late, stamps_ns=stamps)))
    assert 'longest gap 500 ms' in found.found


def test_zero_stamps_are_an_error():
    stream = facts.stream(facts.CAMERA, hz=10.0)
    found = _only('stamps', graph=_streams(replace(stream, stamps_ns=(0,) * 60)))
    assert '60 of 60 are zero' in found.found
    assert 'header.stamp' in found.fix


def test_repeated_and_backward_stamps_are_counted():
    stream = facts.stream(facts.CAMERA, hz=10.0, age_s=0.03)
    stamps = list(stream.stamps_ns)
    stamps[10], stamps[21] = stamps[9], stamps[19]
    found = _only('stamps', graph=_streams(replace(stream, stamps_ns=tuple(stamps))))
    assert '1 repeated, 1 older' in found.found


def test_a_frame_that_is_no_time_old_was_stamped_when_it_was_sent():
    graph = _streams(facts.stream(facts.CAMERA, hz=10.0, age_s=0.0005))
    assert 'exposure_lag_s' in _only('stamps', graph=graph).fix
    simulated = replace(facts.RIG, simulated=True, nodes=(*facts.NODES, '/sim_rig'))
    found = _of('stamps', graph=graph, rig=simulated)
    assert {f.severity for f in found} == {Severity.OK}, 'a simulated exposure takes no time'


def test_old_messages_are_an_error():
    arm = facts.stream(facts.ARM, hz=100.0)
    old = facts.stream(facts.CAMERA, hz=10.0, age_s=0.5)
    found = _only('age', graph=_streams(arm, old))
    assert found.subject == facts.SCENE
    assert '500 ms' in found.found
    assert 'chronyc' in found.fix


@pytest.mark.parametrize(
    ('age_s', 'severity'),
    [(-0.2, Severity.ERROR), (-0.02, Severity.WARNING), (0.09, None), (-0.001, None)],
)
def test_a_message_from_the_future_tells_of_the_clocks(age_s, severity):
    graph = _streams(facts.stream(facts.ARM, hz=100.0, age_s=age_s))
    if severity is None:
        assert _bad(graph=graph) == []
        (found,) = _of('clock', graph=graph)
        assert 'can hide' in found.found, 'what one-way stamps can not know'
    else:
        found = _only('clock', graph=graph)
        assert found.severity is severity
        assert 'ahead' in found.found
        assert 'chrony' in found.fix


def test_the_clock_of_another_host_is_judged_by_itself():
    away = facts.endpoint('/camera_scene', guid=facts.THERE, kind='sensor_msgs/msg/Image')
    graph = replace(
        _with(facts.SCENE, publishers=(away,)),
        streams=(
            facts.stream(facts.ARM, hz=100.0),
            facts.stream(facts.CAMERA, hz=10.0, age_s=-0.3),
        ),
    )
    assert _only('clock', graph=graph).subject == 'host 1122'


# ---- the arm ----


def test_an_error_of_the_robot_is_passed_on_with_how_to_recover():
    found = _only('robot_error', graph=facts.graph(robot_problem='cartesian_reflex'))
    assert found.found == 'cartesian_reflex'
    assert 'error_recovery' in found.fix


def test_a_changed_base_is_an_error():
    assert 'backbones verify' in _only('base', graph=facts.graph(base_intact=False)).fix


def _controllers(**changes):
    (controller,) = facts.graph().controllers
    return facts.graph(controllers=(replace(controller, **changes),))


@pytest.mark.parametrize(
    ('changes', 'severity', 'words'),
    [
        ({'state': 'inactive', 'claimed': ()}, Severity.WARNING, 'inactive; nothing else'),
        ({'state': 'unconfigured', 'claimed': ()}, Severity.ERROR, 'unconfigured'),
        ({'claimed': ('fr3_joint1/effort',)}, Severity.ERROR, 'fr3_joint1/effort'),
        (
            {'claimed': tuple(f'{name}/position' for name in facts.JOINTS)},
            Severity.WARNING,
            'position',
        ),
        ({'name': 'other'}, Severity.ERROR, 'no controller listens; there are: other (active)'),
    ],
)
def test_the_controller_must_be_ready_and_hold_the_joints(changes, severity, words):
    found = _only('controller', graph=_controllers(**changes))
    assert found.severity is severity
    assert words in found.found
    assert 'ros2 control' in found.fix or 'impedance' in found.fix


def test_controllers_that_can_not_be_asked_are_said_not_to_be_checked():
    reason = 'controller_manager_msgs is not installed'
    graph = facts.graph(
        controllers=None, controllers_reason=reason, controllers_fix='sudo apt install x'
    )
    (found,) = _of('controller', graph=graph)
    assert found.severity is Severity.INFO
    assert (found.found, found.fix) == (f'not checked: {reason}', 'sudo apt install x')


def test_missing_joints_are_named():
    graph = facts.graph(arm=facts.arm(names=('panda_joint1',), q=None), first_action=None)
    found = _only('joints', graph=graph)
    assert 'without fr3_joint1' in found.found
    assert 'arm.joint_names' in found.fix


def test_joints_in_another_order_are_no_matter_and_said():
    names = (*facts.JOINTS[:1], facts.JOINTS[2], facts.JOINTS[1], *facts.JOINTS[3:])
    graph = facts.graph(arm=facts.arm(names=names))
    assert _bad(graph=graph) == []
    assert _of('joints', graph=graph)[0].severity is Severity.INFO


@pytest.mark.parametrize(
    ('q6', 'severity'),
    [(0.6, Severity.WARNING), (0.2, Severity.ERROR), (np.nan, Severity.ERROR)],
)
def test_a_joint_at_or_beyond_its_limit_is_named(q6, severity):
    q = facts.arm().q.copy()
    q[5] = q6
    found = _only('limits', graph=facts.graph(arm=facts.arm(q=q)))
    assert found.severity is severity
    assert found.subject == 'fr3_joint6'


def test_a_description_that_allows_less_than_the_table_is_a_warning():
    urdf = """<robot name="r"><joint name="fr3_joint1" type="revolute">
      <limit lower="-2.3" upper="2.7437" velocity="2.0" effort="87"/></joint>
      <joint name="hand" type="fixed"/></robot>"""
    limits = joint_limits(urdf)
    assert limits == {'fr3_joint1': (-2.3, 2.7437, 2.0)}
    found = _only('limits', graph=facts.graph(urdf_limits=limits))
    assert 'fr3_joint1 from -2.3' in found.found
    assert 'fr3_joint1 2 (here 2.62) rad/s' in found.found
    wide = {'fr3_joint1': (-2.9, 2.9, 3.0)}
    assert _bad(graph=facts.graph(urdf_limits=wide)) == []


@pytest.mark.parametrize('text', ['', '<robot', '<!DOCTYPE x [<!ENTITY a "b">]><robot/>'])
def test_what_is_no_description_has_no_limits(text):
    assert joint_limits(text) == {}


def test_a_hand_that_is_elsewhere_than_the_joints_say_is_an_error():
    moved = facts.arm(reported_hand_m=np.add(facts.HAND_M, (0.0, 0.0, 0.1034)))
    found = _only('frame', graph=facts.graph(arm=moved))
    assert found.severity is Severity.ERROR, 'the governor moves nothing'
    assert '103.4 mm' in found.found
    assert 'Desk' in found.fix


def test_a_hand_that_is_turned_otherwise_than_the_joints_say_is_an_error():
    turned = facts.arm(reported_quat_xyzw=np.array([np.cos(np.pi / 8), np.sin(np.pi / 8), 0, 0]))
    assert '0.785 rad' in _only('frame', graph=facts.graph(arm=turned)).found


def test_a_frame_that_the_robot_description_lacks_is_named():
    rig = replace(facts.RIG, ee_frame='fr3_hand_tcp')
    links = frozenset({'base', 'fr3_link0'})
    found = _only('frame', rig=rig, graph=facts.graph(urdf_links=links))
    assert 'no link fr3_hand_tcp' in found.found
    fine = facts.graph(urdf_links=links | {'fr3_hand_tcp'})
    assert {f.severity for f in _of('frame', rig=rig, graph=fine)} == {Severity.OK}


def _called(*names):
    return tuple(ServiceFacts(name=name, key='gripper.node', use='it moves') for name in names)


def test_an_action_or_service_the_drivers_call_must_be_served():
    services = ('/franka_gripper/grasp/_action/send_goal', '/franka_gripper/stop')
    rig = replace(facts.RIG, gripper_command='', services=_called(*services))
    (bad,) = _bad(rig=rig, graph=facts.graph(services=frozenset(services[1:])))
    assert (bad.check, bad.subject) == ('command_server', '/franka_gripper/grasp')
    assert 'correct gripper.node' in bad.fix
    assert 'ros2 action list' in bad.fix
    assert 'there are' not in bad.fix
    assert _bad(rig=rig, graph=facts.graph(services=frozenset(services))) == []


def test_what_is_served_in_another_namespace_is_named():
    rig = replace(facts.RIG, services=_called('/a/recover/_action/send_goal', '/b/stop'))
    served = {'/NS_1/a/recover/_action/send_goal', '/c/stop', '/c/a/recover', '/d/no_stop'}
    recover, stop = _bad(rig=rig, graph=facts.graph(services=frozenset(served)))
    assert recover.fix.endswith('ros2 action list; there are: /NS_1/a/recover')
    assert stop.fix.endswith('ros2 service list; there are: /c/stop')


def _services_of(name, **changes):
    rig = load_rig(name)
    arm = replace(rig.arm, joint_prefix='', **changes)
    return {service.name: service for service in rig_facts(replace(rig, arm=arm), name).services}


def test_what_only_recovery_stop_and_setup_call_is_looked_for_too():
    found = _services_of('fr3_crisp', load=LoadSettings(mass_kg=0.2))
    assert {name: service.key for name, service in found.items()} == {
        '/action_server/error_recovery/_action/send_goal': 'arm.recovery.error_recovery',
        '/controller_manager/switch_controller': 'controller_manager',
        '/controller_manager/list_controllers': 'controller_manager',
        '/controller_manager/set_hardware_component_state': 'controller_manager',
        '/service_server/set_full_collision_behavior': 'arm.collision.service',
        '/service_server/set_load': 'arm.load.service',
    }
    missing = replace(facts.RIG, services=tuple(found.values()))
    assert {f.severity for f in _bad(rig=missing)} == {Severity.ERROR}
    assert len(_bad(rig=missing)) == len(found)
    assert set(_services_of('sim')) == {'/sim_rig/recover', '/sim_rig/deactivate'}


@pytest.mark.parametrize(
    ('distro', 'release', 'leaf'),
    [
        ('', '', 'switch_command_type'),
        ('jazzy', '', 'switch_command_type'),
        ('humble', '', 'start_servo'),
        ('humble', 'jazzy', 'switch_command_type'),
        ('jazzy', 'humble', 'start_servo'),
    ],
)
def test_the_service_and_the_package_of_servo_are_those_of_its_release(
    monkeypatch, distro, release, leaf
):
    monkeypatch.setenv('ROS_DISTRO', distro)
    rig = load_rig('fr3_moveit_servo')
    output = replace(rig.arm.output, servo_release=release)
    rig = replace(rig, arm=replace(rig.arm, joint_prefix='', output=output))
    found = rig_facts(rig, 'servo')
    names = [service.name for service in found.services if 'servo_node' in service.name]
    assert names == [f'/servo_node/{leaf}']
    assert ('moveit_msgs' in found.packages) == (leaf == 'switch_command_type')


def _inactive(*others, **changes):
    rig = replace(facts.RIG, controllers=('impedance',), setup='/governor/setup', **changes)
    own = Controller(name='impedance', state='inactive', claimed=())
    return {'rig': rig, 'graph': facts.graph(controllers=(own, *others))}


def test_an_inactive_controller_is_activated_after_the_setup():
    found = _only('controller', **_inactive())
    assert found.severity is Severity.WARNING
    assert found.fix == (
        'ros2 service call /governor/setup std_srvs/srv/Trigger, then ros2 control '
        "switch_controllers --activate impedance, before 'roboadapt arm'"
    )
    assert '/governor/setup is refused while it is active' in found.rule
    left = _inactive(controller_manager='/left/controller_manager')
    assert '--activate impedance -c /left/controller_manager' in _only('controller', **left).fix
    without = _inactive()
    without['rig'] = replace(without['rig'], setup='')
    assert _only('controller', **without).fix.startswith('ros2 control switch_controllers')


def test_an_inactive_controller_whose_joints_another_one_holds_is_an_error():
    holder = Controller(name='jtc', state='active', claimed=('fr3_joint3/position',))
    found = _only('controller', **_inactive(holder))
    assert found.severity is Severity.ERROR
    assert 'claimed by jtc' in found.found
    assert 'switch_controllers --deactivate jtc; ros2 service call' in found.fix
    gripper = Controller(name='hand', state='active', claimed=('fr3_finger_joint1/effort',))
    assert _only('controller', **_inactive(gripper)).severity is Severity.WARNING


def test_a_controller_that_is_not_loaded_is_loaded_inactive():
    rig = replace(facts.RIG, controllers=('a', 'b'))
    fix = _only('controller', rig=rig).fix
    assert 'load_controller a --set-state inactive && ros2 control load_controller b' in fix
    assert '--set-state active' not in fix


@pytest.mark.parametrize(
    ('hardware', 'words', 'fix'),
    [
        ({'Other': 'active'}, 'there are: Other (active)', 'arm.recovery.hardware_component'),
        ({}, 'there are: none', 'ros2 control list_hardware_components'),
        ({'Franka': 'unconfigured'}, 'unconfigured', 'set_hardware_component_state Franka active'),
    ],
)
def test_the_hardware_component_is_there_by_its_name_and_active(hardware, words, fix):
    rig = replace(facts.RIG, hardware_component='Franka')
    found = _only('hardware', rig=rig, graph=facts.graph(hardware=hardware))
    assert found.severity is Severity.ERROR
    assert words in found.found
    assert fix in found.fix


def test_a_hardware_component_that_is_well_or_not_known_is_no_trouble():
    rig = replace(facts.RIG, hardware_component='Franka')
    for hardware, severity in (({'Franka': 'active'}, Severity.OK), (None, Severity.INFO)):
        graph = facts.graph(hardware=hardware)
        assert _bad(rig=rig, graph=graph) == []
        assert _of('hardware', rig=rig, graph=graph)[0].severity is severity
    assert _of('hardware') == []
    assert rig_facts(load_rig('fr3_jtc'), 'x').hardware_component == 'FrankaHardwareInterface'


def test_the_controllers_of_the_rig_file_are_judged_by_name():
    rig = replace(facts.RIG, controllers=('fr3_arm_controller',))
    found = _only('controller', rig=rig)
    assert found.subject == 'fr3_arm_controller'
    assert 'there are: joint_impedance_controller (active)' in found.found
    named = replace(facts.RIG, controllers=('joint_impedance_controller',))
    assert _bad(rig=named) == []


def test_message_packages_of_the_drivers_are_needed():
    rig = rig_facts(load_rig('fr3_moveit_servo'), 'fr3_moveit_servo')
    host = facts.host(installed=facts.without('moveit_msgs', 'franka_msgs'))
    found = {f.subject: f for f in _bad(rig=rig, host=host) if f.check == 'packages'}
    assert 'ros-$ROS_DISTRO-moveit-msgs' in found['moveit_msgs'].fix
    assert set(found) == {'moveit_msgs', 'franka_msgs'}


def test_packages_that_the_governor_imports_for_the_rig_file_are_needed():
    host = facts.host(installed=facts.without('controller_manager_msgs', 'franka_msgs'))
    rig = load_rig('fr3_crisp')
    bare = replace(
        rig.arm,
        joint_prefix='',
        controllers=(),
        robot_state='',
        robot_state_type='',
        recovery=RecoverySettings(),
        collision=CollisionSettings(),
    )

    def missing(**changes):
        known = rig_facts(replace(rig, arm=replace(bare, **changes)), 'bare')
        found = _examine(rig=known, host=host)
        return {f.subject for f in found if f.check == 'packages' and f.severity in BAD}

    manager, franka = {'controller_manager_msgs'}, {'franka_msgs'}
    assert missing() == set()
    assert missing(controllers=('a',)) == manager
    assert missing(recovery=RecoverySettings(hardware_component='F')) == manager
    assert missing(recovery=RecoverySettings(error_recovery='recover')) == franka
    assert missing(recovery=RecoverySettings(recover_service='recover')) == set()
    assert missing(collision=rig.arm.collision) == franka
    assert missing(load=LoadSettings(mass_kg=0.1)) == franka


def test_a_hand_outside_the_governors_box_is_a_warning():
    out = np.array([0.1, 0.0, 0.35])
    graph = facts.graph(arm=facts.arm(hand_m=out, reported_hand_m=out), first_action=None)
    assert 'workspace_low_m' in _only('workspace', graph=graph).fix


# ---- the task ----


def test_a_camera_the_rig_does_not_have_is_an_error():
    rig = replace(facts.RIG, cameras=facts.RIG.cameras[:1])
    found = _only('contract_cameras', rig=rig)
    assert found.subject == 'wrist'
    assert "add a camera named 'wrist'" in found.fix


def test_the_order_in_the_rig_file_does_not_matter_and_is_said():
    rig = replace(facts.RIG, cameras=facts.RIG.cameras[::-1])
    assert _bad(rig=rig) == []
    assert 'not in that order' in _of('contract_cameras', rig=rig)[0].found


def _scene(**changes):
    return facts.graph(pictures={'scene': facts.picture(**changes)})


def test_a_picture_of_another_size_is_an_error():
    found = _only('contract_size', graph=_scene(width=640, intrinsics=None))
    assert '640x144' in found.found
    assert 'width 192 and height 144' in found.fix


def test_another_lens_is_a_warning():
    found = _only('contract_lens', graph=_scene(intrinsics=(120.0, 120.0, 96.0, 72.0)))
    assert 'learned with 0.89' in found.found


def test_exchanged_colours_are_noticed():
    task = replace(facts.TASK, references={'scene': facts.colours()})
    assert _bad(task=task) == []
    found = _only('contract_colour', graph=_scene(rgb=facts.colours()[..., ::-1]), task=task)
    assert 'exchanged' in found.found
    assert 'bgr8' in found.fix


def test_brightness_and_grey_scenes_are_no_exchange():
    reference = facts.colours()
    assert not colours_look_swapped((reference * 0.6).astype(np.uint8), reference)
    grey = np.full((90, 160, 3), 128, np.uint8)
    assert not colours_look_swapped(grey, grey)
    assert colours_look_swapped(reference[::2, ::2, ::-1], reference), 'sizes may differ'


def test_an_encoding_without_colour_is_named():
    assert 'mono8' in _only('encoding', graph=_scene(encoding='mono8')).found
    graph = _scene(encoding='32FC1', rgb=None, problem="Image 'scene': encoding '32FC1'")
    found = _only('encoding', graph=graph)
    assert found.severity is Severity.ERROR
    assert 'rgb8' in found.fix


def test_a_task_of_another_arm_is_a_warning():
    task = replace(facts.TASK, contract=replace(facts.TASK.contract, robot='panda'))
    assert 'panda, the rig is fr3' in _only('contract_robot', task=task).found


@pytest.mark.parametrize(
    ('offset_m', 'severity'), [(0.1, Severity.WARNING), (0.4, Severity.ERROR)]
)
def test_a_first_action_far_away_is_named_with_its_distance(offset_m, severity):
    found = _only('first_action', graph=facts.graph(first_action=facts.action(offset_m)))
    assert found.severity is severity
    assert f'{100 * offset_m:.1f} cm' in found.found


def test_a_first_action_in_joints_is_compared_by_joint():
    values = np.array([*facts.arm().q, 0.08])
    values[3] += 0.5
    first = facts.action(space='joint_position', names=(*facts.JOINTS, 'w'), values=values)
    found = _only('first_action', graph=facts.graph(first_action=first))
    assert '0.50 rad from where fr3_joint4 is' in found.found


def test_without_a_task_the_first_action_is_said_not_to_be_checked():
    graph = facts.graph(first_action=None, active_task='')
    (found,) = _of('first_action', graph=graph)
    assert found.severity is Severity.INFO
    assert 'roboadapt switch' in found.fix


# ---- without ROS, and this very machine ----


def test_without_ros_the_host_is_examined_and_the_rest_is_said_to_be_left_out():
    findings = examine(facts.RIG, facts.host(rclpy_path=''), None, None)
    assert findings[-1].found == 'not checked: ROS can not be loaded here'
    assert has_error(findings)


def test_this_host_can_be_read():
    found = read_host({'PATH': ''}, ['numpy', 'no_such_package', 'no.such.package'])
    assert found.installed == {
        'numpy': True,
        'no_such_package': False,
        'no.such.package': False,
    }
    assert found.kernel
    assert found.profile is None


def test_the_projects_profiles_are_read_and_others_are_named(tmp_path):
    found = read_profile(ROOT / 'config' / 'fastdds.xml')
    assert (found.segment_bytes, found.message_bytes) == (2**24, 2**23)
    assert 'cannot be read' in read_profile(tmp_path / 'none.xml').problem
    (tmp_path / 'half.xml').write_text('<dds>')
    assert 'is not XML' in read_profile(tmp_path / 'half.xml').problem


@pytest.mark.parametrize('name', rig_names())
def test_every_rig_file_gives_facts(name):
    rig = load_rig(name)
    found = rig_facts(rig, name)
    assert found.joint_states.startswith('/')
    assert '/governor' in found.nodes
    rules = {rule.topic: rule for rule in stream_rules(rig, facts.TASK.contract)}
    optional = bool(rig.arm.current_pose) + bool(rig.arm.robot_state)
    assert len(rules) == 2 + optional + len(rig.cameras)
    promised_hz = rig.cameras[0].rate_hz / 2
    needed_hz = max(facts.TASK.contract.rate_hz, promised_hz)
    assert rules[found.cameras[0].topic].minimum_hz == needed_hz


def test_names_are_in_the_namespace_and_the_box_is_the_rigs():
    rig = replace(load_rig('fr3_crisp'), namespace='left', compressed=True)
    found = rig_facts(rig, 'left')
    assert found.command == '/left/target_joint'
    assert found.cameras[0].topic == '/left/cameras/scene/image_raw/compressed'
    assert found.workspace_m[0] == (0.25, -0.4, 0.01)
    assert full_name(rig, '/tf') == '/tf'
    assert rig_facts(load_rig('sim'), 'sim').workspace_m == ((0.1, -0.5, 0.0), (0.8, 0.5, 0.8))


def test_a_topic_nobody_knows_is_empty():
    assert Topic(name='/x').publishers == ()
