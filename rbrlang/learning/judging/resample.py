"""How sure is a rate, when what was counted came in prompts?

Completions of one prompt are anything but independent, so prompts are resampled, not completions or
pairs: resampling pairs makes every interval far too narrow. A rate is a ratio of sums over prompts,
Σ count / Σ of, and both sums are formed anew for every resample; all rates of one call share the
resamples, so that the difference between two of them is not noise.

A rate of exactly 0 or 1 does not vary between resamples, and an interval of width 0 would be a lie. Its
open end is then the exact one for n prompts of which none (or all) show the event, 1 − 0.025^(1/n).

Reference: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals)
and 8 (resampling the independent units); Clopper & Pearson 1934 (Biometrika 26, 404).

>>> prompts = Prompts(12, seed=0, resamples=1000)
>>> (found,) = prompts.rates(np.zeros((12, 1)), np.ones((12, 1)))
>>> found.value, found.low, round(found.high, 3)
(0.0, 0.0, 0.265)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import FEWEST_PROMPTS
from rbrlang.told import Told

Matrix = NDArray[np.float64]

_CELLS = 4_000_000  # numbers of one batch of resamples held at a time
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Estimate(Told):
    """A rate and its central 95 % interval; `refused` says why there is none."""

    value: float
    low: float | None
    high: float | None
    refused: str | None

    def said(self) -> str:
        """As people read it: `0.125 (0.08–0.19)`."""
        return f"{self.value:.3f}" + ("" if self.low is None else f" ({self.low:.2f}–{self.high:.2f})")


@dataclass(frozen=True, slots=True)
class ByReward(Told):
    """One rate for three rewards; `base` is None when no row carries a base reward."""

    base: Estimate | None
    rules: Estimate
    both: Estimate

    def said(self) -> tuple[str, str, str]:
        """As people read them: base, rules, both."""
        return "–" if self.base is None else self.base.said(), self.rules.said(), self.both.said()


class Prompts:
    """Resamples of a number of prompts: the same for every rate, and for every run with one seed."""

    def __init__(self, number: int, seed: int | tuple[int, ...], resamples: int) -> None:
        """`resamples` 0 asks for no intervals."""
        self._number = number
        self._seed = seed
        self._resamples = resamples

    def rates(self, counts: Matrix, of: Matrix) -> tuple[Estimate | None, ...]:
        """The rate of each column of `counts` [prompts, rates] among `of`, same shape; None where Σ of is 0."""
        return self.estimates(counts, of, self.draws(counts, of))

    def estimates(self, counts: Matrix, of: Matrix, draws: Matrix) -> tuple[Estimate | None, ...]:
        """`rates`, given their `draws`."""
        prompts = np.count_nonzero(of, axis=0).tolist()
        values = _ratio(counts.sum(axis=0), of.sum(axis=0)).tolist()
        return tuple(
            None if value != value else self.estimate(value, draws[:, at], units)
            for at, (value, units) in enumerate(zip(values, prompts, strict=True))
        )

    def draws(self, counts: Matrix, of: Matrix) -> Matrix:
        """The rates in every resample [resamples, rates]; NaN where a resample drew nothing to count."""
        if self._number == 0 or self._resamples == 0:
            return np.zeros((0, counts.shape[1]))
        return np.concatenate([_ratio(drawn @ counts, drawn @ of) for drawn in self._drawn()])

    def estimate(self, value: float, draws: Matrix, units: int) -> Estimate:
        """A value with the interval of its `draws` [resamples]; `units` prompts had something to count."""
        if self._resamples == 0:
            return Estimate(value, None, None, "not asked for")
        if units < FEWEST_PROMPTS:
            few = "1 prompt is" if units == 1 else f"{units} prompts are"
            return Estimate(value, None, None, f"{few} too few to resample; {FEWEST_PROMPTS} are needed")
        open_end = 1.0 - _TAIL ** (1.0 / units)
        if value == 0.0:
            return Estimate(value, 0.0, open_end, None)
        if value == 1.0:
            return Estimate(value, 1.0 - open_end, 1.0, None)
        low, high = np.nanpercentile(draws, (100 * _TAIL, 100 * (1 - _TAIL))).tolist()
        return Estimate(value, low, high, None)

    def _drawn(self) -> Iterator[Matrix]:
        """How often each prompt was drawn, [some resamples, prompts]."""
        rng = np.random.default_rng(self._seed)
        left = self._resamples
        while left:
            batch = min(left, max(1, _CELLS // self._number))
            chosen = rng.integers(self._number, size=(batch, self._number))
            chosen += self._number * np.arange(batch)[:, None]
            counts = np.bincount(chosen.ravel(), minlength=batch * self._number)
            yield counts.reshape(batch, self._number).astype(np.float64)
            left -= batch


def sums(prompt_of: NDArray[np.int64], values: Matrix, prompts: int) -> Matrix:
    """Σ values [n] by prompt, float64 [prompts]."""
    return np.bincount(prompt_of, values, minlength=prompts).astype(np.float64)


def _ratio(counts: Matrix, of: Matrix) -> Matrix:
    return np.divide(counts, of, out=np.full(counts.shape, np.nan), where=of > 0.0)
