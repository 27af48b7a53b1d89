"""A grader of known quality: the judge's own answers, with mistakes planted among them.

An answer is the truth of the text as `judge.Reader` reads it, turned round at the rate that was asked for. Which answers are
wrong follows from seed, request, and text: a real grader errs about the same text in the same way every time, and it is such
mistakes that a model can learn to live on. All answers are equally sure (`SURE`), so that graders differ in their mistakes alone.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from judge import Reader
from numpy.typing import NDArray
from world import LONGEST, Vocabulary

from rbrlang.grading.results import Answer, GradeItem, certain

SURE = 0.98


class Planted:
    """A judge of completions; `rate` is the share of its answers that are wrong."""

    def __init__(self, reader: Reader, vocabulary: Vocabulary, rate: float, seed: int) -> None:
        self._reader, self._vocabulary, self._rate, self._seed = reader, vocabulary, rate, seed
        self._said = lru_cache(65536)(self._say)

    def _say(self, prompt: str, text: str) -> NDArray[np.float32]:
        # A text that fills all places has no end: the model was cut off.
        ended = len(self._vocabulary.read(text)) < LONGEST
        holds, _ = self._reader.read(prompt, text, ended)
        key = blake2b(f"{self._seed}|{prompt}|{text}".encode(), digest_size=8).digest()
        wrong = np.random.default_rng(int.from_bytes(key)).random(len(self._reader.names)) < self._rate
        truth = np.array([name in holds for name in self._reader.names])
        return np.where(truth != wrong, SURE, 1 - SURE).astype(np.float32)

    def probabilities(self, items: Sequence[GradeItem]) -> NDArray[np.float32]:
        """P(yes), float32 [items, propositions]."""
        return np.stack([self._said(item.prompt[-1].text, item.completion) for item in items])

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        """As a `Judge` gives them."""
        probs = self.probabilities(items)
        return [{p: certain(float(row[p]), "label") for p in of} for row, of in zip(probs, wanted, strict=True)]
