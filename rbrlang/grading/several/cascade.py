"""Which rows need the strong grader, and who answers what?

The first grader is asked all that decides a row's class, whatever is wanted of the row just now. Where its likeliest class reaches
the threshold, the row keeps the first grader's answers; else every question about it goes to the second grader. So it is decided
by row, also under `--lazy`, which asks question by question: the first grader is asked everything once, the second only what the
reward still needs. Criteria of rubrics decide no class, and are the second grader's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded.heads import definition
from rbrlang.grading.judge import Grader, encoded, unshaped
from rbrlang.grading.questions.layout import wanted as needed
from rbrlang.grading.results import Answer, GradeItem
from rbrlang.grading.several.jury import Floats
from rbrlang.lang.program import Proposition
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward.numpy import NumpyReward


def rules_of(policy: Policy, circuit: Circuit) -> str:
    """What thresholds belong to: the policy's rules, and what its questions ask."""
    asked = [
        definition(one) if isinstance(one, Proposition)
        else [one.name, one.domain.values, one.statement, one.question, one.about, one.over]
        for one in policy.program.questions
    ]  # fmt: skip
    said = json.dumps([policy.fingerprint, circuit.class_probability, asked])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def classes(
    reward: NumpyReward, items: Sequence[GradeItem], answers: Sequence[Mapping[int, Answer]]
) -> tuple[Floats, NDArray[np.int64]]:
    """P of the likeliest class [items] and its number, NaN and -1 where unknown."""
    probs = encoded(reward.circuit, items, answers, [item.conversation for item in items])
    found = reward.class_probs(probs, np.array([item.response for item in items], np.int32)).astype(np.float64)
    unknown = np.isnan(found).any(1)
    return np.where(unknown, np.nan, found.max(1)), np.where(unknown, -1, np.nan_to_num(found).argmax(1))


class Cascade:
    """Two graders as one, see above; `learned` is what the threshold is from, for the identity."""

    def __init__(self, first: Grader, then: Grader, reward: NumpyReward, threshold: float, learned: str) -> None:
        self._first, self._then, self._reward, self._threshold = first, then, reward, threshold
        self._known: dict[GradeItem, Mapping[int, Answer] | None] = {}
        said = [learned, *(unshaped(one.identity) for one in (first, then))]
        self.identity = f"cascade {hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]}"

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        """Each row's answers, from the one grader or the other."""
        kept = self._kept(items, wanted)
        found: list[dict[int, Answer]] = [
            {q: own[q] for q in asked if q in own} for own, asked in zip(kept, wanted, strict=True)
        ]
        left = [[q for q in asked if q not in given] for asked, given in zip(wanted, found, strict=True)]
        shown = [at for at, asked in enumerate(left) if asked]
        if shown:
            said = self._then.answers([items[at] for at in shown], [left[at] for at in shown])
            for at, given in zip(shown, said, strict=True):
                found[at] |= {q: given[q] for q in left[at]}
        return found

    def _kept(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        """What the first grader says of the rows that keep its answers, and nothing of the others.

        It is remembered for as long as the same rows are asked about, question by question.
        """
        before = self._known
        new = [
            at for at, (item, asked) in enumerate(zip(items, wanted, strict=True))
            if any(map(self._decides, asked)) and (item not in before or not self._has(before[item], asked))
        ]  # fmt: skip
        known = {item: before[item] for item in items if item in before}
        if new:
            some = [items[at] for at in new]
            of_class = needed(self._reward.circuit, some)
            asked = [
                tuple(dict.fromkeys((*of, *filter(self._decides, wanted[at]))))
                for at, of in zip(new, of_class, strict=True)
            ]
            said = self._first.answers(some, asked)
            deciding = [{q: given[q] for q in of} for given, of in zip(said, of_class, strict=True)]
            sure = classes(self._reward, some, deciding)[0]
            for item, given, p in zip(some, said, sure.tolist(), strict=True):
                known[item] = dict(given) if p >= self._threshold else None
        self._known = known
        return [(known.get(item) or {}) for item in items]

    def _decides(self, question: int) -> bool:
        """Whether a question is of a proposition or a variable, and not of a rubric's criteria."""
        circuit = self._reward.circuit
        return question < len(circuit.propositions) or question >= circuit.first_variable

    def _has(self, own: Mapping[int, Answer] | None, asked: Sequence[int]) -> bool:
        return own is None or all(q in own for q in asked if self._decides(q))
