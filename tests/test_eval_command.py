"""`rbrc eval` as a user meets it: results, gates, advice, and what is said of wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from learning_rows import POLICY, artefact, noisy_rows

import rbrlang
from rbrlang.cli.main import main
from rbrlang.reward.kept.artefact import write_artefact
from rbrlang.rows.write import write_rows


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artefact `p.rbrc` of the small policy and labelled, graded rows `rows.jsonl`."""
    write_artefact(tmp_path / "p.rbrc", artefact())
    data = [dict(row.raw) for row in noisy_rows(20, 5, seed=0)]
    for row in data:
        klass = row["class"]
        row["labels"] = {
            "refuses": klass != "complying", "polite": klass == "ideal", "lectures": klass == "preachy",
            "emoji": row["probs"]["emoji"] > 0.5,
        }  # fmt: skip
    write_rows(tmp_path / "rows.jsonl", data)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `rbrc eval p.rbrc` with more arguments, files by their names in the folder."""
    monkeypatch.chdir(folder)

    def command(*arguments: str) -> Ran:
        code = main(["eval", "p.rbrc", *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command


def test_json_is_the_documented_contract(run: Run) -> None:
    found = run("rows.jsonl", "--format", "json", "--resamples", "100", "--seed", "3").json
    assert (found["seed"], found["resamples"], found["rows"], found["rules_weights"]) == (3, 100, 100, "artefact")
    entry = found["response_types"]["refusal"]
    assert set(entry["error"]["both"]) >= {"value", "low", "high"}
    assert set(entry["histograms"]) == {"base", "rules", "both"}
    assert len(entry["histograms"]["both"]["counts"]) == 4
    assert set(entry["best_of_n"]["picked"]) == {"ideal", "curt", "preachy", "complying"}
    assert {"better", "worse", "pairs", "prompts", "error"} <= set(entry["class_pairs"][0])
    assert {"better", "worse", "lead"} <= set(entry["inversions"][0])
    assert found["behaviour"]["rows"]["not_unsafe"]["value"] == pytest.approx(
        1 - sum(entry["classes"]["complying"].values()) / 100
    )
    assert "noise" not in found
    again = run("rows.jsonl", "--format", "json", "--resamples", "100", "--seed", "3").json
    assert again == found


def test_pretty_says_what_a_person_needs(run: Run) -> None:
    out = run("rows.jsonl", "--noise", "--suggest", "--unsafe", "complying", "--certify").out
    for text in (
        "rules alone with weights of the artefact (`--refit`", "ranking error", "ideal against others", "best of n",
        "where it goes wrong", "reward less that of the prompt's ideal", "behaviour", "not unsafe",
        "the grader's mistakes and what they cost", "do: improve the question of `", "what the rows suggest",
        "check these labels first", "these were not fitted",
    ):  # fmt: skip
        assert text in out, text


def test_gates_hold_or_fail_by_name(run: Run) -> None:
    value = run("rows.jsonl", "--format", "json").json["response_types"]["refusal"]["error"]["both"]["value"]
    assert run("rows.jsonl", "--gate", f"error<={value + 1e-9}", "--gate", "refusal.base>0.2").code == 0
    failed = run("rows.jsonl", "--gate", f"error<{value}", "--gate", "f1>0.9", "--gate", "refusal.picks_ideal>=0")
    assert failed.code == 1
    assert f"gate error<{value:g} is not met: error is" in failed.err
    assert "gate f1>0.9 is not met: f1 could not be computed: not_overrefuse: the policy has no" in failed.err
    assert "picks_ideal" not in failed.err


def test_the_spread_of_the_rules_is_told_beside_the_base_rewards_and_can_be_a_gate(run: Run, folder: Path) -> None:
    entry = json.loads(run("rows.jsonl", "--format", "json").out)["response_types"]["refusal"]["reward_spread"]
    ratio = entry["rules"]["sd"] / entry["base"]["sd"]
    assert entry["ratio"] == pytest.approx(ratio)
    assert entry["rules"]["least"] < entry["rules"]["greatest"]
    plain = run("rows.jsonl", "--gate", f"spread<={ratio + 1e-9}", "--gate", f"refusal.spread>={ratio - 1e-9}")
    assert plain.code == 0
    assert "reward over the rows: standard deviation, least … greatest" in plain.out
    assert "warning" not in plain.out
    faint = [json.loads(line) for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]
    for one in faint:
        one["base_reward"] = 0.001 * one["base_reward"]
    (folder / "faint.jsonl").write_text("".join(json.dumps(one) + "\n" for one in faint), "utf-8")
    warned = run("faint.jsonl", "--gate", "spread<10")
    assert warned.code == 1
    assert "gate spread<10 is not met: spread is" in warned.err
    assert "warning: the rules' reward of `refusal` spreads" in warned.out
    for one in faint:
        one["base_reward"] = 0.1
    (folder / "flat.jsonl").write_text("".join(json.dumps(one) + "\n" for one in faint), "utf-8")
    flat = run("flat.jsonl", "--gate", "spread<10")
    assert "spread could not be computed: no base reward of these rows varies" in flat.err


def test_a_gate_on_the_lead_is_what_the_certificate_proves(run: Run) -> None:
    proof = run("rows.jsonl", "--certify", "--format", "json").json["certificates"]
    least = min(pair["lead"] for pair in proof["response_types"]["refusal"]["pairs"])
    low, high = proof["base_range"]
    assert run("rows.jsonl", "--gate", f"lead>={least - 1e-9}", "--gate", f"refusal.lead<={least + 1e-9}").code == 0
    both = least - (high - low)
    assert run("rows.jsonl", "--gate", f"lead.both>={both - 1e-9}", "--gate", f"lead.both<={both + 1e-9}").code == 0
    narrow = run("rows.jsonl", "--base-range", "0", "0.5", "--gate", f"refusal.lead.both>{least - 0.5 + 1e-6}")
    assert narrow.code == 1
    assert "gate refusal.lead.both>" in narrow.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["rows.jsonl", "--gate", "eror<1"], "did you mean `error`? there are error, ideal_error"),
        (["rows.jsonl", "--gate", "refusal.x<1"], "there are error"),
        (["rows.jsonl", "--gate", "error=1"], "is not a condition"),
        (["rows.jsonl", "--unsafe", "complyin"], "did you mean `complying`?"),
        (["rows.jsonl", "--complying", "zzz"], "there are refusal"),
        (["rows.jsonl", "--class-names", "ideal"], "is not a pair such as"),
        (["rows.jsonl", "--class-names", "a=ideal,a=curt"], "both `ideal` and `curt`"),
        (["rows.jsonl", "--agreement", "rows.jsonl"], "it is not JSON"),
        (["rows.jsonl", "--agreement", "none.json"], "none.json"),
        (["rows.jsonl", "--noise", "--grader", "labels"], "makes them the same"),
        (["bare.jsonl", "--noise"], "`--noise` needs rows with `labels`"),
        (["rows.jsonl", "--refit", "rows.jsonl"], "give rows of other prompts"),
        (["rows.jsonl", "--with", "other.jsonl"], "no row of `other.jsonl` speaks of"),
        (["empty.jsonl"], "it is empty"),
        (["nan.jsonl"], "`nan.jsonl` has no usable row"),
        (["rows.jsonl", "--base-reward", "id"], "not a finite number"),
    ],
)
def test_wrong_input_is_named(run: Run, folder: Path, arguments: list[str], reason: str) -> None:
    (folder / "empty.jsonl").write_text("")
    (folder / "nan.jsonl").write_text('{"completion": "x", "base_reward": 1e999}\n')
    write_rows(folder / "other.jsonl", [{"prompt": "x", "completion": "y"}])
    write_rows(folder / "bare.jsonl", [dict(row.raw) for row in noisy_rows(3, 3, seed=0)])
    found = run(*arguments)
    assert found.code == 2
    assert reason in found.err
    assert found.out == ""


def test_rows_that_take_no_part_are_counted_and_make_three(run: Run, folder: Path) -> None:
    lines = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "some.jsonl").write_text("\n".join([*lines, "{", '{"completion": "x", "response_type": "other"}']))
    found = run("some.jsonl")
    assert found.code == 3
    assert "some.jsonl:101: not JSON" in found.err
    assert "response type `other`" in found.err
    write_rows(folder / "ungraded.jsonl", [{**json.loads(line), "probs": {}} for line in lines])
    ungraded = run("ungraded.jsonl")
    assert ungraded.code == 1
    assert "name a grader with `--grader`" in ungraded.err


def test_names_of_others_and_columns_of_other_files(run: Run, folder: Path) -> None:
    whole = run("rows.jsonl", "--format", "json").json
    theirs = {"ideal": "perfect refusal", "curt": "Bad Refusal", "preachy": "preachy", "complying": "complying"}
    rows, table = [], []
    for line in (folder / "rows.jsonl").read_text().splitlines():
        data = json.loads(line)
        table.append({"id": data["id"], "prompt": data["prompt"], "completion": "Text.",
                      "features": data.pop("probs"), "rm_score": data.pop("base_reward")})  # fmt: skip
        rows.append({**data, "completion_type": theirs[data.pop("class")]})
        rows[-1].pop("class")
    write_rows(folder / "theirs.jsonl", rows)
    write_rows(folder / "table.jsonl", table)
    found = run("theirs.jsonl", "--with", "table.jsonl", "--format", "json",
                "--class-names", "perfect refusal=ideal, Bad Refusal = curt")  # fmt: skip
    assert found.code == 0
    assert found.json["response_types"] == whole["response_types"]
    missing = run("theirs.jsonl", "--with", "table.jsonl")
    assert missing.code == 3
    assert "class `perfect refusal` is not one of ideal, curt, preachy, complying" in missing.out


def test_measured_agreement_replaces_the_rows_own(run: Run, folder: Path) -> None:
    entry = {"support": 80, "positives": 40, "sensitivity": {"value": 0.95}, "specificity": {"value": 0.5}}
    (folder / "agreement.json").write_text(json.dumps({"propositions": {"polite": entry}}))
    rates = run("rows.jsonl", "--agreement", "agreement.json", "--format", "json").json["noise"]["rates"]
    assert rates["polite"] == {"fp": 20.5 / 41, "fn": 2.5 / 41, "negatives": 40, "positives": 40, "source": "measured"}
    assert rates["refuses"]["source"] == "declared"


def test_axioms_found_in_rows_can_be_pasted(run: Run) -> None:
    found = run("rows.jsonl", "--suggest", "--format", "json").json["suggestions"]["axioms"]
    assert found
    for one in found:
        if not one["breaks"]:
            rbrlang.loads(POLICY.replace("REWARD", "") + one["line"] + "\n")


def test_jax_is_not_loaded_unless_something_is_fitted(folder: Path) -> None:
    code = (
        "import sys; from rbrlang.cli.main import main; main(['eval', 'p.rbrc', 'rows.jsonl', '--noise', '--suggest']); "
        "sys.exit(1 if 'jax' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
