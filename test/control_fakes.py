"""Chunks, states and drivers for tests of the control chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.control.governor import Governor, GovernorCommand, GovernorConfig
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.control.limits import robot_limits, RobotLimits
from roboadapt_ros.dataflow import ActionChunk, Identity, LatencyLedger

FloatArray = npt.NDArray[np.float64]

T0_NS = 1_700_000_000_000_000_000
TICK_NS = 10_000_000
PERIOD_S = 0.1
NAMES = (*robot_limits('panda').joint_names, 'gripper_width')


def home_but(joint: int, by_rad: float) -> FloatArray:
    """Return the home position with one joint moved."""
    q = Q_HOME.copy()
    q[joint] += by_rad
    return q


def make_chunk(
    rows: FloatArray,
    stamp_ns: int,
    *,
    generation: int = 1,
    width_m: float = 0.04,
    envelope: Envelope | None = None,
) -> ActionChunk:
    """Return a joint chunk of rows (n, 7) [rad] that starts at its exposure."""
    actions = np.column_stack([rows, np.full(len(rows), width_m)])
    return ActionChunk(
        stamp_ns=stamp_ns,
        identity=Identity(
            task='lift', package_digest='ab', generation=generation, frame_stamps_ns=(stamp_ns,)
        ),
        ledger=LatencyLedger(exposure=stamp_ns),
        space=ActionSpace.JOINT_POSITION,
        names=NAMES,
        period_s=PERIOD_S,
        start_ns=stamp_ns,
        actions=actions,
        envelope=envelope,
    )


def still_chunk(
    stamp_ns: int, q: FloatArray = Q_HOME, *, rows: int = 8, generation: int = 1
) -> ActionChunk:
    """Return a chunk that stays at `q` (7,) [rad]."""
    return make_chunk(np.tile(q, (rows, 1)), stamp_ns, generation=generation)


def rebuilt(chunk: ActionChunk, **changes: object) -> ActionChunk:
    """Return the chunk with fields changed."""
    return replace(chunk, **changes)  # type: ignore[arg-type]


class Driver:
    """A governor with an arm that follows its commands, and a clock."""

    def __init__(self, config: GovernorConfig | None = None, robot: str = 'panda'):
        """Start at home, at rest."""
        limits = robot_limits(robot)
        if robot != 'panda':  # same geometry, other names
            limits = replace(limits, joint_names=NAMES[:-1])
        self.config = config if config is not None else GovernorConfig()
        self.governor = Governor(self.config, limits, PandaKinematics())
        self.now_ns = T0_NS
        self.q = Q_HOME.copy()
        self.dq = np.zeros(7)
        self.measuring = True
        self.points: list[FloatArray] = []
        self.stretches: list[list[FloatArray]] = [[]]  # points without a silence between
        self.states: list[str] = []

    @property
    def quiet(self) -> bool:
        """Whether the last tick gave no point."""
        return self.states[-1] == 'idle'

    def tick(self, count: int = 1) -> GovernorCommand:
        """Run ticks of 10 ms, the measured arm being where the last command was."""
        for _ in range(count):
            self.now_ns += TICK_NS
            if self.measuring:
                self.governor.observe(self.q, self.dq, 0.08, self.now_ns)
            command = self.governor.command(self.now_ns)
            self.states.append(command.state.value)
            if command.q is not None:
                if not self.stretches[-1]:
                    self.stretches[-1].extend([self.q] * 3)  # an arm is at rest before
                self.q, self.dq = command.q, command.dq
                self.points.append(command.q)
                self.stretches[-1].append(command.q)
            elif self.stretches[-1]:
                self.stretches.append([])
        return command

    def follow_joint(self, joint: int, goal: float) -> None:
        """Send targets up to 0.2 rad ahead until one joint has been at `goal` for a second."""
        while abs(self.q[joint] - goal) > 0.2:
            q = self.q.copy()
            q[joint] += 0.2 * np.sign(goal - q[joint])
            self.follow(q, 0.1)
        q = self.q.copy()
        q[joint] = goal
        self.follow(q, 2.0)

    def follow(self, q: FloatArray, seconds: float, *, generation: int = 1) -> None:
        """Send a chunk that stays at `q` each period for some time [s]."""
        for _ in range(round(seconds / PERIOD_S)):
            self.governor.observe(self.q, self.dq, 0.08, self.now_ns)
            self.governor.accept(still_chunk(self.now_ns, q, generation=generation), self.now_ns)
            self.tick(10)


def largest_parts(points: list[FloatArray], limits: RobotLimits, dt_s: float) -> list[float]:
    """Return the largest parts of speed, acceleration and jerk limits that points use.

    Derivatives by finite differences of the points alone: what an arm would see.
    """
    track, parts = np.array(points), []
    bounds = (limits.dq_max, limits.ddq_max, limits.dddq_max)
    for order, bound in enumerate(bounds, start=1):
        parts.append(float((np.abs(np.diff(track, n=order, axis=0)) / dt_s**order / bound).max()))
    return parts
