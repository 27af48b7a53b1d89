"""Which pairs still matter near the optimum, and what do the others add?

Pairs far from the corner of the hinge keep their side in the last steps: those with a loss add one that is
linear in the weights, those without add nothing. Leaving them out makes the last steps cheap; what is found
is then compared with all pairs, and nothing is lost but time where one of them changed its side after all.

All of it is done for many refits to draws of the same pairs at once. They share the sides of all pairs at one
place, where what is linear adds up by group of pairs, once; each refit adds its own corrections.

Reference: Portnoy & Koenker, The Gaussian hare and the Laplacian tortoise, 1997, section 5 (for quantile regression).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.problem import AUTOMATIC_RIDGE, Matrix, Scaled, Vector, losses, total

GOOD_ENOUGH = {"hinge": 8e-5, "logistic": 1e-10}
"""A softplus is smooth: the last digits cost a step or two."""
LEAST = 0.1
"""In scaled units: below a tenth of the typical offset, gaps are measured against that."""
NEAREST = 1e-6
"""Of what the ridge costs: weights are then within a thousandth of the best ones, if losses decide nothing else."""
FAR = 1e5

Numbers = NDArray[np.int64]
Each = Vector | float
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """How much the pairs of each group count in R refits: `group` int [N] of every pair, `weights` [R, groups].

    In each refit the pairs' shares, times these, sum to 1, or to 0 where nothing was drawn.
    """

    group: Numbers
    weights: Matrix

    def some(self, refits: Numbers) -> Draws:
        """Those refits."""
        return Draws(self.group, self.weights[refits])


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Which pairs have a loss at some place, bool [N], and by group what they add while they have: `offset` [groups] − `pull` [groups, F]·u."""

    lost: Mask
    offset: Vector
    pull: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The pairs near the corner in each of R refits, and what all others add while they keep their side.

    `levers` D [R, F, K], `offsets` and `shares` [R, K]; where a refit has fewer than K pairs the last ones have no lever
    and no share. The others' loss is `offset` [R] − `pull` [R, F]·u. Even where one of them changes its side that is no
    more than their true loss, for a hinge lies above both its sides: a bound for the part is one for the whole.
    """

    levers: NDArray[np.float64]
    offsets: Matrix
    shares: Matrix
    offset: Vector
    pull: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A point u [F] of the box, its objective (exact loss plus ridge), and a bound that no other's goes below."""

    u: Vector
    objective: float
    bound: float


def sides_of(scaled: Scaled, draws: Draws, z: Vector) -> Sides:
    """The sides where the pairs' c − D·u is `z` [N]."""
    lost = z > 0.0
    offset = np.bincount(draws.group, scaled.shares * lost * scaled.offsets, draws.weights.shape[1])
    return Sides(lost, np.asarray(offset, np.float64), by_group(scaled, draws, lost))


def by_group(scaled: Scaled, draws: Draws, slopes: NDArray[Any]) -> Matrix:
    """Dᵀ(a·s) of the pairs of every group, [groups, F], for slopes s [N]."""
    pairs, shares, groups = scaled.pairs, scaled.shares * slopes, draws.weights.shape[1]
    if groups == 1:
        return pairs.pull(shares)[None]  # by completions, which are fewer
    columns = [
        np.bincount(draws.group, shares * (column[pairs.better] - column[pairs.worse]), groups)
        for column in np.ascontiguousarray(pairs.features.T)
    ]
    return np.asarray(np.stack(columns, axis=1), np.float64)


def parts_of(scaled: Scaled, draws: Draws, sides: Sides, near: Mask) -> Parts:
    """The pairs that are `near` in each refit, bool [N, R], each of them drawn, and all others on their side."""
    refit, pair = np.nonzero(near.T)
    counts = np.bincount(refit, minlength=len(draws.weights))
    place = np.arange(len(refit)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = len(counts), max(1, int(counts.max(initial=0)))
    offsets, shares, lost = np.zeros(size), np.zeros(size), np.zeros(size)
    levers = np.zeros((size[0], len(scaled.low), size[1]))
    levers[refit, :, place] = scaled.pairs.differences(pair)
    offsets[refit, place] = scaled.offsets[pair]
    shares[refit, place] = scaled.shares[pair] * draws.weights[refit, draws.group[pair]]
    lost[refit, place] = sides.lost[pair]
    lost *= shares
    offset = np.einsum("rg,g->r", draws.weights, sides.offset) - np.einsum("rk,rk->r", lost, offsets)
    pull = np.einsum("rg,gf->rf", draws.weights, sides.pull) - np.einsum("rk,rfk->rf", lost, levers)
    return Parts(levers, offsets, shares, offset, pull)


def strayed(scaled: Scaled, draws: Draws, z: Matrix, where: Mask) -> Vector:
    """By how much the loss [R] exceeds what pairs `where` [N, R] would add on their other side; `z` [N, R] is c − D·u."""
    refit, pair = np.nonzero(where.T)
    added = scaled.shares[pair] * draws.weights[refit, draws.group[pair]] * np.abs(z[pair, refit])
    return np.asarray(np.bincount(refit, added, len(draws.weights)), np.float64)


def ridge_of(scaled: Scaled, u: NDArray[np.float64]) -> Vector:
    """What the ridge adds at u [..., F], [...]."""
    return 0.5 * scaled.ridge * np.einsum("...f,...f->...", u, u)


def objective_of(scaled: Scaled, u: Vector, z: Vector) -> float:
    """Exact loss plus ridge at u, where the pairs' c − D·u is `z` [N]."""
    return total(scaled.shares, losses(z, scaled.loss, scaled.sharpness)) + float(ridge_of(scaled, u))


def left(scaled: Scaled, penalty: Each, objective: Each, bound: Each) -> Vector:
    """What better weights could save, each [R]. A ridge that nobody asked for is no loss: then no more than the loss itself.

    `penalty` is what the ridge adds.
    """
    gap = np.maximum(0.0, np.subtract(objective, bound))
    return gap if scaled.ridge > AUTOMATIC_RIDGE else np.minimum(gap, np.maximum(0.0, np.subtract(objective, penalty)))


def good_enough(scaled: Scaled, penalty: Each, objective: Each, bound: Each) -> Mask:
    """Whether what better weights could save is not worth looking for, [R]; see `left`.

    Where all pairs can be ordered, many weights cost nothing. Then those are looked for that stay nearest to the
    centre, as the ridge asks: they are the same whatever the way that led to them. So are those under a ridge that
    was asked for.
    """
    good = left(scaled, penalty, objective, bound) <= GOOD_ENOUGH[scaled.loss] * np.maximum(objective, LEAST)
    if scaled.loss == "hinge":
        unique = np.logical_or(scaled.ridge > AUTOMATIC_RIDGE, np.subtract(objective, penalty) <= penalty)
        good &= ~unique | (np.subtract(objective, bound) <= np.multiply(NEAREST, penalty))
    return np.asarray(good, np.bool_)


def lower_bound(scaled: Scaled, slopes: Vector, pull: Vector | None = None) -> float:
    """A value that the objective never goes below inside the box, for any `slopes` s [N] in 0 … 1.

    `ℓ(z) ≥ s·z − ℓ*(s)` for every s, so the objective is at least
    `Σ a (s·c − ℓ*(s)) + Σ_j min_{low ≤ u_j ≤ high} (½·ridge·u_j² − v_j·u_j)` with `v = Dᵀ(a·s)`, which `pull` is where it is
    known; ℓ* is 0 for the hinge and minus the binary entropy over the sharpness for the logistic loss.
    """
    if pull is None:
        pull = scaled.pairs.pull(scaled.shares * slopes)
    entropy = 0.0
    if scaled.loss == "logistic":
        p, q = np.clip(slopes, 1e-300, 1.0), np.clip(1.0 - slopes, 1e-300, 1.0)
        entropy = -(slopes * np.log(p) + (1.0 - slopes) * np.log(q)) / scaled.sharpness
    return total(scaled.shares, slopes * scaled.offsets + entropy) + float(lowest(scaled, pull))


def lowest(scaled: Scaled, pull: NDArray[np.float64]) -> Vector:
    """Σ_j min (½·ridge·u_j² − v_j·u_j) over the box, [...], for a `pull` v [..., F].

    Weights without a bound are taken to be at most `FAR` away: pulls that balance but for rounding would count for infinity.
    """
    low, high = np.maximum(scaled.low, -FAR), np.minimum(scaled.high, FAR)
    if scaled.ridge > 0.0:
        best = np.clip(pull / scaled.ridge, low, high)
        return np.sum(0.5 * scaled.ridge * best * best - pull * best, axis=-1)
    return -np.sum(np.where(pull > 0.0, pull * high, pull * low), axis=-1)
