"""`roboadapt bench governor`: hostile streams against the governor, and its timing under load.

First, random and adversarial sequences of chunks go through the governor as fast as it can take
them, and an independent judge holds its points against the published limits. Then the real
processes of the robot's side run on busy cores, see `robot_side`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
import multiprocessing
import os
import time

from roboadapt_ros.bench.collision_judge import MeshJudge
from roboadapt_ros.bench.hostile_run import HostileRun
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bench.tally import Batch, Tally
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.learning.progress import Progress, silent

SEQUENCES_PER_BATCH = 40
"""Sequences that one governor goes through before the next one begins."""
BATCHES_PER_ORDER = 5
ORDERS_AHEAD = 4
"""Orders that wait for each process, so that none waits for an order."""


@dataclass(frozen=True, kw_only=True)
class GovernorBenchConfig:
    """Settings of the measurement."""

    sequences: int = field(
        default=100_000, metadata={'help': 'hostile sequences (1000000: the whole measurement)'}
    )
    seed: int = field(default=1, metadata={'help': 'seed of the sequences'})
    processes: int = field(default=0, metadata={'help': 'processes at work; 0 = one per core'})
    time_limit_s: float = field(
        default=0.0,
        metadata={'help': 'stop the sequences after this time; 0 = never', 'unit': 's'},
    )
    timing_s: float = field(
        default=60.0,
        metadata={'help': 'time the processes of the robot side this long; 0 = not', 'unit': 's'},
    )
    load: bool = field(default=True, metadata={'help': 'keep every core busy while timing'})
    state_rate_hz: float = field(
        default=100.0, metadata={'help': 'rate of joint states while timing', 'unit': 'Hz'}
    )

    def __post_init__(self) -> None:
        """Check there is something to do."""
        for name in ('sequences', 'seed', 'processes', 'time_limit_s', 'timing_s'):
            if not getattr(self, name) >= 0:
                raise ConfigError(name, getattr(self, name), 'must be zero or more')
        if not self.state_rate_hz > 0:
            raise ConfigError('state_rate_hz', self.state_rate_hz, 'must be positive')
        if not self.sequences and not self.timing_s:
            raise ConfigError('sequences', 0, 'goes together with a timing_s above zero')


def run(config: GovernorBenchConfig, progress: Progress = silent) -> BenchResult:
    """Run both parts.

    Raises:
        BringupError: A process of the robot side ended or was not ready in time.
    """
    figures: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    if config.sequences:
        start_s = time.monotonic()
        tally = torment(config, progress)
        figures |= tally_figures(tally, time.monotonic() - start_s)
        notes = (tally.first,) if tally.first else ()
    if config.timing_s:
        from roboadapt_ros.bench.robot_side import measure

        figures |= measure(
            config.timing_s, load=config.load, state_rate_hz=config.state_rate_hz,
            progress=progress,
        )  # fmt: skip
    return BenchResult(bench='governor', figures=figures, notes=notes)


def torment(config: GovernorBenchConfig, progress: Progress = silent) -> Tally:
    """Send the sequences and return what was found; what is found follows from the seed."""
    processes = config.processes or len(os.sched_getaffinity(0))
    total, start_s = Tally(), time.monotonic()
    orders = _orders(config)
    with ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context('spawn')
    ) as executor:
        waiting: set[Future[Tally]] = set()
        while True:
            is_late = 0.0 < config.time_limit_s < time.monotonic() - start_s
            while not is_late and len(waiting) < processes * ORDERS_AHEAD:
                order = next(orders, None)
                if order is None:
                    break
                waiting.add(executor.submit(carry_out, order))
            if not waiting:
                return total
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            rate = total.sequences / (time.monotonic() - start_s)
            progress(total.sequences, config.sequences, _state(total, rate))


def carry_out(order: tuple[Batch, ...]) -> Tally:
    """Run batches one after the other; in a process of its own."""
    total = Tally()
    for batch in order:
        total.add(HostileRun(batch, collisions=_mesh_judge()).run())
    return total


@cache
def _mesh_judge() -> MeshJudge:
    """Return the judge of this process."""
    return MeshJudge()


def tally_figures(tally: Tally, elapsed_s: float) -> dict[str, float]:
    """Return a tally's figures by name."""
    figures: dict[str, float] = {
        'sequences': tally.sequences,
        'violations': tally.violations.total(),
        'unresponsive': tally.unresponsive,
        'sequences_per_s': tally.sequences / elapsed_s,
        'ticks': tally.ticks,
        'points': tally.points,
        'points_moving': tally.moving,
        'chunks_accepted': tally.accepted,
        'chunks_refused': tally.refused,
        'tick_cpu_ms_p50': tally.tick_ms(50),
        'tick_cpu_ms_p99': tally.tick_ms(99),
        'tick_cpu_ms_max': tally.tick_ms(100),
    }
    figures |= {f'used_{name}': part for name, part in sorted(tally.used.items())}
    figures |= {f'violations_{name}': n for name, n in sorted((+tally.violations).items())}
    figures |= {f'refused_{cause}': n for cause, n in sorted(tally.causes.items())}
    return figures | {f'sent_{kind}': n for kind, n in sorted(tally.kinds.items())}


def _orders(config: GovernorBenchConfig) -> Iterator[tuple[Batch, ...]]:
    """Yield batches, several at once, until the sequences are used up."""
    order: list[Batch] = []
    for number, first in enumerate(range(0, config.sequences, SEQUENCES_PER_BATCH)):
        count = min(SEQUENCES_PER_BATCH, config.sequences - first)
        order.append(Batch(config.seed, number, count))
        if len(order) == BATCHES_PER_ORDER:
            yield tuple(order)
            order = []
    if order:
        yield tuple(order)


def _state(tally: Tally, rate: float) -> str:
    found = tally.violations.total()
    return f'{rate:.0f} sequences/s, {found} violations, {tally.unresponsive} without an answer'
