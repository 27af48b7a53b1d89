"""Graders compared on one set of labelled rows: what each costs, how often it is right, and whether the difference is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultserver import Action, FaultServer
from shapedserver import positions, refusing

from rbrlang import load
from rbrlang.cli.main import main
from rbrlang.grading.results import Usage
from rbrlang.grading.trust.bill import Answered, Spent, compare

POLICY = """\
prop sorry "The response says sorry."
prop kind "The response is kind."
response reply ranks ideal > acceptable > bad {
  ideal if sorry & kind
  acceptable if sorry & !kind
  bad if !sorry
}
"""


def spent(cost: float) -> Spent:
    return Spent(rows=4, answers=8, requests=8, invalid=0, usage=Usage(100, 8), cost=cost, seconds=1.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.rbr").write_text(POLICY)
    return tmp_path


def test_shares_differences_and_who_is_beaten(place: Path) -> None:
    circuit = load(place / "p.rbr").circuit
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 2, (400, 2)).astype(float)
    prompts = np.arange(400) // 4
    responses = np.zeros(400, np.int64)

    def noisy(rate: float) -> np.ndarray:
        return np.where(rng.random(truth.shape) < rate, 1 - truth, truth)

    good, fair, mute = noisy(0.05), noisy(0.3), truth.copy()
    mute[:100, 0] = np.nan  # no class: not right
    graders = [
        Answered("good", "g", good, spent(3.0), True), Answered("fair", "f", fair, spent(1.0), True),
        Answered("dear", "d", fair, spent(9.0), True), Answered("mute", "m", mute, spent(0.5), True),
    ]  # fmt: skip
    found = {one.name: one for one in compare(circuit, truth, prompts, responses, graders, seed=0)}

    def klass(answers: np.ndarray) -> np.ndarray:
        return np.where(answers[:, 0] == 0, 2, np.where(answers[:, 1] == 1, 0, 1))

    right = {name: klass(given) == klass(truth) for name, given in {"good": good, "fair": fair}.items()}
    for name, each in right.items():
        assert found[name].right.value == pytest.approx(each.mean())
    assert (found["mute"].none, found["mute"].right.value) == (100, 0.75)
    best = max(right["good"].mean(), 0.75)
    assert found["fair"].behind.value == pytest.approx(best - right["fair"].mean())
    # Against the same bootstrap over prompts, written out.
    draws = np.random.default_rng(1)
    leader = right["good"] if best > 0.75 else klass(mute) == klass(truth)
    gap = (leader.astype(float) - right["fair"]).reshape(100, 4).mean(1)
    resampled = np.array([gap[draws.integers(100, size=100)].mean() for _ in range(4000)])
    assert found["fair"].behind.low == pytest.approx(np.quantile(resampled, 0.025), abs=0.015)
    assert found["fair"].behind.high == pytest.approx(np.quantile(resampled, 0.975), abs=0.015)
    assert {one.name: one.beaten_by for one in found.values()} == {
        "good": None, "fair": "mute", "dear": "good", "mute": None,
    }  # fmt: skip


def test_nothing_to_compare_is_said(place: Path) -> None:
    circuit = load(place / "p.rbr").circuit
    unknown = np.full((3, 2), np.nan)
    with pytest.raises(ValueError, match="no row has labels that decide its class"):
        compare(
            circuit, unknown, np.arange(3), np.zeros(3, np.int64), [Answered("g", "g", unknown, spent(1), True)], seed=0
        )


def rows(place: Path, count: int = 24) -> str:
    lines = [
        {
            "id": f"r{n}", "prompt": f"Hello {n // 2}?", "response_type": "reply", "completion": f"Sorry {n}, friend.",
            "labels": {"sorry": n % 2 == 0, "kind": n % 3 == 0},
        }
        for n in range(count)
    ]  # fmt: skip
    (place / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(place / "gold.jsonl")


def knowing(body: Mapping[str, Any]) -> Action:
    """A model that reads the number of a completion and knows the labels, but for kindness in one of four."""
    text = body["messages"][0]["content"]
    number = int(text.split("Sorry ")[-1].split(",")[0])
    yes = number % 2 == 0 if "says sorry" in text else (number % 3 == 0) != (number % 4 == 0)
    return positions([("Yes" if yes else "No", 0.9), ("No" if yes else "Yes", 0.1)])(body)


def test_a_server_and_a_table_side_by_side(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, policy = rows(place), str(place / "p.rbr")
    with FaultServer(refusing([], knowing)) as server:
        file = place / "strong.toml"
        file.write_text(
            f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n[price]\ninput = 2.0\noutput = 10.0\n[limits]\nretries = 0\n'
        )
        command = [
            "plan",
            policy,
            "--data",
            gold,
            "--grader",
            "labels",
            "--grader",
            str(file),
            "--cache",
            str(place / "c"),
        ]
        assert main([*command, "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        labels, strong = found["graders"]
        asked = sum(server.answered.values())
        # Again: nothing is asked twice, the bill is the same, and no time is made up.
        assert main([*command, "--format", "json", "--plot", str(place / "b.png")]) == 0
        again = json.loads(capsys.readouterr().out)["graders"][1]
        assert sum(server.answered.values()) == asked
    assert labels["class_accuracy"]["value"] == 1.0
    numbers = range(24)
    wrong = [n for n in numbers if n % 2 == 0 and n % 4 == 0]
    assert strong["class_accuracy"]["value"] == pytest.approx(1 - len(wrong) / 24)
    usage = strong["spent"]["usage"]
    assert usage == {"prompt": 100 * asked, "completion": asked, "cached": 60 * asked}
    assert strong["spent"]["cost"] == pytest.approx((100 * 2 + 10) * asked / 1e6)
    assert strong["cost_per_1000"] == pytest.approx(1000 * strong["spent"]["cost"] / 24)
    assert strong["beaten_by"] is None  # labels are the measure, and grade no new completion
    assert again["spent"] == strong["spent"] | {"seconds": None}
    assert (place / "b.png").read_bytes().startswith(b"\x89PNG")


def test_a_sample_is_whole_prompts_and_the_same_for_one_seed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "plan",
        str(place / "p.rbr"),
        "--data",
        rows(place),
        "--grader",
        "labels",
        "--sample",
        "7",
        "--seed",
        "3",
    ]
    said = []
    for _ in range(2):
        assert main(command) == 0
        said.append(capsys.readouterr().out.split("\n")[0])
    assert said[0] == said[1]
    assert "1 grader on 8 labelled rows of 24, drawn by prompt, 4 prompts, seed 3" in said[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--grader", "labels"], "`--grader` compares graders on labelled rows; give them with `--data`"),
        (["--data", "gold.jsonl", "--grader", "labels", "--simulate", "x"], "`--simulate` asks no grader anything"),
        (["--data", "gold.jsonl", "--grader", "labels", "--grader", "labels"], "`--grader labels` is named twice"),
        (["--data", "gold.jsonl", "--grader", "labels", "--plot", "b.jpg"], "`--plot b.jpg` ends in none of"),
        (
            ["--data", "gold.jsonl", "--grader", "labels", "--plot", "no/b.png"],
            "`--plot no/b.png`: there is no folder `no`",
        ),
        (["--data", "gold.jsonl", "--grader", "lables"], "no grader `lables`; did you mean `labels`?"),
        (["--data", "gold.jsonl", "--grader", "gone.toml"], "cannot read the grader file `gone.toml`"),
        (["--data", "gold.jsonl", "--plot", "b.png"], "`--plot` and `--sample` are for comparing graders"),
    ],
)
def test_what_cannot_be_meant(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    rows(place)
    monkeypatch.chdir(place)
    assert main(["plan", "p.rbr", *more]) == 2
    assert said in capsys.readouterr().err
