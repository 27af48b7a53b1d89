"""Corrections of scales and choices: they recover known distortions, keep bounds true, and go through every command."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultserver import FaultServer, Say, chat
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize

from rbrlang.adapters.trl import TRLReward
from rbrlang.cli.main import main
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.results import Abstained, Distribution, Invalid, from_json, spread, to_json
from rbrlang.grading.trust import calibrate
from rbrlang.grading.trust.calibrate import Calibration, CalibrationError, Temperature, Unchanged
from rbrlang.grading.trust.calibrate_values import (
    BiasCorrected,
    CalibratedValues,
    apply_values,
    bias_corrected,
    corrected_values,
    fit_values,
    log_loss,
    values_temperature,
)
from rbrlang.lang.variables import Domain
from rbrlang.reward.kept import artefact as artefacts
from rbrlang.scoring.columns import Columns
from rbrlang.scoring.graders import grader_of
from rbrlang.scoring.score import Scorer
from rbrlang.serve.forms import Reading, read_score, say_score

HELP = Domain("help", "scale", ("1", "2", "3", "4", "5"))
TONE = Domain("tone", "choice", ("formal", "casual", "hostile"))
BIAS = {5: np.array([0.6, -0.2, 0.0, -0.8, 0.4]), 3: np.array([0.9, -0.5, -0.4])}


def softmax(s: np.ndarray) -> np.ndarray:
    weights = np.exp(s - s.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def sample(n: int, k: int, t: float = 1.0, bias: np.ndarray | float = 0.0, seed: int = 0):
    """Labels drawn from distributions, and what a grader says that `softmax(log p / t + bias)` would put right."""
    random = np.random.default_rng(seed)
    s = random.normal(0.0, 1.0, (n, k))
    true = softmax(s)
    labels = (random.random((n, 1)) > np.cumsum(true, 1)).sum(1).clip(0, k - 1)
    return labels, softmax(t * (s - bias))


# --- fitting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 5])
def test_a_planted_temperature_is_recovered(k: int) -> None:
    labels, p = sample(8_000, k, t=2.0)
    assert values_temperature(labels, p).t == pytest.approx(2.0, rel=0.06)


@pytest.mark.parametrize("k", [3, 5])
def test_a_planted_temperature_and_bias_are_recovered_and_are_the_optimum(k: int) -> None:
    labels, p = sample(8_000, k, t=2.0, bias=BIAS[k])
    found = bias_corrected(labels, p)
    assert found.t == pytest.approx(2.0, rel=0.06)
    assert np.array(found.bias) == pytest.approx(BIAS[k] - BIAS[k].mean(), abs=0.1)
    z = np.log(1e-4 + (1 - k * 1e-4) * p)

    def loss(x: np.ndarray) -> float:
        s = x[0] * z + x[1:]
        return float(-np.log(softmax(s)[np.arange(len(labels)), labels]).sum() + x[1:] @ x[1:] / 2)

    assert loss(np.array([1 / found.t, *found.bias])) <= minimize(loss, np.array([1.0, *[0.0] * k])).fun + 1e-4


def test_a_perfect_and_a_reversed_grader_stay_within_the_limits_of_temperature() -> None:
    labels = np.arange(60) % 3
    sure = np.eye(3)[labels]
    assert 1 / 8 <= bias_corrected(labels, sure).t < 0.4
    assert 1 / 8 <= values_temperature(labels, sure).t < 0.4
    unsure = 0.5 + 0.01 * sure[:, :2] - 0.01 * sure[:, 1::-1]
    assert values_temperature(labels[labels < 2], unsure[labels < 2]).t == 1 / 8
    assert bias_corrected(labels, np.eye(3)[(labels + 1) % 3]).t == 8.0


def test_the_planted_correction_is_worth_it_on_rows_it_never_saw() -> None:
    labels, p = sample(600, 5, t=2.0, bias=BIAS[5])
    one = fit_values(HELP, labels, p, np.arange(600), 0)
    assert isinstance(one.correction, BiasCorrected)
    assert one.gain is not None
    assert one.gain.log_loss_after < one.gain.log_loss_before == pytest.approx(log_loss(labels, p))
    assert one.gain.score_after < one.gain.score_before
    assert one.gain.ece_after < one.gain.ece_before / 2


def test_without_a_bias_to_find_the_temperature_alone_is_taken() -> None:
    kept = [fit_values(HELP, *sample(150, 5, t=2.5, seed=s), np.arange(150), 0).correction for s in range(8)]
    assert sum(isinstance(one, Temperature) for one in kept) >= 5
    assert all(isinstance(one, Temperature | BiasCorrected) for one in kept)


def test_a_calibrated_grader_is_left_alone_unless_held_out_rows_gain() -> None:
    kept = [fit_values(TONE, *sample(200, 3, seed=s), np.arange(200), 0) for s in range(8)]
    assert any(isinstance(one.correction, Unchanged) for one in kept)
    for one in kept:
        assert one.gain is not None
        gains = one.gain.log_loss_after < one.gain.log_loss_before
        assert isinstance(one.correction, Unchanged) is not gains


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "0 labels; at least two values with 5 of them each are needed"),
        ([0] * 50 + [1] * 4, "54 labels; at least two values with 5 of them each are needed"),
        ([0] * 10 + [1] * 9, "19 labels; at least 20 are needed"),
    ],
)
def test_too_few_labels_change_nothing_and_say_so(labels: list[int], reason: str) -> None:
    truth = np.array(labels, np.int64)
    one = fit_values(TONE, truth, np.full((len(truth), 3), 1 / 3), np.arange(len(truth)), 0)
    assert one == CalibratedValues("tone", TONE.values, len(labels), Unchanged(reason), None)


def test_a_bias_needs_labels_of_every_value() -> None:
    labels, p = sample(2_000, 3, t=2.0, bias=BIAS[3])
    never = labels != 2
    one = fit_values(TONE, labels[never], p[never], np.arange(never.sum()), 0)
    assert isinstance(one.correction, Temperature | Unchanged)
    few = np.flatnonzero(never)[:55].tolist() + np.flatnonzero(~never)[:4].tolist()
    assert not isinstance(fit_values(TONE, labels[few], p[few], np.arange(59), 0).correction, BiasCorrected)


def test_rows_without_label_or_answer_take_no_part() -> None:
    labels, p = sample(300, 3, t=2.0)
    more = np.vstack([p, np.full((5, 3), np.nan), p[:7]])
    padded = np.concatenate([labels, np.zeros(5, np.int64), np.full(7, -1)])
    prompts = np.arange(312)
    assert fit_values(TONE, padded, more, prompts, 3) == fit_values(TONE, labels, p, prompts[:300], 3)


def test_rows_of_one_prompt_are_held_out_together() -> None:
    """Where each prompt always has the same answer, a correction that saw the prompt must not be judged on it."""
    labels, p = sample(40, 3, t=2.0, seed=5)
    many = np.repeat(np.arange(40), 10)
    apart = fit_values(TONE, labels[many], p[many], np.arange(400), 0).gain
    together = fit_values(TONE, labels[many], p[many], many, 0).gain
    assert apart is not None
    assert together is not None
    assert together.log_loss_after > apart.log_loss_after


# --- answers and bounds -------------------------------------------------------------------------


def test_failures_and_certainty() -> None:
    one = CalibratedValues("tone", TONE.values, 99, BiasCorrected(2.0, (0.5, 0.0, -0.5)), None)
    for answer in (Abstained("no label"), Invalid("transport", "gone")):
        assert calibrate.corrected(one, answer) == answer
    sure = corrected_values(one, spread({"formal": 0.0, "casual": 1.0, "hostile": 0.0}, "function"))
    assert sure.low == sure.p == sure.high
    assert 0.0 < sure.p["hostile"] < sure.p["formal"] < 0.1
    assert sum(sure.p.values()) == pytest.approx(1.0)
    assert np.isnan(apply_values(one.correction, np.array([[np.nan] * 3, [0.2, 0.3, 0.5]]))).all(1).tolist() == [
        True,
        False,
    ]
    strange = spread({"formal": 0.4, "grim": 0.6}, "function")  # what has other values is for others to refuse
    assert corrected_values(one, strange) == strange
    kept = replace(one, correction=Unchanged("few"))
    assert corrected_values(kept, spread({"formal": 0.0, "casual": 1.0, "hostile": 0.0}, "function")).p["casual"] == 1.0


def test_values_are_corrected_by_name_in_whatever_order() -> None:
    one = CalibratedValues("tone", TONE.values, 99, BiasCorrected(1.0, (1.0, 0.0, -1.0)), None)
    p = {"formal": 0.2, "casual": 0.5, "hostile": 0.3}
    turned = {name: p[name] for name in ("hostile", "formal", "casual")}
    found = corrected_values(one, spread(turned, "table"))
    assert list(found.p) == list(turned)
    assert found.p == corrected_values(one, spread(p, "table")).p
    expected = softmax(np.log([0.2, 0.5, 0.3]) + np.array([1.0, 0.0, -1.0]))
    assert [found.p[name] for name in p] == pytest.approx(expected.tolist(), abs=1e-3)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[BiasCorrected, list[float], list[float], int]:
    k = draw(st.integers(2, 6))
    t = draw(
        st.one_of(st.floats(1 / 8, 8), st.sampled_from([0.125, 0.5, 0.999999, 1.0, 1.000001, 2.0, 8.0, 0.01, 100.0]))
    )
    bias = draw(st.lists(st.floats(-3, 3), min_size=k, max_size=k))
    weights = draw(st.lists(st.sampled_from([0.0, 1e-6, 0.01, 0.2, 1.0, 3.0]), min_size=k, max_size=k).filter(any))
    widths = draw(st.lists(st.sampled_from([0.0, 1e-9, 0.01, 0.2, 1.0]), min_size=2 * k, max_size=2 * k))
    return BiasCorrected(t, tuple(bias)), weights, widths, draw(st.integers(0, 2**32 - 1))


def _allowed(low: np.ndarray, high: np.ndarray, p: np.ndarray, seed: int) -> list[np.ndarray]:
    """Distributions within the bounds: corners, filled value by value in random orders, and mixtures of them and p."""
    random = np.random.default_rng(seed)
    corners = [p]
    for _ in range(30):
        q = low.copy()
        for at in random.permutation(len(p)):
            q[at] += min(high[at] - low[at], max(0.0, 1.0 - q.sum()))
        corners.append(q)
    mixed = [random.dirichlet(np.full(len(corners), 0.3)) @ np.array(corners) for _ in range(30)]
    return [q for q in (*corners, *mixed) if abs(q.sum() - 1.0) < 1e-12]


@given(_cases())
@example((BiasCorrected(100.0, (3.0, -3.0)), [1.0, 0.0], [1.0] * 4, 0))
@example((BiasCorrected(0.01, (0.0, 0.0, 0.0)), [1.0, 1.0, 1.0], [1.0] * 6, 0))
def test_bounds_hold_every_distribution_that_the_old_ones_allow(case: Any) -> None:
    correction, weights, widths, seed = case
    k = len(weights)
    p = np.array(weights) / sum(weights)
    low, high = np.maximum(0.0, p - np.array(widths[:k])), np.minimum(1.0, p + np.array(widths[k:]))
    names = tuple("abcdef"[:k])
    by_value = [dict(zip(names, of_each.tolist(), strict=True)) for of_each in (p, low, high)]
    answer = Distribution(by_value[0], 0.9, by_value[1], by_value[2], "top-k")
    found = corrected_values(CalibratedValues("x", names, 99, correction, None), answer)
    assert from_json(to_json(found)) == found  # bounds lie in [0, 1] around p, which sums to 1
    assert (found.mass, found.method) == (0.9, "top-k")
    least, most = (np.array([end[name] for name in names]) for end in (found.low, found.high))
    allowed = _allowed(low, high, p, seed)
    assert allowed
    after = apply_values(correction, np.array(allowed))
    assert (after >= least - 1e-9).all()
    assert (after <= most + 1e-9).all()


@pytest.mark.parametrize("t", [0.3, 1.0, 4.0])
def test_bounds_are_no_wider_than_needed(t: float) -> None:
    """Of two values they are those at the ends; of three, some distribution comes near to each of them."""
    one = CalibratedValues("x", ("no", "yes"), 99, BiasCorrected(t, (-0.4, 0.4)), None)
    two = corrected_values(
        one, Distribution({"no": 0.3, "yes": 0.7}, 1.0, {"no": 0.1, "yes": 0.6}, {"no": 0.4, "yes": 0.9}, "top-k")
    )
    ends = apply_values(one.correction, np.array([[0.4, 0.6], [0.1, 0.9]]))[:, 1]
    assert (two.low["yes"], two.high["yes"]) == pytest.approx(ends.tolist(), abs=1e-9)
    assert (two.high["no"], two.low["no"]) == pytest.approx((1 - ends).tolist(), abs=1e-9)
    names, p, low, high = "abc", [0.3, 0.3, 0.4], [0.2, 0.1, 0.3], [0.5, 0.4, 0.6]
    by = [dict(zip(names, of, strict=True)) for of in (p, low, high)]
    three = corrected_values(
        CalibratedValues("x", tuple(names), 99, Temperature(t), None), Distribution(by[0], 1.0, by[1], by[2], "top-k")
    )
    grid = np.array([
        (a, b, 1 - a - b)
        for a in np.linspace(0.2, 0.5, 61) for b in np.linspace(0.1, 0.4, 61) if 0.3 - 1e-9 <= 1 - a - b <= 0.6 + 1e-9
    ])  # fmt: skip
    after = apply_values(Temperature(t), grid)
    for at, name in enumerate(names):
        assert three.low[name] == pytest.approx(after[:, at].min(), abs=0.02)
        assert three.high[name] == pytest.approx(after[:, at].max(), abs=0.02)


# --- files --------------------------------------------------------------------------------------


def of(*variables: CalibratedValues, grader: str = "g") -> Calibration:
    return Calibration(grader, 0, (calibrate.Calibrated("rude", 9, Unchanged("few"), None),), variables)


def test_files_round_trip_and_old_ones_are_read(tmp_path: Path) -> None:
    labels, p = sample(300, 5, t=2.0, bias=BIAS[5])
    made = of(
        fit_values(HELP, labels, p, np.arange(300), 0),
        CalibratedValues("tone", TONE.values, 40, Temperature(1.5), None),
        CalibratedValues("more", ("a", "b"), 3, Unchanged("3 labels"), None),
    )
    calibrate.write(tmp_path / "c.json", made)
    assert calibrate.read(tmp_path / "c.json") == made == calibrate.from_json(calibrate.to_json(made))
    calibrate.write(tmp_path / "d.json", calibrate.read(tmp_path / "c.json"))
    assert (tmp_path / "d.json").read_bytes() == (tmp_path / "c.json").read_bytes()
    old = {
        "format": "rbrlang-calibration 1", "grader": "g", "seed": 0,
        "propositions": [{"name": "rude", "labels": 9, "correction": {"unchanged": "few"}}],
    }  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(old))
    read = calibrate.read(tmp_path / "old.json")
    assert read == of()
    assert calibrate.to_json(read) == old  # the identity that rows and artefacts name it by stays
    assert read.corrections("g", ["rude", "tone"], {1: TONE})[1] == Unchanged("it was not among the labels")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"values": ["a"]}, "`values` of `tone` must be at least two different levels or options"),
        ({"values": ["a", "a"]}, "`values` of `tone` must be at least two different levels or options"),
        ({"values": "ab"}, "`values` of `tone` must be a list of its levels or options"),
        ({"values": [1, 2]}, "each of `values` of `tone` must be a text"),
        ({"correction": {"temperature": 0}}, "the temperature of `tone` must be a number from 0.01 to 100"),
        ({"correction": {"temperature": float("nan")}}, "NaN is no JSON number"),
        ({"correction": {"temperature": 1e9}}, "the temperature of `tone` must be a number from 0.01 to 100"),
        ({"correction": {"temperature": 10**400}}, "temperature of `tone` must be a number"),
        ({"correction": {"temperature": 1, "bias": {"formal": 1}}}, "must have one number for each of formal, casual, h"),
        ({"correction": {"temperature": 1, "bias": [1, 2, 3]}}, "must have one number for each of formal, casual, hostile"),
        ({"correction": {"temperature": 1, "bias": {"formal": 1e3, "casual": 0, "hostile": 0}}}, "between -100 and 100"),
        ({"correction": {"temperature": 1, "bias": {"formal": "x", "casual": 0, "hostile": 0}}}, "each of `bias` of `tone` must be a number"),
        ({"correction": {}}, "correction of `tone` must be either"),
        ({"correction": []}, "the correction of `tone` must be an object"),
        ({"gain": {}}, "`gain` of `tone` lacks `log_loss_before`"), ({"gain": None}, "`gain` of `tone` must be an object"),
        ({"labels": None}, "`labels` of `tone` must be a whole number"),
        ({"labels": -1}, "`labels` of `tone` must be 0 or more"), ({"labels": 3.0}, "must be a whole number"),
        ({"labels": True}, "`labels` of `tone` must be a whole number"),
        ({"correction": {"temperature": "2.0"}}, "the temperature of `tone` must be a number"),
        ({"correction": {"temperature": True}}, "the temperature of `tone` must be a number"),
        ({"correction": {"temperature": 1, "bias": {"formal": "3", "casual": 0, "hostile": 0}}}, "must be a number"),
        ({"correction": {"temperature": 1, "bias": {"formal": True, "casual": 0, "hostile": 0}}}, "must be a number"),
        ({"correction": {"temperature": 1, "bais": {}}}, "the correction of `tone` has `bais`, which is none of"),
        ({"correction": {"temperature": 1, "unchanged": "few"}}, "the correction of `tone` must be either"),
        ({"correction": {"unchanged": None}}, "`unchanged` of `tone` must be a text"),
        ({"name": None}, "`name` of entry 1 of `variables` must be a text"),
        ({"name": "a\ud800"}, "`name` of entry 1 of `variables` has half a surrogate pair"),
        ({"values": ["a", "\udfff"]}, "each of `values` of `tone` has half a surrogate pair"),
        ({"label": 3}, "entry 1 of `variables` has `label`, which is none of name, values, labels"),
        ({"name": "rude"}, "`rude` is listed twice"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    plain = calibrate.to_json(of(CalibratedValues("tone", TONE.values, 40, Temperature(1.5), None)))
    plain["variables"][0] |= change
    (tmp_path / "c.json").write_text(json.dumps(plain))
    with pytest.raises(CalibrationError, match=reason):
        calibrate.read(tmp_path / "c.json")
    with pytest.raises(CalibrationError):
        calibrate.from_json(plain)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": -3}, "`labels` of `rude` must be 0 or more"), ({"name": 3}, "`name` of entry 1 of `propositions`"),
        ({"correction": {"temperature": "2.0"}}, "`temperature` of `rude` must be a number"),
        ({"correction": {"temperature": True}}, "`temperature` of `rude` must be a number"),
        ({"correction": {"temperature": -1}}, "`temperature` of `rude` must be a number above 0"),
        ({"correction": {"temperature": 2, "unchanged": "few"}}, "correction of `rude` must be one of unchanged, temp"),
        ({"correction": {}}, "correction of `rude` must be one of"), ({"correction": {"plat": [1, 0]}}, "has `plat`"),
        ({"correction": {"platt": [1]}}, "`platt` of `rude` must be two numbers, the first above 0"),
        ({"correction": {"platt": ["1", 0]}}, "`platt` of `rude` must be a number"),
        ({"correction": {"platt": "10"}}, "`platt` of `rude` must be a list"),
        ({"correction": {"isotonic": [["0.1"], [0.1]]}}, "`isotonic` of `rude` must be a number"),
        ({"correction": {"isotonic": [[0.1], [0.1], []]}}, "`isotonic` of `rude` must be two lists"),
        ({"correction": {"isotonic": [[0.2, 0.1], [0, 1]]}}, "`isotonic` of `rude` must be two lists"),
        ({"gain": {"brier_before": "1", "brier_after": 0, "ece_before": 0, "ece_after": 0}}, "`brier_before` of `gain` of"),
        ({"gains": {}}, "entry 1 of `propositions` has `gains`"),
    ],
)  # fmt: skip
def test_damaged_corrections_of_propositions_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    plain = calibrate.to_json(of())
    plain["propositions"][0] |= change
    (tmp_path / "c.json").write_text(json.dumps(plain))
    with pytest.raises(CalibrationError, match=reason):
        calibrate.read(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"grader": None}, "`grader` must be a text"), ({"seed": "0"}, "`seed` must be a whole number"),
        ({"seed": True}, "`seed` must be a whole number"), ({"propositions": {}}, "`propositions` must be a list"),
        ({"variabels": []}, "the calibration has `variabels`"), ({"format": 1}, "`format` must be a text"),
    ],
)  # fmt: skip
def test_damaged_files_as_a_whole_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    (tmp_path / "c.json").write_text(json.dumps(calibrate.to_json(of()) | change))
    with pytest.raises(CalibrationError, match=reason):
        calibrate.read(tmp_path / "c.json")


def test_a_name_that_is_listed_twice_is_refused() -> None:
    tone = CalibratedValues("tone", TONE.values, 40, Temperature(1.5), None)
    for plain in (of(tone, tone), replace(of(tone), propositions=of().propositions * 2)):
        with pytest.raises(CalibrationError, match=r"`(tone|rude)` is listed twice"):
            calibrate.from_json(calibrate.to_json(plain))


def test_what_does_not_fit_a_policy_is_named() -> None:
    tone = CalibratedValues("tone", TONE.values, 40, Temperature(1.5), None)
    assert of(tone).misfit(["rude", "tone"], {1: TONE}) is None
    helpful = Domain("helpful", "scale", HELP.values)
    made = of(CalibratedValues("help", HELP.values, 40, Temperature(2.0), None), tone)
    assert made.misfit(["rude", "kind", "tone", "helpful"], {2: TONE, 3: helpful}) == (
        f"calibration {made.identity} has nothing for `kind`, `helpful`, so those answers stay as they are; "
        "it has entries that belong to nothing of this policy: `help`"
    )
    # A scale that became a proposition of the same name is not corrected by the scale's entry.
    assert "nothing for `tone`" in str(of(tone).misfit(["rude", "tone"]))


@pytest.mark.parametrize("variables", [None, 3, ["tone"], [None], [[]], {}, {"tone": {}}])
def test_what_is_no_list_of_variables_is_refused(tmp_path: Path, variables: Any) -> None:
    (tmp_path / "c.json").write_text(json.dumps({**calibrate.to_json(of()), "variables": variables}))
    with pytest.raises(CalibrationError, match=r"`variables`.* must be (a list|an object)"):
        calibrate.read(tmp_path / "c.json")


# --- commands -----------------------------------------------------------------------------------

POLICY = """rbr 1
prop rude "Response is rude."
scale help 1..5 "How far does the response help?"
choice tone "What is the tone?" { formal "It is formal."  casual "It is casual."  hostile "It attacks." }
response chat ranks good > fair > bad {
  bad if tone == hostile | help <= 2
  good if help >= 4 & !rude
  fair otherwise
}
reward chat { features classes, help }
"""
GRADER = """
import json
from pathlib import Path
SAID = {row["completion"]: row["said"] for row in map(json.loads, Path(__file__).with_name("gold.jsonl").read_text().splitlines())}
def grade(items, names):
    return [SAID[item.completion] for item in items]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a policy, 200 labelled rows and a grader of one's own that is too sure of itself and likes some values."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.rbr").write_text(POLICY)
    name = f"grader_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(GRADER)
    (tmp_path / "name").write_text(f"python:{name}.grade")
    helps, tones = sample(200, 5, t=2.0, bias=BIAS[5], seed=1), sample(200, 3, t=2.0, bias=BIAS[3], seed=2)
    rude = sample(200, 2, t=2.0, seed=3)
    with (tmp_path / "gold.jsonl").open("w") as sink:
        for at in range(200):
            said: dict[str, Any] = {
                "help": dict(zip(HELP.values, helps[1][at].tolist(), strict=True)),
                "tone": dict(zip(TONE.values, tones[1][at].tolist(), strict=True)),
                "rude": float(rude[1][at, 1]),
            }
            if at == 0:
                said |= {"help": None, "tone": "hostile"}
            labels = {
                "help": int(helps[0][at]) + 1, "tone": TONE.values[int(tones[0][at])], "rude": bool(rude[0][at]),
            }  # fmt: skip
            row = {"id": f"r{at}", "prompt": f"How {at // 4}?", "completion": f"So {at}.", "response_type": "chat"}
            sink.write(json.dumps({**row, "labels": labels, "said": said}) + "\n")
    return tmp_path


def grader(place: Path) -> str:
    return (place / "name").read_text()


def learned(place: Path, capsys: Any, *more: str) -> dict[str, Any]:
    options = ["--grader", grader(place), "--bootstrap", "0", "--format", "json", *more]
    assert main(["agree", "p.rbr", "gold.jsonl", *options]) == 0
    return json.loads(capsys.readouterr().out)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tone_of(row: dict[str, Any]) -> list[float]:
    return [row["probs"][f"tone.{value}"] for value in TONE.values]


def test_a_correction_is_learned_applied_kept_and_verified(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = learned(place, capsys, "--calibrate", "c.json")
    told = plain["calibration"]["variables"]
    assert set(told) == {"help", "tone"}
    for name in ("help", "tone"):
        assert told[name]["correction"].startswith("temperature ")
        assert ", bias " in told[name]["correction"]
        assert told[name]["log_loss"]["after"] < told[name]["log_loss"]["before"]
        assert told[name]["score"]["after"] < told[name]["score"]["before"]
        assert told[name]["score"]["before"] == pytest.approx(plain["variables"][name]["score"])
        assert told[name]["ece"]["before"] == pytest.approx(plain["variables"][name]["ece"])
    assert (told["help"]["labels"], told["tone"]["labels"]) == (199, 200)
    again = learned(place, capsys, "--calibrate", "d.json")
    assert (place / "c.json").read_bytes() == (place / "d.json").read_bytes()
    assert {**again["calibration"], "file": ""} == {**plain["calibration"], "file": ""}
    made = calibrate.read(place / "c.json")
    applied = learned(place, capsys, "--calibration", "c.json")
    assert applied["applied_calibration"] == made.identity
    assert applied["variables"]["tone"]["ece"] < plain["variables"]["tone"]["ece"] / 2

    who = ["--grader", grader(place)]
    assert main(["grade", "p.rbr", "gold.jsonl", "-o", "raw.jsonl", *who]) == 0
    assert main(["grade", "p.rbr", "gold.jsonl", "-o", "cal.jsonl", *who, "--calibration", "c.json", "--details"]) == 0
    raw, cal = lines(place / "raw.jsonl"), lines(place / "cal.jsonl")
    assert {row["calibration"] for row in cal} == {made.identity}
    tone = next(one for one in made.variables if one.name == "tone")
    expected = apply_values(tone.correction, np.array([tone_of(row) for row in raw]))
    assert np.array([tone_of(row) for row in cal]) == pytest.approx(expected, abs=1e-6)
    assert not any(key.startswith("help.") for key in cal[0]["probs"])  # no answer stays none

    # An artefact carries it, and then nobody has to name it.
    assert main(["fit", "p.rbr", "gold.jsonl", "-o", "p.rbrc", *who, "--calibration", "c.json", "--held-out", "0"]) == 0
    assert artefacts.read_artefact(place / "p.rbrc").calibration == calibrate.to_json(made)
    score = ["score", "p.rbrc", "gold.jsonl", *who]
    assert main([*score, "-o", "out.jsonl"]) == 3
    assert main([*score, "-o", "same.jsonl", "--calibration", "c.json"]) == 3
    assert (place / "out.jsonl").read_bytes() == (place / "same.jsonl").read_bytes()
    scored = lines(place / "out.jsonl")
    assert np.array([tone_of(row) for row in scored]) == pytest.approx(expected, abs=1e-6)
    assert [row["id"] for row in scored if row["reward"] is None] == ["r0"]
    capsys.readouterr()
    assert main(["verify", "out.jsonl", "--artefact", "p.rbrc"]) == 0
    assert main(["verify", "out.jsonl", "--artefact", "p.rbrc", *who]) == 0
    capsys.readouterr()
    assert main(["compile", "p.rbr", "-o", "bare.rbrc"]) == 0
    assert main(["verify", "out.jsonl", "--artefact", "bare.rbrc", *who]) == 1
    assert f"its calibration is {made.identity}, and not" in re.sub(r"\s+", " ", "".join(capsys.readouterr()))


def test_a_person_can_read_what_was_learned(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["agree", "p.rbr", "gold.jsonl", "--grader", grader(place), "--bootstrap", "0", "--disagreements", "0"]
    assert main(how) == 0
    out = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert re.search(
        r"P of the likeliest value of help is off by 0\.\d\d on average; .*--calibrate calibration\.json", out
    )
    assert main([*how, "--calibrate", "c.json"]) == 0
    out = capsys.readouterr().out
    assert "Calibration of scales and choices, on prompts that the correction never saw" in out
    flat = re.sub(r"\s+", " ", out)
    assert re.search(r"tone 200 (\d\.\d{3} ){6}temperature \d\.\d\d ", flat)
    assert re.search(r"tone: biases of its log-probabilities: formal: [+-]\d\.\d\d, casual", flat)
    assert "wrote c.json, which holds for this grader only" in out
    shown = out.partition("Calibration of scales and choices")[2].partition("wrote c.json")[0]
    assert max(map(len, shown.splitlines())) <= 100


def test_a_policy_of_scales_alone_is_calibrated(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "p.rbr").write_text(
        'rbr 1\nscale help 1..5 "How far does the response help?"\n'
        "response chat ranks good > bad { good if help >= 4  bad otherwise }\nreward chat { features classes, help }\n"
    )
    rows = [row | {"labels": {"help": row["labels"]["help"]}} for row in lines(place / "gold.jsonl")]
    (place / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert set(learned(place, capsys, "--calibrate", "c.json")["calibration"]["variables"]) == {"help"}
    assert main(["agree", "p.rbr", "gold.jsonl", "--grader", grader(place), "--calibrate", "c.json"]) == 0
    assert "Calibration, before and after" not in capsys.readouterr().out
    assert calibrate.read(place / "c.json").propositions == ()


def test_other_values_and_other_graders_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    learned(place, capsys, "--calibrate", "c.json")
    (place / "new.rbr").write_text(POLICY.replace('hostile "It attacks."', 'hostile "It attacks." dry "It is dry."'))
    said = (
        "the calibration was made for `tone` of formal, casual, hostile, and the policy has formal, casual, hostile, dry; "
        "calibrate again with `rbrc agree --calibrate`"
    )
    how = ["grade", "new.rbr", "gold.jsonl", "-o", "out.jsonl", "--grader", grader(place), "--calibration", "c.json"]
    assert main(how) == 2
    assert said in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert not (place / "out.jsonl").exists()
    assert main(["compile", "new.rbr", "-o", "new.rbrc"]) == 0
    new = artefacts.read_artefact(place / "new.rbrc")
    with pytest.raises(GraderError, match=re.escape(said)):
        grader_of(grader(place), new, GraderOptions(calibration=place / "c.json"))
    # What an artefact carries is a claim of whoever wrote it.
    forged = replace(new, calibration=calibrate.to_json(calibrate.read(place / "c.json")))
    with pytest.raises(
        GraderError, match="the artefact's calibration cannot be used: the calibration was made for `tone`"
    ):
        grader_of(grader(place), forged, GraderOptions())
    artefacts.write_artefact(place / "forged.rbrc", forged)
    capsys.readouterr()
    assert main(["score", "forged.rbrc", "gold.jsonl", "-o", "out.jsonl", "--grader", grader(place)]) == 2
    assert "the artefact's calibration cannot be used: the calibration was made for `tone`" in capsys.readouterr().err
    # A scale of another name is not corrected by what its old name had, and that is said once.
    (place / "renamed.rbr").write_text(re.sub(r"\bhelp\b", "helpful", POLICY))
    bare = [{key: value for key, value in row.items() if key != "labels"} for row in lines(place / "gold.jsonl")]
    (place / "bare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    capsys.readouterr()
    how = ["grade", "p.rbr", "bare.jsonl", "-o", "p.jsonl", "--grader", grader(place), "--calibration", "c.json"]
    assert main(how) == 0
    assert "belong to nothing" not in (err := capsys.readouterr().err)
    assert "nothing for" not in err
    assert main([how[0], "renamed.rbr", *how[2:]]) == 0
    err = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert err.count("has nothing for `helpful`") == 1
    assert err.count("entries that belong to nothing of this policy: `help`") == 1
    assert main(["compile", "renamed.rbr", "-o", "renamed.rbrc"]) == 0
    options = GraderOptions(calibration=place / "c.json")
    grader_of(grader(place), artefacts.read_artefact(place / "renamed.rbrc"), options)
    assert [record.message for record in caplog.records if "has nothing for `helpful`" in record.message]
    # The order of options means nothing.
    turned = POLICY.replace(
        'formal "It is formal."  casual "It is casual."', 'casual "It is casual."  formal "It is formal."'
    )
    (place / "turned.rbr").write_text(turned)
    for name in ("p", "turned"):
        how = ["grade", f"{name}.rbr", "gold.jsonl", "-o", f"{name}.jsonl", "--grader", grader(place)]
        assert main([*how, "--calibration", "c.json"]) == 0
    p, turned = lines(place / "p.jsonl"), lines(place / "turned.jsonl")
    assert [tone_of(row) for row in p] == [tone_of(row) for row in turned]


# --- servers and trainers -----------------------------------------------------------------------


def said(body: bytes, before: int) -> Say:
    """A server that gives the first sign 0.6, the next 0.3, and no more."""
    if not body:
        return Say(b"", 404)
    text = json.loads(body)["messages"][0]["content"]
    if "Answer with one digit" in text:
        return chat([("1", 0.6), ("2", 0.3), ("Well", 0.05)])
    if "Answer with one letter" in text:
        return chat([("A", 0.6), ("B", 0.3), ("Well", 0.05)])
    return chat([("no", 0.9), ("yes", 0.05)])


def test_answers_of_a_server_are_corrected_everywhere_and_kept_as_they_were(place: Path, capsys: Any) -> None:
    rows = [{"id": f"r{at}", "prompt": "How?", "completion": f"So {at}.", "response_type": "chat"} for at in range(3)]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["compile", "p.rbr", "-o", "bare.rbrc"]) == 0
    bare = artefacts.read_artefact(place / "bare.rbrc")
    with FaultServer(said) as server:
        how = ["--grader", "openai:m", "--base-url", server.url, "--cache", "kept"]
        options = GraderOptions(base_url=server.url)
        identity = grader_of("openai:m", bare, options).identity
        made = of(
            CalibratedValues("help", HELP.values, 99, BiasCorrected(2.0, (0.5, -0.5, 0.0, 0.0, 0.0)), None),
            CalibratedValues("tone", TONE.values, 99, Temperature(3.0), None), grader=identity,
        )  # fmt: skip
        calibrate.write(place / "c.json", made)
        assert main(["grade", "p.rbr", "rows.jsonl", "-o", "raw.jsonl", *how, "--details"]) == 0
        asked = sum(server.received.values())
        assert (
            main(["grade", "p.rbr", "rows.jsonl", "-o", "cal.jsonl", *how, "--details", "--calibration", "c.json"]) == 0
        )
        assert sum(count for body, count in server.received.items() if body) <= asked  # from the cache
        raw, cal = lines(place / "raw.jsonl")[0], lines(place / "cal.jsonl")[0]
        one = made.variables[0]
        before, after = from_json(raw["answers"]["help"]), from_json(cal["answers"]["help"])
        assert isinstance(before, Distribution)
        assert before.low["3"] < before.high["3"]
        assert after == corrected_values(one, before)
        assert raw["answers"]["rude"] == cal["answers"]["rude"]

        shut = replace(bare, calibration=calibrate.to_json(made))
        artefacts.write_artefact(place / "cal.rbrc", shut)
        expected = [[row["probs"][f"help.{value}"] for value in HELP.values] for row in lines(place / "cal.jsonl")]
        scorer = Scorer(place / "cal.rbrc", "openai:m", base_url=server.url)
        rollouts = read_score({"rows": rows}, Reading())
        served = say_score(rollouts, scorer(rollouts))["rows"]
        assert [list(row["probs"]["help"].values()) for row in served] == [
            pytest.approx(one, abs=1e-6) for one in expected
        ]
        reward = TRLReward(place / "cal.rbrc", "openai:m", columns=Columns(every="chat"), base_url=server.url)
        rewards = asyncio.run(reward([row["prompt"] for row in rows], [row["completion"] for row in rows]))
        assert rewards == pytest.approx([row["reward"] for row in served])
        for artefact, more in (("cal.rbrc", []), ("bare.rbrc", ["--calibration", "c.json"])):
            assert main(["score", artefact, "rows.jsonl", "-o", "out.jsonl", *how, *more]) == 0
            assert [row["reward"] for row in lines(place / "out.jsonl")] == pytest.approx(rewards)
            assert main(["verify", "out.jsonl", "--artefact", artefact, *how, *more]) == 0
