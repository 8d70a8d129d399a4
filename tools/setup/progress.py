"""Step lines for a person, a log for the details, and the stamps that make a second run quick.

Standard library only, Python 3.10 syntax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import hashlib
import json
import os
from pathlib import Path
import queue
import shlex
import subprocess
import sys
import threading
import time

QUIET_LIMIT_S = 20.0
"""How long a step may go without a line where there is no terminal to show its clock."""

TAIL_LINES = 25


class SetupError(Exception):
    """A step that failed, with what a person can do about it."""

    def __init__(self, problem: str, remedy: str):
        """Store the problem and the remedy."""
        self.problem, self.remedy = problem, remedy
        super().__init__(f'{problem}\n{remedy}')


class Log:
    """The log file: full output of every command, its tail shown when one fails."""

    def __init__(self, path: Path, lock_fd: int):
        """Start a new log file.

        Args:
            path: The file.
            lock_fd: The set-up's lock. Every command inherits it, so that one which outlives a
                killed set-up holds off the next.
        """
        self.path, self.lock_fd = path, lock_fd
        self._file = path.open('w', encoding='utf-8', errors='replace')

    def write(self, line: str) -> None:
        """Append one line."""
        self._file.write(line + '\n')
        self._file.flush()

    def tail(self) -> str:
        """Return the last lines, indented."""
        lines = self.path.read_text(encoding='utf-8', errors='replace').splitlines()
        return '\n'.join(f'    {line}' for line in lines[-TAIL_LINES:])


class Step:
    """One line of progress: what is going on, then how long it took."""

    def __init__(self, title: str, log: Log):
        """Announce the step."""
        self.title, self._log = title, log
        self._began = self._spoke = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        log.write(f'=== {title}')
        print(f'  {title} ...', end='' if self._is_terminal else '\n', flush=True)

    def run(
        self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, remedy: str
    ) -> None:
        """Run a command into the log.

        Raises:
            SetupError: If it fails.
        """
        words = [str(word) for word in command]
        self._log.write('$ ' + shlex.join(words))
        process = subprocess.Popen(
            words,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding='utf-8',
            errors='replace',
            pass_fds=(self._log.lock_fd,),
        )
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
        latest = ''
        while True:
            try:
                line = lines.get(timeout=1.0)
            except queue.Empty:
                self._show_life(latest)
                continue
            if line is None:
                break
            latest = line
            self._log.write(line)
        if process.wait() != 0:
            raise SetupError(f"'{Path(words[0]).name}' ended with {process.returncode}.", remedy)

    def done(self) -> None:
        """Close the line with the time the step took."""
        took_s = time.monotonic() - self._began
        start = f'\r  {self.title} ...' if self._is_terminal else '   '
        print(f'{start} {took_s:.0f} s' + ' ' * 60 * self._is_terminal, flush=True)

    def _show_life(self, latest: str) -> None:
        now = time.monotonic()
        if self._is_terminal:
            text = f'  {self.title} ... {now - self._began:.0f} s  {latest.strip()}'
            width = os.get_terminal_size(sys.stdout.fileno()).columns
            print(f'\r{text[: width - 1]:<{width - 1}}', end='', flush=True)
        elif now - self._spoke > QUIET_LIMIT_S:
            self._spoke = now
            print(f'    {now - self._began:.0f} s: {latest.strip()[:80]}', flush=True)


def _pump(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None  # mypy.
    for line in process.stdout:
        lines.put(line.rstrip())
    lines.put(None)


class Stamps:
    """What each finished step was made from.

    `begin` forgets a step before it starts, so one that was killed counts as never done.

    Example: `is_current('venv', 'ab12')` is False; `begin('venv')`; `finish('venv', 'ab12')`;
    `is_current('venv', 'ab12')` is True, `is_current('venv', 'cd34')` is False.
    """

    def __init__(self, path: Path):
        """Read the stamps of the last run; a missing or torn file counts as none."""
        self._path = path
        try:
            self._stamps: dict[str, str] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._stamps = {}

    def is_current(self, step: str, fingerprint: str) -> bool:
        """Return whether the step finished with this fingerprint."""
        return self._stamps.get(step) == fingerprint

    def is_unfinished(self, step: str) -> bool:
        """Return whether the step was begun and never finished."""
        return self._stamps.get(step) == ''

    def begin(self, step: str) -> None:
        """Mark the step as under way."""
        self._write({**self._stamps, step: ''})

    def finish(self, step: str, fingerprint: str) -> None:
        """Mark the step as done."""
        self._write({**self._stamps, step: fingerprint})

    def clear(self) -> None:
        """Mark every step as never done."""
        self._write({})

    def _write(self, stamps: dict[str, str]) -> None:
        self._stamps = stamps
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix('.draft')
        draft.write_text(json.dumps(stamps, indent=1))
        draft.replace(self._path)


def fingerprint(*facts: str, files: Iterable[Path] = ()) -> str:
    """Return one digest of facts and of the names and contents of files."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(fact.encode() + b'\0')
    for path in sorted(files):
        digest.update(str(path.name).encode() + b'\0' + path.read_bytes() + b'\0')
    return digest.hexdigest()
