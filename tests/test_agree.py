"""`rbrc agree`: its numbers by their definitions, what it refuses, what it says, and what it writes."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import agree_rows
import numpy as np
import pytest
from agree_rows import CLASSES, NAMES, POLICY, klass
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reward_circuits import random_case
from scipy.stats import binomtest

from rbrlang.cli.commands.trust import agree
from rbrlang.cli.main import main
from rbrlang.grading.classes import CONTRADICTION, OPEN, classes_of
from rbrlang.grading.trust.agreement import Agreement, Macro, assess_all
from rbrlang.grading.trust.assessment import assess, disagreements
from rbrlang.policy import loads

CIRCUIT = loads(POLICY).circuit
INTERFACE = {"support", "positives", "accuracy", "balanced_accuracy", "auc", "brier", "ece", "refused"}


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "small.rbr"
    path.write_text(POLICY, encoding="utf-8")
    return str(path)


def agreed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON of a run that ends with this exit code."""
    assert main(["agree", *arguments, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


# --- numbers --------------------------------------------------------------------------------------


def check_numbers(found: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Every number of the JSON equals what the oracle counts."""
    kept: list[dict[str, float]] = []
    for name in NAMES:
        entry, told = found["propositions"][name], agree_rows.pairs(rows, name)
        tp, fp, fn, tn = agree_rows.counts(told)
        assert (entry["support"], entry["positives"]) == (len(told), tp + fn)
        labelled = sum(r["labels"][name] is not None for r in rows)
        assert entry["unanswered"] == labelled - len(told)
        if min(tp + fn, fp + tn) < 5:
            assert entry["refused"]
            assert all(entry[m] is None for m in ("accuracy", "balanced_accuracy", "auc", "brier", "ece"))
            continue
        assert entry["refused"] is None
        expected = {
            "accuracy": (tp + tn) / len(told),
            "balanced_accuracy": (tp / (tp + fn) + tn / (fp + tn)) / 2,
            "auc": agree_rows.auc(told),
            "brier": agree_rows.brier(told),
            "ece": agree_rows.ece(told),
        }
        kept.append(expected)
        assert {m: entry[m] for m in expected} == pytest.approx(expected)
        assert entry["kappa"] == pytest.approx(agree_rows.kappa(told))
        for part, hits, of in (("sensitivity", tp, tp + fn), ("specificity", tn, fp + tn)):
            oracle = binomtest(hits, of).proportion_ci(method="wilson")
            assert entry[part] == pytest.approx({"value": hits / of, "low": oracle.low, "high": oracle.high}, abs=1e-9)
        parts = entry["brier_decomposition"]
        whole = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
        assert whole == pytest.approx(entry["brier"])
        assert sum(b["rows"] for b in entry["reliability"]) == len(told)
        mixed = [
            kind
            for kind in ("decline", "answer")
            if 0 < sum(t for t, _, k in told if k == kind) < sum(k == kind for _, _, k in told)
        ]
        inside = [one for one in told if one[2] in mixed]
        if min(sum(t for t, _, _ in inside), sum(not t for t, _, _ in inside)) >= 5:
            assert entry["auc_within_response_type"] == pytest.approx(agree_rows.auc(inside, within=True))
        else:
            assert entry["auc_within_response_type"] is None
    if kept:
        means = {m: sum(e[m] for e in kept) / len(kept) for m in kept[0]}
        assert {m: found["macro"][m] for m in means} == pytest.approx(means)
        assert found["macro"]["propositions"] == len(kept)


def check_classes(found: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Classes, of rows that are labelled and answered in full, as one derives them by hand."""
    for response, classes in CLASSES.items():
        table = {true: dict.fromkeys((*classes, "contradiction"), 0) for true in classes}
        for row in rows:
            if row.get("response_type", "answer") == response:
                said = klass(response, {n: p >= 0.5 for n, p in row["probs"].items()})
                table[str(klass(response, row["labels"]))][said or "contradiction"] += 1
        entry = found["classes"]["by_response_type"][response]
        total = sum(sum(counts.values()) for counts in table.values())
        assert entry["rows"] == total
        assert entry["accuracy"] == pytest.approx(sum(table[c][c] for c in classes) / total)
        for true in classes:
            assert {k: v for k, v in entry["confusion"][true].items() if k != "open"} == table[true]


@pytest.mark.parametrize("seed", range(3))
def test_every_number_is_its_definition(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    rows = agree_rows.rows(120, seed)
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    found = agreed(capsys, policy, gold, "--grader", "rows", "--bootstrap", "50")
    check_numbers(found, rows)
    check_classes(found, rows)
    assert found["rows"] == 120
    assert found["prompts"] == 60


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0.0, 0.7))
def test_gaps_are_left_out_and_never_filled(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int, number: int, gaps: float
) -> None:
    rows = agree_rows.rows(number, seed, gaps=gaps)
    labelled = sum(any(label is not None for label in row["labels"].values()) for row in rows)
    assume(labelled)
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    found = agreed(capsys, policy, gold, "--grader", "rows", "--bootstrap", "0")
    check_numbers(found, rows)
    assert found["rows"] == labelled


def test_the_json_is_what_interfaces_promise_and_is_the_same_twice(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(60, 1))
    first, second = (agreed(capsys, policy, gold) for _ in range(2))
    assert first == second
    assert {"grader", "rows", "propositions", "macro", "classes"} <= first.keys()
    assert first["grader"].startswith("embedded ")
    assert all(entry.keys() >= INTERFACE for entry in first["propositions"].values())
    assert {"accuracy", "balanced_accuracy", "auc", "brier", "ece"} <= first["macro"].keys()
    assert all(e.keys() >= {"rows", "accuracy"} for e in first["classes"]["by_response_type"].values())
    assert "NaN" not in json.dumps(first)
    low, high = first["propositions"]["sorry"]["intervals"]["ece"]
    assert low <= high


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.6))
def test_a_class_is_decided_when_every_way_to_fill_the_gaps_leads_to_it(seed: int, gaps: float) -> None:
    case = random_case(seed, axioms=True)
    random = np.random.default_rng(seed)
    atoms = len(case.circuit.atoms)
    answers = (random.random((6, atoms)) < 0.5).astype(float)
    answers[random.random(answers.shape) < gaps] = np.nan
    for response, table in zip(case.circuit.responses, case.tables, strict=True):
        for row, got in zip(answers, classes_of(response, answers).tolist(), strict=True):
            left = {
                table[world]
                for world in range(2**atoms)
                if all(math.isnan(a) or a == (world >> (atoms - 1 - at) & 1) for at, a in enumerate(row.tolist()))
            } - {-1}
            assert got == (left.pop() if len(left) == 1 else OPEN if left else CONTRADICTION)


@given(st.integers(0, 1000), st.integers(0, 12))
def test_disagreements_are_the_most_confident_two_of_each_first(seed: int, limit: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random((20, 3)) < 0.5).astype(float)
    p = random.random((20, 3))
    labels[0, 0], p[1, 1] = np.nan, np.nan
    found = disagreements(labels, p, limit)
    everything = disagreements(labels, p, 60)
    known = [(i, j) for i in range(20) for j in range(3) if (i, j) not in ((0, 0), (1, 1))]
    assert len(everything) == sum((p[i, j] >= 0.5) != (labels[i, j] == 1) for i, j in known)
    assert len(found) == min(limit, len(everything))
    confidence = [abs(d.p - d.label) for d in found]
    assert confidence == sorted(confidence, reverse=True)
    assert all((d.p >= 0.5) != d.label == (labels[d.row, d.proposition] == 1) for d in found)
    for j in range(3):
        mine = [d for d in everything if d.proposition == j]
        if limit >= 6:  # room for two of each
            assert set(mine[:2]) <= set(found)


def test_measures_take_part_in_classes() -> None:
    circuit = loads(
        'rbr 1\nprop kind "Kind." { ask "Kind?" }\nresponse r ranks good > bad { bad if !kind | words > 3  good otherwise }'
    ).circuit
    truth = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])  # the measure is known and no label
    found = assess(circuit, truth, np.where(truth == 1, 1.0, [[0.1, 0.0]]), np.arange(3), np.zeros(3, int), seed=0)
    assert found.classes[0].counts == ((1, 0), (0, 2))


# --- refusals and messages --------------------------------------------------------------------------


def test_one_answer_only_is_refused_with_the_reason(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = agree_rows.rows(40, 2)
    for row in rows:
        row["labels"]["rude"] = False
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    entry = agreed(capsys, policy, gold, "--grader", "rows")["propositions"]["rude"]
    assert entry["refused"] == "0 positives and 40 negatives; at least 5 of each are needed"
    assert entry["auc"] is None
    assert "reliability" not in entry
    assert main(["agree", policy, gold, "--grader", "rows"]) == 0
    out = capsys.readouterr().out
    assert "rude: not judged: 0 positives and 40 negatives; at least 5 of each are needed" in out
    assert "label more rows of both answers for rude" in out


def test_a_grader_that_says_nothing_is_refused_not_praised(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "probs": {}} for row in agree_rows.rows(30, 2)]
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    assert main(["agree", policy, gold, "--grader", "rows", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["compared"] == 0
    assert found["propositions"]["sorry"]["refused"] == "the grader gave no value for any of its 30 labelled rows"
    assert found["macro"]["auc"] is None
    assert found["macro"]["refused"] == "no proposition has enough labels of both kinds"
    assert found["classes"]["accuracy"] is None
    assert (
        sum(sum(c["open"] for c in e["confusion"].values()) for e in found["classes"]["by_response_type"].values())
        == 30
    )


def test_what_does_not_fit_the_policy_is_said(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = agree_rows.rows(44, 3)
    for row in rows[:5]:
        row["labels"] |= {"ruude": True, "cold": False}
    rows[6]["labels"] = {}
    rows[7]["response_type"] = "maybe"
    rows[8]["labels"] |= {"refuses": True, "gives": True}
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    with open(gold, "a", encoding="utf-8") as file:
        file.write('{"completion": "x", "labels": {"sorry": 0.5}}\n')
    assert main(["agree", policy, gold, "--grader", "rows"]) == 3
    out, err = capsys.readouterr()
    assert (
        "`ruude` (labelled in 5 rows) is no proposition of the policy, so its labels are not used; did you mean `rude`?"
        in err
    )
    assert "`cold` (labelled in 5 rows) is derived in the policy, so its labels are not used" in err
    assert "1 of 44 rows have no labels and take no part" in err
    assert (
        "1 row with response type `maybe`, which the policy does not map (first: r7); it knows decline, answer" in err
    )
    assert "gold.jsonl:45: the label of `sorry` is 0.5, not true, false or null" in err
    assert "1 rows have no response type of the policy, and so no class" in out
    assert "the labels of 1 rows contradict an axiom (first: r8)" in out


def test_invalid_answers_are_counted_and_end_with_3(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "def judge(items, names):\n"
        "    odd = {'r0': 7.0, 'r1': None}\n"
        "    return [{name: odd.get(item.id, 0.5) for name in names} for item in items]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    gold = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(40, 4))
    found = agreed(capsys, policy, gold, "--grader", "python:mine.judge", code=3)
    assert sum(found["invalid_answers"].values()) == 4
    assert found["propositions"]["sorry"]["unanswered"] == 2
    assert found["propositions"]["sorry"]["auc"] == 0.5
    assert found["propositions"]["sorry"]["note"] == "`python:mine.judge` did not judge this"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no usable row; it is empty"),
        ('{"completion": "a"}\n', "has no label of a question of the policy; `labels` of a row may name gives"),
        ('{"completion": "a", "labels": {"x": true}}\n', "has no label of a question of the policy"),
    ],
)
def test_nothing_to_judge_by(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "gold.jsonl").write_text(text)
    assert main(["agree", policy, str(tmp_path / "gold.jsonl")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--grader", "rows", "--train", "h"],
            "`--train` learns heads of the embedded grader; `rows` has none to learn",
        ),
        (["--cross-validate", "3", "--calibrate", "c"], "separate steps"),
        (["--cross-validate", "3", "--heads", "h"], "`--heads` has no say with `--cross-validate`"),
        (["--cross-validate", "1"], "30 prompts cannot be split into 1 folds; take 2 to 30"),
        (["--calibrate", "c", "--calibration", "d"], "leave out `--calibration`"),
        (["--plot", "a.jpg"], "ends in none of .png, .svg, .pdf"),
        (["--plot", "nowhere/a.png"], "there is no folder `nowhere`"),
        (["-o", "-"], "standard output is taken by the report"),
        (["--bootstrap", "-1"], "`--bootstrap -1` is below 0"),
        (["--gate", "auk>0.9"], "nothing is called `auk`; did you mean `auc`?"),
        (["--gate", "rude.auk>0.9"], "nothing is called `rude.auk`; did you mean `rude.auc`?"),
        (["--gate", "auc"], "is not a condition"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    policy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    gold = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(60, 5))
    assert main(["agree", policy, gold, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_gates(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = agree_rows.rows(60, 6)
    for row in rows:
        row["labels"]["rude"] = None
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    fixed = ["agree", policy, gold, "--grader", "rows"]
    assert main([*fixed, "--gate", "auc>0.5", "--gate", "sorry.brier<0.5", "--gate", "class_accuracy>=0"]) == 0
    capsys.readouterr()
    gates = ["auc>0.999", "rude.auc>0.1", "ece<=0", "decline.class_accuracy>2"]
    assert main([*fixed, *(part for gate in gates for part in ("--gate", gate))]) == 1
    err = capsys.readouterr().err.splitlines()
    assert [line.split(" is not met")[0] for line in err] == [f"gate {gate}" for gate in gates]
    assert "gate rude.auc>0.1 is not met: rude.auc could not be computed: no row labels it" in err


def test_every_gate_name_has_a_value(policy: str, tmp_path: Path) -> None:
    rows = agree_rows.rows(60, 6)
    truth, p = (np.array([[float(r[c][n]) for n in NAMES] for r in rows]) for c in ("labels", "probs"))
    ids = np.array([0 if "response_type" in r else 1 for r in rows])
    found = assess(CIRCUIT, truth, p, np.arange(60), ids, seed=0, resamples=0)
    values, reasons = agree.gate_values(found)
    assert tuple(sorted(values)) == tuple(sorted(agree.gate_names(NAMES, CIRCUIT.response_names)))
    assert all(values[name] is not None or name in reasons for name in values)


# --- what it shows -----------------------------------------------------------------------------------


def test_a_person_can_read_it(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = agree_rows.rows(60, 7)
    rows[0]["completion"] = "Sorry\x1b[31m, \u202ecan't\u0000 " + "long " * 200
    rows[0]["labels"] |= {"sorry": False, "rude": True}
    gold = agree_rows.write(tmp_path / "gold.jsonl", rows)
    assert main(["agree", policy, gold, "--details", "--disagreements", "5"]) == 0
    out = capsys.readouterr().out
    assert "sorry: people say no, the grader P(yes) =" in out
    assert "What to do next" not in out or "  - " in out
    assert max(map(len, out.splitlines())) <= 100
    assert not {"\x1b", "\u202e", "\x00"} & set(out)
    table = out.split("Propositions, weakest first")[1].split("mean of")[0]
    order = [float(bal) for bal in re.findall(r"(\d\.\d\d) +\d+/\d+ +\d+/\d+", table)]
    assert len(order) == 4
    assert order == sorted(order)


# --- calibration, heads, plots ------------------------------------------------------------------------


def test_a_calibration_is_learned_applied_and_locked(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = agree_rows.rows(200, 8)
    for row in rows:  # far too sure of itself
        row["probs"] = {n: 0.02 if p < 0.5 else 0.98 for n, p in row["probs"].items()}
    gold, target = agree_rows.write(tmp_path / "gold.jsonl", rows), str(tmp_path / "c.json")
    learned = agreed(capsys, policy, gold, "--grader", "rows", "--calibrate", target)
    entry = learned["calibration"]["propositions"]["sorry"]
    assert (
        entry["brier"]["after"] < entry["brier"]["before"] == pytest.approx(learned["propositions"]["sorry"]["brier"])
    )
    assert entry["ece"]["after"] < entry["ece"]["before"]
    applied = agreed(capsys, policy, gold, "--grader", "rows", "--calibration", target)
    assert applied["applied_calibration"]
    assert applied["macro"]["ece"] < learned["macro"]["ece"] / 2
    assert applied["macro"]["auc"] == pytest.approx(learned["macro"]["auc"], abs=0.02)
    assert main(["agree", policy, gold, "--grader", "embedded", "--calibration", target]) == 2
    assert "the calibration was made for grader `rows`" in capsys.readouterr().err


def test_heads_are_learned_judged_and_used(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = agree_rows.rows(60, 9)
    for n, row in enumerate(rows):  # something that the cues do not see and the text shows
        row["labels"] |= {"sorry": n % 3 == 0, "rude": n == 1}
        row["completion"] = "Apologies, truly. " * (n % 3 == 0) + row["completion"].replace("Sorry", "Well")
    gold, heads = agree_rows.write(tmp_path / "gold.jsonl", rows), str(tmp_path / "h.safetensors")
    found = agreed(capsys, policy, gold, "--train", heads, "--bootstrap", "20", "--cross-validate", "3")
    assert found["cross_validated"] == {"folds": 3, "seed": 0, "by": "prompt"}
    assert found["training"]["auc_before"]["sorry"] == 0.5
    assert found["propositions"]["sorry"]["auc"] > 0.95
    assert found["training"]["not_learned"] == ["rude"]
    assert found["propositions"]["rude"]["refused"] == "1 positive and 59 negatives; at least 5 of each are needed"
    assert found["training"]["learning_curve"][-1]["completions"] == 48
    used = agreed(capsys, policy, gold, "--heads", heads)
    assert used["propositions"]["sorry"]["auc"] > 0.99
    assert "head learned from 60 labels (labels of gold.jsonl)" in used["propositions"]["sorry"]["note"]
    changed = tmp_path / "changed.rbr"
    changed.write_text(POLICY.replace("Does it apologise?", "Is it sorry?"), encoding="utf-8")
    assert main(["agree", str(changed), gold, "--heads", heads]) == 2
    assert "`sorry` has changed since its head was trained" in capsys.readouterr().err


def test_heads_need_twenty_labels(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, heads = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(18, 1)), tmp_path / "h.safetensors"
    assert main(["agree", policy, gold, "--train", str(heads)]) == 2
    assert "heads need at least 20" in capsys.readouterr().err
    assert not heads.exists()
    gold = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(20, 1))
    found = agreed(capsys, policy, gold, "--train", str(heads), "--bootstrap", "0")
    assert found["training"]["learning_curve"] == [
        {"completions": 16, "auc": found["training"]["learning_curve"][0]["auc"]}
    ]
    assert heads.exists()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plots_are_drawn_and_are_the_same_twice(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    gold = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(60, 1))
    made = [tmp_path / f"{n}.{suffix}" for n in "ab"]
    for path in made:
        assert main(["agree", policy, gold, "--grader", "rows", "--plot", str(path), "--bootstrap", "20"]) == 0
    first, second = (path.read_bytes() for path in made)
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    assert sorted(p.name for p in tmp_path.glob("*a.*")) == [f"a.{suffix}"]


def test_the_plot_shows_what_was_judged() -> None:
    from rbrlang.report.plots import agreement_figure

    rows = agree_rows.rows(60, 6)
    truth, p = (np.array([[float(r[c][n]) for n in NAMES] for r in rows]) for c in ("labels", "probs"))
    truth[:, 2] = 0
    found = assess(CIRCUIT, truth, p, np.arange(60), np.zeros(60, int), seed=0, resamples=50)
    figure = agreement_figure(found, "mine")
    areas, *panels = figure.axes
    assert len(panels) == 3
    told = sorted((j.result.auc.value, j.name) for j in found.propositions if isinstance(j.result, Agreement))
    assert [t.get_text().split()[0] for t in areas.get_yticklabels()] == [name for _, name in told]
    assert areas.lines[0].get_xdata() == pytest.approx([value for value, _ in told])
    assert any("rude (0 yes of 60)" in text.get_text() for text in figure.texts)
    empty = assess(CIRCUIT, truth[:3], p[:3], np.arange(3), np.zeros(3, int), seed=0, resamples=0)
    assert not agreement_figure(empty, "mine").axes


def test_without_matplotlib_one_line_says_what_to_install(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rbrlang.report.plots", None)
    gold = agree_rows.write(tmp_path / "gold.jsonl", agree_rows.rows(30, 1))
    assert main(["agree", policy, gold, "--plot", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err == "rbrc agree: `--plot` needs the extra `plot`: pip install 'rbrlang[plot]'\n"


# --- real text ------------------------------------------------------------------------------------------


def test_the_example_policy_on_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).resolve().parents[1] / "examples" / "refusals"
    found = agreed(capsys, str(folder / "policy.rbr"), str(folder / "completions.jsonl"), "--bootstrap", "50")
    assert found["rows"] == 330
    assert found["macro"]["propositions"] == 19
    assert found["macro"]["auc"] > 0.85
    assert found["classes"]["accuracy"] > 0.55


def test_the_release_in_one_command(
    openai_release: Path, openai_policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = str(openai_release / "gold_train.jsonl")
    found = agreed(capsys, str(openai_policy_file), gold, "--grader", "embedded", "--bootstrap", "20")
    assert found["rows"] == 351
    assert found["macro"]["propositions"] == 20
    assert all(entry["support"] == 351 for entry in found["propositions"].values())
    rows = {name: entry["rows"] for name, entry in found["classes"]["by_response_type"].items()}
    assert rows == {"hard_refuse": 88, "safe_refuse_1": 9, "safe_refuse_2": 58, "comply": 196}
    labels = agreed(capsys, str(openai_policy_file), gold, "--grader", "labels", "--bootstrap", "0")
    assert labels["classes"]["accuracy"] == labels["macro"]["auc"] == 1.0
    ideal = labels["classes"]["by_response_type"]["comply"]["confusion"]["ideal"]["ideal"]
    assert ideal == 149


@pytest.mark.slow
def test_cross_validation_on_the_release(
    openai_release: Path, openai_policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two folds, each learned from half of the rows; five folds reach more (docs/embedded-grader.md)."""
    gold = str(openai_release / "gold_train.jsonl")
    found = agreed(capsys, str(openai_policy_file), gold, "--cross-validate", "2", "--bootstrap", "20")
    assert found["macro"]["auc"] > 0.88
    assert found["macro"]["balanced_accuracy"] > 0.82
    assert found["classes"]["accuracy"] > 0.80


def test_a_mean_over_a_proposition_on_too_few_prompts_has_no_interval() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((40, 2)) < 0.5).astype(float)
    p, prompts = random.random((40, 2)), np.arange(40) // 2
    alike = assess_all(labels, p, prompts, 0, resamples=20)[1]
    labels[16:, 1] = np.nan
    results, means = assess_all(labels, p, prompts, 0, resamples=20)
    assert isinstance(alike, Macro)
    assert isinstance(means, Macro)
    assert isinstance(results[0], Agreement)
    assert isinstance(results[1], Agreement)
    assert [math.isnan(one.low) for one in (alike.auc, results[0].auc, results[1].auc, means.auc)] == [
        False,
        False,
        True,
        True,
    ]
