"""Which exact engine is the faster one on this machine: measured once, kept with its figures.

The race runs in a process of its own, and its outcome is kept beside the exported graphs, for
this processor and GPU, this number of threads and these versions. So a later start measures
nothing, and loads torch only where torch won; a GPU that was left out is tried again. Imports
neither torch nor onnxruntime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from roboadapt_ros.backbones.manifest import load_backbone_manifest
from roboadapt_ros.config import load_json
from roboadapt_ros.encoder.graphs import FORMAT, GraphStore, machine_name, runtime_version
from roboadapt_ros.encoder.offshoot import run_module
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import EngineError, RoboAdaptError

GPU_LIST = Path('/proc/driver/nvidia/gpus')
"""Where NVIDIA's driver says what there is."""
IMAGES = 2
"""Of the request that is timed: a scene and a wrist camera."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of a race; a JSON file."""

    backbone_digest: str
    backbone_settings: str
    format: int
    machine: str
    gpus: str
    """What NVIDIA's driver lists; '' where there is none."""
    threads: int
    versions: dict[str, str]
    winner: EngineKind
    milliseconds: dict[str, float]
    """Median of a request of `IMAGES` images, by engine [ms]."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why an engine was not timed, by engine."""

    @property
    def reason(self) -> str:
        """Return the figures, what follows, and what was left out and why, in a line."""
        figures = ', '.join(f'{name} {value:.1f} ms' for name, value in self.milliseconds.items())
        fastest = min(self.milliseconds, key=self.milliseconds.__getitem__)
        left = ''.join(f'; without {name}: {why}' for name, why in self.left_out.items())
        return f'{figures} for {IMAGES} images on {self.threads} threads: {fastest}{left}'


def choose(path: Path, threads: int) -> tuple[EngineKind, str]:
    """Return the exact engine to serve the backbone in `path` with, and why.

    Raises:
        RoboAdaptError: The backbone's manifest is unreadable.
    """
    found = libraries()
    if not found['onnxruntime'] or not found['torch']:
        absent = 'onnxruntime' if not found['onnxruntime'] else 'torch'
        with_torch = EngineKind.CUDA if gpu_names() else EngineKind.TORCH
        kind = with_torch if absent == 'onnxruntime' else EngineKind.ONNX
        return kind, f'{kind.value}, because {absent} is not installed'
    try:
        choice = find_choice(path, threads)
        if choice is None or EXACT[EngineKind.CUDA] in choice.left_out:  # it was full, perhaps
            run_module('roboadapt_ros.encoder.race', str(path), str(threads))
            choice = find_choice(path, threads)
        if choice is None:
            raise EngineError('auto', 'the race left no outcome', 'Name an engine.')
    except EngineError as error:
        return EngineKind.TORCH, f'torch, because the engines were not timed: {error}'
    return choice.winner, choice.reason


def find_choice(path: Path, threads: int) -> Choice | None:
    """Return the kept outcome of a race that still holds, or None."""
    manifest = load_backbone_manifest(path)
    for folder in GraphStore(path, manifest).folders:
        try:
            choice = load_json(Choice, folder / choice_name(threads))
        except RoboAdaptError:
            continue
        over = (choice.backbone_digest, choice.backbone_settings)
        if over != (manifest.digest, manifest.settings_digest):
            continue
        if (choice.format, choice.threads) != (FORMAT, threads):
            continue
        if (choice.machine, choice.gpus) != (machine_name(), gpu_names()):
            continue
        if choice.versions == libraries() and choice.winner in EXACT:
            return choice
    return None


EXACT = {
    EngineKind.TORCH: 'torch',
    EngineKind.ONNX: 'onnxruntime',
    EngineKind.CUDA: 'torch on the GPU',
}
"""The engines that compute in float32, and what the figures call them."""


def choice_name(threads: int) -> str:
    """Return the file that keeps the outcome for a number of threads."""
    return f'choice_{threads}_threads.json'


def gpu_names() -> str:
    """Return the NVIDIA GPUs that the driver lists, '' where there is no driver."""
    found = []
    for path in sorted(GPU_LIST.glob('*/information')):
        try:
            text = path.read_text(encoding='utf-8')
        except OSError:
            continue
        fields = dict(line.partition(':')[::2] for line in text.splitlines())
        found.append(fields.get('Model', '').strip() or path.parent.name)
    return ', '.join(found)


def libraries() -> dict[str, str]:
    """Return the installed version of each engine's library, '' where there is none."""
    try:
        torch = version('torch')
    except PackageNotFoundError:
        torch = ''
    return {'torch': torch, 'onnxruntime': runtime_version()}
