"""What are the rule part and the classes of one row whose probabilities are all known, in microseconds?

The same operations as `classes` performs on columns, in the same order, on plain Python floats: an array
call costs more than all the arithmetic of a row. Kept apart from the algebras for that reason alone, and
equal to them to the last bit, which the tests check.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from rbrlang.logic.circuit import Circuit, Diagram, ProductForm, ResponseCircuit
from rbrlang.reward.algebra import MARGIN
from rbrlang.reward.parts import class_values, reached_by

_LEAST = sys.float_info.min * MARGIN  # of a mass: see `algebra.told`


class SingleRow:
    """One response type with its weights, ready for one row at a time."""

    __slots__ = ("_axioms", "_kind", "_masses", "_propositions", "_units", "_values", "_weights", "atoms", "response")

    def __init__(self, circuit: Circuit, response: ResponseCircuit, weights: Sequence[float]) -> None:
        self._kind = circuit.class_probability
        self._axioms = circuit.axioms
        self.response = response
        self._weights = tuple(weights[: len(response.features)])
        self._values = class_values(response, weights)
        size = len(response.classes)
        self._units = [[1.0 if c == i else 0.0 for c in range(size)] for i in range(size)]
        terminals = response.diagram.terminals
        self._masses = [1.0 if c >= 0 else 0.0 for c in terminals] if -1 in terminals else None
        self._propositions = [(weights[j], f.index) for j, f in enumerate(response.features) if f.kind == "proposition"]
        self.atoms = tuple(reached_by(circuit, response))

    def value(self, probs: list[float]) -> float:
        """The rule part of the reward, NaN where it has none; every one of `atoms` must be known."""
        if not leaves_possible(self._axioms, probs):
            return math.nan
        total = 0.0 if self._values is None else self._class_part(probs, self._values)
        for weight, atom in self._propositions:
            total += weight * probs[atom]
        return total

    def class_probs(self, probs: list[float]) -> list[float]:
        """P(class) by rank, NaN where undefined; every one of `atoms` must be known."""
        if not leaves_possible(self._axioms, probs):
            return [math.nan] * len(self._units)
        return [self._class_part(probs, unit) for unit in self._units]

    def addends(self, probs: list[float]) -> list[float]:
        """`weight · φ` of every feature, NaN where undefined; every one of `atoms` must be known."""
        classes = self.class_probs(probs)
        return [
            weight * (classes[f.index] if f.kind == "class" else probs[f.index])
            for weight, f in zip(self._weights, self.response.features, strict=True)
        ]

    def _class_part(self, probs: list[float], values: list[float]) -> float:
        if self._kind == "product":
            total = mass = 0.0
            # Not `sum`, which since Python 3.12 rounds otherwise than adding one after another does.
            for value, part in zip(values, _products(self.response.product, probs), strict=True):
                total += value * part
                mass += part
        else:
            diagram = self.response.diagram
            total = _expected(diagram, [values[c] if c >= 0 else 0.0 for c in diagram.terminals], probs)
            if self._masses is None:
                return total
            mass = _expected(diagram, self._masses.copy(), probs)
        return total / mass if mass > _LEAST else math.nan


def leaves_possible(axioms: Diagram, probs: Sequence[float]) -> bool:
    """Whether the answers leave an assignment that the axioms allow; `evaluate.consistent` for one row."""
    values = [terminal == 1 for terminal in axioms.terminals]
    for atom, low, high in axioms.nodes:
        p = probs[atom]
        values.append((values[low] and not p >= 1.0) or (values[high] and not p <= 0.0))
    return values[axioms.root]


def _expected(diagram: Diagram, values: list[float], probs: list[float]) -> float:
    """`fold_nodes` with `lerp`; extends `values`, which start as the terminals'."""
    for atom, low, high in diagram.nodes:
        p, at_low, at_high = probs[atom], values[low], values[high]
        if p > 0.5:
            values.append(at_high + (p - 1.0) * (at_high - at_low))
        else:
            values.append(at_low + p * (at_high - at_low))
    return values[diagram.root]


def _products(form: ProductForm, probs: list[float]) -> list[float]:
    values: list[float] = []
    for step in form.steps:
        if step.op == "atom":
            values.append(probs[step.args[0]])
        elif step.op == "not":
            values.append(1.0 - values[step.args[0]])
        else:
            values.append(math.prod(values[i] for i in step.args))
    return [values[i] for i in form.outputs]
