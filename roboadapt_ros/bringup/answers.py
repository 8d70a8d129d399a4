"""What the graph's services answer, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SwitchAnswer:
    """What the encoder answered to a switch."""

    task: str
    """As asked for."""
    generation: int
    package_digest: str
    last_frame_before_ns: int
    """Newest exposure encoded under the old task [ns]; 0 when there was none."""
    first_frame_after_ns: int
    """Oldest exposure encoded under the new task [ns]."""
    switch_us: float
    boundary_ms: float
    frames_dropped: int


@dataclass(frozen=True, kw_only=True)
class AdapterList:
    """What the encoder has."""

    active_task: str
    generation: int
    resident: dict[str, str]
    """Digest by task."""
    available: tuple[str, ...]
    """On disk and not resident."""
    backbone_id: str
    backbone_digest: str


@dataclass(frozen=True, kw_only=True)
class RecoveryAnswer:
    """What the governor answered to a recovery."""

    success: bool
    message: str
    state: str
    """Where the recovery is: idle, running, done or failed."""
    steps: tuple[str, ...]
    """What was done, each with its outcome; what would be, where it was not confirmed."""


@dataclass(frozen=True, kw_only=True)
class BaseAnswer:
    """Outcome of a check of the live backbone."""

    intact: bool
    message: str
    digest: str
    expected_digest: str
    probe_equal: bool
