"""Lazy grading: the interval always holds the reward of full grading, and `eps` 0 changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from grading_kit import item
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_circuits import Case, cases, rule_reward

from rbrlang.grading.judge import Judge
from rbrlang.grading.lazy import LazyGrades, grade_lazily
from rbrlang.grading.local import LabelGrader
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, Value, certain
from rbrlang.policy import Policy, load, loads
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rows import response_ids
from rbrlang.rows.read import read_rows


def items_of(case: Case) -> list[GradeItem]:
    return [item(str(n), response=int(kind)) for n, kind in enumerate(case.ids)]


def judge_of(case: Case, silent: float = 0.0) -> tuple[Judge, list[tuple[str, int]]]:
    """A judge that knows the case's probabilities, but gives none for a share of the questions."""
    asked: list[tuple[str, int]] = []

    def answer(name: str, p: int) -> Answer:
        asked.append((name, p))
        if np.random.default_rng([int(name), p]).random() < silent:
            return Abstained("silent") if p % 2 else Invalid("low-mass", "silent")
        return certain(float(case.probs[int(name), p]), "label")

    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        return [{p: answer(i.id, p) for p in of} for i, of in zip(items, wanted, strict=True)]

    return judge, asked


def known(case: Case, grades: LazyGrades) -> np.ndarray:
    probs = np.full_like(case.probs, np.nan)
    for row, answers in zip(probs, grades.answers, strict=True):
        for p, answer in answers.items():
            if isinstance(answer, Value):
                row[p] = answer.p
    return probs


both = st.booleans().flatmap(lambda axioms: cases(axioms=axioms, unknowns=False))


@settings(max_examples=40, deadline=None)
@given(both, st.sampled_from([0.0, 0.01, 0.3, 1.5]), st.sampled_from([0.0, 0.3]))
def test_the_interval_holds_the_reward_and_nothing_is_asked_twice(case: Case, eps: float, silent: float) -> None:
    reward = NumpyReward(case.circuit, case.weights)
    judge, asked = judge_of(case, silent)
    grades = grade_lazily(reward, items_of(case), judge, eps)
    assert len(asked) == len(set(asked)) == grades.asked <= grades.wanted
    for n, answers in enumerate(grades.answers):
        full = rule_reward(case, int(case.ids[n]), case.probs[n])
        if np.isnan(full):  # the answers contradict the axioms; the bounds then promise nothing
            continue
        assert grades.lower[n] - 1e-5 <= full <= grades.upper[n] + 1e-5
        everything = sum(name == str(n) for name, _ in asked) == len(answers)
        assert everything or eps == 0.0 or grades.upper[n] - grades.lower[n] <= eps


@settings(max_examples=40, deadline=None)
@given(both)
def test_at_zero_class_and_reward_are_those_of_full_grading(case: Case) -> None:
    reward = NumpyReward(case.circuit, case.weights)
    judge, _ = judge_of(case)
    probs = known(case, grade_lazily(reward, items_of(case), judge, 0.0))
    full, classes = reward(case.probs, case.ids), reward.class_probs(case.probs, case.ids)
    defined = np.isfinite(full)  # elsewhere the answers contradict the axioms
    np.testing.assert_allclose(reward(probs, case.ids)[defined], full[defined], atol=1e-5)
    np.testing.assert_allclose(reward.class_probs(probs, case.ids)[defined], classes[defined], atol=1e-5)


def policy() -> Policy:
    """Bad as soon as one thing is; `rare` alone would be asked about in vain most of the time."""
    return loads("""
@prior(0.01) prop rare "Something rare."
@prior(0.5) @cost(10) prop dear "Something that is dear to ask."
@prior(0.5) prop even "Something that is as likely as not."
response r ranks good > bad {
  bad if rare | dear | even
  good otherwise
}
""")


def test_the_most_narrowing_for_the_cost_is_asked_first() -> None:
    order: list[list[int]] = []

    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        order.append([p for of in wanted for p in of])
        return [{p: certain(float(i.id == "bad"), "label") for p in of} for i, of in zip(items, wanted, strict=True)]

    grades = grade_lazily(NumpyReward(policy().circuit), [item("bad"), item("good")], judge, 0.0)
    assert order == [[2, 2], [1], [0]]
    assert grades.answers[0] == {
        0: Abstained("not asked: the reward is settled without it"),
        1: Abstained("not asked: the reward is settled without it"),
        2: certain(1.0, "label"),
    }
    assert (grades.lower.tolist(), grades.upper.tolist()) == ([-1.0, 1.0], [-1.0, 1.0])
    assert (grades.asked, grades.wanted, grades.rounds) == (4, 6, 3)


@pytest.mark.parametrize("eps", [-1.0, float("nan")])
def test_an_eps_that_is_no_width_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match="it has to be 0 or more"):
        grade_lazily(None, [], lambda items, wanted: [], eps)  # pyright: ignore[reportArgumentType]


def test_the_gold_set_takes_at_most_sixty_percent_of_the_questions(
    openai_release: Path, openai_policy_file: Path
) -> None:
    circuit = load(openai_policy_file).circuit
    rows = read_rows(str(openai_release / "gold_train.jsonl")).rows
    ids = response_ids(circuit, rows)
    items = [GradeItem(r.id, r.conversation, int(n)) for r, n in zip(rows, ids, strict=True)]
    grader = LabelGrader(circuit.propositions, [r.id for r in rows], [r.labels for r in rows])
    reward = NumpyReward(circuit)
    grades = grade_lazily(reward, items, grader.answers, 0.0)
    assert len(items) == 351
    assert grades.asked <= 0.6 * grades.wanted
    lazy, full = (np.full((len(items), len(circuit.atoms)), np.nan, np.float32) for _ in range(2))
    everything = grader.answers(items, [tuple(answers) for answers in grades.answers])
    for probs, source in ((lazy, grades.answers), (full, everything)):
        for row, answers in zip(probs, source, strict=True):
            for p, answer in answers.items():
                if isinstance(answer, Value):
                    row[p] = answer.p
    assert np.isfinite(reward(full, ids)).all()
    np.testing.assert_array_equal(reward(lazy, ids), reward(full, ids))
    np.testing.assert_array_equal(reward.class_probs(lazy, ids), reward.class_probs(full, ids))
    np.testing.assert_array_equal(grades.lower, grades.upper)
