"""`roboadapt bench full-rate`: switching the encoder while two cameras run at full rate.

The encoder node alone, with several tasks resident, is fed by two synthetic cameras in a
process of their own and switched by service calls at random times, while further tasks are
staged and evicted in the background. Each features message is judged by its numbers: they
must be those of the task it names, for one of the pictures that the cameras show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
import logging
from pathlib import Path
import tempfile
import threading

import numpy as np
import numpy.typing as npt
from roboadapt_interfaces.msg import Features
from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import load_package, save_package
from roboadapt_ros.bench.camera_pair import CameraProcess, pictures
from roboadapt_ros.bench.feature_judge import FeatureJudge
from roboadapt_ros.bench.result import BenchResult
from roboadapt_ros.bringup.answers import SwitchAnswer
from roboadapt_ros.bringup.environment import find_free_domain
from roboadapt_ros.bringup.paths import models_dir
from roboadapt_ros.bringup.rig import load_rig, RigConfig
from roboadapt_ros.bringup.supervisor import Graph
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import BringupError, ConfigError
from roboadapt_ros.evaluation.statistics import percentile
from roboadapt_ros.learning.progress import Progress, silent
from roboadapt_ros.ros.qos import TRACE

logger = logging.getLogger(__name__)

FIRST_FEATURES_S = 30.0


@dataclass(frozen=True, kw_only=True)
class FullRateConfig:
    """Settings of the experiment."""

    switches: int = field(default=10_000, metadata={'help': 'switches to make'})
    tasks: int = field(default=8, metadata={'help': 'tasks resident and switched among'})
    rate_hz: float = field(
        default=60.0, metadata={'help': 'exposures of both cameras', 'unit': 'Hz'}
    )
    pause_s: float = field(
        default=0.01, metadata={'help': 'longest random pause before a switch', 'unit': 's'}
    )
    stage_every: int = field(
        default=50, metadata={'help': 'switches between two tasks staged in the background'}
    )
    pictures: int = field(default=8, metadata={'help': 'pictures the cameras show in turn'})
    engine: str = field(default='auto', metadata={'help': 'engine of the encoder'})
    threads: int = field(default=1, metadata={'help': 'threads of one forward pass'})
    template: str = field(
        default='lift_red', metadata={'help': 'task package whose contract the tasks have'}
    )
    seed: int = field(default=0, metadata={'help': 'seed of tasks, times and adapters'})

    def __post_init__(self) -> None:
        """Check there is something to switch between."""
        if self.tasks < 2:
            raise ConfigError('tasks', self.tasks, 'must be 2 or more')
        for name in ('switches', 'rate_hz', 'stage_every', 'pictures', 'threads'):
            if not getattr(self, name) > 0:
                raise ConfigError(name, getattr(self, name), 'must be positive')


def run(config: FullRateConfig, progress: Progress = silent) -> BenchResult:
    """Run the experiment on an encoder of its own.

    Raises:
        BringupError: A process ended, or no features came.
        RefusedError: A switch was refused.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress(0, config.switches, 'making tasks')
        names = make_tasks(folder, config)
        rig = _rig(config, names[: config.tasks])
        encoder = _encoder(folder, config, names)
        judge = FeatureJudge(expected_features(encoder, names[: config.tasks], config.pictures))
        domain_id = find_free_domain()
        with Graph(
            rig,
            log_dir=folder / 'log',
            domain_id=domain_id,
            models_dir=folder,
            initial_task=names[0],
            only=('encoder',),
        ) as graph:
            graph.client.watch(Features, 'encoder/features', judge, TRACE)
            cameras = _cameras(rig, encoder, config, folder / 'cameras.json', domain_id)
            with cameras:
                answers, staged = _switch(graph, judge, config, names, progress)
            figures = _figures(judge, answers, cameras.stamps_ns())
    for line in judge.wrong[:10]:
        logger.warning(line)
    return BenchResult(bench='full-rate', figures={**figures, 'staged_meanwhile': staged})


def make_tasks(folder: Path, config: FullRateConfig) -> tuple[str, ...]:
    """Write `tasks` + 1 packages with random adapters over the template's backbone.

    Returns:
        Their names; the last one is for staging in the background.
    """
    models = models_dir()
    template = load_package(TaskLibrary(models / 'tasks').path(config.template))
    (folder / 'backbones').symlink_to((models / 'backbones').resolve())
    rng = np.random.default_rng(config.seed)
    names = tuple(f'skill{number}' for number in range(config.tasks + 1))
    for name in names:
        tensors = {
            key: _shaken(rng, value) if key.startswith('adapters.') else value
            for key, value in template.tensors.items()
        }
        manifest = replace(template.manifest, task=name, version=None, provenance={})
        save_package(folder / 'tasks' / name, manifest, tensors, f'# {name}\n')
    return names


def _shaken(rng: np.random.Generator, value: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return other weights of about the same size."""
    scale = float(np.abs(value).mean()) + 0.01
    return (value + scale * rng.standard_normal(value.shape)).astype(np.float32)


def expected_features(
    encoder: TaskEncoder, tasks: tuple[str, ...], count: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Return each task's features of every picture, (pictures, features)."""
    expected = {}
    for task in tasks:
        cameras = encoder.contract(task).cameras
        shown = pictures(len(cameras), count, cameras[0].height, cameras[0].width)
        encoder.activate(task)
        stamps = {camera.name: 1 for camera in cameras}
        expected[task] = np.stack(
            [
                encoder.encode(
                    {c.name: shown[i, k] for i, c in enumerate(cameras)}, stamps, 1, lambda: 1
                ).values
                for k in range(count)
            ]
        )
    return expected


def _encoder(folder: Path, config: FullRateConfig, names: tuple[str, ...]) -> TaskEncoder:
    """Return an encoder in this process that computes what must come."""
    package = load_package(folder / 'tasks' / names[0])
    encoder = load_encoder(
        folder, package.manifest.backbone_id, kind=EngineKind.TORCH, threads=config.threads
    )
    for name in names:
        encoder.stage(name)
    return encoder


def _rig(config: FullRateConfig, names: tuple[str, ...]) -> RigConfig:
    """Return the simulated rig's names, for the encoder alone."""
    settings = {
        'engine': config.engine,
        'threads': config.threads,
        'tasks': list(names),
        # Below half a period, or a lost frame of one camera pairs its neighbours' exposures.
        'pairing_tolerance_s': 0.4 / config.rate_hz,
    }
    return replace(load_rig('sim'), nodes={'encoder': settings})


def _cameras(
    rig: RigConfig, encoder: TaskEncoder, config: FullRateConfig, file: Path, domain_id: int
) -> CameraProcess:
    """Return cameras as the tasks' contract has them, on the rig's topics."""
    contracts = encoder.contract(encoder.resident[0]).cameras
    image = {camera.name: camera.image for camera in rig.cameras}
    return CameraProcess(
        [image[contract.name] for contract in contracts],
        file,
        rate_hz=config.rate_hz,
        size=(contracts[0].width, contracts[0].height),
        pictures=config.pictures,
        domain_id=domain_id,
    )


def _switch(
    graph: Graph,
    judge: FeatureJudge,
    config: FullRateConfig,
    names: tuple[str, ...],
    progress: Progress,
) -> tuple[list[SwitchAnswer], int]:
    """Make the switches; returns the answers and how often a task was staged meanwhile."""
    rng = np.random.default_rng(config.seed)
    _await(graph, lambda: judge.judged > 0)
    pause = threading.Event()
    staging = _Staging(graph, names[-1])
    answers: list[SwitchAnswer] = []
    task = names[0]
    for number in range(config.switches):
        graph.check()
        task = str(rng.choice([name for name in names[: config.tasks] if name != task]))
        pause.wait(float(rng.uniform(0.0, config.pause_s)))
        answers.append(graph.client.switch(task))
        if number % config.stage_every == 0:
            staging.begin()
        progress(number + 1, config.switches, f'{judge.judged} features, {len(judge.wrong)} wrong')
    staging.finish()
    return answers, staging.count


class _Staging:
    """Stages and evicts a task in a thread, one at a time."""

    def __init__(self, graph: Graph, task: str):
        self._graph, self._task = graph, task
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self.count = 0

    def begin(self) -> None:
        """Start staging, unless it is still going on."""
        if self._error is not None:
            raise self._error
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait for the end of what was begun."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            self._graph.client.stage(self._task)
            self._graph.client.stage(self._task, evict=True)
            self.count += 1
        except Exception as error:  # noqa: BLE001 - the edge of this thread; raised by the caller
            self._error = error


def _await(graph: Graph, condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(round(FIRST_FEATURES_S / 0.05)):
        graph.check()
        if condition():
            return
        pause.wait(0.05)
    raise BringupError(f'No features within {FIRST_FEATURES_S:g} s; see the log of the encoder')


def _figures(
    judge: FeatureJudge, answers: list[SwitchAnswer], sent_ns: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Return the figures; frames are counted by what the cameras sent."""
    seen_ns = judge.seen_ns()
    between = sent_ns[(sent_ns >= seen_ns[0]) & (sent_ns <= seen_ns[-1])]
    lost_ns = np.setdiff1d(between, seen_ns)
    at_boundary = sum(
        int(((lost_ns > a.last_frame_before_ns) & (lost_ns < a.first_frame_after_ns)).sum())
        for a in answers
    )
    mixed = sum(
        judge.tasks.get(answer.generation, answer.task) != answer.task for answer in answers
    )
    active = [answer.switch_us for answer in answers]
    first = [answer.boundary_ms for answer in answers]
    return {
        'switches': len(answers),
        'switch_us_p50': percentile(active, 50),
        'switch_us_p99': percentile(active, 99),
        'switch_us_max': max(active),
        'boundary_ms_p50': percentile(first, 50),
        'boundary_ms_p99': percentile(first, 99),
        'frames_sent': len(between),
        'frames_lost': len(lost_ns),
        'frames_dropped': max(at_boundary, sum(answer.frames_dropped for answer in answers)),
        'features_judged': judge.judged,
        'wrong_task_features': len(judge.wrong) + mixed,
    }
