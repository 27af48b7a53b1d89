"""What is known of rows once a grader has answered, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rbrlang.grading.criteria import Met
    from rbrlang.grading.endpoint.account import Summary
    from rbrlang.grading.lazy import LazyGrades
    from rbrlang.grading.results import Answer
    from rbrlang.grading.trust.calibrate import Calibration
    from rbrlang.logic.circuit import Circuit
    from rbrlang.reward.numpy import NumpyReward
    from rbrlang.rows.read import Row

OF_A_GRADING = frozenset({
    "probs", "rubric_probs", "grader", "calibration", "asked", "invalid", "answers", "reward_bounds", "corrected_reward",
    "corrected_variance",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lazily:
    """Ask only what this reward needs, to within `eps`."""

    reward: NumpyReward
    eps: float


@dataclass(frozen=True, slots=True)
class GradedRows:
    """Rows with `probs` from a grader.

    `identity` is the grader's, before calibration. `answers` are in full, one mapping a row; empty where the
    rows' own probabilities were taken as they are; `met` are those to criteria, and
    `unasked` says why those of a rubric could not be asked. `summary` is of the requests of a remote grader. `names` are those of
    all questions.
    """

    identity: str
    rows: tuple[Row, ...]
    answers: tuple[Mapping[int, Answer], ...]
    summary: Summary | None
    calibration: Calibration | None
    lazy: LazyGrades | None
    met: tuple[Met, ...] = ()
    unasked: tuple[Mapping[str, str], ...] = ()
    names: tuple[str, ...] = ()

    @property
    def calibration_json(self) -> Mapping[str, Any] | None:
        """The calibration as an artefact carries it."""
        from rbrlang.grading.trust.calibrate import to_json

        return None if self.calibration is None else to_json(self.calibration)

    def row(self, at: int, **columns: Any) -> dict[str, Any]:
        """Row `at` as it is written: as read, with its id, its grading and more columns.

        What an earlier grading left in it goes, unless its own probabilities were taken as they are.
        """
        row = self.rows[at]
        if not self.answers:  # taken as they are
            return {"id": row.id, **row.raw, "probs": dict(row.probs), **columns}
        kept = {name: value for name, value in row.raw.items() if name not in OF_A_GRADING}
        own: dict[str, Any] = {"probs": dict(row.probs), "grader": self.identity}
        if self.calibration is not None:
            own["calibration"] = self.calibration.identity
        if row.rubrics:
            own["rubric_probs"] = {name: list(p) for name, p in row.rubrics.items()}
        if self.lazy is not None:
            own["asked"] = [self.names[question] for question in self.lazy.questions[at]]
        return {"id": row.id, **kept, **own, **columns}


def filled(
    rows: Sequence[Row], circuit: Circuit, answers: Sequence[Mapping[int, Answer]], met: Sequence[Met]
) -> tuple[Row, ...]:
    """The rows with `probs` and P(met) of criteria from what a grader answered; where it abstained on a variable, the row's own."""
    from rbrlang.grading.criteria import probabilities
    from rbrlang.grading.results import Abstained, Distribution, probability

    names, domains = circuit.questions, circuit.asked_domains

    def said(row: Row, question: int, answer: Answer) -> dict[str, float | None]:
        name = names[question]
        if isinstance(answer, Distribution):
            return {f"{name}.{value}": p for value, p in answer.p.items()}
        own = {}
        if question in domains and isinstance(answer, Abstained):  # what the row says itself stands
            columns = (f"{name}.{value}" for value in domains[question].values)
            own = {column: row.probs[column] for column in columns if column in row.probs}
        return own or {name: probability(answer)}

    return tuple(
        replace(
            row,
            probs={name: p for q, answer in found.items() for name, p in said(row, q, answer).items()},
            rubrics=probabilities(one),
        )
        for row, found, one in zip(rows, answers, met, strict=True)
    )


def with_rubrics(lazy: LazyGrades, reward: NumpyReward, rows: Sequence[Row]) -> LazyGrades:
    """What is left open with the rubrics of the rows, whose criteria are asked whatever the rules say."""
    from rbrlang.reward.rubrics import added, spans, weighed

    if not reward.circuit.rubrics:
        return lazy
    weights = weighed(reward.circuit, reward.weights)
    low, high = added(weights, reward.response_ids(rows), spans(reward.circuit, rows))
    return replace(lazy, lower=(lazy.lower + low).astype("float32"), upper=(lazy.upper + high).astype("float32"))
