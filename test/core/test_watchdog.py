"""Silence is told by the time since the last accepted chunk, and by nothing else."""

import pytest
from roboadapt_ros.control.watchdog import Silence, Watchdog, WatchdogConfig
from roboadapt_ros.errors import ConfigError

S = 1_000_000_000


def test_unfed_watchdog_says_release():
    assert Watchdog(WatchdogConfig()).silence(10 * S) is Silence.RELEASE


@pytest.mark.parametrize(
    ('quiet_s', 'silence'),
    [
        (0.0, Silence.NONE),
        (0.199, Silence.NONE),
        (0.2, Silence.HOLD),
        (0.499, Silence.HOLD),
        (0.5, Silence.RELEASE),
        (100.0, Silence.RELEASE),
    ],
)
def test_two_periods_hold_and_half_a_second_releases(quiet_s, silence):
    watchdog = Watchdog(WatchdogConfig())
    watchdog.feed(10 * S, period_s=0.1)
    assert watchdog.silence(10 * S + round(quiet_s * S)) is silence


def test_each_feed_counts_anew_with_its_own_period():
    watchdog = Watchdog(WatchdogConfig())
    watchdog.feed(10 * S, period_s=0.1)
    watchdog.feed(11 * S, period_s=0.05)
    assert watchdog.silence(11 * S + S // 20) is Silence.NONE
    assert watchdog.silence(11 * S + S // 10) is Silence.HOLD


def test_a_period_longer_than_the_release_time_does_not_delay_the_release():
    watchdog = Watchdog(WatchdogConfig())
    watchdog.feed(10 * S, period_s=60.0)
    assert watchdog.silence(10 * S + S // 2) is Silence.RELEASE


def test_reset_forgets():
    watchdog = Watchdog(WatchdogConfig())
    watchdog.feed(10 * S, period_s=0.1)
    watchdog.reset()
    assert watchdog.silence(10 * S) is Silence.RELEASE
    assert watchdog.quiet_s(10 * S) == float('inf')


def test_times_must_be_positive():
    with pytest.raises(ConfigError, match='watchdog'):
        WatchdogConfig(release_s=0.0)
