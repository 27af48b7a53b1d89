"""Which weights have the least hinge loss, exactly, and what proves it?

With the hinge, ridge and box the problem is a convex quadratic program. A primal-dual interior-point method
takes a dozen steps, whatever the data, and carries the proof along: the slopes of the pairs' losses are its
dual variables. In the notation of `problem`, with slack t for the loss of a pair and y = t − z for what is
left of it, where z = c − D·u, and with s for its slope:

    min  Σ a·t + ½·ridge·|u|²,   t ≥ 0, y ≥ 0, low ≤ u ≤ high
    y·s = δ,  t·(1 − s) = δ,  ridge·u = Dᵀ(a·s) + λ_low − λ_high        and δ → 0

Every step solves for the weights alone. A nearly optimal u says almost everything else: for given z and δ
the two products fix y, t and s, and the start is well centred. Many refits take their steps side by side, and
leave when they are done.

Reference: Mehrotra, On the implementation of a primal-dual interior point method, 1992; Portnoy & Koenker,
The Gaussian hare and the Laplacian tortoise, 1997 (for quantile regression, a cousin of this problem).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.part import Parts, good_enough, lowest, ridge_of
from rbrlang.learning.fitting.problem import FLOPS, Matrix, Scaled, Vector

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
    """What does not change: levers D [R, F, K] and shares a [R, K] of the near pairs, for the free weights; their box.

    `weight` is what one bound counts beside the pairs, `has_low`, `has_high` [F] where there is one.
    """

    levers: NDArray[np.float64]
    shares: Matrix
    ridge: float
    weight: float
    has_low: NDArray[np.bool_]
    has_high: NDArray[np.bool_]

    @property
    def count(self) -> Vector:
        """What all products count, [R]."""
        return np.maximum(
            1e-300, 2.0 * self.shares.sum(axis=1) + self.weight * float(self.has_low.sum() + self.has_high.sum())
        )

    def change(self, u: Matrix) -> Matrix:
        """D·u, [R, K]."""
        return np.einsum("rfk,rf->rk", self.levers, u)

    def pull(self, slopes: Matrix) -> Matrix:
        """Dᵀ(a·s), [R, F]."""
        return np.einsum("rfk,rk->rf", self.levers, self.shares * slopes)

    def gram(self, weights: Matrix) -> NDArray[np.float64]:
        """Σ a·w·d·dᵀ of each refit, [R, F, F], in products too small for threads."""
        weights = self.shares * weights
        size, count = self.levers.shape[1:]
        found = np.zeros((len(weights), size, size))
        some = max(1, FLOPS // max(1, size * size))
        for at in range(0, count, some):
            levers = self.levers[:, :, at : at + some]
            found += np.matmul(levers * weights[:, None, at : at + some], levers.transpose(0, 2, 1))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """Primal u [R, F], t, y [R, K], room to the bounds `below`, `above` [R, F]; dual s [R, K], `low`, `high` [R, F]."""

    u: Matrix
    t: Matrix
    y: Matrix
    s: Matrix
    below: Matrix
    above: Matrix
    low: Matrix
    high: Matrix

    def moved(self, step: _Point, length: Vector) -> _Point:
        """The point that far [R] along a step."""
        far = length[:, None]
        return _Point(*(getattr(self, one.name) + far * getattr(step, one.name) for one in fields(self)))

    def only(self, stay: NDArray[np.bool_]) -> _Point:
        """Some of the refits."""
        return _Point(*(getattr(self, one.name)[stay] for one in fields(self)))


def interior(scaled: Scaled, parts: Parts, start: Matrix) -> tuple[Matrix, Vector, Vector]:
    """Finish `start` [R, F] inside the box: u [R, F], and of the parts the objectives [R] and bounds [R]. Hinge only."""
    free = scaled.low < scaled.high
    fixed = _Fixed(
        levers=parts.levers if free.all() else np.ascontiguousarray(parts.levers[:, free]),
        shares=parts.shares,
        ridge=scaled.ridge,
        weight=1.0 / max(1, len(free)),
        has_low=np.isfinite(scaled.low[free]),
        has_high=np.isfinite(scaled.high[free]),
    )
    low, high = scaled.low[free], scaled.high[free]
    point = _start(fixed, parts.offsets, start[:, free], low, high)
    best, least, bound = start.copy(), np.full(len(start), np.inf), np.zeros(len(start))  # no loss is negative
    live, offsets, offset, linear = np.arange(len(start)), parts.offsets, parts.offset, parts.pull
    for _ in range(STEPS):
        u, pull = np.zeros((len(live), len(free))), linear.copy()
        u[:, free] = np.where(point.low > point.below, low, np.where(point.high > point.above, high, point.u))
        pull[:, free] += fixed.pull(point.s)
        penalty = ridge_of(scaled, u)
        lost = np.maximum(0.0, offsets - fixed.change(u[:, free]))
        objective = offset + np.einsum("rk,rk->r", fixed.shares, lost) - np.einsum("rf,rf->r", linear, u) + penalty
        proved = offset + np.einsum("rk,rk,rk->r", fixed.shares, point.s, offsets) + lowest(scaled, pull)
        bound[live] = np.maximum(bound[live], proved)
        better = objective < least[live]
        best[live[better]], least[live[better]] = u[better], objective[better]
        width = _width(fixed, point)
        going = ~(good_enough(scaled, ridge_of(scaled, best[live]), least[live], bound[live]) | (width < SETTLED))
        if not going.any():
            break
        if not going.all():
            live, point, width, pull = live[going], point.only(going), width[going], pull[going]
            offsets, offset, linear = offsets[going], offset[going], linear[going]
            fixed = _Fixed(
                fixed.levers[going], fixed.shares[going], fixed.ridge, fixed.weight, fixed.has_low, fixed.has_high
            )
        missing = fixed.ridge * point.u - pull[:, free] - fixed.weight * (point.low - point.high)
        step, length = _step(fixed, point, missing, width)
        if not (length > 1e-12).any():
            break  # rounding
        point = point.moved(step, length)
    return best, least, bound


def _start(fixed: _Fixed, offsets: Matrix, u: Matrix, low: Vector, high: Vector) -> _Point:
    """A centred point at, or a little inside of, u."""
    inset = np.minimum(INSIDE, 0.25 * (high - low))
    u = np.clip(u, low + inset, high - inset)
    half = 0.5 * (offsets - fixed.change(u))
    # y·s = t·(1 − s) = δ and t − y = z: t is the positive root of t² − (z + 2δ)·t + δ·z = 0, and y likewise.
    root = np.sqrt(half * half + START * START)
    t, y = START + half + root, START - half + root
    t, y = np.maximum(t, START), np.maximum(y, START)  # more, but for rounding
    below, above = np.where(fixed.has_low, u - low, 1.0), np.where(fixed.has_high, high - u, 1.0)
    return _Point(
        u, t, y, np.clip(START / y, 1e-9, 1.0 - 1e-9), below, above,
        np.where(fixed.has_low, START / below, 0.0), np.where(fixed.has_high, START / above, 0.0),
    )  # fmt: skip


def _width(fixed: _Fixed, point: _Point) -> Vector:
    """δ of each refit: the mean of all products."""
    pairs = np.einsum("rk,rk->r", fixed.shares, point.y * point.s + point.t * (1.0 - point.s))
    bounds = fixed.weight * np.sum(point.below * point.low + point.above * point.high, axis=1)
    return (pairs + bounds) / fixed.count


def _step(fixed: _Fixed, point: _Point, missing: Matrix, width: Vector) -> tuple[_Point, Vector]:
    """Mehrotra's step: how far one straight to the optimum gets tells how much to centre and to correct."""
    won = 1.0 - point.s
    ys, tw = point.y / point.s, point.t / won
    ease = 1.0 / (ys + tw)
    low_walls, high_walls = fixed.weight * point.low / point.below, fixed.weight * point.high / point.above
    bend = fixed.gram(ease)
    steady = STEADY * np.maximum(1e-300, np.trace(bend, axis1=1, axis2=2))
    own = np.arange(bend.shape[1])
    bend[:, own, own] += fixed.ridge + low_walls + high_walls + steady[:, None]

    def solved(y: Matrix, t: Matrix, low: Matrix, high: Matrix) -> tuple[_Point, Matrix]:
        """The step, and D·u of it, after which products have changed by y·s, t·(1 − s), … to first order, and nothing is missing."""
        push = y - t
        ahead = fixed.pull(ease * push) + fixed.weight * (low - high)
        u = np.asarray(np.linalg.solve(bend, (ahead - missing)[..., None])[..., 0], np.float64)
        change = fixed.change(u)
        s = ease * (push - change)
        t = t + tw * s
        below, above = np.where(fixed.has_low, u, 0.0), np.where(fixed.has_high, -u, 0.0)
        lower, higher = low - point.low / point.below * below, high - point.high / point.above * above
        return _Point(u, t, t + change, s, below, above, lower, higher), change

    straight, change = solved(-point.y, -point.t, -point.low, -point.high)
    far = np.minimum(1.0, _room(point, won, straight))
    # The products of what steps move in proportion change by themselves times the step, and by the product of the steps.
    crossed = np.einsum("rk,rk,rk->r", fixed.shares, straight.s, change) + fixed.weight * np.sum(
        straight.below * straight.low + straight.above * straight.high, axis=1
    )
    reached = np.maximum(0.0, width * (1.0 - far) + far * far * crossed / fixed.count)
    target = (width * (reached / width) ** 3)[:, None]
    step, _ = solved(
        (target - straight.y * straight.s) / point.s - point.y,
        (target + straight.t * straight.s) / won - point.t,
        np.where(fixed.has_low, (target - straight.below * straight.low) / point.below - point.low, 0.0),
        np.where(fixed.has_high, (target - straight.above * straight.high) / point.above - point.high, 0.0),
    )
    return step, np.minimum(1.0, ALMOST * _room(point, won, step))


def _room(point: _Point, won: Matrix, step: _Point) -> Vector:
    """How far [R] along a step everything that has to stay positive does."""
    slopes = step.s / won
    least = np.minimum.reduce([
        (step.t / point.t).min(axis=1), (step.y / point.y).min(axis=1), (step.s / point.s).min(axis=1),
        -slopes.max(axis=1), *(
            np.divide(change, value, out=np.zeros_like(change), where=value > 0.0).min(axis=1, initial=0.0)
            for value, change in (
                (point.below, step.below), (point.above, step.above), (point.low, step.low), (point.high, step.high)
            )
        ),
    ])  # fmt: skip
    return 1.0 / np.maximum(-least, 1e-300)
