"""`roboadapt bench loop`: from a frame to the first command computed from it.

Read from the latency ledgers of the governor's own commands, over episodes of the tasks on
the whole graph of the simulated rig.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from roboadapt_ros.bench.live_rig import LiveRig
from roboadapt_ros.bench.observer import GraphObserver
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import BringupError
from roboadapt_ros.evaluation.ledgers import LedgerBook
from roboadapt_ros.evaluation.protocol import alternate, EpisodeRules, run_episode
from roboadapt_ros.evaluation.statistics import percentile
from roboadapt_ros.learning.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class LoopBenchConfig:
    """Settings of the measurement."""

    tasks: tuple[str, ...] = field(
        default=('lift_red', 'push_blue'), metadata={'help': 'tasks to run in turn'}
    )
    episodes: int = field(default=3, metadata={'help': 'episodes of each task'})
    seed: int = field(default=3000, metadata={'help': 'seed of the first episode'})


def run(graph: Graph, config: LoopBenchConfig, progress: Progress = silent) -> BenchResult:
    """Run the episodes on a graph that is up and read the ledgers.

    Raises:
        BringupError: A process ended, or no command was seen.
    """
    rules = EpisodeRules()
    observer = GraphObserver(graph.client, graph.rig)
    observer.start()
    rig = LiveRig(graph, observer, moving_rad_s=rules.moving_rad_s)
    plans = list(
        alternate(config.tasks, episodes=config.episodes, seed=config.seed, handover_s=(0.3, 0.8))
    )
    for number, plan in enumerate(plans):
        progress(number, len(plans), f'{len(observer.ledgers.total_ms)} frames measured')
        run_episode(rig, plan, rules)
    progress(len(plans), len(plans), f'{len(observer.ledgers.total_ms)} frames measured')
    if not observer.ledgers.total_ms:
        raise BringupError(
            f'No command with a complete ledger was seen ({observer.ledgers.incomplete} '
            'incomplete); see the logs of policy, sim2real and governor'
        )
    figures = loop_figures(observer.ledgers)
    factors = observer.real_time_factors
    if factors:
        figures['real_time_factor_p50'] = float(np.median(factors))
    return BenchResult(bench='loop', figures=figures)


def loop_figures(ledgers: LedgerBook) -> dict[str, float]:
    """Return the figures of a book that holds at least one ledger; stages by their name."""
    figures = {
        'frame_to_command_ms_p50': percentile(ledgers.total_ms, 50),
        'frame_to_command_ms_p99': percentile(ledgers.total_ms, 99),
        'inference_ms_p50': percentile(ledgers.inference_ms, 50),
        'inference_ms_p99': percentile(ledgers.inference_ms, 99),
        'overhead_ms_p50': percentile(ledgers.overhead_ms, 50),
        'overhead_ms_p99': percentile(ledgers.overhead_ms, 99),
        'frames': float(len(ledgers.total_ms)),
    }
    for stage, values in ledgers.stages_ms().items():
        figures |= {f'{stage}_ms_p50': values.p50, f'{stage}_ms_p99': values.p99}
    return figures
