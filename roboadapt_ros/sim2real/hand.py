"""What to tell a hand that takes whole commands (actions), and when.

A Franka hand needs up to a second and more for a command, does not give one up for the next
(stop comes first), and may hang where a grasp is repeated while it holds. So one command is in
flight at a time, none is repeated, and a stop is answered before the next one leaves. Whether a
grasp has an object is not decided here: where the fingers are, their joint states say. A grasp
that failed has closed on nothing, or on something else, and is left at that; but where it takes
anything (`grasp_takes_anything`) it was not carried out, and is tried again as a move is.
This module imports `errors`, `hand_order` and the standard library only. Not thread-safe.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
import math
from typing import NamedTuple

from roboadapt_ros.errors import RefusedError
from roboadapt_ros.sim2real.hand_order import Act, HandConfig, HandMode, HandOrder, Outcome

_HOMING_TIMEOUT_S = 30.0
_RETRY_S = 1.0
"""Wait before a hand that could not be reached is asked again [s]."""
_ELSEWHERE_M = 0.01
"""Distance from where a hand was told to go from which on it is somewhere else [m]."""
_LOST_S = 1.0
"""Wait for the result of a command that was stopped [s]; then it is taken for lost."""


class _Goal(NamedTuple):
    act: Act
    width_m: float


@dataclass
class _Flight:
    """An order that was sent."""

    order: HandOrder
    goal: _Goal
    sent_ns: int
    stopped_ns: int | None = None
    """When a stop was answered while it was going on."""


class Hand:
    """Decides what a hand is told next.

    Example, binary: wanted widths of 0.08 m, then 0.01 m from 2.0 s on. At first the state of
    the hand is unknown: STOP, and when that is answered MOVE to 0.08 m. At 2.0 s GRASP; widths of
    0.04 m change nothing on the way; at 0.06 m, STOP, then MOVE. 0.03 m for half a second: MOVE
    to 0.03 m. A wish that changes while an order is in flight is a STOP once `dwell_s` has
    passed, and the other order after its answer.
    """

    def __init__(self, config: HandConfig, width_max_m: float):
        """Store how to decide; the state of the hand is unknown.

        Args:
            config: How a wanted width becomes orders.
            width_max_m: Distance between the fingers when open [m].
        """
        self._config, self._width_max_m = config, width_max_m
        self.counts: Counter[str] = Counter()
        """Orders by act, and what went wrong, by cause."""
        self.problem = ''
        """Why the hand does not do what is wanted; '' while it does."""
        self.remark = ''
        """What is wanted and can't be told to this hand; '' = nothing."""
        self._goal: _Goal | None = None
        self._done: _Goal | None = None
        self._flight: _Flight | None = None
        self._stop: _Flight | None = None
        self._must_stop, self._is_halting, self._is_homing = True, False, False
        self._tries, self._number = 0, 0
        self._between: tuple[float, int] | None = None
        """A width between open and closed [m], and since when it is wanted [ns]."""
        self.measured_m = math.nan
        """Measured distance between the fingers [m]; NaN: not known."""
        self._silent_stops = 0
        """Stops in succession without an answer."""
        self._stops: set[int] = set()
        self._dwell_until_ns, self._retry_at_ns = -math.inf, -math.inf

    @property
    def is_busy(self) -> bool:
        """Whether an order waits for its answer."""
        return self._flight is not None or self._stop is not None

    @property
    def has_given_up(self) -> bool:
        """Whether what is wanted was tried as often as may be, and the hand did not do it."""
        if self._goal is None:
            return False
        is_tried = self._goal == self._done and self._tries >= self._config.attempts
        return is_tried or self._silent_stops >= self._config.attempts

    def halt(self) -> None:
        """Stop whatever the hand does; the next wanted width starts anew."""
        self._is_halting, self._goal, self._is_homing = True, None, False

    def home(self) -> None:
        """Ask for homing: the fingers open and close fully, to find their range.

        Raises:
            RefusedError: 'busy' while an order is in flight.
        """
        if self.is_busy:
            raise RefusedError('busy', 'the hand is carrying out an order; try again')
        self._is_homing = True

    def next(self, wanted_m: float | None, now_ns: int) -> HandOrder | None:
        """Return the order to send now, if any.

        Args:
            wanted_m: Wanted distance between the fingers [m]; None: leave the hand alone.
            now_ns: Time now [ns], steady.
        """
        self._aim(wanted_m, now_ns)
        if now_ns < self._retry_at_ns:
            return None
        if self._stop is not None:
            return self._await_stop(self._stop, now_ns)
        if self._flight is not None:
            return self._await_result(self._flight, now_ns)
        if self._is_halting:
            return self._send_stop(now_ns)
        goal = _Goal(Act.HOME, self._width_max_m) if self._is_homing else self._goal
        if goal is None or goal == self._done or now_ns < self._dwell_until_ns:
            return None
        if self._must_stop:
            return self._send_stop(now_ns)
        self._is_homing = False
        order = self._order(goal)
        self._flight = _Flight(order, goal, now_ns)
        self._tries += 1
        self._dwell_until_ns = now_ns + self._config.dwell_s * 1e9
        return order

    def answer(self, number: int, outcome: Outcome, detail: str, now_ns: int) -> None:
        """Take the answer to an order; one that nobody waits for is only counted.

        Args:
            number: Of the order.
            outcome: How it ended.
            detail: For a person.
            now_ns: Time now [ns].
        """
        if self._stop is not None and number in self._stops:
            self._on_stop(outcome, detail, now_ns)
        elif self._flight is not None and number == self._flight.order.number:
            self._on_result(self._flight, outcome, detail, now_ns)
        else:
            self.counts['late_answers'] += 1

    # ---- what is wanted ----

    def _aim(self, wanted_m: float | None, now_ns: int) -> None:
        if wanted_m is None:
            if self._tries >= self._config.attempts:
                self._done = None  # what was given up is tried again when motion begins anew
            self._goal, self._tries, self._silent_stops, self._between = None, 0, 0, None
            self.remark = ''
            return
        if not math.isfinite(wanted_m) or self._is_halting:
            return
        if self._goal is None and self._is_elsewhere():
            self._done = None
        width_m = min(max(wanted_m, 0.0), self._width_max_m)
        is_binary = self._config.mode is HandMode.BINARY
        goal = self._binary(width_m, now_ns) if is_binary else self._width(width_m)
        if goal is not None and goal != self._goal:
            self._goal, self._tries = goal, 0

    def _is_elsewhere(self) -> bool:
        """Return whether the hand is not where it was told to go: somebody moved it meanwhile."""
        if self._done is None or math.isnan(self.measured_m):
            return False
        if self._done.act is Act.GRASP:  # whatever it holds is narrower than an open hand
            return self.measured_m > self._width_max_m - _ELSEWHERE_M
        return abs(self.measured_m - self._done.width_m) > _ELSEWHERE_M

    def _binary(self, width_m: float, now_ns: int) -> _Goal | None:
        config, between = self._config, self._between
        if not config.close_below_m <= width_m <= config.open_above_m:
            self._between, self.remark = None, ''
            is_grasp = width_m < config.close_below_m
            return _Goal(Act.GRASP, 0.0) if is_grasp else _Goal(Act.MOVE, self._width_max_m)
        if between is None or abs(width_m - between[0]) >= config.change_m:
            self._between, self.remark = (width_m, now_ns), ''
        elif now_ns - between[1] >= config.dwell_s * 1e9:
            if config.goes_between:
                return _Goal(Act.MOVE, between[0])
            self.remark = (
                f'{between[0]:.3f} m between the fingers is wanted; this hand opens or grasps only'
            )
        return self._goal or self._done

    def _width(self, width_m: float) -> _Goal:
        last = self._goal or (self._flight.goal if self._flight else self._done)
        if last is None or last.act is Act.HOME:
            return _Goal(Act.MOVE, width_m)  # opening or closing: that is not known
        is_end = width_m in (0.0, self._width_max_m) and width_m != last.width_m
        if abs(width_m - last.width_m) < self._config.change_m and not is_end:
            return last
        return _Goal(Act.GRASP if width_m < last.width_m else Act.MOVE, width_m)

    # ---- what is sent ----

    def _order(self, goal: _Goal) -> HandOrder:
        self._number += 1
        self.counts[goal.act.value] += 1
        return HandOrder(goal.act, goal.width_m, self._number)

    def _send_stop(self, now_ns: int) -> HandOrder:
        goal = _Goal(Act.STOP, 0.0)
        order = self._order(goal)
        self._stop = _Flight(order, goal, now_ns)
        self._stops.add(order.number)
        return order

    def _await_stop(self, stop: _Flight, now_ns: int) -> HandOrder | None:
        """Wait for the answer to a stop, or ask again: nothing else may be sent before it."""
        if now_ns - stop.sent_ns <= self._config.timeout_s * 1e9:
            return None
        self.counts['stop_timeouts'] += 1
        self._silent_stops += 1
        self.problem = f'the hand does not answer to stop within {self._config.timeout_s:g} s'
        return self._send_stop(now_ns)

    def _await_result(self, flight: _Flight, now_ns: int) -> HandOrder | None:
        """Wait for a result; stop what takes too long or is no longer wanted."""
        elapsed_s = (now_ns - flight.sent_ns) / 1e9
        if flight.stopped_ns is not None:
            if now_ns - flight.stopped_ns > _LOST_S * 1e9:
                self.counts['lost_results'] += 1
                self._end(None)
            return None
        is_homing = flight.goal.act is Act.HOME
        if elapsed_s > (_HOMING_TIMEOUT_S if is_homing else self._config.timeout_s):
            self.counts['timeouts'] += 1
            self.problem = f'no result of {flight.goal.act.value} within {elapsed_s:.1f} s'
            return self._send_stop(now_ns)
        is_other = self._goal is not None and self._goal != flight.goal and not is_homing
        if self._is_halting or (is_other and elapsed_s >= self._config.dwell_s):
            return self._send_stop(now_ns)
        return None

    # ---- what came back ----

    def _on_stop(self, outcome: Outcome, detail: str, now_ns: int) -> None:
        self._stop, self._silent_stops = None, 0
        self._stops.clear()
        if outcome is Outcome.UNAVAILABLE:
            self._unavailable('stop', detail, now_ns)
            return
        # A hand that says it could not stop (it did not move) has answered all the same.
        self.counts['failed_stop'] += outcome is Outcome.FAILED
        self._must_stop, self._is_halting, self._done = False, False, None
        if self._flight is not None:
            self._flight.stopped_ns = now_ns

    def _on_result(self, flight: _Flight, outcome: Outcome, detail: str, now_ns: int) -> None:
        act = flight.goal.act
        if outcome is Outcome.UNAVAILABLE:
            self._tries -= 1
            self._end(None)
            self._unavailable(act.value, detail, now_ns)
        elif flight.stopped_ns is not None or self._stop is not None:
            self._end(None)
        elif outcome is Outcome.DONE:
            self.problem, self._tries = '', 0
            self._end(None if act is Act.HOME else flight.goal)
        elif act is Act.GRASP and not self._config.grasp_takes_anything:
            # It found nothing, or something else, and has closed the hand: not again.
            self.counts['failed_grasp'] += 1
            self._tries = 0
            self._end(flight.goal)
        else:
            self.counts[f'failed_{act.value}'] += 1
            self.problem = f'{act.value} to {flight.goal.width_m:.3f} m failed: {detail}'
            self._end(None)

    def _end(self, done: _Goal | None) -> None:
        """Forget the order in flight; the hand is where `done` says, or it is unknown."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        if flight.stopped_ns is None and (done is None or done.act is Act.GRASP):
            self._must_stop = True
        is_wanted = done is None and flight.goal == self._goal
        if is_wanted and self._tries >= self._config.attempts:
            self.counts['given_up'] += 1
            self.problem = self.problem or f'{flight.goal.act.value} was given up'
            done = flight.goal
        self._done = done

    def _unavailable(self, act: str, detail: str, now_ns: int) -> None:
        self.counts['unavailable'] += 1
        self.problem = f'{act}: {detail}'
        self._retry_at_ns = now_ns + _RETRY_S * 1e9
