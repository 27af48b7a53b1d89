"""What should a user know of the data before believing the weights, or why are there none?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.fitting.fitted import ResponseFit, Unfitted
from rbrlang.learning.fitting.jobs import Job, Options
from rbrlang.learning.fitting.problem import Problem
from rbrlang.learning.fitting.solve import Solution
from rbrlang.learning.sample import Sample
from rbrlang.logic.circuit import ResponseCircuit

FAINT = 0.01
"""A base reward this small beside the margins, or margins this small beside it, are remarked on."""

NEXT_STEPS = {
    "no probability of ": "have those propositions graded, with `rbrc grade` or another grader here",
    "no label of ": "label those propositions, or take the class from answers: `--class-source graded`",
    "no `class`": "give rows a `class`, or take it from labels or answers, see `--class-source`",
    "class `": "say which classes of the policy are meant, with `--class-names`",
    "the probabilities ": "look at these answers with `rbrc explain`: they, or the policy's axioms, are wrong",
    "the labels ": "look at these labels with `rbrc explain`: they, or the policy's axioms, are wrong",
    "no `": "add that to the rows, or name the column that holds it with `--column`",
    "": "mend these rows, or add others that do not have it",
}
"""By how the reason begins for which rows are set apart, what makes them take part."""


def notes_of(job: Job, problem: Problem, solution: Solution, options: Options) -> tuple[str, ...]:
    """What a user should know of the data before believing the weights."""
    notes: list[str] = []
    margin = float(job.train.margin.max(initial=0.0))
    if job.base_spread is not None and not options.whiten and margin > 0.0:
        if job.base_spread * FAINT > margin:
            notes.append(
                f"base rewards of one prompt differ by {job.base_spread:.3g}, margins are at most {margin:g} and count "
                "for nothing beside that; `--whiten` measures margins in the base reward's own spread"
            )
        elif job.base_spread < FAINT * margin:
            notes.append(
                f"base rewards of one prompt differ by {job.base_spread:.3g} only, beside margins of up to {margin:g}; "
                "they hardly count"
            )
    if options.loss == "hinge" and margin == 0.0:
        notes.append(
            "every margin is 0, which equal rewards satisfy: the hinge asks of weights only that no worse completion leads; "
            "give a `--margin`, or fit with `--loss logistic`"
        )
    lead = float(problem.pairs.gaps(solution.weights - problem.centre).min(initial=np.inf))
    added = options.ridge == 0.0 and problem.ridge is not None  # where none was wanted, see `fit`
    if options.loss == "logistic" and not options.ridge and (lead > 0.0 or added):
        notes.append(
            f"the comparisons do not bound the weights: larger ones always fit better; a ridge of {solution.ridge:.1g} "
            "keeps them finite, and their size is that of the ridge's choosing"
        )
    return tuple(notes)


def unfitted(sample: Sample, default: NDArray[np.float64]) -> Unfitted:
    """The outcome of a response type without comparisons: its `default` weights [F], and why."""
    return Unfitted(
        name=sample.response.name,
        reason=_why_no_pairs(sample),
        rows=len(sample.rows),
        set_apart=sample.set_apart,
        weights=tuple(default[: len(sample.response.features)].tolist()),
    )


def _why_no_pairs(sample: Sample) -> str:
    response: ResponseCircuit = sample.response
    if len(sample.rows) == 0 and not sample.set_apart:
        return "no row has this response type"
    if len(sample.rows) == 0:
        reason, count = max(sample.set_apart.items(), key=lambda item: item[1])
        rest = sum(sample.set_apart.values())
        return f"all {rest} rows were set apart, {count} of them for: {reason}; {_what_rows_need(reason)}"
    prompts = len(np.unique(sample.prompts))
    seen = Counter(response.classes[number] for number in sample.classes.tolist())
    classes = ", ".join(f"{count} {name}" for name, count in seen.most_common())
    if len({response.rank_of[number] for number in sample.classes.tolist()}) == 1:
        return f"its {len(sample.rows)} rows are all of one rank ({classes}); add completions of another"
    if prompts == len(sample.rows):
        return (
            f"its {len(sample.rows)} rows answer {prompts} different prompts, one each ({classes}); "
            "only completions of one prompt can be compared: give each prompt completions of several classes"
        )
    return (
        f"no prompt of its {prompts} has completions of different rank ({classes}); "
        "give each prompt completions of several classes"
    )


def _what_rows_need(reason: str) -> str:
    """The next step for rows that were set apart for a reason, see `learning.sample`."""
    return next((step for begin, step in NEXT_STEPS.items() if reason.startswith(begin)), NEXT_STEPS[""])


def nothing_to_fit(outcomes: Sequence[ResponseFit | Unfitted], stray: Mapping[str, int]) -> str:
    """Why no response type could be fitted; `stray` counts the rows of none of them, by reason."""
    reasons = [f"`{outcome.name}`: {outcome.reason}" for outcome in outcomes if isinstance(outcome, Unfitted)]
    reasons += [f"{count} rows: {reason}" for reason, count in stray.items()]
    return "there are no comparisons to fit weights to; " + "; ".join(reasons)
