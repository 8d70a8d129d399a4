"""A moving graph in which something is broken, and what is held of it then.

With ROBOADAPT_FAULT_TABLE=FILE in the environment, what was seen is added there, as rows of the
table of docs/faults.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
import os
from pathlib import Path
import time
from typing import Any

import fakes
from fault_tap import Taps
from graph_watch import GraphWatch, wait_for
import numpy as np
import pytest
from roboadapt_interfaces.msg import GateStatus
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.evaluation.motion import LimitMonitor
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.qos import STATE
from sensor_msgs.msg import JointState

RIG = load_rig('sim')
TASK = fakes.CIRCLE_LEFT
STILL_S = 1.5
"""From the moment a fault is noticed to the arm standing still [s]: the gate's half second, the
governor's ramp of another, and the lag of the controller."""
WATCHED_S = 1.2
"""How long a fault lasts at least [s]; one that is over within the gate's half second is ridden
out: the arm holds, and the next good chunk goes on."""
ATTEMPTS = 3
"""How often a motion that must go on is begun, where a busy machine has stopped it."""
BUSY_S = 0.3
"""Allowed on top of every bound [s], for a machine of which every core is busy."""


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
    """A graph that moves, and what came of what was broken in it."""

    graph: Graph
    watch: GraphWatch
    taps: Taps | None = None
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
        self.judge(first)
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
            self.judge(first)
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

    def judge(self, first: int) -> None:
        """Hold that what the arm was sent, from this command on, kept every limit."""
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


def write_table(rows: list[Row]) -> None:
    """Add rows to the table that the environment asks for."""
    table = os.environ.get('ROBOADAPT_FAULT_TABLE')
    if not table:
        return
    path = Path(table)
    with path.open('a', encoding='utf-8') as file:
        if path.stat().st_size == 0:
            file.write('| fault | noticed by | after [s] | arm stands after [s] | state ')
            file.write('| goes on after |\n|---|---|---|---|---|---|\n')
        for row in rows:
            times = (row.noticed_s, row.still_s)
            noticed, still = ('' if value is None else f'{value:.2f}' for value in times)
            file.write(f'| {row.what} | {row.found} | {noticed} | {still} ')
            file.write(f'| {row.state} | {row.resumes} |\n')
