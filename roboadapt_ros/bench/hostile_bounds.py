"""Bounds that change under way: tasks' envelopes, sensible and not, and a URDF's limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from roboadapt_ros.bench.motion_judge import Demand
from roboadapt_ros.contract import Envelope

FloatArray = npt.NDArray[np.float64]
Narrower = tuple[FloatArray, FloatArray, FloatArray]

_BOXES = (
    ((None, None, None), (None, None, None)),
    ((0.25, -0.3, 0.05), (0.65, 0.3, 0.6)),
    ((None, None, 0.3), (None, None, None)),
    ((0.2, None, None), (0.35, None, 0.45)),
    ((-2.0, -2.0, -2.0), (2.0, 2.0, 2.0)),
)
_BOX_SHARES = (0.5, 0.2, 0.1, 0.1, 0.1)
_BAD_NUMBERS = (float('nan'), float('inf'), -float('inf'), 0.0, -0.5, 1e300, 1.0000001)


def draw_envelope(rng: np.random.Generator) -> Envelope | None:
    """Return a task's bounds: none, tighter than most rigs', or looser."""
    if rng.random() < 0.5:
        return None
    low, high = _BOXES[rng.choice(len(_BOXES), p=_BOX_SHARES)]
    speed = rng.choice([0.02, 0.1, 0.3, 5.0, np.inf])
    return Envelope(
        velocity_scale=float(rng.choice([0.02, 0.1, 0.3, 0.6, 1.0])),
        hand_speed_max_m_s=None if np.isinf(speed) else float(speed),
        low_m=low,
        high_m=high,
    )


def draw_bad_envelope(rng: np.random.Generator) -> Envelope:
    """Return bounds that must refuse their chunk."""
    bad = float(rng.choice(_BAD_NUMBERS))
    return (
        Envelope(velocity_scale=bad),
        Envelope(hand_speed_max_m_s=float(rng.choice(_BAD_NUMBERS[:5]))),
        Envelope(low_m=(None, float('nan'), None)),
        Envelope(high_m=(-float('inf'), None, None)),
        Envelope(low_m=(0.5, None, None), high_m=(0.4, None, None)),
        Envelope(low_m=(None, None, 9.0)),
        Envelope(high_m=(None, -9.0, None)),
    )[rng.integers(7)]


def draw_narrower(rng: np.random.Generator, low: FloatArray, high: FloatArray) -> Narrower:
    """Return what another URDF says of joints (7,) [rad]: narrower, wider, or without ends."""
    room = high - low
    cut = room * rng.choice([-0.1, 0.0, 0.02, 0.1], size=(2, 7))
    q_min, q_max = low + cut[0], high - cut[1]
    if rng.random() < 0.1:
        q_min, q_max = np.full(7, -np.inf), np.full(7, np.inf)
    return q_min, q_max, rng.choice([0.2, 1.0, 2.0, 9.0], size=7, p=[0.05, 0.15, 0.3, 0.5])


def demand_of(
    envelope: Envelope | None, narrower: Narrower | None, speed: FloatArray, margin_rad: float
) -> Demand | None:
    """Return both as the judge knows them, or None where there are none.

    Args:
        envelope: The task's.
        narrower: The URDF's.
        speed: (7,) the arm's own speeds [rad/s], of which the envelope wants a part.
        margin_rad: What is kept from the URDF's ends [rad].
    """
    if envelope is None and narrower is None:
        return None
    demand = Demand(speed=speed)
    if narrower is not None:
        q_min, q_max, narrow = narrower
        demand = Demand(
            speed=np.minimum(speed, narrow), low=q_min + margin_rad, high=q_max - margin_rad
        )
    if envelope is None:
        return demand
    scaled = np.minimum(speed, speed if narrower is None else narrower[2])
    hand = envelope.hand_speed_max_m_s
    return Demand(
        speed=envelope.velocity_scale * scaled,
        low=demand.low,
        high=demand.high,
        hand_speed_m_s=np.inf if hand is None else hand,
        box_low_m=_corner(envelope.low_m, -np.inf),
        box_high_m=_corner(envelope.high_m, np.inf),
    )


def _corner(sides: tuple[float | None, ...], outside: float) -> tuple[float, ...]:
    return tuple(outside if side is None else side for side in sides)
