"""How far does a grader agree with a file of human labels: by proposition, by class, and where does it not?

Arrays in, plain data out; `to_json` is the shape that interfaces promise for `rbrc agree`. Classes come from
truth values: the labels, and the grader's P(yes) at 0.5. A class that labels or answers leave open is
counted, and takes no part in the accuracy. A grader whose answers contradict an axiom is wrong about that row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.classes import CONTRADICTION, OPEN, of_rows
from rbrlang.grading.trust import agreement
from rbrlang.grading.trust.agreement import RESAMPLES, Agreement, Macro, Metric, TooLittle, wilson
from rbrlang.grading.trust.bootstrap import Interval
from rbrlang.logic.circuit import Circuit, ResponseCircuit

THRESHOLD = 0.5
_EACH = 2  # disagreements that one proposition may show while others have some
Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """The threshold that maximises a metric on these very rows, and the metric there."""

    metric: Metric
    threshold: float
    value: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One proposition. `unanswered` counts labelled rows without a value of the grader.

    `within` is the area under the ROC curve over pairs of one response type, None where those are too few;
    `by_response` holds no intervals.
    """

    name: str
    result: Agreement | TooLittle
    unanswered: int
    within: float | None
    best: BestThreshold | None
    by_response: Mapping[str, Agreement | TooLittle]


@dataclass(frozen=True, slots=True)
class ResponseClasses:
    """Classes of one response type: `counts[i][j]` rows of true class `i` were given class `j`.

    `contradictory[i]`: the answers contradict an axiom; `open_given[i]`: they leave the class open. The true
    class is unknown of `open_truth` rows, and impossible in `impossible` rows, whose labels contradict an axiom.
    """

    name: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    contradictory: tuple[int, ...]
    open_given: tuple[int, ...]
    open_truth: int
    impossible: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows that the accuracy is over."""
        return sum(map(sum, self.counts)) + sum(self.contradictory)

    @property
    def right(self) -> int:
        """Rows that were given their true class."""
        return sum(row[i] for i, row in enumerate(self.counts))

    @property
    def most_frequent(self) -> int:
        """Rows of the most frequent true class: what a grader without eyes gets right."""
        return max((sum(row) + c for row, c in zip(self.counts, self.contradictory, strict=True)), default=0)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A label and a P(yes) on the other side of one half; `row` and `proposition` are positions."""

    row: int
    proposition: int
    label: bool
    p: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that labels say of a grader."""

    rows: int
    prompts: int
    seed: int
    resamples: int
    propositions: tuple[Judged, ...]
    macro: Macro | TooLittle
    classes: tuple[ResponseClasses, ...]

    @property
    def within(self) -> float | None:
        """Mean over propositions of the area within response types, where it can be told."""
        known = [j.within for j in self.propositions if j.within is not None and isinstance(j.result, Agreement)]
        return sum(known) / len(known) if known else None

    @property
    def class_rows(self) -> int:
        """Rows whose class is known and was given."""
        return sum(c.rows for c in self.classes)

    @property
    def class_accuracy(self) -> Interval | None:
        """Share of those rows given their class, with Wilson's interval; None without rows."""
        rows = self.class_rows
        return wilson(sum(c.right for c in self.classes), rows) if rows else None

    def to_json(self) -> dict[str, Any]:
        """The part of `rbrc agree --format json` that is computed from labels and probabilities."""
        return {
            "rows": self.rows,
            "prompts": self.prompts,
            "seed": self.seed,
            "bootstrap": self.resamples,
            "threshold": THRESHOLD,
            "propositions": {judged.name: _judged_json(judged) for judged in self.propositions},
            "macro": _macro_json(self.macro) | {"auc_within_response_type": self.within},
            "classes": _classes_json(self),
        }


def assess(
    circuit: Circuit,
    truth: Numbers,
    given: Numbers,
    prompts: NDArray[np.int64],
    responses: NDArray[np.integer],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    threshold_metric: Metric = "balanced_accuracy",
    criteria: CriteriaJudged | None = None,
) -> Assessment:
    """Judge P(yes) `given` [rows, atoms] by `truth` [rows, atoms]: 1, 0 or NaN.

    Columns are the circuit's atoms (measures hold their value in both). `prompts` [rows] numbers the prompts,
    `responses` [rows] the response types, −1 where unknown. `criteria` are those of the rows' rubrics, each of which is judged
    like a proposition, behind them.
    """
    count = len(circuit.propositions)
    labels, p = truth[:, :count], given[:, :count]
    if criteria is not None and circuit.rubrics:
        of_types = np.concatenate([responses, responses[criteria.rows]])
        questions, y, q, of_prompts = stacked(circuit, labels, p, prompts, criteria)
        judged, means = _judged(circuit, questions, y, q, of_prompts, of_types, seed, resamples, threshold_metric)
    else:
        judged, means = _judged(
            circuit, circuit.propositions, labels, p, prompts, responses, seed, resamples, threshold_metric
        )
    true, guessed = of_rows(circuit, responses, truth), of_rows(circuit, responses, decided(circuit, given))
    classes = tuple(
        _classes(response, true, guessed, np.flatnonzero(responses == number))
        for number, response in enumerate(circuit.responses)
    )
    distinct = len(np.unique(prompts))
    return Assessment(len(truth), distinct, seed, resamples, judged, means, classes)


def decided(circuit: Circuit, given: Numbers) -> Numbers:
    """Truth values [rows, atoms] of P(yes) at one half; measures and values of scales and choices stay as they are."""
    answers = np.where(np.isnan(given), np.nan, given >= THRESHOLD)
    count = len(circuit.propositions)
    answers[:, count:] = given[:, count:]
    return answers


@dataclass(frozen=True, slots=True, eq=False)
class CriteriaJudged:
    """Criteria of rows: `rows` [n] are their rows, `labels` and `p` [n, rubrics] what people and the grader said, NaN elsewhere."""

    rows: NDArray[np.int64]
    labels: Numbers
    p: Numbers


def joined(parts: Sequence[CriteriaJudged]) -> CriteriaJudged | None:
    """The criteria of rows that were judged some at a time; None for none."""
    if not parts:
        return None
    return CriteriaJudged(*(np.concatenate(one) for one in zip(*((p.rows, p.labels, p.p) for p in parts), strict=True)))


def _stacked(rows: Numbers, criteria: Numbers) -> Numbers:
    """Rows with columns of propositions above criteria with columns of rubrics, NaN in what is between."""
    table = np.full((len(rows) + len(criteria), rows.shape[1] + criteria.shape[1]), np.nan)
    table[: len(rows), : rows.shape[1]] = rows
    table[len(rows) :, rows.shape[1] :] = criteria
    return table


def stacked(
    circuit: Circuit, labels: Numbers, p: Numbers, prompts: NDArray[np.int64], criteria: CriteriaJudged
) -> tuple[tuple[str, ...], Numbers, Numbers, NDArray[np.int64]]:
    """All questions of yes and no, with labels and P(yes) [rows and criteria, questions] and the prompts of these."""
    of_prompts = np.concatenate([prompts, prompts[criteria.rows]])
    return (
        circuit.questions[: circuit.first_variable],
        _stacked(labels, criteria.labels),
        _stacked(p, criteria.p),
        of_prompts,
    )


def _judged(
    circuit: Circuit,
    questions: Sequence[str],
    labels: Numbers,
    p: Numbers,
    prompts: NDArray[np.int64],
    responses: NDArray[np.integer],
    seed: int,
    resamples: int,
    threshold_metric: Metric,
) -> tuple[tuple[Judged, ...], Macro | TooLittle]:
    """Each question [rows, questions], and the means over them."""
    results, means = agreement.assess_all(labels, p, prompts, seed, THRESHOLD, resamples)
    names = [circuit.response_names[r] if r >= 0 else "" for r in responses.tolist()]
    judged: list[Judged] = []
    for name, result, y, q in zip(questions, results, labels.T, p.T, strict=True):
        known = np.isfinite(y) & np.isfinite(q)
        unanswered = int(np.isfinite(y).sum() - known.sum())
        types = [name for name, k in zip(names, known.tolist(), strict=True) if k]
        told, said, of = y[known] == 1, q[known], prompts[known]
        kinds = agreement.by_response(told, said, of, types, seed, THRESHOLD, resamples=0)
        best = None
        if isinstance(result, Agreement):
            best = BestThreshold(threshold_metric, *agreement.best_threshold(threshold_metric, told, said))
        judged.append(
            Judged(
                name, _explained(result, unanswered), unanswered, _within(told, said, types), best,
                {kind: found for kind, found in kinds.items() if kind},
            )
        )  # fmt: skip
    return tuple(judged), means


def wrong(labels: Numbers, p: Numbers) -> NDArray[np.bool_]:
    """Where P(yes) lies on the other side of one half than the label; same shape, False where either is NaN."""
    return np.isfinite(labels) & np.isfinite(p) & ((p >= THRESHOLD) != (labels == 1))


def disagreements(labels: Numbers, p: Numbers, limit: int) -> tuple[Disagreement, ...]:
    """The most confident answers on the wrong side of one half, at most two of a proposition before all have theirs.

    `labels`, `p` [rows, propositions], NaN = unknown.
    """
    ordered: list[Disagreement] = []
    for j, (y, q) in enumerate(zip(labels.T, p.T, strict=True)):
        rows = np.flatnonzero(wrong(y, q))  # of one proposition, more than `limit` are never shown
        rows = rows[np.argsort(-np.abs(q[rows] - y[rows]), kind="stable")][:limit]
        ordered += [Disagreement(r, j, bool(y[r] == 1), float(q[r])) for r in rows.tolist()]
    ordered.sort(key=lambda d: (-abs(d.p - d.label), d.row, d.proposition))
    turn: dict[int, int] = {}
    rounds: list[tuple[int, int]] = []
    for at, found in enumerate(ordered):
        turn[found.proposition] = turn.get(found.proposition, 0) + 1
        rounds.append(((turn[found.proposition] - 1) // _EACH, at))
    return tuple(ordered[at] for _, at in sorted(sorted(rounds)[:limit], key=lambda pair: pair[1]))


def _explained(result: Agreement | TooLittle, unanswered: int) -> Agreement | TooLittle:
    match result:
        case Agreement():
            return result
        case TooLittle(support, _, reason):
            if not support and not unanswered:
                return replace(result, reason="no row labels it")
            if not support:
                return replace(result, reason=f"the grader gave no value for any of its {unanswered} labelled rows")
            if unanswered:
                return replace(result, reason=f"{reason} ({unanswered} more labelled rows got no value)")
            return result
        case _:
            assert_never(result)


def _within(truth: NDArray[np.bool_], p: Numbers, types: Sequence[str]) -> float | None:
    kinds = np.array(types, np.str_)
    mixed = [kind for kind in set(types) if kind and 0 < truth[kinds == kind].mean() < 1]
    used = np.isin(kinds, mixed)
    if not mixed or agreement.too_little(truth[used]) is not None:
        return None
    return agreement.within_response_auc(truth[used], p[used], kinds[used].tolist())


def _classes(
    response: ResponseCircuit, true: NDArray[np.int64], given: NDArray[np.int64], mine: NDArray[np.int64]
) -> ResponseClasses:
    true, given = true[mine], given[mine]
    count = len(response.classes)
    counts = np.zeros((count, count), int)
    decided = (true >= 0) & (given >= 0)
    np.add.at(counts, (true[decided], given[decided]), 1)

    def apart(state: int) -> tuple[int, ...]:
        return tuple(np.bincount(true[(true >= 0) & (given == state)], minlength=count).tolist())

    return ResponseClasses(
        name=response.name,
        classes=response.classes,
        counts=tuple(tuple(row) for row in counts.tolist()),
        contradictory=apart(CONTRADICTION),
        open_given=apart(OPEN),
        open_truth=int((true == OPEN).sum()),
        impossible=tuple(mine[true == CONTRADICTION].tolist()),
    )


# --- plain forms --------------------------------------------------------------------------------


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ends(interval: Interval) -> list[float | None]:
    return [_number(interval.low), _number(interval.high)]


def _whole(interval: Interval) -> dict[str, float | None]:
    return {"value": _number(interval.value), "low": _number(interval.low), "high": _number(interval.high)}


_REFUSED = dict.fromkeys(("accuracy", "balanced_accuracy", "auc", "brier", "ece"))


def _agreement_json(result: Agreement | TooLittle) -> dict[str, Any]:
    """Support and the five numbers, None where refused."""
    match result:
        case TooLittle(support, positives, reason):
            return {"support": support, "positives": positives, **_REFUSED, "refused": reason}
        case Agreement():
            return {
                "support": result.support,
                "positives": result.positives,
                "accuracy": result.accuracy.value,
                "balanced_accuracy": result.balanced_accuracy,
                "auc": result.auc.value,
                "brier": result.brier.score,
                "ece": result.ece.value,
                "refused": None,
            }
        case _:
            assert_never(result)


def _judged_json(judged: Judged) -> dict[str, Any]:
    plain = _agreement_json(judged.result) | {"unanswered": judged.unanswered}
    if isinstance(judged.result, Agreement):
        found = judged.result
        brier = found.brier
        plain |= {
            "base_rate": found.positives / found.support,
            "intervals": {"accuracy": _ends(found.accuracy), "auc": _ends(found.auc), "ece": _ends(found.ece)},
            "sensitivity": _whole(found.sensitivity),
            "specificity": _whole(found.specificity),
            "kappa": found.kappa,
            "brier_decomposition": {
                "reliability": brier.reliability,
                "resolution": brier.resolution,
                "uncertainty": brier.uncertainty,
                "within_bins": brier.within,
            },
            "reliability": [
                {"rows": b.rows, "predicted": b.predicted, "observed": b.observed} for b in found.reliability
            ],
            "auc_within_response_type": judged.within,
            "best_threshold": None
            if judged.best is None
            else {
                "metric": judged.best.metric, "threshold": judged.best.threshold, "value": judged.best.value,
            },
        }  # fmt: skip
    return plain | {"by_response_type": {name: _agreement_json(r) for name, r in judged.by_response.items()}}


def _macro_json(means: Macro | TooLittle) -> dict[str, Any]:
    match means:
        case TooLittle(_, _, reason):
            return {"propositions": 0, **_REFUSED, "refused": reason}
        case Macro():
            return {
                "propositions": means.propositions,
                "accuracy": means.accuracy,
                "balanced_accuracy": means.balanced_accuracy,
                "auc": means.auc.value,
                "brier": means.brier,
                "ece": means.ece.value,
                "intervals": {"auc": _ends(means.auc), "ece": _ends(means.ece)},
                "refused": None,
            }
        case _:
            assert_never(means)


def _share(right: int, rows: int) -> dict[str, Any]:
    found = wilson(right, rows)
    return {"rows": rows, "accuracy": _number(found.value), "interval": _ends(found) if rows else None}


def _classes_json(whole: Assessment) -> dict[str, Any]:
    rows = whole.class_rows
    return _share(sum(c.right for c in whole.classes), rows) | {
        "always_most_frequent": sum(c.most_frequent for c in whole.classes) / rows if rows else None,
        "refused": None if rows else "no row has a class by its labels and one by the grader's answers",
        "by_response_type": {
            c.name: _share(c.right, c.rows)
            | {
                "always_most_frequent": c.most_frequent / c.rows if c.rows else None,
                "confusion": {
                    true: dict(zip(c.classes, counts, strict=True))
                    | {"contradiction": c.contradictory[i], "open": c.open_given[i]}
                    for i, (true, counts) in enumerate(zip(c.classes, c.counts, strict=True))
                },
                "set_apart": {"open_by_labels": c.open_truth, "labels_contradict_axioms": len(c.impossible)},
            }
            for c in whole.classes
        },
    }
