"""A grader that costs nothing is learned from a teacher's answers about few rows, and judged on prompts that it never saw."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from conftest import CHECKOUT
from faultserver import Action, FaultServer, Say, chat
from serve_process import start

import rbrlang as rbr
from rbrlang.cli.main import main
from rbrlang.grading.distil import Choose, Sight, promising, teach
from rbrlang.grading.results import GradeItem
from rbrlang.grading.trust.values import value_atoms
from rbrlang.reward.kept.artefact import Artefact, write_artefact
from rbrlang.reward.rows import response_ids
from rbrlang.rows.read import read_rows, row_from
from rbrlang.scoring.score import Scorer

POLICY = """rbr 1
prop sorry "The response apologises." {
  ask "Is it sorry?"
  cue yes "(?i)\\\\bsorry\\\\b"
}
prop asks "The response asks something back." { ask "Does it ask back?" }
prop ticket "The response gives a ticket number." {
  ask "Is there a ticket?"
  cue yes "(?i)\\\\bticket\\\\b"
}
prop whale "The response is about whales." { ask "Is it about a whale?" }
response r ranks good > curt > bad {
  bad  if ticket & !sorry
  curt if !asks
  good otherwise
}
"""
TELLS = ("The lake lies north of town.", "Bake it for an hour.", "Add the numbers in pairs.", "It opens at nine.")
ASKS = ("Which size do you need?", "What have you tried so far?", "Who is it for?", "Shall I go on?")
TEACHERS = """
CALLS = []
MARKS = {"sorry": "Sorry", "asks": "?", "ticket": "ticket", "whale": "whale"}

def strong(items, names):
    CALLS.extend(item.id for item in items)
    return [{n: 0.9 if MARKS[n] in item.completion else 0.1 for n in names} for item in items]

def fails(items, names):
    return [{n: 7 for n in names} for _ in items]

def slips(items, names):
    found = strong(items, names)
    return [one | {"asks": 7} if "lake" in item.completion else one for one, item in zip(found, items)]
"""


def rows(number: int) -> list[dict[str, Any]]:
    """Two completions a prompt; one in 16 gives a ticket."""
    random = np.random.default_rng(1)
    made: list[dict[str, Any]] = []
    for n in range(number):
        text = f"{random.choice(TELLS)} Note {random.integers(999)}."
        text += f" {random.choice(ASKS)}" if random.random() < 0.5 else ""
        text = f"Sorry about that. {text}" if random.random() < 0.4 else text
        text += f" The ticket is {random.integers(99)}." if n % 16 == 3 else ""
        made.append({"id": f"r{n}", "prompt": f"Case {n // 2}, please.", "completion": text, "response_type": "r"})
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A policy, 240 rows of 120 prompts, and teachers of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"teachers_{crc32(request.node.name.encode())}"
    (tmp_path / f"{module}.py").write_text(TEACHERS)
    for name in ("strong", "fails", "slips"):
        (tmp_path / f"{name}.toml").write_text(f'kind = "python"\nfunction = "{module}.{name}"\n')
    (tmp_path / "policy.rbr").write_text(POLICY)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(240)))
    return tmp_path


def calls() -> list[str]:
    """The rows that the strong teacher was asked about, which it forgets."""
    module = tomllib.loads(Path("strong.toml").read_text())["function"].partition(".")[0]
    found = importlib.import_module(module).CALLS
    taken = list(found)
    found.clear()
    return taken


def distil(*more: str, teacher: str = "strong.toml", budget: int = 100, file: str = "grader.toml") -> int:
    return main(["distil", "policy.rbr", "rows.jsonl", "--teacher", teacher, "--budget", str(budget), "-o", file,
                 "--bootstrap", "0", *more])  # fmt: skip


def test_the_rule_of_a_teacher_is_learned_and_measured_on_other_prompts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil("--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    asked = [int(name[1:]) for name in calls()]
    assert len(asked) == len(set(asked)) == 100
    assert not {n // 2 for n in asked[:75]} & {n // 2 for n in asked[75:]}, "no prompt is on both sides"
    assert found["rows"] == {"learned_from": 75, "pool": 180, "aside": 60, "measured": 25}
    refused = {name: one["refused"] for name, one in found["learned"].items()}
    assert refused == {
        "sorry": None, "asks": None, "ticket": None,
        "whale": "0 positives and 75 negatives; at least 5 of each are needed",
    }  # fmt: skip
    judged = found["against_teacher"]["propositions"]
    assert judged["asks"]["auc"] > 0.95
    assert judged["sorry"]["balanced_accuracy"] > 0.9
    assert found["against_teacher"]["classes"]["accuracy"] > 0.85
    assert found["against_labels"] is None
    assert [point["rows"] for point in found["curve"]] == [18, 37, 56, 75]
    assert found["curve"][-1]["auc"] >= found["curve"][0]["auc"]
    assert tomllib.loads(Path("grader.toml").read_text()) == {"kind": "distilled", "heads": "grader.safetensors"}
    assert distil() == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "whale: nothing learned: 0 positives and 75 negatives; at least 5 of each are needed; the grader abstains on it"
        in shown
    )
    assert "measured on 30 prompts kept aside: against the teacher on 25 rows, against labels on 0; seed 0" in shown


def test_every_door_takes_the_file(folder: Path) -> None:
    assert distil() == 0
    policy = rbr.load("policy.rbr")
    write_artefact("p.rbrc", Artefact(policy.circuit, rbr.compile(policy).host.weights, policy.sources, None, {}))
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "graded.jsonl", "--grader", "grader.toml", "--all"]) == 0
    graded = [json.loads(line) for line in Path("graded.jsonl").read_text().splitlines()]
    assert np.mean([(row["probs"]["asks"] >= 0.5) == ("?" in row["completion"]) for row in graded]) > 0.95
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "as.jsonl", "--heads", "grader.safetensors", "--all"]) == 0
    assert Path("as.jsonl").read_bytes() == Path("graded.jsonl").read_bytes(), "it is its heads, and named by them"
    assert main(["score", "p.rbrc", "rows.jsonl", "-o", "scored.jsonl", "--grader", "grader.toml"]) == 0
    rewards = [json.loads(line)["reward"] for line in Path("scored.jsonl").read_text().splitlines()]
    some = rows(240)[:4]
    np.testing.assert_allclose(
        Scorer("p.rbrc", "grader.toml")([row_from(row) for row in some]).rewards, rewards[:4], rtol=1e-6
    )
    with start(Path("p.rbrc"), "--grader", "grader.toml") as server:
        request = urllib.request.Request(
            f"{server.url}/score", json.dumps({"rows": some}).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            served = json.load(reply)
    np.testing.assert_allclose([row["reward"] for row in served["rows"]], rewards[:4], rtol=1e-6)


def test_one_seed_gives_one_file(folder: Path) -> None:
    heads: list[bytes] = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert distil("--seed", seed, file=f"{name}.toml", budget=60) == 0
        heads.append(Path(f"{name}.safetensors").read_bytes())
    assert heads[0] == heads[1] != heads[2]
    assert Path("a.toml").read_text() == Path("b.toml").read_text().replace('"b.', '"a.')


MARKS = {b"Is it sorry?": b"Sorry about", b"ask back?": b"? ", b"a ticket?": b"The ticket", b"a whale?": b"whales!"}


def taught(body: bytes, before: int) -> Action:
    """By the completion, which stands in the last message; some requests fail once."""
    time.sleep(0.002)
    if before == 0 and crc32(body) % 10 == 0:
        return Say(b"", 503)
    (mark,) = (mark for question, mark in MARKS.items() if question in body)
    asks = mark == b"? "
    yes = any(one.encode() in body for one in ASKS) if asks else mark in body
    return chat([("Yes", 0.9), ("No", 0.1)] if yes else [("No", 0.9), ("Yes", 0.1)])


@pytest.mark.parametrize("kills", [2])
def test_a_killed_run_goes_on_and_pays_for_nothing_twice(
    folder: Path, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(taught) as server:
        Path("server.toml").write_text(
            f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n[request]\ndiscover = false\n'
            "[limits]\nconcurrency = 4\n[price]\ninput = 10.0\n"
        )
        command = [sys.executable, "-m", "rbrlang.cli", "distil", "policy.rbr", "rows.jsonl", "--teacher", "server.toml",
                   "--budget", "48", "-o", "grader.toml"]  # fmt: skip
        for until in (30, 110)[:kills]:
            process = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            while sum(server.answered.values()) < until and process.poll() is None:
                time.sleep(0.002)
            assert process.poll() is None, process.stderr and process.stderr.read()
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not Path("grader.toml").exists()
        assert distil("--resume", "--format", "json", teacher="server.toml", budget=48) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["cost"] == pytest.approx(48 * 4 * 100 * 10 / 1e6), "paid in earlier runs, too"
        assert sum(server.answered.values()) <= 48 * 4 + kills * 4
        before = server.answered.copy()
        assert distil(teacher="server.toml", budget=48, file="again.toml") == 0
        assert Path("again.safetensors").read_bytes() == Path("grader.safetensors").read_bytes()
        shown = " ".join(capsys.readouterr().out.split())
        assert (
            "the teacher took 192 requests for 48 rows, cost 0.192; each 1,000 completions graded without it save about 3,000 requests and cost 3"
            in shown
        )
        assert sum((server.answered - before).values()) == 48 * 4, "another output has another cache"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ({"teacher": "fails.toml"}, 2, "the teacher failed on 72 of 72 questions"),
        ({"teacher": "strong.toml", "budget": 3}, 2, "`--budget 3` leaves nothing to learn from"),
        ({"teacher": "strong.toml", "budget": 6000}, 2, "heads are learned from 4000 rows at most"),
        ({"teacher": "strong.toml", "file": "grader.json"}, 2, "`-o grader.json` does not end in `.toml`"),
        ({"teacher": "strong.toml", "file": "no/grader.toml"}, 2, "`-o no/grader.toml`: there is no folder `no`"),
        ({"teacher": "strong.toml", "budget": 8}, 1, "nothing was learned and nothing written: in 6 rows no proposition"),
        ({"teacher": "rows"}, 2, "the teacher, `rows`, says nothing about any of 18 rows"),
        ({"teacher": "none.toml"}, 2, "cannot read the grader file `none.toml`"),
        ({"teacher": "labels"}, 2, "has no label of a question of the policy"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(
    folder: Path, arguments: dict[str, Any], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(**arguments) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out
    assert not list(Path().glob("grader*"))


def test_a_prompt_alone_has_nothing_to_be_measured_by(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = [row | {"prompt": "The same."} for row in rows(60)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in one))
    assert distil() == 2
    assert "has completions of one prompt, and a part of the prompts is kept aside" in capsys.readouterr().err
    assert not calls()


def test_a_budget_beyond_the_rows_asks_about_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distil(budget=400) == 0
    assert "the budget of 400 rows is larger than what there is to ask: all 180 rows" in capsys.readouterr().err
    assert Counter(calls()) == Counter(f"r{n}" for n in range(240))


def test_a_failure_is_no_label(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distil("--format", "json", teacher="slips.toml") == 3
    found = json.loads(capsys.readouterr().out)
    failed = sum("lake" in rows(240)[int(name[1:])]["completion"] for name in calls()[:75])
    assert failed > 0
    assert found["learned"]["asks"]["labelled"] == 75 - failed
    assert found["learned"]["sorry"]["labelled"] == 75


def test_labels_measure_too_where_there_are_any(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marks = {"sorry": "Sorry", "asks": "?", "ticket": "ticket", "whale": "whale"}
    labelled = [row | {"labels": {n: mark in row["completion"] for n, mark in marks.items()}} for row in rows(240)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    assert distil("--format", "json", teacher="labels") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["teacher"] == "labels"
    assert (found["against_teacher"]["rows"], found["against_labels"]["rows"]) == (25, 60)
    assert found["against_labels"]["classes"]["accuracy"] > 0.85


# --- picking ------------------------------------------------------------------------------------


def test_rare_answers_are_found(folder: Path) -> None:
    """One row in 16 gives a ticket: of 32 picked ones at random two would, and a head needs five."""
    policy, found = rbr.load("policy.rbr"), read_rows("rows.jsonl").rows
    ids = response_ids(policy.circuit, found)
    items = [GradeItem(row.id, row.conversation, int(at)) for row, at in zip(found, ids, strict=True)]
    truth = np.array(
        [[mark in row["completion"] for mark in ("Sorry", "?", "ticket", "whale")] for row in rows(240)], float
    )
    given = value_atoms(policy.circuit, found)[1]

    def as_they_come(sight: Sight, number: int) -> list[int]:
        return list(range(number))

    def tickets(choose: Choose | None) -> list[int]:
        lessons = [
            teach(policy, items, given, range(240), 32, seed, lambda at: truth[list(at)], lambda: "", choose)
            for seed in (0, 1)
        ]
        return [int(lesson.answers[:, 2].sum()) for lesson in lessons]

    assert min(tickets(None)) >= 5 > max(tickets(as_they_come))


def test_what_moves_no_reward_is_not_sought() -> None:
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.2]])
    known = np.zeros((4, 2))

    def sight(*worth: float) -> Sight:
        return Sight(np.arange(3), p, lambda: np.tile(worth, (3, 1)), known)

    assert promising(sight(1, 0), 1) == [0]
    assert promising(sight(0, 1), 1) == [1]
    assert sorted(promising(sight(1, 1), 2)) == [0, 1], "what is expected already is worth less"
    assert len(promising(sight(0, 0), 3)) == 3
