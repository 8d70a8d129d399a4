"""Reads cameras with `make_source` in a process of its own, which a library is preloaded into."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

from roboadapt_ros.errors import ImageError
from roboadapt_ros.ros.capture import make_source
from v4l2_cameras import bars, number_of


class CameraReader:
    """The process. Example: ``seen = reader.read('/dev/video0', 20)``; `close` ends it."""

    def __init__(self, environment: dict[str, str]):
        """Start it with an environment."""
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def begin(
        self, source: str, count: int, size: tuple[int, int] = (640, 480), rate_hz: float = 30.0
    ) -> None:
        """Have it read frames, and wait until there is one; `end` returns what came of it."""
        print(json.dumps([source, count, size, rate_hz]), file=self._process.stdin, flush=True)
        self._process.stdout.readline()

    def end(self) -> dict[str, Any]:
        """Return 'note', 'skipped' and 'error', and of each frame 'numbers', 'bars', 'ages_s'."""
        seen: dict[str, Any] = json.loads(self._process.stdout.readline())
        return seen

    def read(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """Do both; arguments as for `begin`."""
        self.begin(*arguments, **named)
        return self.end()

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(10.0)


def _say(text: str) -> None:
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def _read(name: str, count: int, size: tuple[int, int], rate_hz: float) -> dict[str, Any]:
    seen: dict[str, Any] = {'error': '', 'numbers': [], 'bars': [], 'ages_s': []}
    source = make_source('device', name, size, rate_hz, loop=False)
    try:
        source.open()
        for _ in range(count):
            picture = source.read()
            seen['numbers'].append(number_of(picture))
            seen['bars'].append(bars(picture).tolist())
            seen['ages_s'].append(time.monotonic() - source.taken_s)
            if len(seen['numbers']) == 1:
                _say('reads')
    except ImageError as error:
        seen['error'] = str(error)
        if not seen['numbers']:
            _say('does not read')
    finally:
        source.close()
    return seen | {'note': source.note, 'skipped': source.skipped}


if __name__ == '__main__':
    for line in sys.stdin:
        name, count, size, rate_hz = json.loads(line)
        _say(json.dumps(_read(name, count, tuple(size), rate_hz)))
