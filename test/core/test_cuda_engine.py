"""The engine on a GPU gives what the one on the CPU gives; runs where there is one."""

from __future__ import annotations

import numpy as np
import pytest
from roboadapt_ros.adapters.bottleneck import TaskAdapters
from roboadapt_ros.encoder.cuda_engine import CudaEngine
from roboadapt_ros.encoder.torch_engine import TorchEngine
from roboadapt_ros.errors import EngineError
from tiny import FAMILIES, make_backbone, SIZE
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='torch sees no GPU')
TOLERANCE = {False: 1e-3, True: 5e-2}
"""Relative to the largest feature, by half precision or not; TF32 convolutions included."""


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


@needs_gpu
@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize('family', list(FAMILIES))
def test_it_equals_the_cpu_and_switches_without_a_new_capture(tmp_path, family, half) -> None:
    make_backbone(tmp_path, family, **FAMILIES[family])
    path = tmp_path / 'backbones' / family
    cpu, gpu = TorchEngine(path), CudaEngine(path, half=half)
    made = [adapters(cpu, seed) for seed in range(3)]
    on_cpu = [cpu.add(*one) for one in made]
    on_gpu = [gpu.add(*one) for one in made]
    first = gpu.run(images(2), on_gpu[0])
    captures = len(gpu._captured)
    for a, b in [(None, None), *zip(on_cpu, on_gpu, strict=True)]:
        wanted = cpu.run(images(2), a)
        bound = TOLERANCE[half] * np.abs(wanted).max()
        np.testing.assert_allclose(gpu.run(images(2), b), wanted, atol=bound)
    assert len(gpu._captured) <= captures + 1, 'a switch captured a graph of its own'
    np.testing.assert_array_equal(gpu.run(images(2), on_gpu[0]), first)
    wanted = cpu.run_mixed(images(3), on_cpu)
    bound = TOLERANCE[half] * np.abs(wanted).max()
    np.testing.assert_allclose(gpu.run_mixed(images(3), on_gpu), wanted, atol=bound)
    assert gpu.check().intact
