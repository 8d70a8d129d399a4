"""Times peft and adapters beside the bare model, for the benchmarks to compare with.

    .build/peers/bin/python tools/peers --parts forward switch --json FILE

Both run on a vision transformer of the size of ViT-S/16 at 224 px with random weights, eight
tasks resident: peft as LoRA of rank 16 on every linear map of timm's model, adapters as two
bottlenecks a block (its `double_seq_bn`) on transformers' model. Each is divided by its own
bare model, timed in turn with it in the same process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
import json
from pathlib import Path
import random
import tempfile
import time

import adapters
from adapters.composition import BatchSplit
import peft
from roboadapt_ros.bench.timing import interleave
import safetensors.torch
import timm
import torch
import transformers

TIMM_NAME = 'vit_small_patch16_224'
LORA_TARGETS = r'blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))'
LORA_RANK = 16
TASKS = tuple(f'task_{number}' for number in range(8))
SIZE = 224
SWITCHES = 200
RELOADS = 15

Figures = dict[str, float]
Forward = Callable[[torch.Tensor], object]


def forward(rounds: int) -> Figures:
    """Return what one task's adapter costs a forward pass, and how many values it has."""
    figures: Figures = {
        'peft_values': _values(lora_model()),
        'adapters_values': _values(adapters_model()),
    }
    for batch in (1, len(TASKS)):
        figures |= _compare('peft', f'batch{batch}', timm_model(), lora_model(), batch, rounds)
        adapted = _under(adapters_model(), TASKS[0])
        figures |= _compare('adapters', f'batch{batch}', vit_model(), adapted, batch, rounds)
    return figures


def mixed(rounds: int) -> Figures:
    """Return what every task's adapter costs in one batch, a frame for each."""
    batch, lora = len(TASKS), lora_model()
    by_name = partial(lora, adapter_names=list(TASKS))
    split = _under(adapters_model(), BatchSplit(*TASKS, batch_sizes=[1] * batch))
    name = f'mixed{batch}'
    return {
        **_compare('peft', name, timm_model(), by_name, batch, rounds),
        **_compare('adapters', name, vit_model(), split, batch, rounds),
    }


def _values(model: torch.nn.Module) -> float:
    """Return the number of values of the first task's adapter."""
    own = [value for name, value in model.named_parameters() if f'.{TASKS[0]}.' in name]
    return float(sum(value.numel() for value in own))


def _under(model: torch.nn.Module, active: str | BatchSplit) -> Forward:
    """Return the forward pass of the adapters library with something active."""

    def run(pixels: torch.Tensor) -> object:
        with adapters.AdapterSetup(active):
            return model(pixels)

    return run


def _compare(
    peer: str, name: str, bare: Forward, adapted: Forward, batch: int, rounds: int
) -> Figures:
    pixels = torch.randn(batch, 3, SIZE, SIZE)
    calls = {'bare': partial(bare, pixels), 'adapted': partial(adapted, pixels)}
    return interleave(calls, rounds=rounds).figures(f'{peer}_{name}', 'adapted', 'bare')


def switch(rounds: int) -> Figures:
    """Return the median time of a switch, and of loading a whole model instead."""
    del rounds
    lora, model = lora_model(), adapters_model()
    return {
        'peft_set_adapter_us': _median_us(lora.set_adapter, _random_tasks()),
        'adapters_set_active_us': _median_us(model.set_active_adapters, _random_tasks()),
        **_reload(),
    }


def _reload() -> Figures:
    """Return the time to read a model's tensors, in the system's cache, and to copy them in."""
    model = timm_model()
    with tempfile.TemporaryDirectory() as folder:
        tensors, pickle = Path(folder, 'model.safetensors'), Path(folder, 'model.pt')
        safetensors.torch.save_file(model.state_dict(), tensors)
        torch.save(model.state_dict(), pickle)
        return {
            'reload_us': _median_us(
                lambda path: model.load_state_dict(safetensors.torch.load_file(path)),
                [tensors] * RELOADS,
            ),
            'reload_torch_us': _median_us(
                lambda path: model.load_state_dict(torch.load(path, weights_only=True)),
                [pickle] * RELOADS,
            ),
        }


def _median_us(action: Callable[..., object], arguments: Sequence[object]) -> float:
    times_ns = []
    for argument in arguments:
        start_ns = time.perf_counter_ns()
        action(argument)
        times_ns.append(time.perf_counter_ns() - start_ns)
    return sorted(times_ns)[len(times_ns) // 2] / 1e3


def _random_tasks() -> list[str]:
    """Return tasks, each different from the one before."""
    rng, chosen = random.Random(0), [TASKS[0]]
    for _ in range(SWITCHES):
        chosen.append(rng.choice([task for task in TASKS if task != chosen[-1]]))
    return chosen[1:]


def timm_model() -> torch.nn.Module:
    """Return the bare model of timm."""
    return timm.create_model(TIMM_NAME, num_classes=0).eval()


def lora_model() -> torch.nn.Module:
    """Return it with a LoRA adapter of every task."""
    config = peft.LoraConfig(r=LORA_RANK, lora_alpha=LORA_RANK, target_modules=LORA_TARGETS)
    model = peft.get_peft_model(timm_model(), config, adapter_name=TASKS[0])
    for task in TASKS[1:]:
        model.add_adapter(task, config)
    return model.eval()


def vit_model() -> torch.nn.Module:
    """Return the bare model of transformers, of the same size."""
    config = transformers.ViTConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        image_size=SIZE,
        patch_size=16,
    )
    return transformers.ViTModel(config, add_pooling_layer=False).eval()


def adapters_model() -> torch.nn.Module:
    """Return it with the bottlenecks of every task."""
    model = vit_model()
    adapters.init(model)
    for task in TASKS:
        model.add_adapter(task, config='double_seq_bn')
    model.set_active_adapters(TASKS[0])
    return model.eval()


PARTS = {'forward': forward, 'mixed': mixed, 'switch': switch}


def main() -> None:
    """Measure the parts asked for and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--parts', nargs='+', choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    figures: Figures = {}
    with torch.inference_mode():
        for part in options.parts:
            figures |= PARTS[part](options.rounds)
    options.json.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
