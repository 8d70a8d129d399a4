"""What may be sent to the arm now: points of a motion, the position to keep, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from roboadapt_ros.control.robot_status import RobotMode, RobotWatch
from roboadapt_ros.nodes.arm_holder import ArmHolder, Hold
from roboadapt_ros.nodes.robot_recovery import RobotRecovery
from roboadapt_ros.ros.publishers import OwnTopics


class StreamRights:
    """Decides by what is known of the robot, its recovery and other publishers.

    Example: at a reflex `mute`. From then on neither points nor what the arm was to keep are sent,
    until the recovery sends the measured position, or nothing stops the arm and the guard calls
    `unmute`.
    """

    def __init__(
        self,
        watch: RobotWatch,
        recovery: RobotRecovery,
        holder: ArmHolder,
        own_topics: OwnTopics,
        sees_arm: Callable[[], bool],
        *,
        keeps_alive: bool,
    ):
        """Begin with the right to send.

        Args:
            watch: Knows what the robot reports.
            recovery: Sends measured positions in the course of it.
            holder: Finds out who holds an arm at rest.
            own_topics: Knows whether somebody else sends there.
            sees_arm: Says whether it is known where the arm is.
            keeps_alive: Whether the rig's controller minds a sender that falls silent.
        """
        self._watch, self._recovery, self._holder = watch, recovery, holder
        self._own_topics, self._sees_arm, self._keeps_alive = own_topics, sees_arm, keeps_alive
        self._is_muted, self._was_gone = False, False

    def mute(self) -> None:
        """Send nothing from now on but what a recovery sends: what the arm was told is old."""
        self._is_muted = True

    def unmute(self) -> None:
        """Send again; for an arm that nothing stops."""
        self._is_muted = False

    def lose_arm(self) -> None:
        """Forget where the arm was held: it is neither reported nor measured any more.

        What reports again may be under a controller that starts at the first target it hears.
        """
        self._was_gone = True

    @property
    def may_stream(self) -> bool:
        """Whether points may be sent: not to a robot at fault, nor after a hard stop."""
        return not self._is_muted

    @property
    def may_keep(self) -> bool:
        """Whether an arm at rest may be sent the position to keep.

        In a recovery that is how its targets become the measured positions; else only to
        controllers that want it, and not beside another publisher.
        """
        status = self._watch.status
        if status is not None and status.problem is not None:
            return False
        if self._was_gone and not self._sees_arm():
            return False
        if self._recovery.sends_measured or self._recovery.sends_kept:
            return True
        return self._keeps_alive and not self._is_muted and not self._own_topics.are_shared

    def hold(self, now_ns: int, mode: RobotMode | None, *, is_off: bool) -> Hold:
        """Return who holds an arm that `may_keep`; after it was lost, it keeps where it is found.

        Args:
            now_ns: Time now [ns].
            mode: The robot's mode now, None where it is not known.
            is_off: Whether it is far from what it is to keep.
        """
        if self._recovery.sends_measured or self._was_gone:
            self._was_gone = False
            return Hold.NOBODY
        return self._holder.find(now_ns, mode, is_off=is_off)
