"""Frozen, shared vision backbones from timm, with their identity and their sites."""
