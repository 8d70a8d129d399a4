"""The simulated rig's node in the process of a test, and a node that speaks to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import threading
from typing import Any

from graph_watch import wait_for
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from roboadapt_ros.nodes.sim_rig_node import SimRigNode


class RigInProcess:
    """An active rig; `spin` before anything is expected of it, `close` at the end."""

    def __init__(
        self,
        domain: int,
        parameters: dict[str, Any],
        remappings: Sequence[tuple[str, str]] = (),
    ):
        """Make the rig active with these parameters, sections in them, under other names."""
        words = [word for pair in _flat(parameters) for word in ('-p', f'{pair[0]}:={pair[1]}')]
        words += [word for pair in remappings for word in ('-r', f'{pair[0]}:={pair[1]}')]
        rclpy.init(args=['--ros-args', *words], domain_id=domain)
        self.rig = SimRigNode()
        self.node = rclpy.create_node('asker', use_global_arguments=False)
        self._executor = SingleThreadedExecutor()
        for node in (self.rig, self.node):
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        assert self.rig.trigger_configure().name == 'SUCCESS', self.rig.problem
        assert self.rig.trigger_activate().name == 'SUCCESS', self.rig.problem

    def spin(self) -> None:
        """Run both nodes in a thread."""
        self._thread.start()

    def close(self) -> None:
        """End both nodes."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self.rig.close()
        self.rig.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def ask(self, kind: Any, name: str, request: Any = None) -> Any:
        """Return what a service answers."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(5.0), name
        future = client.call_async(request or kind.Request())
        wait_for(future.done, f'an answer of {name}')
        self.node.destroy_client(client)
        return future.result()

    def set_faults(self, text: str) -> Any:
        """Set the parameter `faults` and return the answer."""
        request = SetParameters.Request()
        request.parameters = [Parameter('faults', value=text).to_parameter_msg()]
        return self.ask(SetParameters, 'sim_rig/set_parameters', request).results[0]


def _flat(parameters: dict[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield names and values of parameters, those of sections as `section.name`."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield prefix + name, value
