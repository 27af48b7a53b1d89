"""What do a proposition's declared cues say of a completion?

A cue is an RE2 pattern with an answer: `cue yes` speaks for the proposition where it is found, `cue no`
against it. They are read over what the completion claims, as a person reads it (`folding`), case and
punctuation as they are, and combine to one score:
1 where some `yes` and no `no` was found; 0 where a `no` was found alone, or where there are `yes` cues
and none was found; 0.45 where both were found, or where nothing can be said.

As evidence a score `s` counts `6 · (s − 0.45)` in log-odds: 3.3 for, 2.7 against. That is what word lists
of this kind were worth on labelled completions of assistants; see `docs/embedded-grader.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded.evidence import PatternSet
from rbrlang.grading.embedded.folding import Text

NEUTRAL = 0.45
SLOPE = 6.0

CuePatterns = tuple[tuple[bool, str], ...]
"""Cues of one proposition: the answer that each speaks for, and its pattern."""


class CueReader:
    """The cues of several propositions, read in one pass over each completion.

    Raises `ValueError` where RE2 refuses a pattern.
    """

    __slots__ = ("_of", "_patterns", "_silent")

    def __init__(self, cues: Sequence[CuePatterns]) -> None:
        flat = [(number, answer, pattern) for number, own in enumerate(cues) for answer, pattern in own]
        self._patterns = PatternSet(pattern for _, _, pattern in flat)
        self._of = [(number, answer) for number, answer, _ in flat]
        has_yes = np.array([any(answer for answer, _ in own) for own in cues], bool)
        self._silent = np.where(has_yes, 0.0, NEUTRAL)

    def scores(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """Scores, float32 [texts, propositions], each 0, 0.45 or 1."""
        found = np.zeros((2, len(texts), len(self._silent)), bool)
        for row, text in enumerate(texts):
            for hit in self._patterns.present(text.claimed):
                number, answer = self._of[hit]
                found[int(answer), row, number] = True
        no, yes = found
        some = np.where(yes & no, NEUTRAL, yes.astype(float))
        return np.where(yes | no, some, self._silent).astype(np.float32)


def log_odds(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """What scores count as evidence; same shape, between −2.7 and 3.3."""
    return ((scores - np.float32(NEUTRAL)) * np.float32(SLOPE)).astype(np.float32)
