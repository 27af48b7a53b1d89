"""What exactly is minimised when weights are fitted?

Over weights w inside a box `low ≤ w ≤ high`:

    Σ_p a_p · ℓ(c_p − D_p · w)  +  ½ · ridge · |w − centre|²

with D_p the feature differences of pair p, better − worse; c_p its margin less the base reward's own
gap; a_p its share (they sum to 1); ℓ the positive part (hinge) or softplus (logistic). With the hinge
and without ridge this is a linear program. The centre is where weights stay that no pair speaks of.

D is never formed: a completion takes part in many pairs, so it costs less to score the completions and
subtract, and memory grows with completions rather than with pairs times features.

Solvers work on the *scaled* problem, u = (w − centre) / scale with the typical |c| as scale, so that
widths and tolerances mean the same for any reward model. The hinge scales with its argument; softplus
becomes `softplus(sharpness · z) / sharpness`, of sharpness `scale`; for huge scales that is the hinge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

Loss = Literal["hinge", "logistic"]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

AUTOMATIC_RIDGE = 1e-7
"""In scaled units: enough to make the solution unique, too little to be seen in the loss."""

FLOPS = 200_000
"""Products of more multiplications are spread over threads by the BLAS, which on a busy machine wait for each other."""

CHUNK = 65_536
"""Pairs whose differences are formed at once."""

HINGE_LIKE = 1e4
"""A softplus of this sharpness is within 7e-5 of the hinge, and is solved as one."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Features [n, F] of completions, and which is better and worse in each pair, int [N]."""

    features: Matrix
    better: NDArray[np.int64]
    worse: NDArray[np.int64]

    # Not `@`: these products are too thin to gain from the threads of a BLAS, which on a busy machine wait
    # for each other (measured on two contended cores, 18,448 × 28: 0.25 ms against 12 ms).

    def gaps(self, weights: Matrix) -> Matrix:
        """D·w: how far the better completion of every pair leads, [N]; [N, R] for R columns of weights [F, R]."""
        if weights.ndim == 2 and weights.shape[1] == 1:
            return self.gaps(weights[:, 0])[:, None]  # several times faster
        scores = np.einsum("nf,f...->n...", self.features, weights)
        return scores[self.better] - scores[self.worse]

    def pull(self, multipliers: Matrix) -> Matrix:
        """Dᵀ·m for multipliers m [N]: one number a feature, [F]; [F, R] for R columns of them."""
        count = len(self.features)
        if multipliers.ndim == 1:
            each = np.bincount(self.better, multipliers, count) - np.bincount(self.worse, multipliers, count)
            return np.einsum("n,nf->f", each, self.features)
        if multipliers.shape[1] == 1:
            return self.pull(multipliers[:, 0])[:, None]
        many = multipliers.shape[1]
        own, flat = np.arange(many), multipliers.ravel()
        better, worse = ((of[:, None] * many + own).ravel() for of in (self.better, self.worse))
        each = np.bincount(better, flat, count * many) - np.bincount(worse, flat, count * many)
        return np.einsum("nr,nf->fr", each.reshape(count, many), self.features)

    def gram(self, of: NDArray[np.int64], weights: Vector) -> Matrix:
        """Σ w·d·dᵀ over the rows d [F] of D for pairs of those numbers, with their weights."""
        found = np.zeros((self.features.shape[1],) * 2)
        for start in range(0, len(of), CHUNK):
            found += gram(self.differences(of[start : start + CHUNK]), weights[start : start + CHUNK])
        return found

    def differences(self, of: NDArray[np.int64]) -> Matrix:
        """The rows of D for pairs of those numbers."""
        return self.features[self.better[of]] - self.features[self.worse[of]]


@dataclass(frozen=True, slots=True, eq=False)
class Levers:
    """Few pairs, of which D [N, F] is formed; for the same questions."""

    rows: Matrix

    def gaps(self, weights: Matrix) -> Matrix:
        """D·w for columns of weights [F, R], [N, R]."""
        return np.einsum("nf,fr->nr", self.rows, weights)

    def pull(self, multipliers: Matrix) -> Matrix:
        """Dᵀ·m for columns of multipliers [N, R], [F, R]."""
        return np.einsum("nr,nf->fr", multipliers, self.rows)

    def gram(self, of: NDArray[np.int64], weights: Vector) -> Matrix:
        """Σ w·d·dᵀ over the rows d [F] of those numbers, with their weights."""
        return gram(self.rows[of], weights)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Pairs with offsets c and shares a [N], and the box of the weights [F]; `ridge` None asks for the automatic one.

    The centre lies inside the box; a weight is fixed where low = high.
    """

    pairs: Pairs
    offsets: Vector
    shares: Vector
    low: Vector
    high: Vector
    centre: Vector
    ridge: float | None
    loss: Loss


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """A problem around its centre, in its own units: u = 0 is the centre. `low ≤ 0 ≤ high`."""

    pairs: Pairs
    offsets: Vector
    shares: Vector
    low: Vector
    high: Vector
    ridge: float
    scale: float
    sharpness: float
    loss: Loss


def to_scaled(problem: Problem) -> Scaled:
    """The problem in its own units. Columns of fixed weights become zero, so that none of them moves."""
    pairs = problem.pairs
    offsets = problem.offsets - pairs.gaps(problem.centre)
    scale = total(problem.shares, np.abs(offsets))
    scale = scale if scale > 0.0 else 1.0
    return Scaled(
        pairs=Pairs(pairs.features * (problem.low < problem.high), pairs.better, pairs.worse),
        offsets=offsets / scale,
        shares=problem.shares,
        low=(problem.low - problem.centre) / scale,
        high=(problem.high - problem.centre) / scale,
        ridge=AUTOMATIC_RIDGE if problem.ridge is None else problem.ridge * scale,
        scale=scale,
        sharpness=scale,
        loss="hinge" if scale > HINGE_LIKE else problem.loss,
    )


def from_scaled(problem: Problem, scaled: Scaled, u: Vector) -> Vector:
    """Weights inside the box, exactly: rounding must not push one across its bound."""
    weights = problem.centre + scaled.scale * np.clip(u, scaled.low, scaled.high)
    return np.clip(weights, problem.low, problem.high)


def pair_loss(problem: Problem, weights: Vector) -> float:
    """Mean loss of the pairs under weights [F], without ridge or smoothing."""
    return total(problem.shares, losses(problem.offsets - problem.pairs.gaps(weights), problem.loss))


def losses(z: Vector, loss: Loss, sharpness: float = 1.0) -> Vector:
    """ℓ(z) for each pair; for the logistic loss `softplus(sharpness · z) / sharpness`."""
    match loss:
        case "hinge":
            return np.maximum(0.0, z)
        case "logistic":
            return np.logaddexp(0.0, sharpness * z) / sharpness
        case _:
            assert_never(loss)


def total(shares: Vector, values: Vector) -> float:
    """Σ_p a_p · value_p."""
    return float(np.sum(shares * values))


def gram(levers: Matrix, weights: Vector) -> Matrix:
    """Σ w·d·dᵀ over the rows d [F] of the levers, in products too small for threads."""
    count, width = levers.shape
    if count * width * width <= FLOPS:
        return levers.T @ (levers * weights[:, None])
    rows = max(1, FLOPS // max(1, width * width))
    whole = count - count % rows
    weighed = levers * weights[:, None]
    blocks, those = levers[:whole].reshape(-1, rows, width), weighed[:whole].reshape(-1, rows, width)
    return np.matmul(blocks.transpose(0, 2, 1), those).sum(axis=0) + levers[whole:].T @ weighed[whole:]
