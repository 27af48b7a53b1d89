"""Which weights have the least logistic loss, to the last digits?

The loss is smooth, so Newton's method ends in a few steps, each one product with the features. For large
margins a softplus is nearly a hinge; it is blunted first and sharpened in stages. Steps are damped after
Levenberg and Marquardt, and a line search makes every one an improvement. Weights that press against a
bound are held there.

Reference: Bertsekas, Projected Newton Methods for Optimization Problems with Simple Constraints, 1982.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.part import Finished, good_enough, lower_bound, objective_of, ridge_of
from rbrlang.learning.fitting.problem import Scaled, Vector, gram

WIDTHS = (0.03, 0.01, 0.003)
SLOPES = (3e-3, 2e-3, 1e-11)
"""A stage ends when no free weight's slope is steeper; the last one usually by its gap, long before."""
LONGEST = 10.0
ROUNDS = 60
HALVINGS = 30
"""Where features hardly differ, steps are long and most of a step may have to be given up."""
AT_BOUND = 0.01
LEAST_DAMPING = 1e-9

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The problem at u [F]: z = c − D·u, sharpness of the loss, value, slope of each pair's loss [N], gradient [F]."""

    u: Vector
    z: Vector
    sharp: float
    value: float
    slopes: Vector
    gradient: Vector


def newton(scaled: Scaled, start: Vector) -> Finished:
    """Finish a nearly optimal `start` [F] inside the box by projected, damped steps. Logistic only."""
    damping, stage, bound = LEAST_DAMPING, 0, 0.0  # no loss is negative
    point = _look(scaled, start, scaled.offsets - scaled.pairs.gaps(start), stage)
    best, least = start, np.inf
    for _ in range(ROUNDS):
        free = _free(scaled, point)
        while stage + 1 < len(WIDTHS) and _steepest(point, free) < SLOPES[stage]:
            stage += 1
            point = _look(scaled, point.u, point.z, stage)
            free = _free(scaled, point)
        exact = objective_of(scaled, point.u, point.z)
        if exact < least:
            best, least = point.u, exact
        bound = max(bound, lower_bound(scaled, point.slopes, scaled.ridge * point.u - point.gradient))
        if good_enough(scaled, ridge_of(scaled, best), least, bound) or _steepest(point, free) < SLOPES[-1]:
            break
        closer = _search(scaled, point, _step(scaled, point, free, damping), stage)
        if closer is not None:
            point, damping = closer, max(LEAST_DAMPING, damping * 0.1)
        elif damping < 1.0:
            damping *= 100.0
        elif stage + 1 < len(WIDTHS):
            stage, damping = stage + 1, LEAST_DAMPING
            point = _look(scaled, point.u, point.z, stage)
        else:
            break  # rounding: no step lowers the value any more
    return Finished(best, least, bound)


def _look(scaled: Scaled, u: Vector, z: Vector, stage: int) -> _Point:
    last = stage + 1 == len(WIDTHS)
    sharp = scaled.sharpness if last else min(scaled.sharpness, 1.0 / WIDTHS[stage])
    slopes = _slopes(sharp, z)
    pull = scaled.pairs.pull(scaled.shares * slopes)
    return _Point(u, z, sharp, objective_of(replace(scaled, sharpness=sharp), u, z), slopes, scaled.ridge * u - pull)


def _slopes(sharp: float, z: Vector) -> Vector:
    return np.exp(-np.logaddexp(0.0, -sharp * z))


def _free(scaled: Scaled, point: _Point) -> Mask:
    """Weights that neither stand near a bound with a slope towards it nor are fixed."""
    held_low = (point.u <= scaled.low + AT_BOUND) & (point.gradient > 0.0)
    held_high = (point.u >= scaled.high - AT_BOUND) & (point.gradient < 0.0)
    return ~(held_low | held_high) & (scaled.low < scaled.high)


def _steepest(point: _Point, free: Mask) -> float:
    return float(np.abs(np.where(free, point.gradient, 0.0)).max(initial=0.0))


def _bends(sharp: float, slopes: Vector) -> tuple[NDArray[np.int64], Vector]:
    """Pairs whose loss bends, and how much."""
    bends = sharp * slopes * (1.0 - slopes)
    bent = np.flatnonzero(bends > 1e-9)
    return bent, bends[bent]


def _step(scaled: Scaled, point: _Point, free: Mask, damping: float) -> Vector:
    """Newton's step for the free weights, held back by `damping`; the held ones go to their bound."""
    bent, bends = _bends(point.sharp, point.slopes)
    levers = scaled.pairs.differences(bent)[:, free]
    bend = gram(levers, scaled.shares[bent] * bends)
    step = np.where(point.gradient > 0.0, scaled.low - point.u, scaled.high - point.u)
    scale = max(1e-12, float(np.trace(bend)) / max(1, len(bend)))
    bend[np.diag_indices(len(bend))] += scaled.ridge + damping * scale
    step[free] = -np.linalg.solve(bend, point.gradient[free])
    inside = np.clip(point.u + step, scaled.low, scaled.high)
    return np.where(scaled.low < scaled.high, inside - point.u, 0.0)


def _search(scaled: Scaled, point: _Point, step: Vector, stage: int) -> _Point | None:
    """A point along the step where most of the slope is gone, if the value there is lower."""
    change = scaled.pairs.gaps(step)
    pulls = scaled.shares * change
    promised = float(point.gradient @ step)
    straight, bent = scaled.ridge * float(point.u @ step), scaled.ridge * float(step @ step)
    inside = step != 0.0
    room = np.where(step > 0.0, scaled.high - point.u, scaled.low - point.u)[inside] / step[inside]
    length, low, high = 1.0, 0.0, min(LONGEST, float(room.min(initial=LONGEST)))
    for _ in range(HALVINGS):
        slopes = _slopes(point.sharp, point.z - length * change)
        rise = straight + length * bent - float(np.sum(pulls * slopes))
        if abs(rise) <= 0.2 * abs(promised) or (length == high and rise < 0.0):
            break
        low, high = (length, high) if rise < 0.0 else (low, length)
        pairs, bends = _bends(point.sharp, slopes)
        bend = bent + float(np.sum((pulls * change)[pairs] * bends))
        ahead = length - rise / bend if bend > 0.0 else high
        length = ahead if low < ahead < high else 0.5 * (low + high)
    u = np.clip(point.u + length * step, scaled.low, scaled.high)
    closer = _look(scaled, u, point.z - length * change, stage)
    return closer if closer.value < point.value else None
