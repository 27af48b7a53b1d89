"""Which completion should outrank which, and by how much?

A *comparison* is a pair of completions of one prompt whose classes have different rank (paper,
section 4.3). Classes that tie make no pair; completions of different prompts are never compared, for
base rewards are not comparable between prompts. The margin of a pair is that of its better class, a
float: with integers a wanted gap of 0.5 would silently become 0.

All prompts are enumerated at once: completions are sorted by prompt, and the k-th completion of a
prompt of size n opens the n − k − 1 pairs with those after it. Cost is linear in the candidate pairs.

>>> compare(prompts=np.array([0, 0, 0, 1]), ranks=np.array([0, 1, 1, 0]), margins=np.array([0.5, 1, 1, 1]))
Comparisons(better=array([0, 0]), worse=array([1, 2]), margin=array([0.5, 0.5]), prompt=array([0, 0]), source=array([0, 0]))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbrlang.errors import UserError

MAX_CANDIDATES = 200_000_000
FEWEST_PROMPTS = 10
"""Fewer prompts than this are not resampled: percentiles over so few units mean nothing."""


class TooManyComparisons(UserError, ValueError):
    """The candidate pairs would not fit in memory; usually one prompt stands for many."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Pairs of completions, one entry a pair.

    `better`, `worse`: indices of completions; `margin`: wanted gap in reward, float64; `prompt`: the
    prompt number of the pair, as given; `source`: which of several sources ordered it, 0 where there is one. In the order
    of sources, in each by prompt, then by the completions' indices.
    """

    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    margin: NDArray[np.float64]
    prompt: NDArray[np.int64]
    source: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.better)

    def of(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Comparisons:
        """Those pairs where `keep`, shape [pairs], is true, or those of these numbers in this order."""
        return Comparisons(self.better[keep], self.worse[keep], self.margin[keep], self.prompt[keep], self.source[keep])

    def by_source(self) -> dict[int, Comparisons]:
        """The pairs of every source that has any."""
        numbers = np.unique(self.source).tolist()
        return {number: self if len(numbers) == 1 else self.of(self.source == number) for number in numbers}

    def shares(self) -> NDArray[np.float64]:
        """What each pair counts [pairs]: every source as much as every other, in it every pair; 1 in all.

        >>> both = joined([compare([0, 0, 0], [0, 1, 2], [1, 1, 1]), compare([0, 0], [0, 1], [1, 1])])
        >>> both.shares().round(3).tolist()
        [0.167, 0.167, 0.167, 0.5]
        """
        _, of, count = np.unique(self.source, return_inverse=True, return_counts=True)
        return 1.0 / (len(count) * count[of])


def joined(parts: Sequence[Comparisons]) -> Comparisons:
    """The pairs of several sources, at least one, numbered in this order."""
    if len(parts) == 1:
        return parts[0]
    return Comparisons(
        np.concatenate([part.better for part in parts]),
        np.concatenate([part.worse for part in parts]),
        np.concatenate([part.margin for part in parts]),
        np.concatenate([part.prompt for part in parts]),
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
    )


def compare(prompts: ArrayLike, ranks: ArrayLike, margins: ArrayLike) -> Comparisons:
    """All comparisons within prompts of one response type.

    `prompts` int [n]: which prompt a completion answers; `ranks` int [n]: rank of its class, 0 is best,
    and negative says that it takes no part; `margins` float [n]: the wanted gap of its class over any
    class of worse rank. Raises `TooManyComparisons` above 200 million candidates.
    """
    prompt, rank = np.asarray(prompts, np.int64), np.asarray(ranks, np.int64)
    margin = np.asarray(margins, np.float64)
    ranked = np.flatnonzero(rank >= 0)
    order = ranked[np.argsort(prompt[ranked], kind="stable")]
    _, start, size = np.unique(prompt[order], return_index=True, return_counts=True)
    candidates = int(np.sum(size * (size - 1) // 2))
    if candidates > MAX_CANDIDATES:
        raise TooManyComparisons(
            f"{candidates:,} candidate pairs within prompts, more than {MAX_CANDIDATES:,} (the largest prompt has"
            f" {int(size.max()):,} completions); check that different prompts differ, or sample completions"
        )
    place = np.arange(len(order)) - np.repeat(start, size)
    later = np.repeat(size, size) - place - 1  # completions of the same prompt after this one
    first = np.repeat(np.arange(len(order)), later)
    within = np.arange(candidates) - np.repeat(np.cumsum(later) - later, later)
    left, right = order[first], order[first + 1 + within]
    differs = rank[left] != rank[right]
    left, right = left[differs], right[differs]
    swap = rank[left] > rank[right]
    better, worse = np.where(swap, right, left), np.where(swap, left, right)
    return Comparisons(better, worse, margin[better], prompt[better], np.zeros(len(better), np.int64))


def ordering_error(scores: NDArray[np.floating], comparisons: Comparisons) -> float:
    """Share of comparisons that `scores` [n] order wrongly, a tie counting half; NaN without any.

    Half of 1 minus Kendall's tau between the scores and the ranks, as far as ranks speak. Of several sources the mean.
    """
    wrong = [float(pair_errors(scores, one).mean()) for one in comparisons.by_source().values()]
    return sum(wrong) / len(wrong) if wrong else float("nan")


def pair_errors(scores: NDArray[np.floating], comparisons: Comparisons) -> NDArray[np.float64]:
    """For each comparison 0 when `scores` order it rightly, 1 when wrongly, 0.5 when they tie."""
    gap = scores[comparisons.better] - scores[comparisons.worse]
    return 0.5 - 0.5 * np.sign(gap, dtype=np.float64)
