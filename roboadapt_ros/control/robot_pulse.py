"""Whether what a robot reports is of now. No ROS, no clock: time is an argument.

A Franka whose motion ends with an error is read no more: libfranka throws before the driver has
the state that says so. franka_ros2 then repeats the last good state with fresh stamps (Humble,
where nothing deactivates the broadcaster) or reports nothing (from Jazzy on). So the error itself
may never be heard, and reports that stand still are the sign of it:
https://github.com/frankarobotics/franka_ros2/blob/humble/franka_hardware/src/franka_hardware_interface.cpp
(`read`), https://github.com/ros-controls/ros2_control/issues/2318.
"""

from __future__ import annotations

from roboadapt_ros.control.robot_status import Release, RobotStatus

STILL_S = 0.5
"""Time without progress of the robot's own clock, while reports come, that is a lost robot [s]."""
SILENT_S = 1.0
"""Time without a report that is one [s]."""
FRESH_S = 0.3
"""Age up to which a report says how the robot does now [s]: three periods of the slowest rig."""


class RobotPulse:
    """Watches that reports come, and that the robot's clock goes on in them.

    Example: reports every millisecond, in which the robot's clock stays at 12.3 s, are a loss
    after 0.5 s; none at all after 1 s. Before the first report nothing is said.
    """

    def __init__(self) -> None:
        """Start without a report."""
        self.forget()

    def forget(self) -> None:
        """Know of no report."""
        self.beats = 0
        """Reports so far in which the robot's clock had gone on."""
        self._time_s: float | None = None
        self._came_ns: int | None = None
        self._beat_ns = 0

    def note(self, status: RobotStatus, now_ns: int) -> None:
        """Take a report.

        Args:
            status: The report; where it has no clock, each one counts as progress.
            now_ns: When it came [ns].
        """
        if self._came_ns is None or status.time_s is None or status.time_s != self._time_s:
            self._beat_ns = now_ns
            self.beats += 1
        self._came_ns, self._time_s = now_ns, status.time_s

    def is_fresh(self, now_ns: int) -> bool:
        """Return whether the last report says how the robot does now."""
        return self._came_ns is not None and abs(now_ns - self._beat_ns) <= FRESH_S * 1e9

    def loss(self, now_ns: int) -> tuple[str, Release] | None:
        """Return that the robot is lost, and what ends the stop for that; None while it is not."""
        if self._came_ns is None:
            return None
        # A clock that was set back: the next report puts that right.
        if abs(now_ns - self._came_ns) > SILENT_S * 1e9:
            return (
                f'the robot reports nothing for {SILENT_S:g} s; its driver may have ended',
                Release.RESET,
            )
        if abs(self._came_ns - self._beat_ns) > STILL_S * 1e9:
            return (
                "the robot's reports stand still: its driver reads it no more, as after an error",
                Release.RECOVERY,
            )
        return None


class Lasting:
    """Tells a condition that lasts from one that comes and goes.

    Example: with 0.5 s, one that is on from 2.0 s to 2.6 s lasts from 2.5 s on.
    """

    def __init__(self, patience_s: float):
        """Wait that long [s]."""
        self._patience_ns = int(patience_s * 1e9)
        self._since_ns: int | None = None

    def lasts(self, now_ns: int, *, is_on: bool) -> bool:
        """Return whether it has been on for longer; `now_ns` is the time now [ns]."""
        if not is_on:
            self._since_ns = None
        elif self._since_ns is None or now_ns < self._since_ns:
            self._since_ns = now_ns
        return self._since_ns is not None and now_ns - self._since_ns > self._patience_ns
