"""Latency ledgers, collected from commands: where the time from frame to command went."""

from __future__ import annotations

from roboadapt_ros.dataflow import LatencyLedger, LEDGER_STAGES
from roboadapt_ros.evaluation.statistics import Spread, spread


class LedgerBook:
    """Collects the ledger of the first command that each exposure led to.

    Many commands follow from one chunk; the later ones only say how long it was used, so one
    exposure counts once. Only complete ledgers count.

    Example: a ledger with exposure 0 ms, preprocessed 5, encoded 30 and published 42 adds
    42 ms to `total_ms`, 25 ms to `inference_ms` and 17 ms to `overhead_ms`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._last_exposure = 0
        self._stages: dict[str, list[float]] = {stage: [] for stage in LEDGER_STAGES[1:]}
        self.total_ms: list[float] = []
        """Exposure to published command [ms]."""
        self.inference_ms: list[float] = []
        """The forward pass of backbone and adapters [ms]."""
        self.incomplete = 0
        """Commands with a stage missing."""

    def observe(self, ledger: LatencyLedger) -> bool:
        """Take a command's ledger; return whether it was the exposure's first."""
        if not all(getattr(ledger, stage) for stage in LEDGER_STAGES):
            self.incomplete += 1
            return False
        if ledger.exposure <= self._last_exposure:
            return False
        self._last_exposure = ledger.exposure
        for stage, duration_ms in ledger.durations_ms().items():
            self._stages[stage].append(duration_ms)
        self.total_ms.append((ledger.published - ledger.exposure) / 1e6)
        self.inference_ms.append((ledger.encoded - ledger.preprocessed) / 1e6)
        return True

    @property
    def overhead_ms(self) -> list[float]:
        """Everything but the forward pass, per exposure [ms]."""
        pairs = zip(self.total_ms, self.inference_ms, strict=True)
        return [total - inference for total, inference in pairs]

    def stages_ms(self) -> dict[str, Spread]:
        """Return the time each stage took, in order; empty when nothing was observed."""
        return {stage: spread(values) for stage, values in self._stages.items() if values}
