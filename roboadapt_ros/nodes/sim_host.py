"""What the parts of the simulated rig's node share."""

from __future__ import annotations

from dataclasses import dataclass
import threading

from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import SimRigParameters
from roboadapt_ros.sim.rig import SimRig


@dataclass(frozen=True)
class SimHost:
    """The node and its arm."""

    node: GraphNode[SimRigParameters]
    """Subscribes, publishes and serves."""
    config: SimRigParameters
    """Its parameters."""
    rig: SimRig
    """The arm and hand; touched under the lock only."""
    lock: threading.Lock
    """Held by the node's ticks."""
