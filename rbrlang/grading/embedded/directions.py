"""How far does a text's n-grams point in given directions?

A text has a few hundred of the thousands of buckets, so products run over those alone. No BLAS: its threads would
wait for each other at the price of a second processor, and it adds up in another order for one row than for many.
Here a text gets the same bits whatever it is graded together with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """Grams [items, buckets] that are mostly 0: of each item the buckets that are not, and what they hold."""

    items: tuple[tuple[NDArray[np.int64], Floats], ...]


def sparse(grams: Floats) -> Sparse:
    """The same grams, for products."""
    found: list[tuple[NDArray[np.int64], Floats]] = []
    for row in grams:
        at = np.flatnonzero(row != 0.0)  # several times faster than of the numbers
        found.append((at, row[at]))
    return Sparse(tuple(found))


class Directions:
    """Directions [D, buckets] to multiply grams with."""

    __slots__ = ("_columns",)

    def __init__(self, rows: Floats) -> None:
        self._columns = np.ascontiguousarray(rows.T)

    def products(self, grams: Sparse) -> Floats:
        """`grams @ rows.T`, float32 [items, D]."""
        out = np.empty((len(grams.items), self._columns.shape[1]), np.float32)
        for (at, values), found in zip(grams.items, out, strict=True):
            np.einsum("k,kd->d", values, self._columns.take(at, axis=0), out=found)
        return out
