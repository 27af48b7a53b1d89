"""How far could a statistic be off, had other prompts been drawn?

Percentile intervals of the bootstrap that draws prompts, not rows (Efron & Tibshirani, An Introduction to the
Bootstrap, 1993, chapters 8 and 13): rows of one prompt are no independent facts. A draw is a weight for each
prompt, the number of times that it was drawn, so that all draws of a block are one matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_PROMPTS = 10
"""Prompts below which nothing is resampled: the ends of the interval are NaN."""
_BLOCK = 1 << 21  # weights of resampled rows that are held at a time

Bools = NDArray[np.bool_]
Numbers = NDArray[np.floating]

Draws = NDArray[np.float64]
"""A number for each draw, NaN where it is undefined."""
Statistic = Callable[[Bools, Numbers, NDArray[np.int64], NDArray[np.float64]], Draws]
"""Truth [n], P(yes) [n], the number of each row's prompt [n] and the draws [draws, prompts] to a number for each."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its 95 % interval, NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Resampling:
    """`number` draws of as many prompts as there are, with replacement; the same seed draws the same."""

    prompts: int
    number: int
    seed: int

    def blocks(self, rows: int) -> Iterator[NDArray[np.float64]]:
        """How often each prompt was drawn, [draws, prompts], in blocks that suit `rows` rows."""
        random = np.random.default_rng(self.seed)
        number = self.number if self.prompts >= FEWEST_PROMPTS else 0
        step = max(1, _BLOCK // max(rows, self.prompts))
        for start in range(0, number, step):
            size = min(step, number - start)
            drawn = random.integers(self.prompts, size=(size, self.prompts))
            drawn += np.arange(size)[:, None] * self.prompts
            counts = np.bincount(drawn.ravel(), minlength=size * self.prompts)
            yield counts.reshape(size, self.prompts).astype(np.float64)


def replicates(
    statistics: Sequence[Statistic], truth: Bools, p: Numbers, groups: NDArray[np.int64], resampling: Resampling
) -> NDArray[np.float64]:
    """Each statistic of each draw, [statistics, draws]; `groups` [n] is the number of each row's prompt."""
    found = [
        np.stack([statistic(truth, p, groups, counts) for statistic in statistics])
        for counts in resampling.blocks(len(truth))
    ]
    return np.concatenate(found, axis=1) if found else np.full((len(statistics), 0), np.nan)


def spread(value: float, draws: NDArray[np.float64]) -> Interval:
    """A value with the central 95 % of its draws; undefined draws are left out."""
    kept = draws[np.isfinite(draws)]
    if not len(kept):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(kept, [0.025, 0.975]).tolist()
    return Interval(value, low, high)
