"""Work in a process of its own: it may load torch, and the one that serves goes on serving."""

from __future__ import annotations

import subprocess
import sys

from roboadapt_ros.errors import EngineError

TIMEOUT_S = 600.0
_REMEDY = "See 'roboadapt export', or choose the engine 'torch'."


def run_module(module: str, *words: str) -> None:
    """Run a module of this package as `python -m`, to its end.

    Raises:
        EngineError: It did not run or failed; the message has the last line it wrote.
    """
    task = module.rpartition('.')[2]
    try:
        done = subprocess.run(
            [sys.executable, '-m', module, *words],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError('onnx', f'the {task} did not run ({error})', _REMEDY) from error
    if done.returncode:
        last = (done.stderr.strip() or 'no message').splitlines()[-1]
        raise EngineError('onnx', f'the {task} failed: {last}', _REMEDY)
