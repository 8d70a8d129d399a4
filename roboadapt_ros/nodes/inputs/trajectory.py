"""A joint_trajectory_controller: what it subscribes to, refuses and says of itself."""

from __future__ import annotations

from collections import deque
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from roboadapt_ros.errors import ConfigError, SpecError
from roboadapt_ros.nodes.inputs.arm_input import ArmInput, TICK_S
from roboadapt_ros.nodes.inputs.controller_state import ControllerState
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.convert import from_time
from roboadapt_ros.ros.polled import subscribe_polled
from roboadapt_ros.ros.qos import STATUS
from roboadapt_ros.sim.joint_trajectory import check_trajectory, Knot, TrajectorySampler
from trajectory_msgs.msg import JointTrajectory

STATE_TICKS = 2
"""Ticks from one report of its state to the next: 50 Hz."""
_TICK_NS = round(TICK_S * 1e9)
_BEHIND_S = 0.03
"""Time behind the clock from which it makes up for time that the simulation has lost [s]."""
_LOST_S = 0.5
"""Time behind that it does not make up for [s]; or ahead, where the clock was set back."""


class _Waiting(NamedTuple):
    """A trajectory that was taken and is due when the sampler comes to it."""

    came_ns: int
    stamp_ns: int
    """0: it begins when it came."""
    knots: list[Knot]


class TrajectoryInput(ArmInput):
    """Samples trajectories for the arm, once a tick; see `sim.joint_trajectory`.

    Subscribes:
        joint_trajectory (trajectory_msgs/JointTrajectory): replaces the running one.
    Publishes:
        controller_state (control_msgs/JointTrajectoryControllerState), beside that topic, 50 Hz;
            where control_msgs is installed.
    A controller runs by the clock, and its sender counts on that. So the sampler does not lose the
    time that a simulation on a busy machine loses: it makes two points a tick until it has caught
    up. The arm judges points by the sampler's time, in which they are exactly a period apart.
    An arm that was stopped, or whose controller is not active, has no trajectory any more, and
    drops those that come without a word, as the controller does.
    """

    def __init__(self, host: SimHost):
        """Prepare; `listen` begins."""
        super().__init__(host)
        self._reader = TrajectoryReader(host.config.joint_names)
        self._may_end_moving = host.config.driver_release == 'humble'
        self._sampler = TrajectorySampler(TICK_S, host.rig.target)
        self._waiting: deque[_Waiting] = deque(maxlen=10)
        self._sampled_ns, self._ticks = 0, 0
        try:
            self._state = ControllerState(host.node, host.config.joint_names)
        except ConfigError as error:
            host.node.get_logger().warning(f'Without controller_state: {error}')
            self._state = None

    def listen(self) -> None:
        """Subscribe."""
        self._look = subscribe_polled(
            self._node, JointTrajectory, 'joint_trajectory', self._on_trajectory, STATUS
        )

    def advance(self) -> float:
        """Hand the arm what the trajectory desires at the end of the tick."""
        # By this thread: another might find a message when its time has passed.
        self._look()
        now_ns = self._node.now_ns()
        if not self._rig.takes_targets:
            self.forget()
        behind_s = (now_ns - self._sampled_ns) / 1e9
        if not self._sampler.has_trajectory or abs(behind_s) > _LOST_S:
            self._sampled_ns, behind_s = now_ns, 0.0
        for _ in range(2 if behind_s > _BEHIND_S else 1):
            self._sample()
        if self._state is not None and self._ticks % STATE_TICKS == 0:
            self._state.publish(now_ns, self._sampler.desired, self._rig.state())
        self._ticks += 1
        return math.inf

    def forget(self) -> None:
        """Drop the trajectories; the next one begins where the arm is held."""
        self._waiting.clear()
        self._sampler.rest(self._rig.target)

    def quiet_s(self) -> float:
        """Return the time since the last trajectory [s], zero while one is under way."""
        is_busy = self._waiting or self._sampler.is_under_way
        return 0.0 if is_busy else super().quiet_s()

    def _sample(self) -> None:
        """Hand the arm the next point."""
        while self._waiting and self._waiting[0].came_ns <= self._sampled_ns:
            came_ns, stamp_ns, knots = self._waiting.popleft()
            if not self._sampler.has_trajectory:
                self._sampler.rest(self._rig.target)  # it may be held elsewhere by now
            start_in_s = ((stamp_ns or came_ns) - self._sampled_ns) / 1e9
            if not stamp_ns:  # however late it is found here, its points are still to come
                start_in_s = min(max(start_in_s, TICK_S - knots[0].time_s), 0.0)
            self._sampler.take(knots, start_in_s=start_in_s)
        motion = self._sampler.step()
        self._sampled_ns += _TICK_NS
        if motion is not None:
            self._rig.set_joint_target(motion.q, sent_s=self._sampler.time_s, is_exact=True)

    def _on_trajectory(self, message: JointTrajectory, came_ns: int) -> None:
        stamp_ns = from_time(message.header.stamp)
        try:
            knots = self._reader.read(message)
            check_trajectory(
                knots,
                self._config.joint_names,
                start_in_s=(stamp_ns - came_ns) / 1e9 if stamp_ns else 0.0,
                may_end_moving=self._may_end_moving,
            )
        except SpecError as error:
            self.refuse(error)
            return
        self._waiting.append(_Waiting(came_ns, stamp_ns, knots))
        self.count()


class TrajectoryReader:
    """Reads trajectories by the names of their joints, as the controller does.

    Example: joints in another order than the rig's are sorted; one that is missing, or of another
    arm, is refused (`allow_partial_joints_goal` is false).
    """

    def __init__(self, names: tuple[str, ...]):
        """Remember the joints."""
        self._names = names

    def read(self, message: JointTrajectory) -> list[Knot]:
        """Return the points, in the rig's order.

        Raises:
            SpecError: Other joints, or a point with another number of values.
        """
        given = list(message.joint_names)
        if sorted(given) != sorted(self._names):
            raise SpecError(
                'trajectory.joint_names', ', '.join(given) or 'none', ', '.join(self._names)
            )
        order = [given.index(name) for name in self._names]
        return [self._knot(number, point, order) for number, point in enumerate(message.points)]

    def _knot(self, number: int, point: Any, order: list[int]) -> Knot:
        due = point.time_from_start
        values = [
            self._values(number, name, getattr(point, name), order)
            for name in ('positions', 'velocities', 'accelerations')
        ]
        if values[0] is None:
            found = 'no positions'
            raise SpecError(f'trajectory.points[{number}]', found, 'positions in every point')
        return Knot(due.sec + due.nanosec / 1e9, *values)

    def _values(
        self, number: int, name: str, given: Any, order: list[int]
    ) -> npt.NDArray[np.float64] | None:
        if len(given) == 0:
            return None
        if len(given) != len(order):
            raise SpecError(
                f'trajectory.points[{number}].{name}', f'{len(given)} values', f'{len(order)}'
            )
        return np.array(given, dtype=np.float64)[order]
