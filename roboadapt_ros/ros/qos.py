"""Quality-of-service profiles by what a topic carries.

Best-effort subscriptions match reliable publishers too, and Franka's convenience topics are
best effort since franka_ros2 2.4.0, so state is always read best effort.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(
    reliability: ReliabilityPolicy, depth: int, durability: DurabilityPolicy
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


IMAGE = _profile(ReliabilityPolicy.BEST_EFFORT, 5, DurabilityPolicy.VOLATILE)
"""Camera frames and their CameraInfo, both ways (the sensor data profile)."""
STATE = _profile(ReliabilityPolicy.BEST_EFFORT, 1, DurabilityPolicy.VOLATILE)
"""Measured state: only the newest counts."""
STATE_HISTORY = _profile(ReliabilityPolicy.BEST_EFFORT, 30, DurabilityPolicy.VOLATILE)
"""Measured state for a reader that looks for the one at an exposure."""
STATE_OUT = _profile(ReliabilityPolicy.RELIABLE, 5, DurabilityPolicy.VOLATILE)
"""Measured state as a rig publishes it: matches readers of both kinds."""
JOINTS_OUT = _profile(ReliabilityPolicy.RELIABLE, 20, DurabilityPolicy.VOLATILE)
"""The same for joint states, of which a simulated rig has up to ten at once."""
COMMAND = _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.VOLATILE)
"""Targets for a controller: reliable, never queued."""
DATA = _profile(ReliabilityPolicy.RELIABLE, 5, DurabilityPolicy.VOLATILE)
"""Features and action chunks."""
TRACE = _profile(ReliabilityPolicy.RELIABLE, 50, DurabilityPolicy.VOLATILE)
"""Records that a listener wants without gaps."""
STATUS = _profile(ReliabilityPolicy.RELIABLE, 10, DurabilityPolicy.VOLATILE)
"""Status at a steady rate, and /diagnostics."""
LATCHED = _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)
"""Status on change, which a late listener must get too."""
LATCHED_HISTORY = _profile(ReliabilityPolicy.RELIABLE, 10, DurabilityPolicy.TRANSIENT_LOCAL)
"""The same for a reader that looks now and then and wants every change."""
