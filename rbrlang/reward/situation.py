"""What is said of one completion by hand, one thing after another, as numbers for its atoms?

What was not said is false; scales are at their lowest level and choices have their first option, as in tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rbrlang.logic.circuit import Circuit


def nothing(circuit: Circuit) -> list[float]:
    """Nothing was said yet."""
    probs = [0.0] * len(circuit.atoms)
    for number, variable in enumerate(circuit.variables):
        put(circuit, probs, number, variable.domain.values[variable.domain.default])
    return probs


def put(circuit: Circuit, probs: list[float], number: int, value: str | None) -> None:
    """Give a scale or a choice a value, None where nobody knows."""
    values = circuit.variables[number].domain.values
    for atom, info in enumerate(circuit.atoms):
        if info.share is not None and info.share.variable == number:
            probs[atom] = math.nan if value is None else info.share.of([float(value == one) for one in values])


def facts(circuit: Circuit, probs: Sequence[float]) -> dict[int, bool]:
    """The propositions that hold for certain, and all steps of scales and choices whose value is known."""
    found = {at: True for at, atom in enumerate(circuit.atoms) if atom.share is None and probs[at] == 1.0}
    for first, domain in circuit.domains:
        if not math.isnan(probs[first]):
            found |= {at: probs[at] == 1.0 for at in range(first, first + len(domain.values) - 1)}
    return found
