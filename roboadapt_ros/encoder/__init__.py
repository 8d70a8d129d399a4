"""From frames to features: preprocessing and the serving engine."""

import os

# onnxruntime would send what it is used for to its makers; it reads this when it is imported.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
