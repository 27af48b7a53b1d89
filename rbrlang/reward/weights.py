"""Which weights does a policy have before it is fitted, and are these weights acceptable?

Default weights make a policy usable the moment it compiles: classes evenly spaced by rank from +1 (best)
to −1 (worst), ties equal, propositions 0; a single rank is worth 0, and the feature of a rubric 1. Weights that the author fixed keep
their value and the others are clipped into the author's bounds.

Worked example: ranks `ideal > {less_good, curt} > unacceptable` give 1, 0, 0, −1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbrlang.logic.circuit import Circuit
from rbrlang.logic.worth import circuit_weights

Weights = NDArray[np.float32]
"""[responses, max features], rows padded with 0."""


class WeightError(ValueError):
    """Weights that do not fit the policy; the message says where and how."""


def max_features(circuit: Circuit) -> int:
    """Number of columns of the weights: the most features of any response type."""
    return max((len(response.features) for response in circuit.responses), default=0)


def default_weights(circuit: Circuit) -> Weights:
    """Weights before any fit; see the module."""
    return stack_weights(circuit, circuit_weights(circuit))


def stack_weights(circuit: Circuit, rows: Sequence[Sequence[float]]) -> Weights:
    """One row per response type, as long as its features, padded to a table.

    Raises `WeightError` when the number of rows or the length of one is wrong.
    """
    if len(rows) != len(circuit.responses):
        raise WeightError(f"{len(rows)} rows of weights for {len(circuit.responses)} response types")
    table = np.zeros((len(rows), max_features(circuit)), np.float32)
    for number, (row, response) in enumerate(zip(rows, circuit.responses, strict=True)):
        if len(row) != len(response.features):
            raise WeightError(f"{len(row)} weights for the {len(response.features)} features of `{response.name}`")
        table[number, : len(row)] = row
    return checked_weights(circuit, table)


def checked_weights(circuit: Circuit, weights: ArrayLike) -> Weights:
    """The weights as float32 after checks.

    Raises `WeightError` for a wrong shape, a weight that is not finite or outside of the author's bounds,
    or padding that is not 0.
    """
    table = np.array(weights, np.float32)
    expected = (len(circuit.responses), max_features(circuit))
    if table.shape != expected:
        raise WeightError(f"weights have the shape {list(table.shape)}, this policy needs {list(expected)}")
    for row, response in zip(table.tolist(), circuit.responses, strict=True):
        used = len(response.features)
        for feature, bounds, weight in zip(response.features, response.bounds, row, strict=False):
            if not math.isfinite(weight):
                raise WeightError(f"the weight of `{feature.name}` for `{response.name}` is {weight}")
            # A bound such as 0.1 is no float32; a weight at the bound is then its nearest float32.
            low, high = (float(np.float32(bound)) for bound in bounds)
            if not low <= weight <= high:
                raise WeightError(
                    f"the weight of `{feature.name}` for `{response.name}` is {weight:g}, "
                    f"outside of the policy's bounds {bounds[0]:g} to {bounds[1]:g}"
                )
        if any(weight != 0.0 for weight in row[used:]):
            raise WeightError(f"`{response.name}` has {used} features but more weights than that are not 0")
    return table
