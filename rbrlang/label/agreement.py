"""How far do annotators agree beyond chance, and how many labels until a share is known well enough?

Both coefficients are 1 where all agree and about 0 where chance alone would; None where everybody gave one and the same value, or
nobody met another.

- **Kappa** of two annotators: Cohen's; of a scale weighted by the squared distance of levels (as `rbrc agree` has it).
- **Alpha** of all annotators together, some of whom may be missing anywhere: Krippendorff's (Content Analysis, 2004, 221-230), nominal, and
  of a scale ordinal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.trust.values import kappa

Table = NDArray[np.int64]
_MOST = 10**9
_Z = 1.959963984540054  # two-sided 95 % of the normal distribution


def alpha(table: Table, values: int, *, ordinal: bool) -> float | None:
    """Krippendorff's alpha of numbers of values [units, annotators], −1 = none."""
    counts = np.stack([(table == value).sum(1) for value in range(values)], 1).astype(np.float64)
    counts = counts[counts.sum(1) > 1]
    if not len(counts):
        return None
    met = (np.einsum("ui,uj->uij", counts, counts) - np.einsum("ui,ij->uij", counts, np.eye(values))) / (
        counts.sum(1)[:, None, None] - 1.0
    )
    together, every = met.sum(0), counts.sum(0)
    if ordinal:
        ends = np.cumsum(every) - every / 2
        cost = (ends[:, None] - ends) ** 2
    else:
        cost = 1.0 - np.eye(values)
    chance = float(every @ cost @ every)
    if chance <= 0.0:
        return None
    return 1.0 - (every.sum() - 1.0) * float((together * cost).sum()) / chance


def cohen(one: Table, other: Table, values: int, *, quadratic: bool) -> float | None:
    """Cohen's kappa of two annotators' numbers of values [units], −1 = none."""
    both = (one >= 0) & (other >= 0)
    table = np.zeros((values, values))
    np.add.at(table, (one[both], other[both]), 1.0)
    if not both.any() or len(np.flatnonzero(table.sum(0) + table.sum(1))) < 2:
        return None
    return float(kappa(table[None], quadratic=quadratic)[0])


def needed(share: float, half: float) -> int:
    """The fewest labels at which Wilson's 95 % interval of a share is no wider than twice `half`, which is above 0."""

    def wide(count: int) -> bool:
        spread = _Z * _Z / count
        return _Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count)) > half

    low, high = 0, 1
    while high < _MOST and wide(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return high


def numbers(values: Sequence[str], said: Sequence[str | None]) -> Table:
    """Answers by the number of their value, −1 for none and for those that cannot tell."""
    at = {value: number for number, value in enumerate(values)}
    return np.array([at.get(one or "", -1) for one in said], np.int64)
