"""Residual adapters, their packages on disk, and the bank of resident ones."""
