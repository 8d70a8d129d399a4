"""Frames to sets, the encoder's worker, and the real-time pacer."""

import threading
import time

from graph_watch import wait_for
import numpy as np
import pytest
from roboadapt_ros.dataflow import Features, Identity, LatencyLedger
from roboadapt_ros.ros.encoding import EncodeWorker
from roboadapt_ros.ros.frames import Frame, FramePairer, FrameSet, StampRule
from roboadapt_ros.ros.newest import NewestWorker
from roboadapt_ros.ros.pacer import Pacer

PERIOD_NS = 101_000_000
T0_NS = 10_000_000_000
PIXELS = np.zeros((2, 2, 3), dtype=np.uint8)


def _frame(stamp_ns):
    return Frame(stamp_ns, stamp_ns + 5, PIXELS)


def _pairer():
    return FramePairer(('scene', 'wrist'), tolerance_s=0.02)


def test_frames_of_one_moment_are_a_set():
    pairer = _pairer()
    assert pairer.add('scene', _frame(T0_NS)) is None
    found = pairer.add('wrist', _frame(T0_NS + 4_000_000))
    assert found.stamp_ns == T0_NS
    assert found.received_ns == T0_NS + 5


def test_frames_further_apart_than_the_tolerance_are_no_set():
    pairer = _pairer()
    pairer.add('scene', _frame(T0_NS))
    assert pairer.add('wrist', _frame(T0_NS + 21_000_000)) is None


def test_a_frame_is_used_once():
    pairer = _pairer()
    pairer.add('scene', _frame(T0_NS))
    assert pairer.add('wrist', _frame(T0_NS)) is not None
    assert pairer.add('wrist', _frame(T0_NS + 1_000_000)) is None


def test_a_frame_whose_partner_was_lost_is_counted():
    pairer = _pairer()
    pairer.add('scene', _frame(T0_NS))
    pairer.add('scene', _frame(T0_NS + PERIOD_NS))
    assert pairer.add('wrist', _frame(T0_NS + PERIOD_NS)) is not None
    assert pairer.counts == {'unpaired_scene': 1}


def test_a_silent_camera_leaves_no_set_and_no_growing_memory():
    pairer = _pairer()
    for index in range(100):
        assert pairer.add('scene', _frame(T0_NS + index * PERIOD_NS)) is None
    assert pairer.counts['unpaired_scene'] == 96
    assert pairer.last_stamp_ns['wrist'] == 0


@pytest.mark.parametrize(
    ('stamp_ns', 'last_ns', 'cause'),
    [
        (0, 0, 'zero_stamp'),
        (T0_NS, T0_NS, 'repeated_stamp'),
        (T0_NS - 1, T0_NS, 'reordered'),
        (T0_NS + 10**9, 0, 'future'),
        (T0_NS - 10**9, 0, 'stale'),
        (T0_NS - 10**8, 0, None),
    ],
)
def test_a_stamp_is_judged_and_explained(stamp_ns, last_ns, cause):
    rule = StampRule(max_age_s=0.3)
    assert rule.judge(stamp_ns, last_ns, T0_NS) == cause
    if cause is not None:
        assert 'wrist' in rule.explain('wrist', cause, stamp_ns, T0_NS)


class _SlowEncoder:
    """Encodes when told to, under the generation that is set."""

    def __init__(self, waiting=1):
        self.generation = 1
        self.gate = threading.Semaphore(0)
        self.encoded, self.failures = [], []
        self.worker = EncodeWorker(self._encode, self.failures.append, waiting=waiting)

    def _encode(self, frames):
        self.gate.acquire()
        self.encoded.append(frames.stamp_ns)
        identity = Identity(
            task='t', package_digest='', generation=self.generation, frame_stamps_ns=()
        )
        ledger = LatencyLedger(encoded=frames.stamp_ns + 1)
        return Features(
            stamp_ns=frames.stamp_ns, identity=identity, ledger=ledger, values=np.zeros(1)
        )

    def offer(self, index, period_ns=PERIOD_NS):
        self.worker.offer(FrameSet({'scene': _frame(T0_NS + index * period_ns)}))

    def encode(self):
        """Let one set through and wait until it is done."""
        done = self.worker.frames_encoded
        self.gate.release()
        deadline_s = time.monotonic() + 5.0
        while self.worker.frames_encoded == done:
            assert time.monotonic() < deadline_s, 'nothing was encoded'
            time.sleep(0.001)

    def take(self):
        """Wait until the worker has taken the set that waits."""
        deadline_s = time.monotonic() + 5.0
        while self.worker._pending:
            assert time.monotonic() < deadline_s, 'the set was not taken'
            time.sleep(0.001)


@pytest.fixture
def encoder():
    made = _SlowEncoder()
    yield made
    made.gate.release(10)
    made.worker.stop()


def test_the_newest_set_is_encoded_and_the_one_passed_by_is_counted(encoder):
    encoder.offer(0)
    encoder.take()
    encoder.offer(1)
    encoder.offer(2)
    encoder.encode()
    encoder.encode()
    assert encoder.encoded == [T0_NS, T0_NS + 2 * PERIOD_NS]
    assert encoder.worker.frames_overrun == 1


def test_sets_that_come_in_a_bunch_wait_for_their_turn():
    encoder = _SlowEncoder(waiting=2)
    encoder.offer(0)
    encoder.take()
    encoder.offer(1)
    encoder.offer(2)
    for _ in range(3):
        encoder.encode()
    encoder.worker.stop()
    assert encoder.encoded == [T0_NS + index * PERIOD_NS for index in range(3)]
    assert encoder.worker.frames_overrun == 0


FULL_RATE_NS = 16_666_667


def test_a_pause_at_full_rate_loses_nothing(encoder):
    encoder.offer(0, FULL_RATE_NS)
    encoder.take()
    for index in range(1, 7):
        encoder.offer(index, FULL_RATE_NS)
    for _ in range(7):
        encoder.encode()
    assert encoder.encoded == [T0_NS + index * FULL_RATE_NS for index in range(7)]
    assert encoder.worker.frames_overrun == 0


def test_an_encoder_that_stays_behind_serves_the_newest_sets(encoder):
    """Half a second behind the cameras: no more than the usual number waits, none is old."""
    for index in range(60):
        encoder.offer(index, FULL_RATE_NS)
        if index == 0:
            encoder.take()
        elif index % 2 == 0:
            encoder.encode()
    assert len(encoder.worker._pending) == 1
    newest = encoder.worker._pending[0].stamp_ns
    assert newest == T0_NS + 59 * FULL_RATE_NS
    assert encoder.worker.frames_overrun > 20


def test_a_switch_learns_the_frames_on_both_sides_of_the_boundary(encoder):
    encoder.offer(0)
    encoder.encode()
    encoder.generation = 2
    encoder.offer(1)
    encoder.encode()
    boundary = encoder.worker.await_generation(2, 1.0)
    assert boundary.last_before_ns == T0_NS
    assert boundary.first_after_ns == T0_NS + PERIOD_NS
    assert boundary.dropped == 0


def test_a_set_lost_at_the_boundary_is_counted(encoder):
    encoder.offer(0)
    encoder.take()
    encoder.offer(1)  # lost: replaced while the first one is being encoded
    encoder.offer(2)
    encoder.encode()
    encoder.generation = 2
    encoder.encode()
    assert encoder.worker.await_generation(2, 1.0).dropped == 1


def test_a_switch_without_frames_ends_at_its_deadline(encoder):
    assert encoder.worker.await_generation(1, 0.05) is None


def test_an_exception_ends_the_worker_with_its_traceback():
    failures = []

    def fail(frames):
        raise ValueError('the network broke')

    worker = EncodeWorker(fail, failures.append)
    worker.offer(FrameSet({'scene': _frame(T0_NS)}))
    worker._thread.join(5.0)
    worker.stop()
    assert len(failures) == 1
    assert 'the network broke' in failures[0]
    began_s = time.monotonic()
    assert worker.await_generation(1, 5.0) is None
    assert worker.has_failed and time.monotonic() - began_s < 1.0, 'no wait for what does not come'


class _Held:
    """Work on numbers that goes on when it may."""

    def __init__(self):
        self.done, self.failures = [], []
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.worker = NewestWorker(self._work, self.failures.append, name='held')

    def _work(self, number):
        self.begun.set()
        assert self.may_go_on.wait(5.0)
        if number < 0:
            raise ValueError('a number below zero')
        self.done.append(number)


def test_of_what_comes_faster_than_it_is_worked_on_the_newest_is_kept():
    held = _Held()
    assert not held.worker.offer(1)
    assert held.begun.wait(5.0)
    assert [held.worker.offer(number) for number in (2, 3)] == [False, True]
    held.may_go_on.set()
    wait_for(lambda: len(held.done) == 2, 'the newest')
    held.worker.stop()
    assert (held.done, held.failures) == ([1, 3], [])


def test_a_newest_worker_stops_after_what_it_works_on():
    held = _Held()
    held.worker.offer(1)
    assert held.begun.wait(5.0)
    held.worker.offer(2)
    stopper = threading.Thread(target=held.worker.stop)
    stopper.start()
    held.may_go_on.set()
    stopper.join(5.0)
    assert held.done == [1]


def test_an_exception_ends_a_newest_worker_with_its_traceback():
    held = _Held()
    held.may_go_on.set()
    held.worker.offer(-1)
    wait_for(lambda: held.failures, 'the report')
    assert 'a number below zero' in held.failures[0]
    held.worker.stop()


def _pace(tick, duration_s, **settings):
    failures = []
    ended = threading.Event()
    pacer = Pacer(0.01, tick, failed=failures.append, ended=ended.set, **settings)
    pacer.start()
    ended.wait(duration_s)
    pacer.stop()
    return pacer, failures


def test_a_pacer_keeps_real_time_and_never_runs_faster():
    ticks = []
    pacer, failures = _pace(lambda: ticks.append(time.monotonic()), 0.5)
    passed_s = ticks[-1] - ticks[0]
    assert not failures
    assert (len(ticks) - 1) * 0.01 <= passed_s + 0.031, 'it ran ahead of real time'
    assert 0.0 < pacer.factor <= 1.0


def test_a_pacer_that_can_not_keep_up_says_so():
    pacer, _ = _pace(lambda: time.sleep(0.02), 0.5, max_lag_s=0.03)
    assert pacer.factor < 0.7
    assert pacer.lost_s > 0.1


def test_a_tick_that_raises_ends_the_pacer_with_its_traceback():
    def fail():
        raise ValueError('the physics broke')

    _, failures = _pace(fail, 0.5)
    assert len(failures) == 1
    assert 'the physics broke' in failures[0]
