"""The fault matrix: whatever breaks while the arm moves, the arm ends in a hold, in time.

Each fault is put into a running graph whose arm goes round in circles. Held: how soon the stack
notices, that the arm then stands, that nothing it was sent broke a limit, and that it takes an
explicit arm (or a confirmed recovery) to go on. Cameras of their own: test_fault_cameras.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import resource
import signal
import time

from fault_bench import Bench, RIG, Row, TASK, WATCHED_S, write_table
from fault_tap import Fault, STREAMS, SUFFIX, tapped, Taps
from graph_watch import GraphWatch, wait_for
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.qos import COMMAND
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool

pytestmark = [pytest.mark.processes, pytest.mark.slow]
MINDS_SILENCE_RAD_S = 0.25
"""A slower arm can rest within a period, and a silence of 0.2 s is no error [rad/s]."""
WITHIN_S: dict[tuple[str, Fault], float] = {
    # A frame period, the pipeline and two policy periods.
    **{
        (name, fault): 0.6
        for name in ('scene image', 'wrist image', 'features', 'policy chunks', 'joint chunks')
        for fault in (Fault.FROZEN, Fault.GARBAGE)
    },
    # 0.1 s until a state is stale; a state that is always 0.2 s old is stale at once.
    ('joint states', Fault.FROZEN): 0.2,
    ('joint states', Fault.GARBAGE): 0.2,
    ('joint states', Fault.DELAYED): 0.2,
    # 0.5 s until the hand counts as silent, then two policy periods.
    ('gripper states', Fault.FROZEN): 1.0,
    ('gripper states', Fault.GARBAGE): 0.4,
    # 1 s until the robot counts as silent.
    ('robot state', Fault.FROZEN): 1.4,
    ('robot state', Fault.GARBAGE): 0.2,
    ('governor status', Fault.FROZEN): 0.8,
    ('governor status', Fault.GARBAGE): 0.4,
    # The robot stops by itself: its controller hears nothing in the middle of a motion.
    ('arm targets', Fault.FROZEN): 0.6,
    ('arm targets', Fault.DELAYED_MORE): 0.6,
    ('arm targets', Fault.GARBAGE): 0.6,
}
"""Within how long the stack stops the arm [s]; what is not here must not stop it."""


@pytest.fixture(scope='module')
def bench(models, tmp_path_factory):
    """Return a graph with taps, up; what was seen is written at the end."""
    own = tmp_path_factory.mktemp('faults')
    rig = replace(RIG, nodes={**RIG.nodes, 'encoder': {'engine': 'torch'}})  # no race at start
    domain = find_free_domain()
    running = Graph(
        rig,
        log_dir=own / 'log',
        domain_id=domain,
        models_dir=models,
        record_to=own / 'recording',
        change=tapped(STREAMS),
    )
    with Taps(domain) as taps, running:
        watch = GraphWatch(running.client, RIG.arm.joint_states + SUFFIX)
        made = Bench(running, watch, taps)
        yield made
    write_table(made.rows)


# ---- the matrix ----


EVERYWHERE = (Fault.FROZEN, Fault.DELAYED, Fault.DUPLICATED, Fault.GARBAGE)
BROKEN = [(name, fault) for name in STREAMS for fault in EVERYWHERE]
BROKEN.remove(('arm targets', Fault.DELAYED))  # has a test of its own
BROKEN.append(('arm targets', Fault.DELAYED_MORE))


@pytest.mark.parametrize(('name', 'fault'), BROKEN, ids=[f'{n}-{f.value}' for n, f in BROKEN])
def test_a_broken_stream_ends_in_a_hold_or_changes_nothing(bench, name, fault):
    within_s, what = WITHIN_S.get((name, fault)), f'{name} {fault.value}'

    def put(one: Fault) -> Callable[[], None]:
        def do() -> None:
            if name == 'arm targets' and one is not Fault.NONE:
                _wait_for_speed(bench)
            bench.taps.set(name, one)

        return do

    try:
        if within_s is None:
            bench.goes_on(what, put(fault), put(Fault.NONE))
            return
        row = bench.breaks(what, put(fault), within_s)
    finally:
        bench.taps.set(name, Fault.NONE)
    bench.resume(row)


def _wait_for_speed(bench: Bench) -> None:
    fast = 'an arm so fast that its controller minds a silence'
    wait_for(lambda: bench.watch.speed_rad_s() > MINDS_SILENCE_RAD_S, fast)


def test_targets_as_late_as_the_robot_just_bears_end_in_its_error_or_change_nothing(bench):
    """By 0.2 s: whether the silence before the first late one is too long is a matter of 1 ms."""
    bench.move()
    _wait_for_speed(bench)
    row = Row('arm targets delayed')
    bench.rows.append(row)
    first, begun_ns = len(bench.watch.commands), time.time_ns()
    try:
        bench.taps.set('arm targets', Fault.DELAYED)
        time.sleep(WATCHED_S)
        if bench.watch.governor_state() == 'tracking':
            assert bench.watch.is_moving()
            row.found, row.state = "within the robot's own bound", 'goes on within limits'
            bench.watch.rest()
        else:
            bench.stops(row, begun_ns, 0.6, 'communication_constraints_violation')
        bench.judge(first)
    finally:
        bench.taps.set('arm targets', Fault.NONE)
    if row.still_s is not None:
        bench.resume(row)


@pytest.mark.parametrize(
    ('name', 'within_s'),
    [('policy', 0.4), ('sim2real', 0.4), ('encoder', 0.4), ('governor', 0.8)],
)
def test_a_killed_process_ends_in_a_hold(bench, name, within_s):
    row = bench.breaks(f'{name} killed', lambda: bench.graph.kill(name, signal.SIGKILL), within_s)
    bench.graph.restart(name)
    bench.resume(row)


def test_a_killed_recorder_stops_nothing(bench):
    def kill() -> None:
        bench.graph.kill('recorder', signal.SIGKILL)

    def mend() -> None:
        bench.graph.restart('recorder')

    bench.goes_on('recorder killed', kill, mend)
    mend()


def test_a_full_disk_ends_the_recording_and_nothing_else(bench):
    def fill() -> None:
        resource.prlimit(bench.graph.pids()['recorder'], resource.RLIMIT_FSIZE, (1, 1))

    bench.goes_on('disk full', fill, lambda: bench.graph.restart('recorder'))
    wait_for(
        lambda: 'cannot be written' in bench.watch.diagnostics['recorder'][0],
        'the recorder to say so',
    )
    bench.rows[-1].found = (
        'recorder: ' + bench.watch.diagnostics['recorder'][0].rpartition(': ')[2]
    )
    bench.graph.restart('recorder')


# ---- the robot itself ----


def _rig_fault(bench: Bench, names: str) -> None:
    """Give the simulated rig exactly these faults."""
    request = SetParameters.Request(
        parameters=[Parameter('faults', value=names).to_parameter_msg()]
    )
    answer = bench.graph.client.call(SetParameters, 'sim_rig/set_parameters', request, repeat=True)
    assert answer.results[0].successful, answer.results[0].reason


def _user_stop(bench: Bench, *, pressed: bool) -> None:
    request = SetBool.Request(data=pressed)
    assert bench.graph.client.call(SetBool, 'sim_rig/user_stop', request, repeat=True).success


def test_a_reflex_of_the_robot_ends_in_a_stop_until_it_is_recovered(bench):
    row = bench.breaks('robot reflex', lambda: _rig_fault(bench, 'cartesian_reflex'), 0.2)
    with pytest.raises(RefusedError, match='cartesian_reflex'):
        bench.graph.client.arm()
    _rig_fault(bench, '')
    bench.resume(row)
    assert row.resumes == 'recover, arm'


def test_a_user_stop_ends_in_a_stop_until_it_is_released_and_recovered(bench):
    row = bench.breaks('user stop', lambda: _user_stop(bench, pressed=True), 0.2)
    with pytest.raises(RefusedError, match='user_stop'):
        bench.graph.client.arm()
    _user_stop(bench, pressed=False)
    bench.resume(row)
    assert row.resumes == 'recover, arm'


def test_an_unplugged_camera_ends_in_a_hold(bench):
    row = bench.breaks('camera unplugged', lambda: _rig_fault(bench, 'wrist_unplugged'), 0.6)
    wait_for(
        lambda: 'no good frames from wrist' in bench.watch.diagnostics['encoder'][0],
        'the encoder to name the camera',
    )
    _rig_fault(bench, '')
    bench.resume(row)


def test_another_publisher_of_targets_ends_in_a_stop(bench):
    node = bench.graph.client._node
    made = []

    def intrude() -> None:
        made.append(node.create_publisher(JointState, RIG.arm.output.topic + SUFFIX, COMMAND))

    row = bench.breaks('second publisher of targets', intrude, 1.5)
    with pytest.raises(RefusedError, match='has another publisher'):
        bench.graph.client.arm()
    node.destroy_publisher(made[0])
    wait_for(bench.arms, 'the governor to see that it is alone', 5.0)
    row.resumes = 'arm'


def test_fingers_that_do_not_open_end_in_a_stop(bench):
    """Closed by hand before the task, which wants them open, and stuck from then on."""
    bench.watch.rest()
    width = bench.graph.client._node.create_publisher(
        Float64MultiArray, RIG.gripper.command, COMMAND
    )
    wait_for(lambda: width.get_subscription_count() > 0, 'the hand to listen')
    width.publish(Float64MultiArray(data=[0.0]))
    wait_for(lambda: bench.width_m() < 0.005, 'the fingers to close')
    bench.graph.client._node.destroy_publisher(width)
    _rig_fault(bench, 'gripper_stuck')
    wait_for(bench.arms, 'the governor to see that it is alone', 5.0)
    row = Row('gripper stuck')
    bench.rows.append(row)
    bench.watch.arm_until_moving()
    begun_ns = time.time_ns()
    bench.stops(row, begun_ns, 3.2, 'do not open')
    _rig_fault(bench, '')
    bench.watch.arm_until_moving()
    row.resumes = 'arm'


def test_a_robot_that_is_gone_ends_in_silence_and_is_taken_up_again(bench):
    """The rig's own process; the last test, for it comes back in another world."""
    bench.move()
    row = Row('sim_rig killed')
    bench.rows.append(row)
    begun_ns = time.time_ns()
    bench.graph.kill('sim_rig', signal.SIGKILL)
    bench.is_noticed(row, begun_ns, 0.3)
    # Released, and after a second without a report of the robot stopped.
    wait_for(lambda: bench.watch.governor_state() in ('idle', 'fault'), 'silence', 3.0)
    wait_for(lambda: bench.watch.governor_state() == 'fault', 'the silence to be a stop', 3.0)
    time.sleep(0.5)
    count = len(bench.watch.commands)
    bench.graph.restart('sim_rig')
    wait_for(lambda: bench.watch.joints[-1][0] > begun_ns, 'joint states of the new arm')
    time.sleep(1.0)
    assert len(bench.watch.commands) == count, 'the arm went on by itself'
    bench.watch.serve(TASK)
    bench.watch.arm_until_moving()
    row.resumes = 'arm'
