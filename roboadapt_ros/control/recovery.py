"""The way back from a reflex, step by step, each with a deadline; confirmed by a person.

A pure state machine. What a step does on a given rig is in its port: an action that is begun and
then asked for its outcome, so that nothing here waits. Time is an argument, in integer
nanoseconds; this module imports no ROS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import enum
from typing import NamedTuple, Protocol

from roboadapt_ros.errors import ConfigError, RefusedError


class Step(enum.Enum):
    """Steps in their order; a rig that has nothing to do for one leaves it out."""

    DEACTIVATE = 'deactivate'
    """The controllers that command the arm are deactivated."""
    CLEAR = 'clear'
    """The robot clears its errors."""
    HARDWARE = 'hardware'
    """The hardware component is active again."""
    CHECK = 'check'
    """The robot reports no error."""
    SETUP = 'setup'
    """Collision thresholds and load are set, while no controller is active."""
    ALIGN = 'align'
    """Targets are the measured positions, buffers are empty."""
    ACTIVATE = 'activate'
    """The controllers are active again."""
    SETTLE = 'settle'
    """Nothing breaks for a moment under the active controllers; the next motion starts softly."""


MOST_ATTEMPTS = 10
"""That a rig file may ask for."""
_ONCE = (Step.ACTIVATE, Step.SETTLE)
"""Steps that end a recovery where they fail: controllers may be active, and what went wrong may
be a new error, which a second attempt would clear though nobody has looked at the arm since."""


class RecoveryState(enum.Enum):
    """Where the recovery is."""

    IDLE = 'idle'
    """None was begun."""
    RUNNING = 'running'
    DONE = 'done'
    FAILED = 'failed'


class Outcome(NamedTuple):
    """How an action ended."""

    is_good: bool
    detail: str = ''
    """For a person; why not, where it is not good."""


class Pending(Protocol):
    """An action that was begun."""

    def poll(self, now_ns: int) -> Outcome | None:
        """Return how it ended; None until then. Never waits."""
        ...

    def cancel(self) -> str:
        """Give it up and return what it was waiting for; it may still happen."""
        ...


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a step does on this rig."""

    summary: str
    """For a person, before anything is done: 'deactivate joint_impedance_controller'."""
    begin: Callable[[], Pending]


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    """How long each step may take, and how often all is tried."""

    switch_timeout_s: float = 5.0
    """Longest switch of controllers [s]."""
    clear_timeout_s: float = 20.0
    """Longest recovery of the robot [s]; 0.4 to 16 s were seen
    (https://github.com/frankaemika/franka_ros/issues/317)."""
    hardware_timeout_s: float = 10.0
    """Longest activation of the hardware component [s]; it is known to hang
    (https://github.com/frankarobotics/franka_ros2/issues/212)."""
    step_timeout_s: float = 5.0
    """Longest of every other step [s]."""
    settle_s: float = 1.0
    """Time without an error under active controllers that counts as recovered [s]; a reflex may
    be reported that late."""
    attempts: int = 3
    """Times the sequence is begun for one confirmation, up to the activation of controllers."""

    def __post_init__(self) -> None:
        """Check that all is positive."""
        for name in (
            'switch_timeout_s',
            'clear_timeout_s',
            'hardware_timeout_s',
            'step_timeout_s',
            'settle_s',
            'attempts',
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f'recovery.{name}', getattr(self, name), 'must be positive')
        if self.settle_s >= self.step_timeout_s:
            raise ConfigError(
                'recovery.settle_s', self.settle_s, f'must be below {self.step_timeout_s:g} s'
            )

    @property
    def longest_s(self) -> float:
        """Longest recovery, each step to its deadline in each attempt [s]."""
        again = sum(self.timeout_s(step) for step in Step if step not in _ONCE)
        return self.attempts * again + sum(self.timeout_s(step) for step in _ONCE)

    def timeout_s(self, step: Step) -> float:
        """Return the deadline of a step [s]."""
        return {
            Step.DEACTIVATE: self.switch_timeout_s,
            Step.CLEAR: self.clear_timeout_s,
            Step.HARDWARE: self.hardware_timeout_s,
            Step.ACTIVATE: self.switch_timeout_s,
        }.get(step, self.step_timeout_s)


class Recovery:
    """Goes through the steps of a rig once a person has confirmed, with bounded retries.

    Example: `start(now)`, then `tick(now)` at any rate until `state` is DONE or FAILED. A step
    that fails or is late begins the whole sequence anew, `attempts` times in all, but not once
    controllers were to be activated. `abort` (the user stop, a stop by request) ends it at once.
    `trail` says what was done, in order.
    """

    def __init__(self, actions: Mapping[Step, Action], config: RecoveryConfig | None = None):
        """Prepare; nothing is begun.

        Args:
            actions: What the steps do on this rig; steps it does not need are left out.
            config: Deadlines and number of attempts.
        """
        self._actions = {step: actions[step] for step in Step if step in actions}
        self._config = config or RecoveryConfig()
        self.state = RecoveryState.IDLE
        self.reason = 'no recovery was begun'
        """For a person: why it is in this state."""
        self.trail: list[str] = []
        """What was done since `start`, a line for each step with its outcome."""
        self._waiting: list[Step] = []
        self._pending: Pending | None = None
        self._begun_ns = 0
        self._attempt = 0

    @property
    def is_running(self) -> bool:
        """Whether steps are being taken."""
        return self.state is RecoveryState.RUNNING

    @property
    def step(self) -> Step | None:
        """The step that is being taken."""
        return self._waiting[0] if self.is_running and self._waiting else None

    def plan(self) -> list[str]:
        """Return what would be done, in order."""
        return [f'{step.value}: {action.summary}' for step, action in self._actions.items()]

    def start(self, now_ns: int, refusal: str | None = None) -> None:
        """Begin; to be called only when a person has confirmed.

        Args:
            now_ns: Time now [ns].
            refusal: Why there can be no recovery now (the user stop is pressed), or None.

        Raises:
            RefusedError: 'busy' while one is running, 'recovery' with the refusal given.
        """
        if self.is_running:
            raise RefusedError('busy', f'a recovery is running: {self.reason}')
        if refusal is not None:
            raise RefusedError('recovery', refusal)
        self.trail.clear()
        self._attempt = 0
        self.state = RecoveryState.RUNNING
        self._begin_attempt(now_ns)

    def tick(self, now_ns: int, interruption: str | None = None) -> RecoveryState:
        """Ask the present step for its outcome and go on; never waits.

        Args:
            now_ns: Time now [ns].
            interruption: Why the recovery must end at once, or None.
        """
        if not self.is_running:
            return self.state
        if interruption is not None:
            self.abort(interruption)
            return self.state
        step, pending = self._waiting[0], self._pending
        assert pending is not None, 'a running recovery has begun a step'
        spent_s, timeout_s = (now_ns - self._begun_ns) / 1e9, self._config.timeout_s(step)
        outcome = pending.poll(now_ns)
        # A clock that was set back must not keep a step for ever.
        if outcome is None and abs(spent_s) > timeout_s:
            outcome = Outcome(False, f'{pending.cancel()} (waited {timeout_s:g} s)')
        if outcome is not None:
            self._conclude(step, outcome, spent_s, now_ns)
        return self.state

    def abort(self, reason: str) -> None:
        """End a running recovery; nothing happens where none is."""
        if not self.is_running:
            return
        if self._pending is not None:
            self._pending.cancel()
        self.trail.append(f'{self._waiting[0].value}: given up, {reason}')
        self._finish(RecoveryState.FAILED, reason)

    def _conclude(self, step: Step, outcome: Outcome, spent_s: float, now_ns: int) -> None:
        """Note a step's outcome and take the next one, or begin anew."""
        said = 'done' if outcome.is_good else 'failed'
        detail = f' ({outcome.detail})' if outcome.detail else ''
        self.trail.append(f'{step.value}: {said} after {max(spent_s, 0.0):.1f} s{detail}')
        if outcome.is_good:
            self._waiting.pop(0)
            self._begin_step(now_ns)
        elif self._attempt < self._config.attempts and step not in _ONCE:
            self._begin_attempt(now_ns)
        else:
            self._finish(
                RecoveryState.FAILED,
                f'{step.value} failed in attempt {self._attempt} of {self._config.attempts}: '
                f'{outcome.detail}',
            )

    def _begin_attempt(self, now_ns: int) -> None:
        self._attempt += 1
        if self._attempt > 1:
            self.trail.append(f'attempt {self._attempt} of {self._config.attempts}')
        self._waiting = list(self._actions)
        self._begin_step(now_ns)

    def _begin_step(self, now_ns: int) -> None:
        if not self._waiting:
            self._finish(RecoveryState.DONE, 'recovered')
            return
        action = self._actions[self._waiting[0]]
        self.reason = f'{self._waiting[0].value}: {action.summary}'
        self._begun_ns, self._pending = now_ns, action.begin()

    def _finish(self, state: RecoveryState, reason: str) -> None:
        self.state, self.reason, self._pending = state, reason, None
