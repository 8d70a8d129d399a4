"""Demonstrations, pretraining of the backbone, and cloning of adapters and heads."""
