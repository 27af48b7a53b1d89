"""How well does a grader agree with people, and is there enough data to say?

Pure numpy: arrays in, numbers out. `truth` is Boolean [n], `p` is P(yes) in [0, 1] [n], `prompts` names the
prompt of each row (any integers; rows of one prompt are resampled together). A statistic that the data
cannot support is not printed: `assess` returns `TooLittle` with the reason instead of an `Agreement`.

    >>> truth = np.array([True, True, False, False])
    >>> auc(truth, np.array([0.9, 0.4, 0.4, 0.1]))
    0.875
    >>> too_little(truth)
    '2 positives and 2 negatives; at least 5 of each are needed'

Calibration error on few rows is biased upward: a perfectly calibrated grader with p = 0.5 everywhere and
100 rows already shows about 0.04. Read it with its interval.

Intervals of areas and calibration errors come from `bootstrap`, those of shares are Wilson's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.trust.bootstrap import FEWEST_PROMPTS, Draws, Interval, Resampling, replicates, spread

BINS = 10
RESAMPLES = 1000
_Z = 1.959963984540054  # two-sided 95 % of the normal distribution

Bools = NDArray[np.bool_]
Numbers = NDArray[np.floating]
Metric = Literal["accuracy", "balanced_accuracy", "f1", "kappa"]


FEWEST_OF_EACH = 5
"""Labels of either answer below which nothing is learned and nothing is claimed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Cross-fitted worth: area under the ROC curve with its 95 % bootstrap interval over prompts."""

    auc: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Brier:
    """Brier score and its decomposition over bins, `score = reliability − resolution + uncertainty + within`.

    The first three are Murphy's (1973, J. Appl. Meteorol. 12, 595); `within` is what binning leaves over
    (Stephenson, Coelho & Jolliffe 2008, Weather and Forecasting 23, 752).
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of the reliability diagram: rows in the bin, mean P(yes), share of yes."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """One proposition's agreement at a threshold. `support` counts rows with a label and a value."""

    support: int
    positives: int
    threshold: float
    accuracy: Interval
    balanced_accuracy: float
    sensitivity: Interval
    specificity: Interval
    kappa: float
    auc: Interval
    brier: Brier
    ece: Interval
    reliability: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class TooLittle:
    """No agreement is stated, for the reason given."""

    support: int
    positives: int
    reason: str


@dataclass(frozen=True, slots=True)
class Macro:
    """Means over the propositions that were not refused."""

    propositions: int
    accuracy: float
    balanced_accuracy: float
    auc: Interval
    brier: float
    ece: Interval


# --- one number ---------------------------------------------------------------------------------


def too_little(truth: Bools) -> str | None:
    """Why nothing can be said, or None where both answers have at least `FEWEST_OF_EACH` rows."""
    yes, no = int(truth.sum()), int((~truth).sum())
    if min(yes, no) >= FEWEST_OF_EACH:
        return None
    found = f"{yes} positive{'s' * (yes != 1)} and {no} negative{'s' * (no != 1)}"
    return f"{found}; at least {FEWEST_OF_EACH} of each are needed"


def wilson(successes: int, trials: int) -> Interval:
    """A proportion with Wilson's score interval (1927, JASA 22, 209). NaN, 0, 1 without trials."""
    if trials == 0:
        return Interval(float("nan"), 0.0, 1.0)
    share, spread = successes / trials, _Z * _Z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * np.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Interval(share, float(max(0.0, min(share, middle - half))), float(min(1.0, max(share, middle + half))))


def auc(truth: Bools, score: Numbers) -> float:
    """Area under the ROC curve: P(a yes row scores above a no row), ties half. NaN with one answer only."""
    yes, no = int(truth.sum()), int((~truth).sum())
    if yes == 0 or no == 0:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def brier(truth: Bools, p: Numbers, bins: int = BINS) -> Brier:
    """Mean squared error of probabilities, decomposed over equal-width bins."""
    error, within = float(np.mean((p - truth) ** 2)), 0.0
    base, reliability, resolution = float(truth.mean()), 0.0, 0.0
    for members in _members(p, bins):
        share, mean, seen = members.mean(), p[members].mean(), truth[members].mean()
        reliability += float(share * (mean - seen) ** 2)
        resolution += float(share * (seen - base) ** 2)
        deviation = p[members] - mean
        within += float(share * np.mean(deviation**2 - 2 * deviation * (truth[members] - seen)))
    return Brier(error, reliability, resolution, base * (1 - base), within)


def ece(truth: Bools, p: Numbers, bins: int = BINS) -> float:
    """Expected calibration error: mean |share of yes − mean P(yes)| over equal-width bins, by rows.

    Naeini, Cooper & Hauskrecht 2015 (https://ojs.aaai.org/index.php/AAAI/article/view/9602).
    """
    return float(sum(m.mean() * abs(truth[m].mean() - p[m].mean()) for m in _members(p, bins)))


def reliability(truth: Bools, p: Numbers, bins: int = BINS) -> tuple[Bin, ...]:
    """The reliability diagram; bins without rows are left out."""
    return tuple(Bin(int(m.sum()), float(p[m].mean()), float(truth[m].mean())) for m in _members(p, bins))


def kappa(truth: Bools, said: Bools) -> float:
    """Cohen's kappa (1960, Educ. Psychol. Meas. 20, 37): agreement beyond chance; 0 where chance is certain."""
    return metric("kappa", truth, said)


def metric(which: Metric, truth: Bools, said: Bools) -> float:
    """Agreement of answers with labels. A rate without rows counts 0."""
    hits, claimed = np.array([(truth & said).sum()]), np.array([said.sum()])
    return float(_metric(which, hits, claimed, int(truth.sum()), len(truth))[0])


def _metric(which: Metric, hits: Any, claimed: Any, yes: int, rows: int) -> Any:
    """The metric for arrays of counts: right claims of yes, and claims of yes, among `rows` with `yes` positives."""
    no = rows - yes
    right = hits + no - (claimed - hits)
    match which:
        case "accuracy":
            return right / rows
        case "balanced_accuracy":
            return (hits / max(yes, 1) + (no - claimed + hits) / max(no, 1)) / 2
        case "f1":
            return 2 * hits / np.maximum(yes + claimed, 1)
        case "kappa":
            chance = (yes * claimed + no * (rows - claimed)) / rows**2
            certain = chance == 1
            return np.where(certain, 0.0, (right / rows - chance) / np.where(certain, 1.0, 1 - chance))
        case _:
            assert_never(which)


def best_threshold(which: Metric, truth: Bools, p: Numbers) -> tuple[float, float]:
    """The threshold (yes at or above it) that maximises a metric, and the metric there.

    Between values the middle is taken; of equally good ones that nearest 0.5. It is fitted to these rows:
    expect less on others, and note that thresholds tuned proposition by proposition can ruin the classes.
    """
    values = np.unique(p.astype(np.float64))
    candidates = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [1.0 + 1e-9], [0.5]])
    claimed = len(p) - np.searchsorted(np.sort(p), candidates)
    hits = int(truth.sum()) - np.searchsorted(np.sort(p[truth]), candidates)
    scores = _metric(which, hits, claimed, int(truth.sum()), len(truth))
    best = max(zip(scores.tolist(), (-np.abs(candidates - 0.5)).tolist(), candidates.tolist(), strict=True))
    return best[2], best[0]


# --- intervals ----------------------------------------------------------------------------------


def drawn_auc(truth: Bools, score: Numbers, groups: NDArray[np.int64], counts: NDArray[np.float64]) -> Draws:
    """`auc` of the rows of each draw: `groups` [n] numbers their prompts, `counts` [draws, prompts] weighs these."""
    no = np.flatnonzero(~truth)[np.argsort(score[~truth], kind="stable")]
    below = np.cumsum(counts[:, groups[no]], axis=1)
    below = np.concatenate([np.zeros((len(counts), 1)), below], axis=1)
    worse, not_better = (np.searchsorted(score[no], score[truth], side) for side in ("left", "right"))
    yes = counts[:, groups[truth]]
    won = np.einsum("dn,dn->d", yes, below[:, worse] + below[:, not_better]) / 2
    pairs = yes.sum(axis=1) * below[:, -1]
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), np.nan)


def drawn_ece(truth: Bools, p: Numbers, groups: NDArray[np.int64], counts: NDArray[np.float64]) -> Draws:
    """`ece` of the rows of each draw, see `drawn_auc`."""
    prompts = counts.shape[1]
    at = groups * BINS + np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.bincount(at, truth - p.astype(np.float64), prompts * BINS).reshape(prompts, BINS)
    total = counts @ np.bincount(groups, minlength=prompts)
    return np.where(total > 0, np.abs(counts @ gaps).sum(axis=1) / np.where(total > 0, total, 1.0), np.nan)


def auc_interval(
    truth: Bools, score: Numbers, prompts: NDArray[np.int64], seed: int, resamples: int = RESAMPLES
) -> Measured:
    """The area under the ROC curve with its bootstrap interval over prompts."""
    distinct, groups = np.unique(prompts, return_inverse=True)
    draws = replicates((drawn_auc,), truth, score, groups, Resampling(len(distinct), resamples, seed))
    found = _auc_spread(truth, score, draws[0])
    return Measured(found.value, found.low, found.high)


def _auc_spread(truth: Bools, score: Numbers, draws: NDArray[np.float64]) -> Interval:
    """The area with its interval. Every draw of a perfect ranking is perfect, so there the bootstrap says nothing.

    Its other end is then Wilson's for as many successes as the rarer answer has rows: that nothing went wrong in
    few rows does not show that nothing will (Hanley & Lippman-Hand 1983, JAMA 249, 1743).
    """
    found = spread(auc(truth, score), draws)
    rarer = int(min(truth.sum(), (~truth).sum()))
    if np.isnan(found.low) or 0 < found.value < 1:
        return found
    least = wilson(rarer, rarer).low
    return Interval(1.0, least, 1.0) if found.value == 1 else Interval(0.0, 0.0, 1 - least)


def folds(prompts: NDArray[np.int64], seed: int, number: int) -> NDArray[np.int64]:
    """A fold number for each row; rows of one prompt share theirs."""
    distinct = np.unique(prompts)
    order = np.random.default_rng(seed).permutation(len(distinct))
    fold_of = dict(zip(distinct[order].tolist(), (np.arange(len(distinct)) % number).tolist(), strict=True))
    return np.array([fold_of[p] for p in prompts.tolist()])


# --- many numbers -------------------------------------------------------------------------------


def assess(
    truth: Bools,
    p: Numbers,
    prompts: NDArray[np.int64],
    seed: int,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
) -> Agreement | TooLittle:
    """Everything about one proposition. Rows without a label or a value must have been left out."""
    distinct, groups = np.unique(prompts, return_inverse=True)
    found = _assess(truth, p, groups, Resampling(len(distinct), resamples, seed), threshold)
    return found if isinstance(found, TooLittle) else found[0]


def assess_all(
    labels: Numbers,
    p: Numbers,
    prompts: NDArray[np.int64],
    seed: int,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
) -> tuple[tuple[Agreement | TooLittle, ...], Macro | TooLittle]:
    """Every proposition, and the means over those that are not refused.

    `labels` [rows, propositions] are 1, 0 or NaN (not labelled), `p` P(yes) or NaN (no value). All draw the same
    prompts, so that the means have intervals, too.
    """
    distinct, groups = np.unique(prompts, return_inverse=True)
    resampling = Resampling(len(distinct), resamples, seed)
    results: list[Agreement | TooLittle] = []
    draws: list[NDArray[np.float64]] = []
    for y, q in zip(labels.T, p.T, strict=True):
        known = np.isfinite(y) & np.isfinite(q)
        found = _assess(y[known] == 1, q[known], groups[known], resampling, threshold)
        if isinstance(found, TooLittle):
            results.append(found)
        else:
            results.append(found[0])
            draws.append(found[1])
    # A mean has an interval where all that it is over have one: some may be labelled on too few prompts.
    alike = len({one.shape for one in draws}) == 1
    return tuple(results), macro(results, np.mean(draws, axis=0) if alike else None)


def _assess(
    truth: Bools, p: Numbers, groups: NDArray[np.int64], resampling: Resampling, threshold: float
) -> tuple[Agreement, NDArray[np.float64]] | TooLittle:
    """The agreement, and its area and calibration error in each draw, [2, draws]."""
    reason = too_little(truth)
    positives = int(truth.sum())
    if reason is not None:
        return TooLittle(len(truth), positives, reason)
    said = p >= threshold
    negatives = len(truth) - positives
    if len(np.unique(groups)) < FEWEST_PROMPTS:
        resampling = Resampling(0, 0, resampling.seed)
    draws = replicates((drawn_auc, drawn_ece), truth, p, groups, resampling)
    found = Agreement(
        support=len(truth),
        positives=positives,
        threshold=threshold,
        accuracy=wilson(int((said == truth).sum()), len(truth)),
        balanced_accuracy=metric("balanced_accuracy", truth, said),
        sensitivity=wilson(int((said & truth).sum()), positives),
        specificity=wilson(int((~said & ~truth).sum()), negatives),
        kappa=kappa(truth, said),
        auc=_auc_spread(truth, p, draws[0]),
        brier=brier(truth, p),
        ece=spread(ece(truth, p), draws[1]),
        reliability=reliability(truth, p),
    )
    return found, draws


def macro(results: Sequence[Agreement | TooLittle], draws: NDArray[np.float64] | None = None) -> Macro | TooLittle:
    """Means over what was not refused, or a refusal where everything was.

    `draws` [2, draws] are the means' area and calibration error in each draw.
    """
    kept = [r for r in results if isinstance(r, Agreement)]
    if not kept:
        return TooLittle(0, 0, "no proposition has enough labels of both kinds")

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    seen = np.full((2, 0), np.nan) if draws is None else draws
    area = spread(mean([r.auc.value for r in kept]), seen[0])
    if area.value == 1:  # perfect in every draw, which says as little of the mean as of each
        area = Interval(1.0, mean([r.auc.low for r in kept]), 1.0)
    return Macro(
        propositions=len(kept),
        accuracy=mean([r.accuracy.value for r in kept]),
        balanced_accuracy=mean([r.balanced_accuracy for r in kept]),
        auc=area,
        brier=mean([r.brier.score for r in kept]),
        ece=spread(mean([r.ece.value for r in kept]), seen[1]),
    )


def by_response(
    truth: Bools,
    p: Numbers,
    prompts: NDArray[np.int64],
    responses: Sequence[str],
    seed: int,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
) -> Mapping[str, Agreement | TooLittle]:
    """`assess` within each response type: what is left once the topic cannot help."""
    names = np.array(responses, np.str_)
    return {
        name: assess(truth[names == name], p[names == name], prompts[names == name], seed, threshold, resamples)
        for name in sorted(set(responses))
    }


def within_response_auc(truth: Bools, score: Numbers, responses: Sequence[str]) -> float:
    """AUC within response types, weighted by the number of pairs; NaN where no type has both answers."""
    names = np.array(responses, np.str_)
    total = weight = 0.0
    for name in sorted(set(responses)):
        chosen = names == name
        pairs = float(truth[chosen].sum() * (~truth[chosen]).sum())
        if pairs:
            total += pairs * auc(truth[chosen], score[chosen])
            weight += pairs
    return total / weight if weight else float("nan")


def _members(p: Numbers, bins: int) -> list[Bools]:
    """Which rows each non-empty bin holds; bins are equal in width, 1 belongs to the last."""
    number = np.minimum((p * bins).astype(int), bins - 1)
    return [number == i for i in range(bins) if (number == i).any()]
