"""Which weights have the least hinge loss, exactly, and what proves it?

With the hinge, ridge and box the problem is a convex quadratic program. A primal-dual interior-point method
takes a dozen steps, whatever the data, and carries the proof along: the slopes of the pairs' losses are its
dual variables. In the notation of `problem`, with slack t for the loss of a pair and y = t − z for what is
left of it, where z = c − D·u, and with s for its slope:

    min  Σ a·t + ½·ridge·|u|²,   t ≥ 0, y ≥ 0, low ≤ u ≤ high
    y·s = δ,  t·(1 − s) = δ,  ridge·u = Dᵀ(a·s) + λ_low − λ_high        and δ → 0

Every step solves for the weights alone. A nearly optimal u says almost everything else: for given z and δ
the two products fix y, t and s, and the start is well centred.

Reference: Mehrotra, On the implementation of a primal-dual interior point method, 1992; Portnoy & Koenker,
The Gaussian hare and the Laplacian tortoise, 1997 (for quantile regression, a cousin of this problem).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.part import Finished, Part, bound_of, good_enough, objective_of_part
from rbrlang.learning.fitting.problem import Matrix, Vector, gram

START = 0.1
"""δ at the start, in scaled units: about as far as pairs still move."""
STEPS = 80
ALMOST = 0.99
"""Share of the way to the border that a step may go."""
INSIDE = 0.01
STEADY = 1e-13
SETTLED = 1e-15


@dataclass(frozen=True, slots=True, eq=False)
class _Fixed:
    """What does not change: levers D [N, F] and shares a [N] of the near pairs, for the free weights; their box.

    `weight` is what one bound counts beside the pairs, `has_low`, `has_high` where there is one.
    """

    levers: Matrix
    shares: Vector
    ridge: float
    weight: float
    has_low: NDArray[np.bool_]
    has_high: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """Primal u [F], t, y [N], room to the bounds `below`, `above` [F]; dual s [N], `low`, `high` [F]."""

    u: Vector
    t: Vector
    y: Vector
    s: Vector
    below: Vector
    above: Vector
    low: Vector
    high: Vector

    def moved(self, step: _Point, length: float) -> _Point:
        """The point that far along a step."""
        return _Point(
            self.u + length * step.u, self.t + length * step.t, self.y + length * step.y, self.s + length * step.s,
            self.below + length * step.below, self.above + length * step.above,
            self.low + length * step.low, self.high + length * step.high,
        )  # fmt: skip


def interior(part: Part, start: Vector) -> Finished:
    """Finish a `start` [F] inside the box; of a part, its objective and bound. Hinge only."""
    scaled = part.scaled
    free = scaled.low < scaled.high
    fixed = _Fixed(
        levers=scaled.pairs.differences(np.arange(len(part.near)))[:, free],
        shares=scaled.shares,
        ridge=scaled.ridge,
        weight=1.0 / max(1, len(free)),
        has_low=np.isfinite(scaled.low[free]),
        has_high=np.isfinite(scaled.high[free]),
    )
    low, high = scaled.low[free], scaled.high[free]
    point = _start(fixed, scaled.offsets, start[free], low, high)
    best, least, bound = start, np.inf, 0.0  # no loss is negative
    for _ in range(STEPS):
        u, pull = np.zeros(len(free)), part.pull.copy()
        u[free] = np.where(point.low > point.below, low, np.where(point.high > point.above, high, point.u))
        pull[free] += np.einsum("n,nf->f", fixed.shares * point.s, fixed.levers)
        objective = objective_of_part(part, u, scaled.offsets - np.einsum("nf,f->n", fixed.levers, u[free]))
        bound = max(bound, bound_of(part, point.s, pull))
        missing = fixed.ridge * point.u - pull[free] - fixed.weight * (point.low - point.high)
        if objective < least:
            best, least = u, objective
        width = _width(fixed, point)
        if good_enough(scaled, best, least, bound) or width < SETTLED:
            break
        step, length = _step(fixed, point, missing, width)
        if not length > 1e-12:
            break  # rounding
        point = point.moved(step, length)
    return Finished(best, least, bound)


def _start(fixed: _Fixed, offsets: Vector, u: Vector, low: Vector, high: Vector) -> _Point:
    """A centred point at, or a little inside of, u."""
    inset = np.minimum(INSIDE, 0.25 * (high - low))
    u = np.clip(u, low + inset, high - inset)
    half = 0.5 * (offsets - np.einsum("nf,f->n", fixed.levers, u))
    # y·s = t·(1 − s) = δ and t − y = z: t is the positive root of t² − (z + 2δ)·t + δ·z = 0, and y likewise.
    root = np.sqrt(half * half + START * START)
    t, y = START + half + root, START - half + root
    t, y = np.maximum(t, START), np.maximum(y, START)  # more, but for rounding
    below, above = np.where(fixed.has_low, u - low, 1.0), np.where(fixed.has_high, high - u, 1.0)
    return _Point(
        u, t, y, np.clip(START / y, 1e-9, 1.0 - 1e-9), below, above,
        np.where(fixed.has_low, START / below, 0.0), np.where(fixed.has_high, START / above, 0.0),
    )  # fmt: skip


def _width(fixed: _Fixed, point: _Point) -> float:
    """δ: the mean of all products."""
    pairs = float(fixed.shares @ (point.y * point.s + point.t * (1.0 - point.s)))
    bounds = fixed.weight * float(point.below @ point.low + point.above @ point.high)
    count = 2.0 * float(fixed.shares.sum()) + fixed.weight * float(fixed.has_low.sum() + fixed.has_high.sum())
    return (pairs + bounds) / max(count, 1e-300)


def _step(fixed: _Fixed, point: _Point, missing: Vector, width: float) -> tuple[_Point, float]:
    """Mehrotra's step: how far one straight to the optimum gets tells how much to centre and to correct."""
    won = 1.0 - point.s
    ease = 1.0 / (point.y / point.s + point.t / won)
    walls = fixed.weight * (point.low / point.below + point.high / point.above)
    weighed = fixed.shares * ease
    bend = gram(fixed.levers, weighed)
    bend[np.diag_indices(len(bend))] += fixed.ridge + walls + STEADY * max(1e-300, float(np.trace(bend)))

    def solved(ry: Vector, rt: Vector, low: Vector, high: Vector) -> _Point:
        """The step after which the products have changed by these, to first order, and nothing is missing."""
        push = ry / point.s - rt / won
        ahead = np.einsum("n,nf->f", weighed * push, fixed.levers) + fixed.weight * (
            low / point.below - high / point.above
        )
        u = np.linalg.solve(bend, ahead - missing)
        change = np.einsum("nf,f->n", fixed.levers, u)
        s = ease * (push - change)
        t = (rt + point.t * s) / won
        below, above = np.where(fixed.has_low, u, 0.0), np.where(fixed.has_high, -u, 0.0)
        return _Point(
            u, t, t + change, s, below, above,
            (low - point.low * below) / point.below, (high - point.high * above) / point.above,
        )  # fmt: skip

    straight = solved(-point.y * point.s, -point.t * won, -point.below * point.low, -point.above * point.high)
    reached = _width(fixed, point.moved(straight, min(1.0, _room(point, straight))))
    target = width * (reached / width) ** 3
    step = solved(
        target - point.y * point.s - straight.y * straight.s,
        target - point.t * won + straight.t * straight.s,
        np.where(fixed.has_low, target - point.below * point.low - straight.below * straight.low, 0.0),
        np.where(fixed.has_high, target - point.above * point.high - straight.above * straight.high, 0.0),
    )
    return step, min(1.0, ALMOST * _room(point, step))


def _room(point: _Point, step: _Point) -> float:
    """How far along a step everything that has to stay positive does."""
    most = 0.0
    for value, change in (
        (point.t, step.t), (point.y, step.y), (point.s, step.s), (1.0 - point.s, -step.s), (point.below, step.below),
        (point.above, step.above),
    ):  # fmt: skip
        most = max(most, float((-change / value).max(initial=0.0)))
    for value, change in ((point.low, step.low), (point.high, step.high)):
        some = value > 0.0
        most = max(most, float((-change[some] / value[some]).max(initial=0.0)))
    return 1.0 / max(most, 1e-300)
