"""How far from the best possible are these weights, and which are better?

`descend` comes near; here the last digits are found, and what is left is bounded. Of the hinge only the pairs
near its corner are looked at (`part`), by an interior-point method that proves how far it got (`interior`); the
logistic loss is smooth, and Newton's method does (`newton`).

Refits to draws of the same pairs are finished side by side. Each starts from where the first step of Newton's
method on a wide corner puts it, with one matrix for all: what a draw changes to first order.

What remains is measured by Fenchel duality: any multipliers 0 ≤ s ≤ 1 give a value below which the objective
cannot go (`part.lower_bound`), and the slopes of the pairs' losses at the optimum give a tight one. The bound
is true whatever came before it.

Reference: Rockafellar, Convex Analysis, 1970, section 31 (duality).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from rbrlang.learning.fitting.interior import interior
from rbrlang.learning.fitting.newton import newton
from rbrlang.learning.fitting.part import (
    LEAST,
    Draws,
    Finished,
    Mask,
    Sides,
    by_group,
    parts_of,
    ridge_of,
    sides_of,
    strayed,
)
from rbrlang.learning.fitting.problem import Matrix, Scaled, Vector

REACHES = (0.5, 2.0, np.inf)
"""How far from the corner a pair may be and still be looked at; the next one where too near was not enough."""
REFIT_REACHES = (0.25, 0.5, 1.0, 2.0, np.inf)
FEWEST = 500
"""A part of this many pairs costs little more than a smaller one."""
REFIT_FEWEST = 200
SETTLED = 1e-6
CORNER = 0.3
"""Half the width of the corner that tells where a draw of the pairs leads."""
SPARSE = 1e-4
"""A ridge that keeps that step short where few pairs are within the corner."""
MOST = 1_000_000
"""Numbers in the levers of refits that take their steps side by side."""


def finish(scaled: Scaled, start: Vector) -> Finished:
    """Finish a nearly optimal `start` [F]: its objective and bound are those of all pairs."""
    inside = np.clip(start, scaled.low, scaled.high)
    match scaled.loss:
        case "hinge":
            whole = Draws(np.zeros(len(scaled.offsets), np.int64), np.ones((1, 1)))
            u, objective, bound = finish_draws(scaled, whole, inside[None], REACHES, FEWEST)
            return Finished(u[0], float(objective[0]), float(bound[0]))
        case "logistic":
            return newton(scaled, inside)
        case _:
            assert_never(scaled.loss)


def refitted(scaled: Scaled, draws: Draws, u: Vector) -> Matrix:
    """The best weights [R, F] of refits to draws of the pairs of a problem whose own best are u [F]. Hinge only."""
    start = np.clip(u + _led(scaled, draws, u), scaled.low, scaled.high)
    return finish_draws(scaled, draws, start, REFIT_REACHES, REFIT_FEWEST)[0]


def _led(scaled: Scaled, draws: Draws, u: Vector) -> Matrix:
    """How far [R, F] each draw leads away from the optimum u [F] to first order; weights at a bound stay there."""
    z = scaled.offsets - scaled.pairs.gaps(u)
    bent = np.flatnonzero(np.abs(z) < CORNER)
    bend = scaled.pairs.gram(bent, scaled.shares[bent] / (2.0 * CORNER))
    held = (u <= scaled.low) | (u >= scaled.high)
    bend[held] = bend[:, held] = 0.0
    bend[np.diag_indices(len(bend))] += scaled.ridge + SPARSE + held
    pull = by_group(scaled, draws, np.clip(0.5 + 0.5 * z / CORNER, 0.0, 1.0))
    more = np.einsum("rg,gf->rf", draws.weights - 1.0, pull) * ~held
    return np.linalg.solve(bend, more.T).T


def finish_draws(
    scaled: Scaled, draws: Draws, start: Matrix, reaches: Sequence[float], fewest: int
) -> tuple[Matrix, Vector, Vector]:
    """Finish `start` [R, F] inside the box, of each refit: u [R, F], objective [R], bound [R]. Hinge only."""
    u, z = start.copy(), scaled.offsets[:, None] - scaled.pairs.gaps(start.T)
    drawn = (draws.weights > 0.0).T[draws.group]
    sides = sides_of(scaled, draws, z[:, 0])
    objective = _objective(scaled, draws, sides, u, z, _changed(sides, z) & drawn)
    nowhere = np.einsum(
        "rg,g->r", draws.weights,
        np.bincount(draws.group, scaled.shares * np.maximum(0.0, scaled.offsets), draws.weights.shape[1]),
    )  # fmt: skip
    worse = objective > nowhere  # a start worse than none would cost many steps
    u[worse], z[:, worse], objective[worse] = 0.0, scaled.offsets[:, None], nowhere[worse]
    bound, live = np.zeros(len(u)), np.arange(len(u))  # no loss is negative
    for reach in reaches:
        some, here = draws.some(live), z[:, live]
        near = (_within(np.abs(here), drawn[:, live], reach, fewest) | _changed(sides, here)) & drawn[:, live]
        found, of_part, proved = _in_turns(scaled, some, sides, near, u[live])
        there = scaled.offsets[:, None] - scaled.pairs.gaps(found.T)
        missed = strayed(scaled, some, there, _changed(sides, there) & ~near)
        of_all = of_part + missed
        bound[live] = np.maximum(bound[live], proved)
        better = of_all < objective[live]
        won = live[better]
        u[won], z[:, won], objective[won] = found[better], there[:, better], of_all[better]
        live = live[missed > SETTLED * np.maximum(of_all, LEAST)]
        if not len(live):
            break
    return u, objective, bound


def _changed(sides: Sides, z: Matrix) -> Mask:
    """The pairs [N, R] on another side than where the sides were seen."""
    return (z > 0.0) != sides.lost[:, None]


def _within(away: Matrix, drawn: Mask, reach: float, fewest: int) -> Mask:
    """The pairs within reach of the corner, [N, R]; of those drawn at least so many, where there are."""
    near = away <= reach
    short = np.flatnonzero(np.count_nonzero(near & drawn, axis=0) < fewest)
    if len(away) <= fewest:
        near[:, short] = True
    elif len(short):
        those = np.where(drawn[:, short], away[:, short], np.inf)
        near[:, short] = those <= np.partition(those, fewest, axis=0)[fewest]
    return near


def _objective(scaled: Scaled, draws: Draws, sides: Sides, u: Matrix, z: Matrix, changed: Mask) -> Vector:
    """Exact loss plus ridge [R] at u [R, F]."""
    linear = np.einsum("rg,gf->rf", draws.weights, sides.pull)
    loss = np.einsum("rg,g->r", draws.weights, sides.offset) - np.einsum("rf,rf->r", linear, u)
    return loss + strayed(scaled, draws, z, changed) + ridge_of(scaled, u)


def _in_turns(scaled: Scaled, draws: Draws, sides: Sides, near: Mask, start: Matrix) -> tuple[Matrix, Vector, Vector]:
    """`interior` of the parts that `near` [N, R] tells, some refits after the others."""
    widest = int(np.count_nonzero(near, axis=0).max(initial=1))
    some = max(1, MOST // max(1, widest * start.shape[1]))
    found = [
        interior(scaled, parts_of(scaled, draws.some(those), sides, near[:, those]), start[those])
        for those in np.array_split(np.arange(len(start)), -(-len(start) // some))
    ]
    u, objective, bound = (np.concatenate(one) for one in zip(*found, strict=True))
    return u, objective, bound
