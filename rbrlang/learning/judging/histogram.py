"""By how much does a reward keep the classes of completions apart?

The reward of every completion is centred on the mean reward of its prompt's completions of the best rank,
for base rewards are not comparable between prompts; the ideal ones then lie around 0 and the worse ones
should lie below (Mu et al. 2024, figure 3). Prompts without a completion of the best rank take no part.

Bins are of equal width; the first and last also hold what lies beyond the 1 % and 99 % quantiles, so that a
single outlier does not squeeze all others into one bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rbrlang.told import Told

BINS = 24
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class Histogram(Told, called={"signal": None}):
    """Centred rewards under one signal: `counts[class][bin]` rows in `edges[bin] … edges[bin + 1]`.

    `means[class]` is the mean centred reward, None for a class without rows. `left_out` counts rows of
    prompts without a completion of the best rank.
    """

    signal: str
    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    means: tuple[float | None, ...]
    left_out: int


def centred(scores: NDArray[np.float64], best: NDArray[np.bool_], prompt_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores [n] less the mean of their prompt's `best` [n] ones; NaN where it has none."""
    number = int(prompt_of.max()) + 1 if len(prompt_of) else 0
    count = np.bincount(prompt_of, best, minlength=number)
    total = np.bincount(prompt_of, np.where(best, scores, 0.0), minlength=number)
    middle = np.divide(total, count, out=np.full(number, np.nan), where=count > 0)
    return scores - middle[prompt_of]


def histograms(
    scores: Mapping[Name, NDArray[np.float64]],
    classes: NDArray[np.int64],
    ranks: NDArray[np.int64],
    prompt_of: NDArray[np.int64],
) -> tuple[Histogram, ...]:
    """One histogram per signal; none when no prompt has a completion of the best rank.

    `scores[signal]` [n], `classes` [n], `prompt_of` [n]: numbers from 0; `ranks` [classes].
    """
    best = ranks[classes] == 0
    found: list[Histogram] = []
    for signal, values in scores.items():
        centre = centred(values, best, prompt_of)
        known = np.isfinite(centre)
        if not known.any():
            continue
        edges = _edges(centre[known])
        place = np.clip(np.searchsorted(edges, centre, side="right") - 1, 0, BINS - 1)
        counts = np.zeros((len(ranks), BINS), np.int64)
        np.add.at(counts, (classes[known], place[known]), 1)
        means = [
            float(centre[known & (classes == k)].mean()) if (known & (classes == k)).any() else None
            for k in range(len(ranks))
        ]
        found.append(
            Histogram(
                signal, tuple(edges.tolist()), tuple(tuple(row) for row in counts.tolist()), tuple(means),
                int((~known).sum()),
            )
        )  # fmt: skip
    return tuple(found)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges [bins + 1] around the bulk of the values and around 0, where the ideal ones lie."""
    low, high = np.quantile(values, (0.01, 0.99)).tolist()
    low, high = min(low, 0.0), max(high, 0.0)
    spread = high - low
    if spread <= 0.0:
        spread = max(abs(low), 1.0)
    return np.linspace(low - 0.02 * spread, high + 0.02 * spread, BINS + 1)
