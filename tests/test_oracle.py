"""The independent brute force agrees, and would notice if it did not. RBR_ORACLE=100000 says how many policies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from oracle import compare
from oracle.compare import examine
from oracle.evaluators import EVALUATORS, Question, Said, in_a_block
from oracle.policies import random_policy
from oracle.truth import Truth

from rbrlang.reward import evaluate, single
from rbrlang.reward.numpy import NumpyReward

MANY = int(os.environ.get("RBR_ORACLE", "300"))
SHARDS = 3


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_policies_agree(shard: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(shard, MANY, SHARDS):
        found = examine(seed)
        assert not found.differences, found.differences[0]
        counts += found.counts
    for what in ("sound", "contradictions", "rows with unknowns", "rewards", "explanations", "fingerprints", "diffs"):
        assert counts[what] > 0, what


@pytest.mark.parametrize("seed", [11000676, 11001413, 11001571, 11003073, 12000633, 12010913])
def test_policies_that_once_differed_agree(seed: int) -> None:
    """Unknowns behind axioms and nearly certain answers, equal bounds under axioms, measures of one truth."""
    assert not examine(seed).differences


def test_jax_agrees_on_some() -> None:
    for seed in (10_001, 10_004):
        found = examine(seed, slow=True)
        assert not found.differences, found.differences[0]
        assert found.counts["rewards"] > 0


def differences(seeds: range) -> str:
    return "\n".join(difference for seed in seeds for difference in examine(seed).differences)


def test_a_contradiction_that_is_rewarded_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def anything(batch: evaluate.Batch) -> object:
        return batch.zero == 0.0

    def everything(axioms: object, probs: object) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "consistent", anything)
        assert "of a row that has none" in differences(range(40))
    with monkeypatch.context() as patch:
        patch.setattr(single, "leaves_possible", everything)
        assert "rows row" in differences(range(40))


def test_a_lowering_that_errs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def askew(question: Question) -> Said:
        said = EVALUATORS["numpy"](question)
        return Said(said.rewards + np.float32(0.001), said.classes, said.bounds)

    monkeypatch.setattr(compare, "EVALUATORS", {**EVALUATORS, "askew": askew})
    found = differences(range(5))
    assert "askew row" in found
    assert "policy 0" in found or "policy 1" in found


def test_a_block_of_rows_is_numpys_batch_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a row's answers are all known never shows in its numbers."""
    seen: Counter[bool] = Counter()

    def both(question: Question) -> Said:
        whole, found = EVALUATORS["numpy"](question), in_a_block(question)
        rules = NumpyReward(question.circuit, question.weights)(question.probs, question.ids)
        np.testing.assert_array_equal(found.total, whole.rewards)
        np.testing.assert_array_equal(found.rules, rules)
        for row, number in enumerate(question.ids.tolist()):
            own = slice(len(question.circuit.responses[number].classes) if number >= 0 else None)
            np.testing.assert_array_equal(found.classes[row, own], whole.classes[row, own])
        seen.update(np.isnan(question.probs).any(1).tolist())
        return whole

    monkeypatch.setattr(compare, "EVALUATORS", {"numpy": EVALUATORS["numpy"], "both": both})
    assert not differences(range(150))
    assert seen[True] > 100
    assert seen[False] > 100


def test_the_brute_force_decides_a_policy_that_can_be_decided_by_hand() -> None:
    """Of `fully => partly` three assignments are left."""
    policy = next(p for p in map(random_policy, range(1000)) if p.propositions == 2 and not p.axioms and not p.measured)
    truth = Truth(policy, "")
    assert truth.props == [0b1010, 0b1100]
    assert truth.table(("=>", ("prop", 0), ("prop", 1))) == 0b1101
    assert truth.table(("exactly", 1, (0, 1))) == 0b0110
    assert truth.mass(0b1101, [0.25, 0.25, 0.25, 0.25]) == 0.75


def test_the_command_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    log = tmp_path / "oracle.jsonl"
    command = [sys.executable, "-m", "oracle", "--policies", "4", "--seed", "3", "--jax-every", "0", "--log", str(log)]
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
    first = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("seed 3: 4 policies")
    assert first.stdout.endswith("\n0 differences\n")
    (record,) = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    record["differences"] = ["kept from the earlier run"]
    log.write_text(json.dumps(record) + '\n{"job": [3000', encoding="utf-8")
    again = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True)
    assert again.returncode == 1
    assert again.stdout.endswith("\n1 differences\n")
