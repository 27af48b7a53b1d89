"""What would the rewards be on average, had the grader made no mistakes?

A grader that says yes of what is false with probability fp, and no of what is true with fn, has answers whose mean is not the
truth. `(answer − fp) / (1 − fp − fn)` has that mean (the backward correction of arXiv 2510.00915, section 4), and lies outside
0 to 1. The rule reward is linear in every proposition, so with such numbers in the place of answers its mean is the reward of
the truth, where mistakes are independent of one another given the truth and the rates are right. It is no better row by row:
what is unbiased is spread more widely. That is told too: for truth values the square of the reward is linear in every
proposition as well, so the reward squared, less its own correction, has the variance as its mean.

Answers are yes from P(yes) = 0.5 up, which is where `rbrc agree` measures the rates. Where the reward is a quotient (axioms,
`class_probability = product`) or reads a scale or a choice, no such correction is exact, and there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.trust.assessment import THRESHOLD
from rbrlang.learning.judging.rates import ErrorRate
from rbrlang.logic.circuit import Circuit, Diagram, ResponseCircuit
from rbrlang.reward.parts import class_values, reached_by
from rbrlang.reward.weights import Weights

Floats = NDArray[np.float64]
_LEAST = 0.1  # of 1 − fp − fn: below, a single answer would count for more than ten


class CorrectionError(ValueError):
    """Rates that cannot correct this reward; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """Rewards [batch] whose mean is that of the truth, and an estimate of the variance of each [batch], which may be below 0
    for a single row. NaN where a proposition that the response type reads has no answer."""

    total: Floats
    variance: Floats


class Correction:
    """A policy with its weights and the error rates of its grader. Raises `CorrectionError`."""

    def __init__(self, circuit: Circuit, weights: Weights, rates: Sequence[ErrorRate]) -> None:
        if circuit.axioms.nodes:
            raise CorrectionError("a policy with axioms divides by what they allow, and no correction of that is exact")
        if circuit.class_probability == "product":
            raise CorrectionError(
                "the policy takes class probabilities as a product, which divides; compile it with `--class-probability exact`"
            )
        if circuit.variables:
            raise CorrectionError("the policy has scales or choices, whose mistakes are not of yes and no")
        self._circuit, self._weights = circuit, weights.astype(np.float64)
        self._rates = {rate.proposition: rate for rate in rates}
        read = {atom for response in circuit.responses for atom in reached_by(circuit, response)}
        self._asked = [at for at, atom in enumerate(circuit.atoms) if atom.asked and at in read]
        for at in self._asked:
            rate = self._rates[circuit.atoms[at].name]
            if 1.0 - rate.fp - rate.fn < _LEAST:
                raise CorrectionError(
                    f"of `{rate.proposition}` the grader knows next to nothing (yes in {rate.fp:.0%} of what is false, no in "
                    f"{rate.fn:.0%} of what is true); mend the question, or leave it out of the rules"
                )

    @property
    def declared(self) -> tuple[str, ...]:
        """Propositions of which at least one rate is the policy's own, not measured."""
        names = [self._circuit.atoms[at].name for at in self._asked]
        return tuple(name for name in names if self._rates[name].source != "measured")

    def __call__(self, atoms: NDArray[np.floating], ids: NDArray[np.integer], base: Floats) -> Corrected:
        """atoms [batch, atoms], ids [batch] of response types, base [batch]."""
        given = atoms.astype(np.float64)
        for at in self._asked:
            rate = self._rates[self._circuit.atoms[at].name]
            answer = np.where(np.isnan(given[:, at]), np.nan, given[:, at] >= THRESHOLD)
            given[:, at] = (answer - rate.fp) / (1.0 - rate.fp - rate.fn)
        total, variance = np.full(len(ids), np.nan), np.full(len(ids), np.nan)
        for number, response in enumerate(self._circuit.responses):
            mine = np.flatnonzero(ids == number)
            total[mine], variance[mine] = self._of_type(response, self._weights[number], given[mine])
        return Corrected(total + base, variance)

    def _of_type(self, response: ResponseCircuit, weights: Floats, q: Floats) -> tuple[Floats, Floats]:
        values = class_values(response, weights.tolist()) or [0.0] * len(response.classes)
        of_classes = _fold(response.diagram, values, q)
        linear = {
            f.index: float(weights[j]) for j, f in enumerate(response.features) if f.kind == "proposition"
        }  # fmt: skip
        said = {atom: weight for atom, weight in linear.items() if self._circuit.atoms[atom].asked}
        added = sum((weight * q[:, atom] for atom, weight in said.items()), np.zeros(len(q)))
        fixed = sum((weight * q[:, atom] for atom, weight in linear.items() if atom not in said), np.zeros(len(q)))
        # The square of what answers decide, as it is for truth values, and so linear in each of them.
        square = _fold(response.diagram, [value * value for value in values], q)
        for atom, weight in said.items():
            known = q.copy()
            known[:, atom] = 1.0
            rest = added - weight * q[:, atom]
            square += weight * q[:, atom] * (2.0 * _fold(response.diagram, values, known) + rest + weight)
        return of_classes + added + fixed, (of_classes + added) ** 2 - square


def _fold(diagram: Diagram, values: Sequence[float], q: Floats) -> Floats:
    """The diagram [batch] with a number for each class, linear in every atom: q [batch, atoms] may be any numbers."""
    found = [np.full(len(q), values[terminal]) for terminal in diagram.terminals]
    for atom, low, high in diagram.nodes:
        found.append(found[low] + q[:, atom] * (found[high] - found[low]))
    return found[diagram.root]
