"""A governor under hostile streams, its points judged: one batch of sequences after the other.

A batch has a governor, an arm and a clock of its own that go on from sequence to sequence, and
ends in the question whether the governor still follows a good chunk. What a batch does follows
from its seed and number alone. This module imports numpy and core parts only.
"""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.hostile import hostile_chunk, View
from roboadapt_ros.bench.hostile_arm import FOLDED, HostileArm
from roboadapt_ros.bench.hostile_bounds import draw_envelope, draw_narrower
from roboadapt_ros.bench.hostile_config import draw_config
from roboadapt_ros.bench.hostile_witness import CollisionJudge, Witness
from roboadapt_ros.bench.tally import Batch, BINS_PER_MS, Tally
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.control.command import GovernorCommand, GovernorState
from roboadapt_ros.control.governor import Governor, GovernorConfig
from roboadapt_ros.control.governor_config import KEPT_RAD
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.dataflow import ActionChunk, Identity, LatencyLedger
from roboadapt_ros.errors import RefusedError, SpecError

FloatArray = npt.NDArray[np.float64]

MS = 1_000_000
T0_NS = 1_700_000_000_000 * MS
TICK_NS = 10 * MS
QUIET_TICKS = 400
"""Ticks without a chunk within which every governor must be silent."""
SETTLE_TICKS = 15
GOOD_TICKS = 10


class Governed(Protocol):
    """What is tormented: a `Governor`, or in a test something that is none."""

    state: GovernorState
    names: tuple[str, ...]
    kept: FloatArray | None

    def observe(
        self, q: FloatArray, dq: FloatArray, gripper_width_m: float, stamp_ns: int
    ) -> None:
        """Take a measured state."""

    def accept(self, chunk: ActionChunk, now_ns: int) -> None:
        """Take a chunk, or raise `RefusedError`."""

    def command(self, now_ns: int) -> GovernorCommand:
        """Return the point of this tick."""

    def narrow(self, q_min: FloatArray, q_max: FloatArray, dq_max: FloatArray) -> None:
        """Take a URDF's limits."""

    def fault(self, reason: str) -> None:
        """Stop."""

    def reset(self) -> None:
        """Leave a fault."""


def make_governor(config: GovernorConfig, robot: str) -> Governor:
    """Return the real one."""
    return Governor(config, robot_limits(robot), PandaKinematics())


class HostileRun:
    """One batch while it is run."""

    def __init__(
        self,
        batch: Batch,
        build: Callable[[GovernorConfig, str], Governed] = make_governor,
        collisions: CollisionJudge | None = None,
    ):
        """Draw robot, settings and start of a batch."""
        self._batch, self._rng = batch, np.random.default_rng((batch.seed, batch.number))
        self._robot = ('panda', 'fr3')[batch.number % 2]
        config = draw_config(self._rng)
        self.governor = build(config, self._robot)
        self._limits = robot_limits(self._robot)
        self._envelope: Envelope | None = None
        self._goal: FloatArray | None = None
        self._arm = HostileArm(self._rng, self._limits.q_min, self._limits.q_max, Q_HOME)
        self._witness = Witness(config, self._robot, self._arm, collisions)
        self._now_ns, self._generation = T0_NS, 1
        self._last: ActionChunk | None = None
        # A stream of its own, so that the others stay as they were.
        self._load = load = np.random.default_rng((batch.seed, batch.number, 1))
        self._keeps, self._gives_way = load.random() < 0.5, load.random() < 0.5
        """Whether the arm at rest is told a position to keep, and whether that follows an arm that
        is off from it; else it is held there by its controller."""
        self.tally = Tally()
        if self._rng.random() < 0.2:
            self._narrow()

    def run(self) -> Tally:
        """Run the batch and return what was found."""
        try:
            for number in range(self._batch.sequences):
                self._sequence(number)
            self._ask_for_a_sign_of_life()
        except Exception as error:  # noqa: BLE001 - whatever escapes would end the node
            self.tally.unresponsive += 1
            self._remember(f'{type(error).__name__}: {error}')
        self._note(self._witness.close())
        self.tally.violations += self._witness.judge.counts
        self.tally.used = self._witness.judge.used
        return self.tally

    # ---- a sequence ----

    def _sequence(self, number: int) -> None:
        rng, tally = self._rng, self.tally
        self._number = number
        self._lead()
        if self._goal is None and rng.random() < 0.2:
            self._arm.draw_manner()
        if rng.random() < 0.15:
            self._generation += 1
            self._envelope = None if self._goal is not None else draw_envelope(rng)
        spacing = int(rng.choice([1, 2, 3, 5])) if self._goal is None else 5
        self._event()
        for _ in range(int(rng.choice([1, 1, 2, 3]))):
            self._send()
            for _ in range(spacing):
                self._tick(TICK_NS)
        for _ in range(int(rng.choice([0, 0, 1, 4, 30], p=[0.35, 0.3, 0.2, 0.12, 0.03]))):
            self._tick(TICK_NS)
        tally.sequences += 1

    def _lead(self) -> None:
        """Now and then, lead the arm into itself over many sequences."""
        if self._goal is not None and self._rng.random() < 0.03:
            self._goal = None
        elif self._goal is None and self._rng.random() < 0.008:
            self._goal = np.array(FOLDED[self._rng.integers(len(FOLDED))])
            self._envelope = None
            self._arm.behave()

    def _event(self) -> None:
        """Now and then: a clock that jumps, a fault, a reset, an arm carried elsewhere."""
        draw = self._rng.random()
        if self.governor.state is GovernorState.FAULT:
            if draw < 0.3:
                self._reset()
        elif draw < 0.02:
            jump_ms = int(self._rng.choice([-20_000, -1000, -50, -3, 0, 7, 60, 400, 9000]))
            self._now_ns += jump_ms * MS
            self.tally.kinds['clock_jump'] += 1
        elif draw < 0.025:
            self.governor.fault('hostile')
            self.tally.kinds['fault'] += 1
        elif draw < 0.05 and not self._witness.is_moving:
            self._arm.carry()
            self.tally.kinds['carried'] += 1
        elif draw > 0.999:
            self._narrow()

    def _narrow(self) -> None:
        """Let a URDF come in, also under way."""
        narrower = draw_narrower(self._rng, self._limits.q_min, self._limits.q_max)
        self.governor.narrow(*narrower)
        self.tally.kinds['narrowed'] += 1
        self._witness.narrow(narrower)

    def _send(self) -> None:
        view = View(
            names=self.governor.names,
            low=self._limits.q_min,
            high=self._limits.q_max,
            home=Q_HOME,
            q=self._arm.commanded,
            now_ns=self._now_ns,
            generation=self._generation,
            last=self._last,
            envelope=self._envelope,
            goal=self._goal,
        )
        kind, fields = hostile_chunk(self._rng, view)
        self.tally.kinds[kind] += 1
        try:
            chunk = ActionChunk(**fields)
            self._offer(chunk)
        except SpecError:
            self.tally.causes['shape'] += 1
            self.tally.refused += 1
            return
        except RefusedError as error:
            self.tally.causes[error.cause] += 1
            self.tally.refused += 1
        else:
            self.tally.accepted += 1
        self._last = chunk

    def _offer(self, chunk: ActionChunk) -> None:
        self._witness.offered(self._now_ns)
        self.governor.accept(chunk, self._now_ns)
        self._witness.envelop(chunk.envelope)

    def _tick(self, after_ns: int) -> GovernorCommand:
        """Let a tick pass: state in, point out."""
        jitter_ns = int(self._rng.integers(-2 * MS, 2 * MS)) if after_ns else 0
        self._now_ns += after_ns + jitter_ns
        measured = self._arm.measure(self._now_ns)
        if measured is not None:
            self.governor.observe(*measured)
            self._witness.hear(measured[0], measured[3])
        start_ns = time.thread_time_ns()
        command = self.governor.command(self._now_ns)
        spent_ns = time.thread_time_ns() - start_ns
        self.tally.tick_times[spent_ns * BINS_PER_MS // MS] += 1
        self.tally.ticks += 1
        self._take(command)
        return command

    def _take(self, command: GovernorCommand) -> None:
        tally = self.tally
        if command.q is None or command.dq is None:
            if command.state not in (GovernorState.IDLE, GovernorState.FAULT):
                tally.unresponsive += 1
                self._remember(f'no point in {command.state.value}')
            self._note(self._witness.close())
            if self._keeps:
                self._keep()
            return
        tally.points += 1
        tally.moving += int((command.q != self._arm.commanded).any())
        self._witness.see(command.q, command.dq)
        self.governor.kept = self._witness.kept = None
        self._arm.follow(command.q, command.dq, command.gripper_width_m or 0.0)

    def _keep(self) -> None:
        """Tell the arm at rest what to keep, as `RigLink.keep`: the next motion starts there."""
        arm = self._arm
        if self._gives_way and np.abs(arm.q - arm.commanded).max() > KEPT_RAD:
            arm.commanded = arm.q
        if self._load.random() < 0.1:
            arm.q = arm.commanded + self._load.normal(size=7) * 0.03  # what it carries
            self.tally.kinds['loaded'] += 1
        self.governor.kept = self._witness.kept = arm.commanded

    def _note(self, found: str) -> None:
        if found:
            self._remember(found)

    def _remember(self, what: str) -> None:
        batch = self._batch
        place = f'seed {batch.seed}, batch {batch.number}, {self._robot}'
        self.tally.first = self.tally.first or f'{place}, by sequence {self._number}: {what}'

    # ---- the end ----

    def _reset(self) -> None:
        """Reset a governor in fault, as a recovered robot does: only after it has stopped."""
        for _ in range(QUIET_TICKS):
            if self._tick(TICK_NS).q is None:
                break
        self.governor.reset()
        self.tally.kinds['reset'] += 1

    def _ask_for_a_sign_of_life(self) -> None:
        """After silence: idle; after a good chunk: tracking, with a point at every tick."""
        self._arm.behave()
        self._gives_way = True
        if self.governor.state is GovernorState.FAULT:
            self._reset()
        for _ in range(QUIET_TICKS):
            if self._tick(TICK_NS).q is None:
                break
        if self.governor.state is GovernorState.FAULT:  # a hand that froze is one
            self._reset()
        self._arm.go_home()
        for _ in range(SETTLE_TICKS):  # a state stamped a little ahead outlives its successors
            self._tick(TICK_NS)
        try:
            self._offer(self._good_chunk())
            answers = [self._tick(TICK_NS) for _ in range(GOOD_TICKS)]
            is_alive = all(a.state is GovernorState.TRACKING for a in answers)
            problem = 'a good chunk was not followed'
        except RefusedError as error:
            is_alive, problem = False, f'a good chunk was refused: {error}'
        if not is_alive:
            self.tally.unresponsive += 1
            self._remember(problem)
        self.governor.fault('the end')
        for _ in range(QUIET_TICKS):
            if self._tick(TICK_NS).q is None:
                break

    def _good_chunk(self) -> ActionChunk:
        now_ns = self._now_ns
        return ActionChunk(
            stamp_ns=now_ns,
            identity=Identity(
                task='good', package_digest='11', generation=1, frame_stamps_ns=(now_ns,)
            ),
            ledger=LatencyLedger(exposure=now_ns),
            space=ActionSpace.JOINT_POSITION,
            names=self.governor.names,
            period_s=0.1,
            start_ns=now_ns,
            actions=np.tile(np.append(Q_HOME + 0.02, 0.04), (8, 1)),
        )
