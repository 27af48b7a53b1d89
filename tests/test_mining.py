"""What labelled rows suggest: planted facts are found, chance is not, and what is found can be pasted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_rows import POLICY, circuit, noisy_rows

import rbrlang
from rbrlang.learning.fitting.fit import fit
from rbrlang.learning.judging.mining import axioms_in, constants_in, suggest_changes, weights_near_zero
from rbrlang.learning.sample import sample_rows
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row

REFUSES, POLITE, LECTURES, EMOJI = range(4)


def lines(labels: np.ndarray, policy: Circuit | None = None) -> list[str]:
    found = axioms_in(policy or circuit(), labels.astype(np.int8), [str(at) for at in range(len(labels))])
    return [one.line for one in found]


def coins(rows: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((rows, 4)) < 0.4).astype(np.int8)


@pytest.mark.parametrize(
    ("a", "b", "line"),
    [
        ((POLITE, 1), (EMOJI, 1), "axiom !(polite & emoji)"),
        ((POLITE, 1), (EMOJI, 0), "axiom polite => emoji"),
        ((POLITE, 0), (EMOJI, 1), "axiom emoji => polite"),
        ((POLITE, 0), (EMOJI, 0), "axiom polite | emoji"),
    ],
)
def test_a_planted_fact_is_found_and_nothing_else(a: tuple[int, int], b: tuple[int, int], line: str) -> None:
    labels = coins(300, seed=0)
    broken = (labels[:, a[0]] == a[1]) & (labels[:, b[0]] == b[1])
    labels[broken, b[0]] = 1 - b[1]
    assert lines(labels) == [line]
    rbrlang.loads(POLICY.replace("REWARD", "") + line + "\n")  # it can be pasted
    known = rbrlang.loads(POLICY.replace("REWARD", "") + line + "\n").circuit
    assert lines(labels, known) == []


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_chance_suggests_nothing(seed: int) -> None:
    # The level is 5 % for a whole table of independent labels; these seeds are far from it.
    assert sum(bool(lines(coins(120, seed + step))) for step in range(5)) <= 1


def test_what_follows_from_stronger_findings_is_not_repeated() -> None:
    labels = coins(400, seed=1)
    labels[:, POLITE] |= labels[:, LECTURES]  # lectures => polite => refuses
    labels[:, REFUSES] |= labels[:, POLITE]
    assert sorted(lines(labels)) == ["axiom lectures => polite", "axiom polite => refuses"]


def test_a_few_violations_are_borne_and_named() -> None:
    labels = coins(400, seed=2)
    labels[labels[:, POLITE] == 1, EMOJI] = 0
    labels[7] = [0, 1, 0, 1]
    (found,) = axioms_in(circuit(), labels, [f"row {at}" for at in range(400)])
    assert (found.violations, found.examples) == (1, ("row 7",))
    assert found.low < found.holds < found.high
    assert found.support <= found.rows
    labels[:20] = [0, 1, 0, 1]
    assert lines(labels) == []


def test_missing_labels_are_neither_true_nor_false() -> None:
    labels = coins(400, seed=3)
    labels[labels[:, POLITE] == 1, EMOJI] = 0
    labels[np.random.default_rng(0).random((400, 4)) < 0.2] = -1
    assert lines(labels) == ["axiom !(polite & emoji)"]
    assert lines(np.full((400, 4), -1)) == []
    assert constants_in(circuit(), np.full((400, 4), -1, np.int8)) == []


def test_a_finding_that_would_empty_a_class_is_no_axiom() -> None:
    labels = coins(400, seed=4)
    labels[labels[:, REFUSES] == 1, LECTURES] = 0
    (found,) = axioms_in(circuit(), labels, [""] * 400)
    assert found.line == "axiom !(refuses & lectures)"
    assert found.breaks == ("refusal.preachy",)
    with pytest.raises(rbrlang.PolicyError):
        rbrlang.loads(POLICY.replace("REWARD", "") + found.line + "\n")


def test_propositions_without_variance() -> None:
    labels = coins(50, seed=5)
    labels[:, EMOJI] = 0
    labels[:, POLITE] = 1
    assert [(c.proposition, c.value, c.rows) for c in constants_in(circuit(), labels)] == [
        ("polite", True, 50), ("emoji", False, 50),
    ]  # fmt: skip
    assert constants_in(circuit(), labels[:10]) == []


def test_weights_whose_interval_spans_zero() -> None:
    def report(**intervals: list[float]) -> dict[str, object]:
        return {"response_types": {"refusal": {"intervals": intervals}}}

    found, refused = weights_near_zero(circuit(), report(polite=[-0.1, 0.2], emoji=[0.1, 0.2], ideal=[-1, 1]))
    assert [(one.feature, one.line) for one in found] == [
        ("ideal", "weight ideal = 0"),
        ("polite", "weight polite = 0"),
    ]
    assert refused == []
    rbrlang.loads(POLICY.replace("REWARD", "\n  ".join(one.line for one in found)))
    fixed = circuit("weight polite = 0")
    assert [one.feature for one in weights_near_zero(fixed, report(polite=[0, 0]))[0]] == []
    assert weights_near_zero(circuit(), None)[1] == ["weights: these were not fitted; use `rbrc fit`"]
    why = {"response_types": {"refusal": {"intervals": None, "intervals_refused": "too few"}}}
    assert weights_near_zero(circuit(), why)[1] == ["weights of refusal: no intervals: too few"]


def test_suggestions_of_a_fit() -> None:
    rows: list[Row] = []
    for at, row in enumerate(noisy_rows(30, 4, seed=0)):
        rows.append(replace(row, labels={"refuses": True, "polite": at % 2 == 0}))
    result = fit(circuit(), rows, bootstrap=50)
    reward = NumpyReward(circuit(), result.weights)
    found = suggest_changes(circuit(), sample_rows(reward, rows, class_source="intent"), result.to_json())
    assert [one.proposition for one in found.constant] == ["refuses"]
    assert len(found.influential) == 5
    assert found.influential == tuple(sorted(found.influential, key=lambda one: -one.influence))
    data = found.to_json()
    assert set(data) == {"axioms", "constant", "maybe_zero", "influential", "refused"}
    bare = suggest_changes(circuit(), sample_rows(reward, rows[:5]), None)
    assert bare.refused[0] == "axioms and variance: fewer than 20 rows carry labels"
