"""Which ids did the rows so far have, when there may be more of them than memory holds?

An id is looked for by a 64-bit hash of it: first in a filter of fixed size, which knows of nearly all new ones that they
are new, then among the hashes, of which the older ones lie on the disk in sorted runs. Two rows have the same id only
where their texts are equal too: texts and places of all rows are kept in a file, and compared before anything is said.
A million rows or a billion take the same memory, up to a hundredth of a run.

    >>> ids = Ids()
    >>> ids.take(packed(["a", "b"]), [True, True], "rows.jsonl", [1, 2])
    {}
    >>> ids.take(packed(["c", "a"]), [True, True], "rows.jsonl", [3, 4])
    {1: Taken(file='rows.jsonl', line=1, name='')}
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_RUN = 2**18  # hashes in a run
_PAGE = 256  # hashes of a run that are read at once
_WORDS = 2**22  # of 64 bits in the filter
_KEPT = 2**23  # bytes of texts that stay in memory
_RECORD = np.dtype([("end", "<i8"), ("file", "<i4"), ("line", "<i8")])
_Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Packed:
    """Texts one behind the other, UTF-8 (and halves of surrogate pairs as they come); `ends` [texts + 1] begins with 0."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def text(self, at: int) -> bytes:
        """One of them."""
        return self.data[self.ends[at] : self.ends[at + 1]].tobytes()


@dataclass(frozen=True, slots=True)
class Taken:
    """An id that an earlier row has, and where that is; `name` is another for a row whose id was made from its text."""

    file: str
    line: int
    name: str


def packed(texts: Sequence[str]) -> Packed:
    """Texts packed."""
    joined = "".join(texts)
    if joined.isascii():
        data, lengths = joined.encode("ascii"), np.fromiter(map(len, texts), np.int64, len(texts))
    else:
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        data, lengths = b"".join(parts), np.fromiter(map(len, parts), np.int64, len(parts))
    return Packed(np.frombuffer(data, np.uint8), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


class Ids:
    """The ids of the rows so far. What does not fit in memory is in temporary files, which end with the process."""

    def __init__(self) -> None:
        self._key = np.frombuffer(secrets.token_bytes(16), np.uint64) | np.uint64(1)  # nobody can aim at a collision
        self._filter: _Hashes = np.zeros(_WORDS, np.uint64)
        self._recent: list[tuple[_Hashes, NDArray[np.int64]]] = []
        self._runs: list[_Run] = []
        self._sorted: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the ids
        self._count = 0
        self._size = 0
        self._files: dict[str, int] = {}
        self._texts: IO[bytes] = tempfile.SpooledTemporaryFile(_KEPT)  # noqa: SIM115  # lives as long as the ids
        self._records: IO[bytes] = tempfile.SpooledTemporaryFile(_KEPT)  # noqa: SIM115  # lives as long as the ids
        self._copies: dict[bytes, int] = {}  # of the ids that were made from texts, the last number given

    def __enter__(self) -> Ids:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the temporary files back."""
        for file in (self._texts, self._records, self._sorted):
            file.close()

    def take(
        self,
        ids: Packed,
        named: Sequence[bool] | NDArray[np.bool_],
        file: str,
        lines: Sequence[int] | NDArray[np.int64],
    ) -> dict[int, Taken]:
        """Take the ids of the next rows, those that are taken already excepted: these are given, by their number.

        `named` says which rows have an id of their own; one whose id was made from its text gets another name.
        """
        if not len(ids):
            return {}
        hashes = _hashes(ids, self._key)
        before = self._perhaps(hashes)
        order = np.argsort(hashes)
        inside = hashes[order]
        if not before.any() and not (inside[1:] == inside[:-1]).any():
            self._add(hashes, order, ids, file, np.asarray(lines, np.int64))
            return {}
        return self._sift(hashes, before, ids, named, file, lines)

    def _sift(
        self, hashes: _Hashes, before: NDArray[np.bool_], ids: Packed, named: Any, file: str, lines: Any
    ) -> dict[int, Taken]:
        """`take`, row by row."""
        found: dict[int, Taken] = {}
        here: dict[bytes, int] = {}
        known = self._known(hashes, before)
        for at in range(len(ids)):
            text = ids.text(at)
            first = here.get(text)
            place = (file, int(lines[first])) if first is not None else self._place(known.get(at, ()), text)
            if place is None:
                here[text] = at
            elif named[at]:
                found[at] = Taken(*place, "")
            else:
                other = self._another(text, here)
                here[other] = at
                found[at] = Taken(*place, other.decode("utf-8", "surrogatepass"))
        texts = list(here)
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in texts], dtype=np.int64)])
        kept = Packed(np.frombuffer(b"".join(texts), np.uint8), ends)
        hashes = _hashes(kept, self._key)
        self._add(hashes, np.argsort(hashes), kept, file, np.array([lines[at] for at in here.values()], np.int64))
        return found

    def _another(self, text: bytes, here: dict[bytes, int]) -> bytes:
        """An id that nobody has, for another row of the same text."""
        number = self._copies.get(text, 1)
        while True:
            number += 1
            other = text + b"-%d" % number
            if other not in here and not self._has(other):
                if len(self._copies) >= 100_000:  # a bound; what is forgotten is counted again
                    self._copies.clear()
                self._copies[text] = number
                return other

    def _has(self, text: bytes) -> bool:
        one = Packed(np.frombuffer(text, np.uint8), np.array([0, len(text)], np.int64))
        hashes = _hashes(one, self._key)
        before = self._perhaps(hashes)
        return bool(before[0]) and self._place(self._known(hashes, before).get(0, ()), text) is not None

    # --- hashes ---

    def _perhaps(self, hashes: _Hashes) -> NDArray[np.bool_]:
        """Whether a hash may have been seen; False is certain."""
        word, bits = _bits(hashes)
        return (self._filter[word] & bits) == bits

    def _add(self, hashes: _Hashes, order: NDArray[np.intp], ids: Packed, file: str, lines: NDArray[np.int64]) -> None:
        """Take new ids; `order` sorts their hashes."""
        number = self._files.setdefault(file, len(self._files))
        records = np.empty(len(ids), _RECORD)
        records["end"], records["file"], records["line"] = self._size + ids.ends[1:], number, lines
        self._texts.seek(0, 2)
        self._texts.write(ids.data[: ids.ends[-1]].tobytes())
        self._records.seek(0, 2)
        self._records.write(records.tobytes())
        self._size += int(ids.ends[-1])
        word, bits = _bits(hashes)
        np.bitwise_or.at(self._filter, word, bits)
        self._recent.append((hashes[order], order + self._count))
        self._count += len(hashes)
        if sum(len(some) for some, _ in self._recent) >= _RUN:
            self._runs.append(_Run.of(self._sorted, *map(np.concatenate, zip(*self._recent, strict=True))))
            self._recent = []

    def _known(self, hashes: _Hashes, before: NDArray[np.bool_]) -> dict[int, list[int]]:
        """The numbers of earlier rows with the same hash, for those that may have been seen."""
        found: dict[int, list[int]] = {}
        asked = np.flatnonzero(before)
        if len(asked):
            for some, rows in self._recent:
                for at, row in _matches(some, rows, hashes, asked):
                    found.setdefault(at, []).append(row)
            for run in self._runs:
                for at, row in run.matches(hashes, asked):
                    found.setdefault(at, []).append(row)
        return found

    # --- texts ---

    def _place(self, rows: Sequence[int], text: bytes) -> tuple[str, int] | None:
        """Where the row with this text stands, among some with its hash."""
        for row in rows:
            start = 0 if row == 0 else self._record(row - 1)[0]
            end, file, line = self._record(row)
            if end - start == len(text):
                self._texts.seek(start)
                if self._texts.read(len(text)) == text:
                    return list(self._files)[file], line
        return None

    def _record(self, row: int) -> tuple[int, int, int]:
        self._records.seek(row * _RECORD.itemsize)
        record = np.frombuffer(self._records.read(_RECORD.itemsize), _RECORD)[0]
        return int(record["end"]), int(record["file"]), int(record["line"])


@dataclass(frozen=True, slots=True)
class _Run:
    """As many sorted hashes as `size` says, in a file from `start` on, each page of them followed by their rows; `first` is
    each page's first hash."""

    file: IO[bytes]
    start: int
    size: int
    first: _Hashes

    @classmethod
    def of(cls, file: IO[bytes], hashes: _Hashes, rows: NDArray[np.int64]) -> _Run:
        order = np.argsort(hashes)
        hashes, rows = hashes[order], rows[order]
        start = file.seek(0, 2)
        for at in range(0, len(hashes), _PAGE):
            file.write(hashes[at : at + _PAGE].tobytes() + rows[at : at + _PAGE].tobytes())
        return cls(file, start, len(hashes), hashes[::_PAGE].copy())

    def matches(self, hashes: _Hashes, asked: NDArray[np.intp]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        # A hash that occurs twice may lie on two pages.
        low = np.maximum(np.searchsorted(self.first, hashes[asked], "left") - 1, 0)
        high = np.searchsorted(self.first, hashes[asked], "right") - 1
        for at, start, stop in zip(asked.tolist(), low.tolist(), high.tolist(), strict=True):
            for page in range(start, stop + 1):
                half = min(_PAGE, self.size - page * _PAGE)
                self.file.seek(self.start + page * _PAGE * 16)
                data = np.frombuffer(self.file.read(half * 16), np.uint64)
                found += _matches(data[:half], data[half:].view(np.int64), hashes, np.array([at]))
        return found


def _matches(
    known: _Hashes, rows: NDArray[np.int64], hashes: _Hashes, asked: NDArray[np.intp]
) -> list[tuple[int, int]]:
    """Pairs of one of the `asked` and a row that has its hash."""
    low = np.searchsorted(known, hashes[asked], "left")
    high = np.searchsorted(known, hashes[asked], "right")
    some = np.flatnonzero(high > low)
    return [(int(asked[at]), int(row)) for at in some for row in rows[low[at] : high[at]]]


def _bits(hashes: _Hashes) -> tuple[NDArray[np.intp], _Hashes]:
    """The word of the filter for each hash, and the four bits in it."""
    one = np.uint64(1)
    bits = one << (hashes & np.uint64(63))
    for shift in (6, 12, 18):
        bits = bits | (one << (hashes >> np.uint64(shift) & np.uint64(63)))
    return (hashes >> np.uint64(64 - 22)).astype(np.intp), bits


def _hashes(ids: Packed, key: _Hashes) -> _Hashes:
    """A hash for each text: its words of eight bytes, mixed in one after the other."""
    lengths = np.diff(ids.ends)
    out = lengths.astype(np.uint64) * key[0]
    data = np.concatenate([ids.data, np.zeros(8, np.uint8)])
    words = np.lib.stride_tricks.sliding_window_view(data, 8)
    left, starts = np.arange(len(ids)), ids.ends[:-1]
    position = 0
    while len(left):
        left = left[lengths[left] > position]
        found = words[starts[left] + position].copy().view("<u8").reshape(-1)
        # What follows the text is not part of it.
        beyond = np.maximum(position + 8 - lengths[left], 0).astype(np.uint64) * np.uint64(8)
        found &= np.uint64(2**64 - 1) >> beyond
        mixed = (out[left] ^ found) * key[1]
        out[left] = (mixed ^ (mixed >> np.uint64(29))) * key[0]
        position += 8
    return out ^ (out >> np.uint64(32))
