"""What is asked of the simulated robot beside motion: recovery, stops, and faults to be put in."""

from __future__ import annotations

from collections.abc import Callable
import threading

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from roboadapt_ros.errors import RoboAdaptError
from roboadapt_ros.nodes.rig_faults import RigFaults
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import SimRigParameters
from roboadapt_ros.sim.rig import SimRig
from std_srvs.srv import SetBool, Trigger


class RigServices:
    """Answers for the robot of one rig, for as long as its node is active."""

    def __init__(
        self,
        node: GraphNode[SimRigParameters],
        rig: SimRig,
        faults: RigFaults,
        lock: threading.Lock,
        forget_targets: Callable[[], None],
    ):
        """Prepare; `serve` begins.

        Args:
            node: The node that serves.
            rig: The rig; it is touched under the lock only.
            faults: Its faults.
            lock: Held by the node's ticks.
            forget_targets: Drops targets that have not reached the rig.
        """
        self._node, self._rig, self._faults = node, rig, faults
        self._lock, self._forget_targets = lock, forget_targets

    def serve(self) -> None:
        """Offer the services."""
        self._node.serve(Trigger, 'sim_rig/recover', self._on_recover)
        self._node.serve(Trigger, 'sim_rig/deactivate', self._on_deactivate)
        self._node.serve(SetBool, 'sim_rig/user_stop', self._on_user_stop)
        self._node.add_on_set_parameters_callback(self._on_parameters)
        remove = self._node.remove_on_set_parameters_callback
        self._node.destroy_with_active(remove, self._on_parameters)

    def _on_recover(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            with self._lock:
                self._forget_targets()
                self._rig.recover()
            response.success, response.message = True, 'errors cleared; arm the gate to go on'
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
        return response

    def _on_deactivate(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._forget_targets()
            self._rig.deactivate()
        response.success, response.message = True, 'the arm holds until sim_rig/recover'
        return response

    def _on_user_stop(self, request: SetBool.Request, response: SetBool.Response) -> object:
        with self._lock:
            self._forget_targets()
            self._rig.set_user_stop(pressed=request.data)
            response.success, response.message = True, f'robot is {self._rig.mode.name}'
        return response

    def _on_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        """Take other faults, or say which there are; every other parameter is read-only."""
        try:
            with self._lock:
                for parameter in changed:
                    if parameter.name == 'faults':
                        self._faults.set(str(parameter.value))
        except RoboAdaptError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)
