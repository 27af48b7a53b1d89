"""What do a grader's mistakes on propositions do to classes and ranking, and which question is worth mending?

The model: the grader answers each proposition yes or no, wrongly with the proposition's error rates,
independently of the others; a scale or a choice it answers with one value, by how often each is answered where the true one
holds. Then, for a row of known truth t,

- the chance of each answered class is **exact**: the diagram's value with P(yes) = 1 − fn where t holds and
  fp where it does not (one weighted model count a row);
- the ranking error of the reward, which is linear in all propositions, is **sampled**: seeded answers for
  every row, scored, and every comparison counted.

Answers that the axioms exclude are left out of both, as the reward leaves them out, and their share is told.

Then every question in turn is made perfect, all else and all random numbers alike: what the class
accuracy and the ranking error gain is what a better question for it could be worth at most.

Worked example: two propositions, classes `good := a & b`, `bad := otherwise`, fp = fn = 0.1 for both. A row
with both true is answered `good` with probability 0.81; with a perfect `a` it would be 0.9.

The rates are those of `learning.rates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import pair_errors
from rbrlang.learning.judging.rates import ErrorRate, ValueRates
from rbrlang.learning.sample import Sample, Samples
from rbrlang.learning.synthesis.synth import draw_class
from rbrlang.logic.bdd import deep_recursion
from rbrlang.logic.circuit import Circuit, Diagram
from rbrlang.logic.extremes import atom_order
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.shares import distribution
from rbrlang.told import Told

DRAWS = 200
_MOST_ROWS = 2_000
_MOST_ROW_DRAWS = 100_000
Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Worth(Told, called={"proposition": None, "accuracy": "class_accuracy"}):
    """What a perfect answer to one proposition would gain: class accuracy up, ranking error down."""

    proposition: str
    accuracy: float
    error: float | None


@dataclass(frozen=True, slots=True)
class ResponseNoise:
    """One response type under the grader's error rates.

    `confusion[k][c]`: share of the rows of class k answered as class c, None where no row has class k.
    `contradictory`: share of answers that the axioms exclude. `error` is that of base and rules, None
    without comparisons; `perfect_error` that without any mistake of the grader. `truth`: where the rows'
    truth comes from. `worth` is ordered by ranking error gained, then by class accuracy.
    """

    name: str
    classes: tuple[str, ...]
    rows: int
    truth: str
    contradictory: float
    accuracy: float
    confusion: tuple[tuple[float, ...] | None, ...]
    error: float | None
    perfect_error: float | None
    worth: tuple[Worth, ...]

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "rows": self.rows,
            "truth": self.truth,
            "contradictory": self.contradictory,
            "class_accuracy": self.accuracy,
            "confusion": {
                known: None if row is None else dict(zip(self.classes, row, strict=True))
                for known, row in zip(self.classes, self.confusion, strict=True)
            },
            "error": self.error,
            "perfect_error": self.perfect_error,
            "worth": {one.proposition: one.to_json() for one in self.worth},
        }


@dataclass(frozen=True, slots=True)
class Noise:
    """Error rates and what they imply, one entry per response type that has rows. `draws`: answers per row."""

    rates: tuple[ErrorRate, ...]
    responses: tuple[ResponseNoise, ...]
    draws: int
    seed: int
    values: tuple[ValueRates, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The entry `noise` of `rbrc eval --format json`."""
        return {
            "seed": self.seed,
            "draws": self.draws,
            "method": {"classes": "exact", "ranking": "sampled"},
            "rates": {rate.proposition: rate.to_json() for rate in self.rates},
            "values": {rate.domain.name: rate.to_json() for rate in self.values},
            "response_types": {response.name: response.to_json() for response in self.responses},
        }


def propagate(
    reward: NumpyReward,
    samples: Samples,
    rates: Sequence[ErrorRate],
    values: Sequence[ValueRates] = (),
    *,
    seed: int = 0,
) -> Noise:
    """What error rates imply for rows of known class, `samples` being those of `sample_rows`.

    `values` are the rates of the policy's scales and choices, in their order.

    The truth of a row is its labels; where no row of a response type has them all, one is drawn from the
    rules for the row's class, under the declared priors. Of more than 2,000 rows of a response type only
    those of some prompts, drawn by the seed, take part.
    """
    most = min(_MOST_ROWS, max((len(sample.rows) for sample in samples.samples), default=1))
    draws = min(DRAWS, _MOST_ROW_DRAWS // max(1, most))
    table = np.zeros((2, len(reward.circuit.atoms)))
    for number, rate in enumerate(rates):
        table[:, number] = rate.fp, rate.fn
    responses: list[ResponseNoise] = []
    for number, sample in enumerate(samples.samples):
        if len(sample.rows) == 0:
            continue
        rng = np.random.default_rng((seed, number))
        chosen, truth, source = _truth(reward.circuit, sample, samples.facts.labels[sample.rows], rng)
        kept = _some_prompts(sample.prompts[chosen], rng)
        chosen, truth = chosen[kept], truth[kept]
        if len(chosen):
            wrong = _wrong(reward.circuit, truth, table, values)
            responses.append(_Propagation(reward, number, sample, chosen, truth, wrong, draws, rng).result(source))
    return Noise(tuple(rates), tuple(responses), draws, seed, tuple(values))


def _wrong(circuit: Circuit, truth: Bits, rates: Floats, values: Sequence[ValueRates]) -> Floats:
    """The chance of a wrong answer [rows, atoms]; `rates` are fp and fn [2, atoms].

    Steps of a scale or a choice are answered one after the other, each given those before it: so the answered value is
    distributed as where the true one holds.
    """
    wrong = np.where(truth, rates[1], rates[0])
    for number, ((first, domain), of) in enumerate(zip(circuit.domains, values, strict=False)):
        steps = domain.steps(number)
        true = np.array(
            [domain.value(np.flatnonzero(row).tolist()) for row in truth[:, first : first + len(steps)]], int
        )
        chances = np.array([[step.of(row) for step in steps] for row in of.answered])[true].reshape(len(truth), -1)
        mine = slice(first, first + len(steps))
        wrong[:, mine] = np.where(truth[:, mine], 1.0 - chances, chances)
    return wrong


def _truth(
    circuit: Circuit, sample: Sample, labelled: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Bits, str]:
    """Which rows of a sample take part, and the truth of their atoms [rows, atoms]."""
    atoms = list(sample.response.atoms)
    known = np.isfinite(labelled[:, atoms]).all(axis=1)
    if known.any():
        return np.flatnonzero(known), np.nan_to_num(labelled[known]) > 0.5, "labels"
    truth = np.zeros((len(sample.rows), len(circuit.atoms)), np.bool_)
    drawn_for = np.zeros(len(sample.rows), np.bool_)
    for klass in np.unique(sample.classes).tolist():
        mine = np.flatnonzero(sample.classes == klass)
        drawn = draw_class(circuit, sample.response, klass, len(mine), rng)
        if drawn is not None:
            truth[mine], drawn_for[mine] = drawn[0], True
    return np.flatnonzero(drawn_for), truth[drawn_for], "drawn from the rules"


def _some_prompts(prompts: NDArray[np.int64], rng: np.random.Generator) -> Bits:
    """Which rows to keep, bool [rows]: all of some prompts, at least one and about as many as are affordable."""
    if len(prompts) <= _MOST_ROWS:
        return np.ones(len(prompts), np.bool_)
    numbers, sizes = np.unique(prompts, return_counts=True)
    order = rng.permutation(len(numbers))
    fits = np.cumsum(sizes[order]) <= _MOST_ROWS
    return np.isin(prompts, numbers[order[: max(1, int(fits.sum()))]])


class _Propagation:
    """One response type: exact class chances and sampled ranking, with any one proposition made perfect."""

    def __init__(
        self, reward: NumpyReward, number: int, sample: Sample, chosen: NDArray[np.int64], truth: Bits, wrong: Floats,
        draws: int, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.reward, self.number, self.sample, self.chosen, self.truth = reward, number, sample, chosen, truth
        self.response = sample.response
        self.flip = wrong  # chance of a wrong answer [rows, atoms]
        self.random = rng.random((len(chosen), draws, len(self.response.atoms)), np.float32)
        at = np.full(len(sample.rows), -1)
        at[chosen] = np.arange(len(chosen))
        pairs = sample.comparisons
        self.pairs = pairs.of((at[pairs.better] >= 0) & (at[pairs.worse] >= 0))
        self.better, self.worse = at[self.pairs.better], at[self.pairs.worse]
        self.known = self._classes(truth.astype(np.float64)).argmax(axis=1)

    def result(self, source: str) -> ResponseNoise:
        """Everything about this response type."""
        shares = self._shares(())
        accuracy, error = self._accuracy(shares), self._error(())
        worth: list[Worth] = []
        circuit = self.reward.circuit
        together: dict[str, list[int]] = {}
        for atom in self.response.atoms:
            if circuit.question_of(atom) is not None:
                together.setdefault(circuit.asked_about(atom), []).append(atom)
        for name, atoms in together.items():
            if not self.flip[:, atoms].any():
                continue
            better = self._error(atoms)
            worth.append(
                Worth(
                    name,
                    self._accuracy(self._shares(atoms)) - accuracy,
                    None if error is None or better is None else error - better,
                )
            )
        count = len(self.response.classes)
        possible = 1.0 - shares[:, count]
        each = shares[:, :count] / np.where(possible > 0, possible, 1.0)[:, None]
        return ResponseNoise(
            name=self.response.name,
            classes=self.response.classes,
            rows=len(self.chosen),
            truth=source,
            contradictory=float(self._contradictory().mean()),
            accuracy=accuracy,
            confusion=tuple(
                tuple(each[self.known == k].mean(axis=0).tolist()) if (self.known == k).any() else None
                for k in range(count)
            ),
            error=error,
            perfect_error=self._pair_error(self._rewards(self.truth)[:, None]),
            worth=tuple(sorted(worth, key=lambda w: (-(w.error or 0.0), -w.accuracy, w.proposition))),
        )

    def _classes(self, p: Floats) -> Floats:
        """Chance of each class, and last that of a contradiction, [rows, classes + 1], for P(yes) [rows, atoms]."""
        diagram = self.response.diagram
        count = len(self.response.classes)
        return np.stack([chance(diagram, k, p) for k in range(count)] + [chance(diagram, -1, p)], axis=1)

    def _contradictory(self) -> Floats:
        """Chance [rows] that the answers to what is asked leave nothing that all axioms allow, whatever they bear on.

        An axiom that no class depends on, directly or through others, speaks of other atoms than those that do. So it
        changes how often answers contradict, and not which class the others have.
        """
        p = np.where(self.truth, 1.0 - self.flip, self.flip)
        return 1.0 - possible(self.reward.circuit.axioms, frozenset(self.response.atoms), p)

    def _shares(self, perfect: Sequence[int]) -> Floats:
        """Exact chances of the answered classes [rows, classes + 1], with some atoms answered perfectly."""
        flip = self.flip.copy()
        flip[:, list(perfect)] = 0.0
        return self._classes(np.where(self.truth, 1.0 - flip, flip))

    def _accuracy(self, shares: Floats) -> float:
        right = shares[np.arange(len(shares)), self.known]
        possible = 1.0 - shares[:, -1]
        return float(np.divide(right, possible, out=np.zeros(len(right)), where=possible > 0).mean())

    def _error(self, perfect: Sequence[int]) -> float | None:
        """Sampled ranking error, with some atoms answered perfectly."""
        if len(self.pairs) == 0:
            return None
        atoms = list(self.response.atoms)
        flip = self.flip[:, atoms].astype(np.float32)
        flip[:, np.isin(atoms, list(perfect))] = 0.0
        rows, draws = self.random.shape[:2]
        answers = np.zeros((rows, draws, self.truth.shape[1]), np.bool_)
        answers[:, :, atoms] = self.truth[:, None, atoms] ^ (self.random < flip[:, None, :])
        return self._pair_error(self._rewards(answers.reshape(rows * draws, -1)).reshape(rows, draws))

    def _rewards(self, answers: Bits) -> Floats:
        """The rules' reward of answers [n, atoms]; NaN where the axioms exclude them. Each is scored once."""
        packed = np.packbits(answers, axis=1)
        words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
        _, first, back = np.unique(  # sorting numbers is ten times faster than sorting rows
            words[:, 0] if words.shape[1] == 1 else words,
            axis=None if words.shape[1] == 1 else 0, return_index=True, return_inverse=True,
        )  # fmt: skip
        distinct = answers[first].astype(np.float32)
        self._read(distinct)
        # Not asked of this response type, which is not the same as answered with no.
        distinct[:, sorted(set(range(distinct.shape[1])) - set(self.response.atoms))] = np.nan
        scored = self.reward(distinct, np.full(len(distinct), self.number, np.int32))
        return scored.astype(np.float64)[back.reshape(-1)]

    def _read(self, answers: NDArray[np.float32]) -> None:
        """Fill in what features take of the answered values: means and shares, [n, atoms]."""
        circuit = self.reward.circuit
        for number, (first, domain) in enumerate(circuit.domains):
            chance = distribution(circuit, number, answers)
            for atom, info in enumerate(circuit.atoms):
                of_feature = not first <= atom < first + len(domain.values) - 1
                if info.share is not None and info.share.variable == number and of_feature:
                    answers[:, atom] = chance @ np.array([worth or 0.0 for worth in info.share.worth])

    def _pair_error(self, rules: Floats) -> float | None:
        """Mean pair error of the rules' rewards [rows, draws] with the rows' base rewards added."""
        scores = rules + self.sample.base[self.chosen][:, None]
        total, count = 0.0, 0
        for draw in range(scores.shape[1]):
            column = np.full(len(self.sample.rows), np.nan)
            column[self.chosen] = scores[:, draw]
            wrong = pair_errors(column, self.pairs)
            known = wrong[np.isfinite(wrong)]
            total, count = total + float(known.sum()), count + len(known)
        return total / count if count else None


def chance(diagram: Diagram, terminal: int, p: Floats) -> Floats:
    """P(the diagram ends at `terminal`) [n] for independent atoms with P(true) `p` [n, atoms]."""
    values: list[Floats] = [np.full(len(p), float(t == terminal)) for t in diagram.terminals]
    for atom, low, high in diagram.nodes:
        values.append(values[low] + p[:, atom] * (values[high] - values[low]))
    return values[diagram.root]


def possible(axioms: Diagram, asked: frozenset[int], p: Floats) -> Floats:
    """P(what was not asked can be so that the axioms hold) [n] for independent answers with P(true) `p` [n, atoms]."""
    first = len(axioms.terminals)
    allowed = {at for at, terminal in enumerate(axioms.terminals) if terminal == 1}
    known: dict[frozenset[int], Floats] = {}
    place = {atom: at for at, atom in enumerate(atom_order((axioms,)))}

    def chance_of(nodes: frozenset[int]) -> Floats:
        """That some node of these, any of which the atoms that were not asked may lead to, ends where it is allowed."""
        nodes = frozenset(at for at in nodes if at >= first or at in allowed)
        if not nodes or nodes & allowed:
            return np.full(len(p), float(bool(nodes)))
        if nodes not in known:
            atom = min((axioms.nodes[at - first][0] for at in nodes), key=place.__getitem__)
            sides = [set[int](), set[int]()]
            for at in nodes:
                here = axioms.nodes[at - first]
                for side, child in zip(sides, here[1:] if here[0] == atom else (at, at), strict=True):
                    side.add(child)
            low, high = map(frozenset[int], sides)
            if atom in asked:
                below = chance_of(low)
                known[nodes] = below + p[:, atom] * (chance_of(high) - below)
            else:
                known[nodes] = chance_of(low | high)
        return known[nodes]

    with deep_recursion(3 * len(axioms.nodes) + 1000):
        return chance_of(frozenset({axioms.root}))


def most_worth(noise: Noise) -> tuple[tuple[str, float, float], ...]:
    """Propositions by what perfect answers would gain over all response types, weighted by rows.

    (proposition, ranking error gained, class accuracy gained), the best first; only those that gain.
    """
    rows = sum(response.rows for response in noise.responses)
    error: dict[str, float] = {}
    accuracy: dict[str, float] = {}
    for response in noise.responses:
        for one in response.worth:
            share = response.rows / rows
            error[one.proposition] = error.get(one.proposition, 0.0) + share * (one.error or 0.0)
            accuracy[one.proposition] = accuracy.get(one.proposition, 0.0) + share * one.accuracy
    found = [(name, error[name], accuracy[name]) for name in error]
    found = [one for one in found if one[1] > 0.0 or one[2] > 0.0]
    return tuple(sorted(found, key=lambda one: (-round(one[1], 9), -one[2], one[0])))
