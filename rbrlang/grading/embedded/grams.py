"""Which hashed character n-grams does a text hold, and how far do they point in given directions?

The character 3- to 5-grams of a text's UTF-8 bytes are hashed into buckets and counted, log2(1 + count). Hashing is FNV-like on 32 bits and does not depend on the process or the platform.

A text has some hundreds of the thousands of buckets, so only those are kept and multiplied. No BLAS: its threads would
wait for each other at the price of a second processor, and it adds up in another order for one row than for many.
Here a text gets the same bits whatever it is graded together with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_BITS = np.uint32(13)
BUCKETS = 1 << int(_BITS)
SIZES = (3, 4, 5)
_BLOCK = 8192  # bytes whose n-grams are sorted at once: they stay in the processor's cache
_BEYOND = np.uint32(0xFFFFFFFF)  # sorts behind all codes

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Grams:
    """Of each text the buckets that it holds, ascending, and what they hold; text i from `starts[i]` to `starts[i + 1]`."""

    starts: NDArray[np.int64]
    buckets: NDArray[np.int64]
    values: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        at = self.starts.tolist()
        for start, stop in pairwise(at):
            yield self.buckets[start:stop], self.values[start:stop]

    def dense(self) -> Floats:
        """Float32 [texts, buckets]."""
        out = np.zeros((len(self), BUCKETS), np.float32)
        for row, (buckets, values) in zip(out, self, strict=True):
            row[buckets] = values
        return out

    def lengths(self, squared: Floats) -> Floats:
        """Length of each text's grams [texts, 1] when those of a bucket weigh the root of `squared` [buckets]."""
        values, weights, at = self.values, squared.take(self.buckets), pairwise(self.starts.tolist())
        found = [np.einsum("k,k,k->", values[i:j], values[i:j], weights[i:j]) for i, j in at]
        return np.sqrt(np.array(found, np.float32))[:, None]


def squeezed(text: str) -> str:
    """The text with a space before, between and after its words: how n-grams see white space."""
    return f" {' '.join(text.split())} "


def grams(texts: Sequence[str]) -> Grams:
    """The n-grams of each text, which is `squeezed`."""
    starts, buckets, values = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for block in _blocks(texts):
        codes = np.sort(_codes(block))  # counting into all buckets costs several times more
        last = np.flatnonzero(codes[1:] != codes[:-1])  # of a run of the same code; `_BEYOND` is the last run
        counts = last.copy()
        counts[1:] -= last[:-1]
        counts[:1] += 1
        found = codes.take(last)
        log = np.log2(1.0 + np.arange(counts.max(initial=0) + 1)).astype(np.float32)
        ends = np.searchsorted(found, np.arange(1, len(block) + 1, dtype=np.uint32) << _BITS)
        starts.append(starts[-1][-1] + ends)
        buckets.append((found & np.uint32(BUCKETS - 1)).astype(np.int64))
        values.append(log.take(counts))
    return Grams(np.concatenate(starts), np.concatenate(buckets), np.concatenate(values))


def _blocks(texts: Sequence[str]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for text in texts:
        block.append(text.encode())
        size += len(block[-1])
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _codes(texts: Sequence[bytes]) -> NDArray[np.uint32]:
    """The buckets of all n-grams, text · buckets + bucket; `_BEYOND` for what begins in one text and ends in the next.

    One pass over all texts, one behind the other.
    """
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    data = np.frombuffer(b"".join(texts), np.uint8).astype(np.uint32)
    base = np.repeat(np.arange(len(texts), dtype=np.uint32) << _BITS, lengths)
    hashed = np.full(len(data), 2166136261, np.uint32)
    codes: list[NDArray[np.uint32]] = []
    for size in range(1, min(max(SIZES), len(data)) + 1):
        hashed = (hashed[: len(data) - size + 1] ^ data[size - 1 :]) * np.uint32(16777619)
        if size in SIZES:
            code = ((hashed ^ (hashed >> np.uint32(15))) & np.uint32(BUCKETS - 1)) | base[: len(hashed)]
            beyond = (ends[:, None] - np.arange(1, size)).ravel()
            code[beyond[(beyond >= 0) & (beyond < len(code))]] = _BEYOND
            codes.append(code)
    return np.concatenate([np.full(1, _BEYOND), *codes])


class Directions:
    """Directions [D, buckets] to multiply grams with."""

    __slots__ = ("_columns",)

    def __init__(self, rows: Floats) -> None:
        self._columns = np.ascontiguousarray(rows.T)

    def products(self, grams: Grams) -> Floats:
        """`grams @ rows.T`, float32 [texts, D]."""
        out = np.empty((len(grams), self._columns.shape[1]), np.float32)
        for (buckets, values), found in zip(grams, out, strict=True):
            np.einsum("k,kd->d", values, self._columns.take(buckets, axis=0), out=found)
        return out
