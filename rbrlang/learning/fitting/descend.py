"""How are good weights found fast, for one draw of the pairs or for hundreds?

Newton's method on a hinge with a rounded corner: there are tens of weights, so its matrix is small, and only pairs
within the corner bend, which near the optimum are few. Along a direction every pair's loss is a function of one
number, so the line search needs no further product with the features.

Refits to other draws of the same pairs, and under other ridges, are made side by side, each from where it is told to
start. Pairs that lie far from the corner in every one of them keep their side: their loss is linear and adds one
vector to the slope. So only the pairs near a corner are looked at, a few per cent; all are compared afterwards,
and those that changed their side after all join in another round.

The logistic loss bends everywhere. There all pairs take part, and refits share one matrix, that of their mean.

The result is near the optimum, not at it, and may lie a hair outside the box; `finish` does the rest.

Reference: Nesterov, Smooth minimization of non-smooth functions, 2005; Qi & Sun, A nonsmooth version of Newton's
method, 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.problem import Levers, Matrix, Pairs, Scaled, Vector

Look = tuple[float, float]
"""Width of the corner, and the steepness to stop at."""

LOOKS: Sequence[Look] = ((1.0, 1e-3), (0.3, 1e-3), (0.1, 1e-3))
REFIT_LOOKS: Sequence[Look] = ((0.1, 1e-4), (0.03, 1e-4), (0.01, 1e-6))
PATH_LOOKS: Sequence[Look] = ((0.03, 1e-5),)
MAX_STEPS = 60
FENCE = 3.0
FEWEST = 800
"""So many pairs are looked at from the first round on: fewer lead astray, and cost another round with more."""
ROUNDS = 8
MOST = 4_000_000
"""Numbers in an array of pairs by refits; more refits take turns."""
DAMPING = 1e-9
LONGEST = 10.0
SEARCH = 16
ENOUGH = 0.5
"""Of the slope at a step's start may be left at its end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """A problem, or the `pairs` of it that are looked at, with `offsets` [N] and the `shares` [N, R] of R draws.

    `fences` [F] hold weights near the box.
    """

    scaled: Scaled
    pairs: Pairs | Levers
    offsets: Vector
    shares: Matrix
    ridge: float
    fences: Vector

    def only(self, refits: NDArray[np.int64]) -> _Draws:
        return replace(self, shares=self.shares[:, refits])

    def looked_at(self, near: NDArray[np.bool_], refits: NDArray[np.int64]) -> _Draws:
        if near.all():
            return self.only(refits)
        which = np.flatnonzero(near)
        levers = Levers(self.scaled.pairs.differences(which))
        return replace(self, pairs=levers, offsets=self.offsets[which], shares=self.shares[np.ix_(which, refits)])

    def outside(self, u: Matrix) -> Matrix:
        return u - np.clip(u, self.scaled.low[:, None], self.scaled.high[:, None])


def descend(scaled: Scaled) -> tuple[Vector, int]:
    """Nearly the best u [F] of a problem, from 0, and the steps taken."""
    u, steps = _solved(_drawn(scaled, scaled.shares[:, None], scaled.ridge), np.zeros((len(scaled.low), 1)), LOOKS)
    return u[:, 0], steps


def redescend(
    scaled: Scaled, start: Vector, group: NDArray[np.int64], draws: NDArray[np.int64], ridges: Sequence[float | None]
) -> NDArray[np.float64]:
    """A problem's u [draws, ridges, F] under resampled groups of pairs, along `ridges`, in reward⁻¹.

    `group` int [N] is that of each pair; `draws` int [draws, groups] how often each group was drawn. The first ridge
    starts from `start` [F], every other from what the one before it found: strong ones first, for they are found in a
    step or two. A ridge of None is the problem's own, and is worth a second look with a narrower corner.
    """
    some = max(1, MOST // max(1, len(group)))
    return np.concatenate(
        [_path(scaled, start, group, draws[at : at + some], ridges) for at in range(0, len(draws), some)]
    )


def _path(
    scaled: Scaled, start: Vector, group: NDArray[np.int64], draws: NDArray[np.int64], ridges: Sequence[float | None]
) -> NDArray[np.float64]:
    weighed = scaled.shares[:, None] * draws.T[group]
    shares = weighed / np.maximum(weighed.sum(axis=0), 1e-30)
    u, found = np.repeat(start[:, None], len(draws), axis=1), np.empty((len(draws), len(ridges), len(start)))
    for at, ridge in enumerate(ridges):
        of = _drawn(scaled, shares, scaled.ridge if ridge is None else ridge * scaled.scale)
        u, _ = _solved(of, u, REFIT_LOOKS if ridge is None else PATH_LOOKS)
        found[:, at] = u.T
    return found


def _drawn(scaled: Scaled, shares: Matrix, ridge: float) -> _Draws:
    fences = FENCE * np.mean(scaled.pairs.features**2, axis=0) + 1e-6
    return _Draws(scaled, scaled.pairs, scaled.offsets, shares, ridge, fences)


def _solved(of: _Draws, start: Matrix, looks: Sequence[Look]) -> tuple[Matrix, int]:
    """The minima [F, R] from `start`, with a corner that narrows from look to look, and the steps taken."""
    u, taken = start.copy(), 0
    away = of.offsets[:, None] - of.pairs.gaps(start)
    side, near = away > 0.0, _near(of.scaled, np.abs(away).min(axis=1), looks[0][0])
    del away
    some = np.arange(u.shape[1])  # the refits that are not done
    for turn in range(ROUNDS):
        there, shares = start[:, some], of.shares[:, some]
        pull = of.scaled.pairs.pull(np.where(side[:, some] & ~near[:, None], shares, 0.0))
        part = of.looked_at(near, some)
        for width, tolerance in looks:
            there, steps = _newton(part, pull, there, width, tolerance)
            taken += steps
        u[:, some] = there
        if near.all():
            break
        z = of.offsets[:, None] - of.pairs.gaps(there)
        strayed = ((side[:, some] != (z > 0.0)) | (np.abs(z) < looks[-1][0])) & ~near[:, None] & (shares > 0.0)
        some = some[strayed.any(axis=0)]
        if not len(some):
            break
        near |= strayed.any(axis=1) | (turn == ROUNDS - 2)  # all of them in the last round
    return u, taken


def _near(scaled: Scaled, away: Vector, width: float) -> NDArray[np.bool_]:
    """The pairs to look at first, bool [N], from how far away they are: some hundreds at least; all, where most are near."""
    if scaled.loss == "logistic" or len(away) <= FEWEST:
        return np.ones(len(away), np.bool_)
    near = away <= max(width, float(np.partition(away, FEWEST)[FEWEST]))
    return near | (np.count_nonzero(near) > len(near) // 4)


def _newton(of: _Draws, pull: Matrix, u: Matrix, width: float, tolerance: float) -> tuple[Matrix, int]:
    """The minima [F, R] with a corner of that width; `pull` [F, R] is that of the pairs which are not looked at."""
    steps, live = 0, np.arange(u.shape[1])
    u, z, now = u.copy(), of.offsets[:, None] - of.pairs.gaps(u), of
    while steps < MAX_STEPS:
        slopes, bends = _corner(of.scaled, z, width)
        beyond = now.outside(u[:, live])
        slope = of.ridge * u[:, live] + of.fences[:, None] * beyond - pull[:, live] - of.pairs.pull(now.shares * slopes)
        steep = np.flatnonzero(np.linalg.norm(slope, axis=0) > tolerance)
        if not len(steep):
            break
        if len(steep) < len(live):
            live, z, slope, bends, beyond = live[steep], z[:, steep], slope[:, steep], bends[:, steep], beyond[:, steep]
            now = now.only(steep)
        direction = -_divided(now, now.shares * bends, beyond, slope)
        change = of.pairs.gaps(direction)
        enough = ENOUGH * np.abs((slope * direction).sum(axis=0))
        length = _length(now, pull[:, live], u[:, live], z, direction, change, width, enough)
        u[:, live] += length * direction
        z = z - length * change
        steps += 1
    return u, steps


def _corner(scaled: Scaled, z: Matrix, width: float) -> tuple[Matrix, Matrix]:
    """Slope and bend of every pair's smoothed loss."""
    if scaled.loss == "hinge":
        slopes = z / width
        slopes += 1.0
        bends = np.where((slopes > 0.0) & (slopes < 1.0), 1.0 / width, 0.0)
        return np.clip(slopes, 0.0, 1.0, out=slopes), bends
    sharp = min(scaled.sharpness, 1.0 / width)
    slopes = 0.5 + 0.5 * np.tanh(0.5 * sharp * z)
    return slopes, sharp * slopes * (1.0 - slopes)


def _divided(of: _Draws, bends: Matrix, beyond: Matrix, slope: Matrix) -> Matrix:
    """`slope` [F, R] over the second derivative of each refit, that of `bends` [N, R], the ridge and the fences."""
    pairs, size = of.pairs, len(slope)
    if of.scaled.loss == "logistic":
        matrices = np.repeat(pairs.gram(np.arange(len(bends)), bends.mean(axis=1))[None], slope.shape[1], axis=0)
    else:
        matrices = np.empty((slope.shape[1], size, size))
        refit, pair = np.nonzero(bends.T)
        ends = np.searchsorted(refit, np.arange(slope.shape[1] + 1))
        for at, (start, stop) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
            active = pair[start:stop]
            matrices[at] = pairs.gram(active, bends[active, at])
    straight = of.ridge + of.fences[:, None] * (beyond != 0.0) + DAMPING * (1.0 + np.trace(matrices, axis1=1, axis2=2))
    matrices[:, np.arange(size), np.arange(size)] += straight.T
    return np.asarray(np.linalg.solve(matrices, slope.T[..., None])[..., 0].T, np.float64)


def _length(
    of: _Draws, pull: Matrix, u: Matrix, z: Matrix, direction: Matrix, change: Matrix, width: float, enough: Vector
) -> Vector:
    """How far along its direction each refit is best, [R]: where the loss rises by no more than `enough` either way.

    Newton's method on one number, kept between what is too short and what is too far.
    """
    length = np.minimum(1.0, LONGEST / np.maximum(np.abs(direction).max(axis=0), 1e-300))
    short, far = np.zeros(len(length)), np.full(len(length), np.inf)
    counted = of.shares * change
    for _ in range(SEARCH):
        slopes, bends = _corner(of.scaled, z - length * change, width)
        there = u + length * direction
        beyond = of.outside(there)
        held = of.ridge + of.fences[:, None] * (beyond != 0.0)
        rise = np.einsum("fr,fr->r", of.ridge * there + of.fences[:, None] * beyond - pull, direction)
        rise -= np.einsum("nr,nr->r", slopes, counted)
        going = np.abs(rise) > enough
        if not going.any():
            return length
        bend = np.einsum("fr,fr,fr->r", held, direction, direction) + np.einsum("nr,nr,nr->r", bends, counted, change)
        short, far = np.where(rise < 0.0, length, short), np.where(rise < 0.0, far, length)
        ahead = length - rise / np.maximum(bend, 1e-12)
        middle = np.where(far < np.inf, 0.5 * (short + far), 4.0 * length)
        inside = (ahead > short) & (ahead < np.minimum(far, 10.0 * length))
        length = np.where(going, np.where(inside, ahead, middle), length)
    return np.where(short > 0.0, short, length)
