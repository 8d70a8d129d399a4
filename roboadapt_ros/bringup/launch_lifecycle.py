"""A node's lifecycle driven by launch: configured and activated at each start.

`launch_ros` offers handlers of a node's transition events. An event is lost where DDS has not yet
connected the node with launch, and so is a request to one that takes the place of a killed node;
the node then stays as it is, and nobody says so. So this asks as the supervisor does: until the
node's state is the wanted one (`PendingTransition`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from launch.actions import LogInfo, Shutdown
from launch.events.process import ProcessStarted
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.srv import ChangeState, GetState
from roboadapt_ros.bringup.startup import GraphTimeouts, POLL_S
from roboadapt_ros.bringup.transitions import PendingTransition, Transition

from launch import LaunchContext


class LifecycleDriver:
    """Brings one node up at each start of its process, or ends the launch and says why.

    Example: ``OnProcessStart(target_action=node, on_start=LifecycleDriver('/governor'))``.
    """

    def __init__(self, node: str, timeouts: GraphTimeouts | None = None):
        """Prepare for a node by its full name; `timeouts` for each step."""
        self._node = node
        timeouts = timeouts or GraphTimeouts()
        self._start_s = timeouts.start_s
        self._steps = (
            (Transition.CONFIGURE, timeouts.configure_s),
            (Transition.ACTIVATE, timeouts.activate_s),
        )
        self._starts = 0

    def __call__(self, _: ProcessStarted, context: LaunchContext) -> None:
        """Begin; launch goes on meanwhile."""
        self._starts += 1
        context.add_completion_future(
            context.asyncio_loop.create_task(self._bring_up(context, self._starts))
        )

    async def _bring_up(self, context: LaunchContext, start: int) -> None:
        ros = get_ros_node(context)
        change = ros.create_client(ChangeState, f'{self._node}/change_state')
        state = ros.create_client(GetState, f'{self._node}/get_state')
        try:
            problem = await self._drive(context, start, change, state)
        except Exception as error:  # noqa: BLE001 - else the node stays as it is, in silence
            problem = f"can't be brought up: {error!r}"
        finally:
            ros.destroy_client(change)
            ros.destroy_client(state)
        if problem:
            for action in end_launch(f"'{self._node.strip('/')}' {problem}"):
                action.visit(context)

    async def _drive(self, context: LaunchContext, start: int, change: Any, state: Any) -> str:
        """Return what went wrong; '' where the node is active, has ended, or launch ends."""
        loop = context.asyncio_loop
        deadline_s = loop.time() + self._start_s
        step, pending = 0, None
        while not context.is_shutdown and start == self._starts:
            if pending is None and change.service_is_ready() and state.service_is_ready():
                transition, timeout_s = self._steps[step]
                pending = PendingTransition(change, state, transition)
                deadline_s = loop.time() + timeout_s
            if pending is not None and (done := pending()) is not None:
                if not done:
                    return f"can't be {self._steps[step][0].name.lower()}d"
                step, pending = step + 1, None
                if step == len(self._steps):
                    return ''
            if loop.time() > deadline_s:
                return 'took too long to come up'
            await asyncio.sleep(POLL_S)
        return ''


def end_launch(reason: str) -> list[Any]:
    """Return what ends the launch and says why."""
    return [LogInfo(msg=f'{reason}; see its log. The launch ends.'), Shutdown(reason=reason)]
