"""How far from the best possible are these weights, and which are better?

`descend` comes near; here the last digits are found, and what is left is bounded. Of the hinge only the pairs
near its corner are looked at (`part`), by an interior-point method that proves how far it got (`interior`); the
logistic loss is smooth, and Newton's method does (`newton`).

What remains is measured by Fenchel duality: any multipliers 0 ≤ s ≤ 1 give a value below which the objective
cannot go (`part.lower_bound`), and the slopes of the pairs' losses at the optimum give a tight one. The bound
is true whatever came before it.

Reference: Rockafellar, Convex Analysis, 1970, section 31 (duality).
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from rbrlang.learning.fitting.interior import interior
from rbrlang.learning.fitting.newton import newton
from rbrlang.learning.fitting.part import LEAST, Finished, objective_of, objective_of_part, part_of
from rbrlang.learning.fitting.problem import Scaled, Vector

REACHES = (0.5, 2.0, np.inf)
"""How far from the corner a pair may be and still be looked at; the next one where too near was not enough."""
SETTLED = 1e-6


def finish(scaled: Scaled, start: Vector) -> Finished:
    """Finish a nearly optimal `start` [F]: its objective and bound are those of all pairs."""
    inside = np.clip(start, scaled.low, scaled.high)
    match scaled.loss:
        case "hinge":
            return _finish_hinge(scaled, inside)
        case "logistic":
            return newton(scaled, inside)
        case _:
            assert_never(scaled.loss)


def _finish_hinge(scaled: Scaled, start: Vector) -> Finished:
    z, nowhere = scaled.offsets - scaled.pairs.gaps(start), np.zeros(len(start))
    if objective_of(scaled, start, z) > objective_of(scaled, nowhere, scaled.offsets):
        start, z = nowhere, scaled.offsets  # a start worse than none would cost many steps
    best = Finished(start, objective_of(scaled, start, z), 0.0)  # no loss is negative
    for reach in REACHES:
        part = part_of(scaled, z, reach)
        found = interior(part, best.u)
        there = scaled.offsets - scaled.pairs.gaps(found.u)
        objective, bound = objective_of(scaled, found.u, there), max(best.bound, found.bound)
        missed = objective - objective_of_part(part, found.u, there[part.near])
        if objective < best.objective:
            best, z = Finished(found.u, objective, bound), there
        else:
            best = Finished(best.u, best.objective, bound)
        if missed <= SETTLED * max(objective, LEAST):
            break
    return best
