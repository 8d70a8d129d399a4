"""One kernel for all that stands between two blocks of a transformer on a GPU.

At a batch of one frame a GPU waits for kernels to begin and end more than for arithmetic, and
an adapter written in torch is four of them. Here one kernel adds what the block put out to the
residual stream, runs the bottleneck on the sum, adds that too, and normalises the result for
the next block: for two of these the bare model starts kernels anyway.

A bottleneck is so narrow that matrix units gain nothing: a program has one or two whole rows,
and all rows are in work at the same time. Imports triton, which comes with torch's CUDA builds.
"""

from __future__ import annotations

from roboadapt_ros.encoder.rows import SiteWeights
import torch
from torch import nn
import triton
import triton.language as tl

WIDEST = 1024
"""Channels of a row that a program holds."""
LARGEST = 1 << 16
"""Values of a projection that a program holds, both sides rounded up to powers of two."""
PER_THREAD = 128
"""Of them, in one thread."""
ONE_ROW = 256
"""Rows up to which a program has one; beyond that two share what they read."""


@triton.jit
def _between_blocks(  # type: ignore[no-untyped-def]
    stream,  # (tasks * per_task, CHANNELS), read and written
    delta,  # the same shape, added first
    down,  # (HIDDEN, CHANNELS) of each task
    down_bias,  # (HIDDEN,)
    up,  # (1 + HIDDEN, CHANNELS): the bias, then the weight
    normed,  # as the stream, written
    gain,  # (CHANNELS,)
    shift,  # (CHANNELS,)
    eps,
    per_task,
    down_stride,
    down_bias_stride,
    up_stride,
    CHANNELS: tl.constexpr,
    HIDDEN: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
    BLOCK_HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    HAS_DELTA: tl.constexpr,
    HAS_ADAPTER: tl.constexpr,
):
    task = tl.program_id(1)
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    channel = tl.arange(0, BLOCK_CHANNELS)
    is_channel = channel < CHANNELS
    is_value = (row < per_task) & is_channel[None, :]
    at = (task * per_task + row) * CHANNELS + channel[None, :]
    down += task * down_stride
    down_bias += task * down_bias_stride
    up += task * up_stride

    value = tl.load(stream + at, mask=is_value, other=0.0)
    if HAS_DELTA:
        value += tl.load(delta + at, mask=is_value, other=0.0)
    if HAS_ADAPTER:
        x = value.to(tl.float32)
        added = tl.load(up + channel, mask=is_channel, other=0.0)[None, :].to(tl.float32)
        step = tl.arange(0, BLOCK_HIDDEN)
        is_weight = (step < HIDDEN)[:, None] & is_channel[None, :]
        place = step[:, None] * CHANNELS + channel[None, :]
        weight = tl.load(down + place, mask=is_weight, other=0.0).to(tl.float32)
        hidden = tl.sum(x[:, None, :] * weight[None, :, :], axis=2)
        bias = tl.load(down_bias + step, mask=step < HIDDEN, other=0.0)
        hidden += bias[None, :].to(tl.float32)
        hidden = 0.5 * hidden * (1.0 + tl.math.erf(hidden * 0.7071067811865476))
        weight = tl.load(up + CHANNELS + place, mask=is_weight, other=0.0).to(tl.float32)
        added += tl.sum(hidden[:, :, None] * weight[None, :, :], axis=1)
        value = (x + added).to(value.dtype)
    tl.store(stream + at, value, mask=is_value)
    x = value.to(tl.float32)
    mean = tl.sum(x, axis=1)[:, None] / CHANNELS
    away = tl.where(is_channel[None, :], x - mean, 0.0)
    scale = tl.rsqrt(tl.sum(away * away, axis=1)[:, None] / CHANNELS + eps)
    gains = tl.load(gain + channel, mask=is_channel, other=0.0)[None, :].to(tl.float32)
    shifts = tl.load(shift + channel, mask=is_channel, other=0.0)[None, :].to(tl.float32)
    tl.store(normed + at, (away * scale * gains + shifts).to(value.dtype), mask=is_value)


def fits(weights: SiteWeights | None, norm: object) -> bool:
    """Return whether `between_blocks` can run a site.

    Args:
        weights: Must be a bottleneck without a convolution or a steady unit, not too wide; or
            None.
        norm: Must be an affine LayerNorm, not too wide.
    """
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None or norm.bias is None:
        return False
    if norm.weight.numel() > WIDEST:
        return False
    if weights is None:
        return True
    if weights.is_linear or weights.has_steady_unit or 'mix.weight' in weights.weights:
        return False
    site = weights.site
    return triton.next_power_of_2(site.hidden) * triton.next_power_of_2(site.channels) <= LARGEST


def between_blocks(
    x: torch.Tensor,
    delta: torch.Tensor | None,
    weights: SiteWeights | None,
    tasks: int,
    norm: nn.LayerNorm,
) -> torch.Tensor:
    """Add `delta`, then a bottleneck's output for the sum, to `x`, in place; return its norm.

    Args:
        x: Contiguous, (B, ..., channels).
        delta: As `x`; None adds nothing.
        weights: Of one task (`tasks` 0), or with a leading axis of tasks; must pass `fits`.
            None leaves the bottleneck out.
        tasks: Number of tasks the batch axis is made of.
        norm: Affine, over the channels.
    """
    channels = x.shape[-1]
    block_channels = triton.next_power_of_2(channels)
    count = max(tasks, 1)
    per_task = x.numel() // channels // count
    normed = torch.empty_like(x)
    strides, hidden, down, bias, up = (0, 0, 0), 1, x, x, x
    if weights is not None:
        down, bias, up = (weights.weights[name] for name in ('down.weight', 'down.bias', 'up'))
        hidden = weights.site.hidden
        if tasks:
            strides = down.stride(0), bias.stride(0), up.stride(0)
    block_hidden = triton.next_power_of_2(hidden)
    rows = 1 if per_task * count <= ONE_ROW else 2
    threads = max(block_hidden * block_channels // PER_THREAD, block_channels // 8)
    _between_blocks[triton.cdiv(per_task, rows), count](
        x,
        x if delta is None else delta.contiguous(),
        down,
        bias,
        up,
        normed,
        norm.weight,
        norm.bias,
        norm.eps,
        per_task,
        *strides,
        CHANNELS=channels,
        HIDDEN=hidden,
        BLOCK_CHANNELS=block_channels,
        BLOCK_HIDDEN=block_hidden,
        ROWS=rows,
        HAS_DELTA=delta is not None,
        HAS_ADAPTER=weights is not None,
        num_warps=min(max(threads // 32, 1), 16),
    )
    return normed


@torch.inference_mode()
def try_out(device: str) -> None:
    """Build the kernel and run it once.

    Raises:
        RuntimeError: There is no C compiler.
        OSError, subprocess.CalledProcessError: It failed.
    """
    x = torch.zeros(1, 1, 16, device=device)
    between_blocks(x, None, None, 0, nn.LayerNorm(16, device=device))
