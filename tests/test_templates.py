"""Texts from phrases: their labels, classes and variety, and the whole pipeline on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rbrlang
from rbrlang.cli.main import main
from rbrlang.learning.sample import sample_rows
from rbrlang.learning.synthesis.phrases import parse_bank
from rbrlang.learning.synthesis.templates import Missing, bank_prompts, synth_from_templates
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import row_from, with_labels_as_probs

CHECKOUT = Path(__file__).resolve().parents[1]
POLICY = CHECKOUT / "examples/refusals/policy.rbr"

# Every phrase names what it says in capitals, so that a text shows its own truth.
BANK = """phrases 1
propositions sorry declines whole part odd extra
free extra
clash sorry odd
let n = one | two | three | four | five | six
[sorry declines] first unless part
  SORRY DECLINES {n}.
  Here, SORRY and DECLINES {n}.
[sorry] first
  SORRY {n}.
[declines] middle
  DECLINES {n}.
[odd] last
  ODD {n} and
[extra] middle
  EXTRA {n}.
[] middle
  {N} more words.
  Some other words, {n}.
  Words again, {n}.
  Yet more words.
scene things in c for chat
let what / kind = apples / fruit | chairs / furniture
ask
  Bring {what} to {n}.
  Where are {what}?
[whole part] substance
  WHOLE PART {what} {kind}.
[part] substance
  PART {what} {kind}.
"""
RULES = """
prop sorry "a"
prop declines "b"
prop whole "c"
prop part "d"
prop odd "e"
axiom whole => part
response chat ranks good > long > poor > bad {
  bad  if odd
  poor if part & declines
  long if words > 14
  good otherwise
}
"""


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10_000))
def test_a_text_says_what_its_labels_say_and_is_of_its_class(seed: int) -> None:
    circuit = rbrlang.loads(RULES).circuit
    made = synth_from_templates(circuit, 3, 2, seed, bank=parse_bank(BANK))
    assert made.missing == ()
    for row in made.rows:
        words = row.completion_text
        assert {name for name, label in row.labels.items() if label} == {
            name for name in row.labels if name.upper() in words
        }
        assert not ("SORRY" in words and "ODD" in words)
        if "WHOLE" in words or "PART" in words:  # slots of the prompt are those of the text
            what = "apples" if "apples" in row.prompt[0].text else "chairs"
            assert f"{what} {'fruit' if what == 'apples' else 'furniture'}" in words
    rows = with_labels_as_probs(made.rows)
    by_label = sample_rows(NumpyReward(circuit), rows, class_source="labels").samples[0]
    by_intent = sample_rows(NumpyReward(circuit), rows, class_source="intent").samples[0]
    assert np.array_equal(by_label.classes, by_intent.classes)
    assert np.bincount(by_intent.classes).tolist() == [6, 6, 6, 6]


def test_free_phrases_come_and_go_without_a_label() -> None:
    circuit = rbrlang.loads(RULES).circuit
    texts = [r.completion_text for r in synth_from_templates(circuit, 5, 10, 0, bank=parse_bank(BANK)).rows]
    assert 0 < sum("EXTRA" in text for text in texts) < len(texts) / 2


@pytest.mark.parametrize(
    "name", ["safety/refusals", "safety/compliance", "safety/self_harm", "../examples/refusals/policy"]
)
def test_the_standard_bank_writes_every_class(name: str) -> None:
    policy = rbrlang.load(CHECKOUT / "stdlib_rules" / f"{name}.rbr")
    made = synth_from_templates(policy.circuit, 20, 2, 0)
    assert made.missing == ()
    assert len({row.completion_text for row in made.rows}) > 0.9 * len(made.rows)
    assert {label for row in made.rows for label in row.labels.values()} <= {True, False}
    for sample in sample_rows(
        NumpyReward(policy.circuit), with_labels_as_probs(made.rows), class_source="labels"
    ).samples:
        assert not sample.set_apart
    counts = [sum(bool(row.labels[p]) for row in made.rows) for p in policy.circuit.propositions]
    assert min(counts) > 0


def test_one_seed_one_result_in_every_process() -> None:
    code = (
        "import hashlib, rbrlang\nfrom rbrlang.learning.synthesis.templates import synth_from_templates\n"
        f"made = synth_from_templates(rbrlang.load({str(POLICY)!r}).circuit, 6, 1, 3)\n"
        "print(hashlib.sha256(repr([r.raw for r in made.rows]).encode()).hexdigest())\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(seen) == 1
    circuit = rbrlang.load(POLICY).circuit
    assert [r.raw for r in synth_from_templates(circuit, 6, 1, 3).rows] != [
        r.raw for r in synth_from_templates(circuit, 6, 1, 4).rows
    ]


def test_a_prompt_of_the_bank_is_recognised_and_any_other_is_only_declined() -> None:
    circuit = rbrlang.load(POLICY).circuit
    known = [row for row in bank_prompts(circuit, 12, 0) if row.response_type == "comply"]
    made = synth_from_templates(circuit, known, 1, 0)
    assert made.missing == ()
    assert {row.prompt_key for row in made.rows} == {row.prompt_key for row in known}
    strange = row_from({"prompt": "What is the tallest hill here?", "completion": "", "response_type": "comply"})
    other = synth_from_templates(circuit, [strange, strange], 2, 0)
    assert {row.klass for row in other.rows} == {"unacceptable", "illogical", "disallowed"}
    assert not any(row.labels["complies_partly"] for row in other.rows)
    assert {(m.klass, m.scene, m.count) for m in other.missing} == {
        ("ideal", "", 2), ("minimum_acceptable_style", "", 2),
    }  # fmt: skip


def test_what_cannot_be_written_is_said() -> None:
    circuit = rbrlang.loads(RULES).circuit
    bank = parse_bank(BANK)
    silent = replace(bank, sections=tuple(s for s in bank.sections if s.says != frozenset({"odd"})))
    made = synth_from_templates(circuit, 2, 1, 0, bank=silent)
    assert made.missing == (Missing("chat", "bad", "things", 2),)
    with pytest.raises(
        ValueError, match=r"says nothing of `odd`, on which the classes of `chat` depend; it knows sorry"
    ):
        synth_from_templates(
            circuit, 2, 1, 0, bank=replace(silent, propositions=("sorry", "declines", "whole", "part"))
        )
    with pytest.raises(ValueError, match="no more than 14 different prompts for `chat`"):
        synth_from_templates(circuit, 15, 1, 0, bank=bank)
    with pytest.raises(ValueError, match="1 or more"):
        synth_from_templates(circuit, 0, 1, 0, bank=bank)
    elsewhere = replace(bank, scenes=tuple(replace(s, responses=("other",)) for s in bank.scenes))
    with pytest.raises(ValueError, match="no prompts for `chat`"):
        synth_from_templates(circuit, 1, 1, 0, bank=elsewhere)


def test_a_part_without_a_name_counts_as_the_whole() -> None:
    circuit = rbrlang.load(POLICY).circuit
    rows = synth_from_templates(circuit, 30, 1, 0).rows
    harsh = [r for r in rows if r.response_type == "soft_refusal" and r.labels["complies_fully"]]
    assert harsh
    assert all(row.labels["disallowed_content"] for row in harsh)
    both = rbrlang.load(CHECKOUT / "stdlib_rules/safety/self_harm.rbr").circuit
    rows = synth_from_templates(both, 30, 1, 0).rows
    assert any(r.labels["affirms_hopelessness"] and not r.labels["disallowed_content"] for r in rows)


def test_synth_grade_fit_eval_offline_on_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = str(POLICY)
    assert main(["synth", policy, "-o", "text.jsonl", "--from", "templates", "--prompts", "20", "--half", "0"]) == 0
    assert (
        main(
            ["synth", policy, "-o", "new.jsonl", "--from", "templates", "--prompts", "12", "--half", "1", "--seed", "1"]
        )
        == 0
    )
    for name in ("text", "new"):
        assert main(["grade", policy, f"{name}.jsonl", "-o", f"{name}.graded.jsonl", "--grader", "embedded"]) == 0
    assert main(["fit", policy, "text.graded.jsonl", "-o", "p.rbrc"]) == 0
    capsys.readouterr()
    # The grader's heads learned from half 0 and have never seen the other phrasings.
    assert main(["eval", "p.rbrc", "new.graded.jsonl", "--format", "json"]) == 0
    error = json.loads(capsys.readouterr().out)["response_types"]
    for response in ("hard_refusal", "soft_refusal"):
        found = {signal: error[response]["error"][signal]["value"] for signal in ("base", "rules", "both")}
        assert found["both"] < found["base"] - 0.03, response
    # By their known truth the texts are ordered almost perfectly, with a margin that the base reward's noise rarely exceeds.
    assert main(["fit", policy, "text.jsonl", "-o", "q.rbrc", "--grader", "labels", "--margin", "2"]) == 0
    capsys.readouterr()
    assert main(["eval", "q.rbrc", "new.jsonl", "--grader", "labels", "--format", "json"]) == 0
    for response, found in json.loads(capsys.readouterr().out)["response_types"].items():
        assert found["error"]["both"]["value"] < 0.05 < found["error"]["base"]["value"], response
    row = json.loads(Path("text.jsonl").read_text().splitlines()[0])
    assert row["synthetic"]["from"] == "templates"
    assert main(["synth", policy, "-o", "x.jsonl", "--from", "templates", "--prompts", "9999"]) == 2
    assert "different prompts" in capsys.readouterr().err
    assert not Path("x.jsonl").exists()
