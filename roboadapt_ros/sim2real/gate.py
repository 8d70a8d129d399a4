"""The gate between a policy and an arm: closed at start, opened by a person, closed by itself.

A pure state machine; time is an argument, in integer nanoseconds. Not thread-safe. This module
imports the core only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
import enum

from roboadapt_ros.control.admission import check_stamps
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import ConfigError, RefusedError


class GateState(enum.Enum):
    """Whether chunks reach the arm."""

    DRY_RUN = 'dry_run'
    """Chunks are checked and counted; none passes."""
    ARMED = 'armed'
    """Good chunks pass."""
    FAULT = 'fault'
    """Something broke while armed, or was reported; none passes until `arm` succeeds."""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """How long the gate stays open without signs of life."""

    chunk_timeout_s: float = 0.5
    """Longest time without a good chunk [s]."""
    robot_timeout_s: float = 0.25
    """Longest time without a robot state [s]."""
    governor_timeout_s: float = 0.5
    """Longest time without a status of the governor [s]; it comes at 10 Hz or more."""
    follow_timeout_s: float = 3.0
    """Longest time from arming until the governor follows [s]."""
    max_observation_age_s: float = 0.5
    """Oldest exposure a chunk may answer to [s]; a task's contract may ask for less."""
    future_tolerance_s: float = 0.02
    """How far a stamp may lie ahead, for clocks of several machines [s]."""
    needs_governor: bool = True
    """Whether arming waits for a governor's status."""

    def __post_init__(self) -> None:
        """Check all times are positive."""
        for name in (
            'chunk_timeout_s',
            'robot_timeout_s',
            'governor_timeout_s',
            'follow_timeout_s',
            'max_observation_age_s',
            'future_tolerance_s',
        ):
            if not getattr(self, name) > 0:
                raise ConfigError(f'gate.{name}', getattr(self, name), 'must be positive')


class Gate:
    """Decides whether chunks pass.

    Example: `admit` is False from the start; with a healthy robot, a governor and a fresh chunk,
    `arm` opens it. A robot error makes it FAULT; 0.5 s without a good chunk, or a governor that
    has let go of the arm, makes it DRY_RUN. Either way it takes another `arm`, which is refused
    as long as the cause is there: an arm that was released never goes on by itself.
    """

    def __init__(self, config: GateConfig):
        """Start in dry-run, with nothing seen."""
        self.config = config
        self.state, self.reason = GateState.DRY_RUN, 'not armed yet'
        self.counts: Counter[str] = Counter()
        """Refused chunks by cause."""
        self.accepted = 0
        """Chunks that passed."""
        self.generation = 0
        """Generation of the last good chunk."""
        self._robot_ns: int | None = None
        self._governor_ns: int | None = None
        self._chunk_ns: int | None = None
        self._robot_problem: str | None = None
        self._governor_problem: str | None = None
        self._governor_idle: str | None = None
        self._armed_ns, self._has_followed = 0, False
        self._last_refusal = ''

    @property
    def refused(self) -> int:
        """Chunks that were refused, whatever the state."""
        return sum(self.counts.values())

    def observe_robot(self, now_ns: int, problem: str | None = None) -> None:
        """Note a state of the robot.

        Args:
            now_ns: When it came [ns].
            problem: Why it can't move (an error, a stop), or None.
        """
        self._robot_ns, self._robot_problem = now_ns, problem
        self.tick(now_ns)

    def observe_governor(
        self, now_ns: int, fault: str | None = None, idle: str | None = None
    ) -> None:
        """Note a status of the governor.

        Args:
            now_ns: When it came [ns].
            fault: Why it is in fault, or None.
            idle: Why it follows no chunk and has let go of the arm, or None.
        """
        self._governor_ns, self._governor_problem = now_ns, fault
        self._governor_idle = idle
        self._has_followed = self._has_followed or (fault is None and idle is None)
        self.tick(now_ns)

    def admit(self, chunk: ActionChunk, now_ns: int, max_age_s: float | None = None) -> bool:
        """Judge a chunk and return whether it passes.

        Args:
            chunk: The chunk, mapped or not.
            now_ns: Time now [ns].
            max_age_s: Oldest exposure by the task's contract [s]; None: the gate's own.

        Raises:
            RefusedError: 'zero_stamp', 'future' or 'stale'; tell `refuse`.
        """
        most = self.config.max_observation_age_s
        check_stamps(
            chunk,
            now_ns,
            max_age_s=most if max_age_s is None else min(most, max_age_s),
            future_tolerance_s=self.config.future_tolerance_s,
        )
        self.tick(now_ns)
        self._chunk_ns, self.generation = now_ns, chunk.identity.generation
        if self.state is not GateState.ARMED:
            return False
        self.accepted += 1
        return True

    def refuse(self, error: RefusedError, now_ns: int) -> None:
        """Count a chunk that was refused here or by the bridge, at a time [ns]."""
        self.counts[error.cause] += 1
        self._last_refusal = str(error)
        self.tick(now_ns)

    def arm(self, now_ns: int) -> None:
        """Open the gate.

        Args:
            now_ns: Time now [ns].

        Raises:
            RefusedError: 'robot', 'governor' or 'chunk', with what to do; nothing has changed.
        """
        self.tick(now_ns)
        for cause, trouble, remedy in (
            ('robot', self._robot_trouble(now_ns), 'recover the robot and check its driver'),
            ('governor', self._governor_trouble(now_ns), 'start or reset the governor'),
            ('chunk', self._chunk_trouble(now_ns), 'check cameras, encoder and policy'),
        ):
            if trouble is not None:
                raise RefusedError(cause, f'not armed: {trouble}; {remedy}, then arm again')
        self._armed_ns, self._has_followed = now_ns, False
        self._enter(GateState.ARMED, 'armed by request')

    def disarm(self, reason: str) -> None:
        """Close the gate; a fault stays a fault."""
        if self.state is GateState.ARMED:
            self._enter(GateState.DRY_RUN, reason)

    def fault(self, reason: str) -> None:
        """Close the gate because something broke."""
        self._enter(GateState.FAULT, reason)

    def tick(self, now_ns: int) -> GateState:
        """Close the gate where a sign of life is missing, and return the state.

        Args:
            now_ns: Time now [ns]; to be called at 10 Hz or more.
        """
        if self.state is GateState.ARMED:
            broken = self._robot_trouble(now_ns) or self._governor_trouble(now_ns)
            if broken is not None:
                self._enter(GateState.FAULT, broken)
            else:
                trouble = self._chunk_trouble(now_ns) or self._release(now_ns)
                if trouble is not None:
                    self._enter(GateState.DRY_RUN, f'{trouble}; arm again')
        return self.state

    def _robot_trouble(self, now_ns: int) -> str | None:
        late = _late('robot state', self._robot_ns, now_ns, self.config.robot_timeout_s)
        return late or self._robot_problem

    def _governor_trouble(self, now_ns: int) -> str | None:
        if not self.config.needs_governor:
            return None
        timeout_s = self.config.governor_timeout_s
        return _late('governor status', self._governor_ns, now_ns, timeout_s) or (
            self._governor_problem
        )

    def _release(self, now_ns: int) -> str | None:
        """Return that the governor has let go of the arm, or never took it; else None."""
        if not self.config.needs_governor or self._governor_idle is None:
            return None
        if self._has_followed:
            return f'the governor has let go of the arm ({self._governor_idle})'
        if now_ns - self._armed_ns > self.config.follow_timeout_s * 1e9:
            return f'the governor has not followed for {self.config.follow_timeout_s:g} s'
        return None

    def _chunk_trouble(self, now_ns: int) -> str | None:
        late = _late('good chunk', self._chunk_ns, now_ns, self.config.chunk_timeout_s)
        if late is None or not self._last_refusal:
            return late
        return f'{late} (last refused: {self._last_refusal})'

    def _enter(self, state: GateState, reason: str) -> None:
        self.state, self.reason, self._last_refusal = state, reason, ''


def _late(name: str, last_ns: int | None, now_ns: int, timeout_s: float) -> str | None:
    """Return that something is missing, or None while it comes in time."""
    if last_ns is None:
        return f'no {name} yet'
    quiet_s = abs(now_ns - last_ns) / 1e9  # a clock that is set closes an armed gate
    return f'no {name} for {quiet_s:.2f} s' if quiet_s > timeout_s else None
