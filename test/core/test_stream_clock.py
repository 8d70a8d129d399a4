"""Another host's clock, and the even times of a stream that is sent unevenly."""

import numpy as np
import pytest
from roboadapt_ros.control.stream_clock import RemoteClock, StreamTimes

MS = 1_000_000
T0_NS = 1_700_000_000_000_000_000
PERIOD_S, LATE_MAX_S = 0.02, 0.04


def hear(clock, apart_ns, *, from_s=0.0, until_s=3.0, seed=0):
    """Let a clock hear a state every 10 ms, each 0.2 to 9 ms on the way; return the last time."""
    rng = np.random.default_rng(seed)
    for time_s in np.arange(from_s, until_s, 0.01):
        came_ns = T0_NS + round(time_s * 1e9)
        clock.observe(came_ns - round(rng.uniform(0.2, 9.0) * MS) + apart_ns, came_ns)
    return came_ns


class TestRemoteClock:
    @pytest.mark.parametrize('apart_s', [-3600.0, -0.05, 0.0, 0.05, 1e6])
    def test_it_is_known_but_for_the_shortest_way(self, apart_s):
        clock, apart_ns = RemoteClock(), round(apart_s * 1e9)
        now_ns = hear(clock, apart_ns)
        assert -0.5 * MS < clock.at(now_ns) - (now_ns + apart_ns) < 0.0

    def test_nothing_is_known_before_a_stamp(self):
        clock = RemoteClock()
        assert clock.at(T0_NS) is None
        clock.observe(0, T0_NS)
        assert clock.at(T0_NS) is None

    @pytest.mark.parametrize('step_ns', [-30 * MS, 30 * MS])
    def test_a_clock_that_was_set_is_followed_within_two_seconds(self, step_ns):
        clock = RemoteClock()
        hear(clock, 0)
        now_ns = hear(clock, step_ns, from_s=3.0, until_s=5.1)
        assert abs(clock.at(now_ns) - now_ns - step_ns) < 0.5 * MS

    def test_what_was_heard_before_a_silence_counts_for_nothing(self):
        clock = RemoteClock()
        hear(clock, 0)
        now_ns = hear(clock, -30 * MS, from_s=60.0, until_s=60.3)
        assert abs(clock.at(now_ns) - now_ns + 30 * MS) < 1 * MS

    def test_our_own_clock_may_be_set_back(self):
        clock = RemoteClock()
        hear(clock, 0, from_s=100.0, until_s=103.0)
        now_ns = hear(clock, 0, from_s=50.0, until_s=50.5)
        assert abs(clock.at(now_ns) - now_ns) < 1 * MS

    def test_it_never_jumps_while_states_come_evenly(self):
        """A change of it is a bend of the motion."""
        clock, found = RemoteClock(), []
        for piece in range(40):
            now_ns = hear(
                clock, 0, from_s=2.0 + 0.3 * piece, until_s=2.3 + 0.3 * piece, seed=piece
            )
            found.append(clock.at(now_ns) - now_ns)
        assert np.abs(np.diff(found[5:])).max() < 0.5 * MS


class TestStreamTimes:
    def test_uneven_messages_have_even_times(self):
        times, rng = StreamTimes(PERIOD_S, LATE_MAX_S), np.random.default_rng(0)
        sent = T0_NS + np.arange(500) * 20 * MS + rng.uniform(0, 15 * MS, 500).astype(int)
        found = np.diff([times.next(int(now_ns)) for now_ns in sent])
        assert np.abs(np.diff(sent) - 20 * MS).max() > 12 * MS
        assert np.abs(found - 20 * MS).max() < 0.4 * MS

    def test_ticks_that_were_left_out_are_made_up_slowly(self):
        times = StreamTimes(PERIOD_S, LATE_MAX_S)
        times.next(T0_NS)
        late_ns = 30 * MS
        behind = [
            T0_NS + late_ns + number * 20 * MS - times.next(T0_NS + late_ns + number * 20 * MS)
            for number in range(1, 200)
        ]
        assert behind[0] == pytest.approx(late_ns, rel=0.03)
        assert max(-np.diff(behind)) < 0.04 * 20 * MS, 'never faster by more than that'
        assert behind[-1] < 0.02 * late_ns

    @pytest.mark.parametrize('pause_ns', [65 * MS, 10**9, -(10**9)])
    def test_a_silence_or_a_clock_that_was_set_begins_a_stream(self, pause_ns):
        times = StreamTimes(PERIOD_S, LATE_MAX_S)
        times.next(T0_NS)
        assert times.next(T0_NS + pause_ns) == T0_NS + pause_ns

    def test_the_example_of_the_docstring(self):
        times = StreamTimes(PERIOD_S, LATE_MAX_S)
        sent = [T0_NS, T0_NS + 35 * MS, T0_NS + 41 * MS, T0_NS + 200 * MS]
        found = [(times.next(now_ns) - T0_NS) / MS for now_ns in sent]
        np.testing.assert_allclose(found, [0.0, 20.3, 40.3, 200.0], atol=0.05)
