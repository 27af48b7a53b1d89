"""`rbrc verify ROWS --artefact`: what `rbrc score` wrote follows from its row, and what was changed since is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

from rbrlang.cli.main import main

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
