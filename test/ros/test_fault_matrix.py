"""The fault matrix: whatever breaks while the arm moves, the arm ends in a hold, in time.

Each fault is put into a running graph whose arm goes round in circles. Held: how soon the stack
notices, that the arm then stands, that nothing it was sent broke a limit, and that it takes an
explicit arm (or a confirmed recovery) to go on. With ROBOADAPT_FAULT_TABLE=FILE in the
environment, what was seen is written there as the table of docs/faults.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
import os
from pathlib import Path
import resource
import signal
import time
from typing import Any

import fakes
from fault_tap import Fault, STREAMS, SUFFIX, tapped, Taps
from graph_watch import GraphWatch, wait_for
import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from roboadapt_interfaces.msg import GateStatus
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.evaluation.motion import LimitMonitor
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.qos import COMMAND, STATE
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool

pytestmark = [pytest.mark.processes, pytest.mark.slow]
TASK = fakes.CIRCLE_LEFT
STILL_S = 1.5
"""From the moment a fault is noticed to the arm standing still [s]: the gate's half second, the
governor's ramp of another, and the lag of the controller."""
WATCHED_S = 1.2
"""How long a fault lasts at least [s]; one that is over within the gate's half second is ridden
out: the arm holds, and the next good chunk goes on."""
ATTEMPTS = 3
"""How often a motion that must go on is begun, where a busy machine has stopped it."""
MINDS_SILENCE_RAD_S = 0.25
"""A slower arm can rest within a period, and a silence of 0.2 s is no error [rad/s]."""
BUSY_S = 0.3
"""Allowed on top of every bound [s], for a machine of which every core is busy."""

# ---- what must happen ----

RIG = load_rig('sim')
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
    ('arm targets', Fault.DELAYED): 0.6,
    ('arm targets', Fault.GARBAGE): 0.6,
}
"""Within how long the stack stops the arm [s]; what is not here must not stop it."""


# ---- what is seen ----


@dataclass
class Row:
    """One line of the table."""

    what: str
    found: str = ''
    noticed_s: float | None = None
    still_s: float | None = None
    state: str = ''
    resumes: str = ''


@dataclass
class Bench:
    """A graph that moves, with taps in its streams."""

    graph: Graph
    watch: GraphWatch
    taps: Taps
    rows: list[Row] = field(default_factory=list)
    fingers: JointState | None = None

    def __post_init__(self) -> None:
        """Listen to the hand."""
        self.graph.client.watch(JointState, RIG.gripper.joint_states, self._take_fingers, STATE)

    def _take_fingers(self, message: JointState) -> None:
        self.fingers = message

    def move(self) -> None:
        """Have the arm go round, also where a test before this one failed."""
        self.graph.check()
        if self.watch.governor_state() == 'fault':
            self.graph.client.recover()

        def follows() -> bool:
            if not self.watch.is_moving() or self.watch.gate_state() != 'armed':
                self.watch.serve(TASK)
                self.watch.arm_until_moving()
            return self.watch.governor_state() == 'tracking'

        wait_for(follows, 'the governor to follow', 60.0)

    def breaks(self, what: str, fault: Callable[[], Any], within_s: float) -> Row:
        """Put a fault into the motion and return what came of it.

        Args:
            what: Name of the fault.
            fault: Brings it about.
            within_s: How soon it must be noticed [s].
        """
        self.move()
        row = Row(what)
        self.rows.append(row)
        first = len(self.watch.commands)
        begun_ns = time.time_ns()
        fault()
        self.stops(row, begun_ns, within_s)
        self._judge(first)
        return row

    def goes_on(self, what: str, fault: Callable[[], Any], mend: Callable[[], Any]) -> None:
        """Hold that a fault does not stop the motion.

        A machine of which every core is busy may stop it by itself: so a motion that stopped is
        begun again, with the fault put in again. What the fault does, it does every time.

        Args:
            what: Name of the fault.
            fault: Brings it about.
            mend: Takes it back.
        """
        stories = []
        while len(stories) < ATTEMPTS:
            self.move()
            first, begun_ns = len(self.watch.commands), time.time_ns()
            fault()
            time.sleep(WATCHED_S)
            # At once, or after a hold that is ridden out.
            goes_on = self._becomes(lambda: self.watch.governor_state() == 'tracking', 1.0)
            goes_on = goes_on and self._becomes(self.watch.is_moving, 1.0)
            reports = [*self.watch.governor, *self.watch.gate]
            since = [s for s in reports if from_time(s.stamp) >= begun_ns]
            let_go = {s.state for s in since} & {'ramp_down', 'idle', 'fault', 'dry_run'}
            self._judge(first)
            if goes_on and not let_go:
                found, state = 'harmless, or dropped by its stamp', 'goes on within limits'
                self.rows.append(Row(what, found=found, state=state))
                return
            stories.append(_story(since, begun_ns))
            mend()
        raise AssertionError(f'{what} stopped the arm every time:\n' + '\n\n'.join(stories))

    def _becomes(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Return whether a condition becomes true in time."""
        deadline_s = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)
        return True

    def stops(self, row: Row, begun_ns: int, within_s: float, because: str = '') -> None:
        """Wait for the stack to notice and for the arm to stand."""
        self.is_noticed(row, begun_ns, within_s, because)
        wait_for(lambda: not self.watch.is_moving(), 'the arm to stand', STILL_S + BUSY_S)
        row.still_s = (time.time_ns() - begun_ns) / 1e9
        time.sleep(max(0.0, WATCHED_S - row.still_s))

    def is_noticed(self, row: Row, begun_ns: int, within_s: float, because: str = '') -> None:
        """Wait for the stack to notice, and hold that it did in time.

        Args:
            row: Takes what was seen.
            begun_ns: When the fault began.
            within_s: How soon it must be noticed [s].
            because: Words of the reason, where a short hold for another may come before.
        """
        news = wait_for(
            lambda: self._not_moving_on(begun_ns, because),
            f'{row.what} to be noticed',
            within_s + 5.0,
        )
        row.noticed_s = (from_time(news.stamp) - begun_ns) / 1e9
        row.found = f'{news.node}: {news.reason.partition("; the last chunk")[0]}'
        row.state = news.state
        assert row.noticed_s < within_s + BUSY_S, f'{row.what} noticed after {row.noticed_s:.2f} s'

    def _not_moving_on(self, begun_ns: int, because: str) -> GateStatus | None:
        """Return the first report since a time of a governor or a gate that let go."""
        watch = self.watch
        stopped = ('hold', 'ramp_down', 'idle', 'fault')
        news = [s for s in list(watch.governor) if s.state in stopped]
        news += [s for s in list(watch.gate) if s.state != 'armed']
        since = [s for s in news if from_time(s.stamp) >= begun_ns and because in s.reason]
        return min(since, key=lambda s: from_time(s.stamp)) if since else None

    def _judge(self, first: int) -> None:
        """Hold that what the arm was sent kept every limit."""
        motion = LimitMonitor(robot_limits('panda'), period_s=0.01, max_gap_s=0.08)
        for point in self.watch.commands[first:]:
            motion.command(from_time(point.start), np.array(point.actions)[:7], point.sequence)
        assert [str(found) for found in motion.violations] == []

    def arms(self) -> bool:
        """Return whether the gate can be opened."""
        try:
            self.graph.client.arm()
        except RefusedError:
            return False
        return True

    def width_m(self) -> float:
        """Return the newest width between the fingers [m]."""
        return sum(self.fingers.position) if self.fingers else 1.0

    def resume(self, row: Row) -> None:
        """Hold that the arm waits for a person, and goes on after that."""
        time.sleep(0.8)
        assert not self.watch.is_moving(), f'{row.what}: the arm went on by itself'
        row.resumes = 'arm'
        is_fault = self.watch.governor_state() == 'fault'
        if is_fault and 'roboadapt recover' in self.watch.governor[-1].reason:
            with pytest.raises(RefusedError, match='recover'):
                self.graph.client.arm()
            self.graph.client.recover()
            row.resumes = 'recover, arm'
        self.watch.serve(TASK)
        self.watch.arm_until_moving()


def _story(reports: list[GateStatus], begun_ns: int) -> str:
    """Return what the reports say, one line for each change, with the time since [s]."""
    lines, last = [], {}
    for s in sorted(reports, key=lambda s: from_time(s.stamp)):
        if last.get(s.node) != s.state:
            last[s.node] = s.state
            lines.append(
                f'{(from_time(s.stamp) - begun_ns) / 1e9:.2f} {s.node} {s.state}: {s.reason}'
            )
    return '\n'.join(lines)


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
        made = Bench(running, GraphWatch(running.client, RIG.arm.joint_states + SUFFIX), taps)
        yield made
    table = os.environ.get('ROBOADAPT_FAULT_TABLE')
    if table:
        Path(table).write_text(_table(made.rows), encoding='utf-8')


def _table(rows: list[Row]) -> str:
    def seconds(value: float | None) -> str:
        return '' if value is None else f'{value:.2f}'

    head = ['| fault | noticed by | after [s] | arm stands after [s] | state | goes on after |']
    head.append('|---|---|---|---|---|---|')
    lines = [
        f'| {row.what} | {row.found} | {seconds(row.noticed_s)} | {seconds(row.still_s)} '
        f'| {row.state} | {row.resumes} |'
        for row in rows
    ]
    return '\n'.join([*head, *lines, ''])


# ---- the matrix ----


@pytest.mark.parametrize('fault', [f for f in Fault if f is not Fault.NONE], ids=lambda f: f.value)
@pytest.mark.parametrize('name', STREAMS)
def test_a_broken_stream_ends_in_a_hold_or_changes_nothing(bench, name, fault):
    within_s, what = WITHIN_S.get((name, fault)), f'{name} {fault.value}'

    def put(one: Fault) -> Callable[[], None]:
        def do() -> None:
            if name == 'arm targets' and one is not Fault.NONE:
                fast = 'an arm so fast that its controller minds a silence'
                wait_for(lambda: bench.watch.speed_rad_s() > MINDS_SILENCE_RAD_S, fast)
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
