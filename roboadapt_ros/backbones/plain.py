"""A model in the form that is best to export: what is constant is computed once.

Standardised weights become weights, sizes of paddings become numbers, and attention and RMS
norms are left as their products and means, for the runtime to fuse as it sees fit.
"""

from __future__ import annotations

import copy
from typing import Any

from timm.layers.norm import RmsNorm, RmsNormFp32
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame
import torch
from torch import nn
import torch.nn.functional as F


def plain_form(model: nn.Module) -> nn.Module:
    """Return a copy of a frozen model that computes the same; run it once before tracing."""
    plain = copy.deepcopy(model)
    _replace(plain)
    for module in plain.modules():
        if hasattr(module, 'fused_attn'):
            setattr(module, 'fused_attn', False)  # noqa: B010  # modules' own fields are tensors
    return plain.to(memory_format=torch.contiguous_format)


class _PlainConv(nn.Module):
    """A convolution of standardised weights, with the weights as they come out."""

    def __init__(self, conv: ScaledStdConv2d | ScaledStdConv2dSame):
        """Standardise the weights, by the operations of `conv` itself."""
        super().__init__()
        self.is_same = bool(getattr(conv, 'same_pad', False))
        self.pads: list[int] | None = None
        self.stride = conv.stride
        self.extent = [(conv.kernel_size[i] - 1) * conv.dilation[i] + 1 for i in (0, 1)]
        self.settings: tuple[Any, ...] = conv.stride, conv.padding, conv.dilation, conv.groups
        self.bias = conv.bias
        self.weight: torch.Tensor
        with torch.no_grad():
            weight = F.batch_norm(
                conv.weight.reshape(1, conv.out_channels, -1),
                None,
                None,
                weight=(conv.gain * conv.scale).view(-1),
                training=True,
                momentum=0.0,
                eps=conv.eps,
            )
        self.register_buffer('weight', weight.reshape_as(conv.weight).contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve; the first call settles the padding."""
        if self.pads is None:
            self.pads = self._pads(x) if self.is_same else []
        if any(self.pads):
            x = F.pad(x, self.pads)
        return F.conv2d(x, self.weight, self.bias, *self.settings)

    def _pads(self, x: torch.Tensor) -> list[int]:
        """Return the padding that keeps the size, the last axis first."""
        pads = []
        for axis in (1, 0):
            size, stride = int(x.shape[axis + 2]), self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + self.extent[axis] - size, 0)
            pads += [total // 2, total - total // 2]
        return pads


class _PlainRmsNorm(nn.Module):
    """A norm by the root of the mean square, for which ONNX has no operator at our opset."""

    def __init__(self, norm: RmsNorm | RmsNormFp32):
        """Take over the gain and, where there is one, the activation of `norm`."""
        super().__init__()
        self.axes = tuple(range(-len(norm.normalized_shape), 0))
        self.eps = norm.eps
        self.weight = norm.weight
        self.act = getattr(norm, 'act', nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Divide by the root of the mean square over the last axes."""
        x = x * torch.rsqrt(x.pow(2).mean(self.axes, keepdim=True) + self.eps)
        return self.act(x if self.weight is None else x * self.weight)


def _replace(module: nn.Module) -> None:
    """Replace every convolution of standardised weights, and RMS norm, inside `module`."""
    for name, child in module.named_children():
        if isinstance(child, (ScaledStdConv2d, ScaledStdConv2dSame)):
            setattr(module, name, _PlainConv(child))
        elif isinstance(child, (RmsNorm, RmsNormFp32)):
            setattr(module, name, _PlainRmsNorm(child))
        else:
            _replace(child)
