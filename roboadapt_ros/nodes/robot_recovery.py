"""The recovery of a rig: its drivers' steps, and those that are the governor's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from rclpy.task import Future
from roboadapt_interfaces.srv import Recover
from roboadapt_ros.control.governor import Governor
from roboadapt_ros.control.recovery import (
    Action,
    Outcome,
    Pending,
    Recovery,
    RecoveryConfig,
    RecoveryState,
    Step,
)
from roboadapt_ros.control.robot_pulse import RobotPulse
from roboadapt_ros.control.robot_status import RobotMode, RobotWatch
from roboadapt_ros.nodes.robot_actions import RobotActions
from roboadapt_ros.ros.calls import Condition, Sequence
from roboadapt_ros.ros.node_parameters import GovernorParameters

ALIGN_S = 0.2
"""For how long the measured positions are sent before controllers are activated [s]: some start
from the last target that they heard, and take none for good after a long silence."""
_WELL = (Step.SETUP, Step.ALIGN, Step.ACTIVATE, Step.SETTLE)
"""Steps after the robot was found to be well."""


DRIVER_ENDED = (
    ": has the arm's driver ended? Start it again; a recovery brings back what the rig file names "
    '(arm.recovery.hardware_component)'
)
"""Said where no state comes and nothing here could make it come."""


class RobotRecovery:
    """Runs a `Recovery` from a node's ticks; whoever started it awaits a future."""

    def __init__(
        self,
        config: GovernorParameters,
        governor: Governor,
        watch: RobotWatch,
        pulse: RobotPulse,
        actions: RobotActions,
        sees_arm: Callable[[], bool],
    ):
        """Put the steps together.

        Args:
            config: The node's parameters.
            governor: Is aligned with the measured arm.
            watch: Knows what the robot reports; lifted at the end.
            pulse: Knows whether that is of now.
            actions: The drivers' part.
            sees_arm: Says whether it is known where the arm is.
        """
        self._governor, self._watch, self._pulse = governor, watch, pulse
        self._actions = actions
        self._sees_arm, self._has_state = sees_arm, bool(config.robot_state_type)
        self._config = RecoveryConfig(attempts=config.recovery.attempts)
        knows_hardware = bool(config.recovery.hardware_component)
        self._restart = '' if knows_hardware else DRIVER_ENDED
        steps = actions.recovery()
        if self._has_state:
            steps[Step.CHECK] = Action(
                summary='wait until the robot reports no error', begin=self._begin_check
            )
        steps[Step.ALIGN] = Action(
            summary='set targets to the measured positions and empty all buffers',
            begin=self._begin_align,
        )
        steps[Step.SETTLE] = Action(
            summary=f'see that no error comes back for {self._config.settle_s:g} s',
            begin=self._begin_settle,
        )
        first = next(step for step in Step if step in steps)
        steps[first] = replace(
            steps[first], begin=partial(Sequence, [self._begin_rest, steps[first].begin])
        )
        self._recovery = Recovery(steps, self._config)
        self._switches = Step.ACTIVATE in steps
        self._ended: Future[Any] | None = None
        self._is_at_rest, self._is_aligned = True, False
        self._old_errors: tuple[str, ...] = ()
        """Errors that had ended the last motion when the robot was found to be well."""

    @property
    def state(self) -> RecoveryState:
        """Where the recovery is."""
        return self._recovery.state

    @property
    def reason(self) -> str:
        """Why it is there, for a person."""
        return self._recovery.reason

    @property
    def is_running(self) -> bool:
        """Whether steps are being taken."""
        return self._recovery.is_running

    @property
    def sends_measured(self) -> bool:
        """Whether the arm is to be sent where it is measured: before it is commanded again."""
        return self._is_aligned and self._recovery.step is Step.ALIGN

    @property
    def sends_kept(self) -> bool:
        """Whether that position goes on being sent, while it is commanded again."""
        return self._is_aligned and self._recovery.step in (Step.ACTIVATE, Step.SETTLE)

    def start(self, now_ns: int, refusal: str | None) -> Future[Any]:
        """Begin, and return what is done when it has ended; raises as `Recovery.start`."""
        self._recovery.start(now_ns, refusal)
        self._actions.meet_all()
        self._ended = Future()
        return self._ended

    def tick(self, now_ns: int, *, is_at_rest: bool) -> bool:
        """Go on; returns True once, when the robot has recovered."""
        self._is_at_rest = is_at_rest
        if not self.is_running:
            return False
        self._recovery.tick(now_ns, self._interruption(now_ns))
        if self.is_running:
            return False
        if self.state is RecoveryState.DONE:
            self._watch.recovered()
        self._conclude()
        return self.state is RecoveryState.DONE

    def abort(self, reason: str) -> None:
        """Give up a recovery that is running."""
        self._recovery.abort(reason)
        self._conclude()

    def describe(self, response: Recover.Response, blocked: str | None) -> Recover.Response:
        """Answer a request that is not confirmed: what would be done, or what is being done."""
        recovery = self._recovery
        response.success, response.state = False, recovery.state.value
        if recovery.is_running:
            response.message, response.steps = f'running, {recovery.reason}', recovery.trail
            return response
        why = blocked or 'nothing asks for a recovery'
        response.message = (
            f'{why}. Nothing was done; with confirm, which says that a person has looked at the '
            'arm and what is around it, these steps would follow'
        )
        response.steps = recovery.plan()
        return response

    def report(self, response: Recover.Response) -> Recover.Response:
        """Answer with how it ended."""
        recovery = self._recovery
        response.success = recovery.state is RecoveryState.DONE
        response.state, response.steps = recovery.state.value, list(recovery.trail)
        response.message = (
            'recovered; arm the gate to go on' if response.success else recovery.reason
        )
        return response

    def _interruption(self, now_ns: int) -> str | None:
        """Return why it must end at once.

        An error that comes when the robot was well already is a new one: nobody has looked at the
        arm since, and to try again would clear it unseen, as starting a controller would. One that
        came and went is known by the errors that ended the last motion.
        """
        status = self._watch.status
        if status is None:
            return None
        if status.is_user_stopped and self._pulse.is_fresh(now_ns):
            return 'the user stop is pressed'
        if self._recovery.step not in _WELL:
            return None
        if status.is_fault or status.mode is RobotMode.GUIDING:
            return f'{status.problem}, after the robot was well; look at the arm again'
        if status.last_errors not in ((), self._old_errors):
            came = ', '.join(status.last_errors)
            return f'{came} came and went, after the robot was well; look at the arm again'
        lost = self._pulse.loss(now_ns)
        return None if lost is None else f'{lost[0]}; look at the arm again'

    def _conclude(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._ended = None

    def _begin_rest(self) -> Pending:
        """Wait for the end of a stop that is going on, before controllers are taken from it."""

        def is_over(_: int) -> Outcome | None:
            return Outcome(True) if self._is_at_rest else None

        return Condition(is_over, lambda: 'the governor is still braking')

    def _begin_check(self) -> Pending:
        """Wait for a report that is newer than what was done, and without an error."""
        seen = self._pulse.beats

        def is_well(_: int) -> Outcome | None:
            status = self._watch.status
            if self._pulse.beats == seen or status is None or status.problem is not None:
                return None
            self._old_errors = status.last_errors
            return Outcome(True)

        def missing() -> str:
            status = self._watch.status
            if self._pulse.beats == seen or status is None:
                return 'the robot reports nothing new'
            return f'the robot still reports {status.problem}'

        return Condition(is_well, missing)

    def _begin_align(self) -> Pending:
        """Send the measured positions while nothing is active that would follow them."""
        self._is_aligned = False
        begun_ns: list[int] = []

        def align(now_ns: int) -> Outcome | None:
            if not self._is_at_rest or not self._sees_arm():
                return None
            begun_ns.append(now_ns)
            self._is_aligned = True
            if abs(now_ns - begun_ns[0]) < ALIGN_S * 1e9:
                return None
            # It goes back into fault with this tick, and starts from the measured arm after it.
            self._governor.reset(is_held_elsewhere=True)
            return Outcome(True)

        def missing() -> str:
            if not self._is_at_rest:
                return 'the governor is still braking'
            return f'the joint states are old{self._restart}'

        return Condition(align, missing)

    def _begin_settle(self) -> Pending:
        """Wait until the robot was well for a while, under controllers that do move it."""
        begun_ns: list[int] = []
        wrong = ['time does not pass']

        def is_settled(now_ns: int) -> Outcome | None:
            trouble = self._unsettled(now_ns)
            if trouble is not None:
                wrong[0] = trouble
                begun_ns.clear()
                return None
            begun_ns.append(now_ns)
            quiet_s = abs(now_ns - begun_ns[0]) / 1e9
            return Outcome(True) if quiet_s >= self._config.settle_s else None

        return Condition(is_settled, lambda: wrong[0])

    def _unsettled(self, now_ns: int) -> str | None:
        """Return what is not yet as it should be under active controllers."""
        status = self._watch.status
        if not self._has_state or status is None:
            return None
        if not self._pulse.is_fresh(now_ns):
            return 'the robot reports nothing new'
        if status.problem is not None:
            return status.problem
        # franka_hardware only logs it where the robot does not take a controller's mode.
        if self._switches and status.mode is RobotMode.IDLE:
            return 'the robot is idle: its controllers are active and do not move it'
        return None
