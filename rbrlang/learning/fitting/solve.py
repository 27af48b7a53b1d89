"""Which weights order the pairs best, and how sure is that?

`descend` comes near, `finish` completes and bounds what is left. The gap is a proof, not a hope: no
weights inside the box do better by more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.descend import MOST, descend, redescend
from rbrlang.learning.fitting.finish import finish, refitted
from rbrlang.learning.fitting.part import LEAST, Draws, left, ridge_of
from rbrlang.learning.fitting.problem import Matrix, Problem, Scaled, Vector, from_scaled, pair_loss, to_scaled


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Weights [F], exactly inside their box, and the evidence for them.

    `loss`: mean loss of the pairs; `gap`: how much of the objective (loss and ridge) better weights could
    save at most, as a share of it, or of a tenth of `scale` where the objective is less than that.
    `ridge`: the one used; `scale`: typical size of an offset, in units of reward; `steps` of Newton's method that
    came near.
    """

    weights: Vector
    loss: float
    gap: float
    ridge: float
    scale: float
    steps: int


def solve(problem: Problem) -> Solution:
    """Best weights of one problem. Deterministic: the same problem, the same bits."""
    units = to_scaled(problem)
    start, steps = descend(units)
    done = finish(units, start)
    weights = from_scaled(problem, units, done.u)
    return Solution(
        weights=weights,
        loss=pair_loss(problem, weights),
        gap=float(left(units, ridge_of(units, done.u), done.objective, done.bound)) / max(done.objective, LEAST),
        ridge=units.ridge / units.scale if problem.ridge is None else problem.ridge,
        scale=units.scale,
        steps=steps,
    )


def solve_all(problems: Sequence[Problem]) -> tuple[Solution, ...]:
    """Best weights of every problem: they share none."""
    return tuple(map(solve, problems))


def resolve_all(
    problems: Sequence[Problem],
    solutions: Sequence[Solution],
    groups: Sequence[NDArray[np.int64]],
    draws: NDArray[np.int64],
) -> list[Matrix]:
    """Each problem's weights [draws, F] when groups of pairs are drawn several times or not at all.

    `groups` int [N] per problem: the group of every pair, numbered from 0 over all problems; `draws` int
    [draws, groups]. Started from the solutions. Of the hinge as near the optimum of what was drawn as a `solve` of it;
    of the logistic loss as resampling needs: its corner is a hundredth of the scale wide.
    """
    found: list[Matrix] = []
    for problem, solution, group in zip(problems, solutions, groups, strict=True):
        units = to_scaled(problem)
        start = (solution.weights - problem.centre) / units.scale
        if units.loss == "hinge":
            u = np.concatenate([refitted(units, some, start) for some in _drawn(units, group, draws)])
        else:
            u = redescend(units, start, group, draws, [None])[:, 0]
        found.append(from_scaled(problem, units, u))
    return found


def _drawn(units: Scaled, group: NDArray[np.int64], draws: NDArray[np.int64]) -> Iterator[Draws]:
    """The draws [draws, groups], so many at a time as arrays of pairs by refits allow."""
    counts, some = np.bincount(group, units.shares, draws.shape[1]), max(1, MOST // max(1, len(group)))
    for at in range(0, len(draws), some):
        those = draws[at : at + some]
        yield Draws(group, those / np.maximum(np.einsum("rg,g->r", those, counts), 1e-30)[:, None])


def paths(
    problems: Sequence[Problem],
    groups: Sequence[NDArray[np.int64]],
    draws: NDArray[np.int64],
    ridges: Sequence[float],
) -> list[NDArray[np.float64]]:
    """Each problem's weights [draws, ridges, F] under `ridges`, from strong to weak; `groups`, `draws`: see `resolve_all`.

    Nearly the best, as comparing ridges needs: the corner of the loss is three hundredths of the scale wide. A problem
    of which nothing was drawn stays at its centre.
    """
    found: list[NDArray[np.float64]] = []
    for problem, group in zip(problems, groups, strict=True):
        units = to_scaled(problem)
        found.append(from_scaled(problem, units, redescend(units, np.zeros(len(units.low)), group, draws, ridges)))
    return found
