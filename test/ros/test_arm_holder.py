"""Who holds an arm at rest: asked for where it matters, and never waited for."""

import pytest
from roboadapt_ros.control.recovery import Outcome
from roboadapt_ros.control.robot_status import RobotMode
from roboadapt_ros.nodes.arm_holder import ArmHolder, ASK_NS, Hold, PATIENCE_NS

T0 = 1_700_000_000_000_000_000
TICK = 10_000_000


class Look:
    """A look at the controllers, answered as told; None = never."""

    def __init__(self, outcome=None):
        self.outcome, self.asked, self.is_cancelled = outcome, 0, False

    def __call__(self):
        self.asked += 1
        return self

    def poll(self, now_ns):
        return self.outcome

    def cancel(self):
        self.is_cancelled = True
        return ''


def settle(holder, ticks, *, mode=RobotMode.MOVE, is_off=True, start=T0):
    for tick in range(ticks):
        found = holder.find(start + tick * TICK, mode, is_off=is_off)
    return found


def test_an_arm_that_is_where_it_should_be_is_asked_nothing():
    look = Look(Outcome(False))
    assert settle(ArmHolder(look), 500, is_off=False) is Hold.CONTROLLER
    assert look.asked == 0


def test_an_arm_under_its_own_controller_is_held_and_asked_after_now_and_then():
    look = Look(Outcome(True))
    assert settle(ArmHolder(look), 201) is Hold.CONTROLLER
    assert look.asked == 2 * 10**9 // ASK_NS + 1


def test_until_the_answer_is_there_the_target_stays():
    look = Look()
    holder = ArmHolder(look)
    assert settle(holder, 3) is Hold.CONTROLLER
    look.outcome = Outcome(False, 'not active')
    assert settle(holder, 1, start=T0 + 3 * TICK) is Hold.UNKNOWN


def test_an_answer_that_does_not_come_is_given_up_and_lets_no_load_sink():
    look = Look()
    assert settle(ArmHolder(look), PATIENCE_NS // TICK + 3) is Hold.CONTROLLER
    assert look.is_cancelled


def test_an_idle_robot_is_held_by_nobody_and_nothing_is_remembered():
    look = Look(Outcome(False))
    holder = ArmHolder(look)
    settle(holder, 3)
    assert holder.find(T0, RobotMode.IDLE, is_off=True) is Hold.NOBODY
    assert holder.find(T0, RobotMode.MOVE, is_off=False) is Hold.CONTROLLER


@pytest.mark.parametrize('mode', [RobotMode.MOVE, None])
def test_without_a_controller_manager_nobody_knows(mode):
    assert settle(ArmHolder(lambda: None), 3, mode=mode) is Hold.UNKNOWN
