"""What is done with a block of rows, and what comes of it?

A job reads a piece of a file as blocks and finishes each: what is to be written, which rows could not be used, and a
tally. It is sent to where it runs, and opened there once; a block's result depends on the block alone, so that it is the
same wherever and beside whatever it is worked on. Only which ids are taken is known in one place: the one that writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rbrlang.rows.columns import Names
from rbrlang.rows.formats import BadRow
from rbrlang.rows.ids import Ids, Packed, Taken
from rbrlang.rows.pieces import Piece
from rbrlang.rows.read import Mapped
from rbrlang.rows.write import Encoded


class Readable(Protocol):
    """Rows of one piece, however they are held: see `rows.read.Block`."""

    @property
    def file(self) -> str: ...
    @property
    def lines(self) -> Sequence[int] | NDArray[np.int64]: ...
    @property
    def named(self) -> Sequence[bool] | NDArray[np.bool_]: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def lacking(self) -> frozenset[str]: ...
    def ids(self) -> Packed: ...
    def without(self, taken: Mapping[int, Taken]) -> Readable: ...
    def first(self, count: int) -> Readable: ...


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a block. `rows` are written with it; `tally` is the job's own."""

    encoded: Encoded
    rows: int
    bad: tuple[BadRow, ...]
    tally: Any


def digest(*values: object) -> str:
    """A name for plain values: the same only for the same ones."""
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()


class Job(Protocol):
    """See the module. `names` are those of the columns."""

    @property
    def names(self) -> Names: ...
    @property
    def about(self) -> str:
        """What tells it apart from jobs with the same options: a `digest` of what its results follow from."""
        ...

    def open(self, first: Piece | None = None) -> None:
        """Prepare what is needed, once in each process; for the `first` piece of the file, where it does not come here.

        Raises what the command shows its user.
        """
        ...

    def read(self, piece: Piece) -> Iterable[Any]:
        """The blocks of a piece, each `Readable`; the same ones whenever it is asked."""
        ...

    def finish(self, block: Any) -> Done:
        """Work on a block."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """What has to be known of a block before its result counts: its rows' ids, and where they stand."""

    file: str
    ids: Packed
    lines: NDArray[np.int64]
    named: NDArray[np.bool_]
    columns: tuple[str, ...]
    lacking: frozenset[str]

    @classmethod
    def of(cls, block: Readable) -> Head:
        """That of a block."""
        lines, named = np.asarray(block.lines, np.int64), np.asarray(block.named, np.bool_)
        return cls(block.file, block.ids(), lines, named, block.columns, block.lacking)


Part = tuple[Head, Done]


def worked(job: Job, piece: Piece) -> tuple[Part, ...]:
    """The results of a piece's blocks, as if no id in them were taken."""
    return tuple((Head.of(block), job.finish(block)) for block in job.read(piece))


def counted(
    path: str, job: Job, results: Iterable[tuple[Piece, Sequence[Part] | None]], limit: int | None
) -> Iterator[Done]:
    """The results that count, of pieces in order; None for a piece that nobody has worked on yet.

    A block in which an id is taken is worked on again, without that row or with another name for it. Raises
    `RowsError`.
    """
    left = limit
    mapped = Mapped(path, job.names)
    with Ids() as ids:
        for piece, parts in results:
            for at, (head, block, done) in enumerate(_steps(job, piece, parts)):
                mapped.saw(head.columns, head.lacking)
                taken = ids.take(head.ids, head.named, head.file, head.lines)
                rows = len(head.ids) - sum(not one.name for one in taken.values())
                last = left is not None and rows >= left
                if done is None or taken or last:
                    kept = (block or _block(job, piece, at)).without(taken)
                    done = job.finish(kept.first(left) if last and left is not None else kept)
                yield done
                if last:
                    return
                left = None if left is None else left - rows
    mapped.check()


def _steps(job: Job, piece: Piece, parts: Sequence[Part] | None) -> Iterator[tuple[Head, Readable | None, Done | None]]:
    if parts is None:
        for block in job.read(piece):
            yield Head.of(block), block, None
    else:
        for head, done in parts:
            yield head, None, done


def _block(job: Job, piece: Piece, number: int) -> Readable:
    return next(islice(iter(job.read(piece)), number, None))
