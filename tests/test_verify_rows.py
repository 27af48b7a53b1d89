"""`rbrc verify ROWS --artefact`: what `rbrc score` wrote follows from its row, and what was changed since is named."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

from rbrlang.cli.main import main
from rbrlang.grading.trust.calibrate import FORMAT
from rbrlang.reward.kept.artefact import read_artefact, write_artefact

EXAMPLE = CHECKOUT / "examples" / "refusals"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's artefact, and forty of its rows as `rbrc score` writes them with bounds."""
    folder = tmp_path_factory.mktemp("scored")
    rows = (EXAMPLE / "completions.jsonl").read_text(encoding="utf-8").splitlines()[::9]
    (folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert main(["compile", str(EXAMPLE / "policy.rbr"), "-o", str(folder / "p.rbrc")]) == 0
    score = ["score", str(folder / "p.rbrc"), str(folder / "rows.jsonl"), "--grader", "embedded", "--bounds"]
    assert main([*score, "-o", str(folder / "out.jsonl")]) == 0
    return folder


def _verify(folder: Path, rows: list[Row], where: Path, *options: str) -> int:
    file = where / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return main(["verify", str(file), "--artefact", str(folder / "p.rbrc"), *options])


def _rows(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("options", [(), ("--grader", "embedded")])
def test_what_was_scored_follows(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    rows = _rows(scored)
    assert _verify(scored, rows, tmp_path, *options) == 0
    out = capsys.readouterr().out
    assert f"{len(rows)} of {len(rows)} rows follow from " in out
    assert ("claims, not checked: the answers of embedded " in out) is not bool(options)


@pytest.mark.parametrize("calibration", [{}, {"format": "x"}, {"format": FORMAT}, {"format": FORMAT, "grader": "g", "seed": "x", "propositions": 7}, {"format": FORMAT, "grader": "g", "seed": 1, "propositions": [7]}], ids=str)  # fmt: skip
def test_a_calibration_of_another_form_is_named(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], calibration: dict[str, Any]
) -> None:
    held = replace(read_artefact(scored / "p.rbrc"), calibration=calibration)
    write_artefact(tmp_path / "p.rbrc", held)
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes((scored / "out.jsonl").read_bytes())
    assert main(["verify", str(rows), "--artefact", str(tmp_path / "p.rbrc")]) == 2
    assert "the artefact's calibration cannot be used: " in capsys.readouterr().err
    score = ["score", str(tmp_path / "p.rbrc"), str(scored / "rows.jsonl"), "--grader", "embedded"]
    assert main([*score, "-o", str(tmp_path / "out.jsonl")]) == 2
    assert "the artefact's calibration cannot be used: " in capsys.readouterr().err


def test_a_row_of_a_category_that_is_not_mapped_is_named(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {**json.loads((scored / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])}
    row = {key: value for key, value in row.items() if key != "response_type"} | {"category": "unheard-of", "id": "x7"}
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row) + "\n" + (scored / "rows.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    assert (
        main(["score", str(scored / "p.rbrc"), str(rows), "--grader", "embedded", "-o", str(tmp_path / "o.jsonl")]) == 3
    )
    said = capsys.readouterr().err
    assert "1 row with category `unheard-of`, which the policy does not map (first: x7); it knows " in said


def test_rows_that_were_graded_lazily_follow(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their rewards are the middle of what is left open."""
    lazy = tmp_path / "lazy.jsonl"
    score = ["score", str(scored / "p.rbrc"), str(scored / "rows.jsonl"), "--grader", "embedded", "--lazy", "0.5"]
    assert main([*score, "-o", str(lazy)]) == 0
    rows = [json.loads(line) for line in lazy.read_text(encoding="utf-8").splitlines()]
    assert any(row["reward"] != row["reward_bounds"][0] for row in rows)
    assert _verify(scored, rows, tmp_path) == 0, capsys.readouterr().out


CHANGES: dict[str, tuple[Callable[[Row], object], str]] = {
    "reward": (lambda r: r.update(reward=r["reward"] + 0.01), "the reward "),
    "a reward that no float holds": (lambda r: r.update(reward=10**400), "the reward 1000"),
    "no reward": (lambda r: r.update(reward=None), "the reward none stands there"),
    "a word for a reward": (lambda r: r.update(reward="high"), "the reward high stands there"),
    "rule reward": (lambda r: r.update(rule_reward=r["rule_reward"] - 1), "the rule_reward "),
    "base reward": (lambda r: r.update(base_reward=(r.get("base_reward") or 0.0) + 1.0), "the reward "),
    "bounds": (lambda r: r.update(reward_bounds=[-100.0, 100.0]), "the bounds [-100, 100] stand there"),
    "validity": (lambda r: r.update(valid=False), "valid is False"),
    "class": (lambda r: r.update({"class": list(r["class_probs"])[-1] if r["class"] != list(r["class_probs"])[-1]
                                  else next(iter(r["class_probs"]))}), "is not the most probable"),
    "class probabilities": (lambda r: r["class_probs"].update(dict.fromkeys(r["class_probs"], 0.2)), " stands there, and "),
    "other classes": (lambda r: r.update(class_probs={"good": 1.0}), "are not of the classes of its response type"),
    "probabilities": (lambda r: r["probs"].update({n: 1.0 - p for n, p in r["probs"].items()}), "the reward "),
    "response type": (lambda r: r.update(response_type="comply" if r["response_type"] != "comply" else "hard_refusal"),
                      "is not the most probable"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_since_is_named(
    name: str, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = CHANGES[name]
    rows = _rows(scored)
    change(rows[4])
    assert _verify(scored, rows, tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"row 5, `{rows[4]['id']}`: ")
    assert said in lines[0]
    assert f"{len(rows) - 1} of {len(rows)} rows follow from " in lines[1]


def test_answers_and_their_grader_are_asked_again(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row whose probabilities, rewards and classes are consistent, and another row's."""
    rows = _rows(scored)
    same = [at for at, row in enumerate(rows) if row["response_type"] == rows[0]["response_type"]]
    rows[0] |= {"completion": rows[same[-1]]["completion"]}
    rows[1]["grader"] = "embedded 0000000000000000"
    assert _verify(scored, rows, tmp_path, "--grader", "embedded") == 1
    out = capsys.readouterr().out
    assert "stands there, and the grader says" in out.splitlines()[0]
    assert "row 2, " in out
    assert "its grader is embedded 0000000000000000, and not embedded " in out


def test_rows_of_another_artefact_are_none_of_this_ones(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.json").write_text(
        '{"hard_refusal": {"ideal": 3.0}, "comply": {"ideal": 3.0}, "soft_refusal": {"ideal": 3.0}}'
    )
    compile_ = ["compile", str(EXAMPLE / "policy.rbr"), "--weights", str(tmp_path / "w.json")]
    assert main([*compile_, "-o", str(tmp_path / "p.rbrc")]) == 0
    assert _verify(tmp_path, _rows(scored), tmp_path) == 1
    out = capsys.readouterr().out
    total, wrong = len(_rows(scored)), len(re.findall(r"^row \d+, `", out, re.MULTILINE))
    assert wrong == 20
    (more,) = map(int, re.findall(r"^and (\d+) rows more$", out, re.MULTILINE))
    assert f": {total - wrong - more} of {total} rows follow from " in out


def test_rows_that_were_never_scored(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{k: v for k, v in row.items() if k != "reward"} for row in _rows(scored)]
    assert _verify(scored, rows, tmp_path) == 2
    assert "has no column `reward`" in capsys.readouterr().err


# --- tables whose cells are text -----------------------------------------------------------------


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _verify_table(folder: Path, rows: list[dict[str, str]], where: Path, *options: str) -> int:
    with (where / "out.csv").open("w", encoding="utf-8", newline="") as text:
        out = csv.DictWriter(text, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return main(["verify", str(where / "out.csv"), "--artefact", str(folder / "p.rbrc"), *options])


@pytest.fixture(scope="module")
def table(scored: Path) -> list[dict[str, str]]:
    """The forty rows as `rbrc score` writes them to CSV, with bounds."""
    score = ["score", str(scored / "p.rbrc"), str(scored / "rows.jsonl"), "--grader", "embedded", "--bounds"]
    assert main([*score, "-o", str(scored / "table.csv")]) == 0
    return _table(scored / "table.csv")


@pytest.mark.parametrize(("name", "how"), [
    ("o.csv", ()), ("o.csv.gz", ("--bounds",)), ("o.csv", ("--lazy", "0")), ("o.tsv", ("--lazy", "0.5")),
    ("o.parquet", ("--lazy", "0.5")),
])  # fmt: skip
def test_what_was_scored_into_a_table_follows(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: tuple[str, ...]
) -> None:
    """Of several response types, whose classes are columns of one table, and asked less or in full."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    rows = [json.loads(line) for line in (scored / "rows.jsonl").read_text(encoding="utf-8").splitlines()][::4]
    assert len({row["response_type"] for row in rows}) > 1
    given = tmp_path / "rows.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    score = ["score", str(scored / "p.rbrc"), str(given), "--grader", "embedded", *how]
    assert main([*score, "-o", str(tmp_path / name)]) == 0
    for options in ((), ("--grader", "embedded")):
        assert main(["verify", str(tmp_path / name), "--artefact", str(scored / "p.rbrc"), *options]) == 0
    assert capsys.readouterr().out.count(f"{len(rows)} of {len(rows)} rows follow from ") == 2


def test_what_a_spreadsheet_makes_of_truth_values_follows(
    scored: Path, table: list[dict[str, str]], tmp_path: Path
) -> None:
    assert _verify_table(scored, [{**row, "valid": row["valid"].upper()} for row in table], tmp_path) == 0


CELLS = {
    "reward": ("99.5", "the reward 99.5 stands there, and "),
    "no reward": ("", "the reward none stands there"),
    "rule_reward": ("high", "the rule_reward high stands there"),
    "valid": ("false", "valid is False"),
    "reward_bounds": ("[-100.0, 100.0]", "the bounds [-100, 100] stand there"),
    "no reward_bounds": ("", "the bounds none stand there"),
    "class": ("", "the class none is not the most probable"),
    "class_probs.ideal": ("0.2", "P(ideal) 0.2 stands there, and "),
    "no class_probs.ideal": ("", "P(ideal) none stands there, and "),
    "probs.complies_fully": ("0.77", "the reward "),
    "base_reward": ("17", "the reward "),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_that_was_changed_since_is_named(
    name: str, scored: Path, table: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, said = CELLS[name]
    rows = [dict(row) for row in table]
    rows[4][name.removeprefix("no ")] = cell
    assert _verify_table(scored, rows, tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"row 5, `{rows[4]['id']}`: ")
    assert said in lines[0]
    assert f"{len(rows) - 1} of {len(rows)} rows follow from " in lines[1]


def test_a_class_of_another_response_type_and_an_answer_that_was_taken_out_are_named(
    scored: Path, table: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [dict(row, **{"class_probs.good": ""}) for row in table]
    rows[1]["class_probs.good"] = "0.5"
    rows[2]["probs.judgmental"] = ""
    assert _verify_table(scored, rows, tmp_path, "--grader", "embedded") == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("row 2, ")
    assert "are not of the classes of its response type" in first
    assert second.startswith("row 3, ")
    assert "P(judgmental) none stands there, and the grader says " in second


VALUES = """rbr 1
prop rude "Response is rude."
scale help 1..3 "How helpful it is" { 1 "Not." 2 "Some." 3 "Very." }
choice tone "The tone" { warm "Warm." cold "Cold." }
rubric quality from criteria { points over positive }
response chat ranks good > fair > bad
chat.bad  := rude
chat.fair := !rude & (help <= 1 | tone == cold)
chat.good := otherwise
reward chat { features classes, help, quality }
"""


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv", "o.tsv", "o.parquet"])
def test_scales_choices_and_rubrics_follow_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / "p.rbr").write_text(VALUES, encoding="utf-8")
    criteria = [{"criterion": "Names it", "points": 3}, {"criterion": "Errs", "points": -2}]
    known = {"rude": 0.1, "help": {"1": 0.2, "2": 0.3, "3": 0.5}, "tone": {"warm": 0.6, "cold": 0.4}}
    common = {"prompt": "A river?", "completion": "The Loire.", "response_type": "chat", "criteria": criteria}
    rows = [
        {"id": "all", **common, "probs": known, "rubric_probs": {"quality": [0.9, 0.2]}},
        {"id": "some", **common, "probs": known, "rubric_probs": {"quality": [0.9, None]}, "base_reward": 1.5},
        {"id": "unsure", **common, "probs": {"rude": None, "tone": known["tone"]}},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    score = ["score", str(tmp_path / "p.rbrc"), str(tmp_path / "rows.jsonl"), "--grader", "rows", "--bounds"]
    assert main([*score, "-o", str(tmp_path / name)]) == 3  # two rows lack answers
    assert main(["verify", str(tmp_path / name), "--artefact", str(tmp_path / "p.rbrc")]) == 0
    assert "3 of 3 rows follow from " in capsys.readouterr().out
    if name == "o.csv":
        table = _table(tmp_path / name)
        table[0]["rubric_probs"] = '{"quality": [0.1, 0.2]}'
        table[1] |= {"probs.help.1": "0.5", "probs.help.3": "0.2"}
        assert _verify_table(tmp_path, table, tmp_path) == 1
        out = capsys.readouterr().out
        assert "row 1, `all`: the bounds " in out
        assert "row 2, `some`: the bounds " in out
        assert "1 of 3 rows follow from " in out
