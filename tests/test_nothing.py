"""A run that did nothing does not look fine: it ends before it starts, or says that it proves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rbrlang.cli.main import main

# Nothing of it can be read by the embedded grader, and nobody's heads have these names.
DARK = """rbr 1
prop glimmers "The answer glimmers."
prop shimmers "The answer shimmers."
response r ranks good > bad {
  bad if !glimmers
  good otherwise
}
"""
HALF = DARK.replace("bad if !glimmers", "bad if !(glimmers & shimmers)").replace(
    '"The answer shimmers."', '"The answer shimmers." { cue yes "shimmer" }'
)
TEXT = 'test "one" for r {\n  prompt "x"\n  completion "glimmer"\n  expect good\n}\n'


def row(at: int, **more: Any) -> dict[str, Any]:
    labels = {"glimmers": bool(at % 2), "shimmers": True}
    plain = {"id": f"r{at}", "prompt": f"p{at // 2}", "completion": f"it may shimmer {at}", "response_type": "r"}
    return {**plain, "labels": labels, "class": "good" if at % 2 else "bad", **more}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {"dark.rbr": DARK, "half.rbr": HALF, "text.rbr": DARK + TEXT, "mixed.rbr": HALF + TEXT}.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("rows.jsonl").write_text("".join(json.dumps(row(at)) + "\n" for at in range(24)), encoding="utf-8")
    for name in ("dark", "half"):
        assert main(["compile", f"{name}.rbr", "-o", f"{name}.rbrc"]) == 0
    capsys.readouterr()
    return tmp_path


E = ("--grader", "embedded")
BLIND = (
    ("grade", "dark.rbr", "rows.jsonl", "-o", "out.jsonl"),
    ("score", "dark.rbrc", "rows.jsonl", "-o", "out.jsonl", *E),
    ("agree", "dark.rbr", "rows.jsonl", *E, "-o", "out.jsonl"),
    ("probe", "dark.rbr", *E, "--data", "rows.jsonl"),
    ("test", "text.rbr", *E),
    ("eval", "dark.rbrc", "rows.jsonl", *E),
    ("fit", "dark.rbr", "rows.jsonl", "-o", "out.rbrc", *E),
    ("report", "dark.rbrc", "rows.jsonl", "-o", "out.html", *E),
)


def test_a_graded_run_without_a_known_response_type_names_it_and_no_grader(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(0, response_type="rr"), row(1, response_type=None)]
    Path("other.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    assert main(["score", "half.rbrc", "other.jsonl", "-o", "-", *E]) == 3
    said = capsys.readouterr()
    reasons = [json.loads(line)["reason"] for line in said.out.splitlines()]
    assert reasons == [
        "the policy has no response type `rr`; did you mean `r`?", "it has neither a response type nor a category",
    ]  # fmt: skip
    assert "name a grader" not in said.err
    assert main(["score", "half.rbrc", "other.jsonl", "-o", "-"]) == 3
    assert "no row carries `probs`; name a grader with `--grader`" in capsys.readouterr().err


@pytest.mark.parametrize("command", BLIND, ids=lambda c: c[0])
def test_a_grader_that_reads_nothing_ends_the_run_before_it_starts(
    command: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[-1].startswith(f"rbrc {command[0]}: the embedded grader reads nothing of what is asked (`glimmers`")
    ways = ["few-shots or cues", "agree FILE GOLD --train", "--grader openai:", "--allow-abstain"]
    assert [lines[-1].find(way) for way in ways] == sorted(lines[-1].find(way) for way in ways)
    assert all(way in lines[-1] for way in ways)
    assert not [*folder.glob("out.*")]


def test_whoever_means_it_may_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "dark.rbr", "rows.jsonl", "-o", "out.jsonl", "--allow-abstain"]) == 0
    assert "reads nothing of what is asked (`glimmers`)" in capsys.readouterr().err
    assert json.loads(Path("out.jsonl").read_text(encoding="utf-8").splitlines()[0])["probs"] == {"glimmers": None}


def test_what_is_read_in_part_is_a_warning_with_the_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "half.rbr", "rows.jsonl", "-o", "out.jsonl"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("the embedded grader cannot read `glimmers`: no head of this name")
    assert "`shimmers`" not in said


def test_heads_need_no_sight(folder: Path) -> None:
    rows = [row(at, completion=f"{'glimmer' if at % 2 else 'dull'} {at}") for at in range(60)]
    Path("gold.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    assert main(["agree", "dark.rbr", "gold.jsonl", "--grader", "embedded", "--train", "h.safetensors"]) == 0
    assert main(["grade", "dark.rbr", "rows.jsonl", "-o", "out.jsonl", "--heads", "h.safetensors"]) == 0


def test_labels_that_teach_no_head_are_said_and_no_fit_is_named_that_could_not_be(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RBR_NEXT", "1")
    learn = [
        "agree",
        "dark.rbr",
        "gold.jsonl",
        "--grader",
        "embedded",
        "--train",
        "h.safetensors",
        "-o",
        "judged.jsonl",
    ]
    both = Path("dark.rbr").read_text(encoding="utf-8").replace("response r", 'prop dull "Is dull."\nresponse r', 1)
    for held, rule, fit in ((2, "!glimmers", True), (2, "!glimmers & dull", False), (30, "!glimmers & dull", True)):
        Path("dark.rbr").write_text(both.replace("!glimmers", rule), encoding="utf-8")
        rows = [row(at, completion=f"{'glimmer' if at % 2 else 'dull'} {at}") for at in range(60)]
        for at, one in enumerate(rows):
            one["labels"] = {"glimmers": at % 2 == 1, "dull": at % 2 == 0 and at < 2 * held}
        Path("gold.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
        assert main(learn) == 0
        said = capsys.readouterr()
        told = " ".join(said.out.split())
        assert (
            "nothing reads dull, and rows whose class turns on that have no reward: label more rows of both" in told
        ) == (held < 30)
        assert ("next: rbrc fit dark.rbr judged.jsonl" in said.err) == fit


def test_a_probe_without_a_trial_is_no_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "half.rbr", *E]) == 1
    said = capsys.readouterr()
    assert "rbrc probe: nothing was tried, so nothing is known" in said.err
    assert main(["probe", "half.rbr", *E, "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["trials"]) == ("untried", 0)


@pytest.mark.parametrize(
    ("file", "reason"), [("dark.rbr", "there are no tests"), ("text.rbr", "every test is on text and needs a grader")]
)
def test_tests_that_did_not_run_are_no_pass(
    file: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", file]) == 1
    assert f"rbrc test: {reason}" in capsys.readouterr().err
    assert main(["test", file, "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ran"] == 0
    assert found["nothing"].startswith(reason)


def test_coverage_of_nothing_meets_no_threshold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.rbr").write_text('rbr 1\nprop a "A."\n', encoding="utf-8")
    assert main(["test", "empty.rbr", "--threshold", "100"]) == 1
    assert "empty.rbr: there is no condition to cover, so no threshold is met" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--format", "json")])
def test_no_pair_is_no_evaluation(more: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = [row(at, prompt=f"p{at}", probs={"glimmers": 0.5}) for at in range(6)]
    Path("apart.jsonl").write_text("".join(json.dumps(r) + "\n" for r in one), encoding="utf-8")
    assert main(["eval", "dark.rbrc", "apart.jsonl", "--resamples", "10", *more]) == 1
    said = capsys.readouterr()
    assert "rbrc eval: nothing was compared" in said.err
    if more:
        assert json.loads(said.out)["nothing"].startswith("nothing was compared")
    if not more:
        assert main(["report", "dark.rbrc", "apart.jsonl", "-o", "page.html", "--resamples", "10"]) == 1
        assert "rbrc report: nothing was compared" in capsys.readouterr().err


def test_labels_that_meet_no_answer_are_no_agreement(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(at, labels={"glimmers": True}) for at in range(24)]
    Path("gold.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert main(["agree", "half.rbr", "gold.jsonl", *E]) == 1
    assert "rbrc agree: nothing was compared" in capsys.readouterr().err
    assert main(["agree", "half.rbr", "gold.jsonl", *E, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["compared"] == 0


def test_rows_without_a_class_are_no_difference(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(at, labels={}) for at in range(4)]
    Path("bare.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert main(["diff", "dark.rbr", "half.rbr", "--data", "bare.jsonl"]) == 1
    assert "rbrc diff: nothing was compared: no row of `bare.jsonl` has a class" in capsys.readouterr().err
