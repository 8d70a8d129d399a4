"""A masked autoencoder around a timm vision transformer, for pretraining a backbone.

After "Masked Autoencoders Are Scalable Vision Learners" (CVPR 2022,
https://arxiv.org/abs/2111.06377): most patches are hidden, the encoder sees the rest, a
small decoder paints the hidden ones; the loss is on the normalised pixels of hidden patches.
"""

from __future__ import annotations

from timm.models.vision_transformer import Block, VisionTransformer
import torch
from torch import nn


class MaskedAutoencoder(nn.Module):
    """Encoder (kept) and decoder (thrown away)."""

    def __init__(self, vit: VisionTransformer, decoder_width: int, decoder_depth: int):
        """Wrap `vit`, which must have no class or register tokens."""
        super().__init__()
        self.vit = vit
        patch = vit.patch_embed.patch_size[0]
        tokens = vit.patch_embed.num_patches
        self.patch = patch
        self.into = nn.Linear(vit.embed_dim, decoder_width)
        self.hidden = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.position = nn.Parameter(torch.randn(1, tokens, decoder_width) * 0.02)
        self.blocks = nn.Sequential(
            *(Block(decoder_width, num_heads=4, qkv_bias=True) for _ in range(decoder_depth))
        )
        self.norm = nn.LayerNorm(decoder_width)
        self.out = nn.Linear(decoder_width, 3 * patch * patch)

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Cut (B, 3, S, S) into (B, N, 3 * patch * patch)."""
        size = self.patch
        cut = pixels.unfold(2, size, size).unfold(3, size, size)  # (B, 3, h, w, p, p)
        return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)

    def paint(self, pixels: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Predict every patch from the kept ones.

        Args:
            pixels: (B, 3, S, S) normalised.
            keep: (B, K) indices of the patches the encoder sees.

        Returns:
            (B, N, 3 * patch * patch) predicted patches.
        """
        tokens = self.vit._pos_embed(self.vit.patch_embed(pixels))
        seen = tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[2]))
        seen = self.into(self.vit.norm(self.vit.blocks(self.vit.norm_pre(seen))))
        full = self.hidden.expand(len(pixels), tokens.shape[1], -1).to(seen.dtype)
        full = full.scatter(1, keep[..., None].expand_as(seen), seen)
        return self.out(self.norm(self.blocks(full + self.position)))

    def forward(self, pixels: torch.Tensor, keep_ratio: float) -> torch.Tensor:
        """Return the mean squared error on hidden patches for a random mask."""
        target = self.patches(pixels)
        mean, std = target.mean(2, keepdim=True), target.std(2, keepdim=True)
        # Flat table patches have almost no contrast: the floor keeps their noise from
        # being blown up to the size of an object's edge.
        target = (target - mean) / (std + 0.2)
        order = torch.rand(target.shape[:2], device=pixels.device).argsort(1)
        keep = order[:, : round(keep_ratio * target.shape[1])]
        error = (self.paint(pixels, keep) - target).square().mean(2)
        hidden = torch.ones_like(error).scatter(1, keep, 0.0)
        return (error * hidden).sum() / hidden.sum()
