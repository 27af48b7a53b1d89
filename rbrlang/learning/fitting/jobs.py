"""What exactly is fitted, and on which prompts, for one response type?

Prompts, not pairs, are split into training and held out, for pairs of one prompt are anything but independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import Comparisons
from rbrlang.learning.fitting.problem import Loss, Pairs, Problem
from rbrlang.learning.fitting.ties import Tied
from rbrlang.learning.preferences import PairSource
from rbrlang.learning.sample import Sample


class FitError(ValueError):
    """Nothing can be fitted, or not as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked of a fit; see `fit.fit`. A `ridge` of None is to be chosen."""

    ridge: float | None
    loss: Loss
    seed: int
    bootstrap: int
    folds: int
    whiten: bool
    has_base: bool
    pairs: tuple[PairSource, ...]


def ticket(seed: int, key: str) -> bytes:
    """A number drawn for a prompt, the same in any order of rows."""
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def held_out_prompts(samples: Sequence[Sample], keys: tuple[str, ...], share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each prompt is held out, bool [prompts]: `share` of those with comparisons, per response type.

    By a hash of seed and prompt, so that the order of rows does not matter. A prompt that serves two response
    types is on one side in both.
    """
    tickets = [ticket(seed, key) for key in keys]
    kept = np.zeros(len(keys), np.bool_)
    assigned = np.zeros(len(keys), np.bool_)
    for sample in samples:
        prompts = np.unique(sample.comparisons.prompt)
        new = sorted(prompts[~assigned[prompts]].tolist(), key=tickets.__getitem__)
        kept[new[: int(share * len(new) + 0.5)]] = True
        assigned[prompts] = True
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One response type: its default weights [F], its ties, and its comparisons for fitting and judging."""

    sample: Sample
    default: NDArray[np.float64]
    tied: Tied
    train: Comparisons
    test: Comparisons
    base_spread: float | None
    problem: Problem


def job_of(sample: Sample, default: NDArray[np.float64], ties: Tied, kept: NDArray[np.bool_], options: Options) -> Job:
    """What to fit and judge for a response type; `kept` [prompts] are held out. Raises `FitError`."""
    later = kept[sample.comparisons.prompt]
    if later.all():  # a single prompt: rather fit it than judge nothing by it
        later = np.zeros_like(later)
    train, test = sample.comparisons.of(~later), sample.comparisons.of(later)
    default = default[: len(sample.response.features)]
    spread = _spread_within(sample.base, sample.prompts) if options.has_base else None
    if options.whiten and not spread:
        raise FitError(
            f"the base reward of `{sample.response.name}` cannot be whitened: "
            + ("no row has one" if spread is None else "it does not vary within any prompt")
        )
    return Job(sample, default, ties, train, test, spread, problem_of(sample, train, default, ties, spread, options))


def _spread_within(base: NDArray[np.float64], prompts: NDArray[np.int64]) -> float:
    """Standard deviation of base rewards [n] about the mean of their prompt."""
    _, group = np.unique(prompts, return_inverse=True)
    count = np.bincount(group)
    # About the first one of its prompt before anything is squared: rewards in the millions would lose all digits.
    first = np.zeros(len(count))
    first[group[::-1]] = base[::-1]
    moved = base - first[group]
    return float(np.sqrt(np.mean((moved - (np.bincount(group, moved) / count)[group]) ** 2)))


def problem_of(
    sample: Sample,
    pairs: Comparisons,
    default: NDArray[np.float64],
    ties: Tied,
    spread: float | None,
    options: Options,
) -> Problem:
    """The problem of some of a sample's `pairs`; `default` [F] weights are its centre, `spread` scales that and margins if asked.

    Where no ridge was asked for it has the automatic one, which only decides between equally good weights.
    """
    unit = spread if options.whiten and spread is not None else 1.0
    return Problem(
        pairs=Pairs(_within_prompts(ties.gather(sample.features), sample.prompts), pairs.better, pairs.worse),
        offsets=pairs.margin * unit - (sample.base[pairs.better] - sample.base[pairs.worse]),
        shares=pairs.shares(),
        low=ties.low,
        high=ties.high,
        centre=ties.centre(default * unit),
        ridge=options.ridge or None,
        loss=options.loss,
    )


def _within_prompts(features: NDArray[np.float64], prompts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Features less those of the prompt's first completion, exactly 0 where they vary within no prompt."""
    _, first, group = np.unique(prompts, return_index=True, return_inverse=True)
    moved = features - features[first[group]]
    return moved * (np.abs(moved).max(axis=0, initial=0.0) > 1e-6)
