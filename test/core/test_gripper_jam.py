"""A hand that does not open stops the arm; one that can't close holds something."""

from control_fakes import Driver, make_chunk, T0_NS
import numpy as np
import pytest
from roboadapt_ros.control.gripper import GripperLimitConfig, JamWatch
from roboadapt_ros.control.kinematics import Q_HOME
from roboadapt_ros.errors import RefusedError

S = 1_000_000_000


def _first_trouble(widths_m, goal_m):
    """Return when, in tenths of a second, a jam is noticed, or None."""
    watch = JamWatch(GripperLimitConfig())
    for tenth, width_m in enumerate(widths_m):
        if watch.observe(goal_m, width_m, T0_NS + tenth * S // 10) is not None:
            return tenth
    return None


def test_fingers_that_stay_closed_are_a_jam_after_its_time():
    assert _first_trouble([0.02] * 50, goal_m=0.08) == 30


def test_fingers_held_apart_by_what_they_grasp_are_none():
    assert _first_trouble([0.04] * 100, goal_m=0.0) is None


def test_slow_fingers_are_none():
    assert _first_trouble(0.02 + 0.0005 * np.arange(120), goal_m=0.08) is None


def test_fingers_a_little_short_of_open_are_none():
    assert _first_trouble([0.072] * 100, goal_m=0.08) is None


def test_a_jam_is_named_with_its_widths():
    watch = JamWatch(GripperLimitConfig(jam_s=1.0))
    watch.observe(0.08, 0.02, T0_NS)
    assert 'do not open: 0.020 m for 1 s, 0.080 m wanted' in watch.observe(0.08, 0.02, T0_NS + S)


def test_a_jam_stops_the_governor_until_it_is_reset():
    driver = Driver()
    opened = np.tile(Q_HOME, (8, 1))
    driver.governor.observe(driver.q, driver.dq, 0.02, driver.now_ns)
    driver.measuring = False
    for _ in range(40):
        driver.governor.observe(driver.q, driver.dq, 0.02, driver.now_ns)
        chunk = make_chunk(opened, driver.now_ns, width_m=0.08)
        if driver.governor.state.value == 'fault':
            break
        driver.governor.accept(chunk, driver.now_ns)
        driver.tick(10)
    assert driver.governor.state.value == 'fault'
    assert driver.governor.counts['gripper_jam'] == 1
    with pytest.raises(RefusedError, match='do not open'):
        driver.governor.accept(chunk, driver.now_ns)
    driver.governor.reset()
    assert driver.governor.state.value == 'idle'
