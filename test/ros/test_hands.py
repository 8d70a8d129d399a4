"""Hands behind actions: with the real franka_msgs and control_msgs where they are installed.

The decisions are tested in `core/test_hand.py`. Here goals reach servers that behave as
franka_gripper does: every goal is accepted, none gives way to the next, stop ends the one that
is going on, and a grasp that is repeated while the hand holds hangs.
"""

import contextlib
import importlib.util
import math
import sys
import threading
import time
from types import SimpleNamespace

from fake_gripper import FakeGripper, OPEN_M
import pytest
from rclpy.executors import (
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from roboadapt_ros.control.gripper import GripperLimitConfig, GripperLimiter
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.ros.hands import actions, port
from roboadapt_ros.ros.hands.actions import CommandHand, FrankaHand
from roboadapt_ros.ros.hands.port import TopicHand
from roboadapt_ros.ros.hands.settings import CONVENTIONS, GripperConfig
from std_srvs.srv import Trigger

CLOSED_M = 0.0
needs_franka = pytest.mark.skipif(
    importlib.util.find_spec('franka_msgs') is None, reason='franka_msgs is not installed'
)
needs_control = pytest.mark.skipif(
    importlib.util.find_spec('control_msgs') is None, reason='control_msgs is not installed'
)


@pytest.fixture
def rig(make_node):
    """Return what makes a hand and its server."""
    rig = Rig(make_node('governor'), make_node('gripper'))
    yield rig
    rig.close()


class Rig:
    """Makes a hand and its server, and takes both away when no thread uses them any more.

    The hand's node is turned by the test, between its ticks, as the governor's one thread does:
    rclpy's clients of actions must not be made while another thread waits on their node.
    """

    def __init__(self, hand_node, gripper_node):
        self._nodes, self._made = (hand_node, gripper_node), []
        self._own = SingleThreadedExecutor(context=hand_node.context)
        self._own.add_node(hand_node)
        self._servers = MultiThreadedExecutor(4, context=gripper_node.context)
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self):
        with contextlib.suppress(ExternalShutdownException):
            self._servers.spin()

    def gripper(self, kind=None):
        """Return a gripper that serves 'franka' actions, a 'command', or its stop alone."""
        made = FakeGripper(self._nodes[1])
        if kind is not None:
            getattr(made, f'serve_{kind}')()
        self._made.append(made.close)
        self._servers.add_node(self._nodes[1])
        self._thread.start()
        return made

    def hand(self, kind, **settings):
        made = kind(self._nodes[0], GripperConfig(**settings), OPEN_M)
        made.begin()
        self._made.append(made.end)
        return made

    def want(self, hand, width_m, until, timeout_s=15.0):
        """Want a width, 100 times a second, until something holds; return whether it did."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if width_m is None:
                hand.quiet()
            else:
                hand.tell(width_m, width_m, 0)
            if until():
                return True
            next_s = time.monotonic() + 0.01
            while (left_s := next_s - time.monotonic()) > 0.0:
                self._own.spin_once(timeout_sec=left_s)
        return False

    def close(self):
        self._servers.shutdown()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._own.shutdown()
        for close in self._made:
            close()


@needs_franka
def test_a_franka_hand_opens_grasps_and_opens_again(rig):
    gripper = rig.gripper('franka')
    gripper.object_m = 0.03
    hand = rig.hand(FrankaHand, driver='franka_actions')
    assert rig.want(hand, OPEN_M, lambda: gripper.done == [('move', OPEN_M)])
    assert rig.want(hand, CLOSED_M, lambda: gripper.done[-1] == ('grasp', CLOSED_M))
    assert gripper.width_m == pytest.approx(0.03), 'it holds the object'
    before = gripper.stops
    rig.want(hand, CLOSED_M, lambda: False, 1.5)
    assert (len(gripper.done), gripper.stops) == (2, before), 'a grasp is not repeated'
    assert rig.want(hand, OPEN_M, lambda: gripper.done[-1] == ('move', OPEN_M))
    assert gripper.stops == before + 1, 'stop comes before reopening'
    assert rig.want(hand, OPEN_M, lambda: not hand.problem)
    assert gripper.together == 1
    assert hand.counts['hand_move'] == 2


@needs_franka
def test_a_change_of_mind_stops_the_grasp_that_is_going_on(rig):
    gripper = rig.gripper('franka')
    hand = rig.hand(FrankaHand, driver='franka_actions', dwell_s=0.2)
    assert rig.want(hand, OPEN_M, lambda: gripper.done)
    gripper.is_stuck = True
    rig.want(hand, CLOSED_M, lambda: False, 0.5)
    gripper.is_stuck = False
    assert rig.want(hand, OPEN_M, lambda: len(gripper.done) > 1)
    assert ('grasp', CLOSED_M) not in gripper.done or gripper.done[-1] == ('move', OPEN_M)
    assert gripper.together == 1


@needs_franka
def test_a_hand_that_is_stuck_is_stopped_and_reported(rig):
    gripper = rig.gripper('franka')
    gripper.is_stuck = True
    hand = rig.hand(FrankaHand, driver='franka_actions', timeout_s=0.5, attempts=2, dwell_s=0.1)
    assert rig.want(hand, OPEN_M, lambda: hand.counts.get('hand_given_up') == 1)
    assert 'no result of move within' in hand.problem
    assert gripper.stops == 3, 'one at the start, and one for each attempt'


@needs_franka
def test_a_hand_is_homed_on_request_only(rig):
    gripper = rig.gripper('franka')
    hand = rig.hand(FrankaHand, driver='franka_actions')
    hand.home()
    assert rig.want(hand, None, lambda: gripper.done == [('homing', OPEN_M)])


@needs_franka
def test_halting_stops_the_hand(rig):
    gripper = rig.gripper('franka')
    hand = rig.hand(FrankaHand, driver='franka_actions')
    assert rig.want(hand, OPEN_M, lambda: gripper.done)
    gripper.is_stuck = True
    before = gripper.stops
    rig.want(hand, CLOSED_M, lambda: False, 0.3)
    hand.halt()
    assert rig.want(hand, None, lambda: gripper.stops > before)


@needs_franka
def test_a_hand_that_comes_up_late_is_found(rig):
    hand = rig.hand(FrankaHand, driver='franka_actions')
    assert rig.want(hand, OPEN_M, lambda: 'franka_gripper/stop is not there' in hand.problem)
    gripper = rig.gripper('franka')
    assert rig.want(hand, OPEN_M, lambda: gripper.done)
    assert rig.want(hand, OPEN_M, lambda: not hand.problem)


@needs_control
@pytest.mark.parametrize('stop_service', ['', 'franka_gripper/stop'])
def test_a_gripper_command_is_the_position_of_one_finger(rig, stop_service):
    gripper = rig.gripper('command')
    gripper.object_m = 0.02
    hand = rig.hand(
        CommandHand, driver='gripper_command', convention='finger_m', stop_service=stop_service
    )
    assert rig.want(hand, OPEN_M, lambda: gripper.done == [('move', OPEN_M)])
    assert rig.want(hand, CLOSED_M, lambda: gripper.done[-1] == ('grasp', CLOSED_M))
    assert rig.want(hand, OPEN_M, lambda: gripper.done[-1] == ('move', OPEN_M))
    assert gripper.together == 1


@needs_control
def test_without_a_stop_service_the_goal_is_cancelled(rig):
    gripper = rig.gripper('command')
    hand = rig.hand(CommandHand, driver='gripper_command', convention='finger_m', dwell_s=0.2)
    assert rig.want(hand, OPEN_M, lambda: gripper.done)
    gripper.is_stuck = True
    rig.want(hand, CLOSED_M, lambda: False, 0.5)
    hand.tell(OPEN_M, OPEN_M, 0)
    rig.want(hand, OPEN_M, lambda: False, 0.2)
    gripper.is_stuck = False
    assert rig.want(hand, OPEN_M, lambda: not hand.problem and gripper.width_m > 0.079)
    assert gripper.stops == 0
    assert gripper.together == 1


# ---- without the types ----


class Kind:
    """Stands for an action type: goals are namespaces."""

    @staticmethod
    def Goal(**values):  # noqa: N802
        nested = {'epsilon': SimpleNamespace(), 'command': SimpleNamespace()}
        return SimpleNamespace(**nested, **values)


class FakeClients:
    """Servers that accept every goal and say at once that it succeeded."""

    def __init__(self, _):
        self.goals = []

    def action(self, _, name):
        return SimpleNamespace(
            server_is_ready=lambda: True,
            send_goal_async=lambda goal: self._take(name, goal),
        )

    def service(self, _, name):
        answer = Trigger.Response(success=True)
        return SimpleNamespace(
            service_is_ready=lambda: True,
            srv_name=name,
            call_async=lambda request: self._take(name, request, answer),
        )

    def _take(self, name, goal, answer=None):
        self.goals.append((name, goal))
        ended = _future(SimpleNamespace(status=4))
        handle = SimpleNamespace(accepted=True, get_result_async=lambda: ended)
        return _future(handle if answer is None else answer)

    def destroy(self):
        pass


def _future(value):
    return SimpleNamespace(done=lambda: True, result=lambda: value)


@pytest.fixture
def typeless(monkeypatch):
    monkeypatch.setattr(actions, 'interface_class', lambda name: Kind)
    monkeypatch.setattr(actions, 'Clients', FakeClients)
    monkeypatch.setattr(actions, 'SETTLE_S', 0.0)


def goals(hand, *widths_m, measured_m=math.nan):
    """Return what was sent while widths were wanted one after the other, for 20 ms each."""
    hand.begin()
    hand.observe(measured_m)
    for width_m in widths_m:
        for _ in range(4):
            hand.tell(width_m, width_m, 0)
            time.sleep(0.005)
    return [(name.rpartition('/')[2], goal) for name, goal in hand.clients.goals]


def test_goals_of_a_franka_hand_carry_speed_force_and_wide_tolerances(typeless):
    config = GripperConfig(driver='franka_actions', node='fr3_gripper', force_n=30.0, dwell_s=0.0)
    hand = FrankaHand(None, config, OPEN_M)
    sent = goals(hand, OPEN_M, CLOSED_M, OPEN_M)
    assert [name for name, _ in sent] == ['stop', 'move', 'grasp', 'stop', 'move']
    assert all(name.startswith('fr3_gripper/') for name, _ in hand.clients.goals)
    move, grasp = sent[1][1], sent[2][1]
    assert (move.width, move.speed) == (OPEN_M, 0.1)
    assert (grasp.width, grasp.speed, grasp.force) == (CLOSED_M, 0.1, 30.0)
    assert (grasp.epsilon.inner, grasp.epsilon.outer) == (0.08, 0.08)


def test_goals_of_a_gripper_command_follow_its_convention(typeless):
    config = GripperConfig(driver='gripper_command', open_width_m=0.078, dwell_s=0.0)
    sent = goals(CommandHand(None, config, OPEN_M), OPEN_M, CLOSED_M)
    assert [round(goal.command.position, 6) for _, goal in sent] == [0.039, 0.0]
    assert sent[1][1].command.max_effort == 20.0
    config = GripperConfig(driver='gripper_command', convention='width_m', dwell_s=0.0)
    sent = goals(CommandHand(None, config, OPEN_M), OPEN_M)
    assert [goal.command.position for _, goal in sent[:1]] == [OPEN_M]


@pytest.mark.parametrize(
    ('measured_m', 'is_told'), [(0.0799, False), (0.078, False), (0.0771, True), (0.03, True)]
)
def test_a_hand_that_is_open_is_not_told_to_open(typeless, measured_m, is_told):
    """A position below its fingers' is a grasp to franka_gripper: it would close."""
    config = GripperConfig(driver='gripper_command', open_width_m=0.078, dwell_s=0.0)
    hand = CommandHand(None, config, OPEN_M)
    sent = goals(hand, OPEN_M, CLOSED_M, measured_m=measured_m)
    assert [round(goal.command.position, 6) for _, goal in sent] == [0.039] * is_told + [0.0]
    assert not hand.problem


def test_a_gripper_command_can_not_be_homed(typeless):
    hand = CommandHand(None, GripperConfig(driver='gripper_command'), OPEN_M)
    with pytest.raises(RefusedError, match='use driver franka_actions'):
        hand.home()


def test_a_type_that_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'franka_msgs.action', None)
    with pytest.raises(ConfigError, match=r'franka_msgs/action/Move.*ros-\$ROS_DISTRO-franka'):
        FrankaHand(None, GripperConfig(driver='franka_actions'), OPEN_M)


# ---- a topic ----


class BusyClient:
    """gello_software's gripper client: one Move of what it hears first, 0.1 s and 0.2 m/s each."""

    def __init__(self):
        self.width_m, self.moves, self.now_s = OPEN_M, [], 0.0
        self._last, self._until_s = None, 0.0

    def publisher(self, *_):
        return self

    def publish(self, message):
        if self.now_s < self._until_s or message.data == self._last:
            return
        self._last, width_m = message.data, message.data * OPEN_M
        self._until_s = self.now_s + 0.1 + abs(width_m - self.width_m) / 0.2
        self.width_m = width_m
        self.moves.append((self.now_s, round(width_m, 4), self._until_s))


def told(wishes_m, **settings):
    """Return the Moves [s, m, s] of a client while widths are wanted, a hundred a second."""
    client = BusyClient()
    config = GripperConfig(command_type='std_msgs/Float32', convention='one_open', **settings)
    hand, limiter = TopicHand(client, config, OPEN_M), GripperLimiter(GripperLimitConfig(), OPEN_M)
    limiter.reset(OPEN_M)
    for tick, wish_m in enumerate(wishes_m):
        client.now_s = tick / 100
        limiter.aim(wish_m, tick * 10_000_000)
        hand.tell(limiter.goal_m, limiter.step(0.01), tick * 10_000_000)
    return [move for move in client.moves if move[1] != OPEN_M or move[0] > 0.0]


def test_a_hand_that_drops_what_comes_while_it_moves_is_told_the_end_at_once():
    close = [OPEN_M] * 20 + [CLOSED_M] * 300
    ((began_s, width_m, ended_s),) = told(close, goal_at_once=True)
    assert (began_s, width_m) == (0.2, CLOSED_M)
    assert ended_s == pytest.approx(0.7), 'as long as the motion takes'
    on_the_way = told(close)
    assert len(on_the_way) > 2
    assert on_the_way[-1][1:] == (CLOSED_M, pytest.approx(1.3, abs=0.5))
    assert on_the_way[-1][2] > ended_s


def _topic_hand(rig, **settings):
    node = rig._nodes[0]
    node.publisher = node.create_publisher
    return rig.hand(TopicHand, command_type='std_msgs/Float32', **settings)


def test_a_hand_on_a_topic_is_stopped_by_its_service(rig):
    gripper = rig.gripper()
    hand = _topic_hand(rig, stop_service='franka_gripper/stop')
    hand.halt()
    assert rig.want(hand, None, lambda: gripper.stops == 1 and hand._stop is None)
    assert hand.problem == ''


def test_a_hand_on_a_topic_that_could_not_be_stopped_is_a_problem(rig, monkeypatch):
    monkeypatch.setattr(port, 'STOP_TIMEOUT_S', 0.3)
    hand = _topic_hand(rig, stop_service='franka_gripper/stop')
    hand.halt()
    assert rig.want(hand, None, lambda: hand.problem)
    assert hand.problem == 'not stopped: service franka_gripper/stop is not there'
    hand.tell(OPEN_M, OPEN_M, 0)
    assert hand.problem == '', 'it is told something new'


def test_a_change_of_mind_is_heard_when_the_motion_has_ended():
    moves = told([OPEN_M] * 20 + [CLOSED_M] * 35 + [OPEN_M] * 300, goal_at_once=True)
    assert [width_m for _, width_m, _ in moves] == [CLOSED_M, OPEN_M]
    assert moves[1][0] < moves[0][2] + 0.21


def test_noise_and_quick_reversals_move_no_hand_that_is_told_the_end():
    noise = [OPEN_M - 0.0045 * (tick % 2) for tick in range(300)]
    assert told(noise, goal_at_once=True) == []
    chatter = [CLOSED_M if tick // 5 % 2 else OPEN_M for tick in range(100)]
    goals = [width_m for _, width_m, _ in told(chatter, goal_at_once=True)]
    assert len(goals) <= 2, 'reversals are 0.3 s apart'


# ---- settings ----


def test_a_number_means_what_franka_gripper_takes_where_nothing_is_said():
    meant = {driver: GripperConfig(driver=driver).meaning.value for driver in CONVENTIONS}
    assert meant == {
        'topic': 'width_m', 'franka_actions': 'width_m', 'gripper_command': 'finger_m'
    }  # fmt: skip
    own = GripperConfig(driver='gripper_command', convention='width_m')
    assert own.meaning.value == 'width_m'


def test_an_option_of_another_driver_is_refused_with_its_own():
    with pytest.raises(ConfigError, match=r'gripper\.force_n.*franka_actions, gripper_command'):
        GripperConfig(driver='topic', force_n=10.0)


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match=r'close_below_m.*below open_above_m'):
        GripperConfig(driver='franka_actions', close_below_m=0.06)
