"""In which pieces is a file of rows read, so that memory holds few of them at a time?

A piece is a run of rows of one file that nobody has read yet: lines of JSON as bytes, elements of an array, records of
a table, a batch of Arrow. Cutting is quick and done in one place, in order; a piece says where its rows stand, and can
be sent to another process or machine, where `read.blocks` makes rows of it. The same file is always cut alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from rbrlang.rows.arrow import arrived, batches, schema, sent
from rbrlang.rows.columns import Names
from rbrlang.rows.formats import DESCRIBED, Broken, DamagedError, RowsError, files_of, opened
from rbrlang.rows.texts import Found, csv_rows, json_rows

ROWS = 4096
BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows of a text or a table: for each the line where it begins, its number in an array (0 elsewhere), and what is there.

    That is the bytes of a line, a JSON value, or `Broken`.
    """

    file: str
    found: tuple[Found, ...]

    def __str__(self) -> str:
        return f"{self.file}, lines {self.found[0][0]} to {self.found[-1][0]}"


@dataclass(frozen=True, slots=True)
class Table:
    """A record batch of Parquet or Arrow, whose first row is number `first` of its file, counted from 1."""

    file: str
    first: int
    batch: Any

    def __reduce__(self) -> tuple[Any, ...]:
        return _table, (self.file, self.first, sent(self.batch))

    def __str__(self) -> str:
        return f"{self.file}, rows {self.first} to {self.first + self.batch.num_rows - 1}"


Piece = Texts | Table


def _table(file: str, first: int, data: bytes) -> Table:
    return Table(file, first, arrived(data))


def pieces(path: str, names: Names) -> Iterator[Piece]:
    """The pieces of a file, a folder or a pattern, in order. Raises `RowsError`, and OSError when unreadable."""
    for file in files_of(path):
        yield from _of_file(file, names)


def schema_of(path: str) -> Any:
    """The schema of a file, a folder or a pattern of Parquet or Arrow; None where it is anything else, or has several.

    Raises `RowsError`, and OSError when unreadable.
    """
    found: Any = None
    for name in files_of(path):
        try:
            with opened(name) as (kind, file):
                one = schema(name, file, parquet=kind == "parquet") if kind in ("parquet", "arrow") else None
        except DamagedError:  # said where it is read
            return None
        if one is None or (found is not None and one != found):
            return None
        found = one
    return found


def _of_file(name: str, names: Names) -> Iterator[Piece]:
    last, what = 0, ""
    try:
        with opened(name) as (kind, file):
            what = DESCRIBED[kind]
            match kind:
                case "lines" | "array" | "csv" | "tsv":
                    found = (
                        json_rows(file)
                        if kind in ("lines", "array")
                        else csv_rows(name, file, names, tabs=kind == "tsv")
                    )
                    for some in _cut(found):
                        yield Texts(name, some)
                        last = some[-1][0]
                case "parquet" | "arrow":
                    for batch in batches(name, file, parquet=kind == "parquet"):
                        yield Table(name, last + 1, batch)
                        last += batch.num_rows
                case _:
                    assert_never(kind)
    except DamagedError as error:
        if not last:
            raise RowsError(f"`{name}` is not readable {what}: {error}") from error
        yield Texts(name, ((last + 1, 0, Broken(f"the file is damaged from here on: {error}")),))


def _cut(found: Iterable[Found]) -> Iterator[tuple[Found, ...]]:
    """Runs of up to `ROWS`, or of `BYTES` where lines are long; what came before an error is given before it."""
    some: list[Found] = []
    size = 0
    try:
        for one in found:
            some.append(one)
            if type(one[2]) is bytes:
                size += len(one[2])
            if len(some) == ROWS or size >= BYTES:
                yield tuple(some)
                some, size = [], 0
    except Exception:  # what it means is decided where the file was opened
        if some:
            yield tuple(some)
        raise
    if some:
        yield tuple(some)
