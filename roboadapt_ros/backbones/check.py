"""The outcome of a check of the base. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from roboadapt_ros.errors import BaseChangedError

PROBE_TOLERANCE = 1e-3
"""Largest relative difference of probe features between machines: other CPUs sum in
another order. On one machine, later probes must equal the first bit for bit."""
INTACT = (
    f'digest is the stored one, probe features are within {PROBE_TOLERANCE:g} of the stored ones'
)
"""What a check that found nothing has shown, for a person."""


@dataclass(frozen=True)
class BaseCheck:
    """Outcome of one check of the base."""

    backbone_id: str
    digest: str
    expected_digest: str
    probe_equal: bool

    @property
    def intact(self) -> bool:
        """True when tensors and probe features are those of the release."""
        return self.digest == self.expected_digest and self.probe_equal

    def require(self) -> None:
        """Raise `BaseChangedError` unless intact."""
        if self.digest != self.expected_digest:
            raise BaseChangedError(self.backbone_id, 'digest', self.digest, self.expected_digest)
        if not self.probe_equal:
            raise BaseChangedError(
                self.backbone_id, 'probe', 'different features', 'the stored features'
            )
