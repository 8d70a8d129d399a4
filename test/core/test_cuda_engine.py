"""The engine on a GPU gives what the one on the CPU gives; runs where there is one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
from roboadapt_ros.adapters.bottleneck import TaskAdapters
from roboadapt_ros.bench.models import random_tensors
from roboadapt_ros.encoder.cuda_engine import CudaEngine
from roboadapt_ros.encoder.engine import AdapterHandle
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.errors import EngineError
from tiny import FAMILIES, make_backbone, SIZE
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='torch sees no GPU')
TOLERANCE = {False: 1e-4, True: 5e-2}
"""Relative to the largest feature, by half precision or not."""
FUSED_KERNEL = Path(__file__).resolve().parents[1] / 'fused_kernel.py'


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def adapters(engine: TorchEngine, seed: int):
    torch.manual_seed(seed)
    layout = engine.backbone.layout(bottom=4, middle=4, top=8)
    module = TaskAdapters(layout)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return layout, {name: t.detach().numpy() for name, t in module.state_dict().items()}


@pytest.mark.skipif(torch.cuda.is_available(), reason='torch sees a GPU')
def test_without_a_gpu_it_says_so(tmp_path) -> None:
    make_backbone(tmp_path)
    with pytest.raises(EngineError, match='NVIDIA GPU'):
        CudaEngine(tmp_path / 'backbones' / 'tiny')


def test_the_fused_kernel_computes_what_torch_does() -> None:
    pytest.importorskip('triton')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    words = [sys.executable, str(FUSED_KERNEL), device]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def close(found: np.ndarray, wanted: np.ndarray, half: bool) -> None:
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE[half] * np.abs(wanted).max(), rtol=0)


@needs_gpu
@pytest.mark.parametrize('fuse', [False, True])
@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize('family', list(FAMILIES))
def test_it_equals_the_cpu_and_switches_without_a_new_capture(
    tmp_path, family, half, fuse
) -> None:
    make_backbone(tmp_path, family, **FAMILIES[family])
    path = tmp_path / 'backbones' / family
    cpu, gpu = TorchEngine(path), CudaEngine(path, half=half, fuse=fuse)
    made = [adapters(cpu, seed) for seed in range(3)]
    on_cpu = [cpu.add(*one) for one in made]
    on_gpu = [gpu.add(*one) for one in made]
    first = gpu.run(images(2), on_gpu[0])
    captures = len(gpu._captured)
    for a, b in [(None, None), *zip(on_cpu, on_gpu, strict=True)]:
        close(gpu.run(images(2), b), cpu.run(images(2), a), half)
    assert len(gpu._captured) <= captures + 1, 'a switch captured a graph of its own'
    np.testing.assert_array_equal(gpu.run(images(2), on_gpu[0]), first)
    close(gpu.run_mixed(images(3), on_gpu), cpu.run_mixed(images(3), on_cpu), half)
    with_bare = [on_gpu[2], None, on_gpu[0]], [on_cpu[2], None, on_cpu[0]]
    close(gpu.run_mixed(images(3), with_bare[0]), cpu.run_mixed(images(3), with_bare[1]), half)
    close(gpu.run_shared(images(2), with_bare[0]), cpu.run_shared(images(2), with_bare[1]), half)
    assert gpu.check().intact


@needs_gpu
@pytest.mark.parametrize('half', [False, True])
def test_features_unlike_the_stored_ones_are_a_changed_base(tmp_path, monkeypatch, half) -> None:
    """Whole tensors on a card that computes something else."""
    make_backbone(tmp_path)
    run = CudaEngine.run
    monkeypatch.setattr(CudaEngine, 'run', lambda *words: run(*words) * np.float32(1.5))
    check = CudaEngine(tmp_path / 'backbones' / 'tiny', half=half).check()
    assert check.digest == check.expected_digest
    assert not check.probe_equal


@needs_gpu
@pytest.mark.parametrize('family', list(FAMILIES))
def test_tasks_of_different_layouts_share_a_batch_and_a_frame(tmp_path, family) -> None:
    make_backbone(tmp_path, family, **FAMILIES[family])
    path = tmp_path / 'backbones' / family
    cpu, gpu = TorchEngine(path), CudaEngine(path)
    layouts = [
        cpu.backbone.layout(bottom=4, middle=4, top=8),
        cpu.backbone.layout(middle=6),
        cpu.backbone.layout(top=8),
    ]
    made = [(layout, random_tensors(layout, seed)) for seed, layout in enumerate(layouts)]
    on_cpu, on_gpu = [[engine.add(*one) for one in made] for engine in (cpu, gpu)]
    close(gpu.run_mixed(images(3), on_gpu), cpu.run_mixed(images(3), on_cpu), False)
    close(gpu.run_shared(images(2), on_gpu), cpu.run_shared(images(2), on_cpu), False)
    for a, b in zip(on_cpu, on_gpu, strict=True):
        close(gpu.run_shared(images(2), [b, None]), cpu.run_shared(images(2), [a, None]), False)


@needs_gpu
def test_staging_a_new_layout_leaves_the_frames_of_another_task_alone(tmp_path) -> None:
    make_backbone(tmp_path, 'vit', **FAMILIES['vit'])
    gpu = CudaEngine(tmp_path / 'backbones' / 'vit')
    layout, tensors = adapters(gpu, 0)
    active = gpu.add(layout, tensors)
    wanted = gpu.run(images(2), active)
    layouts = [gpu.backbone.layout(middle=width) for width in range(2, 8)]

    def stage() -> list[AdapterHandle]:
        return [gpu.add(one, random_tensors(one, 1)) for one in layouts]

    with ThreadPoolExecutor(1) as pool:
        staging, frames = pool.submit(stage), 0
        while not staging.done():
            np.testing.assert_array_equal(gpu.run(images(2), active), wanted)
            frames += 1
        captures = len(gpu._captured)
        for handle in staging.result():
            gpu.run(images(2), handle)
    assert frames > len(layouts), 'frames waited for the staging'
    assert len(gpu._captured) == captures, 'the first frame after a switch captured a graph'
