"""The settings of a governor under hostile streams, and what they promise to the judge.

This module imports numpy and core parts only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from roboadapt_ros.bench.motion_judge import Promise
from roboadapt_ros.control.admission import AdmissionConfig
from roboadapt_ros.control.contact import ContactConfig
from roboadapt_ros.control.governor_config import FollowerConfig, GovernorConfig
from roboadapt_ros.control.workspace import WorkspaceConfig
from roboadapt_ros.sim.impedance import contact_config, ImpedanceConfig


def draw_config(rng: np.random.Generator) -> GovernorConfig:
    """Return a governor's settings: the arm's full limits, the defaults, or a careful rig's."""
    scales = ((1.0, 1.0, 1.0), (0.8, 0.9, 0.2), (0.8, 0.9, 0.2), (0.25, 0.25, 0.05))
    velocity, acceleration, jerk = scales[rng.integers(len(scales))]
    turning = rng.spawn(1)[0]  # a stream of its own, so that the others stay as they were
    return GovernorConfig(
        lookahead_s=float(rng.choice([0.0, 0.0, 0.1, 0.3])),
        motion=FollowerConfig(
            velocity_scale=velocity,
            acceleration_scale=acceleration,
            jerk_scale=jerk,
            position_margin_rad=float(rng.choice([1e-6, 0.05, 0.05])),
            hand_speed_max_m_s=float(rng.choice([0.25, 0.7, 3.0])),
            hand_turn_max_rad_s=float(turning.choice([0.3, 2.0, 2.0, 2.5])),
        ),
        admission=AdmissionConfig(max_jump_rad=float(rng.choice([0.4, 0.4, 3.0]))),
        workspace=WorkspaceConfig() if rng.random() < 0.7 else _open_space(),
        contact=contact_config(ImpedanceConfig()) if rng.random() < 0.5 else ContactConfig(),
    )


def promise_of(config: GovernorConfig, robot: str) -> Promise:
    """Return what a governor with these settings is to keep, beyond what the arm can do."""
    motion, box = config.motion, config.workspace
    low = [getattr(box, f'{axis}_min_m') for axis in 'xyz']
    high = [getattr(box, f'{axis}_max_m') for axis in 'xyz']
    promise = Promise(
        robot=robot,
        velocity_scale=motion.velocity_scale,
        acceleration_scale=motion.acceleration_scale,
        jerk_scale=motion.jerk_scale,
        margin_rad=motion.position_margin_rad,
        hand_turn_rad_s=motion.hand_turn_max_rad_s,
    )
    if None in (*low, *high):
        return promise
    return replace(promise, box_low_m=tuple(low), box_high_m=tuple(high))


def _open_space() -> WorkspaceConfig:
    sides = [f'{axis}_{end}_m' for axis in 'xyz' for end in ('min', 'max')]
    return WorkspaceConfig(**dict.fromkeys(sides))
