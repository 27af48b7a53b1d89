"""What did a teacher's answers come to, on prompts that nothing was learned from?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from rbrlang.cli.failures import grouped
from rbrlang.cli.tables import show as table
from rbrlang.cli.terminal import say, warn, wrapped
from rbrlang.grading.embedded.grader import CuesOnly, Learned, NoEvidence, ShotsOnly, Standing
from rbrlang.grading.embedded.heads import HeadInfo, Heads
from rbrlang.grading.trust.agreement import TooLittle, too_little

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rbrlang.grading.endpoint.account import Summary
    from rbrlang.grading.trust.assessment import Assessment, Judged
    from rbrlang.grading.trust.bootstrap import Interval


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """Of a learning curve: so many rows learned from, so many propositions with a head, and what that is worth."""

    rows: int
    learned: int
    found: Assessment


@dataclass(frozen=True, slots=True, eq=False)
class Distilled:
    """Heads, who taught them with how many rows, and what they are worth on `aside`, rows of prompts kept aside, of which the teacher
    was asked about the first `measured`: against it, and against labels where there are any. `standings` say what answers
    rest on, by proposition. `needed` is the share of questions
    that response types reach."""

    heads: Heads
    teacher: str
    asked: int
    pool: int
    prompts: NDArray[np.int64]
    aside: NDArray[np.int64]
    measured: int
    by_teacher: Assessment
    by_labels: Assessment | None
    standings: tuple[Standing, ...]
    curve: tuple[Point, ...]
    summary: Summary | None
    needed: float
    invalid: Counter[str]
    seed: int

    @property
    def learned_from(self) -> int:
        """Rows that heads were learned from."""
        return self.asked - self.measured

    @property
    def cost(self) -> float:
        """What the teacher's answers cost, when they were given."""
        return 0.0 if self.summary is None else self.summary.cost + self.summary.cost_reused

    def saved(self) -> tuple[float, float]:
        """Requests and cost of 1,000 completions that the teacher is not asked about, each what its response type needs."""
        asks = 0 if self.summary is None else self.summary.asks
        each = 1000 * self.needed / max(self.asked, 1)
        return asks * each, self.cost * each


def show(done: Distilled, output: str, heads: Path) -> None:
    """Print it."""
    prompts = len(set(done.prompts[done.aside].tolist()))
    wrapped(
        f"learned from {done.learned_from} of {done.pool} rows as `{done.teacher}` answers; measured on {prompts} prompts kept aside: "
        f"against the teacher on {done.measured} rows, against labels on {0 if done.by_labels is None else done.by_labels.rows}; "
        f"seed {done.seed}"
    )
    columns = [("teacher", done.by_teacher), *((("labels", done.by_labels),) if done.by_labels is not None else ())]
    head = ["proposition", "yes/all", *(title for of, _ in columns for title in (f"AUC, {of}", "", "bal."))]
    rows = [
        (
            info.name,
            f"{info.positives}/{info.labelled}",
            *(cell for _, found in columns for cell in _cells(found.propositions[at])),
        )
        for at, info in enumerate(done.heads.infos)
        if info.learned
    ]
    means = [cell for _, found in columns for cell in _means(found)]
    table("Propositions on prompts kept aside, against", head, [*rows, ("mean of those judged", "", *means)])
    for info, standing in zip(done.heads.infos, done.standings, strict=True):
        if not info.learned:
            wrapped(f"{info.name}: nothing learned: {_lacking(info)}; {_instead(standing)}", after="  ")
    for of, found in columns:
        _classes(of, found)
    _curve(done)
    _bill(done)
    say(f"wrote {output} and {heads}")
    for reason, count in grouped(done.invalid)[:10]:
        warn(f"no label, as the teacher's answer is invalid: {count} × {reason}")


def _lacking(info: HeadInfo) -> str:
    import numpy as np

    yes = np.arange(info.labelled) < info.positives
    return too_little(yes) or ""


def _instead(standing: Standing) -> str:
    match standing:
        case Learned() | CuesOnly():
            return "its cues answer"
        case ShotsOnly():
            return "likeness to its few-shots answers"
        case NoEvidence():
            return "the grader abstains on it"
        case _:
            assert_never(standing)


def _cells(judged: Judged) -> tuple[str, str, str]:
    result = judged.result
    if isinstance(result, TooLittle):
        return "", f"{result.positives} yes of {result.support}: too few", ""
    return f"{result.auc.value:.2f}", _ends(result.auc), f"{result.balanced_accuracy:.2f}"


def _means(found: Assessment) -> tuple[str, str, str]:
    macro = found.macro
    if isinstance(macro, TooLittle):
        return "", "", ""
    return f"{macro.auc.value:.3f}", _ends(macro.auc), f"{macro.balanced_accuracy:.3f}"


def _ends(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else f"{interval.low:.2f} to {interval.high:.2f}"


def _classes(of: str, found: Assessment) -> None:
    accuracy = found.class_accuracy
    if accuracy is None:
        say(f"classes, against the {of}: no row has a class by both")
        return
    always = sum(c.most_frequent for c in found.classes) / found.class_rows
    wrapped(
        f"classes, against the {of}: {accuracy.value:.3f} ({_ends(accuracy)}) of {found.class_rows} rows are the same; always each response "
        f"type's most frequent class: {always:.3f}"
    )


def _curve(done: Distilled) -> None:
    rows: list[tuple[str, ...]] = []
    for point in done.curve:
        auc, _, balanced = _means(point.found)
        accuracy = point.found.class_accuracy
        rows.append(
            (f"{point.rows}", f"{point.learned}", auc, balanced, "" if accuracy is None else f"{accuracy.value:.3f}")
        )
    of = "the teacher" if done.by_labels is None else "labels"
    table(f"Learning curve, against {of}", ("rows learned from", "heads", "AUC", "bal.", "classes"), rows)


def _bill(done: Distilled) -> None:
    if done.summary is None:
        return
    requests, cost = done.saved()
    price = f", cost {done.cost:.4g}" if done.cost else ""
    saved = f" and cost {cost:.4g}" if done.cost else "; `[price]` of the teacher's file says what a token costs"
    wrapped(
        f"the teacher took {done.summary.asks:,} requests for {done.asked} rows{price}; each 1,000 completions graded without it save about "
        f"{requests:,.0f} requests{saved}"
    )


def to_json(done: Distilled) -> dict[str, Any]:
    """All of it, for programs."""
    requests, cost = done.saved()
    return {
        "seed": done.seed, "teacher": done.teacher, "heads": done.heads.identity,
        "rows": {"learned_from": done.learned_from, "pool": done.pool, "aside": len(done.aside), "measured": done.measured},
        "learned": dict(_learned(done)),
        "against_teacher": done.by_teacher.to_json(),
        "against_labels": None if done.by_labels is None else done.by_labels.to_json(),
        "curve": [{"rows": p.rows, "heads": p.learned} | _point(p.found) for p in done.curve],
        "invalid": dict(done.invalid), "cost": done.cost,
        "saved_per_1000": {"requests": requests, "cost": cost},
    }  # fmt: skip


def _learned(done: Distilled) -> Iterator[tuple[str, dict[str, Any]]]:
    for info in done.heads.infos:
        yield info.name, {
            "labelled": info.labelled, "positives": info.positives, "refused": None if info.learned else _lacking(info),
        }  # fmt: skip


def _point(found: Assessment) -> dict[str, Any]:
    macro, accuracy = found.macro, found.class_accuracy
    judged = not isinstance(macro, TooLittle)
    return {
        "auc": macro.auc.value if judged else None, "balanced_accuracy": macro.balanced_accuracy if judged else None,
        "class_accuracy": None if accuracy is None else accuracy.value,
    }  # fmt: skip
