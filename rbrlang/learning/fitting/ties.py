"""Which weights have to be equal?

Tied weights are one weight: their features are added up, their bounds intersected, and the one that is
fitted is written to each of them. Fewer weights need fewer comparisons, and a policy may want it so:
`insulting` and `threatening` shall cost the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.diagnostics import suggest
from rbrlang.logic.circuit import Circuit, ResponseCircuit

Vector = NDArray[np.float64]


class TieError(ValueError):
    """Weights that cannot be tied; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Features of one weight, in the response type named, or (None) in every one that has them all."""

    response: str | None
    features: tuple[str, ...]

    def __str__(self) -> str:
        names = "=".join(self.features)
        return names if self.response is None else f"{self.response}.{names}"


@dataclass(frozen=True, slots=True, eq=False)
class Tied:
    """For each feature the weight that it shares, int [F], and the box [weights] that is left to those."""

    group: NDArray[np.int64]
    low: Vector
    high: Vector

    def gather(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Features [n, F] added up by weight, [n, weights]."""
        if len(self.low) == len(self.group):
            return features
        return features @ (self.group[:, None] == np.arange(len(self.low))).astype(np.float64)

    def centre(self, defaults: Vector) -> Vector:
        """The mean of the default weights [F] that are tied, inside the box."""
        mean = np.bincount(self.group, defaults) / np.bincount(self.group)
        return np.clip(mean, self.low, self.high)

    def spread(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights [..., weights] written to every feature, [..., F]."""
        return weights[..., self.group]


def check_ties(circuit: Circuit, ties: Sequence[Tie]) -> None:
    """Raises `TieError` for a name that the policy does not have."""
    for tie in ties:
        if len(set(tie.features)) < 2:
            raise TieError(f"`{tie}` ties a weight to itself; name two features or more")
        if tie.response is not None and tie.response not in circuit.response_names:
            raise TieError(f"`{tie}`: " + _unknown("response type", tie.response, circuit.response_names))
        places = [r for r in circuit.responses if tie.response in (None, r.name)]
        names = {feature.name for response in places for feature in response.features}
        for feature in tie.features:
            if feature not in names:
                raise TieError(f"`{tie}`: " + _unknown("feature", feature, tuple(sorted(names))))
        if not any(set(tie.features) <= {f.name for f in r.features} for r in places):
            raise TieError(f"`{tie}`: no response type has all of these features, so there is nothing to tie")


def tied(response: ResponseCircuit, ties: Sequence[Tie]) -> Tied:
    """The weights of a response type under ties. Raises `TieError` when bounds contradict each other."""
    names = [feature.name for feature in response.features]
    leader = list(range(len(names)))
    for tie in ties:
        if tie.response in (None, response.name) and set(tie.features) <= set(names):
            members = {leader[names.index(feature)] for feature in tie.features}
            leader = [min(members) if at in members else at for at in leader]
    _, group = np.unique(np.array(leader, np.int64), return_inverse=True)
    bounds = np.array(response.bounds, np.float64).reshape(-1, 2)
    count = int(group.max(initial=-1)) + 1
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    np.maximum.at(low, group, bounds[:, 0])
    np.minimum.at(high, group, bounds[:, 1])
    for at in np.flatnonzero(low > high).tolist():
        shared = " = ".join(f"`{name}`" for name, of in zip(names, group.tolist(), strict=True) if of == at)
        raise TieError(
            f"the weights {shared} of `{response.name}` are tied, but the policy wants them at least {low[at]:g} and "
            f"at most {high[at]:g}; drop the tie or change the `weight` lines"
        )
    return Tied(group, low, high)


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    near = suggest(name, tuple(known))
    return f"no {kind} `{name}`; " + (f"did you mean `{near}`?" if near else f"there are {', '.join(known)}")
