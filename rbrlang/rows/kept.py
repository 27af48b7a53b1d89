"""Where are rows that a command looks at more than once, when there may be more of them than memory holds?

On the disk, in a temporary file that ends with the process, some hundred at a time; the first few stay in memory.
"""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TypeVar, overload

_AT_ONCE = 256
_IN_MEMORY = 2**22  # bytes
Item = TypeVar("Item")


def in_blocks(rows: Sequence[Item], size: int = 4 * _AT_ONCE) -> Iterator[tuple[int, Sequence[Item]]]:
    """Rows some at a time, with the position of the first of them."""
    return ((at, rows[at : at + size]) for at in range(0, len(rows), size))


class Kept(Sequence[Item]):
    """A sequence that grows at its end, and whose items are read again whenever they are asked for.

    Going through it is quick, jumping about in it is not.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # lives as long as the items
        weakref.finalize(self, self._file.close)
        self._starts: list[int] = []
        self._last: list[Item] = []  # what does not fill a block yet
        self._read: tuple[int, list[Item]] = (-1, [])
        self.extend(items)

    def extend(self, items: Iterable[Item]) -> None:
        """More items."""
        for item in items:
            self._last.append(item)
            if len(self._last) == _AT_ONCE:
                self._starts.append(self._file.seek(0, 2))
                pickle.dump(self._last, self._file, pickle.HIGHEST_PROTOCOL)
                self._last = []

    def __len__(self) -> int:
        return len(self._starts) * _AT_ONCE + len(self._last)

    def __iter__(self) -> Iterator[Item]:
        for number in range(len(self._starts) + 1):
            yield from self._block(number)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> list[Item]: ...
    def __getitem__(self, at: int | slice) -> Item | list[Item]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                return [self[one] for one in range(start, stop, step)]
            first = start // _AT_ONCE
            found = [item for number in range(first, -(-stop // _AT_ONCE)) for item in self._block(number)]
            return found[start - first * _AT_ONCE : stop - first * _AT_ONCE]
        place = range(len(self))[at]
        return self._block(place // _AT_ONCE)[place % _AT_ONCE]

    def _block(self, number: int) -> list[Item]:
        if number == len(self._starts):
            return self._last
        if self._read[0] != number:
            self._file.seek(self._starts[number])
            self._read = (number, pickle.load(self._file))
        return self._read[1]
