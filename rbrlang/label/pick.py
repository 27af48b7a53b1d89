"""Which unit is asked next?

Prompts are divided once, by the seed: a share of them, drawn at random, is asked about in random order, and stands for all rows, however the
others are chosen; so it gives honest estimates, and shares no prompt with the rest. The rest comes by promise, greatest first:

- **uncertain**: how close the grader's two likeliest answers are; of a pair, how close the rewards of its completions.
- **influential**: how far the rewards of the row's possible answers to this question lie apart, all others being as the grader says; of a pair
  as above.

Random order is stratified: every beginning holds response types in proportion.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.lazy import spread
from rbrlang.label.questions import Desk, Unit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rubrics import marked, weighed
from rbrlang.rows.read import Row

Pick = Literal["random", "uncertain", "influential"]
PICKS: tuple[Pick, ...] = ("random", "uncertain", "influential")


@dataclass(frozen=True)
class Grader:
    """What a grader says: the rows as it graded them, and the reward that follows."""

    desk: Desk
    rows: Sequence[Row]
    reward: NumpyReward

    @cached_property
    def probs(self) -> NDArray[np.float32]:
        """Of the atoms [rows, atoms]; NaN = unknown."""
        return self.reward.encode(self.rows)

    @cached_property
    def rewards(self) -> NDArray[np.float32]:
        """The rules' reward [rows]; NaN = unknown."""
        return self.reward(self.probs, np.array(self.desk.ids, np.int32))

    def chances(self, unit: Unit) -> Mapping[str, float] | None:
        """How likely each answer is; None where the grader says nothing, and of a pair."""
        question, row = self.desk.questions[unit.question], self.rows[unit.row]
        match question.kind:
            case "yes_no":
                p = row.probs.get(question.name)
            case "criterion":
                circuit = self.desk.policy.circuit
                p = marked(circuit.rubrics[question.number - len(circuit.propositions)], row).p[unit.place]
            case "scale" | "choice":
                said = {value: row.probs.get(f"{question.name}.{value}") for value in question.values}
                return None if set(said.values()) == {None} else {value: p or 0.0 for value, p in said.items()}
            case "better":
                return None
            case _:
                assert_never(question.kind)
        return None if p is None else {"yes": p, "no": 1.0 - p}

    def likeliest(self, unit: Unit) -> str | None:
        """The grader's answer: the likeliest, of a pair the completion with the higher reward; None where it has none."""
        if unit.place >= 0 and self.desk.questions[unit.question].kind == "better":
            first, second = self.rewards[unit.row], self.rewards[unit.place]
            return "first" if first > second else "second" if second > first else None
        chances = self.chances(unit)
        return None if chances is None else max(chances, key=chances.__getitem__)

    def told(self, unit: Unit) -> str:
        """The grader's answer in words."""
        if self.desk.questions[unit.question].kind == "better":
            both = [float(self.rewards[row]) for row in (unit.row, unit.place)]
            first, second = (f"{one:.2f}" if np.isfinite(one) else "unknown" for one in both)
            return f"rewards of the rules: first {first}, second {second}"
        chances = self.chances(unit)
        return "no answer" if chances is None else ", ".join(f"{value} {p:.2f}" for value, p in chances.items())

    def promise(self, pick: Pick) -> dict[str, float]:
        """What each unit promises, 0 where nothing is known."""
        if pick == "influential":
            spread = {
                number: self._spread(number)
                for number in {self.desk.questions[at].number for at in self.desk.of_question} - {-1}
            }
        else:
            spread = {}
        return {unit.key: self._promise(unit, pick, spread) for unit in self.desk.units}

    def _promise(self, unit: Unit, pick: Pick, spread: Mapping[int, NDArray[np.float64]]) -> float:
        question = self.desk.questions[unit.question]
        if question.kind == "better":
            apart = abs(float(self.rewards[unit.row]) - float(self.rewards[unit.place]))
            return 1.0 / (1.0 + apart) if np.isfinite(apart) else 0.0
        if pick == "influential":
            worth = float(spread[question.number][unit.row])
            return worth * self._points(unit) if question.kind == "criterion" else worth
        chances = self.chances(unit)
        if chances is None:
            return 0.0
        best, second, *_ = sorted(chances.values(), reverse=True)
        return 1.0 - (best - second)

    def _spread(self, question: int) -> NDArray[np.float64]:
        """By row, how far answers to a question move the reward; of a criterion, what the whole rubric is worth."""
        circuit, ids = self.desk.policy.circuit, np.array(self.desk.ids, np.int32)
        if len(circuit.propositions) <= question < circuit.first_variable:
            rubric = question - len(circuit.propositions)
            atoms = [at for at, atom in enumerate(circuit.atoms) if atom.rubric is not None]
            mine = [at for at, atom in enumerate(atoms) if (circuit.atoms[atom].rubric or (-1,))[0] == rubric]
            worth = np.abs(weighed(circuit, self.reward.weights))[:, mine].max(1)
            return np.where(ids >= 0, worth[np.maximum(ids, 0)], 0.0)
        return spread(self.reward, self.probs, ids, question)

    def _points(self, unit: Unit) -> float:
        circuit = self.desk.policy.circuit
        number = self.desk.questions[unit.question].number - len(circuit.propositions)
        found = marked(circuit.rubrics[number], self.rows[unit.row])
        return abs(found.criteria[unit.place].points) / found.over


@dataclass(frozen=True)
class Order:
    """The order of units for a seed, the same for every annotator. Where nothing was ever `picked` all rows are drawn at random."""

    desk: Desk
    seed: int
    share: float
    picked: bool
    pick: Pick
    promise: Mapping[str, float]

    @cached_property
    def honest(self) -> tuple[bool, ...]:
        """Whether each row belongs to the share that is drawn at random."""
        if not self.picked:
            return (True,) * len(self.desk.rows)
        return tuple(
            self._drawn("share", row.prompt_key if row.prompt else row.id) < self.share for row in self.desk.rows
        )

    @cached_property
    def by_completion(self) -> tuple[Unit, ...]:
        """All units, those of a row together."""
        return self._ordered(self.desk.units)

    def of(self, question: int) -> tuple[Unit, ...]:
        """The units of a question."""
        return self._ordered(self.desk.of_question.get(question, ()))

    def _ordered(self, units: Sequence[Unit]) -> tuple[Unit, ...]:
        of_row: defaultdict[int, list[Unit]] = defaultdict(list)
        for unit in units:
            of_row[unit.row].append(unit)
        best = {row: max(self.promise.get(unit.key, 0.0) for unit in mine) for row, mine in of_row.items()}
        return tuple(unit for row in self._rows(best) for unit in of_row[row])

    def _rows(self, promise: Mapping[int, float]) -> list[int]:
        drawn = {row: self._drawn("order", self.desk.rows[row].id) for row in promise}
        honest = self._stratified([row for row in promise if self.honest[row]], drawn)
        others = sorted((row for row in promise if not self.honest[row]), key=lambda row: (-promise[row], drawn[row]))
        found: list[int] = []
        left = {True: honest[::-1], False: others[::-1]}
        while left[True] or left[False]:
            turn = self._drawn("turn", str(len(found))) < self.share
            found.append(left[turn if left[turn] else not turn].pop())
        return found

    def _stratified(self, rows: Sequence[int], drawn: Mapping[int, float]) -> list[int]:
        strata: defaultdict[int, list[int]] = defaultdict(list)
        for row in sorted(rows, key=drawn.__getitem__):
            strata[self.desk.ids[row]].append(row)
        places = {row: (at + 0.5) / len(mine) for mine in strata.values() for at, row in enumerate(mine)}
        return sorted(places, key=lambda row: (places[row], drawn[row]))

    def _drawn(self, what: str, name: str) -> float:
        data = f"{self.seed}\x1f{what}\x1f{name}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.sha256(data).digest()[:8]) / 2**64
