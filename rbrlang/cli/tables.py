"""Tables for people, by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from rbrlang.cli.terminal import console, shown

Cell = str | tuple[str, ...]
"""What stands in a table: a line, or several."""


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], *, narrow: bool = False) -> None:
    """Print a table on standard output; the first column is text, the others are figures.

    `narrow` puts many columns close together.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0) if narrow else (0, 1))
    for at, name in enumerate(head):
        table.add_column(shown(name), justify="left" if at == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(shown(cell) if isinstance(cell, str) else "\n".join(map(shown, cell)) for cell in row))
    # In a pipe there is no width to fit; a table must not be cut there.
    width = None if sys.stdout.isatty() else 160
    out = console(sys.stdout, width)
    if title:
        out.print(shown(title), style="bold", soft_wrap=True)
    out.print(table)
