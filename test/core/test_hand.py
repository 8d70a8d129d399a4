"""What a hand with actions is told: one order at a time, none repeated, stop first."""

from itertools import pairwise
import math
import random

import pytest
from roboadapt_ros.errors import ConfigError, RefusedError
from roboadapt_ros.sim2real.hand import Hand
from roboadapt_ros.sim2real.hand_order import Act, HandConfig, HandMode, Outcome

OPEN_M, CLOSED_M = 0.08, 0.0


class Driven:
    """A hand in front of a clock: `at` moves it on, `orders` is what came."""

    def __init__(self, **settings):
        self.hand = Hand(HandConfig(**settings), OPEN_M)
        self.orders = []
        self.now_s = 10.0

    def want(self, width_m, for_s=0.0):
        """Want a width for a time, in ticks of 10 ms; return the acts ordered meanwhile."""
        before = len(self.orders)
        for _ in range(round(for_s * 100) + 1):
            order = self.hand.next(width_m, round(self.now_s * 1e9))
            if order is not None:
                self.orders.append(order)
            self.now_s += 0.01
        return [order.act for order in self.orders[before:]]

    def answer(self, outcome=Outcome.DONE, order=None):
        order = order or self.orders[-1]
        self.hand.answer(order.number, outcome, 'said so', round(self.now_s * 1e9))

    def brought_to(self, width_m):
        """Want a width and answer everything well until nothing more is ordered."""
        for _ in range(5):
            self.want(width_m, 1.0)
            if not self.hand.is_busy:
                return self
            self.answer()
        raise AssertionError('the hand never comes to rest')


def test_a_hand_in_an_unknown_state_is_stopped_before_it_is_told_anything():
    driven = Driven()
    assert driven.want(OPEN_M, 0.5) == [Act.STOP], 'nothing leaves before the stop is answered'
    driven.answer()
    assert driven.want(OPEN_M) == [Act.MOVE]
    assert driven.orders[-1].width_m == OPEN_M


def test_what_is_done_is_not_ordered_again():
    driven = Driven().brought_to(CLOSED_M)
    assert [order.act for order in driven.orders] == [Act.STOP, Act.GRASP]
    assert driven.want(CLOSED_M, 20.0) == [], 'a repeated grasp can hang the hand'


def test_a_grasp_is_stopped_before_the_hand_opens_again():
    driven = Driven().brought_to(CLOSED_M)
    assert driven.want(OPEN_M, 0.1) == [Act.STOP]
    driven.answer()
    assert driven.want(OPEN_M, 0.1) == [Act.MOVE]


def test_an_open_hand_closes_without_a_stop():
    driven = Driven().brought_to(OPEN_M)
    assert driven.want(CLOSED_M, 0.1) == [Act.GRASP]


@pytest.mark.parametrize(('goes_between', 'for_s'), [(False, 5.0), (True, 0.4)])
def test_on_the_way_between_the_thresholds_nothing_changes(goes_between, for_s):
    driven = Driven(goes_between=goes_between).brought_to(OPEN_M)
    assert driven.want(0.035, for_s) == []
    assert driven.want(0.019, 0.0) == [Act.GRASP]
    driven.answer()
    assert driven.want(0.045, for_s) == []
    assert driven.want(0.051, 0.3) == [Act.STOP]


def test_a_width_between_that_stays_is_gone_to_once():
    driven = Driven(dwell_s=0.5).brought_to(OPEN_M)
    assert driven.want(0.03, 0.45) == []
    assert driven.want(0.031, 0.1) == [Act.MOVE]
    assert driven.orders[-1].width_m == 0.03
    driven.answer()
    assert driven.want(0.032, 5.0) == [], 'what changes little is no other width'
    driven.want(None)
    assert driven.want(0.03, 5.0) == [], 'nor is a pause'
    assert driven.want(OPEN_M) == [Act.MOVE]


def test_a_width_between_that_moves_on_is_not_gone_to():
    driven = Driven(dwell_s=0.5).brought_to(OPEN_M)
    for step in range(28):
        assert driven.want(0.049 - 0.001 * step, 0.04) == []


def test_at_first_a_width_between_the_thresholds_is_no_reason_to_move():
    assert Driven().want(0.04, 0.45) == []
    driven = Driven(goes_between=False)
    assert driven.want(0.04, 5.0) == []
    assert '0.040 m' in driven.hand.remark and 'opens or grasps only' in driven.hand.remark
    driven.want(OPEN_M)
    assert driven.hand.remark == ''


@pytest.mark.parametrize(
    ('told_m', 'measured_m', 'told_anew'),
    [
        (OPEN_M, 0.0795, []),
        (OPEN_M, 0.03, [Act.MOVE]),
        (CLOSED_M, 0.05, []),
        (CLOSED_M, 0.0795, [Act.STOP]),
    ],
)
def test_a_hand_that_was_moved_while_nothing_was_wanted_is_told_anew(
    told_m, measured_m, told_anew
):
    """By a person; a grasp holds what it holds, but no hand that is wide open."""
    driven = Driven().brought_to(told_m)
    driven.hand.measured_m = measured_m
    assert driven.want(told_m, 1.0) == [], 'in motion it may be on its way'
    driven.want(None)
    assert driven.want(told_m, 1.0) == told_anew


def test_one_order_is_in_flight_and_the_other_wish_waits_for_stop_and_result():
    driven = Driven(dwell_s=0.5).brought_to(OPEN_M)
    driven.want(CLOSED_M, 0.2)
    grasp = driven.orders[-1]
    assert driven.want(OPEN_M, 0.2) == [], 'within the dwell'
    assert driven.want(OPEN_M, 0.2) == [Act.STOP]
    driven.answer()
    assert driven.want(OPEN_M, 0.2) == [], 'the grasp has not said that it has ended'
    driven.answer(Outcome.FAILED, grasp)
    assert driven.want(OPEN_M, 0.0) == [Act.MOVE], 'and no second stop'


def test_a_wish_that_comes_back_within_the_dwell_interrupts_nothing():
    driven = Driven(dwell_s=0.5).brought_to(OPEN_M)
    assert driven.want(CLOSED_M, 0.2) == [Act.GRASP]
    assert driven.want(OPEN_M, 0.1) == []
    assert driven.want(CLOSED_M, 2.0) == []


def test_orders_are_at_least_the_dwell_apart_whatever_is_wanted():
    driven = Driven(dwell_s=0.5).brought_to(OPEN_M)
    moved_s = []
    for tick in range(1000):
        for act in driven.want(CLOSED_M if tick % 2 else OPEN_M):
            driven.answer()
            if act is not Act.STOP:
                moved_s.append(driven.now_s)
    gaps = [later - sooner for sooner, later in pairwise(moved_s)]
    assert len(gaps) > 10
    assert min(gaps) >= 0.5


def test_a_result_that_never_comes_after_a_stop_is_given_up_after_a_second():
    driven = Driven().brought_to(OPEN_M)
    driven.want(CLOSED_M, 0.0)
    driven.want(OPEN_M, 1.0)
    driven.answer()
    assert driven.want(OPEN_M, 0.9) == []
    assert driven.want(OPEN_M, 0.2) == [Act.MOVE]
    assert driven.hand.counts['lost_results'] == 1


def test_an_order_without_a_result_is_stopped_tried_once_more_and_given_up():
    driven = Driven(timeout_s=2.0, attempts=2).brought_to(OPEN_M)
    acts = []
    for _ in range(8):
        acts += driven.want(CLOSED_M, 2.5)
        if acts[-1] is Act.STOP and driven.orders[-1].act is Act.STOP and driven.hand.is_busy:
            driven.answer()
    assert acts == [Act.GRASP, Act.STOP, Act.GRASP, Act.STOP]
    assert driven.hand.counts['given_up'] == 1
    assert 'no result of grasp within 2.0 s' in driven.hand.problem


def test_what_was_given_up_is_tried_again_when_motion_begins_anew():
    driven = Driven(attempts=1).brought_to(CLOSED_M)
    driven.want(OPEN_M, 0.1)
    driven.answer()
    assert driven.want(OPEN_M, 0.1) == [Act.MOVE]
    driven.answer(Outcome.FAILED)
    assert driven.want(OPEN_M, 3.0) == []
    assert 'move to 0.080 m failed: said so' in driven.hand.problem
    driven.want(None)
    assert driven.want(OPEN_M, 0.1) == [Act.STOP]


def test_a_move_that_failed_is_tried_again_behind_a_stop():
    driven = Driven(attempts=2).brought_to(CLOSED_M)
    driven.want(OPEN_M, 0.1)
    driven.answer()
    driven.want(OPEN_M, 0.1)
    driven.answer(Outcome.FAILED)
    assert driven.want(OPEN_M, 1.0) == [Act.STOP]
    driven.answer()
    assert driven.want(OPEN_M, 1.0) == [Act.MOVE]
    driven.answer()
    assert driven.hand.problem == ''


def test_a_grasp_that_found_nothing_is_not_repeated():
    driven = Driven().brought_to(OPEN_M)
    driven.want(CLOSED_M)
    driven.answer(Outcome.FAILED)
    assert driven.want(CLOSED_M, 30.0) == []
    assert driven.hand.counts['failed_grasp'] == 1
    assert driven.hand.problem == '', 'the fingers say whether there is something between them'


def test_a_grasp_that_takes_anything_and_failed_was_not_carried_out():
    driven = Driven(grasp_takes_anything=True, attempts=2).brought_to(OPEN_M)
    driven.want(CLOSED_M)
    driven.answer(Outcome.FAILED)
    assert driven.hand.problem == 'grasp to 0.000 m failed: said so'
    assert driven.want(CLOSED_M, 1.0) == [Act.STOP]
    driven.answer()
    assert driven.want(CLOSED_M, 1.0) == [Act.GRASP]
    assert not driven.hand.has_given_up
    driven.answer(Outcome.FAILED)
    assert driven.want(CLOSED_M, 30.0) == []
    assert driven.hand.has_given_up
    driven.want(None)
    assert not driven.hand.has_given_up, 'nothing is wanted'
    assert driven.want(CLOSED_M, 1.0) == [Act.STOP], 'a new motion tries again'


def test_a_hand_that_does_what_is_wanted_has_not_given_up():
    driven = Driven(attempts=1)
    for width_m in (OPEN_M, CLOSED_M, OPEN_M):
        driven.brought_to(width_m)
        assert not driven.hand.has_given_up


def test_a_stop_without_an_answer_is_asked_again_and_nothing_else_leaves():
    driven = Driven(timeout_s=2.0).brought_to(CLOSED_M)
    assert driven.want(OPEN_M, 7.0) == [Act.STOP] * 4
    assert 'does not answer to stop' in driven.hand.problem
    assert driven.hand.has_given_up, 'twice is enough'
    driven.answer(order=driven.orders[-3])  # a hand that is slower than the timeout
    assert driven.want(OPEN_M, 0.1) == [Act.MOVE]
    assert not driven.hand.has_given_up


def test_a_stop_that_had_nothing_to_stop_has_answered_all_the_same():
    driven = Driven()
    driven.want(OPEN_M)
    driven.answer(Outcome.FAILED)
    assert driven.want(OPEN_M) == [Act.MOVE]
    assert driven.hand.counts['failed_stop'] == 1


def test_a_hand_that_is_not_there_is_asked_once_a_second_until_it_is():
    driven = Driven(attempts=2)
    for _ in range(5):
        assert driven.want(OPEN_M, 0.0) == [Act.STOP]
        driven.answer(Outcome.UNAVAILABLE)
        assert driven.want(OPEN_M, 0.9) == []
        driven.now_s += 0.1
    assert driven.hand.problem == 'stop: said so'
    driven.brought_to(OPEN_M)
    assert driven.hand.problem == ''
    assert driven.hand.counts['unavailable'] == 5


def test_halting_stops_at_once_and_forgets_what_was_wanted():
    driven = Driven().brought_to(OPEN_M)
    driven.want(CLOSED_M)
    grasp = driven.orders[-1]
    driven.hand.halt()
    assert driven.want(CLOSED_M) == [Act.STOP]
    driven.answer()
    driven.answer(Outcome.FAILED, grasp)
    assert driven.want(None, 5.0) == []
    assert driven.want(CLOSED_M, 0.6) == [Act.GRASP], 'a new wish begins anew'


def test_without_a_wish_nothing_is_ordered_and_a_grasp_is_kept():
    driven = Driven().brought_to(CLOSED_M)
    assert driven.want(None, 10.0) == []
    assert driven.want(CLOSED_M, 10.0) == []


def test_homing_waits_for_its_turn_and_leaves_the_width_unknown():
    driven = Driven().brought_to(OPEN_M)
    driven.hand.home()
    assert driven.want(None, 0.1) == [Act.HOME]
    with pytest.raises(RefusedError, match='busy'):
        driven.hand.home()
    assert driven.want(CLOSED_M, 20.0) == [], 'homing is not interrupted'
    driven.answer()
    assert driven.want(CLOSED_M, 0.0) == [Act.STOP]


def test_a_width_that_is_no_number_changes_nothing():
    driven = Driven().brought_to(OPEN_M)
    assert driven.want(math.nan, 1.0) == []
    assert driven.want(math.inf, 1.0) == []


def test_an_answer_nobody_waits_for_is_counted_and_changes_nothing():
    driven = Driven().brought_to(OPEN_M)
    driven.answer(Outcome.FAILED, driven.orders[-1])
    assert driven.hand.counts['late_answers'] == 1
    assert driven.want(OPEN_M, 1.0) == []


def test_by_width_narrower_is_a_grasp_and_wider_a_move():
    driven = Driven(mode=HandMode.WIDTH).brought_to(0.06)
    assert driven.want(0.04, 0.0) == [Act.GRASP]
    assert driven.orders[-1].width_m == pytest.approx(0.04)
    driven.answer()
    assert driven.want(0.042, 2.0) == [], 'too little to be worth an order'
    driven.brought_to(0.05)
    assert [order.act for order in driven.orders[-2:]] == [Act.STOP, Act.MOVE]


def test_by_width_a_noisy_wish_is_no_stream_of_orders():
    driven = Driven(mode=HandMode.WIDTH).brought_to(0.05)
    count = len(driven.orders)
    for tick in range(1000):
        driven.want(0.05 + (0.004 if tick % 2 else -0.0005))
    assert len(driven.orders) == count


def test_by_width_the_ends_are_reached_however_near():
    driven = Driven(mode=HandMode.WIDTH).brought_to(0.078)
    driven.brought_to(OPEN_M)
    assert driven.orders[-1].width_m == OPEN_M


@pytest.mark.parametrize('mode', HandMode)
@pytest.mark.parametrize('seed', range(5))
def test_whatever_is_wanted_and_answered_the_rules_hold(mode, seed):
    """A hand that is slow, fails, stays silent or is not there; wishes that change at random."""
    chance = random.Random(seed)
    driven = Driven(mode=mode, timeout_s=1.0)
    waiting, late, last_act, stopped_s, wish = {}, {}, None, {}, None
    for _ in range(20_000):
        if chance.random() < 0.02:
            wish = chance.choice([None, OPEN_M, CLOSED_M, chance.uniform(-0.02, 0.1)])
        if chance.random() < 0.0005:
            driven.hand.halt()
        for act in driven.want(wish):
            order = driven.orders[-1]
            if act is not Act.STOP:
                acts = {o: t for o, t in waiting.items() if o.act is not Act.STOP}
                lost = {o for o in acts if driven.now_s - stopped_s.get(o, math.inf) > 1.0}
                assert lost == set(acts), 'two in flight'
                late, waiting = late | acts, {o: t for o, t in waiting.items() if o not in acts}
                assert not any(o.act is Act.STOP for o in waiting), 'a stop is not answered yet'
                assert (last_act, act) != (Act.GRASP, Act.GRASP), 'a grasp is repeated'
                assert last_act is not None, 'the first order is no stop'
            last_act = act
            waiting[order] = driven.now_s + chance.choice([0.0, 0.1, 0.8, 3.0, 1e9])
        for order, due_s in [*waiting.items(), *late.items()]:
            if due_s <= driven.now_s:
                waiting.pop(order, None)
                late.pop(order, None)
                outcome = chance.choice([Outcome.DONE, Outcome.DONE, *Outcome])
                driven.answer(outcome, order)
                if order.act is Act.STOP and outcome is not Outcome.UNAVAILABLE:
                    for other in waiting:
                        stopped_s.setdefault(other, driven.now_s)
                    waiting = {o: t for o, t in waiting.items() if o.act is not Act.STOP}
    assert len(driven.orders) > 100
    waiting.clear()
    driven.want(None, 5.0)
    for width_m in (OPEN_M, CLOSED_M, OPEN_M):
        for _ in range(10):
            driven.want(width_m, 2.0)
            if driven.hand.is_busy:
                driven.answer()
        assert not driven.hand.is_busy
    assert driven.orders[-1].width_m == OPEN_M


@pytest.mark.parametrize(
    'settings',
    [
        {'close_below_m': 0.05, 'open_above_m': 0.04},
        {'change_m': 0.0},
        {'dwell_s': -1.0},
        {'attempts': 0},
        {'timeout_s': math.nan},
    ],
)
def test_settings_that_make_no_sense_are_named(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        HandConfig(**settings)
