"""What is a class worth before anything is fitted?

The rule of language.md, in one place: classes evenly spaced by rank from +1 (best) to −1 (worst), ties equal,
a single rank 0, propositions 0, features of rubrics 1, since their points say already what is good; then clipped into
what the author said of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from rbrlang.lang.program import ResponseType
from rbrlang.logic.bdd import Bdd
from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.logic.compile import CompiledResponse


def default_weight(
    kind: Literal["class", "proposition"], rank: int, ranks: int, bounds: tuple[float, float] = (-math.inf, math.inf),
    *, rubric: bool = False,
) -> float:  # fmt: skip
    """The weight of one feature; `rank` of so many `ranks` belongs to a class and is ignored otherwise."""
    low, high = bounds
    plain = 1.0 if rubric else 0.0 if kind != "class" or ranks == 1 else 1.0 - 2.0 * rank / (ranks - 1)
    return min(max(plain, low), high)


def default_weights(response: ResponseType) -> tuple[float, ...]:
    """The weights of a response type's features, in their order."""
    bounds = [(-math.inf, math.inf)] * len(response.features)
    for bound in response.bounds:
        bounds[bound.feature] = (bound.low, bound.high)
    return _weights(response, bounds)


def circuit_weights(circuit: Circuit) -> list[tuple[float, ...]]:
    """The weights of each response type's features, in their order."""
    return [_weights(response, response.bounds) for response in circuit.responses]


def _weights(response: ResponseType | ResponseCircuit, bounds: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    ranks = response.rank_of
    return tuple(
        default_weight(
            feature.kind,
            ranks[feature.index] if feature.kind == "class" else 0,
            len(response.ranks),
            bounds[number],
            rubric=feature.rubric,
        )
        for number, feature in enumerate(response.features)
    )


def expected_reward(
    bdd: Bdd, item: CompiledResponse, context: int, priors: Sequence[float],
    readings: Mapping[int, Sequence[tuple[float, int]]] = MappingProxyType({}),
) -> float:  # fmt: skip
    """The mean rule reward with default weights, of independent atoms with these priors, given the `context`.

    `readings` are, for each atom that is a reading, the worth of a value and the edge that says that the variable has it. Rubrics
    are left out: what they are worth is said by rows alone.
    """
    terms: list[tuple[float, int]] = []
    for feature, weight in zip(item.response.features, default_weights(item.response), strict=True):
        if feature.kind == "class":
            terms.append((weight, item.classes[feature.index]))
        elif feature.rubric:
            continue
        elif feature.index in readings:
            terms += [(weight * worth, edge) for worth, edge in readings[feature.index]]
        else:
            terms.append((weight, bdd.variable(feature.index)))
    shares = bdd.shares([edge for _, edge in terms], context, priors)
    return math.fsum(w * p for (w, _), p in zip(terms, shares, strict=True)) if shares is not None else 0.0
