"""From frames to features: preprocessing and the serving engine."""
