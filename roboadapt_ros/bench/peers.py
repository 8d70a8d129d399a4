"""What peft, adapters and reloading a whole model take, measured where they are installed.

They need other versions than this project of what both use, so they have an environment of
their own (`make peers`), and `tools/peers` runs in it. Where it is missing, their figures are
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
import importlib.util
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile

from roboadapt_ros.errors import BringupError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / 'tools' / 'peers'
PYTHON = ROOT / '.build' / 'peers' / 'bin' / 'python'
NAMES = ('peft', 'adapters')
HOW_TO_INSTALL = "The peers (peft, adapters) are not installed: 'make peers' installs them."
ROUNDS = 15
"""Most rounds of what they are timed in: they differ by more than ours do."""
TIMEOUT_S = 1800.0


def find_python() -> Path | None:
    """Return the interpreter that has the peers: their own, else this one, else None."""
    if not PROGRAM.is_dir():
        return None
    if PYTHON.is_file():
        return PYTHON
    found = all(importlib.util.find_spec(name) is not None for name in NAMES)
    return Path(sys.executable) if found else None


def measure(parts: Sequence[str], *, rounds: int, threads: int) -> dict[str, float]:
    """Run `tools/peers` and return its figures; none where the peers are not installed.

    Args:
        parts: 'forward', 'mixed' and 'switch'.
        rounds: Rounds of what is timed in turn.
        threads: Torch threads.

    Raises:
        BringupError: The program failed.
    """
    python = find_python()
    if python is None:
        return {}
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'HF_HUB_OFFLINE': '1'}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, 'figures.json')
        settings = {'--rounds': min(rounds, ROUNDS), '--threads': threads, '--json': found}
        words = [str(python), str(PROGRAM), '--parts', *parts]
        words += [str(word) for pair in settings.items() for word in pair]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:]
            raise BringupError(f'The peers could not be measured: {" ".join(last)}')
        figures: dict[str, float] = json.loads(found.read_text(encoding='utf-8'))
    return figures
