"""The running graph as an `EpisodeRig`: what a protocol asks, in services and waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import time
from typing import TypeVar

from roboadapt_ros.bench.observer import GraphObserver
from roboadapt_ros.bringup.client import SwitchAnswer
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.dataflow import NO_ADAPTERS
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.evaluation.protocol import JudgeView
from roboadapt_ros.evaluation.run_record import SwitchRecord

IDLE_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 10.0
RETRY_S = 0.1
SLICE_S = 0.25

T = TypeVar('T')


class LiveRig:
    """Runs episodes through a graph that is up.

    The order of an episode's calls is the protocol's; this class knows what each needs: the
    arm is only put elsewhere while nobody moves it, and the gate only opens for a command that
    was computed from the present scene.
    """

    def __init__(self, graph: Graph, observer: GraphObserver, *, moving_rad_s: float):
        """Drive `graph`; `moving_rad_s` is the joint speed above which the arm moves."""
        self._graph, self._observer = graph, observer
        self._moving_rad_s = moving_rad_s
        self._scene_ns = 0
        self._generation = 0
        self._task = ''
        self._answers: list[tuple[SwitchAnswer, SwitchRecord]] = []

    def reset(self, task: str, seed: int) -> None:
        """Close the gate, recover a robot at fault, place objects, start the judge's clock.

        An arm that is told to keep its position would go back there, so its controller is taken
        off it until it has been put elsewhere.
        """
        self.disarm()
        if self._graph.rig.arm.output.keep_alive:
            self._graph.client.hard_stop()
            self._await_governor('fault')
            self._place(task, seed)
            self._recover()
        else:
            self._recover()
            self._place(task, seed)

    def _place(self, task: str, seed: int) -> None:
        self._scene_ns = self._retry(lambda: self._graph.client.reset_episode(task, seed))

        def is_judged() -> bool:
            view = self._observer.episode()
            return view is not None and (view.task, view.seed) == (task, seed)

        self._observer.await_condition(is_judged, f'The judge of {task}', READY_TIMEOUT_S)

    def switch(self, adapter: str) -> SwitchRecord:
        """Switch to a task package, or 'none:<task>'."""
        speed, gate = self._observer.joint_speed_rad_s(), self._observer.gate('sim2real')
        is_armed = gate is not None and gate.state == 'armed'
        answer = self._graph.client.switch(adapter)
        self._observer.note_switch(answer)
        task = adapter.removeprefix(NO_ADAPTERS)
        record = SwitchRecord(
            from_task=self._task,
            to_task=task,
            generation=answer.generation,
            switch_us=answer.switch_us,
            boundary_ms=answer.boundary_ms,
            frames_dropped=answer.frames_dropped,
            stamp_ns=self._graph.client.now_ns(),
            speed_rad_s=speed,
            moving=is_armed and speed > self._moving_rad_s,
        )
        self._task, self._generation = task, answer.generation
        self._answers.append((answer, record))
        return record

    def arm(self) -> None:
        """Open the gate, as soon as a command for the present scene is there."""
        self._observer.await_message(
            'policy',
            generation=self._generation,
            after_ns=self._scene_ns,
            timeout_s=READY_TIMEOUT_S,
        )
        self._retry(self._graph.client.arm)

    def disarm(self) -> None:
        """Close the gate and wait until the governor has let go of the arm."""
        self._graph.client.disarm()
        # After a fault of the robot it stays in 'fault' until the robot is recovered.
        self._await_governor('idle', 'fault')

    def _await_governor(self, *states: str) -> None:
        def is_there() -> bool:
            status = self._observer.gate('governor')
            return status is not None and status.state in states

        what = f'A governor that is {" or ".join(states)}'
        self._observer.await_condition(is_there, what, IDLE_TIMEOUT_S)

    def judge(self) -> JudgeView:
        """Return the latest view of the episode."""
        view = self._observer.episode()
        if view is None:
            return JudgeView(
                task='', seed=0, running=True, success=False, elapsed_s=0.0, message=''
            )
        return JudgeView(
            task=view.task,
            seed=view.seed,
            running=view.running,
            success=view.success,
            elapsed_s=view.elapsed_s,
            message=view.message,
        )

    def _recover(self) -> None:
        """Recover the simulated robot after a fault, as a person would after looking at it."""
        status = self._observer.gate('governor')
        if status is not None and status.state == 'fault':
            self._retry(self._graph.client.recover)

    def joint_speed_rad_s(self) -> float:
        """Return the measured speed of the fastest joint."""
        return self._observer.joint_speed_rad_s()

    def wait(self, duration_s: float) -> None:
        """Let time pass; raise when a process of the graph has ended."""
        deadline_s = time.monotonic() + duration_s
        while True:
            self._graph.check()
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(SLICE_S, left_s))

    def _retry(self, request: Callable[[], T]) -> T:
        """Ask until it is granted; raises the last `RefusedError` when that takes too long.

        For a moment after a change, a node may not have seen all it asks for.
        """
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                return request()
            except RefusedError:
                if time.monotonic() > deadline_s:
                    raise
                self.wait(RETRY_S)

    @property
    def scene_ns(self) -> int:
        """When the present scene was placed, on the graph's clock [ns]."""
        return self._scene_ns

    def switches(self) -> tuple[SwitchRecord, ...]:
        """Return every switch so far, with frames dropped as the cameras tell it."""
        return tuple(
            replace(record, frames_dropped=self._observer.frames_dropped(answer))
            for answer, record in self._answers
        )
