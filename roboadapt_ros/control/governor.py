"""The last stage before the arm: chunks in, safe points out, 100 times a second.

Here is decided whether the arm moves; how it moves is in `follower`, what a chunk must be in
`admission`. Time is an argument, in integer nanoseconds of the chunks' clock. Not thread-safe:
one thread (one callback group) calls all methods. This module imports no ROS and no torch.
"""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
import numpy.typing as npt
from roboadapt_ros.contract import Envelope
from roboadapt_ros.control.admission import GRIPPER_COLUMN, StreamGate
from roboadapt_ros.control.bounds import Bounds
from roboadapt_ros.control.command import GovernorCommand, GovernorState
from roboadapt_ros.control.contact import ContactLeash, PressWatch
from roboadapt_ros.control.follower import Follower
from roboadapt_ros.control.governor_config import GovernorConfig
from roboadapt_ros.control.gripper import GripperLimiter, JamWatch
from roboadapt_ros.control.guard import MotionGuard
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.control.measured import Measured, MeasuredState
from roboadapt_ros.control.path import PathGate
from roboadapt_ros.control.self_collision import SelfDistance
from roboadapt_ros.control.watchdog import Silence, Watchdog
from roboadapt_ros.control.workspace import Kinematics
from roboadapt_ros.dataflow import ActionChunk
from roboadapt_ros.errors import RefusedError

FloatArray = npt.NDArray[np.float64]


__all__ = ['Governor', 'GovernorCommand', 'GovernorConfig', 'GovernorState']


class Governor:
    """Makes a stream of chunks into points that keep every limit.

    Between successive points (spacing 1 / rate) the finite differences of position stay within
    the scaled speed, acceleration and jerk, whatever comes in. A chunk is refused as a whole
    with a cause, except for rows beyond the workspace: see `PathGate`.

    Example, policy at 10 Hz, last chunk accepted at 10.00 s: TRACKING until 10.20 s, then HOLD
    (a jerk-limited stop), at 10.50 s RAMP_DOWN, at 11.00 s IDLE, where `command` gives no point.
    """

    def __init__(self, config: GovernorConfig, limits: RobotLimits, kinematics: Kinematics):
        """Build an idle governor.

        Args:
            config: How careful to be.
            limits: The arm's own limits; scaled and narrowed by the configuration.
            kinematics: The arm's geometry, joints in the limits' order.
        """
        self.config = config
        self.names = (*limits.joint_names, GRIPPER_COLUMN)
        """Columns a chunk must have."""
        self.accepted = 0
        self.refused = 0
        self.state, self.reason = GovernorState.IDLE, 'no chunk yet'
        self.kept: FloatArray | None = None
        """Where the arm's controller was told to hold it meanwhile (7,) [rad]: the next motion
        starts there, so that it sees no step. None: it was told nothing since the last point."""
        self._counts: Counter[str] = Counter()
        self._dt_s, self._lookahead_ns = 1.0 / config.rate_hz, int(config.lookahead_s * 1e9)
        # The points that the arm, which is behind by the lookahead, has not reached; one more.
        self._underway: deque[FloatArray] = deque(
            maxlen=1 + round(config.lookahead_s * config.rate_hz)
        )
        self._rig = self._bounds = config.motion.bounds(limits, config.workspace)
        self._envelope: Envelope | None = None
        outside = (kinematics, SelfDistance(), config.self_collision.min_distance_m)
        self._path = PathGate(self._rig, *outside, config.admission)
        guard = MotionGuard(self._rig, *outside, self._dt_s)
        leash = ContactLeash(config.contact, kinematics, self._dt_s, config.lookahead_s)
        self._follower = Follower(config.motion, guard, leash, self._dt_s)
        self._gripper = GripperLimiter(config.gripper, limits.gripper_width_max_m)
        self._jam = JamWatch(config.gripper)
        self._press = PressWatch(config.contact, self._dt_s)
        self._watchdog = Watchdog(config.watchdog)
        self._stream = StreamGate(config.admission, self.names)
        self._measured = MeasuredState(limits, config.state_timeout_s)
        self._chunk: ActionChunk | None = None
        self._end_ns = 0

    @property
    def counts(self) -> dict[str, int]:
        """Refusals by cause, and whatever else made the arm hold, brake or go silent."""
        parts = (self._path.counts, self._follower.counts, self._measured.counts)
        return dict(sum(parts, self._counts))

    @property
    def limits(self) -> RobotLimits:
        """The arm's own limits, unscaled."""
        return self._rig.arm

    @property
    def bounds(self) -> Bounds:
        """What points keep now: the rig's bounds, or the followed task's where tighter."""
        return self._bounds

    @property
    def commanded_limits(self) -> RobotLimits:
        """The scaled and narrowed limits that points keep."""
        return self._follower.limits

    def narrow(self, q_min: FloatArray, q_max: FloatArray, dq_max: FloatArray) -> None:
        """Narrow the arm's limits, also while it moves; nothing makes them wider again.

        Args:
            q_min: Lowest joint positions (7,) [rad]; infinite: as they are.
            q_max: Highest joint positions (7,) [rad].
            dq_max: Largest joint speeds (7,) [rad/s].

        Raises:
            ConfigError: They leave a joint no room; nothing has changed.
        """
        arm = self._rig.arm.within(q_min=q_min, q_max=q_max, dq_max=dq_max)
        rig = self.config.motion.bounds(arm, self.config.workspace)
        bounds = rig.tightened(self._envelope)
        self._rig = rig
        self._keep(bounds, self._envelope)

    @property
    def gripper_goal_m(self) -> float:
        """Width the commanded one is on its way to [m]; for hands that take whole commands."""
        return self._gripper.goal_m

    @property
    def generation(self) -> int:
        """Generation of the last accepted chunk; 0 before the first."""
        return 0 if self._chunk is None else self._chunk.identity.generation

    def observe(
        self, q: FloatArray, dq: FloatArray, gripper_width_m: float, stamp_ns: int
    ) -> None:
        """Take a measured state; a malformed one, or one older than the last, is only counted.

        Args:
            q: Joint positions (7,) [rad], rig order.
            dq: Joint velocities (7,) [rad/s].
            gripper_width_m: Distance between the fingers [m].
            stamp_ns: When it was measured [ns].
        """
        self._measured.observe(q, dq, gripper_width_m, stamp_ns)

    def accept(self, chunk: ActionChunk, now_ns: int) -> None:
        """Take a chunk to follow from the next tick on.

        Args:
            chunk: Joint positions of the rig and the gripper's width.
            now_ns: Time now [ns].

        Raises:
            RefusedError: With its cause: fault, space, names, shape, nan, period, zero_stamp,
                future, stale, old_generation, reordered, not_ready, state_stale, moving,
                tracking_error, envelope, limits, degrees, gripper_width, jump, workspace,
                self_collision. Only the counts have changed.
        """
        try:
            if self.state is GovernorState.FAULT:
                raise RefusedError('fault', f'{self.reason}; reset the governor')
            self._stream.check(chunk, now_ns)
            measured = self._measured.fresh(now_ns)
            is_new = chunk.envelope != self._envelope
            bounds = self._rig.tightened(chunk.envelope) if is_new else self._bounds
            rows = self._admit_motion(chunk, measured, now_ns, bounds)
        except RefusedError as error:
            self._counts[error.cause] += 1
            self.refused += 1
            raise
        if self._chunk is not None and chunk.identity.generation != self.generation:
            self._counts['generation_changes'] += 1
        self.accepted += 1
        if is_new:
            self._keep(bounds, chunk.envelope)
        if self.state is GovernorState.IDLE:
            self._follower.start(self._start(measured))
            self._gripper.reset(measured.gripper_width_m)
        self._follower.join(rows, chunk.start_ns, chunk.period_s, now_ns + self._lookahead_ns)
        self._end_ns = chunk.start_ns + int(len(rows) * chunk.period_s * 1e9)
        self._chunk = chunk
        self._stream.note(chunk)
        self._watchdog.feed(now_ns, chunk.period_s)
        self._enter(GovernorState.TRACKING, f'task {chunk.identity.task}')

    def command(self, now_ns: int) -> GovernorCommand:
        """Return the point for this tick.

        Args:
            now_ns: Time now [ns]; ticks may jitter, each moves the arm by one period.
        """
        self._update(now_ns)
        if self.state is GovernorState.IDLE or (
            self.state is GovernorState.FAULT and self._follower.is_at_rest
        ):
            return GovernorCommand(None, None, None, self.state, self.reason, self._chunk)
        is_easing = self.state is GovernorState.RAMP_DOWN and self._follower.is_easing(now_ns)
        if self.state is GovernorState.TRACKING and self._chunk is not None:
            time_ns = now_ns + self._lookahead_ns
            self._follower.follow(time_ns, now_ns, self._measured.newest)
            self._gripper.aim(float(self._chunk.sample(min(time_ns, self._end_ns))[-1]), now_ns)
        elif is_easing:
            self._follower.follow(now_ns, now_ns)
        else:
            self._follower.brake()
        width_m = self._gripper.step(self._dt_s)
        q, dq, _ = self._follower.state
        self._underway.append(q.copy())
        return GovernorCommand(q.copy(), dq.copy(), width_m, self.state, self.reason, self._chunk)

    def fault(self, reason: str) -> None:
        """Stop, and stay silent until `reset`."""
        self._enter(GovernorState.FAULT, reason)

    def reset(self, *, is_held_elsewhere: bool = False) -> None:
        """Leave a fault, or whatever is going on, for IDLE; only the counts are remembered.

        A motion that is going on ends without a stop: call `fault` first where the arm moves.

        Args:
            is_held_elsewhere: Whether the arm's controller no longer holds the last point, as
                after it was activated again: the next motion starts where the arm is measured.
        """
        if is_held_elsewhere:
            self._follower.forget()
        self._measured.newest = None
        self._go_idle('reset')

    def _keep(self, bounds: Bounds, envelope: Envelope | None) -> None:
        """Keep other bounds from now on, and count where a task asks for more than the rig's."""
        if envelope != self._envelope and self._rig.without_effect(envelope):
            self._counts['envelope_without_effect'] += 1
        self._bounds, self._envelope = bounds, envelope
        self._follower.keep(bounds)

    def _admit_motion(
        self, chunk: ActionChunk, measured: Measured, now_ns: int, bounds: Bounds
    ) -> FloatArray:
        """Return the rows (n, 7) [rad] to follow, or raise why the arm may not go there."""
        self._path.bounds = bounds
        origins = {'command': self._follower.state.q, 'measured': self._expected(measured)}
        if self.state is GovernorState.IDLE:
            origins['command'] = start = self._start(measured)
            # What the arm was told to keep may lie beyond an end that it has come back from.
            self._path.check_limits(np.stack([measured.q, start]))
            self._measured.check_rest(self.config.start_speed_max_rad_s)
            trouble = self._measured.distance(start, self.config.tracking_error_max_rad)
            if trouble is not None:
                raise RefusedError('tracking_error', trouble)
        else:
            trouble = self._tracking_error()
            if trouble is not None:
                raise RefusedError('tracking_error', trouble)
        return self._path.admit(chunk, now_ns + self._lookahead_ns, origins)

    def _expected(self, measured: Measured) -> FloatArray:
        """Return where the arm will be once it has come to the last point (7,) [rad]."""
        if not self._underway:
            return measured.q
        return measured.q + self._underway[-1] - self._underway[0]

    def _start(self, measured: Measured) -> FloatArray:
        """Return where a motion from rest begins (7,) [rad]."""
        return self._follower.start_position(measured.q) if self.kept is None else self.kept

    def _update(self, now_ns: int) -> None:
        """Bring the state up to date with the time and the measurements."""
        if self.state is GovernorState.RAMP_DOWN:
            if not self._follower.is_easing(now_ns) and self._follower.is_at_rest:
                self._go_idle('released: chunks stopped')
            return
        if self.state not in (GovernorState.TRACKING, GovernorState.HOLD):
            return
        silence = self._watchdog.silence(now_ns)
        if silence is Silence.RELEASE:
            self._ramp_down(now_ns)
        elif self.state is GovernorState.TRACKING:
            for cause, trouble in (
                ('silence', self._quiet(now_ns) if silence is Silence.HOLD else None),
                ('held_state_stale', self._measured.staleness(now_ns)),
                ('held_tracking_error', self._tracking_error()),
            ):
                if trouble is not None:
                    self._counts[cause] += 1
                    self._enter(GovernorState.HOLD, trouble)
                    return
            self._watch_contact(now_ns)

    def _watch_contact(self, now_ns: int) -> None:
        """Stop for good where the arm is blocked, or the hand does not let go of what it holds."""
        newest = self._measured.newest
        if newest is None:
            return
        for cause, trouble in (
            ('blocked', self._press.tick(newest, is_held=self._follower.is_held)),
            (
                'gripper_jam',
                self._jam.observe(self._gripper.goal_m, newest.gripper_width_m, now_ns),
            ),
        ):
            if trouble is not None:
                self._counts[cause] += 1
                self.fault(trouble)
                return

    def _quiet(self, now_ns: int) -> str:
        """Return for how long no chunk has come."""
        return f'no good chunk for {self._watchdog.quiet_s(now_ns):.2f} s'

    def _tracking_error(self) -> str | None:
        """Return how far the arm is from its command, where that is too far."""
        most_rad = self.config.tracking_error_max_rad
        return self._measured.distance(self._follower.state.q, most_rad)

    def _ramp_down(self, now_ns: int) -> None:
        """Begin to ease the command to the measured position, where that is known."""
        newest = self._measured.newest
        is_known = newest is not None and self._measured.staleness(now_ns) is None
        goal = newest.q if newest is not None and is_known else self._follower.state.q
        self._follower.ease(goal, now_ns)
        self._counts['releases'] += 1
        self._enter(GovernorState.RAMP_DOWN, 'chunks stopped')

    def _go_idle(self, reason: str) -> None:
        """Forget the stream, so that a restarted sender may count from the beginning."""
        self._watchdog.reset()
        self._stream.reset()
        self._jam.reset()
        self._press.reset()
        self._underway.clear()
        self._follower.halt()
        self._enter(GovernorState.IDLE, reason)

    def _enter(self, state: GovernorState, reason: str) -> None:
        self.state, self.reason = state, reason
