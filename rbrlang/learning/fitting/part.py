"""Which pairs still matter near the optimum, and what do the others add?

Pairs far from the corner of the hinge keep their side in the last steps: those with a loss add one that is
linear in the weights, those without add nothing. Leaving them out makes the last steps cheap; what is found
is then compared with all pairs, and nothing is lost but time where one of them changed its side after all.

Reference: Portnoy & Koenker, The Gaussian hare and the Laplacian tortoise, 1997, section 5 (for quantile regression).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.problem import AUTOMATIC_RIDGE, Pairs, Scaled, Vector, losses, total

GOOD_ENOUGH = {"hinge": 8e-5, "logistic": 1e-10}
"""A softplus is smooth: the last digits cost a step or two."""
LEAST = 0.1
"""In scaled units: below a tenth of the typical offset, gaps are measured against that."""
NEAREST = 1e-6
"""Of what the ridge costs: weights are then within a thousandth of the best ones, if losses decide nothing else."""
FEWEST = 500
"""A part of this many pairs costs little more than a smaller one."""
FAR = 1e5


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The pairs `near` the corner as a problem `scaled` of their own, and what all others add while they keep their side.

    The others' loss is `offset − pull·u`. Even where one of them changes its side that is no more than their
    true loss, for a hinge lies above both its sides: a bound for the part is one for the whole.
    """

    scaled: Scaled
    near: NDArray[np.int64]
    offset: float
    pull: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A point u [F] of the box, its objective (exact loss plus ridge), and a bound that no other's goes below."""

    u: Vector
    objective: float
    bound: float


def part_of(scaled: Scaled, z: Vector, reach: float) -> Part:
    """The pairs within `reach` of the corner, `FEWEST` at least; `z` [N] are c − D·u of all pairs where u is now."""
    away = np.abs(z)
    reach = max(reach, float(np.partition(away, FEWEST)[FEWEST])) if len(z) > FEWEST else np.inf
    near = np.flatnonzero(away <= reach)
    if len(near) == len(z):
        return Part(scaled, near, 0.0, np.zeros(len(scaled.low)))
    pairs, lost = scaled.pairs, np.where(z > reach, scaled.shares, 0.0)
    some = replace(
        scaled,
        pairs=Pairs(pairs.features, pairs.better[near], pairs.worse[near]),
        offsets=scaled.offsets[near],
        shares=scaled.shares[near],
    )
    return Part(some, near, total(lost, scaled.offsets), pairs.pull(lost))


def ridge_of(scaled: Scaled, u: Vector) -> float:
    """What the ridge adds at u."""
    return 0.5 * scaled.ridge * float(u @ u)


def objective_of(scaled: Scaled, u: Vector, z: Vector) -> float:
    """Exact loss plus ridge at u, where the pairs' c − D·u is `z` [N]."""
    return total(scaled.shares, losses(z, scaled.loss, scaled.sharpness)) + ridge_of(scaled, u)


def objective_of_part(part: Part, u: Vector, z: Vector) -> float:
    """The objective while the other pairs keep their side; `z` of the near ones."""
    return objective_of(part.scaled, u, z) + part.offset - float(part.pull @ u)


def left(scaled: Scaled, u: Vector, objective: float, bound: float) -> float:
    """What better weights could save. A ridge that nobody asked for is no loss: then no more than the loss itself."""
    gap = max(0.0, objective - bound)
    if scaled.ridge > AUTOMATIC_RIDGE:
        return gap
    return min(gap, max(0.0, objective - ridge_of(scaled, u)))


def good_enough(scaled: Scaled, u: Vector, objective: float, bound: float) -> bool:
    """Whether what better weights could save is not worth looking for.

    Where all pairs can be ordered, many weights cost nothing. Then those are looked for that stay nearest to the
    centre, as the ridge asks: they are the same whatever the way that led to them. So are those under a ridge that
    was asked for.
    """
    penalty = ridge_of(scaled, u)
    unique = scaled.ridge > AUTOMATIC_RIDGE or objective - penalty <= penalty
    if scaled.loss == "hinge" and unique and objective - bound > NEAREST * penalty:
        return False
    return left(scaled, u, objective, bound) <= GOOD_ENOUGH[scaled.loss] * max(objective, LEAST)


def lower_bound(scaled: Scaled, slopes: Vector) -> float:
    """A value that the objective never goes below inside the box, for any `slopes` s [N] in 0 … 1.

    `ℓ(z) ≥ s·z − ℓ*(s)` for every s, so the objective is at least
    `Σ a (s·c − ℓ*(s)) + Σ_j min_{low ≤ u_j ≤ high} (½·ridge·u_j² − v_j·u_j)` with `v = Dᵀ(a·s)`;
    ℓ* is 0 for the hinge and minus the binary entropy over the sharpness for the logistic loss. Weights without
    a bound are taken to be at most `FAR` away: pulls that balance but for rounding would count for infinity.
    """
    whole = Part(scaled, np.arange(len(slopes)), 0.0, np.zeros(len(scaled.low)))
    return bound_of(whole, slopes, scaled.pairs.pull(scaled.shares * slopes))


def bound_of(part: Part, slopes: Vector, pull: Vector) -> float:
    """`lower_bound` of all pairs, from the slopes of the near ones and the `pull` [F] of all."""
    scaled = part.scaled
    low, high = np.maximum(scaled.low, -FAR), np.minimum(scaled.high, FAR)
    if scaled.ridge > 0.0:
        best = np.clip(pull / scaled.ridge, low, high)
        least = 0.5 * scaled.ridge * best * best - pull * best
    else:
        least = -np.where(pull > 0.0, pull * high, pull * low)
    entropy = 0.0
    if scaled.loss == "logistic":
        p, q = np.clip(slopes, 1e-300, 1.0), np.clip(1.0 - slopes, 1e-300, 1.0)
        entropy = -(slopes * np.log(p) + (1.0 - slopes) * np.log(q)) / scaled.sharpness
    return part.offset + total(scaled.shares, slopes * scaled.offsets + entropy) + float(np.sum(least))
