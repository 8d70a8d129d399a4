"""A governor under hostile streams, its points judged: one batch of sequences after the other.

A batch has a governor, an arm and a clock of its own that go on from sequence to sequence, and
ends in the question whether the governor still follows a good chunk. What a batch does follows
from its seed and number alone. This module imports numpy and core parts only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import time
from typing import Protocol

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.hostile import hostile_chunk, View
from roboadapt_ros.bench.hostile_arm import FOLDED, HostileArm
from roboadapt_ros.bench.hostile_bounds import demand_of, draw_envelope, draw_narrower, Narrower
from roboadapt_ros.bench.motion_judge import Demand, MotionJudge, Promise, Stretch
from roboadapt_ros.bench.tally import Batch, BINS_PER_MS, Tally
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.command import GovernorCommand, GovernorState
from roboadapt_ros.control.governor import Governor, GovernorConfig
from roboadapt_ros.control.governor_config import FollowerConfig
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.dataflow import ActionChunk, Identity, LatencyLedger
from roboadapt_ros.errors import RefusedError, SpecError

FloatArray = npt.NDArray[np.float64]

MS = 1_000_000
T0_NS = 1_700_000_000_000 * MS
TICK_NS, TICK_S = 10 * MS, 0.01
QUIET_TICKS = 400
"""Ticks without a chunk within which every governor must be silent."""
SETTLE_TICKS = 15
GOOD_TICKS = 10


class CollisionJudge(Protocol):
    """Who looks whether the arm comes too near to itself: see `collision_judge`."""

    def touches(self, stretch: Stretch, least_m: float) -> bool:
        """Return whether it does in a stretch, somewhere nearer than a distance [m]."""


class Governed(Protocol):
    """What is tormented: a `Governor`, or in a test something that is none."""

    state: GovernorState
    names: tuple[str, ...]

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


def draw_config(rng: np.random.Generator) -> GovernorConfig:
    """Return a governor's settings: the arm's full limits, the defaults, or a careful rig's."""
    scales = ((1.0, 1.0, 1.0), (0.8, 0.9, 0.2), (0.8, 0.9, 0.2), (0.25, 0.25, 0.05))
    velocity, acceleration, jerk = scales[rng.integers(len(scales))]
    return GovernorConfig(
        lookahead_s=float(rng.choice([0.0, 0.0, 0.1, 0.3])),
        motion=FollowerConfig(
            velocity_scale=velocity,
            acceleration_scale=acceleration,
            jerk_scale=jerk,
            position_margin_rad=float(rng.choice([1e-6, 0.05, 0.05])),
            hand_speed_max_m_s=float(rng.choice([0.25, 0.7, 3.0])),
        ),
        admission=AdmissionConfig(max_jump_rad=float(rng.choice([0.4, 0.4, 3.0]))),
        workspace=WorkspaceConfig() if rng.random() < 0.7 else _open_space(),
    )


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
        self._judge = MotionJudge(_promise(config, self._robot), TICK_S)
        self._collisions = collisions
        self._self_distance_min_m = config.self_collision.min_distance_m
        self._margin_rad = config.motion.position_margin_rad
        self._limits = robot_limits(self._robot)
        self._envelope: Envelope | None = None
        self._goal: FloatArray | None = None
        self._demanded: tuple[Envelope | None, Narrower | None] = (None, None)
        self._arm = HostileArm(self._rng, self._limits.q_min, self._limits.q_max, Q_HOME)
        self._now_ns, self._generation = T0_NS, 1
        self._last: ActionChunk | None = None
        self._stretch: Stretch | None = None
        self._told: FloatArray | None = None
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
        self._close_stretch()
        self.tally.violations += self._judge.counts
        self.tally.used = self._judge.used
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
        elif draw < 0.05 and self._stretch is None:
            self._arm.carry()
            self.tally.kinds['carried'] += 1
        elif draw > 0.999:
            self._narrow()

    def _narrow(self) -> None:
        """Let a URDF come in, also under way."""
        narrower = draw_narrower(self._rng, self._limits.q_min, self._limits.q_max)
        self.governor.narrow(*narrower)
        self.tally.kinds['narrowed'] += 1
        envelope, before = self._demanded
        if before is not None:
            narrower = (
                np.maximum(before[0], narrower[0]),
                np.minimum(before[1], narrower[1]),
                np.minimum(before[2], narrower[2]),
            )
        self._demand(envelope, narrower)

    def _demand(self, envelope: Envelope | None, narrower: Narrower | None) -> None:
        """Tell the judge what is demanded from the next point on."""
        self._demanded = envelope, narrower
        if self._stretch is not None:
            self._stretch.demands.append((len(self._stretch.q), self._demand_now()))

    def _demand_now(self) -> Demand | None:
        return demand_of(*self._demanded, self._limits.dq_max, self._margin_rad)

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
        self.governor.accept(chunk, self._now_ns)
        if self._stretch is None:
            self._told = self._arm.told
        if chunk.envelope != self._demanded[0]:
            self._demand(chunk.envelope, self._demanded[1])

    def _tick(self, after_ns: int) -> GovernorCommand:
        """Let a tick pass: state in, point out."""
        jitter_ns = int(self._rng.integers(-2 * MS, 2 * MS)) if after_ns else 0
        self._now_ns += after_ns + jitter_ns
        measured = self._arm.measure(self._now_ns)
        if measured is not None:
            self.governor.observe(*measured)
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
            self._close_stretch()
            return
        if self._stretch is None:
            demands = [(0, self._demand_now())]
            self._stretch = Stretch(rest=self._rest(command.q), demands=demands)
        tally.points += 1
        tally.moving += int((command.q != self._arm.commanded).any())
        self._stretch.q.append(command.q)
        self._stretch.dq.append(command.dq)
        self._arm.follow(command.q, command.dq, command.gripper_width_m or 0.0)

    def _rest(self, first: FloatArray) -> FloatArray:
        """Return where motion began: the last point that was sent, or the arm as it was told."""
        origins = [o for o in (self._arm.commanded, self._told) if o is not None]
        return min(origins, key=lambda origin: float(np.abs(first - origin).max()))

    def _close_stretch(self) -> None:
        if self._stretch is None:
            return
        stretch, self._stretch = self._stretch, None
        found = self._judge.judge(stretch)
        if self._collisions is not None and self._collisions.touches(
            stretch, self._self_distance_min_m
        ):
            self._judge.counts['self_collision'] += 1
            found += 1
        if found:
            self._remember(f'{dict(+self._judge.counts)}')

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


def _open_space() -> WorkspaceConfig:
    sides = [f'{axis}_{end}_m' for axis in 'xyz' for end in ('min', 'max')]
    return WorkspaceConfig(**dict.fromkeys(sides))


def _promise(config: GovernorConfig, robot: str) -> Promise:
    motion, box = config.motion, config.workspace
    low = [getattr(box, f'{axis}_min_m') for axis in 'xyz']
    high = [getattr(box, f'{axis}_max_m') for axis in 'xyz']
    promise = Promise(
        robot=robot,
        velocity_scale=motion.velocity_scale,
        acceleration_scale=motion.acceleration_scale,
        jerk_scale=motion.jerk_scale,
        margin_rad=motion.position_margin_rad,
    )
    if None in (*low, *high):
        return promise
    return replace(promise, box_low_m=tuple(low), box_high_m=tuple(high))
