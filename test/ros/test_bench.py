"""What measures a running graph: judges fed from messages, episodes in the safe order."""

from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
import numpy as np
import pytest
from roboadapt_interfaces.msg import EpisodeStatus, GateStatus
from roboadapt_ros.bench.camera_pair import main as camera_pair
from roboadapt_ros.bench.demonstration import DemoConfig, switch_trace
from roboadapt_ros.bench.live_rig import LiveRig
from roboadapt_ros.bench.observer import GraphObserver
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bench.switching import SwitchConfig
from roboadapt_ros.bench.transport import TransportConfig
from roboadapt_ros.bringup.client import SwitchAnswer
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.dataflow import ActionChunk, Features, Identity, LatencyLedger
from roboadapt_ros.errors import BringupError, ConfigError, RefusedError
from roboadapt_ros.evaluation.run_record import SwitchRecord
from roboadapt_ros.ros.convert import to_chunk, to_features, to_float64s, to_time
from roboadapt_ros.ros.images import from_rgb
from sensor_msgs.msg import JointState

LIFT, PUSH = ('lift_red', 'aa'), ('push_blue', 'bb')
MS = 1_000_000
T0 = 1_700_000_000_000 * MS
REST = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])


def _identity(pair, generation, stamp_ns):
    return Identity(
        task=pair[0], package_digest=pair[1], generation=generation,
        frame_stamps_ns=(stamp_ns, stamp_ns),
    )  # fmt: skip


class FakeGraph:
    """A graph whose services answer at once and whose topics carry what a test publishes."""

    def __init__(self):
        self.rig, self.client, self.callbacks = load_rig('sim'), self, {}
        self.is_stopped = False
        self.calls, self.generation, self.refusals, self.time_ns = [], 0, [], T0
        self.gate, self.last_before_ns = 'dry_run', 0

    def watch(self, kind, topic, callback, qos):
        self.callbacks[topic] = callback

    def watch_often(self, kind, topic, callback, qos, *, period_s):
        assert 0.0 < period_s < 0.1
        self.watch(kind, topic, callback, qos)

    def publish(self, topic, message):
        self.callbacks[topic](message)

    def now_ns(self):
        return self.time_ns

    def check(self):
        self.calls.append('check')

    def switch(self, task):
        self.generation += 1
        self.calls.append(f'switch {task}')
        pair = LIFT if task.endswith('lift_red') else PUSH
        before, after = self.time_ns, self.time_ns + 100 * MS
        self.time_ns = after
        self.send_features(pair, self.generation, after)
        self.send_chunk('policy/action_chunk', pair, self.generation, after)
        return SwitchAnswer(
            task=task, generation=self.generation, package_digest=pair[1],
            last_frame_before_ns=self.last_before_ns or before, first_frame_after_ns=after,
            switch_us=4.0, boundary_ms=80.0, frames_dropped=0,
        )  # fmt: skip

    def arm(self):
        self.calls.append('arm')
        if self.refusals:
            raise RefusedError('arm', self.refusals.pop())
        self.send_gate('sim2real', 'armed')

    def disarm(self):
        self.calls.append('disarm')
        self.send_gate('sim2real', 'dry_run')
        self.send_gate('governor', 'idle')
        return 'dry_run'

    def hard_stop(self):
        self.calls.append('hard_stop')
        self.is_stopped = True
        self.send_gate('governor', 'fault')

    def recover(self):
        self.calls.append('recover')
        self.is_stopped = False
        self.send_gate('governor', 'idle')

    def reset_episode(self, task, seed):
        keeps = self.rig.arm.output.keep_alive
        assert self.is_stopped or not keeps, 'the arm would go back to where it is kept'
        self.calls.append(f'reset {task} {seed}')
        status = EpisodeStatus(task=task, seed=seed, running=True)
        self.publish('sim_rig/episode_status', status)
        return self.time_ns

    def send_gate(self, node, state):
        self.publish(f'{node}/status', GateStatus(node=node, state=state))

    def send_features(self, pair, generation, stamp_ns):
        features = Features(
            stamp_ns=stamp_ns, identity=_identity(pair, generation, stamp_ns),
            ledger=LatencyLedger(exposure=stamp_ns), values=np.zeros(4, np.float32),
        )  # fmt: skip
        self.publish('encoder/features', to_features(features))

    def send_chunk(self, topic, pair, generation, stamp_ns, q=REST, **ledger):
        chunk = ActionChunk(
            stamp_ns=stamp_ns, identity=_identity(pair, generation, stamp_ns),
            ledger=LatencyLedger(exposure=stamp_ns, **ledger), space=ActionSpace.JOINT_POSITION,
            names=(*self.rig.arm.joint_names, 'gripper_width'), period_s=0.01,
            start_ns=self.time_ns, actions=np.append(q, 0.08)[None],
        )  # fmt: skip
        self.publish(topic, to_chunk(chunk))

    def send_joints(self, q, dq):
        message = JointState(name=list(reversed(self.rig.arm.joint_names)))
        message.header.stamp = to_time(self.time_ns)
        message.position = to_float64s(np.asarray(q)[::-1])
        message.velocity = to_float64s(np.asarray(dq)[::-1])
        self.publish(self.rig.arm.joint_states, message)

    def send_image(self, camera, stamp_ns):
        frame = np.zeros((12, 16, 3), np.uint8)
        self.publish(f'cameras/{camera}/image_raw', from_rgb(frame, to_time(stamp_ns), camera))


@pytest.fixture
def graph():
    return FakeGraph()


@pytest.fixture
def observer(graph):
    observer = GraphObserver(graph, graph.rig)
    observer.start()
    return observer


@pytest.fixture
def rig(graph, observer):
    return LiveRig(graph, observer, moving_rad_s=0.03)


def test_every_stage_is_judged_against_the_switch_answers(graph, observer, rig):
    rig.switch('lift_red')
    for topic in ('policy/action_chunk', 'sim2real/action_chunk', 'governor/command'):
        graph.send_chunk(topic, LIFT, 1, T0)
    assert observer.identities.finish() == 0
    graph.send_chunk('sim2real/action_chunk', PUSH, 1, T0)
    assert [mixed.stage for mixed in observer.identities.mixed] == ['sim2real']
    assert sum(observer.identities.counts.values()) == 6


def test_without_adapters_the_task_in_the_messages_is_the_task(graph, observer, rig):
    record = rig.switch('none:lift_red')
    assert record.to_task == 'lift_red'
    assert observer.identities.finish() == 0


def test_an_episode_starts_in_the_safe_order(graph, rig):
    rig.reset('lift_red', 7)
    rig.switch('lift_red')
    rig.arm()
    assert graph.calls == ['disarm', 'reset lift_red 7', 'switch lift_red', 'arm']
    view = rig.judge()
    assert (view.task, view.seed, view.running) == ('lift_red', 7, True)


def test_an_arm_that_is_kept_in_place_is_let_go_before_it_is_put_elsewhere(graph, rig):
    output = replace(graph.rig.arm.output, keep_alive=True)
    arm = replace(graph.rig.arm, joint_prefix='', output=output)
    graph.rig = replace(graph.rig, arm=arm)
    for seed in (7, 8):
        graph.calls.clear()
        rig.reset('lift_red', seed)
        assert graph.calls == ['disarm', 'hard_stop', f'reset lift_red {seed}', 'recover']


def test_a_robot_at_fault_is_recovered_before_the_next_episode(graph, rig):
    graph.disarm = lambda: graph.send_gate('governor', 'fault')
    rig.reset('lift_red', 7)
    assert graph.calls == ['recover', 'reset lift_red 7']


def test_arming_is_asked_for_again_until_the_gate_has_seen_enough(graph, rig):
    rig.reset('lift_red', 7)
    rig.switch('lift_red')
    graph.refusals = ['no fresh state', 'no fresh chunk']
    rig.arm()
    assert graph.calls.count('arm') == 3
    assert 'check' in graph.calls, 'a dead process must end the wait'


def test_a_command_from_the_old_scene_does_not_open_the_gate(graph, observer, rig):
    rig.switch('lift_red')
    graph.time_ns += 500 * MS
    rig.reset('lift_red', 8)
    with pytest.raises(BringupError, match=r'policy'):
        observer.await_message('policy', generation=1, after_ns=rig.scene_ns, timeout_s=0.05)


def test_a_switch_knows_whether_the_arm_moved(graph, rig):
    rig.reset('lift_red', 7)
    assert not rig.switch('lift_red').moving
    rig.arm()
    graph.send_joints(REST, [0.0, 0.0, 0.0, -0.4, 0.0, 0.0, 0.0])
    record = rig.switch('push_blue')
    assert record.moving
    assert record.speed_rad_s == pytest.approx(0.4)
    assert (record.from_task, record.to_task) == ('lift_red', 'push_blue')
    rig.disarm()
    assert not rig.switch('lift_red').moving, 'an arm that is released is not switched in motion'


def test_frames_lost_at_a_switch_are_counted_from_the_cameras(graph, rig):
    rig.switch('lift_red')
    graph.last_before_ns = graph.time_ns
    for camera in ('scene', 'wrist'):
        for offset_ms in (0, 30, 60, 100):
            graph.send_image(camera, graph.time_ns + offset_ms * MS)
    graph.send_features(LIFT, 1, graph.time_ns + 30 * MS)
    rig.switch('push_blue')
    assert [record.frames_dropped for record in rig.switches()] == [0, 1]


def test_commands_and_joints_are_held_against_the_limits(graph, observer):
    step = REST.copy()
    for tick in range(4):
        graph.time_ns += 10 * MS
        step[0] = 0.0002 * tick**2
        graph.send_chunk('governor/command', LIFT, 1, T0, q=step)
    graph.send_joints(REST, np.zeros(7))
    assert observer.limit_violations() == []
    assert observer.motion.counts == {'commanded': 4, 'measured': 1}
    graph.send_joints(REST, [0.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert observer.limit_violations() == ['measured velocity of panda_joint2 = 2.5, limit 2.175']


def test_an_error_of_the_robot_is_a_violation_once(graph, observer):
    topic = graph.rig.arm.robot_state
    ok, error = DiagnosticStatus.OK, DiagnosticStatus.ERROR
    for level, mode, errors in (
        (ok, 2, ''),
        *[(error, 4, 'a b')] * 2,
        (ok, 2, ''),
        (error, 5, ''),
    ):
        values = {'robot_mode': str(mode), 'current_errors': errors}
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        graph.publish(topic, DiagnosticStatus(level=level, message='said', values=pairs))
    stopped = 'robot error: robot mode 5 (user_stopped)'
    assert observer.limit_violations() == ['robot error: a, b', stopped]


def test_ledgers_are_read_from_commands(graph, observer):
    stages = ('received', 'preprocessed', 'encoded', 'head', 'bridged', 'governed', 'published')
    times = {stage: T0 + 5 * (index + 1) * MS for index, stage in enumerate(stages)}
    graph.send_chunk('governor/command', LIFT, 1, T0, **times)
    assert observer.ledgers.total_ms == [35.0]


def _switch(stamp_ns, **changes):
    values = {
        'from_task': 'lift_red', 'to_task': 'push_blue', 'generation': 2, 'switch_us': 3.0,
        'boundary_ms': 100.0, 'frames_dropped': 0, 'stamp_ns': stamp_ns, 'speed_rad_s': 0.5,
        'moving': True,
    }  # fmt: skip
    return SwitchRecord(**{**values, **changes})


def test_a_trace_shows_commanded_velocity_around_the_fastest_switch():
    q = [(T0 + tick * 10 * MS, REST + 0.002 * tick) for tick in range(400)]
    slow, fast = _switch(T0, speed_rad_s=0.1), _switch(T0 + 2100 * MS)
    trace = switch_trace(q, [slow, fast], np.full(7, 2.0))
    assert trace.times_s[0] == pytest.approx(-0.99)
    assert trace.times_s[-1] == pytest.approx(1.0)
    assert np.allclose(trace.velocities, 0.1), '0.2 rad/s of 2 rad/s'


def test_a_trace_does_not_reach_into_the_episode_before():
    before = [(T0 + tick * 10 * MS, REST + 1.0) for tick in range(100)]
    after = [(T0 + (1500 + tick * 10) * MS, REST) for tick in range(150)]
    trace = switch_trace([*before, *after], [_switch(T0 + 2100 * MS)], np.full(7, 2.0))
    assert np.allclose(trace.velocities, 0.0)
    assert trace.times_s[0] == pytest.approx(-0.49)


def test_without_a_switch_in_motion_there_is_no_trace():
    q = [(T0, REST), (T0 + 10 * MS, REST)]
    assert switch_trace(q, [_switch(T0, moving=False)], np.ones(7)) is None
    assert switch_trace([], [_switch(T0)], np.ones(7)) is None


@pytest.mark.parametrize(
    ('config', 'changes', 'named'),
    [
        (DemoConfig, {'handover_s': (1.0,)}, 'handover_s'),
        (DemoConfig, {'budget_s': 0.0}, 'budget_s'),
        (SwitchConfig, {'tasks': ('lift_red',)}, 'tasks'),
        (SwitchConfig, {'switches': 0}, 'switches'),
        (TransportConfig, {'frames': 0}, 'frames'),
    ],
)
def test_settings_that_make_no_sense_are_refused(config, changes, named):
    with pytest.raises(ConfigError, match=named):
        config(**changes)


def test_a_result_says_what_it_was_measured_on():
    written = BenchResult(bench='loop', figures={'frames': 3.0}).to_json()
    assert written['bench'] == 'loop'
    assert written['figures'] == {'frames': 3.0}
    assert {'processor', 'cores', 'python', 'memory_gib'} <= written['machine'].keys()


def test_a_camera_process_needs_its_topics(capsys):
    with pytest.raises(SystemExit):
        camera_pair(['send', 'file.json', '--frames', '3'])
    assert '--topics' in capsys.readouterr().err
