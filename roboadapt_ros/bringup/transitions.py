"""Lifecycle transitions of other nodes, asked for until they have happened."""

from __future__ import annotations

import enum
import time
from typing import Any

from lifecycle_msgs.srv import ChangeState, GetState

PROBE_PERIOD_S = 1.0
"""From one look at a node's state to the next, while its answer is missing [s]."""


class Transition(enum.Enum):
    """Lifecycle transitions by their id in lifecycle_msgs/Transition."""

    CONFIGURE = 1
    CLEANUP = 2
    ACTIVATE = 3
    DEACTIVATE = 4


_STATES = {
    Transition.CONFIGURE: ('unconfigured', 'inactive'),
    Transition.CLEANUP: ('inactive', 'unconfigured'),
    Transition.ACTIVATE: ('inactive', 'active'),
    Transition.DEACTIVATE: ('active', 'inactive'),
}
"""State before and after each transition."""


class PendingTransition:
    """A transition that was asked for; call it until it says True or False.

    A node that takes the place of one that was killed is asked while DDS still knows the dead
    one, whose endpoints it forgets only after their lease; such a request, or its answer, can be
    lost. So the node is also asked for its state, and the request repeated where that has not
    changed.
    """

    def __init__(self, change: Any, state: Any, transition: Transition):
        """Ask for the first time.

        Args:
            change: Client of the node's change_state.
            state: Client of its get_state.
            transition: What is asked for.
        """
        self._change, self._state = change, state
        self._before, self._after = _STATES[transition]
        self._request = ChangeState.Request()
        self._request.transition.id = transition.value
        self._answers = [change.call_async(self._request)]
        self._probe: Any = None
        self._probed_s = time.monotonic()

    def __call__(self) -> bool | None:
        """Return the outcome, None until it is known."""
        answers = [bool(answer.result().success) for answer in self._answers if answer.done()]
        if any(answers):
            return True
        if self._probe is not None and self._probe.done():
            label, self._probe = self._probe.result().current_state.label, None
            if label == self._after:
                return True
            if answers:
                return False
            if label == self._before:
                self._answers.append(self._change.call_async(self._request))
        now_s = time.monotonic()
        if now_s - self._probed_s > PROBE_PERIOD_S or (answers and self._probe is None):
            self._probed_s, self._probe = now_s, self._state.call_async(GetState.Request())
        return None
