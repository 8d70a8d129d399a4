"""The services by which a person stops the arm and brings it back.

Serves, beside the governor's topics; none of them ever waits in the executor's thread:
    governor/soft_stop (std_srvs/Trigger): brake within the limits, hold, until reset.
    governor/hard_stop (std_srvs/Trigger): no more points, controllers deactivated, a recovery
        that is going on is given up; answers when the controllers have gone. Ended by recover.
    governor/reset (std_srvs/Trigger): ends a soft stop; refused where it takes a recovery.
    governor/recover (roboadapt_interfaces/Recover): brings the robot back, when confirmed;
        answers at the end, with each step and its outcome.
    governor/setup (std_srvs/Trigger): collision thresholds and load of the rig file, while idle.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from roboadapt_interfaces.srv import Recover
from roboadapt_ros.control.robot_status import Release, RobotMode
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.nodes.robot_guard import RobotGuard
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import GovernorParameters
from std_srvs.srv import Trigger

STOP_TIMEOUT_S = 3.0
SETUP_TIMEOUT_S = 5.0
NO_CONTROLLERS = (
    'no more points are sent; the rig file names no controllers to deactivate, so what moves the '
    'arm holds its last target'
)


class RobotServices:
    """Answers for the guard of a node, for as long as the node lives.

    An answer that is still due when the node is cleaned up must find its service there.
    """

    def __init__(self, node: GraphNode[GovernorParameters]):
        """Offer the services; they refuse until the node is active."""
        self._node = node
        self.guard: RobotGuard | None = None
        """Of the configured node."""
        # An awaited answer keeps its group busy: in the node's own group no tick would come before
        # it. Reentrant is safe, the node has one thread.
        group = ReentrantCallbackGroup()
        for name, answer in (
            ('soft_stop', self._on_soft_stop),
            ('hard_stop', self._on_hard_stop),
            ('reset', self._on_reset),
            ('setup', self._on_setup),
        ):
            node.create_service(Trigger, f'governor/{name}', answer, callback_group=group)
        node.create_service(Recover, 'governor/recover', self._on_recover, callback_group=group)

    def _on_soft_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def stop() -> str:
            guard = self._active_guard()
            guard.stop('stopped by request', Release.RESET)
            return str(guard.watch.blocked)

        return _answer(response, stop)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        def reset() -> str:
            guard = self._active_guard()
            if guard.watch.release is None:
                return 'nothing to reset'
            guard.reset()
            return 'reset; arm the gate to go on'

        return _answer(response, reset)

    async def _on_hard_stop(
        self, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            guard = self._active_guard()
        except RefusedError as error:
            return _refuse(response, error.detail)
        guard.stop('hard stop by request', Release.RECOVERY, is_hard=True)
        pending = guard.actions.begin_hard_stop()
        if pending is None:
            return _refuse(response, NO_CONTROLLERS)
        outcome = await guard.finish(pending, STOP_TIMEOUT_S)
        if not outcome.is_good:
            return _refuse(
                response,
                'no more points are sent, but the controllers were not deactivated: '
                f"{outcome.detail}. Use the robot's own stop",
            )
        response.success, response.message = True, str(guard.watch.blocked)
        return response

    async def _on_setup(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            guard = self._active_guard()
            _require_idle(guard, self._node.now_ns())
        except RefusedError as error:
            return _refuse(response, error.detail)
        outcome = await guard.finish(guard.actions.begin_setup(), SETUP_TIMEOUT_S)
        guard.is_set_up = outcome.is_good
        response.success, response.message = outcome.is_good, outcome.detail
        return response

    async def _on_recover(
        self, request: Recover.Request, response: Recover.Response
    ) -> Recover.Response:
        try:
            guard = self._active_guard()
        except RefusedError as error:
            response.success, response.message = False, error.detail
            return response
        if not request.confirm:
            return guard.recovery.describe(response, guard.watch.blocked)
        try:
            ended = guard.begin_recovery(self._node.now_ns())
        except RefusedError as error:
            response.success, response.message = False, error.detail
            response.state = guard.recovery.state.value
            return response
        await ended
        return guard.recovery.report(response)

    def _active_guard(self) -> RobotGuard:
        if self.guard is None or not self._node.is_active:
            raise RefusedError('inactive', 'the governor is not active; it sends nothing')
        return self.guard


def _require_idle(guard: RobotGuard, now_ns: int) -> None:
    """Raise where there is nothing to set, or the robot would not take it."""
    if not guard.actions.has_setup:
        raise RefusedError('setup', 'the rig file has neither arm.collision nor arm.load')
    mode = guard.mode(now_ns)
    if mode is not RobotMode.IDLE:
        raise RefusedError(
            'setup',
            f'robot mode is {"not known" if mode is None else mode.name.lower()}; collision '
            'thresholds and load are set only while it is idle: deactivate its controllers first',
        )


def _answer(response: Trigger.Response, act: Callable[[], str]) -> Trigger.Response:
    try:
        response.success, response.message = True, act()
    except RefusedError as error:
        return _refuse(response, error.detail)
    return response


def _refuse(response: Trigger.Response, detail: str) -> Trigger.Response:
    response.success, response.message = False, detail
    return response
