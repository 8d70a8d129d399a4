"""Holds the fused kernel to torch's own operations; `python test/fused_kernel.py cpu|cuda`.

On a CPU triton's interpreter runs it. A program of its own, for that is chosen before triton is
imported.
"""

from __future__ import annotations

from itertools import product
import os
import sys

if __name__ == '__main__' and sys.argv[1] == 'cpu':
    os.environ['TRITON_INTERPRET'] = '1'

from roboadapt_ros.adapters.layout import Site
from roboadapt_ros.encoder import fused
from roboadapt_ros.encoder.accumulate import accumulate
from roboadapt_ros.encoder.rows import SiteWeights
import torch

IMAGES, POSITIONS = 1, 7
"""Not a multiple of the rows of a program."""
SIZES = ((48, 6), (128, 16), (48, None))
"""Channels and hidden width: powers of two or not; no bottleneck."""
ONE_ROW = {'one row': 1000, 'two rows': 0}
"""Limit that leads to so many rows of a program."""
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def weights(tasks: int, hidden: int, channels: int, like: torch.Tensor) -> SiteWeights:
    lead = (tasks,) if tasks else ()
    made = {
        'down.weight': torch.randn(*lead, hidden, channels) / channels**0.5,
        'down.bias': torch.randn(*lead, hidden),
        'up': torch.randn(*lead, 1 + hidden, channels) / hidden**0.5,
    }
    site = Site('site', 0, channels, hidden, channels)
    return SiteWeights(site, {name: tensor.to(like) for name, tensor in made.items()})


def compare(
    like: torch.Tensor, tasks: int, channels: int, hidden: int | None, *, is_first: bool
) -> float:
    """Return the largest error of the stream and of its norm, each by its largest value.

    Args:
        like: Of the dtype, on the device.
        tasks: Of the batch.
        channels: Of the stream.
        hidden: Width of the bottleneck, None without one.
        is_first: Whether nothing is added before it.
    """
    shape = (max(tasks, 1) * IMAGES, POSITIONS, channels)
    x, delta = (torch.randn(shape).to(like) for _ in range(2))
    norm = torch.nn.LayerNorm(channels, eps=1e-6).to(like)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    wanted = x.float() if is_first else x.float() + delta.float()
    site = None
    if hidden is not None:
        site = weights(tasks, hidden, channels, like)
        exact = SiteWeights(site.site, {name: w.float() for name, w in site.weights.items()})
        accumulate(wanted, wanted, exact, tasks)
    found = fused.between_blocks(x, None if is_first else delta, site, tasks, norm)
    return max(error(x, wanted), error(found, norm.float()(wanted)))


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.float() - wanted).abs().max() / wanted.abs().max())


@torch.inference_mode()
def main(device: str) -> int:
    fused.try_out(device)
    torch.manual_seed(0)
    failed = 0
    for dtype, bound in TOLERANCE.items():
        if device == 'cpu' and dtype is torch.bfloat16:
            continue  # numpy, which interprets, has no bfloat16
        like = torch.zeros((), dtype=dtype, device=device)
        errors = {}
        for path, tasks, size, is_first in product(ONE_ROW, (0, 3), SIZES, (False, True)):
            fused.ONE_ROW = ONE_ROW[path]
            errors[path, tasks, size, is_first] = compare(like, tasks, *size, is_first=is_first)
        for case, value in errors.items():
            if not value <= bound:
                sys.stdout.write(f'{dtype}, {case}: off by {value:.2g}\n')
                failed += 1
    sys.stdout.write(f'{failed} cases beyond their tolerance\n')
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
