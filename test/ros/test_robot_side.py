"""The robot's side while it is timed: real processes, their clock, their memory, no torch."""

import subprocess
import sys
import time

import pytest
from roboadapt_ros.bench.robot_side import (
    measure,
    memory_figures,
    TICK_FIGURES,
    timing_figures,
)
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.errors import BringupError
from roboadapt_ros.ros.ticks import TickTimes

MS = 1_000_000


def test_jitter_is_how_far_the_points_are_off_the_period():
    stamps = [0, 10 * MS, 21 * MS, 30 * MS]
    governor = dict.fromkeys(TICK_FIGURES, '0.5')
    record = {'stamps_ns': stamps, 'arrivals_ns': [t + MS for t in stamps], 'governor': governor}
    figures = timing_figures(record, 0.04)
    assert figures['jitter_ms_max'] == pytest.approx(1.0)
    assert figures['arrival_jitter_ms_max'] == pytest.approx(1.0)
    assert figures['timed_points'] == 4 and figures['compute_ms_p99'] == 0.5


def test_a_silent_governor_is_an_error():
    gate = 'dry_run: no good chunk for 0.5 s'
    record = {'stamps_ns': [0, 10 * MS], 'arrivals_ns': [0, 0], 'governor': {}, 'gate': gate}
    with pytest.raises(BringupError, match='2 of 100 points came; the gate was dry_run: no good'):
        timing_figures(record, 1.0)


def test_memory_is_that_of_the_processes():
    program = "print(flush=True); input(); kept = b'1' * (64 * 2**20); print(flush=True); input()"
    words = [sys.executable, '-c', program]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        before = memory_figures({'child': child.pid})
        child.stdin.write(b'\n')
        child.stdin.flush()
        child.stdout.readline()
        after = memory_figures({'child': child.pid})
        child.kill()
    assert 60 < after['robot_side_mb'] - before['robot_side_mb'] < 70
    assert after['memory_child_mb'] == after['robot_side_mb']


def test_tick_times_see_work_and_irregularity():
    times = TickTimes(0.01)
    for pause_s in (0.01, 0.03, 0.01):
        times.begin()
        time.sleep(0.002)
        times.computed()
        time.sleep(0.002)
        times.end()
        time.sleep(pause_s - 0.004)
    values = times.values()
    assert values['ticks'] == 3
    assert (
        2.0 <= values['compute_ms_p50'] < values['tick_ms_p50'] - 1.9
        and 15.0 < values['jitter_ms_max'] < 40.0
    )


def test_only_the_governor_asks_for_real_time():
    asked = {process.name: process.realtime for process in process_list(load_rig('sim'))}
    assert [name for name, priority in asked.items() if priority] == ['governor']


@pytest.mark.processes
@pytest.mark.slow
def test_the_real_processes_are_timed_and_weighed():
    said = []
    figures = measure(
        2.0, load=False, state_rate_hz=100.0, progress=lambda *step: said.append(step)
    )
    assert 150 < figures['timed_points'] < 250
    assert figures['robot_side_processes'] == 5
    assert 50.0 < figures['robot_side_mb'] < 500.0
    assert figures['robot_side_with_torch'] == 0, 'a robot must not wait for torch'
    for name in ('jitter_ms_p99', 'arrival_jitter_ms_p99', 'compute_ms_p99'):
        assert figures[name] > 0.0
    assert said[-1][0] == said[-1][1]
