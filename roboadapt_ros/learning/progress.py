"""How long work tells the outside how far it is; the command line draws it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Called often; must return quickly."""

    def __call__(self, done: int, total: int, message: str) -> None:
        """Report `done` of `total` steps and what is going on."""


def silent(done: int, total: int, message: str) -> None:
    """Report nothing."""
    del done, total, message


Tell = Callable[[str], None]
"""Takes a line for a person."""


def untold(text: str) -> None:
    """Say nothing."""
    del text
