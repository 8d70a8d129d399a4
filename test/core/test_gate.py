"""The gate opens by an explicit call only, and closes by itself."""

from control_fakes import still_chunk, T0_NS
import numpy as np
import pytest
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.sim2real.gate import Gate, GateConfig, GateState
from roboadapt_ros.sim2real.monitor import StreamMonitor, TrackingMonitor

MS = 1_000_000


class Bench:
    """A gate with a robot, a governor and a policy that can be switched off one by one."""

    def __init__(self):
        self.gate = Gate(GateConfig())
        self.now_ns = T0_NS
        self.robot = self.governor = self.policy = True
        self.robot_problem = self.governor_fault = self.governor_idle = None
        self.passed = []

    def run(self, seconds):
        """Run at 20 Hz."""
        for _ in range(round(seconds * 20)):
            self.now_ns += 50 * MS
            if self.robot:
                self.gate.observe_robot(self.now_ns, self.robot_problem)
            if self.governor:
                self.gate.observe_governor(self.now_ns, self.governor_fault, self.governor_idle)
            if self.policy:
                self.passed.append(self.offer(self.now_ns))
            self.gate.tick(self.now_ns)
        return self.gate.state

    def offer(self, stamp_ns, **limits):
        """Offer a chunk as the node does, and return whether it passed."""
        try:
            return self.gate.admit(still_chunk(stamp_ns), self.now_ns, **limits)
        except RefusedError as error:
            self.gate.refuse(error, self.now_ns)
            return False

    def arm(self):
        """Arm a bench where everything runs."""
        self.run(0.5)
        self.gate.arm(self.now_ns)
        assert self.run(0.5) is GateState.ARMED


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def armed():
    bench = Bench()
    bench.arm()
    bench.passed.clear()
    return bench


def test_nothing_passes_before_arming(bench):
    assert bench.run(5.0) is GateState.DRY_RUN
    assert not any(bench.passed) and bench.gate.accepted == 0


def test_good_chunks_pass_once_armed(armed):
    armed.run(1.0)
    assert all(armed.passed) and armed.gate.accepted > 0
    assert armed.gate.generation == 1


@pytest.mark.parametrize(
    ('missing', 'cause', 'remedy'),
    [
        ('robot', 'robot', 'driver'),
        ('governor', 'governor', 'start or reset the governor'),
        ('policy', 'chunk', 'cameras, encoder and policy'),
    ],
)
def test_arming_is_refused_with_reason_and_remedy(bench, missing, cause, remedy):
    setattr(bench, missing, False)
    bench.run(1.0)
    with pytest.raises(RefusedError, match=remedy) as caught:
        bench.gate.arm(bench.now_ns)
    assert caught.value.cause == cause
    assert bench.gate.state is GateState.DRY_RUN
    assert not any(bench.passed)


def test_arming_a_robot_in_error_is_refused_by_the_errors_name(bench):
    bench.robot_problem = 'joint_reflex'
    bench.run(1.0)
    with pytest.raises(RefusedError, match='joint_reflex'):
        bench.gate.arm(bench.now_ns)


def test_a_clock_that_is_set_back_closes_the_gate_and_hides_no_dead_governor(armed):
    armed.governor = False
    armed.now_ns -= 3600 * 1000 * MS
    assert armed.run(0.6) is GateState.FAULT
    with pytest.raises(RefusedError, match='no governor status for 35'):
        armed.gate.arm(armed.now_ns)
    armed.governor = True
    armed.arm()


@pytest.mark.parametrize(
    ('missing', 'within_s', 'state'),
    [
        ('robot', 0.3, GateState.FAULT),
        ('governor', 0.6, GateState.FAULT),
        ('policy', 0.6, GateState.DRY_RUN),
    ],
)
def test_a_missing_sign_of_life_closes_and_its_return_does_not_open(
    armed, missing, within_s, state
):
    setattr(armed, missing, False)
    assert armed.run(within_s) is state
    setattr(armed, missing, True)
    armed.passed.clear()
    assert armed.run(2.0) is state
    assert not any(armed.passed)
    armed.gate.arm(armed.now_ns)
    armed.run(0.5)
    assert any(armed.passed)


def test_a_robot_error_closes_at_once(armed):
    armed.gate.observe_robot(armed.now_ns, 'cartesian_reflex')
    assert armed.gate.state is GateState.FAULT
    assert 'cartesian_reflex' in armed.gate.reason
    assert not armed.offer(armed.now_ns)


def test_a_governor_fault_closes_at_once(armed):
    armed.gate.observe_governor(armed.now_ns, 'workspace')
    assert armed.gate.state is GateState.FAULT


def test_a_governor_that_lets_go_closes_the_gate_until_it_is_armed_anew(armed):
    """Chunks that were lost behind the gate must not move the arm when they come again."""
    armed.governor_idle = 'released: chunks stopped'
    assert armed.run(0.1) is GateState.DRY_RUN
    assert 'let go of the arm (released: chunks stopped); arm again' in armed.gate.reason
    armed.governor_idle = None
    assert armed.run(1.0) is GateState.DRY_RUN
    armed.gate.arm(armed.now_ns)
    assert armed.run(1.0) is GateState.ARMED


def test_a_governor_that_never_follows_closes_the_gate(bench):
    bench.governor_idle = 'no chunk yet'
    bench.run(0.5)
    bench.gate.arm(bench.now_ns)
    assert bench.run(2.5) is GateState.ARMED, 'it may take a moment to begin'
    assert bench.run(1.0) is GateState.DRY_RUN
    assert 'not followed for 3 s' in bench.gate.reason


def test_stale_chunks_do_not_pass_and_close_the_gate(armed):
    armed.policy = False
    for _ in range(12):
        armed.run(0.05)
        assert not armed.offer(armed.now_ns - 600 * MS)
    assert armed.gate.state is GateState.DRY_RUN
    assert armed.gate.counts['stale'] >= 10
    assert 'stale' in armed.gate.reason


@pytest.mark.parametrize(
    ('stamp_ns', 'cause'), [(0, 'zero_stamp'), (T0_NS + 10**12, 'future'), (1, 'stale')]
)
def test_bad_stamps_do_not_pass(armed, stamp_ns, cause):
    assert not armed.offer(stamp_ns)
    assert armed.gate.counts[cause] == 1 and armed.gate.refused == 1


def test_a_contract_may_ask_for_fresher_frames_but_not_for_older(armed):
    now = armed.now_ns
    assert not armed.offer(now - 300 * MS, max_age_s=0.2)
    assert not armed.offer(now - 600 * MS, max_age_s=9.0)
    assert armed.offer(now - 300 * MS, max_age_s=0.4)


def test_refusals_of_the_bridge_are_counted_and_told(armed):
    armed.policy = False
    for _ in range(12):
        armed.run(0.05)
        armed.gate.refuse(RefusedError('ik', 'row 3 is out of reach'), armed.now_ns)
    assert armed.gate.state is GateState.DRY_RUN
    assert 'row 3' in armed.gate.reason
    assert armed.gate.counts['ik'] == 12


def test_disarming_closes_but_does_not_hide_a_fault(armed):
    armed.gate.disarm('by request')
    assert armed.gate.state is GateState.DRY_RUN and armed.gate.reason == 'by request'
    armed.gate.arm(armed.now_ns)
    armed.gate.fault('bridge stopped')
    armed.gate.disarm('by request')
    assert armed.gate.state is GateState.FAULT and armed.gate.reason == 'bridge stopped'


def test_no_path_leads_to_armed_but_arm():
    rng = np.random.default_rng(0)
    for _ in range(50):
        bench = Bench()
        gate = bench.gate
        calls = [
            lambda b=bench: b.run(0.2),
            lambda g=gate: g.disarm('x'),
            lambda g=gate: g.fault('x'),
            lambda b=bench, g=gate: g.observe_robot(b.now_ns, None),
            lambda b=bench, g=gate: g.observe_governor(b.now_ns, None),
            lambda b=bench, g=gate: g.refuse(RefusedError('ik', 'x'), b.now_ns),
        ]
        for _ in range(30):
            calls[rng.integers(len(calls))]()
            assert gate.state is not GateState.ARMED


def test_a_gate_without_a_governor_may_be_configured(bench):
    bench.gate = Gate(GateConfig(needs_governor=False))
    bench.governor = False
    bench.arm()


def test_times_must_be_positive():
    with pytest.raises(ConfigError, match='chunk_timeout_s'):
        GateConfig(chunk_timeout_s=0.0)


class TestMonitors:
    def test_stream_report_is_as_documented(self):
        monitor = StreamMonitor()
        for t in (0, 100, 500):
            monitor.note(T0_NS + t * MS, T0_NS + t * MS + 20 * MS)
        report = monitor.report(T0_NS + 520 * MS)
        assert report.rate_hz == pytest.approx(4.0)
        assert report.longest_gap_s == pytest.approx(0.4)
        assert report.age_p99_s == pytest.approx(0.02)
        assert monitor.report(T0_NS + 1520 * MS).longest_gap_s == pytest.approx(1.0)

    def test_a_stream_that_never_came_has_no_end_of_a_gap(self):
        assert StreamMonitor().report(T0_NS).longest_gap_s == float('inf')

    def test_out_of_order_messages_are_counted(self):
        monitor = StreamMonitor()
        for t in (0, 100, 50):
            monitor.note(T0_NS + t * MS, T0_NS + t * MS)
        assert monitor.report(T0_NS).out_of_order == 1

    def test_tracking_report_names_the_worst_joint(self):
        monitor = TrackingMonitor()
        assert monitor.report() is None
        monitor.note(np.zeros(7), np.array([0, 0, 0, 0.3, 0, 0, 0]))
        monitor.note(np.zeros(7), np.zeros(7))
        report = monitor.report()
        assert report.worst_joint == 3 and report.worst_rad == pytest.approx(0.3)
        assert report.rms_rad == pytest.approx(0.3 / np.sqrt(14))
