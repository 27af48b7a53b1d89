"""Does a completion resemble the examples that a proposition calls yes, or those that it calls no?

Nearness is the cosine of hashed character n-grams with the nearest example of an answer. **Likeness**, the nearness to yes
less that to no, is evidence for heads: between −1 and 1, 0 where the few-shots are missing or of one answer only.

Where a proposition has nothing better, `log_odds` is all there is, and then what its question quotes counts as an example,
too (`- "As an AI, …" -> yes`). No examples count a quarter there, since most are written to look like yes: on labelled
completions of two policies (48 propositions, constants of the one measured on the other) the area is .72 and .74 so, and
.58 and .67 when both answers count the same. It compares words, not meaning; `held_out` says what it is worth.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded.evidence import plain
from rbrlang.grading.embedded.folding import folded
from rbrlang.grading.embedded.grams import Directions, Grams, grams, squeezed
from rbrlang.grading.trust import agreement
from rbrlang.lang.braces import bare
from rbrlang.lang.program import Proposition

Examples = tuple[tuple[str, bool], ...]
"""Texts, and whether the proposition is true of each."""

_QUOTED = re.compile(r'["“]([^"“”\n]{4,200})["”] *(?:->|→|=>) *(yes|no)\b', re.IGNORECASE)
_AGAINST = 0.25  # what nearness to a no example counts
_CENTRE = 0.11  # nearness of an ordinary completion
_SLOPE = 15.0  # log-odds for a nearness of 1; real ones are below 0.5


class ShotReader:
    """Examples of several propositions, as directions in the space of hashed n-grams."""

    __slots__ = ("_columns", "_directions", "_size", "_starts")

    def __init__(self, examples: Sequence[Examples]) -> None:
        self._size = len(examples)
        self._columns = [column for column, own in enumerate(examples) if both_sides(own)]
        sides = [
            [text for text, told in examples[column] if told is answer]
            for column in self._columns
            for answer in (True, False)
        ]
        self._starts = np.cumsum([0, *map(len, sides)])[:-1]
        self._directions = Directions(_directions([text for side in sides for text in side]))

    def likeness(self, grams: Grams) -> NDArray[np.float32]:
        """Float32 [items, propositions]."""
        return self._compared(grams, 1.0, 0.0)

    def log_odds(self, grams: Grams) -> NDArray[np.float32]:
        """Float32 [items, propositions], 0 without examples of both answers."""
        return _SLOPE * self._compared(grams, _AGAINST, _CENTRE)

    def _compared(self, grams: Grams, against: float, centre: float) -> NDArray[np.float32]:
        out = np.zeros((len(grams), self._size), np.float32)
        if self._columns:
            length = np.sqrt([np.einsum("k,k", held, held) for _, held in grams])[:, None] + np.float32(1e-6)
            nearest = np.maximum.reduceat(self._directions.products(grams) / length, self._starts, axis=1)
            out[:, self._columns] = nearest[:, ::2] - np.float32(against) * nearest[:, 1::2] - np.float32(centre)
        return out


def few_shots(proposition: Proposition) -> Examples:
    """What the few-shots answer, without the places that columns of a row fill: they are another's words each time."""
    return tuple(
        (bare(shot.messages[-1].content, proposition.columns) if shot.messages else "", shot.answer)
        for shot in proposition.shots
    )


def all_examples(proposition: Proposition) -> Examples:
    """The few-shots, and what the question quotes with an answer behind it."""
    asked = bare(proposition.question, proposition.columns)
    quoted = ((said.strip(" .…"), answer.lower() == "yes") for said, answer in _QUOTED.findall(asked))
    return (*few_shots(proposition), *quoted)


def both_sides(examples: Examples) -> bool:
    """Whether there is a yes and a no example to compare with."""
    return len({answer for _, answer in examples}) == 2


def held_out(examples: Examples) -> float | None:
    """How well each example is told by the others: the area under the curve, or nothing with fewer than five of an answer."""
    truth = np.array([answer for _, answer in examples], bool)
    if agreement.too_little(truth) is not None:
        return None
    rows = _directions([text for text, _ in examples])
    near = rows @ rows.T
    np.fill_diagonal(near, -1)
    return agreement.auc(truth, near[:, truth].max(axis=1) - _AGAINST * near[:, ~truth].max(axis=1))


def _directions(said: Sequence[str]) -> NDArray[np.float32]:
    rows = grams([squeezed(plain(folded(text))) for text in said]).dense()
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)
