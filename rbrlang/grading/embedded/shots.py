"""Does a completion resemble the answers that a proposition's few-shots call yes, or those it calls no?

Likeness is the cosine of hashed character n-grams with the nearest yes example, less that with the nearest
no example: between −1 and 1, 0 where the few-shots are missing or of one answer only. It is weak evidence
(it compares words, not meaning) and is used alone only where a proposition has nothing better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded.evidence import plain
from rbrlang.grading.embedded.folding import folded
from rbrlang.grading.embedded.grams import Directions, Grams, grams, squeezed
from rbrlang.lang.braces import bare
from rbrlang.lang.program import Proposition, Shot


class ShotReader:
    """Few-shots of several propositions, as directions in the space of hashed n-grams."""

    __slots__ = ("_columns", "_directions", "_size", "_starts")

    def __init__(self, propositions: Sequence[Proposition]) -> None:
        self._size = len(propositions)
        self._columns = [column for column, p in enumerate(propositions) if both_sides(p)]
        sides = [
            [_said(s, propositions[column].columns) for s in propositions[column].shots if s.answer is answer]
            for column in self._columns
            for answer in (True, False)
        ]
        self._starts = np.cumsum([0, *map(len, sides)])[:-1]
        self._directions = Directions(_directions([text for side in sides for text in side]))

    def likeness(self, grams: Grams) -> NDArray[np.float32]:
        """Float32 [items, propositions]."""
        out = np.zeros((len(grams), self._size), np.float32)
        if self._columns:
            length = np.sqrt([np.einsum("k,k", held, held) for _, held in grams])[:, None] + np.float32(1e-6)
            nearest = np.maximum.reduceat(self._directions.products(grams) / length, self._starts, axis=1)
            out[:, self._columns] = nearest[:, ::2] - nearest[:, 1::2]
        return out


def both_sides(proposition: Proposition) -> bool:
    """Whether there is a yes and a no example to compare with."""
    return len({shot.answer for shot in proposition.shots}) == 2


def _said(shot: Shot, columns: Sequence[str]) -> str:
    """What an example answers, without the places that columns of a row fill: they are another's words each time."""
    return bare(shot.messages[-1].content, columns) if shot.messages else ""


def _directions(said: Sequence[str]) -> NDArray[np.float32]:
    rows = grams([squeezed(plain(folded(text))) for text in said]).dense()
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)
