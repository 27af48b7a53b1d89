"""What the report concludes: cases, coverage, words, and a verdict that says no more than the rows do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_rows import FEATURES, circuit, noisy_rows, row

from rbrlang.learning.judging.cases import cases_of
from rbrlang.learning.judging.coverage import coverage, fingerprint_of, prior_shares
from rbrlang.learning.judging.evaluate import ByReward, evaluate
from rbrlang.learning.judging.resample import Estimate
from rbrlang.markup import visible
from rbrlang.report import words
from rbrlang.report.gather import Findings, Given, gather
from rbrlang.report.highlight import highlighted
from rbrlang.report.verdict import outcome, verdict
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.weights import default_weights
from rbrlang.rows.read import Row


def found(rows: list[Row], provenance: dict[str, Any] | None = None, **options: Any) -> Findings:
    policy = circuit()
    artefact = Artefact(policy, default_weights(policy), (), None, provenance or {})
    return gather(artefact, rows, Given(**({"resamples": 200} | options)))


def planted(prompts: int, *, base: float, right: bool = True) -> list[Row]:
    """An ideal and a complying completion a prompt; P as it should be or the reverse; base reward of the worse is `base`."""
    made: list[Row] = []
    for prompt in range(prompts):
        for klass in ("ideal", "complying"):
            good = (klass == "ideal") == right
            p = 0.9 if good else 0.1
            probs: dict[str, float | None] = {"refuses": p, "polite": p, "lectures": 0.1, "emoji": 0.1}
            made.append(row(prompt, klass, probs, id=f"{prompt}{klass}", base_reward=0.0 if klass == "ideal" else base))
    return made


# --- verdict --------------------------------------------------------------------------------------


def test_rules_that_mend_the_order_help() -> None:
    said = verdict(found(planted(20, base=0.5)))
    assert said.tone == "good"
    assert "help" in said.headline


def test_rules_that_spoil_the_order_make_it_worse() -> None:
    said = verdict(found(planted(20, base=-0.5, right=False)))
    assert said.tone == "bad"
    assert "worse" in said.headline


def test_rules_that_drown_the_base_reward_are_a_caution() -> None:
    loud = [claim.text for claim in verdict(found(planted(20, base=0.02))).claims]
    assert any("base reward will hardly count beside it: refusal (" in text for text in loud)
    quiet = [claim.text for claim in verdict(found(planted(20, base=5.0))).claims]
    assert not any("hardly count" in text for text in quiet)


def test_few_prompts_are_no_verdict() -> None:
    said = verdict(found(planted(4, base=0.5)))
    assert said.tone == "open"
    assert any("Too few prompts" in claim.text for claim in said.claims)


def test_nothing_to_compare_is_said_with_its_reason() -> None:
    said = verdict(found([one for one in planted(12, base=0.5) if one.klass == "ideal"]))
    assert said.tone == "open"
    assert "different rank" in said.detail
    assert any("No row shows" in claim.text for claim in said.claims)


def test_praise_is_tempered_on_the_rows_of_the_fit() -> None:
    rows = planted(20, base=0.5)
    said = verdict(found(rows, {"fit": {"data": fingerprint_of(rows)}}))
    assert said.tone == "mixed"
    assert "fitted to" in said.headline
    assert verdict(found(rows, {"fit": {"data": fingerprint_of(rows[2:])}})).tone == "good"


def test_without_a_base_reward_nothing_is_compared_with_it() -> None:
    rows = [
        row(i, k, dict(r.probs), id=r.id) for i, k, r in ((r.prompt_key, r.klass, r) for r in planted(20, base=0.0))
    ]
    said = verdict(found(rows))
    assert said.tone == "open"
    assert "no base reward" in said.headline


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_the_outcome_is_symmetric_and_needs_intervals_apart(ends: list[float]) -> None:
    low, mid, high = sorted(ends[:3])
    other_low, other_mid, other_high = sorted(ends[3:])
    one, other = Estimate(mid, low, high, None), Estimate(other_mid, other_low, other_high, None)
    forth, back = outcome(ByReward(one, one, other)), outcome(ByReward(other, other, one))
    assert {"helps": "hurts", "hurts": "helps", "open": "open"}[forth] == back
    if forth == "helps":
        assert other_high < low


@pytest.mark.parametrize("fit", [7, "text", [], {"response_types": [1]}, {"response_types": {"refusal": {
    "intervals": {"ideal": ["a", 1]}, "undetermined": "ideal", "held_out": {"pairs": "x"}, "error": None}}}])  # fmt: skip
def test_provenance_that_anybody_may_have_written_breaks_nothing(fit: Any) -> None:
    weights = found(planted(12, base=0.5), {"fit": fit}).weights
    assert [w.name for w in weights[0].weights] == list(FEATURES)
    assert all(w.low is None for w in weights[0].weights)
    assert weights[0].no_intervals


# --- cases ----------------------------------------------------------------------------------------


def test_terms_of_a_case_add_up_to_its_lead_and_no_completion_comes_twice() -> None:
    reward, rows = NumpyReward(circuit()), noisy_rows(20, 5, seed=2, noise=0.3)
    (response,) = evaluate(reward, rows, resamples=10).responses
    cases = cases_of(reward, rows, response, most=5)
    assert len(cases) == 5
    assert len({side.row.id for case in cases for side in (case.better, case.worse)}) == 10
    for case in cases:
        assert case.lead > 0
        for terms in (case.terms, case.largest(3), case.largest(50)):
            assert sum(term.lead for term in terms) == pytest.approx(case.lead, abs=1e-5)
            assert sum(term.better for term in terms) == pytest.approx(case.better.reward, abs=1e-5)
        assert len(case.largest(3)) == 3
        leads = [term.lead for term in case.terms]
        assert leads == sorted(leads, reverse=True)


def test_a_case_names_answers_that_contradict_the_labels() -> None:
    rows = planted(1, base=9.0)
    labelled = [
        row(
            r.prompt_key,
            r.klass,
            dict(r.probs),
            id=r.id,
            base_reward=r.base_reward,
            labels={"refuses": False, "emoji": None},
        )
        for r in rows
    ]
    reward = NumpyReward(circuit())
    (response,) = evaluate(reward, labelled, class_source="intent", resamples=10).responses
    (case,) = cases_of(reward, labelled, response)
    assert [(m.proposition, m.label, m.p) for m in case.better.mistakes] == [("refuses", False, 0.9)]
    assert case.worse.mistakes == ()


# --- coverage -------------------------------------------------------------------------------------


def test_prior_shares_agree_with_enumeration() -> None:
    policy = circuit()
    (response,) = policy.responses
    shares = np.zeros(4)
    for bits in range(16):
        refuses, polite, lectures, _ = truth = [bool(bits >> at & 1) for at in range(4)]
        chance = np.prod([atom.prior if t else 1 - atom.prior for atom, t in zip(policy.atoms, truth, strict=True)])
        shares[3 if not refuses else 2 if lectures else 0 if polite else 1] += chance
    assert prior_shares(policy, response) == pytest.approx(shares)


def test_coverage_counts_labels_answers_and_what_is_missing() -> None:
    rows = [
        row(
            p,
            "ideal",
            {"refuses": 0.9, "polite": 0.2, "lectures": None, "emoji": 0.5},
            id=str(p),
            labels={"refuses": True},
        )
        for p in range(3)
    ]
    reward = NumpyReward(circuit())
    seen = coverage(reward.circuit, rows, evaluate(reward, rows, resamples=10))
    first, second, third, fourth = seen.propositions
    assert (first.yes, first.no, first.said_yes, first.said_no) == (3, 0, 3, 0)
    assert (second.said_yes, second.said_no, third.said_yes, third.said_no, fourth.said_yes) == (0, 3, 0, 0, 3)
    assert seen.constant == ("refuses", "polite", "lectures", "emoji")
    assert seen.responses[0].set_apart == 3  # `lectures` has no answer
    assert set(seen.empty_classes) == {f"refusal.{name}" for name in FEATURES[:4]}


def test_the_fingerprint_of_rows_knows_which_but_not_in_what_order() -> None:
    rows = planted(5, base=0.5)
    assert fingerprint_of(rows) == fingerprint_of(rows[::-1])
    assert fingerprint_of(rows) != fingerprint_of(rows[1:])
    assert fingerprint_of(rows) != fingerprint_of([*rows, rows[0]])


# --- words ----------------------------------------------------------------------------------------


@given(st.text())
def test_visible_text_hides_nothing_and_can_be_written(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert not any(c in shown for c in "\u202a\u202e\u2066\u2069\u200e\ufeff\x00\x1b\x85\u2028")
    assert all(c in shown for c in text if c.isprintable())


@given(st.text(), st.integers(8, 60))
def test_an_excerpt_keeps_beginning_and_end(text: str, most: int) -> None:
    shown = words.excerpt(text, most)
    if len(text) <= most:
        assert shown == text
    else:
        assert shown.startswith(text[: most * 3 // 4].rstrip())
        assert shown.endswith(text[-(most // 4) :].lstrip())
        assert len(shown) <= most + 40


@given(st.text())
def test_highlighting_changes_no_character(text: str) -> None:
    assert "".join(piece for _, piece in highlighted(text)) == text


def test_highlighting_follows_the_language() -> None:
    pieces = list(highlighted('rbr 1\n@prior(0.5) prop a "Text." # why\n'))
    assert ("word", "rbr") in pieces
    assert ("text", '"Text."') in pieces
    assert ("note", "@prior") in pieces
    assert ("comment", "# why") in pieces
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed([]) == "none"
    assert words.percent(0.0004) == "under 0.1\u202f%"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.00"), (-0.001, "0.00"), (-1.5, "−1.50"), (123.4, "+123"), (float("nan"), "–"), (None, "–")],
)
def test_numbers_in_units_of_reward_read_well(value: float | None, shown: str) -> None:
    assert words.signed(value) == shown
