"""What a subcommand is, and the parser that answers a wrong word with the nearest right one.

Imports the standard library and `errors` only: `roboadapt --help` must be instant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TYPE_CHECKING

from roboadapt_ros.errors import RoboAdaptError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console


class UsageError(RoboAdaptError):
    """A command line that does not say what to do."""

    def __init__(self, command: str, problem: str):
        """Store the command and what is wrong with its arguments."""
        self.command, self.problem = command, problem
        super().__init__(f'{problem} (see: {command} --help)')


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand: which arguments it takes and what it does."""

    arguments: Callable[[argparse.ArgumentParser], None]
    """Add the options; heavy imports belong into `run`."""
    run: Callable[[argparse.Namespace, Console], int]
    """Do it, printing to the console; return the exit code (0 = what was asked holds)."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the command table: a command (by 'module:attribute') or a group of them."""

    summary: str
    """One line for `--help`."""
    target: str = ''
    """'module:attribute' of a `Command`, imported only when it runs."""
    group: Mapping[str, Entry] | None = None
    """Subcommands; then `target` is empty."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` where argparse would exit."""

    def __init__(self, **settings: Any):
        """Refuse abbreviated options: a script must not change meaning as options are added."""
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage and exiting."""
        raise UsageError(self.prog, message)

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse `arguments`; a wrong option is answered with the nearest right one.

        Raises:
            UnknownNameError: An option that does not exist.
            UsageError: Anything else that is wrong.
        """
        known = {text for action in self._actions for text in action.option_strings}
        for word in arguments:
            # Before parsing, or a misspelt option would be reported as a missing one.
            name = word.partition('=')[0]
            if name.startswith('--') and name != '--' and name not in known:
                longs = [text for text in known if text.startswith('--')]
                raise UnknownNameError('option', name, longs)
        options, left = self.parse_known_args(list(arguments))
        if left:
            raise UsageError(self.prog, f'unexpected argument: {" ".join(left)}')
        return options


def group_help(program: str, description: str, table: Mapping[str, Entry]) -> str:
    """Return the help text of a group of commands."""
    rows = list(_rows(table))
    width = max(len(name) for name, _ in rows) + 2
    lines = [f'usage: {program} COMMAND [options]', '', description, '', 'commands:']
    lines += [f'  {name:<{width}}{summary}' for name, summary in rows]
    lines += ['', f"'{program} COMMAND --help' shows a command's options."]
    return '\n'.join(lines)


def _rows(table: Mapping[str, Entry]) -> list[tuple[str, str]]:
    """Return (name, summary) of every command, subcommands as 'group name'."""
    rows = []
    for name, entry in table.items():
        if entry.group is None:
            rows.append((name, entry.summary))
        else:
            rows += [(f'{name} {sub}', sub_summary) for sub, sub_summary in _rows(entry.group)]
    return rows


def printable(text: str) -> str:
    """Return text with every control character but line feeds and tabs as a question mark."""
    return ''.join(c if c.isprintable() or c in '\n\t' else '?' for c in text)
