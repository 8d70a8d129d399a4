"""What a motion keeps: the rig's bounds, and a task's own where those are tighter.

This module imports numpy and the control parts only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from roboadapt_ros.contract import Envelope
from roboadapt_ros.control.limits import RobotLimits
from roboadapt_ros.control.workspace import Workspace, WorkspaceConfig
from roboadapt_ros.errors import ConfigError, RefusedError


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounds:
    """Limits, box and hand speed that belong together.

    Example: with half the joint speed on the rig, a task's envelope of 0.3 makes it 0.3 and one
    of 0.9 changes nothing.
    """

    arm: RobotLimits
    """The arm's own limits, unscaled."""
    limits: RobotLimits
    """What is commanded: the arm's limits scaled, with margins."""
    hand_speed_max_m_s: float
    """Largest speed of the hand [m/s]."""
    hand_turn_max_rad_s: float
    """Largest rotational speed of the hand [rad/s]; a task has no tighter one."""
    box: WorkspaceConfig
    workspace: Workspace
    """Judges poses by the box."""

    def tightened(self, envelope: Envelope | None) -> Bounds:
        """Return the tighter of these and a task's, value for value.

        Args:
            envelope: The task's; None has no bounds.

        Raises:
            RefusedError: 'envelope': it is malformed, or leaves no room in these.
        """
        if envelope is None:
            return self
        problem = envelope.problem()
        if problem is not None:
            raise RefusedError('envelope', problem)
        speed = envelope.hand_speed_max_m_s
        box = self._box(envelope)
        return replace(
            self,
            limits=replace(
                self.limits,
                dq_max=np.minimum(self.limits.dq_max, envelope.velocity_scale * self.arm.dq_max),
            ),
            hand_speed_max_m_s=min(self.hand_speed_max_m_s, np.inf if speed is None else speed),
            box=box,
            workspace=self.workspace if box == self.box else Workspace(box),
        )

    def without_effect(self, envelope: Envelope | None) -> tuple[str, ...]:
        """Return which values of a task are looser than these, which are kept.

        A value that is not given, and a scale of 1, ask for nothing.
        """
        if envelope is None:
            return ()
        wanted = envelope.velocity_scale * self.arm.dq_max
        speed = envelope.hand_speed_max_m_s
        loose = {
            'velocity_scale': envelope.velocity_scale < 1.0
            and bool((wanted > self.limits.dq_max).all()),
            'hand_speed_max_m_s': speed is not None and speed > self.hand_speed_max_m_s,
        }
        for axis, low, high in zip('xyz', envelope.low_m, envelope.high_m, strict=True):
            own_low, own_high = self.box.sides(axis)
            loose[f'{axis}_min_m'] = low is not None and own_low is not None and low < own_low
            loose[f'{axis}_max_m'] = high is not None and own_high is not None and high > own_high
        return tuple(name for name, is_loose in loose.items() if is_loose)

    def _box(self, envelope: Envelope) -> WorkspaceConfig:
        sides: dict[str, Any] = {}
        for axis, low, high in zip('xyz', envelope.low_m, envelope.high_m, strict=True):
            own_low, own_high = self.box.sides(axis)
            lows = [side for side in (low, own_low) if side is not None]
            highs = [side for side in (high, own_high) if side is not None]
            sides[f'{axis}_min_m'] = max(lows, default=None)
            sides[f'{axis}_max_m'] = min(highs, default=None)
        try:
            return replace(self.box, **sides)
        except ConfigError as error:
            raise RefusedError('envelope', f"with the rig's box, {error}") from error
