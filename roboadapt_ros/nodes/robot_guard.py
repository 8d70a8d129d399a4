"""What keeps a governor in fault: its robot, a person, or another publisher; and what ends that.

`robot_services` answers requests by it. Everything here runs in the node's one thread, and
nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.task import Future
from roboadapt_ros.control.command import GovernorState
from roboadapt_ros.control.governor import Governor
from roboadapt_ros.control.recovery import Outcome, Pending
from roboadapt_ros.control.robot_pulse import Lasting, RobotPulse, SILENT_S
from roboadapt_ros.control.robot_status import (
    RECOVER_HINT,
    Release,
    RobotMode,
    RobotStatus,
    RobotWatch,
)
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.nodes.arm_holder import ArmHolder
from roboadapt_ros.nodes.errands import Errands
from roboadapt_ros.nodes.robot_actions import RobotActions
from roboadapt_ros.nodes.robot_recovery import RobotRecovery
from roboadapt_ros.nodes.stream_rights import StreamRights
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import GovernorParameters
from roboadapt_ros.ros.publishers import OwnTopics

CHECK_PERIOD_S = 1.0
IDLE_MAX_S = 0.5
"""Time for which points are sent to a robot that reports to be idle [s]: its mode changes with
the first of them at the latest. Longer, and the command runs away from an arm that nobody moves,
which would jump to it when its controller is activated."""
STATE_MAX_AGE_S = 0.1
"""Oldest joint state that says where the arm is [s]."""
_MOVING = (GovernorState.TRACKING, GovernorState.HOLD, GovernorState.RAMP_DOWN)


class RobotGuard:
    """Holds a governor in fault for as long as there is a reason, and lets it go after that.

    Example: `observe` of a reflex puts the governor in fault and ends the stream of points; when
    the recovery has lifted the watch, the next `tick` resets the governor, which is idle then.
    """

    def __init__(
        self,
        node: GraphNode[GovernorParameters],
        config: GovernorParameters,
        governor: Governor,
        state_age_s: Callable[[], float],
        halt_hand: Callable[[], None],
        *,
        before: RobotGuard | None = None,
    ):
        """Build the rig's recovery.

        Args:
            node: Makes clients, and knows the topics that are the governor's alone.
            config: The node's parameters.
            governor: Is put in fault and reset.
            state_age_s: Age of the newest joint state [s].
            halt_hand: Stops the hand, where it can be told to.
            before: The guard that this one replaces; its stop stays.

        Raises:
            ConfigError: The rig file asks for message types that are not installed.
        """
        self._node, self._governor, self._halt_hand = node, governor, halt_hand
        self.watch = RobotWatch(config.watch.config())
        if before is not None:
            self.watch.inherit(before.watch)
        elif config.fault_before:
            self.watch.stop(f'{config.fault_before} (an earlier process)', Release.RECOVERY)
        self._pulse, self._state_age_s = RobotPulse(), state_age_s
        self.actions = RobotActions(node, config)
        self._holder = ArmHolder(self.actions.begin_look)
        self.recovery = RobotRecovery(
            config, governor, self.watch, self._pulse, self.actions, self._sees_arm
        )
        self.is_set_up = not self.actions.has_setup
        """Whether the robot has been told its collision thresholds and load, and was not lost."""
        self._errands = Errands()
        self._held_for, self._is_at_rest = '', True
        self._idle = Lasting(IDLE_MAX_S)
        self._own_topics = OwnTopics(node)
        self.rights = StreamRights(
            self.watch,
            self.recovery,
            self._holder,
            self._own_topics,
            self._sees_arm,
            keeps_alive=config.output.keep_alive,
        )
        if self._takes_recovery:
            self.rights.mute()

    def activate(self) -> None:
        """Look for other publishers from now on, and for the robot's next report."""
        self._pulse.forget()
        self.actions.meet()
        self._node.every(CHECK_PERIOD_S, self._check_publishers)

    def deactivate(self) -> None:
        """Give up what is going on, and answer whoever waits for it."""
        self.recovery.abort('the governor was deactivated')
        self._errands.abort('the governor was deactivated')
        self._holder.forget()

    def release(self) -> None:
        """Destroy the clients."""
        self.actions.close()

    def mode(self, now_ns: int) -> RobotMode | None:
        """Return the robot's mode now; None where it is not known or was not told just now."""
        status = self.watch.status
        return status.mode if status is not None and self._pulse.is_fresh(now_ns) else None

    @property
    def is_moving(self) -> bool:
        """Whether the governor moves the arm, or keeps it for a motion that is going on."""
        return self._governor.state in _MOVING

    @property
    def warning(self) -> str | None:
        """What a person should know though the arm may move."""
        if not self.is_set_up:
            return (
                'collision thresholds and load of the rig file are not set, or the robot was '
                "silent since: 'governor/setup'"
            )
        return self.watch.warning

    def values(self) -> dict[str, object]:
        """Return what is known of the robot and of its recovery, for diagnostics."""
        known = {} if self.watch.status is None else self.watch.status.values()
        return {**known, 'recovery': f'{self.recovery.state.value}: {self.recovery.reason}'}

    def observe(self, status: RobotStatus) -> None:
        """Take a report of the robot."""
        before, took_recovery = self.watch.blocked, self._takes_recovery
        now_ns = self._node.now_ns()
        was_lost = self._pulse.loss(now_ns) is not None
        self.watch.observe(status, is_moving=self.is_moving, was_lost=was_lost)
        if status.problem is not None or (self._takes_recovery and not took_recovery):
            self.rights.mute()
        self._pulse.note(status, now_ns)
        self._hold()
        if before is None and self.watch.blocked is not None:
            self._node.get_logger().error(self.watch.blocked)

    def note_stream(self, now_ns: int, *, is_sent: bool) -> None:
        """Stop where the arm is to move and the robot says that nothing moves it.

        Points that only brake count no more: a reset meanwhile would be undone by them.

        Args:
            now_ns: Time now [ns].
            is_sent: Whether a point was sent in this tick.
        """
        status = self.watch.status
        is_idle = status is not None and status.mode is RobotMode.IDLE
        if self._idle.lasts(now_ns, is_on=is_sent and self.is_moving and is_idle):
            self.stop(
                'the robot is idle: no active controller takes the targets; activate it',
                Release.RESET,
            )

    def stop(self, reason: str, release: Release, *, is_hard: bool = False) -> None:
        """Stop until `release`; a recovery that is going on is given up.

        Args:
            reason: For a person.
            release: What ends the stop.
            is_hard: Whether the stream ends at once and the hand is stopped; else the arm is
                braked within its limits.
        """
        self.recovery.abort(reason)
        if is_hard:
            self.rights.mute()
            self._halt_hand()
        self.watch.stop(reason, release)
        self._hold()

    def reset(self) -> None:
        """End a stop that takes no recovery.

        Raises:
            RefusedError: As `RobotWatch.reset`, 'publisher' while there is another, and 'robot'
                while its reports do not come.
        """
        lost = self._pulse.loss(self._node.now_ns())
        if lost is not None and self.watch.release is Release.RESET:
            raise RefusedError('robot', f'not reset: {lost[0]}; {RECOVER_HINT}')
        self._own_topics.require()
        self.watch.reset()
        self._hold()

    def begin_recovery(self, now_ns: int) -> Future[None]:
        """Begin what a person has confirmed; returns what is done when it has ended.

        Raises:
            RefusedError: The user stop is pressed, the arm moves, or a recovery is running.
        """
        refusal = None
        if self.mode(now_ns) is RobotMode.USER_STOPPED:
            refusal = 'the user stop is pressed: look at the arm, release it, then recover'
        elif self.is_moving:
            refusal = "the arm is being moved: 'roboadapt stop' first"
        ended = self.recovery.start(now_ns, refusal)
        self._mute_recovery()
        self.watch.stop('recovery by request', Release.RECOVERY)
        self._hold()
        return ended

    async def finish(self, pending: Pending, timeout_s: float) -> Outcome:
        """Return the outcome of an action; ticks go on meanwhile."""
        return await self._errands.finish(pending, self._node.now_ns(), timeout_s)

    def tick(self, now_ns: int, *, is_at_rest: bool) -> None:
        """Go on with what was begun; to be called with every point.

        Args:
            now_ns: Time now [ns].
            is_at_rest: Whether the governor gives no point.
        """
        self._is_at_rest = is_at_rest
        self._note_loss(now_ns)
        self._errands.tick(now_ns)
        if self.recovery.tick(now_ns, is_at_rest=is_at_rest):
            self.is_set_up = True
            self._own_topics.forget()
        self._mute_recovery()
        self._hold()

    @property
    def _takes_recovery(self) -> bool:
        return self.watch.release is Release.RECOVERY

    def _sees_arm(self) -> bool:
        """Return whether it is known where the arm is."""
        return self._state_age_s() <= STATE_MAX_AGE_S

    def _note_loss(self, now_ns: int) -> None:
        """Stop where the robot is lost.

        A robot that is silent may have been switched off, and forgotten what it was told. One
        that is read no more has had an error: its targets are old, and the stream ends at once.
        """
        lost = self._pulse.loss(now_ns)
        if lost is None:
            return
        reason, release = lost
        self.watch.stop(reason, release)
        if release is Release.RECOVERY:
            self.rights.mute()
        self.is_set_up = not self.actions.has_setup
        if self._state_age_s() > SILENT_S:
            self.rights.lose_arm()

    def _mute_recovery(self) -> None:
        """End the stream of an arm that is being recovered, once a stop has come to its end."""
        if self.recovery.is_running and self._is_at_rest:
            self.rights.mute()

    def _hold(self) -> None:
        """Keep the governor in fault while it must not move, and let it go when it may."""
        governor, blocked = self._governor, self.watch.blocked
        is_held = governor.state is GovernorState.FAULT
        if blocked is not None:
            if self.recovery.is_running:
                blocked = f'recovering, {self.recovery.reason}'
            if not is_held or governor.reason != blocked:
                self._held_for = blocked
                governor.fault(blocked)
        elif is_held and governor.reason != self._held_for:
            self.watch.stop(governor.reason, Release.RESET)  # a fault of the governor's own
        elif not is_held:
            self.rights.unmute()
        elif self._is_at_rest:
            governor.reset()
            self.rights.unmute()
            self._node.get_logger().info('May move again; arm the gate to go on')

    def _check_publishers(self) -> None:
        """Stop where somebody else sends on a topic of the arm or the hand."""
        found = self._own_topics.look()
        if found is not None and self.watch.release is None:
            self._node.get_logger().error(found)
            self.watch.stop(found, Release.RESET)
            self._hold()
