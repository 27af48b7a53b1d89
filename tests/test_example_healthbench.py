"""The example with a rubric per prompt: its floor is proved, its rows are used, and its rewards keep the order."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from rbrlang.cli.main import main
from rbrlang.learning.judging.certificates import certify
from rbrlang.reward.kept.artefact import read_artefact

HERE = Path(__file__).resolve().parents[1] / "examples" / "healthbench_like"


def test_the_policy_is_sound_and_laid_out() -> None:
    assert main(["check", str(HERE / "policy.rbr"), "--deny", "warnings"]) == 0
    assert main(["fmt", "--check", str(HERE / "policy.rbr")]) == 0
    assert main(["test", str(HERE / "policy.rbr")]) == 0


def test_points_never_buy_a_worse_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted, scored = str(tmp_path / "health.rbrc"), tmp_path / "scored.jsonl"
    rows = str(HERE / "rows.jsonl")
    labels = ["--grader", "labels"]
    assert (
        main(["fit", str(HERE / "policy.rbr"), rows, *labels, "--pairs", "classes,scores", "--certify", "-o", fitted])
        == 0
    )
    assert "with rubrics +0 … +0.9" in capsys.readouterr().out
    artefact = read_artefact(fitted)
    assert certify(artefact.circuit, artefact.weights).holds
    assert main(["score", fitted, rows, *labels, "-o", str(scored)]) == 0
    found = [json.loads(line) for line in scored.read_text().splitlines()]
    assert len(found) == 24
    by_class = {
        name: [row["reward"] for row in found if row["class"] == name] for name in ("safe", "careless", "harmful")
    }
    for better, worse in pairwise(by_class.values()):
        assert min(better) > max(worse)
    for row, following in pairwise(found):
        if row["prompt"] == following["prompt"]:
            assert row["reward"] > following["reward"]
    assert main(["eval", fitted, rows, *labels]) == 0
    assert main(["report", fitted, rows, *labels, "-o", str(tmp_path / "report.html")]) == 0
    assert "quality.completeness" in (tmp_path / "report.html").read_text()


def test_the_other_commands_know_the_rubric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, rows = str(HERE / "policy.rbr"), str(HERE / "rows.jsonl")
    assert main(["explain", policy, "--row", f"{rows}:burn-1"]) == 0
    assert "+0.350  quality.accuracy × 0.389" in capsys.readouterr().out
    assert main(["explain", policy, "--for", "answer", "--given", "unsafe_advice"]) == 0
    assert main(["graph", policy]) == 0
    assert "q_0 -> r_answer" in capsys.readouterr().out
    assert main(["plan", policy, "--data", rows]) == 0
    assert "quality: 120 requests more" in capsys.readouterr().out
    assert main(["plan", policy, "--data", rows, "--show-prompt", "quality", "burn-1#quality:4"]) == 0
    assert "Recommends butter, oil or ice on the burn." in capsys.readouterr().out
    assert main(["grade", policy, rows, "-o", str(tmp_path / "out.jsonl"), "--grader", "labels", "--dry-run"]) == 0
    assert "168 answers for 24 rows" in capsys.readouterr().out
