"""What is each juror worth, what are they together, and what would be lost without one?

Everything that was learned is judged on prompts that it never saw; the jurors and their mean learn nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.several import weights
from rbrlang.grading.several.jury import Floats, Weights
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.agreement import Agreement, Macro, TooLittle


@dataclass(frozen=True, slots=True)
class Judged:
    """A grader, or several together: by proposition, and the means; `answered` of `labels` had a value."""

    each: tuple[Agreement | TooLittle, ...]
    macro: Macro | TooLittle
    answered: int
    labels: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`jurors` alone, their mean and the fitted jury; `kappa` [jurors, jurors] is the mean over propositions, NaN where none
    can be judged; `without` each juror the fitted jury of the others, None where only one is left out of two or more."""

    jurors: tuple[Judged, ...]
    mean: Judged
    fitted: Judged
    kappa: Floats
    without: tuple[Judged, ...]


def verdict(
    names: Sequence[str], labels: Floats, p: Floats, prompts: NDArray[np.int64], seed: int, resamples: int
) -> Verdict:
    """From labels [rows, propositions] (1, 0, NaN) and the jurors' P(yes) [jurors, rows, propositions]."""

    def judged(q: Floats) -> Judged:
        each, macro = agreement.assess_all(labels, q, prompts, seed, resamples=resamples)
        known = np.isfinite(labels)
        return Judged(each, macro, int((known & np.isfinite(q)).sum()), int(known.sum()))

    others = [[at for at in range(len(p)) if at != left] for left in range(len(p))]
    return Verdict(
        tuple(judged(one) for one in p),
        judged(weights.answered(Weights.mean(np.ones((len(p), len(names)), np.bool_)), p)),
        judged(weights.cross_fitted(names, labels, p, prompts, seed)),
        np.array([[_kappa(one, other) for other in p] for one in p]),
        tuple(judged(weights.cross_fitted(names, labels, p[rest], prompts, seed)) for rest in others),
    )


def _kappa(one: Floats, other: Floats) -> float:
    """Agreement beyond chance of two jurors at one half, the mean over propositions on which the first says both often enough."""
    found: list[float] = []
    for a, b in zip(one.T, other.T, strict=True):
        both = np.isfinite(a) & np.isfinite(b)
        if agreement.too_little(a[both] >= 0.5) is None:
            found.append(agreement.kappa(a[both] >= 0.5, b[both] >= 0.5))
    return float(np.mean(found)) if found else float("nan")
