"""The rollout store: what comes back, what an edited policy makes of it, and what a killed writer leaves."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKOUT

import rbrlang as rbr
from rbrlang.cli.main import main
from rbrlang.rows.read import RowsError, read_rows, row_from
from rbrlang.scoring.columns import Unusable
from rbrlang.scoring.score import Scorer
from rbrlang.scoring.store import RolloutStore

EXAMPLE = CHECKOUT / "examples" / "refusals"
ROWS = read_rows(EXAMPLE / "completions.jsonl").rows


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    file = tmp_path_factory.mktemp("store") / "p.rbrc"
    policy = rbr.load(EXAMPLE / "policy.rbr")
    rbr.write(file, policy, rbr.compile(policy))
    return Scorer(file)


def test_what_is_stored_comes_back_and_is_worth_the_same(scorer: Scorer, tmp_path: Path) -> None:
    first, second = ROWS[:20], (*ROWS[20:30], *ROWS[20:22], Unusable("no text"))
    with RolloutStore(tmp_path / "s", scorer.circuit, "embedded", part=20) as store:
        for step, some in enumerate((first, second)):
            store.add(step, some, scorer(some))
    assert len(list((tmp_path / "s").iterdir())) == 2
    found = read_rows(tmp_path / "s")
    assert found.bad == ()
    assert len({row.id for row in found.rows}) == 32
    for row, was in zip(found.rows, (*first, *second[:-1]), strict=True):
        assert (row.prompt, row.completion, row.prompt_key) == (was.prompt, was.completion, was.prompt_key)
        assert (row.response_type, row.category, row.base_reward) == (was.response_type, was.category, was.base_reward)
        assert row.klass is None
        assert row.raw["grader"] == "embedded"
        assert row.raw["fingerprint"] == scorer.circuit.fingerprint
    rewards = scorer.reward(
        scorer.reward.encode(found.rows),
        scorer.reward.response_ids(found.rows),
        np.array([row.base_reward for row in found.rows], np.float32),
    )
    np.testing.assert_array_equal(rewards, [np.float32(row.raw["reward"]) for row in found.rows])


def test_an_edited_policy_scores_them_again_without_grading(scorer: Scorer, tmp_path: Path) -> None:
    with RolloutStore(tmp_path / "s", scorer.circuit, "embedded") as store:
        store.add(0, ROWS[:40], scorer(ROWS[:40]))
    source = (EXAMPLE / "policy.rbr").read_text(encoding="utf-8").partition("# --- do the rules say")[0]
    edited = source.replace(
        "minimum_acceptable_style if !apology | any(self_talk)", "minimum_acceptable_style if any(self_talk)"
    )
    assert edited != source
    (tmp_path / "edited.rbr").write_text(edited, encoding="utf-8")
    assert main(["compile", str(tmp_path / "edited.rbr"), "-o", str(tmp_path / "edited.rbrc")]) == 0
    out = tmp_path / "out.jsonl"
    assert main(["score", str(tmp_path / "edited.rbrc"), str(tmp_path / "s"), "-o", str(out), "--grader", "rows"]) == 0
    again = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    expected = Scorer(tmp_path / "edited.rbrc")(ROWS[:40]).rewards
    np.testing.assert_array_equal(np.array([row["reward"] for row in again], np.float32), expected)
    assert (expected != scorer(ROWS[:40]).rewards).any()
    assert any(row["likely_class"] != row["class"] for row in again)


def test_a_completion_without_a_reward_is_kept_with_the_reason(scorer: Scorer, tmp_path: Path) -> None:
    rows = (row_from({"completion": "Hm \ud800.", "response_type": "complying"}), ROWS[0])
    with RolloutStore(tmp_path / "s", scorer.circuit, "embedded") as store:
        store.add(0, rows, scorer(rows))
    lost, _ = read_rows(tmp_path / "s").rows
    assert lost.raw["reward"] is None
    assert not lost.raw["valid"]
    assert "did you mean `comply`" in lost.raw["reason"]
    assert lost.completion_text == "Hm ?."


def test_a_row_that_cannot_be_written_is_set_aside_and_holds_up_no_other(
    scorer: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = RolloutStore(tmp_path / "s", scorer.circuit, "embedded", part=1000)
    store.add(0, ROWS[:2], scorer(ROWS[:2]))
    store.add(2**70, ROWS[2:3], scorer(ROWS[2:3]))
    store.add(1, ROWS[3:5], scorer(ROWS[3:5]))
    store.flush()
    assert [row.raw["step"] for row in read_rows(tmp_path / "s").rows] == [0, 0, 1, 1]
    store.add(2**71, ROWS[:1], scorer(ROWS[:1]))
    store.flush()
    store.add(2, ROWS[:1], scorer(ROWS[:1]))
    store.flush()
    found = read_rows(tmp_path / "s")
    assert found.bad == ()
    assert [row.raw["step"] for row in found.rows] == [0, 0, 1, 1, 2]
    aside = [json.loads(line) for line in (tmp_path / "s" / f"unwritten-{store.run}.txt").read_text().splitlines()]
    assert [row["id"] for row in aside] == [f"{store.run}-3", f"{store.run}-6"]
    assert aside[0]["step"] == str(2**70)
    assert "int" in aside[0]["reason"].lower()
    assert ROWS[2].completion_text[:10] in aside[0]["row"]
    assert [record.message.split(": ")[0] for record in caplog.records] == [
        f"rollout {store.run}-3 of step {2**70} was not stored",
        f"rollout {store.run}-6 of step {2**71} was not stored",
    ]


def test_half_a_character_in_a_name_is_no_obstacle(scorer: Scorer, tmp_path: Path) -> None:
    rows = (row_from({"completion": "Hm.", "category": "a\ud800"}), ROWS[0])
    with RolloutStore(tmp_path / "s", scorer.circuit, "embedded") as store:
        store.add(0, rows, scorer(rows))
    lost, _ = read_rows(tmp_path / "s").rows
    assert lost.category == "a?"
    assert lost.raw["reason"] == "the policy maps no category `a?` to a response type"


def test_two_processes_may_add_to_one_folder(scorer: Scorer, tmp_path: Path) -> None:
    stores = [RolloutStore(tmp_path, scorer.circuit, "embedded", part=1) for _ in range(2)]
    scores = scorer(ROWS[:1])
    for step in range(3):
        for store in stores:
            store.add(step, ROWS[:1], scores)
    found = read_rows(tmp_path)
    assert [row.raw["step"] for row in found.rows] == [0, 0, 1, 1, 2, 2]
    assert {row.raw["run"] for row in found.rows} == {store.run for store in stores}


def test_a_writer_that_is_killed_leaves_whole_parts(scorer: Scorer, tmp_path: Path) -> None:
    program = """
import sys
from rbrlang.rows.read import read_rows
from rbrlang.scoring.score import Scorer
from rbrlang.scoring.store import RolloutStore
rows = read_rows(sys.argv[1]).rows[:8]
scorer = Scorer(sys.argv[2])
scores = scorer(rows)
store = RolloutStore(sys.argv[3], scorer.circuit, "embedded", part=8)
step = 0
while True:
    store.add(step, rows, scores)
    step += 1
"""
    policy = rbr.load(EXAMPLE / "policy.rbr")
    rbr.write(tmp_path / "p.rbrc", policy, rbr.compile(policy))
    folder = tmp_path / "s"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    arguments = [str(EXAMPLE / "completions.jsonl"), str(tmp_path / "p.rbrc"), str(folder)]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment) as writer:
        deadline = time.monotonic() + 60
        while (not folder.is_dir() or len(list(folder.iterdir())) < 20) and time.monotonic() < deadline:
            time.sleep(0.01)
        writer.kill()
    found = read_rows(folder)
    assert found.bad == ()
    steps = [row.raw["step"] for row in found.rows]
    assert len(steps) >= 8 * 19
    assert steps == [step for step in range(len(steps) // 8) for _ in range(8)]
    with RolloutStore(folder, scorer.circuit, "embedded") as store:
        store.add(0, ROWS[:1], scorer(ROWS[:1]))
    assert len(read_rows(folder).rows) == len(steps) + 1
    assert all(math.isfinite(row.raw["reward"]) for row in found.rows)


def test_a_folder_is_read_by_name_and_an_empty_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="holds no file of rows"):
        read_rows(tmp_path)
    (tmp_path / "b.jsonl").write_text('{"completion": "two", "id": 2}\nnonsense\n')
    (tmp_path / "a.jsonl").write_text('{"completion": "one", "id": 1}\n')
    (tmp_path / ".c.jsonl").write_text("half of a li")
    (tmp_path / "notes.txt").write_text("no rows")
    found = read_rows(tmp_path)
    assert [row.id for row in found.rows] == ["1", "2"]
    (bad,) = found.bad
    assert (bad.file, bad.line) == (str(tmp_path / "b.jsonl"), 2)
    assert main(["score", "x.rbrc", str(tmp_path), "-o", "-"]) == 2
