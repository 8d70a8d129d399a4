"""What commands share to say things: progress, tables, JSON files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
import errno
import json
from pathlib import Path
import tempfile
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from roboadapt_ros.cli.command import printable
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.files import replacing

QUIET_PERIOD_S = 10.0
"""Without a terminal, how often progress is a line of its own [s]."""


class ProgressLine:
    """A `Progress` for long work: a live bar on a terminal, now and then a line elsewhere."""

    def __init__(self, console: Console, bar: Progress | None):
        """Draw into `bar`, or print lines when there is none."""
        self._console, self._bar = console, bar
        self._task = None if bar is None else bar.add_task('starting', total=None)
        self._printed_s = float('-inf')

    def __call__(self, done: int, total: int, message: str) -> None:
        """Show `done` of `total` and what is going on; a total of 0 is a step, not a count."""
        if self._bar is not None and self._task is not None:
            total_known = total or None
            self._bar.update(self._task, completed=done, total=total_known, description=message)
        elif total == 0:
            say(self._console, message)
        elif done == total or time.monotonic() - self._printed_s > QUIET_PERIOD_S:
            self._printed_s = time.monotonic()
            say(self._console, f'[{done}/{total}] {message}')

    def note(self, text: str) -> None:
        """Print a line that stays."""
        say(self._console, text)


@contextmanager
def progress_line(console: Console) -> Iterator[ProgressLine]:
    """Give a progress callback for the length of the block."""
    if not console.is_terminal:
        yield ProgressLine(console, None)
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('{task.description}', markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield ProgressLine(console, bar)


def say(console: Console, text: str) -> None:
    """Print plain text, as it is: brackets are not markup, long lines are not broken.

    What a package or a robot says may hold control characters; a terminal never gets them.
    """
    console.print(printable(text), markup=False, soft_wrap=True)


def print_table(
    console: Console,
    titles: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: int = 0,
) -> None:
    """Print a plain table; the last `numbers` columns are right-aligned."""
    table = Table(box=None, pad_edge=False, header_style='dim', show_header=any(titles))
    for index, title in enumerate(titles):
        right = index >= len(titles) - numbers
        table.add_column(title, justify='right' if right else 'left', overflow='fold')
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console.print(table)


def require_writable(path: Path, *, option: str = '--json') -> None:
    """Raise `ConfigError` where a file can't be written, before the work whose result it takes.

    Leaves everything as it was: folders that are missing are made when the file is written.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(option, str(path), 'cannot be written (it is not a file)')
        _try_folder(path.parent)
        if path.exists():
            path.open('ab').close()
    except OSError as error:
        raise ConfigError(option, str(path), f'cannot be written ({error.strerror})') from error


def require_folder(path: Path, *, option: str = '--out') -> None:
    """Raise `ConfigError` where files can't be written into a folder, before the work.

    Leaves everything as it was: a folder that is missing is made when it is written to.
    """
    try:
        _try_folder(path)
    except OSError as error:
        raise ConfigError(option, str(path), f'cannot be written ({error.strerror})') from error


def _try_folder(path: Path) -> None:
    """Make and remove an empty folder in `path`, or in what is there of the way to it."""
    place = path
    while not place.exists() and place != place.parent:
        if place.is_symlink():
            raise FileNotFoundError(errno.ENOENT, f'{place} is a link to nothing', str(place))
        place = place.parent
    with tempfile.TemporaryDirectory(prefix='.roboadapt_', dir=place):
        pass


def write_json(
    path: Path, content: Mapping[str, Any] | Sequence[Any], *, option: str = '--json'
) -> None:
    """Write `content` to `path`, whole or not at all.

    Raises:
        ConfigError: The file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(option, str(path), f'cannot be written ({error.strerror})') from error
