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

from rbrlang.learning.fitting.problem import Loss, Matrix, Scaled, Vector

WIDTHS = (0.1,)
TOLERANCE = 1e-2
REFIT_WIDTHS = (0.03, 0.01)
REFIT_TOLERANCE = 1e-3
MAX_STEPS = 60
MEMORY = 10
FENCE = 3.0
BLOCK = 64
LEAST_ROWS, LEAST_PAIRS = 1024, 4096
LEAST_LANES, LEAST_FEATURES = 4, 32
"""Smaller shapes are no faster, and each one costs a compilation."""


class _Arrays(NamedTuple):
    """Everything of all problems, in float32 and int32.

    `features` [row blocks, BLOCK, F], `row_lane` [row blocks]: the problem that a block belongs to;
    `better`, `worse`, `z`, `shares` [pair blocks, BLOCK] with `pair_lane` [pair blocks]; `low`, `high`,
    `fences`, `start` [lanes, F]; `ridge`, `sharpness` [lanes, 1]. Padding has share 0 and features 0.
    """

    features: jax.Array
    row_lane: jax.Array
    better: jax.Array
    worse: jax.Array
    z: jax.Array
    shares: jax.Array
    pair_lane: jax.Array
    start: jax.Array
    low: jax.Array
    high: jax.Array
    fences: jax.Array
    ridge: jax.Array
    sharpness: jax.Array


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Problems laid out for the device, of one loss; see `lay_out`."""

    arrays: _Arrays
    sizes: tuple[int, ...]
    pair_at: tuple[NDArray[np.int64], ...]
    loss: Loss


def lay_out(problems: Sequence[Scaled], starts: Sequence[Vector]) -> Batch:
    """Put problems (at least one, all of one loss) side by side, to be solved from `starts` [F]."""
    lanes = max(LEAST_LANES, 1 << (len(problems) - 1).bit_length())
    width = max(LEAST_FEATURES, -(-max(len(p.low) for p in problems) // 8) * 8)
    row_at, row_lane = _blocks([len(p.pairs.features) for p in problems], LEAST_ROWS)
    pair_at, pair_lane = _blocks([len(p.offsets) for p in problems], LEAST_PAIRS)
    features = np.zeros((len(row_lane) * BLOCK, width), np.float32)
    better, worse = (np.zeros(len(pair_lane) * BLOCK, np.int32) for _ in range(2))
    z, shares = (np.zeros(len(pair_lane) * BLOCK, np.float32) for _ in range(2))
    start, low, high, fences = *(np.zeros((lanes, width)) for _ in range(3)), np.ones((lanes, width))
    ridge, sharpness = np.zeros((lanes, 1)), np.ones((lanes, 1))
    for lane, (p, u, rows, pairs) in enumerate(zip(problems, starts, row_at, pair_at, strict=True)):
        size = len(p.low)
        start[lane, :size] = u
        features[rows, :size] = p.pairs.features
        better[pairs], worse[pairs] = rows[p.pairs.better], rows[p.pairs.worse]
        z[pairs], shares[pairs] = p.offsets - p.pairs.gaps(u), p.shares
        low[lane, :size], high[lane, :size] = p.low, p.high
        fences[lane, :size] = FENCE * np.mean(p.pairs.features**2, axis=0) + 1e-6
        ridge[lane], sharpness[lane] = p.ridge, p.sharpness
    # Shaped by numpy: every operation of JAX outside a program is a small program of its own, and compiled.
    blocked = (a.reshape(-1, BLOCK) for a in (better, worse, z, shares))
    per_lane = (a.astype(np.float32) for a in (start, low, high, fences, ridge, sharpness))
    everything = (features.reshape(-1, BLOCK, width), row_lane, *blocked, pair_lane, *per_lane)
    arrays = _Arrays(*jax.device_put(everything))
    return Batch(arrays, tuple(len(p.low) for p in problems), tuple(pair_at), problems[0].loss)


def _blocks(counts: Sequence[int], least: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int32]]:
    """Places of each problem's items when it starts on a block of its own, and the problem of every block."""
    blocks = [-(-count // BLOCK) for count in counts]
    first = np.cumsum([0, *blocks])
    lane = np.zeros(max(least // BLOCK, 1 << (int(first[-1]) - 1).bit_length()), np.int32)
    lane[: first[-1]] = np.repeat(np.arange(len(counts)), blocks)
    return [start * BLOCK + np.arange(count) for start, count in zip(first[:-1].tolist(), counts, strict=True)], lane


def descend(batch: Batch) -> tuple[list[Vector], int]:
    """Nearly the best u [F] of every problem and the quasi-Newton steps taken."""
    u, steps = _one(batch.arrays, jax.device_put(np.asarray(WIDTHS, np.float32)), TOLERANCE, loss=batch.loss)
    found = np.asarray(u, np.float64)
    return [found[lane, :size] for lane, size in enumerate(batch.sizes)], int(steps)


def redescend(batch: Batch, groups: Sequence[NDArray[np.int64]], draws: NDArray[np.int64]) -> list[Matrix]:
    """Each problem's u [draws, F] under resampled groups of pairs.

    `groups` int [N] gives each pair's group; `draws` int [draws, groups] how often each group was drawn. All
    refits are one program, one after the other: together they would not fit the cache of a small machine.
    """
    group = np.zeros(batch.arrays.better.size, np.int32)
    for at, pairs in zip(batch.pair_at, groups, strict=True):
        group[at] = pairs
    u = _many(
        batch.arrays, jax.device_put(np.asarray(REFIT_WIDTHS, np.float32)), REFIT_TOLERANCE, group.reshape(-1, BLOCK),
        draws.astype(np.float32), loss=batch.loss,
    )  # fmt: skip
    found = np.asarray(u, np.float64)
    return [found[:, lane, :size] for lane, size in enumerate(batch.sizes)]


@partial(jax.jit, static_argnames="loss")
def _one(arrays: _Arrays, widths: jax.Array, tolerance: float, *, loss: Loss) -> tuple[jax.Array, jax.Array]:
    return _minimise(arrays, widths, tolerance, loss)


@partial(jax.jit, static_argnames="loss")
def _many(
    arrays: _Arrays, widths: jax.Array, tolerance: float, group: ArrayLike, draws: ArrayLike, *, loss: Loss
) -> jax.Array:
    lanes = len(arrays.low)

    def refit(drawn: jax.Array) -> jax.Array:
        shares = arrays.shares * drawn[group]
        whole = jnp.zeros(lanes, shares.dtype).at[arrays.pair_lane].add(shares.sum(axis=1))
        shares = shares / jnp.maximum(whole, 1e-30)[arrays.pair_lane, None]
        return _minimise(arrays._replace(shares=shares), widths, tolerance, loss)[0]

    return jax.lax.map(refit, draws)


_Progress = tuple[jax.Array, jax.Array, jax.Array, optax.OptState, jax.Array]


def _minimise(
    arrays: _Arrays, widths: jax.Array, tolerance: float | jax.Array, loss: Loss
) -> tuple[jax.Array, jax.Array]:
    """u [lanes, F] and the steps taken, over all stages."""
    optimiser = optax.scale_by_lbfgs(memory_size=MEMORY)
    start, shares, pair_lane = arrays.start, arrays.shares, arrays.pair_lane
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

    def corner(z: jax.Array, width: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Slope and bend of every pair's smoothed loss."""
        if loss == "hinge":
            slope = jnp.clip(z / width + 1.0, 0.0, 1.0)
            return slope, ((slope > 0.0) & (slope < 1.0)) / width
        sharp = jnp.minimum(arrays.sharpness, 1.0 / width)[pair_lane]
        slope = jax.nn.sigmoid(sharp * z)
        return slope, sharp * slope * (1.0 - slope)

    def gradient(u: jax.Array, z: jax.Array, width: jax.Array) -> jax.Array:
        return arrays.ridge * u + arrays.fences * outside(u) - pull(shares * corner(z, width)[0])

    def stage(point: tuple[jax.Array, jax.Array], width: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        def unfinished(progress: _Progress) -> jax.Array:
            _, _, steepness, _, steps = progress
            return (steepness > tolerance) & (steps < MAX_STEPS)

        def step(progress: _Progress) -> _Progress:
            u, z, _, state, steps = progress
            slope = gradient(u, z, width)
            direction, state = optimiser.update(slope, state, u)
            direction = -jnp.asarray(direction)
            change = gaps(direction)

            def closer(_: int, length: jax.Array) -> jax.Array:
                slopes, bends = corner(z - length * change, width)
                there = u + length * direction
                rise = jnp.sum((arrays.ridge * there + arrays.fences * outside(there)) * direction)
                fenced = arrays.ridge + arrays.fences * (outside(there) != 0.0)
                bend = jnp.sum(shares * bends * change**2) + jnp.sum(fenced * direction**2)
                rise = rise - jnp.sum(shares * slopes * change)
                return jnp.clip(length - rise / jnp.maximum(bend, 1e-12), 0.1 * length, 4.0 * length)

            length = jax.lax.fori_loop(0, 2, closer, jnp.ones((), start.dtype))
            u, z = jnp.asarray(optax.apply_updates(u, length * direction)), z - length * change
            return u, z, jnp.linalg.norm(slope), state, steps + 1

        u, z = point
        first = (u, z, jnp.full((), jnp.inf, start.dtype), optimiser.init(u), jnp.zeros((), jnp.int32))
        u, z, _, _, steps = jax.lax.while_loop(unfinished, step, first)
        return (u, z), steps

    (u, _), steps = jax.lax.scan(stage, (start, arrays.z), widths)
    return u, steps.sum()
