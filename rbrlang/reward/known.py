"""What are the rule part and the classes of many rows of one response type whose probabilities are all known?

`single` for columns: what `evaluate` computes, by the same operations in the same order, so that the numbers are equal to
the last bit, which the tests check. Three things are left out that change none: interpolating between equal constants, as
most of a diagram is for one class; computing the mass that the axioms allow once for every class; and asking what an
unknown might change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.reward.algebra import Column, told
from rbrlang.reward.parts import class_values, reached_by

Floats = NDArray[np.float64]
_Ends = Callable[[int], tuple[NDArray[np.bool_], Floats]]
"""For an atom, whether its probability [batch] is above 1/2, and the signed distance to the nearer end: see `Atom`."""


class KnownRows:
    """One response type with its weights. `atoms` are those whose answers have to be known."""

    def __init__(self, circuit: Circuit, response: ResponseCircuit, weights: Sequence[float]) -> None:
        self._circuit, self._response = circuit, response
        self._values = class_values(response, weights)
        self._propositions = [(weights[j], f.index) for j, f in enumerate(response.features) if f.kind == "proposition"]
        self.atoms = tuple(sorted(reached_by(circuit, response)))

    def __call__(self, probs: Callable[[int], Floats], rows: int) -> tuple[Floats, list[Floats]]:
        """The rules' part [batch] and P(class), a column for each class; NaN where there is none.

        `probs` gives the probabilities [batch] of an atom; those that the axioms alone read may be NaN.
        """
        column = cache(probs)
        zero = np.zeros(rows)
        possible = self._possible(column)
        size = len(self._response.classes)
        units = [[1.0 if c == i else 0.0 for c in range(size)] for i in range(size)]
        wanted = units if self._values is None else [*units, self._values]
        found = [
            part if possible is None else np.where(possible, part, np.nan) for part in self._parts(wanted, column, zero)
        ]
        rules = zero if self._values is None else found.pop()
        for weight, atom in self._propositions:
            rules = rules + weight * column(atom)
        if possible is not None and self._values is None:
            rules = np.where(possible, rules, np.nan)
        return rules, found

    def _possible(self, column: Callable[[int], Floats]) -> NDArray[np.bool_] | None:
        """Whether the answers leave an assignment that the axioms allow; None where there are no axioms."""
        axioms = self._circuit.axioms
        if not axioms.nodes:
            return None

        @cache
        def sides(atom: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
            return ~(column(atom) >= 1.0), ~(column(atom) <= 0.0)

        values: list[Column] = [terminal == 1 for terminal in axioms.terminals]
        for atom, low, high in axioms.nodes:
            avoidable, possible = sides(atom)
            values.append((avoidable & values[low]) | (possible & values[high]))
        return values[axioms.root]

    def _parts(self, wanted: Sequence[Sequence[float]], column: Callable[[int], Floats], zero: Floats) -> list[Floats]:
        """`Σ_c values[c] · P(c)` [batch] for each of these values, NaN where the axioms allow no mass."""
        terminals = self._response.diagram.terminals
        if self._circuit.class_probability == "product":
            masses = self._products(column, zero)
            totals = [
                reduce(lambda x, y: x + y, (v * m for v, m in zip(values, masses, strict=True)), zero)
                for values in wanted
            ]
            return [_quotient(total, reduce(lambda x, y: x + y, masses, zero)) for total in totals]

        @cache
        def ends(atom: int) -> tuple[NDArray[np.bool_], Floats]:
            p = column(atom)
            upper = p > 0.5
            return upper, np.where(upper, p - 1.0, p)

        totals = [self._expected([values[c] if c >= 0 else 0.0 for c in terminals], ends) + zero for values in wanted]
        if -1 not in terminals:
            return totals
        mass = self._expected([1.0 if c >= 0 else 0.0 for c in terminals], ends) + zero
        return [_quotient(total, mass) for total in totals]

    def _expected(self, values: list[Column], ends: _Ends) -> Column:
        """`fold_nodes` with `lerp`, where `values` start as the terminals'."""
        for atom, low, high in self._response.diagram.nodes:
            at_low, at_high = values[low], values[high]
            if at_low is at_high or (type(at_low) is float and type(at_high) is float and at_low == at_high):
                values.append(at_low)
                continue
            upper, step = ends(atom)
            nearer = np.where(upper, at_high, at_low)
            nearer += step * (at_high - at_low)
            values.append(nearer)
        return values[self._response.diagram.root]

    def _products(self, column: Callable[[int], Floats], zero: Floats) -> list[Floats]:
        steps: list[Floats] = []
        for step in self._response.product.steps:
            if step.op == "atom":
                steps.append(column(step.args[0]))
            elif step.op == "not":
                steps.append(1.0 - steps[step.args[0]])
            else:
                steps.append(reduce(lambda x, y: x * y, (steps[i] for i in step.args), zero + 1.0))
        return [steps[i] for i in self._response.product.outputs]


def _quotient(total: Floats, mass: Floats) -> Floats:
    defined = told(np, mass)
    return np.where(defined, total / np.where(defined, mass, 1.0), np.nan)
