"""The graph from outside: its services, with deadlines and the core's values.

Used by the command line, the evaluation and the supervisor.
"""

from __future__ import annotations

from collections.abc import Sequence
import time

from roboadapt_interfaces.srv import (
    Arm,
    ListAdapters,
    Recover,
    ResetEpisode,
    ShadowAdapters,
    StageAdapter,
    SwitchAdapter,
    VerifyBase,
)
from roboadapt_ros.bringup.answers import (
    AdapterList,
    BaseAnswer,
    RecoveryAnswer,
    SwitchAnswer,
)
from roboadapt_ros.bringup.connection import Connection, SERVICE_TIMEOUT_S
from roboadapt_ros.control.recovery import MOST_ATTEMPTS, RecoveryConfig
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.ros.convert import from_time
from std_srvs.srv import Trigger

__all__ = ['AdapterList', 'BaseAnswer', 'GraphClient', 'RecoveryAnswer', 'SwitchAnswer']

SWITCH_TIMEOUT_S = 10.0
STAGE_TIMEOUT_S = 120.0
"""Where a task has adapters at places that none had before, a graph is exported first [s]."""
VERIFY_TIMEOUT_S = 30.0
RESET_PATIENCE_S = 0.3
ARM_PATIENCE_S = 1.0
RECOVERY_TIMEOUT_S = RecoveryConfig(attempts=MOST_ATTEMPTS).longest_s + 10.0
"""The longest that a rig file can ask for [s]."""


class GraphClient(Connection):
    """Talks to a running graph.

    Example::

        with GraphClient() as client:
            client.watch(GateStatus, 'governor/status', print, STATUS)
            client.switch('push_blue')
            client.arm()
    """

    def switch(self, task: str, timeout_s: float = SWITCH_TIMEOUT_S) -> SwitchAnswer:
        """Switch the encoder; returns once the new task's first features are out.

        Args:
            task: A resident task, or 'none:<task>' for that task without its adapters.
            timeout_s: Longest wait for the answer [s].

        Raises:
            RefusedError: 'switch': unknown or not resident task, missing camera, no frames.
            BringupError: No answer.
        """
        answer = self.call(
            SwitchAdapter, 'encoder/switch_adapter', SwitchAdapter.Request(task=task), timeout_s
        )
        if not answer.success:
            raise RefusedError('switch', answer.message)
        return SwitchAnswer(
            task=task,
            generation=answer.generation,
            package_digest=answer.package_digest,
            last_frame_before_ns=from_time(answer.last_frame_before),
            first_frame_after_ns=from_time(answer.first_frame_after),
            switch_us=answer.switch_us,
            boundary_ms=answer.boundary_ms,
            frames_dropped=answer.frames_dropped,
        )

    def stage(self, task: str, *, evict: bool = False) -> str:
        """Make a task resident, or drop it; returns the package's digest ('' when dropped).

        Raises:
            RefusedError: 'stage', with the thing, the rule and the choices.
            BringupError: No answer.
        """
        request = StageAdapter.Request(task=task, evict=evict)
        answer = self.call(StageAdapter, 'encoder/stage_adapter', request, STAGE_TIMEOUT_S)
        if not answer.success:
            raise RefusedError('stage', answer.message)
        return str(answer.package_digest)

    def shadow(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Let resident candidates ride along on the live frames; () ends it.

        Raises:
            RefusedError: 'shadow', with the thing, the rule and the choices.
            BringupError: No answer.
        """
        request = ShadowAdapters.Request(tasks=list(tasks))
        answer = self.call(ShadowAdapters, 'encoder/shadow_adapters', request)
        if not answer.success:
            raise RefusedError('shadow', answer.message)
        return tuple(answer.shadows)

    def list_adapters(self) -> AdapterList:
        """Return what the encoder has; raises BringupError without an answer."""
        request = ListAdapters.Request()
        answer = self.call(ListAdapters, 'encoder/list_adapters', request, repeat=True)
        return AdapterList(
            active_task=answer.active_task,
            generation=answer.generation,
            resident=dict(zip(answer.resident, answer.digests, strict=True)),
            available=tuple(answer.available),
            backbone_id=answer.backbone_id,
            backbone_digest=answer.backbone_digest,
        )

    def verify_base(self) -> BaseAnswer:
        """Have the live backbone checked; raises BringupError without an answer."""
        answer = self.call(
            VerifyBase, 'encoder/verify_base', VerifyBase.Request(), VERIFY_TIMEOUT_S
        )
        return BaseAnswer(
            intact=answer.success,
            message=answer.message,
            digest=answer.digest,
            expected_digest=answer.expected_digest,
            probe_equal=answer.probe_equal,
        )

    def arm(self) -> None:
        """End a soft stop where there is one, and open the gate.

        Raises:
            RefusedError: 'arm', with what is missing and what to do; 'reset' after a stop that
                takes a recovery.
            BringupError: No answer.
        """
        self._trigger('reset', 'governor/reset')
        # The gate hears only with the governor's next status that the stop has ended.
        deadline_s = time.monotonic() + ARM_PATIENCE_S
        while True:
            answer = self.call(Arm, 'sim2real/arm', Arm.Request(arm=True))
            if answer.success:
                return
            if time.monotonic() > deadline_s or 'governor' not in answer.message:
                raise RefusedError('arm', answer.message)
            time.sleep(0.05)

    def disarm(self) -> str:
        """Close the gate and return its state; raises BringupError without an answer."""
        request = Arm.Request(arm=False)
        return str(self.call(Arm, 'sim2real/arm', request, repeat=True).state)

    def reset_episode(self, task: str, seed: int) -> int:
        """Place the simulated rig's objects for an episode; returns when that was [ns].

        Disarm and wait for the governor to be idle before. The last targets may then still be on
        their way, so a refusal stands only after `RESET_PATIENCE_S`.

        Raises:
            RefusedError: 'reset', for instance while targets are coming.
            BringupError: No answer.
        """
        request = ResetEpisode.Request(task=task, seed=seed)
        deadline_s = time.monotonic() + RESET_PATIENCE_S
        while True:
            answer = self.call(ResetEpisode, 'sim_rig/reset_episode', request)
            if answer.success:
                return from_time(answer.stamp)
            if time.monotonic() > deadline_s:
                raise RefusedError('reset', answer.message)
            time.sleep(0.02)

    def soft_stop(self) -> str:
        """Brake and hold until `arm`; returns why the arm stands.

        Raises:
            RefusedError: 'soft_stop', where the governor is not active.
            BringupError: No answer.
        """
        return self._trigger('soft_stop', 'governor/soft_stop', repeat=True)

    def hard_stop(self) -> str:
        """Take the arm from its controllers until `recover`; returns why the arm stands.

        Raises:
            RefusedError: 'hard_stop', where they could not be deactivated.
            BringupError: No answer.
        """
        return self._trigger('hard_stop', 'governor/hard_stop', repeat=True)

    def recovery_plan(self) -> RecoveryAnswer:
        """Return what a recovery would do, and why it is needed; nothing is done."""
        return self._recover(confirm=False)

    def recover(self) -> RecoveryAnswer:
        """Bring the robot back, step by step. Only for a person who has looked at the arm.

        Raises:
            RefusedError: 'recover', with the step that failed and what to do.
            BringupError: No answer.
        """
        answer = self._recover(confirm=True)
        if not answer.success:
            raise RefusedError('recover', '; '.join([answer.message, *answer.steps]))
        return answer

    def _recover(self, *, confirm: bool) -> RecoveryAnswer:
        timeout_s = RECOVERY_TIMEOUT_S if confirm else SERVICE_TIMEOUT_S
        request = Recover.Request(confirm=confirm)
        answer = self.call(Recover, 'governor/recover', request, timeout_s, repeat=not confirm)
        return RecoveryAnswer(
            success=answer.success,
            message=answer.message,
            state=answer.state,
            steps=tuple(answer.steps),
        )

    def _trigger(self, cause: str, service: str, *, repeat: bool = False) -> str:
        answer = self.call(Trigger, service, Trigger.Request(), repeat=repeat)
        if not answer.success:
            raise RefusedError(cause, answer.message)
        return str(answer.message)
