"""What juries say and cascades guarantee, against enumeration and planted truths."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbrlang as rbr
from rbrlang.grading.judge import unshaped
from rbrlang.grading.lazy import grade_lazily
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, Value, certain, spread
from rbrlang.grading.several import thresholds, weights
from rbrlang.grading.several.cascade import Cascade, rules_of
from rbrlang.grading.several.jury import EDGE, Jury, Weights, joined
from rbrlang.grading.several.thresholds import Refused, Threshold, learn, needed, one_of_each
from rbrlang.grading.several.verdict import verdict
from rbrlang.grading.trust.agreement import TooLittle
from rbrlang.grading.trust.corrections import CalibrationError
from rbrlang.lang.program import Message
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.conversation import spoken

POLICY = rbr.loads(
    "rbr 1\n"
    + "".join(f'prop {p} "The response is {p}."\n' for p in "abc")
    + "response r ranks good > fair > bad {\n  bad if a\n  fair if b\n  good otherwise\n}\n"
)
ITEM = GradeItem("i", spoken((Message("user", "Hello?"),), "Hello."), 0)


class Fixed:
    """A grader with its answers at hand, by row and question; it keeps count of what it was asked."""

    def __init__(self, identity: str, table: Mapping[str, Sequence[Answer]]) -> None:
        self.identity, self.table = identity, table
        self.asked: list[tuple[str, int]] = []

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        self.asked += [(item.id, q) for item, of in zip(items, wanted, strict=True) for q in of]
        return [{q: self.table[item.id][q] for q in of} for item, of in zip(items, wanted, strict=True)]


def said(*answers: Answer, weights: Sequence[float] | None = None, bias: float = 0.0) -> Answer:
    """What jurors with these answers to one question say together."""
    jurors = [Fixed(f"juror {at}", {"i": [answer]}) for at, answer in enumerate(answers)]
    of = Weights.mean(np.ones((len(answers), 1), bool))
    if weights is not None:
        of = Weights(np.array(weights)[:, None], np.array([bias]))
    return Jury(jurors, of, "test").answers([ITEM], [(0,)])[0][0]


def yes(p: float) -> Value:
    return certain(p, "function")


NONE, LOST = Abstained("no evidence"), Invalid("transport", "no answer within 60 s")


@pytest.mark.parametrize(
    ("answers", "p"),
    [
        ((yes(0.8), yes(0.8)), 0.8),
        ((yes(0.9), yes(0.1)), 0.5),
        ((yes(0.8), yes(0.5)), 2 / 3),  # odds 4 and 1: 2
        ((yes(1.0), yes(0.5)), 1 / (1 + math.sqrt(EDGE / (1 - EDGE)))),  # no juror is surer than 999 to 1
        ((yes(0.99), yes(0.99), yes(0.99), NONE), 1 / (1 + (1 / 99) ** 0.75)),  # even odds, not left out
    ],
)
def test_the_mean_of_log_odds(answers: Sequence[Answer], p: float) -> None:
    found = said(*answers)
    assert isinstance(found, Value)
    assert found.p == pytest.approx(p)
    assert found.method == "jury"


@pytest.mark.parametrize(
    ("answers", "weights", "kind", "reason"),
    [
        ((NONE, NONE), None, "abstained", "no juror judges this: no evidence"),
        ((LOST, NONE), None, "transport", "2 of 2 jurors gave no answer"),
        ((yes(0.999), NONE), None, "wide-bounds", "1 of 2 jurors gave no answer, which leaves P(yes) between 0.5 and 0.999"),
        ((yes(0.9), yes(0.9), LOST), None, "transport", "1 of 3 jurors gave no answer, which leaves P(yes) between 0.302 and 0.977"),
        ((yes(0.9), yes(0.9)), (0.0, 0.0), "abstained", "no juror has a weight for this question"),
    ],
)  # fmt: skip
def test_where_a_jury_has_no_value(
    answers: Sequence[Answer], weights: Sequence[float] | None, kind: str, reason: str
) -> None:
    found = said(*answers, weights=weights)
    assert reason in (found.reason if isinstance(found, Abstained | Invalid) else "")
    assert kind == (found.kind if isinstance(found, Invalid) else "abstained")


def test_a_juror_of_no_weight_is_not_asked_and_not_missed() -> None:
    silent = Fixed("silent", {"i": [LOST]})
    jury = Jury([Fixed("one", {"i": [yes(0.7)]}), silent], Weights(np.array([[2.0], [0.0]]), np.array([0.0])), "test")
    (found,) = jury.answers([ITEM], [(0,)])
    assert silent.asked == []
    assert isinstance(found[0], Value)
    assert (found[0].p, found[0].low, found[0].mass) == pytest.approx((49 / 58, 49 / 58, 1.0))


share = st.floats(0.001, 0.999)


@given(st.lists(st.tuples(share, st.floats(0.01, 3.0), st.booleans()), min_size=1, max_size=4), st.floats(-2, 2))
def test_bounds_hold_whatever_the_missing_would_have_said(jurors: list[tuple[float, float, bool]], bias: float) -> None:
    p = np.array([np.nan if missing else q for q, _, missing in jurors])[:, None]
    w = np.array([weight for _, weight, _ in jurors])[:, None]
    found = joined(p, p, p, w, np.array([bias]))
    gaps = np.isnan(p[:, 0])
    least, most = 1.0, 0.0
    for fill in product((EDGE, 0.3, 1 - EDGE), repeat=int(gaps.sum())):
        full = p.copy()
        full[gaps, 0] = fill
        z = bias + sum(float(w[at, 0]) * math.log(q / (1 - q)) for at, q in enumerate(full[:, 0]))
        least, most = min(least, 1 / (1 + math.exp(-z))), max(most, 1 / (1 + math.exp(-z)))
    assert (found.low[0], found.high[0]) == pytest.approx((least, most), abs=1e-12)
    assert found.low[0] <= found.p[0] <= found.high[0]
    clear = abs(least - 0.5) > 1e-9 and abs(most - 0.5) > 1e-9 and abs(found.share[0] - 0.5) > 1e-9
    if clear and gaps.any():
        assert found.known[0] == (found.share[0] > 0.5 and not least < 0.5 <= most)
    elif not gaps.any():
        assert found.known[0]


@given(st.lists(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), min_size=2, max_size=3), st.randoms())
def test_distributions_join_by_their_geometric_mean(raw: list[list[float]], random: Any) -> None:
    parts = [np.array(one) / sum(one) for one in raw]
    whole = [spread(dict(zip("xyz", one.tolist(), strict=True)), "function") for one in parts]
    found = said(*whole)
    mean = np.prod(parts, axis=0) ** (1 / len(parts))
    assert isinstance(found, Distribution)
    assert list(found.p.values()) == pytest.approx((mean / mean.sum()).tolist())
    one_less = said(*whole, *whole, NONE)
    for _ in range(20):
        other = np.array([random.uniform(EDGE, 1) ** 6 + EDGE for _ in "xyz"])
        filled = said(*whole, *whole, spread(dict(zip("xyz", (other / other.sum()).tolist(), strict=True)), "function"))
        assert isinstance(filled, Distribution)
        if isinstance(one_less, Distribution):  # nobody could have turned it, and its bounds hold
            assert filled.best == one_less.best
            assert all(one_less.low[v] - 1e-9 <= filled.p[v] <= one_less.high[v] + 1e-9 for v in "xyz")


# --- weights ------------------------------------------------------------------------------------


def planted(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels [rows, 2] and P(yes) of three jurors: a good one, one that guesses, and one that says the contrary."""
    random = np.random.default_rng(seed)
    truth = random.random((rows, 2)) < 0.4
    z = np.stack([2.0 * (2 * truth - 1) * side + random.normal(0, 1.5, truth.shape) for side in (1, 0, -1)])
    return truth.astype(float), 1 / (1 + np.exp(-z))


def test_weights_go_to_those_who_know() -> None:
    labels, p = planted(2000, 0)
    found = weights.fit(["a", "b", "c"], ("x", "y"), labels, p, 0)
    # The likelihood's own: log-odds of a normal with means ±2 and variance 2.25 are 4 / 2.25 times z.
    for one in (found.shared, *found.propositions.values()):
        assert one.weights[0] == pytest.approx(4 / 2.25, abs=0.25)
        assert one.weights[1] == pytest.approx(0.0, abs=0.12)
        assert one.weights[2] == 0.0  # never below


def test_few_labels_leave_the_shared_weights_and_many_overrule_them() -> None:
    labels, p = planted(2000, 1)
    p[0, :, 1], p[1, :, 1] = p[1, :, 1].copy(), p[0, :, 1].copy()  # of `y` the second juror knows
    few = labels.copy()
    few[25:, 1] = np.nan
    many, little = (weights.fit(["a", "b", "c"], ("x", "y"), one, p, 0) for one in (labels, few))
    assert many.propositions["y"].weights[1] > 1.3 > 0.3 > many.propositions["y"].weights[0]
    assert little.propositions["y"].weights[1] < many.propositions["y"].weights[1]
    assert little.propositions["y"].labels == 25
    few[:, 1] = np.nan
    assert "y" not in weights.fit(["a", "b", "c"], ("x", "y"), few, p, 0).propositions


def test_a_juror_that_says_nothing_of_a_proposition_has_no_weight_there() -> None:
    labels, p = planted(300, 2)
    p[0, :, 1] = np.nan
    found = weights.fit(["a", "b", "c"], ("x", "y"), labels, p, 0)
    assert found.propositions["y"].weights[0] == 0.0
    assert found.propositions["x"].weights[0] > 1


def test_a_fold_never_sees_its_own_labels() -> None:
    labels, p = planted(60, 3)
    prompts = np.arange(60) // 3
    before = weights.cross_fitted(("x", "y"), labels, p, prompts, 0)
    changed = labels.copy()
    changed[prompts == 7] = 1 - changed[prompts == 7]
    after = weights.cross_fitted(("x", "y"), changed, p, prompts, 0)
    np.testing.assert_array_equal(before[prompts == 7], after[prompts == 7])
    assert (before != after).any()


def test_the_verdict_says_who_adds_something() -> None:
    labels, p = planted(400, 4)
    found = verdict(("x", "y"), labels, p[:2], np.arange(400), 0, 0)
    judged = (*found.jurors, found.mean, found.fitted, *found.without)
    areas = [one.macro.auc.value for one in judged if not isinstance(one.macro, TooLittle)]
    good, guess, mean, fitted, without_good, without_guess = areas
    assert good > 0.95 > mean > 0.6 > guess
    assert fitted == pytest.approx(good, abs=0.005)
    assert without_good < 0.6
    assert without_guess == pytest.approx(good, abs=0.005)
    assert found.kappa[0, 0] == 1
    assert abs(found.kappa[0, 1]) < 0.15


# --- thresholds ---------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 300), st.floats(0.001, 0.999))
def test_the_bound_is_the_exact_binomial_one(errors: int, more: int, risk: float) -> None:
    number = errors + more

    def enumerated(share: float) -> float:
        return math.fsum(math.comb(number, k) * share**k * (1 - share) ** (number - k) for k in range(errors + 1))

    assert thresholds.tail(errors, number, risk) == pytest.approx(enumerated(risk), abs=1e-9)
    assert enumerated(thresholds.upper(errors, number, 0.95)) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(("risk", "confidence", "least"), [(0.02, 0.95, 149), (0.05, 0.95, 59), (0.1, 0.9, 22)])
def test_refusal_below_the_needed_sample(risk: float, confidence: float, least: int) -> None:
    assert needed(risk, confidence) == least

    def learned(number: int, wrong: int) -> Threshold | Refused:
        sure = np.linspace(1, 0.9, number)
        return learn(sure, np.arange(number) < wrong, np.arange(number), risk, confidence, 0)

    few = learned(least - 1, 0)
    assert isinstance(few, Refused)
    assert f"it takes {least} prompts" in few.reason
    assert learned(least, 0).value == 0.0  # type: ignore[union-attr]
    surest = learned(least, least)
    assert isinstance(surest, Refused)
    assert "no threshold holds" in surest.reason


def draws(random: np.random.Generator, prompts: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose first class differs with probability 1 - sure, all rows of a prompt alike."""
    sure = random.random(prompts)
    differs = random.random(prompts) < 1 - sure
    return np.repeat(sure, each), np.repeat(differs, each), np.repeat(np.arange(prompts), each)


def beyond_the_risk(prompts: int, each: int, risk: float, confidence: float, by_prompt: bool) -> tuple[float, float]:
    """The share of 400 samples whose threshold lets through more than the risk, and how many rows they keep on average.

    A threshold t keeps what is surer, and lets through the integral of 1 - s from t to 1: (1 - t)² / 2, exactly.
    """
    random = np.random.default_rng(5)
    over, kept = 0, 0.0
    for seed in range(400):
        sure, differs, of = draws(random, prompts, each)
        found = learn(sure, differs, of if by_prompt else np.arange(len(of)), risk, confidence, seed)
        if isinstance(found, Threshold):
            over += (1 - found.value) ** 2 / 2 > risk
            kept += 1 - found.value
    return over / 400, kept / 400


@pytest.mark.parametrize(("prompts", "risk", "confidence"), [(200, 0.1, 0.95), (400, 0.05, 0.9), (149, 0.02, 0.95)])
def test_the_guarantee_holds(prompts: int, risk: float, confidence: float) -> None:
    over, kept = beyond_the_risk(prompts, 1, risk, confidence, by_prompt=True)
    allowed = 1 - confidence
    assert over <= allowed + 3 * math.sqrt(allowed * confidence / 400)
    best = math.sqrt(2 * risk)  # what who knows the truth would keep
    assert kept > best / 3


def test_rows_of_one_prompt_count_once() -> None:
    """Twelve copies of each row are no twelve facts; who takes them for such breaks the promise."""
    assert beyond_the_risk(60, 12, 0.1, 0.95, by_prompt=True)[0] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert beyond_the_risk(60, 12, 0.1, 0.95, by_prompt=False)[0] > 0.1
    prompts = np.array([3, 3, 1, 1, 1, 2])
    drawn = {seed: one_of_each(prompts, seed).tolist() for seed in range(60)}
    assert all(prompts[of].tolist() == [1, 2, 3] for of in drawn.values())
    assert {of[0] for of in drawn.values()} == {2, 3, 4}


# --- cascades -----------------------------------------------------------------------------------


ROWS: dict[str, tuple[list[Answer], list[Answer]]] = {
    # first, then; the class is bad if a, fair if b
    "sure": ([yes(0.02), yes(0.02), yes(0.5)], [yes(0.99), yes(0.99), yes(0.99)]),
    "unsure": ([yes(0.4), yes(0.3), yes(0.5)], [yes(0.0), yes(1.0), yes(1.0)]),
    "silent": ([yes(0.01), NONE, yes(0.5)], [yes(1.0), yes(0.0), yes(1.0)]),
    "lost": ([LOST, yes(0.01), yes(0.5)], [yes(1.0), yes(0.0), yes(1.0)]),
    "half known": ([yes(0.99), LOST, yes(0.5)], [yes(0.0), yes(0.0), yes(1.0)]),  # b cannot matter much, yet is unknown
}  # fmt: skip


def cascade() -> tuple[Cascade, Fixed, Fixed]:
    first, then = (Fixed(name, {row: both[at] for row, both in ROWS.items()}) for at, name in enumerate(("a", "b")))
    return Cascade(first, then, NumpyReward(POLICY.circuit), 0.9, "learned"), first, then


def items() -> list[GradeItem]:
    return [replace(ITEM, id=row) for row in ROWS]


def test_a_row_is_answered_by_one_grader_alone() -> None:
    both, first, then = cascade()
    every = (0, 1, 2)
    found = both.answers(items(), [every] * len(ROWS))
    for answers, (row, (cheap, strong)) in zip(found, ROWS.items(), strict=True):
        assert [answers[q] for q in every] == (cheap if row == "sure" else strong), row
    assert {row for row, _ in then.asked} == set(ROWS) - {"sure"}
    assert {row for row, _ in first.asked} == set(ROWS)


def test_lazy_grading_asks_the_second_grader_only_what_the_reward_needs() -> None:
    both, first, then = cascade()
    lazily = grade_lazily(NumpyReward(POLICY.circuit), items(), both.answers, 0.0)
    assert sorted(first.asked) == sorted({*first.asked}), "the first grader is asked everything once"
    eager, _, whole = cascade()
    answers = eager.answers(items(), [(0, 1)] * len(ROWS))
    for at, row in enumerate(ROWS):
        for question in lazily.questions[at]:
            assert lazily.answers[at][question] == answers[at][question], row
    assert len(then.asked) < len([one for one in whole.asked if one[1] < 2])
    assert ("silent", 1) not in then.asked  # the strong grader says `a`, and that is bad whatever `b`


def test_identities_change_with_members_and_what_was_learned() -> None:
    one, _, _ = cascade()
    first, then = Fixed("a", {}), Fixed("b", {})
    reward = NumpyReward(POLICY.circuit)
    assert Cascade(first, then, reward, 0.9, "learned").identity == one.identity
    for other in (Cascade(then, first, reward, 0.9, "learned"), Cascade(first, then, reward, 0.9, "again")):
        assert other.identity != one.identity
    assert unshaped("m request max_tokens 16 calibration 12ab") == "m calibration 12ab"
    assert Cascade(Fixed("a request x", {}), then, reward, 0.9, "learned").identity == one.identity


def test_files_belong_to_their_graders_and_their_policy(tmp_path: Path) -> None:
    learned = learn(np.full(200, 0.99), np.zeros(200, bool), np.arange(200), 0.02, 0.95, 3)
    assert isinstance(learned, Threshold)
    rules, file = rules_of(POLICY, POLICY.circuit), tmp_path / "c.json"
    plain = thresholds.to_json(learned, ["a request x", "b"], rules)
    weights.write_learned(file, plain)
    assert thresholds.read(file, ["a", "b"], rules)[0] == learned
    reworded = rbr.loads('rbr 1\nprop a "It is a."\nresponse r ranks good > bad {\n  bad if a\n  good otherwise\n}\n')
    stricter = rbr.loads('rbr 1\nprop a "It is so."\nresponse r ranks good > bad {\n  bad if a\n  good otherwise\n}\n')
    assert rules_of(reworded, reworded.circuit) != rules_of(stricter, stricter.circuit)
    for members, policy, wrong in (
        (("c", "b"), rules, "was learned with `a` as `first`, and here it is `c`"),
        (("a", "c"), rules, "was learned with `b` as `then`, and here it is `c`"),
        (("a", "b"), "other", "under other rules or questions"),
    ):
        with pytest.raises(CalibrationError, match=wrong):
            thresholds.read(file, members, policy)
    for change, wrong in (
        ({"value": 2}, "must be from 0 to 1"), ({"value": "x"}, "must be a number"), ({"more": 1}, "which is none of"),
        ({"format": "rbrlang-jury 1"}, "is not a cascade's thresholds"), ({"prompts": -1}, "must be 0 or more"),
    ):  # fmt: skip
        file.write_text(json.dumps({**plain, **change}))
        with pytest.raises(CalibrationError, match=wrong):
            thresholds.read(file, ["a", "b"], rules)


def test_weights_travel_in_a_file(tmp_path: Path) -> None:
    labels, p = planted(200, 6)
    fitted, file = weights.fit(["a", "b", "c"], ("x", "y"), labels, p, 0), tmp_path / "j.json"
    plain = weights.to_json(fitted)
    weights.write_learned(file, plain)
    assert weights.read(file, ["a", "b", "c"]) == fitted
    with pytest.raises(CalibrationError, match="was learned of `a`, `b`, `c`, and the members are `a`, `c`"):
        weights.read(file, ["a", "c"])
    shared = plain["shared"]
    for change, wrong in (
        ({"shared": {**shared, "weights": [1.0]}}, "must have 3 weights"), ({"shared": {**shared, "bias": 1e9}}, "the bias"),
        ({"shared": {**shared, "weights": [1.0, -1.0, 0.0]}}, "from 0 to 1000"), ({"propositions": [{}]}, "lacks `name`"),
        ({"propositions": plain["propositions"] * 2}, "`x` is listed twice"), ({"members": 3}, "must be a list"),
    ):  # fmt: skip
        file.write_text(json.dumps({**plain, **change}))
        with pytest.raises(CalibrationError, match=wrong):
            weights.read(file, ["a", "b", "c"])
