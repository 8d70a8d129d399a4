"""Widths of the governor as what the hand of a rig takes: a topic, or actions."""
