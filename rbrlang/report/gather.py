"""What is there to say about a fitted policy and these rows?

Asks the lower layers everything that a report shows and keeps the answers together, as plain values. Nothing is
computed here that `rbrc eval`, `rbrc agree` and `rbrc fit` do not say too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import rbrlang
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.trust.assessment import Assessment, assess
from rbrlang.grading.trust.values import ValuesJudged, chances_of, judge_values, labels_of, sure
from rbrlang.learning.judging.behaviour import Behaviour, behaviour, meaning_of
from rbrlang.learning.judging.cases import Case, cases_of
from rbrlang.learning.judging.certificates import Certificates, certify
from rbrlang.learning.judging.coverage import Coverage, coverage, fingerprint_of
from rbrlang.learning.judging.evaluate import Evaluation, RulesAlone, evaluate
from rbrlang.learning.judging.people import People, compare_with_people
from rbrlang.learning.preferences import CLASSES, PairSource
from rbrlang.learning.sample import ClassSource, sample_rows
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.kept.record import ResponseWeights, RidgeSteps, recorded
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, with_labels_as_probs
from rbrlang.scoring.graders import policy_of

CALIBRATION_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Where all of this comes from. `fitted_to_these` is None where the artefact does not say what it was fitted to."""

    artefact: str
    rows_file: str
    rows: int
    prompts: int
    bad: int
    grader: str
    calibration: str | None
    base_reward: str
    seed: int
    version: str
    fitted_to_these: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that a report shows. `assessment` is None, and `no_assessment` says why, where labels and answers cannot be
    compared; `values` are the grader's scales and choices. `ridges`: what the fit chose its ridge from, None where the artefact does not say. `people`: what people prefer, None where
    that was not asked. `statements` has those of the policy's propositions, empty where its sources cannot be compiled here."""

    artefact: Artefact
    origin: Origin
    evaluation: Evaluation
    behaviour: Behaviour
    certificates: Certificates
    coverage: Coverage
    cases: tuple[tuple[Case, ...], ...]
    weights: tuple[ResponseWeights, ...]
    ridges: RidgeSteps | None
    people: People | None
    rows: Sequence[Row]
    assessment: Assessment | None
    no_assessment: str | None
    values: tuple[ValuesJudged, ...]
    statements: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Given:
    """What a report is about, besides artefact and rows: names for people, and how to evaluate."""

    artefact: str = "the policy"
    rows_file: str = "the rows"
    grader: str = "rows"
    calibration: str | None = None
    bad: int = 0
    base_reward: str = "base_reward"
    class_source: ClassSource = "auto"
    class_names: Mapping[str, str] | None = None
    pairs: tuple[PairSource, ...] = CLASSES
    columns: Mapping[str, str] | None = None
    rules_alone: RulesAlone | None = None
    seed: int = 0
    resamples: int = 1000
    cases: int = 5
    contradictions: int = 5


def gather(artefact: Artefact, rows: Sequence[Row], given: Given) -> Findings:
    """Everything about `artefact` on `rows` with `probs`, of known class or ordered by people, as `given` says.

    Raises `SampleError` and `TooManyComparisons` as `evaluate` does.
    """
    circuit, reward = artefact.circuit, NumpyReward.from_artefact(artefact)
    kept: dict[str, Any] = {
        "base_reward": given.base_reward, "class_source": given.class_source, "class_names": given.class_names,
    }  # fmt: skip
    drawn: dict[str, Any] = {"rules_alone": given.rules_alone, "seed": given.seed, "resamples": given.resamples}
    samples = sample_rows(reward, rows, **kept)
    evaluation = evaluate(reward, rows, **kept, **drawn, by_class="classes" in given.pairs)
    bases = [base for sample in samples.samples for base in sample.base.tolist()] if samples.has_base else []
    assessment, values, why = _assessment(reward, rows, given)
    record = recorded(artefact)
    return Findings(
        artefact=artefact,
        origin=_origin(record.data, rows, given),
        evaluation=evaluation,
        behaviour=behaviour(reward, samples, meaning_of(circuit), **drawn),
        certificates=certify(circuit, artefact.weights, (min(bases), max(bases)) if bases else None),
        coverage=coverage(circuit, rows, evaluation),
        cases=tuple(
            cases_of(reward, rows, found, base_reward=given.base_reward, most=given.cases)
            for found in evaluation.responses
        ),
        weights=record.responses,
        ridges=record.ridges,
        people=None
        if given.pairs == CLASSES
        else compare_with_people(
            reward, rows, given.pairs, **kept, **drawn, columns=given.columns or {}, contradictions=given.contradictions
        ),
        rows=rows,
        assessment=assessment,
        no_assessment=why,
        values=values,
        statements=_statements(artefact),
    )


def _origin(data: str | None, rows: Sequence[Row], given: Given) -> Origin:
    return Origin(
        artefact=given.artefact,
        rows_file=given.rows_file,
        rows=len(rows),
        prompts=len({row.prompt_key for row in rows}),
        bad=given.bad,
        grader=given.grader,
        calibration=given.calibration,
        base_reward=given.base_reward,
        seed=given.seed,
        version=rbrlang.__version__,
        fitted_to_these=None if data is None else data == fingerprint_of(rows),
    )


def _assessment(
    reward: NumpyReward, rows: Sequence[Row], given: Given
) -> tuple[Assessment | None, tuple[ValuesJudged, ...], str | None]:
    if given.grader == "labels":
        return None, (), "the grader was the labels themselves"
    circuit = reward.circuit
    domains = [variable.domain for variable in circuit.variables]
    answered = np.zeros(len(rows), np.bool_)
    for domain in domains:
        answered |= (labels_of(domain, rows) >= 0) & ~np.isnan(chances_of(domain, rows)).any(1)
    both = [
        row for row, of_values in zip(rows, answered.tolist(), strict=True)
        if of_values
        or any(row.labels.get(name) is not None and row.probs.get(name) is not None for name in circuit.propositions)
    ]  # fmt: skip
    if not both:
        return None, (), "no row carries both human labels and a grader's answers"
    _, prompts = np.unique(np.array([row.prompt_key for row in both], np.str_), return_inverse=True)
    resamples = min(CALIBRATION_RESAMPLES, given.resamples)
    # Classes follow from truth values: of scales and choices the labelled value, and the likeliest.
    truth, answers = reward.encode(with_labels_as_probs(both)), reward.encode(both)
    steps = slice(len(circuit.propositions), circuit.measures.start)
    answers[:, steps] = reward.encode(sure(circuit, both, by_labels=False))[:, steps]
    found = assess(
        circuit, truth.astype(np.float64), answers.astype(np.float64), prompts, reward.response_ids(both),
        seed=given.seed, resamples=resamples,
    )  # fmt: skip
    values = tuple(
        judge_values(one, labels_of(one, both), chances_of(one, both), prompts, given.seed, resamples)
        for one in domains
    )
    return found, values, None


def _statements(artefact: Artefact) -> dict[str, str]:
    try:
        return {prop.name: prop.statement for prop in policy_of(artefact).program.propositions}
    except GraderError:
        return {}
