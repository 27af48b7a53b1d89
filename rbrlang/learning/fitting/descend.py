"""How are good weights found fast, on whatever device JAX has?

All response types at once: their problems share no weight, so their sum is one problem, and one compiled
program serves any number of them. Completions and pairs are laid out in blocks of one response type each and
padded to powers of two, so that few shapes are ever compiled.

The descent is L-BFGS (`optax.scale_by_lbfgs`) on the smoothed loss, its corner narrowing from stage to
stage. Along a direction every pair's loss is a function of one number, so the line search, Newton's method
on that number, needs no further product with the features: one step costs one product each way.

The result is near the optimum, not at it, and may lie a hair outside the box; `finish` does the rest.

Reference: Liu & Nocedal, On the limited memory BFGS method, 1989; Nesterov, Smooth minimization of
non-smooth functions, 2005.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from numpy.typing import NDArray

from rbrlang.learning.fitting.problem import Loss, Scaled, Vector

WIDTH = 0.1
TOLERANCE = 1e-2
REFIT_LOOKS = ((0.03, 1e-3), (0.01, 1e-3))
PATH_LOOKS = ((0.03, 3e-4),)
"""Width of the corner and steepness to stop at."""
MAX_STEPS = 60
MEMORY = 10
FENCE = 3.0
BLOCK = 64
LEAST_ROWS, LEAST_PAIRS = 1024, 4096
LEAST_LANES, LEAST_FEATURES = 4, 32
"""Smaller shapes are no faster, and each one costs a compilation."""


class _Arrays(NamedTuple):
    """What does not change of all problems, in float32 and int32.

    `features` [row blocks, BLOCK, F], `row_lane` [row blocks]: the problem that a block belongs to;
    `better`, `worse` [pair blocks, BLOCK] with `pair_lane` [pair blocks]; `low`, `high`, `fences` [lanes, F];
    `sharpness` [lanes, 1]. Padding has features 0.
    """

    features: jax.Array
    row_lane: jax.Array
    better: jax.Array
    worse: jax.Array
    pair_lane: jax.Array
    low: jax.Array
    high: jax.Array
    fences: jax.Array
    sharpness: jax.Array


class _Point(NamedTuple):
    """Weights u [lanes, F], and z = c − D·u of all pairs [pair blocks, BLOCK]."""

    u: ArrayLike
    z: ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Problems laid out for the device, of one loss, and where they start; see `lay_out`."""

    arrays: _Arrays
    start: _Point
    problems: tuple[Scaled, ...]
    pair_at: tuple[NDArray[np.int64], ...]
    loss: Loss

    def shares(self, drawn: Sequence[Vector]) -> NDArray[np.float32]:
        """The shares [N] of every problem's pairs on their blocks; padding has none."""
        laid = np.zeros(self.arrays.better.size, np.float32)
        for at, shares in zip(self.pair_at, drawn, strict=True):
            laid[at] = shares
        return laid.reshape(-1, BLOCK)

    def ridges(self, ridges: Sequence[float]) -> NDArray[np.float32]:
        """The scaled ridge of every problem by lane, [lanes, 1]."""
        laid = np.zeros((len(self.arrays.low), 1), np.float32)
        laid[: len(ridges), 0] = ridges
        return laid

    def weights(self, u: ArrayLike) -> list[Vector]:
        """Each problem's u [F] of all lanes' [lanes, F]."""
        found = np.asarray(u, np.float64)
        return [found[lane, : len(p.low)] for lane, p in enumerate(self.problems)]


def lay_out(problems: Sequence[Scaled], starts: Sequence[Vector]) -> Batch:
    """Put problems (at least one, all of one loss) side by side, to be solved from `starts` [F]."""
    lanes = max(LEAST_LANES, 1 << (len(problems) - 1).bit_length())
    width = max(LEAST_FEATURES, -(-max(len(p.low) for p in problems) // 8) * 8)
    row_at, row_lane = _blocks([len(p.pairs.features) for p in problems], LEAST_ROWS)
    pair_at, pair_lane = _blocks([len(p.offsets) for p in problems], LEAST_PAIRS)
    features = np.zeros((len(row_lane) * BLOCK, width), np.float32)
    better, worse = (np.zeros(len(pair_lane) * BLOCK, np.int32) for _ in range(2))
    z = np.zeros(len(pair_lane) * BLOCK, np.float32)
    start, low, high, fences = *(np.zeros((lanes, width)) for _ in range(3)), np.ones((lanes, width))
    sharpness = np.ones((lanes, 1))
    for lane, (p, u, rows, pairs) in enumerate(zip(problems, starts, row_at, pair_at, strict=True)):
        size = len(p.low)
        start[lane, :size] = u
        features[rows, :size] = p.pairs.features
        better[pairs], worse[pairs] = rows[p.pairs.better], rows[p.pairs.worse]
        z[pairs] = p.offsets - p.pairs.gaps(u)
        low[lane, :size], high[lane, :size] = p.low, p.high
        fences[lane, :size] = FENCE * np.mean(p.pairs.features**2, axis=0) + 1e-6
        sharpness[lane] = p.sharpness
    # Shaped by numpy: every operation of JAX outside a program is a small program of its own, and compiled.
    better, worse, z = (a.reshape(-1, BLOCK) for a in (better, worse, z))
    low, high, fences, sharpness, start = (a.astype(np.float32) for a in (low, high, fences, sharpness, start))
    everything = (features.reshape(-1, BLOCK, width), row_lane, better, worse, pair_lane, low, high, fences, sharpness)
    arrays = _Arrays(*jax.device_put(everything))
    point = _Point(*jax.device_put((start, z)))
    return Batch(arrays, point, tuple(problems), tuple(pair_at), problems[0].loss)


def _blocks(counts: Sequence[int], least: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int32]]:
    """Places of each problem's items when it starts on a block of its own, and the problem of every block."""
    blocks = [-(-count // BLOCK) for count in counts]
    first = np.cumsum([0, *blocks])
    lane = np.zeros(max(least // BLOCK, 1 << (int(first[-1]) - 1).bit_length()), np.int32)
    lane[: first[-1]] = np.repeat(np.arange(len(counts)), blocks)
    return [start * BLOCK + np.arange(count) for start, count in zip(first[:-1].tolist(), counts, strict=True)], lane


def descend(batch: Batch) -> tuple[list[Vector], int]:
    """Nearly the best u [F] of every problem and the quasi-Newton steps taken."""
    laid = batch.shares([p.shares for p in batch.problems]), batch.ridges([p.ridge for p in batch.problems])
    shares, ridge = jax.device_put(laid)
    point, steps = _stage(batch.arrays, shares, ridge, batch.start, WIDTH, TOLERANCE, loss=batch.loss)
    return batch.weights(point.u), int(steps)


def redescend(
    batch: Batch, groups: Sequence[NDArray[np.int64]], draws: NDArray[np.int64], ridges: Sequence[float | None]
) -> list[NDArray[np.float64]]:
    """Each problem's u [draws, ridges, F] under resampled groups of pairs, along `ridges`, in reward⁻¹.

    `groups` int [N] gives each pair's group; `draws` int [draws, groups] how often each group was drawn. The first
    ridge starts from the batch's start, every other from what the one before it found: strong ones first, for they
    are found in a step or two. A ridge of None is the problem's own, and is worth a second look with a narrower
    corner. One refit after the other: together they would not fit the cache of a small machine.
    """
    stages = [
        (jax.device_put(batch.ridges([p.ridge if ridge is None else ridge * p.scale for p in batch.problems])), looks)
        for ridge in ridges
        for looks in (REFIT_LOOKS if ridge is None else PATH_LOOKS,)
    ]
    found: list[list[list[Vector]]] = []
    for drawn in draws:
        shares, point = jax.device_put(batch.shares(_drawn(batch, groups, drawn))), batch.start
        path: list[list[Vector]] = []
        for ridge, looks in stages:
            for width, tolerance in looks:
                point, _ = _stage(batch.arrays, shares, ridge, point, width, tolerance, loss=batch.loss)
            path.append(batch.weights(point.u))
        found.append(path)
    return [np.array([[one[lane] for one in path] for path in found]) for lane in range(len(batch.problems))]


def _drawn(batch: Batch, groups: Sequence[NDArray[np.int64]], drawn: NDArray[np.int64]) -> list[Vector]:
    """The shares [N] of every problem's pairs when groups were drawn so often; all 0 where none of them was."""
    weighed = [p.shares * drawn[group] for p, group in zip(batch.problems, groups, strict=True)]
    return [shares / max(float(shares.sum()), 1e-30) for shares in weighed]


_Progress = tuple[jax.Array, jax.Array, jax.Array, optax.OptState, jax.Array]


@partial(jax.jit, static_argnames="loss")
def _stage(
    arrays: _Arrays, shares: jax.Array, ridge: jax.Array, point: _Point, width: float, tolerance: float, *, loss: Loss
) -> tuple[_Point, jax.Array]:
    """The minimum with a corner of that width, from a point, and the steps taken.

    `shares` [pair blocks, BLOCK], `ridge` [lanes, 1]. The only program there is: compiling it is what a first fit
    takes longest for.
    """
    optimiser = optax.scale_by_lbfgs(memory_size=MEMORY)
    start, pair_lane = jnp.asarray(point.u), arrays.pair_lane
    of_lane = (arrays.row_lane[:, None] == jnp.arange(len(start))).astype(start.dtype)

    def gaps(u: jax.Array) -> jax.Array:
        scores = jnp.einsum("kbf,kf->kb", arrays.features, u[arrays.row_lane]).reshape(-1)
        return scores[arrays.better] - scores[arrays.worse]

    def pull(multipliers: jax.Array) -> jax.Array:
        each = jnp.zeros(arrays.features.shape[0] * BLOCK, start.dtype)
        each = each.at[arrays.better].add(multipliers).at[arrays.worse].add(-multipliers)
        by_block = jnp.einsum("kb,kbf->kf", each.reshape(-1, BLOCK), arrays.features)
        return of_lane.T @ by_block

    def outside(u: jax.Array) -> jax.Array:
        return u - jnp.clip(u, arrays.low, arrays.high)

    def corner(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Slope and bend of every pair's smoothed loss."""
        if loss == "hinge":
            slope = jnp.clip(z / width + 1.0, 0.0, 1.0)
            return slope, ((slope > 0.0) & (slope < 1.0)) / width
        sharp = jnp.minimum(arrays.sharpness, 1.0 / width)[pair_lane]
        slope = jax.nn.sigmoid(sharp * z)
        return slope, sharp * slope * (1.0 - slope)

    def gradient(u: jax.Array, z: jax.Array) -> jax.Array:
        return ridge * u + arrays.fences * outside(u) - pull(shares * corner(z)[0])

    def unfinished(progress: _Progress) -> jax.Array:
        _, _, steepness, _, steps = progress
        return (steepness > tolerance) & (steps < MAX_STEPS)

    def step(progress: _Progress) -> _Progress:
        u, z, _, state, steps = progress
        slope = gradient(u, z)
        direction, state = optimiser.update(slope, state, u)
        direction = -jnp.asarray(direction)
        change = gaps(direction)

        def closer(_: int, length: jax.Array) -> jax.Array:
            slopes, bends = corner(z - length * change)
            there = u + length * direction
            rise = jnp.sum((ridge * there + arrays.fences * outside(there)) * direction)
            fenced = ridge + arrays.fences * (outside(there) != 0.0)
            bend = jnp.sum(shares * bends * change**2) + jnp.sum(fenced * direction**2)
            rise = rise - jnp.sum(shares * slopes * change)
            return jnp.clip(length - rise / jnp.maximum(bend, 1e-12), 0.1 * length, 4.0 * length)

        length = jax.lax.fori_loop(0, 2, closer, jnp.ones((), start.dtype))
        u, z = jnp.asarray(optax.apply_updates(u, length * direction)), z - length * change
        return u, z, jnp.linalg.norm(slope), state, steps + 1

    begin = (
        start,
        jnp.asarray(point.z),
        jnp.full((), jnp.inf, start.dtype),
        optimiser.init(start),
        jnp.zeros((), jnp.int32),
    )
    u, z, _, _, steps = jax.lax.while_loop(unfinished, step, begin)
    return _Point(u, z), steps
