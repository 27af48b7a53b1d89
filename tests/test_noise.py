"""What a grader's mistakes cost, against enumeration, planted rates and a grader that really errs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_rows import circuit, row

import rbrlang
from rbrlang.learning.judging.evaluate import evaluate
from rbrlang.learning.judging.noise import Noise, chance, most_worth, possible, propagate
from rbrlang.learning.judging.rates import AgreementFileError, ErrorRate, rates_from_agreement, rates_from_rows
from rbrlang.learning.sample import sample_rows
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row

NAMES = ("refuses", "polite", "lectures", "emoji")
TRUTHS = {
    "ideal": (1, 1, 0), "curt": (1, 0, 0), "preachy": (1, 1, 1), "complying": (0, 1, 0),
}  # fmt: skip


def labelled(prompts: int, rates: dict[str, tuple[float, float]], seed: int) -> list[Row]:
    """Rows with labels of their class and answers of a grader with these (fp, fn)."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for prompt in range(prompts):
        for klass, truth in TRUTHS.items():
            labels = dict(zip(NAMES, (*map(bool, truth), bool(rng.random() < 0.5)), strict=True))
            wrong = {n: rng.random() < rates[n][1 if value else 0] for n, value in labels.items()}
            probs: dict[str, float | None] = {n: float(value != wrong[n]) for n, value in labels.items()}
            found.append(row(prompt, klass, probs, labels=labels, id=f"{prompt}-{klass}"))
    return found


def given_rates(rates: dict[str, tuple[float, float]]) -> tuple[ErrorRate, ...]:
    return tuple(ErrorRate(name, *rates[name], 100, 100) for name in NAMES)


def noise_of(rows: list[Row], rates: tuple[ErrorRate, ...], policy: Circuit | None = None, seed: int = 0) -> Noise:
    reward = NumpyReward(policy or circuit())
    return propagate(reward, sample_rows(reward, rows), rates, seed=seed)


RATES = {"refuses": (0.1, 0.2), "polite": (0.05, 0.3), "lectures": (0.15, 0.1), "emoji": (0.5, 0.5)}


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_chances_of_terminals_are_those_of_the_truth_table(p: list[float]) -> None:
    policy = circuit()
    reward, diagram = NumpyReward(policy), policy.responses[0].diagram
    for number in range(4):
        total = 0.0
        for bits in itertools.product((0.0, 1.0), repeat=4):
            inside = reward.class_probs(np.array([bits], np.float32), np.array([0]))[0, number]
            total += inside * np.prod([q if b else 1 - q for q, b in zip(p, bits, strict=True)])
        assert chance(diagram, number, np.array([p]))[0] == pytest.approx(total, abs=1e-6)


def test_class_confusion_is_that_of_all_answers_enumerated() -> None:
    rows = labelled(3, RATES, seed=0)
    (response,) = noise_of(rows, given_rates(RATES)).responses
    reward = NumpyReward(circuit())
    classes = list(TRUTHS)
    for klass, truth in TRUTHS.items():
        expected = dict.fromkeys(classes, 0.0)
        for bits in itertools.product((0, 1), repeat=3):
            weight = np.prod([
                (1 - RATES[n][1 if t else 0]) if b == t else RATES[n][1 if t else 0]
                for n, t, b in zip(NAMES, truth, bits, strict=False)
            ])  # fmt: skip
            answer = reward.class_probs(np.array([[*bits, 0]], np.float32), np.array([0]))[0].argmax()
            expected[classes[answer]] += float(weight)
        found = response.confusion[classes.index(klass)]
        assert found == pytest.approx([expected[c] for c in classes], abs=1e-9)
    assert response.accuracy == pytest.approx(
        np.mean([row[k] for k, row in enumerate(response.confusion) if row is not None]), abs=1e-9
    )


def test_the_cost_foretold_is_the_cost_incurred() -> None:
    rows = labelled(400, RATES, seed=1)
    rates = rates_from_rows(circuit(), rows)
    for rate in rates:
        assert (rate.fp, rate.fn) == pytest.approx(RATES[rate.proposition], abs=0.05)
        assert rate.source == "measured"
    (told,) = noise_of(rows, rates).responses
    (met,) = evaluate(NumpyReward(circuit()), rows, resamples=0).responses
    assert met.class_accuracy == pytest.approx(told.accuracy, abs=0.03)
    assert met.error is not None
    assert met.error.both.value == pytest.approx(told.error, abs=0.03)


def test_what_a_perfect_answer_is_worth_is_what_it_gains() -> None:
    rows = labelled(30, RATES, seed=2)
    (response,) = noise_of(rows, given_rates(RATES)).responses
    worth = {one.proposition: one for one in response.worth}
    for name in NAMES:
        mended = RATES | {name: (0.0, 0.0)}
        (better,) = noise_of(rows, given_rates(mended)).responses
        if name == "emoji":  # no rule asks for it
            assert abs(worth[name].accuracy) < 1e-12
            continue
        assert worth[name].accuracy == pytest.approx(better.accuracy - response.accuracy, abs=1e-12)
        assert response.error is not None
        assert better.error is not None
        assert worth[name].error == pytest.approx(response.error - better.error, abs=1e-12)
    ranked = most_worth(noise_of(rows, given_rates(RATES)))
    assert ranked[0][0] == "refuses"
    assert all(a[1] >= b[1] - 1e-9 for a, b in itertools.pairwise(ranked))


def test_a_perfect_grader_costs_nothing() -> None:
    perfect = dict.fromkeys(NAMES, (0.0, 0.0))
    found = noise_of(labelled(5, perfect, seed=3), given_rates(perfect))
    (response,) = found.responses
    assert (response.accuracy, response.error, response.contradictory) == (1.0, response.perfect_error, 0.0)
    assert most_worth(found) == ()


def test_answers_that_the_axioms_exclude_are_counted_apart() -> None:
    policy = rbrlang.loads("""
rbr 1
prop whole "A."
prop part "B."
axiom whole => part
response r ranks good > bad
r.good := whole
r.bad := otherwise
""").circuit
    labels = [{"whole": True, "part": True}, {"whole": False, "part": False}]
    rows = [
        replace(row(prompt, ("good", "bad")[n], {}, labels=labels[n], id=f"{prompt}-{n}"), response_type="r")
        for prompt in range(2) for n in range(2)
    ]  # fmt: skip
    reward = NumpyReward(policy)
    rates = (ErrorRate("whole", 0.1, 0.1, 9, 9), ErrorRate("part", 0.2, 0.3, 9, 9))
    graded = [replace(r, probs={n: float(bool(v)) for n, v in r.labels.items()}) for r in rows]
    samples = sample_rows(reward, graded, class_source="labels")
    (response,) = propagate(reward, samples, rates).responses
    # Both true: excluded when only `part` is missed; both false: when only `whole` is claimed.
    assert response.contradictory == pytest.approx((0.9 * 0.3 + 0.1 * 0.8) / 2)


@pytest.mark.parametrize(
    "axioms",
    ["axiom p => q", "axiom !(p & q) | r", "axiom p <=> q\naxiom a => p", "axiom (p | u) & (q | !u)", "axiom p => v\naxiom v => q", "axiom (u & p) | (v & q) | a"],
)  # fmt: skip
def test_all_axioms_count_whatever_the_classes_depend_on(axioms: str) -> None:
    """Against every set of answers: it contradicts where no truth of what is not asked (u, v) allows it."""
    names = "apqruv"
    text = "\n".join(f'prop {name} "It is {name}."' for name in names)
    policy = rbrlang.loads(
        text + f"\n{axioms}\nresponse x ranks good > bad\nx.good := a\nx.bad := otherwise\n"
        "response y ranks good > bad\ny.good := u | v\ny.bad := otherwise\nreward x { features classes, p, q, r }\n"
    )
    circuit, bdd, allowed = policy.circuit, policy.checked.compiled.bdd, policy.checked.compiled.axioms
    asked = frozenset(circuit.responses[0].atoms)
    p = np.random.default_rng(1).random((3, len(names)))
    expected = np.zeros(3)
    for answers in itertools.product((0, 1), repeat=len(asked)):
        fixed = dict(zip(sorted(asked), answers, strict=True))
        rest = [atom for atom in range(len(names)) if atom not in asked]
        worlds = ({**fixed, **dict(zip(rest, r, strict=True))} for r in itertools.product((0, 1), repeat=len(rest)))
        if any(bdd.holds(allowed, {atom for atom, value in world.items() if value}) for world in worlds):
            expected += np.prod([p[:, atom] if value else 1 - p[:, atom] for atom, value in fixed.items()], axis=0)
    assert possible(circuit.axioms, asked, p) == pytest.approx(expected)


def test_truth_is_drawn_from_the_rules_where_there_are_no_labels() -> None:
    rows = [replace(r, labels={}) for r in labelled(20, RATES, seed=4)]
    first, second = (noise_of(rows, given_rates(RATES), seed=7) for _ in range(2))
    assert first == second
    (response,) = first.responses
    assert response.truth == "drawn from the rules"
    assert 0.3 < response.accuracy < 0.9


def test_rates_of_few_rows_are_declared_or_softened() -> None:
    rows = labelled(6, dict.fromkeys(NAMES, (0.0, 0.0)), seed=5)
    rates = {rate.proposition: rate for rate in rates_from_rows(circuit(), rows)}
    # 18 rows refuse and 6 do not, all answered rightly: half a mistake each.
    assert (rates["refuses"].fp, rates["refuses"].fn) == (0.5 / 7, 0.5 / 19)
    few = {rate.proposition: rate for rate in rates_from_rows(circuit(), rows[:8])}
    assert few["refuses"].source == "fp declared"
    assert few["refuses"].fp == 0.05
    assert few["lectures"].source == "fn declared"


def test_agreement_is_read_or_refused() -> None:
    entry: dict[str, Any] = {
        "support": 40, "positives": 10, "sensitivity": {"value": 0.8, "low": 0, "high": 1}, "specificity": 0.9,
    }  # fmt: skip
    rates = rates_from_agreement(
        circuit(), {"propositions": {"polite": entry, "emoji": {"support": 3, "refused": "few"}}}
    )
    by_name = {rate.proposition: rate for rate in rates}
    assert (by_name["polite"].fp, by_name["polite"].fn) == (3.5 / 31, 2.5 / 11)
    assert by_name["emoji"].source == "declared"
    for bad, reason in (
        ([], "no object `propositions`"),
        ({"propositions": {}}, "no proposition of this policy"),
        ({"propositions": {"polite": entry | {"sensitivity": 2}}}, "`sensitivity` is 2"),
        ({"propositions": {"polite": entry | {"positives": 50}}}, "no counts"),
    ):
        with pytest.raises(AgreementFileError, match=reason):
            rates_from_agreement(circuit(), bad)
