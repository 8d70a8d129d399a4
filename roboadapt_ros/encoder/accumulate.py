"""An adapter's arithmetic for serving: added in place to what a frozen block put out.

The up-projection's product is accumulated onto the residual stream by the matrix
multiplication itself, so an adapter costs one pass over the rows; with it the bias, as the
product of a hidden value that is the same in every row. Of one task, or of a batch of tasks with
their weights stacked.
"""

from __future__ import annotations

from collections.abc import Mapping

from roboadapt_ros.encoder.rows import SiteWeights
import torch
import torch.nn.functional as F


def accumulate(target: torch.Tensor, rows: torch.Tensor, weights: SiteWeights, tasks: int) -> None:
    """Add an adapter's output for `rows` to `target`, in place.

    Args:
        target: Contiguous, (B, ..., channels_out).
        rows: (B, ..., channels), may be `target` itself.
        weights: Of one task (`tasks` 0), or with a leading axis of tasks.
        tasks: Number of tasks the batch axis is made of.
    """
    named = weights.weights
    if tasks:
        flat = rows.reshape(tasks, -1, rows.shape[-1])
        into = target.view(tasks, -1, target.shape[-1])
        if weights.is_linear:
            into.baddbmm_(flat, named['weight'].mT).add_(named['bias'].unsqueeze(1))
            return
        hidden = torch.baddbmm(named['down.bias'].unsqueeze(1), flat, named['down.weight'].mT)
        hidden = _gelu(_mix(hidden, rows, named, tasks))
        into.baddbmm_(hidden if weights.has_steady_unit else _with_one(hidden), named['up'])
        return
    into = target.view(-1, target.shape[-1])
    flat = into if rows is target else rows.flatten(0, -2)
    if weights.is_linear:
        into.addmm_(flat, named['weight'].mT).add_(named['bias'])
        return
    hidden = torch.addmm(named['down.bias'], flat, named['down.weight'].mT)
    hidden = _gelu(_mix(hidden, rows, named, 1))
    into.addmm_(hidden if weights.has_steady_unit else _with_one(hidden), named['up'])


def _gelu(hidden: torch.Tensor) -> torch.Tensor:
    """Return GELU of (..., rows, hidden), taken of its transpose.

    On a CPU torch gives a contiguous tensor to oneDNN, whose set-up costs more than a bottleneck's
    few values: 15 us of a warm call's time against 4, of 197 tokens and 17 values each.
    """
    return F.gelu(hidden.mT).mT


def _with_one(hidden: torch.Tensor) -> torch.Tensor:
    """Put a 1 before each row: the bias is then added with the product, not in another pass."""
    return F.pad(hidden, (1, 0), value=1.0)


def _mix(
    hidden: torch.Tensor, rows: torch.Tensor, named: Mapping[str, torch.Tensor], tasks: int
) -> torch.Tensor:
    """Apply the 3x3 convolution of a bottleneck, if it has one.

    Args:
        hidden: (B * H * W, hidden) of one task, or (tasks, n * H * W, hidden).
        rows: (B, H, W, channels), for the sizes.
        named: The site's weights; (hidden, hidden, 3, 3), with a leading axis of tasks or not.
        tasks: Number of tasks.

    Returns:
        As `hidden`.
    """
    weight = named.get('mix.weight')
    if weight is None:
        return hidden
    batch, height, width = rows.shape[:3]
    channels = hidden.shape[-1]
    images = batch // tasks if weight.ndim == 5 else batch
    if weight.ndim == 4:
        maps = hidden.view(batch, height, width, channels).permute(0, 3, 1, 2)
        mixed = F.conv2d(maps, weight, padding=weight.shape[-1] // 2)
        return mixed.permute(0, 2, 3, 1).reshape(hidden.shape)
    # One group of channels per task: the tasks' maps side by side, one convolution.
    maps = hidden.view(tasks, images, height, width, channels).permute(1, 0, 4, 2, 3)
    maps = maps.reshape(images, tasks * channels, height, width)
    mixed = F.conv2d(maps, weight.flatten(0, 1), padding=weight.shape[-1] // 2, groups=tasks)
    mixed = mixed.view(images, tasks, channels, height, width).permute(1, 0, 3, 4, 2)
    return mixed.reshape(hidden.shape)
