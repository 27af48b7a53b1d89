"""The bench: what it says follows from what it measured, it says what it could not measure, and it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbrlang.bench import made, peers, run
from rbrlang.bench.outcome import Curve, Goal, Line, Outcome, failed, from_json, to_json
from rbrlang.bench.page import page
from rbrlang.bench.pictures import picture
from rbrlang.bench.process import Bench, NotMeasured, best
from rbrlang.bench.table import ROWS
from rbrlang.checking import check_text
from rbrlang.cli.main import main
from rbrlang.policy import load
from rbrlang.reward.numpy import NumpyReward

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "refusals"


# --- what follows from what was measured ---------------------------------------------------------


@pytest.mark.parametrize("k", [0.8, 1.0, 2.0])
def test_an_exponent_is_that_of_the_larger_sizes(k: float) -> None:
    points = tuple((10.0**n, 5.0 + (10.0**n) ** k) for n in range(1, 8))
    exponent = Curve("c", "rows", "s", points).exponent
    assert exponent == pytest.approx(k, abs=0.02)


@pytest.mark.parametrize("points", [(), ((10.0, 1.0),), ((10.0, 1.0), (10.0, 2.0)), ((1.0, 1.0), (1000.0, 1.0))])
def test_too_few_sizes_have_no_exponent(points: tuple[tuple[float, float], ...]) -> None:
    assert Curve("c", "rows", "s", points).exponent is None


def test_a_gate_fails_where_it_is_missed_and_only_there() -> None:
    gate = Goal(2.0, "at most", "why", "limit", gate=True)
    slow = Goal(2.0, "at most", "why")
    lines = [
        Line("met", 2.0, "×", goal=gate),
        Line("missed", 2.1, "×", goal=gate),
        Line("absolute", 99.0, "s", goal=slow),
        Line("unknown", None, "×", goal=gate, note="not installed"),
        Line("none", 5.0, "s"),
    ]
    assert [line.met for line in lines] == [True, False, False, None, None]
    assert [line.what for line in failed(lines)] == ["missed"]
    assert Goal(2.0, "at least", "why").met(2.0)
    assert not Goal(2.0, "at least", "why").met(1.9)


def test_seconds_are_never_a_gate() -> None:
    """Each published goal that is a gate is of a line whose unit is a ratio, a count or a share."""
    published = from_rows(json.loads((ROOT / "docs" / "performance.json").read_text(encoding="utf-8")))
    gates = [line for outcome in published for line in outcome.lines if line.goal is not None and line.goal.gate]
    assert gates
    assert {line.unit for line in gates} <= {"", "×", "times", "%"}


def from_rows(found: dict[str, Any]) -> list[Outcome]:
    return [from_json(row) for row in found["rows"] if not row["why_not"]]


def test_the_published_page_is_that_of_its_figures() -> None:
    found = json.loads((ROOT / "docs" / "performance.json").read_text(encoding="utf-8"))
    published = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    again = "run: rbrc bench --from docs/performance.json -o docs/performance.md"
    assert published == page(found, "performance.svg"), again
    assert [row["name"] for row in found["rows"]] == list(ROWS)
    assert not found["quick"]
    for outcome in from_rows(found):
        assert from_json(json.loads(json.dumps(to_json(outcome)))) == outcome


def test_a_page_says_why_a_goal_is_missed_and_a_row_is_empty() -> None:
    goal = Goal(2.0, "at most", "nobody waits", "the compiler", gate=True)
    outcome = Outcome(
        (Line("compile", 3.0, "s", "an empty program: 1 s", 3.0, goal), Line("peer", None, "s", note="torch is not installed")),
        (Curve("compile by size", "rules", "s", ((10.0, 1.0), (100.0, 10.0)), "1,000 and more: ended after 60 s"),),
        {"rows": [10, 1000]},
    )  # fmt: skip
    found = {
        "rbrlang": "0", "quick": False, "seed": 3, "policy": "p.rbr", "seconds": 1.0,
        "machine": {
            "cores": 2, "processor": "x", "system": "Linux", "python": "3", "packages": {"jax": "1", "torch": None},
        },
        "rows": [
            {"name": "a", "title": "How long?", "why_not": "", "seconds": 1.0, "load": [2.0, 3.0], "limit_s": 60, **to_json(outcome)},
            {"name": "b", "title": "And Parquet?", "why_not": "pyarrow is not installed", "seconds": 0.0, "load": [1.0, 2.0], "limit_s": 60, "lines": [], "curves": [], "sizes": {}},
        ],
    }  # fmt: skip
    text = page(found, None)
    assert "| compile | 3 s | an empty program: 1 s | 3× | ≤ 2 s (gate): missed |" in text
    assert "Missed (compile): the compiler." in text
    assert "| peer | - | torch is not installed |  |  |" in text
    assert "Not measured: pyarrow is not installed." in text
    assert "10 … 100 rules; 1,000 and more: ended after 60 s" in text
    assert "size^1.00" in text
    assert "not installed: torch" in text
    assert "Sizes: rows: 10 · 1,000." in text
    assert run.gates_missed(found) == ["a: compile"]
    drawn = picture(found)
    assert drawn is not None
    assert drawn == picture(found)
    assert "compile by size" in drawn


# --- what is measured on -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [made.types(3, 5), made.types(4, 10, 20), made.chain(5, 2), made.chain(30, 7), made.rules(30), made.thresholds(20), made.definitions(20)],
)  # fmt: skip
def test_made_policies_are_sound(text: str) -> None:
    checked = check_text(text)
    assert checked.ok, [d.message for d in checked.diagnostics]


def test_peers_compute_the_same_reward(tmp_path: Path) -> None:
    """Also under axioms, of the example's policy: by hand from the diagram, against the reward."""
    for policy in (load(EXAMPLE / "policy.rbr"),):
        circuit = policy.circuit
        reward = NumpyReward(circuit)
        rng = np.random.default_rng(0)
        probs = rng.random((40, len(circuit.atoms)), np.float32)
        ids = rng.integers(0, len(circuit.responses), 40).astype(np.int32)
        rows = [dict(zip(circuit.atom_names, row, strict=True)) for row in probs.tolist()]
        by_hand = peers.by_dictionary(circuit, reward.weights.tolist(), rows, ids.tolist())
        assert by_hand == pytest.approx(reward(probs, ids).tolist(), abs=1e-4)
        if peers.installed("torch"):
            theirs = peers.by_torch(circuit, reward.weights.tolist(), probs, ids)()
            assert theirs.tolist() == pytest.approx(by_hand, abs=1e-4)


# --- processes -----------------------------------------------------------------------------------


def bench(folder: Path, **more: Any) -> Bench:
    return Bench(folder, EXAMPLE / "policy.rbr", EXAMPLE / "completions.jsonl", quick=True, **more)


def test_a_process_says_what_it_took(tmp_path: Path) -> None:
    held = "x = bytearray(200 << 20)"
    used = bench(tmp_path).run([sys.executable, "-c", held])
    small = bench(tmp_path).run([sys.executable, "-c", "pass"])
    assert used.peak > 200 > small.peak
    assert used.seconds == min(used.clock, used.processor) > 0


def test_a_process_without_end_is_ended_and_one_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="ended after 1 s"):
        bench(tmp_path, limit=1.0).run([sys.executable, "-c", "while True: pass"])
    with pytest.raises(NotMeasured, match=r"exit code 2: .*there is no such file"):
        bench(tmp_path).command("check", "gone.rbr")
    with pytest.raises(NotMeasured, match=r"exit code 1: .*TypeError"):
        bench(tmp_path).task("checking:checked", wrong=1)


def test_no_process_begins_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="the time of this run was over"):
        bench(tmp_path, budget=1.0, spent=1.5).run([sys.executable, "-c", "pass"])


def test_the_best_of_several_runs_counts() -> None:
    calls: list[int] = []
    assert best(lambda: calls.append(1), 3, 0.001) < 0.001
    assert len(calls) > 3


# --- the command -------------------------------------------------------------------------------


def test_rows_are_named_and_a_wrong_name_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == list(ROWS)
    assert main(["bench", "--only", "scores"]) == 2
    assert "no row `scores`; did you mean `score`?" in capsys.readouterr().err


def test_a_policy_with_errors_is_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.rbr").write_text("prop a\n")
    assert main(["bench", "--policy", str(tmp_path / "p.rbr")]) == 2
    assert "has errors, so there is no reward to measure" in capsys.readouterr().err
    (tmp_path / "old.json").write_text("[]")
    assert main(["bench", "--from", str(tmp_path / "old.json")]) == 2
    assert "has no figures" in capsys.readouterr().err


def test_a_quick_run_of_one_row_and_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page_file = tmp_path / "speed.md"
    code = main(
        [
            "bench",
            "--quick",
            "--only",
            "odd",
            "--only",
            "check",
            "--seed",
            "7",
            "--format",
            "json",
            "-o",
            str(page_file),
        ]
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [row["name"] for row in found["rows"]] == ["check", "odd"]
    assert (found["seed"], found["quick"]) == (7, True)
    by_rules = found["rows"][0]["curves"][0]
    assert [size for size, _ in by_rules["points"]] == [10, 300]
    assert by_rules["exponent"] > 0
    assert all(line["value"] > 0 for row in found["rows"] for line in row["lines"])
    assert json.loads((tmp_path / "speed.json").read_text()) == found
    assert page_file.read_text() == page(found, "speed.svg")
    assert (tmp_path / "speed.svg").read_text().startswith("<?xml")
    again = ["bench", "--from", str(tmp_path / "speed.json")]
    assert main(again) == 0
    assert "How does a check grow with the policy?" in capsys.readouterr().out
    assert main([*again, "--quick", "--only", "odd", "--format", "json"]) == 0
    renewed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in renewed["rows"]] == ["check", "odd"]
    assert renewed["rows"][0] == found["rows"][0]
    assert main([*again, "--only", "odd"]) == 2
    assert "is of a run with `--quick`" in capsys.readouterr().err
    assert renewed["rows"][1]["lines"] != found["rows"][1]["lines"]


@pytest.mark.slow
def test_a_quick_run_ends_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Every row is there, with values or with why it was left out; no process begins after its seconds are over."""
    code = main(["bench", "--quick", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert [row["name"] for row in found["rows"]] == list(ROWS)
    measured = [row for row in found["rows"] if not row["why_not"]]
    assert len(measured) >= 4
    for row in found["rows"]:
        assert row["lines"] or "the time of this run was over" in row["why_not"], row
