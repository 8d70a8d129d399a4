"""Pieces of the report's page that any section uses: figures, tables, numbers in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def figure(svg: str, alt: str, caption: str) -> str:
    """Return a drawing with what it shows in words, and its caption."""
    return (
        f'<figure><div role="img" aria-label="{escape(alt)}">{svg}</div>'
        f'<figcaption>{escape(caption)}</figcaption></figure>'
    )


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, head: bool = True) -> str:
    """Return a table: the first column names the row, the others are right-aligned numbers."""
    kind = ' class="number"' if head else ''
    top = ''.join(
        f'<th scope="col"{kind if i else ""}>{escape(title)}</th>'
        for i, title in enumerate(titles)
    )
    body = ''.join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + ''.join(f'<td{kind}>{escape(cell)}</td>' for cell in row[1:])
        + '</tr>'
        for row in rows
    )
    return f'<div class="scroll"><table>{f"<tr>{top}</tr>" if head else ""}{body}</table></div>'


def microseconds(value: float) -> str:
    """Return a time [us] with the unit that suits it."""
    return f'{value:.0f} µs' if value < 1000 else f'{value / 1000:.1f} ms'


def plural(count: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f'{count} {one if count == 1 else many}'
