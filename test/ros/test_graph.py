"""The whole graph in processes of its own: motion, switches, faults, bad input."""

from dataclasses import replace
from pathlib import Path
import shutil
import signal
import time

import fakes
from graph_watch import GraphWatch, wait_for
import numpy as np
import pytest
from roboadapt_interfaces.msg import ActionChunk, AdapterStatus, Features
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.restarts import MOST_RESTARTS, Restarts
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.dataflow import LEDGER_STAGES
from roboadapt_ros.errors import BringupError, RefusedError
from roboadapt_ros.evaluation.monitor import IdentityMonitor
from roboadapt_ros.evaluation.motion import LimitMonitor
from roboadapt_ros.ros.convert import from_identity, from_time, to_time
from roboadapt_ros.ros.images import from_rgb
from roboadapt_ros.ros.qos import DATA, IMAGE, LATCHED

pytestmark = [pytest.mark.processes, pytest.mark.slow]
LEFT, RIGHT = fakes.CIRCLE_LEFT, fakes.CIRCLE_RIGHT
PERIOD_S = 0.1


@pytest.fixture(scope='module')
def graph(models, tmp_path_factory):
    """Return the simulated rig's graph, up; the models folder is this module's own."""
    own = tmp_path_factory.mktemp('graph')
    shutil.copytree(models, own / 'models')
    rig = load_rig('sim')
    rig = replace(rig, nodes={**rig.nodes, 'encoder': {'engine': 'torch'}})  # no race at start
    running = Graph(
        rig, log_dir=own / 'log', domain_id=find_free_domain(), models_dir=own / 'models'
    )
    with running:
        yield running


@pytest.fixture(scope='module')
def watch(graph):
    """Return an eye on everything the graph publishes."""
    return GraphWatch(graph.client)


@pytest.fixture
def moving(graph, watch):
    """Have the arm go round, and hand it back at rest."""
    graph.check()
    watch.serve(LEFT)
    watch.arm_until_moving()
    yield watch
    watch.rest()


# ---- before arming ----


def test_every_node_is_active(graph):
    for description in graph.descriptions:
        assert graph.client.state(description.full_name) == 'active'


def test_only_what_carries_images_has_shared_memory(graph):
    """Whoever has none is not held up when another process joins or is killed."""
    shares = {
        name: '/dev/shm/fastdds' in Path(f'/proc/{pid}/maps').read_text()
        for name, pid in graph.pids().items()
    }
    assert shares == {
        'sim_rig': True, 'encoder': True, 'policy': False, 'sim2real': False, 'governor': False
    }  # fmt: skip


def test_what_has_no_shared_memory_does_not_leave_this_host(graph):
    sockets = [line.split() for line in Path('/proc/net/udp').read_text().splitlines()[1:]]
    host_of = {f'socket:[{words[9]}]': words[1].partition(':')[0] for words in sockets}
    for name in ('policy', 'sim2real', 'governor'):
        files = [str(f.readlink()) for f in Path(f'/proc/{graph.pids()[name]}/fd').iterdir()]
        bound = [host_of[file] for file in files if file in host_of]
        assert bound and set(bound) == {'0100007F'}, f'{name} is bound to more than 127.0.0.1'


def test_without_a_task_nothing_is_published(graph, watch):
    assert graph.client.list_adapters().active_task == ''
    assert watch.features == []


def test_in_dry_run_the_gate_says_what_it_would_do_and_nothing_moves(graph, watch):
    watch.serve(LEFT)
    wait_for(lambda: watch.policy, 'chunks of the policy')
    wait_for(lambda: watch.gate and 'rad, and the fingers' in watch.gate[-1].reason, 'a preview')
    assert watch.gate_state() == 'dry_run'
    time.sleep(0.5)
    assert (watch.mapped, watch.commands) == ([], []), 'the arm would have moved unarmed'
    assert not watch.is_moving()


# ---- motion ----


def test_every_point_leads_back_to_its_exposure_and_package(moving, graph):
    moving.commands.clear()
    wait_for(lambda: len(moving.commands) > 100, 'a second of points')
    digest = graph.client.list_adapters().resident[LEFT]
    for point in moving.commands:
        times = [getattr(point.ledger, stage) for stage in LEDGER_STAGES]
        assert all(times), 'a stage has not stamped'
        assert times == sorted(times), 'stages are out of order'
        assert point.identity.package_digest == digest
        assert times[0] == from_time(point.header.stamp)


def test_switches_in_motion_mix_nothing_lose_nothing_and_stay_within_limits(moving, graph):
    monitor = IdentityMonitor()
    motion = LimitMonitor(robot_limits('panda'), period_s=0.01, max_gap_s=0.5)
    rng = np.random.default_rng(0)
    marks = [len(kept) for kept in (moving.features, moving.policy, moving.mapped)]
    first_command = len(moving.commands)
    for index in range(20):
        answer = moving.serve((RIGHT, LEFT)[index % 2])
        monitor.switched(answer.generation, answer.task, answer.package_digest)
        assert answer.frames_dropped == 0
        assert answer.first_frame_after_ns > answer.last_frame_before_ns > 0
        time.sleep(float(rng.uniform(0.0, 0.3)))
    names = ('features', 'policy', 'sim2real')
    kept = (moving.features, moving.policy, moving.mapped)
    for name, messages, mark in zip(names, kept, marks, strict=True):
        for message in messages[mark:]:
            monitor.observe(name, from_identity(message.identity))
    for point in moving.commands[first_command:]:
        monitor.observe('governor', from_identity(point.identity))
        motion.command(point.ledger.published, np.array(point.actions)[:7], point.sequence)
    assert monitor.finish() == 0
    assert [str(found) for found in motion.violations] == []
    assert moving.is_moving()


def test_a_task_without_its_adapters_keeps_its_identity(moving, graph):
    answer = moving.serve(f'none:{LEFT}')
    assert answer.package_digest == graph.client.list_adapters().resident[LEFT]
    assert moving.is_moving()


def test_a_candidate_rides_along_and_moves_nothing(moving, graph):
    shadow_features: list[Features] = []
    shadow_chunks: list[ActionChunk] = []
    stops = [
        graph.client.watch(Features, 'encoder/shadow_features', shadow_features.append, DATA),
        graph.client.watch(ActionChunk, 'policy/shadow_chunk', shadow_chunks.append, DATA),
    ]
    assert graph.client.shadow([RIGHT]) == (RIGHT,)
    try:
        wait_for(lambda: len(shadow_chunks) > 10, 'what the candidate would have done')
        active = {from_time(m.header.stamp): m for m in list(moving.policy)}
        pairs = [(m, active.get(from_time(m.header.stamp))) for m in shadow_chunks]
        pairs = [(candidate, live) for candidate, live in pairs if live is not None]
        assert len(pairs) > 5, 'the candidate saw other frames than the active task'
        for candidate, live in pairs:
            assert (candidate.identity.task, live.identity.task) == (RIGHT, LEFT)
            assert not np.allclose(candidate.actions, live.actions)
        moving.mapped.clear()
        moving.commands.clear()
        wait_for(lambda: len(moving.mapped) > 5 and len(moving.commands) > 50, 'commands')
        tasks = {m.identity.task for kept in (moving.mapped, moving.commands) for m in kept}
        assert RIGHT not in tasks, 'the candidate would have moved the arm'
        with pytest.raises(RefusedError, match='shadow'):
            graph.client.stage(RIGHT, evict=True)
        with pytest.raises(RefusedError, match=rf"'circle_rigt'.*'{RIGHT}'"):
            graph.client.shadow(['circle_rigt'])
    finally:
        assert graph.client.shadow([]) == ()
    time.sleep(0.5)
    shadow_features.clear()
    time.sleep(0.5)
    assert shadow_features == []
    for stop in stops:
        stop()


def test_the_backbone_is_intact_after_switches(graph):
    answer = graph.client.verify_base()
    assert answer.intact
    assert answer.digest == answer.expected_digest


# ---- bad input: a clear error, nothing moves, nothing is lost ----


def test_a_wrong_task_is_answered_with_the_nearest_and_changes_nothing(moving, graph):
    before = graph.client.list_adapters()
    with pytest.raises(RefusedError, match=r"'circle_lift'. Did you mean 'circle_left'"):
        graph.client.switch('circle_lift')
    assert graph.client.list_adapters() == before
    assert moving.is_moving(), 'a refused switch must not stop the running task'


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda p: _cut(p / 'weights.safetensors'), 'truncated or corrupted'),
        (lambda p: _edit(p, '"schema_version"', '"schema_versoin"'), "Did you mean 'schema_v"),
        (lambda p: _edit(p, '"backbone_id": "tiny"', '"backbone_id": "other"'), 'trained over'),
    ],
    ids=['truncated weights', 'unknown key', 'another backbone'],
)
def test_a_broken_package_is_not_staged(moving, graph, damage, words):
    tasks = graph.log_dir.parent / 'models' / 'tasks'
    broken = tasks / 'broken'
    shutil.copytree(tasks / RIGHT, broken)
    _edit(broken, f'"task": "{RIGHT}"', '"task": "broken"')
    damage(broken)
    try:
        with pytest.raises(RefusedError, match=words):
            graph.client.stage('broken')
    finally:
        shutil.rmtree(broken)
    assert moving.is_moving()


def _cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _edit(package, old, new):
    path = package / 'manifest.json'
    text = path.read_text(encoding='utf-8')
    assert old in text
    path.write_text(text.replace(old, new), encoding='utf-8')


def test_a_reset_while_the_arm_is_driven_is_refused(moving, graph):
    with pytest.raises(RefusedError, match=r'disarm'):
        graph.client.reset_episode('lift_red', 1)
    assert moving.is_moving()


def test_an_unknown_episode_is_answered_with_the_choices(graph):
    with pytest.raises(RefusedError, match=r"'lift_blue'.*lift_red"):
        graph.client.reset_episode('lift_blue', 1)


def test_a_reset_at_rest_starts_an_episode(graph, watch):
    graph.client.reset_episode('lift_red', 5)
    wait_for(
        lambda: watch.episode and watch.episode.running and watch.episode.seed == 5, 'the judge'
    )
    assert watch.episode.task == 'lift_red'


@pytest.mark.parametrize(
    ('topic', 'node', 'cause', 'change'),
    [
        ('sim2real/action_chunk', 'governor', 'nan', lambda c: _fill(c, float('nan'))),
        ('sim2real/action_chunk', 'governor', 'zero_stamp', lambda c: _stamp(c, 0)),
        ('sim2real/action_chunk', 'governor', 'stale', lambda c: _age(c, 2.0)),
        ('sim2real/action_chunk', 'governor', 'names', lambda c: _rename(c)),
        ('policy/action_chunk', 'sim2real', 'nan', lambda c: _fill(c, float('nan'))),
        ('policy/action_chunk', 'sim2real', 'unknown_task', lambda c: _retask(c)),
    ],
)
def test_a_bad_chunk_is_refused_with_its_cause(graph, watch, topic, node, cause, change):
    watch.serve(LEFT)
    good = wait_for(lambda: watch.policy, 'a chunk')[-1]
    message = change(good)
    before = watch.count(node, cause)
    publisher = graph.client._node.create_publisher(ActionChunk, topic, DATA)
    wait_for(lambda: publisher.get_subscription_count() >= 2, 'the node and this test to listen')

    def is_counted() -> bool:
        publisher.publish(message)  # again where the node had not yet found this publisher
        return watch.count(node, cause) > before

    try:
        wait_for(is_counted, f'{node} to count {cause}')
    except AssertionError as error:
        told = f'{watch.diagnostics.get(node)}, governor {watch.governor[-1:]}'
        raise AssertionError(f'{error}; {told}') from error
    graph.client._node.destroy_publisher(publisher)
    assert not watch.is_moving()
    graph.check()


def _fill(chunk, value):
    chunk.actions = [value] * len(chunk.actions)
    return _age(chunk, 0.0)


def _stamp(chunk, time_ns):
    chunk.header.stamp = to_time(time_ns)
    return _joints(chunk)


def _age(chunk, age_s):
    stamp = to_time(time.time_ns() - int(age_s * 1e9))
    chunk.header.stamp, chunk.start = stamp, stamp
    return _joints(chunk)


def _joints(chunk):
    """Return the chunk with the columns the governor asks for."""
    chunk.space = 'joint_position'
    chunk.names = [*robot_limits('panda').joint_names, 'gripper_width']
    return chunk


def _rename(chunk):
    _age(chunk, 0.0)
    chunk.names = ['wrong', *chunk.names[1:]]
    return chunk


def _retask(chunk):
    chunk.identity.task = 'circle'
    return _age(chunk, 0.0)


def test_features_of_an_unknown_task_are_refused_by_the_policy(graph, watch):
    watch.serve(LEFT)
    message = wait_for(lambda: watch.features, 'features')[-1]
    message.identity.task = 'circle'
    message.header.stamp = to_time(time.time_ns())
    publisher = graph.client._node.create_publisher(Features, 'encoder/features', DATA)
    wait_for(lambda: publisher.get_subscription_count() >= 2, 'the policy to listen')
    publisher.publish(message)
    wait_for(lambda: watch.count('policy', 'unknown_task') > 0, 'the policy to count it')
    graph.client._node.destroy_publisher(publisher)


# ---- processes that die ----


@pytest.mark.parametrize('name', ['policy', 'sim2real', 'encoder'])
def test_a_killed_process_holds_the_arm_and_a_restart_resumes_after_arming(graph, watch, name):
    watch.serve(LEFT)
    watch.arm_until_moving()
    watch.governor.clear()
    graph.kill(name, signal.SIGKILL)
    wait_for(lambda: any(s.state == 'hold' for s in watch.governor), 'the governor to hold', 3.0)
    hold = next(s for s in watch.governor if s.state == 'hold')
    last_chunk_ns = max(point.ledger.governed for point in watch.commands)
    held_after_s = (from_time(hold.stamp) - last_chunk_ns) / 1e9
    assert held_after_s < 2 * PERIOD_S + 0.05, 'two policy periods, and a few ticks'
    wait_for(lambda: not watch.is_moving(), 'the arm to stand', 2.0)
    with pytest.raises(BringupError, match=f"Process '{name}' ended with code -9"):
        graph.check()

    assert graph.revive() == (name,)
    time.sleep(0.5)
    assert not watch.is_moving(), 'the arm must wait for an explicit arm'
    assert watch.gate_state() in ('dry_run', 'fault')
    watch.arm_until_moving()
    watch.rest()


def test_an_encoder_that_is_started_again_serves_no_adapters_where_it_served_none(graph, watch):
    watch.serve(f'none:{LEFT}')
    graph.kill('encoder', signal.SIGKILL)
    statuses: list[AdapterStatus] = []
    assert graph.revive() == ('encoder',)
    stop = graph.client.watch(AdapterStatus, 'encoder/status', statuses.append, LATCHED)
    wait_for(lambda: statuses, 'its status')
    assert (statuses[-1].active_task, statuses[-1].adapters_off) == (LEFT, True)
    watch.serve(LEFT)
    wait_for(lambda: not statuses[-1].adapters_off, 'the status to say that it has adapters')
    stop()


def test_a_killed_governor_leaves_the_arm_in_a_hold_until_recovered(graph, watch):
    """Targets that break off in motion are a motion generator that falls silent: a reflex."""
    watch.serve(LEFT)
    watch.arm_until_moving()
    graph.kill('governor', signal.SIGKILL)
    wait_for(lambda: not watch.is_moving(), 'the arm to stand', 2.0)
    wait_for(lambda: watch.gate_state() == 'fault', 'the gate to notice')
    graph.restart('governor')
    time.sleep(0.5)
    assert not watch.is_moving()
    with pytest.raises(RefusedError, match='communication_constraints_violation'):
        graph.client.arm()
    graph.client.recover()
    time.sleep(0.3)
    assert not watch.is_moving(), 'a recovery moves nothing'
    watch.arm_until_moving()
    watch.rest()


def test_a_governor_that_ends_after_a_hard_stop_still_asks_for_a_recovery(graph, watch):
    graph.client.hard_stop()
    wait_for(lambda: watch.governor_state() == 'fault', 'the stop')
    graph.kill('governor', signal.SIGKILL)
    assert graph.revive() == ('governor',)
    with pytest.raises(RefusedError, match=r'hard stop.*\(an earlier process\)'):
        graph.client.arm()
    graph.client.recover()
    watch.serve(LEFT)
    watch.arm_until_moving()
    watch.rest()


def test_a_process_that_ends_again_and_again_is_left(graph, monkeypatch):
    monkeypatch.setattr(graph, '_restarts', Restarts())
    policy = next(each for each in graph.descriptions if each.name == 'policy')
    for _ in range(MOST_RESTARTS):
        assert graph._restarts.claim(policy) == ''
    graph.kill('policy', signal.SIGKILL)
    with pytest.raises(BringupError, match='it was started again 3 times in 10 minutes'):
        graph.revive()
    graph.restart('policy')
    graph.check()


def test_a_process_that_ends_while_it_starts_is_started_once_more(graph, monkeypatch):
    bring_up, starts = graph._startup.bring_up, []

    def kill_the_first(processes):
        starts.append(processes[0].pid)
        if len(starts) == 1:
            processes[0].signal(signal.SIGKILL)
        bring_up(processes)

    monkeypatch.setattr(graph, '_restarts', Restarts())
    monkeypatch.setattr(graph._startup, 'bring_up', kill_the_first)
    graph.kill('policy', signal.SIGKILL)
    assert graph.revive() == ('policy',)
    assert len(set(starts)) == 2
    graph.check()


# ---- cameras: last, because the simulated rig ends here ----


def test_bad_frames_and_missing_cameras_stop_the_features_and_are_named(graph, watch):
    watch.serve(LEFT)
    graph.kill('sim_rig', signal.SIGKILL)
    wait_for(
        lambda: 'no good frames from scene, wrist' in watch.diagnostics['encoder'][0],
        'the encoder to miss its cameras',
    )
    with pytest.raises(RefusedError, match=r'no frame was encoded.*scene, wrist'):
        graph.client.switch(RIGHT)
    time.sleep(0.3)
    watch.features.clear()
    cameras = {name: _camera(graph, name) for name in ('scene', 'wrist')}
    for cause, age_s, shape in (
        ('zero_stamp', None, (144, 192, 3)),
        ('stale', 1.0, (144, 192, 3)),
        ('future', -1.0, (144, 192, 3)),
        ('image_size', 0.0, (48, 64, 3)),
    ):
        before = watch.count('encoder', cause)
        stamp_ns = 0 if age_s is None else time.time_ns() - int(age_s * 1e9)
        for publisher in cameras.values():
            publisher.publish(from_rgb(np.zeros(shape, np.uint8), to_time(stamp_ns), 'x'))
        _wait_count(watch, cause, before)
    assert watch.features == [], 'features were made from frames that must be refused'

    def sends(shape, apart_s):
        now_ns = time.time_ns()
        for index, publisher in enumerate(cameras.values()):
            stamp_ns = now_ns - int(index * apart_s * 1e9)
            publisher.publish(from_rgb(np.zeros(shape, np.uint8), to_time(stamp_ns), 'x'))

    for shape, apart_s, words in (
        ((48, 64, 3), 0.0, 'uint8 of shape (48, 64, 3)'),
        ((144, 192, 3), 0.05, 'no exposures of scene, wrist within'),
    ):

        def says(shape=shape, apart_s=apart_s, words=words):
            sends(shape, apart_s)
            time.sleep(0.1)
            said = watch.diagnostics['encoder'][0]
            return 'nothing encoded for' in said and words in said

        if apart_s:  # what was wrong before is over
            wait_for(lambda: sends((144, 192, 3), 0.0) or watch.features, 'a good frame')
        wait_for(says, f'/diagnostics to say {words}')
    watch.features.clear()

    stamp = to_time(time.time_ns())
    for publisher in cameras.values():
        publisher.publish(from_rgb(np.zeros((144, 192, 3), np.uint8), stamp, 'x'))
    wait_for(lambda: watch.features, 'features of a good frame: nothing was lost')


def _wait_count(watch, cause, before):
    wait_for(lambda: watch.count('encoder', cause) > before, f'the encoder to count {cause}')


def _camera(graph, name):
    publisher = graph.client._node.create_publisher(
        from_rgb(np.zeros((1, 1, 3), np.uint8), to_time(1), '').__class__,
        f'cameras/{name}/image_raw',
        IMAGE,
    )
    wait_for(lambda: publisher.get_subscription_count() > 0, f'the encoder to listen to {name}')
    return publisher
