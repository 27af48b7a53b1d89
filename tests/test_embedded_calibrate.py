"""Calibration: it recovers known distortions, keeps order, and refuses other graders."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from rbrlang.grading.results import Abstained, Invalid, Value
from rbrlang.grading.trust import calibrate
from rbrlang.grading.trust.calibrate import Calibration, CalibrationError, Isotonic, Platt, Temperature, Unchanged


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sample(n, a=1.0, b=0.0, seed=0):
    """Labels drawn from sigmoid(z), and what a grader that distorts log-odds says."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 2, n)
    return random.random(n) < sigmoid(z), np.clip(sigmoid((z - b) / a), 1e-4, 1 - 1e-4)


def test_temperature_is_recovered():
    truth, p = sample(20_000, a=0.4)  # log-odds blown up by 2.5: overconfident
    assert calibrate.temperature(truth, p).t == pytest.approx(2.5, rel=0.1)


def test_platt_is_recovered_and_is_the_optimum():
    truth, p = sample(5_000, a=0.5, b=1.0)
    found = calibrate.platt(truth, p)
    assert (found.a, found.b) == (pytest.approx(0.5, rel=0.1), pytest.approx(1.0, abs=0.15))
    z = np.log(p) - np.log1p(-p)
    target = np.where(truth, (truth.sum() + 1) / (truth.sum() + 2), 1 / ((~truth).sum() + 2))

    def loss(w):
        s = w[0] * z + w[1]
        return np.sum(np.logaddexp(0, s) - target * s)

    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead")
    assert loss([found.a, found.b]) <= best.fun + 1e-6


def test_platt_never_reverses_the_order():
    truth = np.array([True] * 10 + [False] * 10)
    assert calibrate.platt(truth, np.where(truth, 0.2, 0.8)) == Platt(1.0, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=2, max_size=80))
def test_isotonic_has_the_blocks_of_the_definition(pairs):
    truth = np.array([t for t, _ in pairs])
    p = np.array([k / 30 for _, k in pairs])
    found = calibrate.isotonic(truth, p)
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    n = len(counts)
    yes, rows = ([0, *np.cumsum(of).tolist()] for of in (np.bincount(inverse, truth), counts))

    def mean(a, b):
        return (yes[b + 1] - yes[a]) / (rows[b + 1] - rows[a])

    oracle = [max(min(mean(a, b) for b in range(at, n)) for a in range(at + 1)) for at in range(n)]
    assert len(found.x) == len(np.unique(np.round(oracle, 9)))
    assert all(np.diff(found.y) >= 0)
    assert all(0 < y < 1 for y in found.y)


corrections = st.one_of(
    st.builds(Unchanged, st.just("few labels")),
    st.builds(Temperature, st.floats(0.125, 8)),
    st.builds(Platt, st.floats(0.01, 5), st.floats(-5, 5)),
    st.just(Isotonic((0.2, 0.5, 0.9), (0.1, 0.1, 0.95))),
)


@given(corrections, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_corrections_keep_the_order_and_stay_probabilities(correction, values):
    p = np.sort(np.array(values))
    q = calibrate.apply(correction, p)
    assert all(np.diff(q) >= -1e-12)
    assert q.min() >= 0
    assert q.max() <= 1


def test_unknown_stays_unknown():
    assert np.isnan(calibrate.apply(Platt(1.0, 1.0), np.array([np.nan, 0.5]))).tolist() == [True, False]
    assert calibrate.corrected(Temperature(2.0), Abstained("no label")) == Abstained("no label")
    assert calibrate.corrected(Temperature(2.0), Invalid("transport", "gone")) == Invalid("transport", "gone")


def test_a_value_is_corrected_with_its_bounds():
    value = calibrate.corrected(Temperature(2.0), Value(0.9, 1.0, 0.8, 0.95, "top-k", "n"))
    assert isinstance(value, Value)
    assert value.p == pytest.approx(0.75)  # odds 9 become 3
    assert value.low < value.p < value.high
    assert (value.method, value.note, value.mass) == ("top-k", "n", 1.0)


def fitted(n, a=0.3, seed=0):
    truth, p = sample(n, a=a, seed=seed)
    return calibrate.fit("g", ["x"], truth[:, None].astype(float), p[:, None], np.arange(n), 0).propositions[0]


def test_the_method_follows_the_number_of_labels():
    assert isinstance(fitted(15).correction, Unchanged)
    assert isinstance(fitted(40).correction, Temperature)
    assert isinstance(fitted(200).correction, Platt)
    assert isinstance(fitted(900).correction, Isotonic)


def test_gain_is_measured_on_held_out_rows():
    one = fitted(300)
    assert one.gain is not None
    assert one.gain.brier_after < one.gain.brier_before
    assert one.gain.ece_after < one.gain.ece_before


def test_a_calibrated_grader_is_not_made_worse():
    kept = [fitted(200, a=1.0, seed=s) for s in range(6)]
    assert any(isinstance(k.correction, Unchanged) for k in kept)
    assert all(
        isinstance(k.correction, Unchanged) or (k.gain and k.gain.brier_after < k.gain.brier_before) for k in kept
    )


def test_missing_labels_and_values_are_left_out():
    truth, p = sample(100)
    labels = truth[:, None].astype(float)
    labels[::2] = np.nan
    assert calibrate.fit("g", ["x"], labels, p[:, None], np.arange(100), 0).propositions[0].labels == 50
    assert calibrate.fit("g", ["x"], labels, np.full((100, 1), np.nan), np.arange(100), 0).propositions[0].labels == 0


def test_files_round_trip_and_are_locked(tmp_path):
    truth, p = sample(500, a=0.3)
    calibration = calibrate.fit("model-a", ["x"], truth[:, None].astype(float), p[:, None], np.arange(500), 7)
    calibrate.write(tmp_path / "c.json", calibration)
    assert calibrate.read(tmp_path / "c.json") == calibration
    assert calibration.corrections("model-a", ["x", "y"])[1] == Unchanged("it was not among the labels")
    with pytest.raises(CalibrationError, match="made for grader `model-a`, and these answers are of `model-b`"):
        calibration.corrections("model-b", ["x"])


@pytest.mark.parametrize(
    "correction",
    [
        {"temperature": 0}, {"temperature": float("nan")}, {"platt": [-1, 0]}, {"platt": [1]},
        {"isotonic": [[0.5, 0.4], [0, 1]]}, {"isotonic": [[0.1, 0.4], [1, 0]]}, {"isotonic": [[], []]}, {}, [],
    ],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path, correction):
    plain = calibrate.to_json(Calibration("g", 0, (calibrate.Calibrated("x", 9, Unchanged("few"), None),)))
    plain["propositions"][0]["correction"] = correction
    (tmp_path / "c.json").write_text(json.dumps(plain))
    with pytest.raises(CalibrationError, match=r"c\.json"):
        calibrate.read(tmp_path / "c.json")


def test_other_formats_are_refused(tmp_path):
    (tmp_path / "c.json").write_text('{"format": "rbrlang-calibration 2"}')
    with pytest.raises(CalibrationError, match="not the one this version reads"):
        calibrate.read(tmp_path / "c.json")
