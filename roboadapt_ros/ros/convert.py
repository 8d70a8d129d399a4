"""ROS messages to the core's values and back, for everything that leads to motion.

Arrays travel through `array.array`: any other sequence type takes rclpy's per-element check
(https://github.com/ros2/rosidl_python/issues/79).
"""

from __future__ import annotations

import array
from collections.abc import Mapping
import math

from builtin_interfaces.msg import Time
import numpy as np
import numpy.typing as npt
from roboadapt_interfaces import msg as interfaces
from roboadapt_ros.contract import ActionSpace, Envelope
from roboadapt_ros.dataflow import (
    ActionChunk,
    Features,
    Identity,
    LatencyLedger,
    LEDGER_STAGES,
)
from roboadapt_ros.errors import SpecError
from std_msgs.msg import Header

NS_PER_S = 1_000_000_000


def to_time(time_ns: int) -> Time:
    """Return a time message of integer nanoseconds."""
    seconds, nanoseconds = divmod(int(time_ns), NS_PER_S)
    return Time(sec=seconds, nanosec=nanoseconds)


def from_time(message: Time) -> int:
    """Return the integer nanoseconds of a time message."""
    return message.sec * NS_PER_S + message.nanosec


def to_float64s(values: npt.ArrayLike) -> array.array[float]:
    """Return a float64[] field of any array, row-major."""
    return array.array('d', np.ascontiguousarray(values, dtype=np.float64).tobytes())


def to_float32s(values: npt.ArrayLike) -> array.array[float]:
    """Return a float32[] field of any array, row-major."""
    return array.array('f', np.ascontiguousarray(values, dtype=np.float32).tobytes())


def to_identity(identity: Identity) -> interfaces.Identity:
    """Return the identity as a message."""
    return interfaces.Identity(
        task=identity.task,
        package_digest=identity.package_digest,
        generation=identity.generation,
        frame_stamps=[to_time(stamp) for stamp in identity.frame_stamps_ns],
    )


def from_identity(message: interfaces.Identity) -> Identity:
    """Return the identity a message carries."""
    return Identity(
        task=message.task,
        package_digest=message.package_digest,
        generation=message.generation,
        frame_stamps_ns=tuple(from_time(stamp) for stamp in message.frame_stamps),
    )


def to_ledger(ledger: LatencyLedger) -> interfaces.LatencyLedger:
    """Return the ledger as a message."""
    return interfaces.LatencyLedger(**{name: getattr(ledger, name) for name in LEDGER_STAGES})


def from_ledger(message: interfaces.LatencyLedger) -> LatencyLedger:
    """Return the ledger a message carries."""
    return LatencyLedger(**{name: getattr(message, name) for name in LEDGER_STAGES})


def to_features(features: Features) -> interfaces.Features:
    """Return features as a message; the header's stamp is the oldest exposure."""
    return interfaces.Features(
        header=Header(stamp=to_time(features.stamp_ns)),
        identity=to_identity(features.identity),
        ledger=to_ledger(features.ledger),
        features=to_float32s(features.values),
    )


def from_features(message: interfaces.Features) -> Features:
    """Return the features a message carries; `values` is (n,) float32."""
    return Features(
        stamp_ns=from_time(message.header.stamp),
        identity=from_identity(message.identity),
        ledger=from_ledger(message.ledger),
        values=np.array(message.features, dtype=np.float32),
    )


def to_envelope(envelope: Envelope) -> interfaces.Envelope:
    """Return a task's bounds as a message; open sides are infinite."""
    speed = envelope.hand_speed_max_m_s
    return interfaces.Envelope(
        velocity_scale=envelope.velocity_scale,
        hand_speed_max_m_s=math.inf if speed is None else speed,
        low_m=[-math.inf if side is None else side for side in envelope.low_m],
        high_m=[math.inf if side is None else side for side in envelope.high_m],
    )


def from_envelope(message: interfaces.Envelope) -> Envelope:
    """Return the bounds a message carries; they are not judged here."""
    low, high = (
        tuple(None if side == outside else float(side) for side in corner)
        for corner, outside in ((message.low_m, -math.inf), (message.high_m, math.inf))
    )
    speed = float(message.hand_speed_max_m_s)
    return Envelope(
        velocity_scale=float(message.velocity_scale),
        hand_speed_max_m_s=None if speed == math.inf else speed,
        low_m=(low[0], low[1], low[2]),
        high_m=(high[0], high[1], high[2]),
    )


def to_chunk(chunk: ActionChunk) -> interfaces.ActionChunk:
    """Return a chunk as a message; actions row-major."""
    return interfaces.ActionChunk(
        header=Header(stamp=to_time(chunk.stamp_ns)),
        identity=to_identity(chunk.identity),
        ledger=to_ledger(chunk.ledger),
        space=chunk.space.value,
        names=list(chunk.names),
        horizon=len(chunk.actions),
        period_s=chunk.period_s,
        start=to_time(chunk.start_ns),
        actions=to_float64s(chunk.actions),
        envelope=[] if chunk.envelope is None else [to_envelope(chunk.envelope)],
    )


def from_chunk(message: interfaces.ActionChunk) -> ActionChunk:
    """Return the chunk a message carries; values are not judged here.

    Raises:
        SpecError: An unknown space, or as many actions as do not fill horizon x names.
    """
    spaces = {space.value: space for space in ActionSpace}
    if message.space not in spaces:
        raise SpecError('chunk.space', repr(message.space), f'one of {", ".join(spaces)}')
    horizon, columns = message.horizon, len(message.names)
    if len(message.actions) != horizon * columns:
        raise SpecError(
            'chunk.actions',
            f'{len(message.actions)} values',
            f'{horizon} rows of {columns} names: {horizon * columns}',
        )
    return ActionChunk(
        stamp_ns=from_time(message.header.stamp),
        identity=from_identity(message.identity),
        ledger=from_ledger(message.ledger),
        space=spaces[message.space],
        names=tuple(message.names),
        period_s=message.period_s,
        start_ns=from_time(message.start),
        actions=np.array(message.actions, dtype=np.float64).reshape(horizon, columns),
        envelope=from_envelope(message.envelope[0]) if message.envelope else None,
    )


def to_gate_status(
    *,
    node: str,
    stamp_ns: int,
    state: str,
    reason: str,
    generation: int,
    accepted: int,
    refused: int,
    counts: Mapping[str, int],
) -> interfaces.GateStatus:
    """Return the status of the gate or the governor, counters sorted by cause."""
    causes = sorted(counts)
    return interfaces.GateStatus(
        stamp=to_time(stamp_ns),
        node=node,
        state=state,
        reason=reason,
        generation=generation,
        chunks_accepted=accepted,
        chunks_refused=refused,
        causes=causes,
        counts=[counts[cause] for cause in causes],
    )
