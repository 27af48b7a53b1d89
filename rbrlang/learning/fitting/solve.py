"""Which weights order the pairs best, and how sure is that?

`descend` comes near, `finish` completes and bounds what is left. The gap is a proof, not a hope: no
weights inside the box do better by more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.descend import descend, lay_out, redescend
from rbrlang.learning.fitting.finish import finish
from rbrlang.learning.fitting.part import LEAST, left
from rbrlang.learning.fitting.problem import Matrix, Problem, Scaled, Vector, from_scaled, pair_loss, to_scaled

MOST_PAIRS = 4_000_000
"""On the device at once, unless one problem has more."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Weights [F], exactly inside their box, and the evidence for them.

    `loss`: mean loss of the pairs; `gap`: how much of the objective (loss and ridge) better weights could
    save at most, as a share of it, or of a tenth of `scale` where the objective is less than that.
    `ridge`: the one used; `scale`: typical size of an offset, in units of reward; `steps`: quasi-Newton
    steps, which all problems solved together share.
    """

    weights: Vector
    loss: float
    gap: float
    ridge: float
    scale: float
    steps: int


def solve_all(problems: Sequence[Problem]) -> tuple[Solution, ...]:
    """Best weights of every problem, all of one loss. Deterministic: same problems, same bits."""
    if not problems:
        return ()
    scaled = [to_scaled(problem) for problem in problems]
    near: list[tuple[Vector, int]] = []
    for some in _batches(scaled):
        starts, steps = descend(lay_out(some, [np.zeros(len(units.low)) for units in some]))
        near += [(start, steps) for start in starts]
    found: list[Solution] = []
    for problem, units, (start, steps) in zip(problems, scaled, near, strict=True):
        done = finish(units, start)
        weights = from_scaled(problem, units, done.u)
        found.append(
            Solution(
                weights=weights,
                loss=pair_loss(problem, weights),
                gap=left(units, done.u, done.objective, done.bound) / max(done.objective, LEAST),
                ridge=units.ridge / units.scale if problem.ridge is None else problem.ridge,
                scale=units.scale,
                steps=steps,
            )
        )
    return tuple(found)


def _batches(scaled: Sequence[Scaled]) -> Iterator[list[Scaled]]:
    """Problems in order, of one loss and as many at once as memory takes with ease."""
    batch: list[Scaled] = []
    for units in scaled:
        many = sum(len(b.offsets) for b in batch) + len(units.offsets) > MOST_PAIRS
        if batch and (many or batch[0].loss != units.loss):
            yield batch
            batch = []
        batch.append(units)
    yield batch


def solve(problem: Problem) -> Solution:
    """Best weights of one problem."""
    return solve_all([problem])[0]


def resolve_all(
    problems: Sequence[Problem],
    solutions: Sequence[Solution],
    groups: Sequence[NDArray[np.int64]],
    draws: NDArray[np.int64],
) -> list[Matrix]:
    """Each problem's weights [draws, F] when groups of pairs are drawn several times or not at all.

    `groups` int [N] per problem: the group of every pair, numbered from 0 over all problems; `draws` int
    [draws, groups]. Started from the solutions and as near the optimum as resampling needs: the corner of
    the loss is a hundredth of the scale wide.
    """
    scaled = [to_scaled(problem) for problem in problems]
    starts = [
        (found.weights - problem.centre) / units.scale
        for problem, units, found in zip(problems, scaled, solutions, strict=True)
    ]
    refits = redescend(lay_out(scaled, starts), groups, draws, [None])
    return [from_scaled(problem, units, u[:, 0]) for problem, units, u in zip(problems, scaled, refits, strict=True)]


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
    scaled = [to_scaled(problem) for problem in problems]
    found = redescend(lay_out(scaled, [np.zeros(len(units.low)) for units in scaled]), groups, draws, ridges)
    return [from_scaled(problem, units, u) for problem, units, u in zip(problems, scaled, found, strict=True)]
