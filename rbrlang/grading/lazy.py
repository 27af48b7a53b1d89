"""Which answers can be left out because they could not change the reward any more?

Grading in rounds. In each, every completion whose reward still lies in an interval wider than `eps` is
asked the question that promises the most: the largest expected narrowing of the interval per cost,
under the declared prior of its answers; a scale or a choice is one question. A completion is done when its interval is no wider than
`eps`; at 0, when neither its reward nor the probability of any class can change. The intervals are those
of `NumpyReward.bounds`, so they hold for every way to fill the gaps: what is estimated decides only what
is asked next, never when to stop. One thing is not seen: answers that contradict the axioms, where only
an answer that was left out would have shown it.

With yes/no answers (labels, confident graders) most completions are settled by a part of their
propositions at `eps` 0; probabilities strictly between 0 and 1 settle nothing exactly, so there `eps`
should be above 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.judge import Judge, encoded
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Value
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.shares import put

Floats = NDArray[np.float32]
_NOT_NEEDED = "not asked: the reward is settled without it"
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class LazyGrades:
    """What was answered, and what that leaves open. Rubrics are left out.

    `answers[i]` has every wanted question of item `i`; those not asked are abstentions. The rule
    reward (no base reward) of item `i` lies in `[lower[i], upper[i]]` whatever the unasked answers would
    have been; NaN where no reward is defined. `questions[i]` are those asked of item `i`, in the order
    of asking; all in all `asked` of `wanted`, in `rounds`.
    """

    answers: tuple[dict[int, Answer], ...]
    lower: Floats
    upper: Floats
    questions: tuple[tuple[int, ...], ...]
    wanted: int
    rounds: int

    @property
    def asked(self) -> int:
        """How many answers were asked for."""
        return sum(map(len, self.questions))


def grade_lazily(reward: NumpyReward, items: Sequence[GradeItem], judge: Judge, eps: float) -> LazyGrades:
    """Ask only what the rewards need, to within `eps` (in units of the reward, 0 or more).

    Answers without a value leave their proposition unknown; such completions are asked on, and their
    interval may stay wide. Raises `ValueError` for a negative or undefined `eps`.
    """
    if not eps >= 0.0:
        raise ValueError(f"eps is {eps}; it has to be 0 or more")
    state = _State(reward, items)
    rounds = 0
    while True:
        chosen = state.choose(state.unsettled(eps))
        if not chosen:
            break
        rounds += 1
        some = [items[i] for i in chosen]
        for (i, p), given in zip(chosen.items(), judge(some, [(p,) for p in chosen.values()]), strict=True):
            state.learn(i, p, given[p])
    lower, upper = state.bounds()
    return LazyGrades(
        tuple(
            {p: answers.get(p, Abstained(_NOT_NEEDED)) for p in of}
            for answers, of in zip(state.answers, state.wanted, strict=True)
        ),
        lower,
        upper,
        tuple(tuple(answers) for answers in state.answers),
        sum(map(len, state.wanted)),
        rounds,
    )


class _State:
    """What is known of every item: probabilities [items, atoms], and what may still be asked."""

    def __init__(self, reward: NumpyReward, items: Sequence[GradeItem]) -> None:
        self.reward = reward
        circuit = reward.circuit
        self.wanted = wanted(circuit, items)
        self.open = [set(of) for of in self.wanted]
        self.answers: list[dict[int, Answer]] = [{} for _ in items]
        self.ids = np.array([item.response for item in items], np.int32)
        # Rubrics add to the reward whatever the rules say: their criteria are asked apart, and settle nothing here.
        self.probs = encoded(circuit, items, self.answers, [item.conversation for item in items])

    def learn(self, item: int, question: int, answer: Answer) -> None:
        """An answer came."""
        self.open[item].discard(question)
        self.answers[item][question] = answer
        if isinstance(answer, Value):
            self.probs[item, question] = answer.p
        elif isinstance(answer, Distribution):
            circuit = self.reward.circuit
            put(circuit, self.probs[item], question - circuit.first_variable, answer.p)

    def bounds(self) -> tuple[Floats, Floats]:
        """Bounds of every item's rule reward."""
        return _bounds(self.reward, self.probs, self.ids)

    def unsettled(self, eps: float) -> list[int]:
        """Items to ask on: something is open, and it could move the reward by more than `eps`."""
        rows = np.array([i for i, of in enumerate(self.open) if of], np.int64)
        if not len(rows):
            return []
        probs, ids = self.probs[rows], self.ids[rows]
        if eps > 0.0:
            lower, upper = _bounds(self.reward, probs, ids)
            settled = upper - lower <= eps
        else:
            settled = self.reward.valid(probs, ids) & ~np.isnan(self.reward.class_probs(probs, ids)).any(1)
        return rows[~settled].tolist()

    def choose(self, items: Sequence[int]) -> dict[int, int]:
        """For each of the items the question to ask next.

        Items that look alike (same type, same unknowns, known probabilities equal to a quarter) share
        one choice: the promise is a guess anyway, and alike items are most of a large batch.
        """
        if not items:
            return {}
        rough = np.round(self.probs[items] * 4.0) / 4.0
        # Asked without a value: unknown like the open ones, but not to be asked again.
        questions = range(len(self.reward.circuit.questions))
        spent = [[p in self.answers[i] and p not in self.open[i] for p in questions] for i in items]
        keys = np.column_stack([self.ids[items], np.nan_to_num(rough, nan=-1.0), np.array(spent)])
        _, first, kind = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        best = self._promising([items[int(f)] for f in first], rough[first])
        return {i: best[int(k)] for i, k in zip(items, kind.reshape(-1), strict=True)}

    def _promising(self, items: Sequence[int], probs: Floats) -> list[int]:
        """The open question of each item with the largest expected narrowing per cost."""
        tries = [(n, p) for n, i in enumerate(items) for p in sorted(self.open[i])]
        at, asked = (np.array(column, np.int64) for column in zip(*tries, strict=True))
        ids = self.ids[np.array(items)]
        cost = np.maximum(np.array([self._cost(p) for p in asked.tolist()], np.float32), 1e-6)
        expected = np.zeros(len(tries), np.float32)
        answers = {p: outcomes(self.reward.circuit, p) for p in set(asked.tolist())}
        for number in range(max(map(len, answers.values()))):
            some = np.flatnonzero(np.isin(asked, [p for p, every in answers.items() if number < len(every)]))
            filled, chance = probs[at[some]], np.zeros(len(some), np.float32)
            for p, every in answers.items():
                if number < len(every):
                    mine = np.flatnonzero(asked[some] == p)
                    chance[mine], answer = every[number]
                    for atom, value in answer.items():
                        filled[mine, atom] = value
            lower, upper = _bounds(self.reward, filled, ids[at[some]])
            # An answer that the axioms exclude leaves no reward at all, and so nothing to narrow.
            expected[some] += chance * np.nan_to_num(upper - lower, nan=0.0)
        lower, upper = _bounds(self.reward, probs, ids)
        gain = (np.nan_to_num(upper - lower, nan=0.0)[at] - expected) / cost
        best: dict[int, tuple[float, int]] = {}
        for n, p, g in zip(at.tolist(), asked.tolist(), gain.tolist(), strict=True):
            if n not in best or g > best[n][0]:
                best[n] = (g, p)
        return [best[n][1] for n in range(len(items))]

    def _cost(self, question: int) -> float:
        circuit = self.reward.circuit
        at = question - circuit.first_variable
        return circuit.atoms[question].cost if at < 0 else circuit.variables[at].cost


def outcomes(circuit: Circuit, question: int) -> list[tuple[float, dict[int, float]]]:
    """What may be answered to a proposition or a variable, as the chance of it and what it makes of atoms."""
    at = question - circuit.first_variable
    if at < 0:
        prior = circuit.atoms[question].prior
        return [(prior, {question: 1.0}), (1.0 - prior, {question: 0.0})]
    taken = {atom: info.share for atom, info in enumerate(circuit.atoms) if info.share and info.share.variable == at}
    sure = np.eye(len(circuit.variables[at].prior)).tolist()
    return [
        (chance, {atom: share.of(one) for atom, share in taken.items()})
        for chance, one in zip(circuit.variables[at].prior, sure, strict=True)
    ]


def spread(reward: NumpyReward, probs: Floats, ids: NDArray[np.int32], question: int) -> NDArray[np.float64]:
    """How far the answers to a question put each row's reward apart [rows], all else as in `probs`; 0 where that is unknown."""
    probs = np.array(probs)
    rewards: list[Floats] = []
    for _, answer in outcomes(reward.circuit, question):
        for atom, value in answer.items():
            probs[:, atom] = value
        rewards.append(reward(probs, ids))
    table = np.array(rewards, np.float64)
    known = np.isfinite(table)
    low, high = np.where(known, table, np.inf).min(0), np.where(known, table, -np.inf).max(0)
    return np.where(known.sum(0) > 1, high - low, 0.0)


def _bounds(reward: NumpyReward, probs: Floats, ids: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """`NumpyReward.bounds` in chunks, whose working memory stays small."""
    if len(ids) <= _CHUNK:
        return reward.bounds(probs, ids)
    parts = [reward.bounds(probs[s : s + _CHUNK], ids[s : s + _CHUNK]) for s in range(0, len(ids), _CHUNK)]
    return np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts])
