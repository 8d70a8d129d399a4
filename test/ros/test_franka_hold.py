"""What an arm at rest is told to keep, where the controller manager says who holds it."""

import pytest

pytest.importorskip('controller_manager_msgs.srv', reason='controller_manager_msgs is not here')
pytest.importorskip('franka_msgs.msg', reason='franka_msgs is not here: build it beside ROS')

import time

from fake_arm import IDLE, MOVE
from franka_arm import CONTROLLER, FrankaArm
from graph_watch import wait_for
from node_process import is_silent, recover, trigger
import numpy as np

pytestmark = [pytest.mark.processes]
PARAMETERS = {
    'robot_state_type': 'franka_msgs/FrankaRobotState',
    'controllers': [CONTROLLER],
    'controller_manager': 'controller_manager',
    'output': {'keep_alive': True},
}
LOAD_RAD = np.array([0.0, 0.03, 0.0, -0.04, 0.0, 0.03, 0.0])
"""What 1 kg in the hand does to an arm under gello's gains, about."""


@pytest.fixture
def arm(connection, governor):
    """Return an arm under its active controller, which is sent what it keeps."""
    made = FrankaArm(connection)
    try:
        wait_for(lambda: recover(connection).success, 'a recovery')
        made.targets.clear()
        wait_for(lambda: len(made.targets) > 10 and made.state == 'idle', 'targets')
        yield made
        assert governor.is_running, governor.log_path.read_text()
    finally:
        made.close()


def test_an_arm_that_hangs_below_its_target_does_not_creep(arm):
    """A target that gave way to it again and again would let it sink without end."""
    kept = arm.targets[-1][1]
    arm.sag = LOAD_RAD
    time.sleep(2.0)
    np.testing.assert_array_equal(arm.targets[-1][1], kept)
    np.testing.assert_allclose(arm.q, kept + LOAD_RAD)


def test_the_next_motion_starts_at_what_the_controller_holds_and_not_where_the_arm_hangs(arm):
    arm.sag = LOAD_RAD
    time.sleep(0.5)
    held = arm.targets[-1][1]
    arm.targets.clear()
    arm.sends_chunks = True
    wait_for(lambda: arm.state == 'tracking' and len(arm.targets) > 30, 'motion')
    arm.sends_chunks = False
    targets = np.array([held, *(q for _, q in arm.targets)])
    assert np.abs(np.diff(targets, axis=0)).max() < 0.02, 'its controller saw a step'
    wait_for(lambda: arm.state == 'idle', 'the governor to let go')


def test_a_robot_that_is_read_no_more_is_sent_nothing_until_the_recovery(connection, arm):
    """An error in motion is reported by nobody, and what the arm was to keep is old."""
    arm.stands_still = True
    wait_for(lambda: 'stand still' in arm.reason, 'the governor to notice', 5.0)
    assert is_silent(arm)
    arm.stands_still = False
    assert is_silent(arm), 'nobody has confirmed a recovery'
    assert recover(connection).success
    assert not is_silent(arm)


def test_an_arm_that_was_gone_keeps_where_it_is_found(connection, arm):
    """Who switches its driver and controller on again must not have it pulled back."""
    arm.is_measured, arm.is_mute, arm.follows = False, True, False
    wait_for(lambda: 'reports nothing' in arm.reason, 'the governor to notice', 5.0)
    wait_for(lambda: is_silent(arm), 'the targets to end')
    arm.q = arm.q - 0.2
    arm.targets.clear()
    arm.is_measured, arm.is_mute = True, False
    wait_for(lambda: len(arm.targets) > 10, 'targets')
    for _, target in arm.targets:
        np.testing.assert_allclose(target, arm.q, atol=1e-9)
    wait_for(lambda: trigger(connection, 'reset').success, 'a reset')


def test_an_arm_that_another_controller_moves_is_gone_along_with(arm):
    """The rig's own one would start from these targets when it is activated again."""
    arm.has_controller = arm.follows = False
    arm.mode, moved = MOVE, arm.q - 0.2
    _moves_along(arm, moved)


def test_without_a_controller_it_is_gone_along_with_closely(arm):
    arm.has_controller = arm.follows = False
    arm.mode = IDLE
    _moves_along(arm, arm.q - 0.01)


def _moves_along(arm, moved):
    arm.q = moved
    wait_for(lambda: np.allclose(arm.targets[-1][1], moved), 'targets to go along', 3.0)
