"""The demo tasks in one process, on simulated time: as many minutes as the machine can run.

The same rig, encoder, heads, bridge and governor as in the graph, without ROS. Without the
governor the very same chunks go to the arm, row by row as the bridge makes them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import load_package
from roboadapt_ros.contract import Contract
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.evaluation.inprocess import load_policy
from roboadapt_ros.evaluation.loop import ClosedLoop, make_sim_rig
from roboadapt_ros.evaluation.monitor import IdentityMonitor
from roboadapt_ros.evaluation.motion import LimitMonitor
from roboadapt_ros.evaluation.protocol import JudgeView
from roboadapt_ros.sim.rig import SimRig
from roboadapt_ros.sim.tasks import make_task, Task

TICK_S = 0.01
LET_GO_S = 1.5
"""Time in which a governor without chunks stops the arm and falls silent [s]."""
FloatArray = npt.NDArray[np.float64]


class WatchedLoop(ClosedLoop):
    """A loop whose points are judged on the way to the arm."""

    def __init__(self, rig: SimRig, contract: Contract, motion: LimitMonitor):
        """Judge with `motion`."""
        super().__init__(rig, contract)
        self._motion = motion
        self.points = 0
        """Points sent to the arm."""

    def restart(self) -> None:
        """Go on after an error of the robot: nothing is commanded until the next chunk."""
        self._governor.reset()
        self._bridge.reset()
        self._motion.restart()  # the next motion begins where the arm is

    def _send(self, q: FloatArray) -> None:
        self.points += 1
        self._motion.command(self.now_ns, q)
        super()._send(q)


class UngovernedLoop(WatchedLoop):
    """The same chunks without a governor: at each tick the row that is due goes to the arm.

    Rows are joined by straight lines, and the newest chunk counts: what a node would do that
    plays a chunk at 100 Hz and knows nothing else. It begins where the arm is, as a controller
    does when it is activated.
    """

    _rows: ActionChunk | None = None
    _has_begun = False

    def reset(self, seed: int, latency_s: float | None = None) -> None:
        """Start a new episode without a chunk."""
        self._rows, self._has_begun = None, False
        super().reset(seed, latency_s)

    def restart(self) -> None:
        """Go on after an error of the robot: nothing is commanded until the next chunk."""
        self._rows, self._commanded, self._has_begun = None, None, False
        super().restart()

    def _offer(self, chunk: ActionChunk) -> None:
        try:
            self._rows = self._bridge.map(chunk, self.state())
            self._followed = chunk
        except RefusedError as error:
            self.refusals[error.cause] += 1

    def _tick(self) -> None:
        if self._rows is not None:
            row = self._rows.sample(self.now_ns)
            self._send(row[:7] if self._has_begun else self.rig.state().q)
            self._has_begun = True
            self.rig.set_gripper_target(float(row[7]))
        self.rig.advance(TICK_S)


class SimulatedSoak:
    """What the soak asks of a rig, on simulated time."""

    def __init__(self, models: Path, tasks: tuple[str, ...], *, governed: bool, threads: int = 1):
        """Load backbone, tasks and the rig.

        Raises:
            RoboAdaptError: A package is missing or can't be read.
        """
        self._policy = load_policy(models, tasks[0], threads)
        for task in tasks[1:]:
            self._policy.add(load_package(TaskLibrary(models / 'tasks').path(task)))
        self._rig = make_sim_rig(0)
        self._motion = LimitMonitor(robot_limits('panda'), period_s=TICK_S, max_gap_s=0.08)
        kind = WatchedLoop if governed else UngovernedLoop
        self._loop = kind(self._rig, self._policy.encoder.contract(tasks[0]), self._motion)
        self._identities = IdentityMonitor()
        self._judge: Task = make_task(tasks[0])
        self._seed, self._started_s, self._is_armed = 0, 0.0, False
        self.stops = 0
        """How often the robot stopped with an error."""
        self.errors: Counter[str] = Counter()
        """The errors it named; one stop may have several."""

    def reset(self, task: str, seed: int) -> None:
        """Place the objects and start the judge's clock."""
        self._is_armed = False
        self._loop.reset(seed)
        self._policy.policies.reset()
        self._judge, self._seed = make_task(task), seed
        self._judge.start(self._rig)
        self._started_s = self._rig.time_s

    def switch(self, adapter: str) -> bool:
        """Serve a task from the next frame on; return whether the arm moved."""
        activation = self._policy.encoder.activate(adapter)
        self._identities.switched(activation.generation, adapter, activation.package_digest)
        return self._is_armed and float(np.abs(self._rig.state().dq).max()) > 0.03

    def arm(self) -> None:
        """Let chunks through."""
        self._is_armed = True

    def disarm(self) -> None:
        """Let no more chunks through, and wait until the governor has let go of the arm."""
        self._is_armed = False
        if isinstance(self._loop, UngovernedLoop):
            self._loop.restart()
        self.wait(LET_GO_S)

    def judge(self) -> JudgeView:
        """Return how the episode stands."""
        outcome = self._judge.outcome(self._rig)
        return JudgeView(
            task=self._judge.name,
            seed=self._seed,
            running=not (outcome.success or outcome.failed),
            success=outcome.success,
            elapsed_s=self._rig.time_s - self._started_s,
            message=outcome.message,
        )

    def wait(self, duration_s: float) -> None:
        """Run whole policy periods; an error is counted and recovered from."""
        for _ in range(max(1, round(duration_s / self._loop.contract.period_s))):
            self._loop.run_period(self._act() if self._is_armed else None)
            if self._rig.errors:
                self.stops += 1
                self.errors.update(self._rig.errors)
                self._rig.recover()
                self._loop.restart()

    def _act(self) -> ActionChunk:
        """Return the policy's answer to what the cameras see now."""
        chunk = self._policy(self._loop.observe(), lambda: self._loop.now_ns)
        self._identities.observe('policy', chunk.identity)
        return chunk

    @property
    def robot_s(self) -> float:
        """Time the arm was commanded [s]."""
        return self._loop.points * TICK_S

    def mixed_messages(self) -> int:
        """Return the chunks that mixed two tasks."""
        return self._identities.finish()

    def limit_violations(self) -> int:
        """Return the commanded points beyond the arm's limits, as an independent judge counts."""
        return len(self._motion.violations)

    def close(self) -> None:
        """Free the renderer."""
        self._rig.close()
