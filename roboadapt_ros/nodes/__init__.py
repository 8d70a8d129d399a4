"""Thin lifecycle nodes: parameters, core objects, topics. Nothing imports them."""
