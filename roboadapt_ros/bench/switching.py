"""`roboadapt bench switch`: a thousand switches at random times, the arm moving.

The whole graph of the simulated rig runs and is armed; what is counted is what the processes
sent, not what they say of themselves. Before it is up, switching among eight tasks over a
ViT-S/16 is timed beside what peft, adapters and reloading a whole model take for the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from roboadapt_ros.bench import peers
from roboadapt_ros.bench.live_rig import LiveRig
from roboadapt_ros.bench.observer import GraphObserver
from roboadapt_ros.bench.residency import resident_figures
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.evaluation.protocol import EpisodeRules
from roboadapt_ros.evaluation.statistics import percentile
from roboadapt_ros.learning.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class SwitchConfig:
    """Settings of the experiment."""

    tasks: tuple[str, ...] = field(
        default=('lift_red', 'push_blue'), metadata={'help': 'tasks to switch among'}
    )
    switches: int = field(default=1000, metadata={'help': 'switches to make'})
    per_scene: int = field(default=100, metadata={'help': 'switches before a new scene'})
    pause_s: float = field(
        default=0.1, metadata={'help': 'longest random pause between two switches', 'unit': 's'}
    )
    camera_rate_hz: float = field(
        default=20.0, metadata={'help': 'exposures of both cameras', 'unit': 'Hz'}
    )
    seed: int = field(default=0, metadata={'help': 'seed of tasks, times and scenes'})
    model: str = field(
        default='vit_small_patch16_224', metadata={'help': "timm's name of the larger backbone"}
    )
    image_size: int = field(default=224, metadata={'help': 'side of its input', 'unit': 'px'})
    resident: int = field(default=8, metadata={'help': 'tasks resident over it'})
    resident_switches: int = field(default=2000, metadata={'help': 'switches among those'})
    threads: int = field(default=2, metadata={'help': 'threads of its forward pass'})
    peers: bool = field(default=True, metadata={'help': 'measure peft and adapters too'})

    def __post_init__(self) -> None:
        """Check there is something to switch between."""
        if len(self.tasks) < 2:
            raise ConfigError('tasks', self.tasks, 'must be at least two')
        if self.resident < 2:
            raise ConfigError('resident', self.resident, 'must be 2 or more')
        for name in ('switches', 'per_scene', 'camera_rate_hz', 'resident_switches', 'threads'):
            if not getattr(self, name) > 0:
                raise ConfigError(name, getattr(self, name), 'must be positive')
        if not self.pause_s >= 0:
            raise ConfigError('pause_s', self.pause_s, 'must be 0 or more')


def run_before(config: SwitchConfig, progress: Progress = silent) -> BenchResult:
    """Measure what needs no graph, and would be slowed down by one.

    Raises:
        BringupError: The peers failed.
    """
    progress(0, 0, f'making {config.model}')
    figures = resident_figures(
        config.model,
        config.image_size,
        tasks=config.resident,
        switches=config.resident_switches,
        threads=config.threads,
        seed=config.seed,
        each=lambda done: progress(done, config.resident_switches, 'among resident tasks'),
    )
    if not config.peers:
        return BenchResult(bench='switch', figures=figures)
    progress(0, 0, 'measuring the peers')
    found = peers.measure(['switch'], rounds=1, threads=config.threads)
    if not found:
        return BenchResult(bench='switch', figures=figures, notes=(peers.HOW_TO_INSTALL,))
    slowest_us = figures[f'resident{config.resident}_switch_us_p99']
    figures |= {**found, 'faster_than_peft': found['peft_set_adapter_us'] / slowest_us}
    return BenchResult(bench='switch', figures=figures)


def run(graph: Graph, config: SwitchConfig, progress: Progress = silent) -> BenchResult:
    """Make the switches on a graph that is up.

    Raises:
        BringupError: A process ended, or something did not answer.
        RefusedError: A switch or arming was refused.
    """
    rng = np.random.default_rng(config.seed)
    observer = GraphObserver(graph.client, graph.rig)
    observer.start()
    rig = LiveRig(graph, observer, moving_rad_s=EpisodeRules().moving_rad_s)
    task = config.tasks[0]
    for number in range(config.switches):
        if number % config.per_scene == 0:
            rig.reset(task, config.seed + number)
            rig.switch(task)
            rig.arm()
        task = str(rng.choice([name for name in config.tasks if name != task]))
        rig.wait(float(rng.uniform(0.0, config.pause_s)))
        rig.switch(task)
        progress(number + 1, config.switches, f'{len(observer.identities.mixed)} mixed messages')
    rig.disarm()
    return _figures(rig, observer)


def _figures(rig: LiveRig, observer: GraphObserver) -> BenchResult:
    switches = rig.switches()
    active = [switch.switch_us for switch in switches]
    first = [switch.boundary_ms for switch in switches]
    return BenchResult(
        bench='switch',
        figures={
            'switches': len(switches),
            'switch_us_p50': percentile(active, 50),
            'switch_us_p99': percentile(active, 99),
            'mixed_messages': observer.identities.finish(),
            'frames_dropped': sum(switch.frames_dropped for switch in switches),
            'boundary_ms_p50': percentile(first, 50),
            'boundary_ms_p99': percentile(first, 99),
            'switches_while_moving': sum(switch.moving for switch in switches),
            'messages_judged': sum(observer.identities.counts.values()),
            'limit_violations': len(observer.limit_violations()),
        },
    )
