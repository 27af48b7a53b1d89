"""The refusals example: its labels, classes and counts are what its policy and its README say."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import re2

from rbrlang.logic.circuit import Diagram
from rbrlang.policy import Policy, load
from rbrlang.reward.measure import measure_atoms
from rbrlang.rows.conversation import spoken

FOLDER = Path(__file__).parents[1] / "examples" / "refusals"
RESPONSES = ("hard_refusal", "soft_refusal", "comply")
CLASSES = ("ideal", "minimum_acceptable_style", "unacceptable", "illogical", "disallowed")
# Stems that mild text has no use for; a stem matches at the start of a word.
HARSH = re.compile(
    r"\b(?:kill|murder|suicid|overdos|self-harm|cut myself|bomb|explosi|weapon|guns?\b|knife|knives|poison|"
    r"drugs?\b|cocaine|heroin|meth\b|rape|porn|nude|sex|nazi|terror|blood|fuck|shit|bitch|bastard|cunt|"
    r"retard|cripple|whore|slut)",
    re.IGNORECASE,
)


@cache
def policy() -> Policy:
    return load(FOLDER / "policy.rbr")


@cache
def rows() -> tuple[dict[str, Any], ...]:
    lines = (FOLDER / "completions.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line) for line in lines)


def terminal(diagram: Diagram, truths: list[bool]) -> int:
    """What the diagram says of one assignment, by walking down from its root."""
    reference = diagram.root
    while reference >= len(diagram.terminals):
        atom, low, high = diagram.nodes[reference - len(diagram.terminals)]
        reference = high if truths[atom] else low
    return diagram.terminals[reference]


def truths(row: dict[str, Any]) -> list[bool]:
    """The row's labels and measures, in the order of the policy's atoms."""
    circuit = policy().circuit
    return [row["labels"][name] for name in circuit.propositions] + measure_atoms(
        circuit.atoms, spoken((), row["completion"])
    )


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def test_the_policy_is_clean() -> None:
    assert policy().diagnostics == ()
    assert tuple(r.name for r in policy().program.responses) == RESPONSES
    assert all(r.classes == CLASSES for r in policy().program.responses)


def test_every_proposition_has_few_shots_of_both_answers_with_reasons_and_a_cue() -> None:
    for proposition in policy().program.propositions:
        answers = Counter(shot.answer for shot in proposition.shots)
        assert min(answers[True], answers[False]) >= 2, proposition.name
        assert all(shot.because for shot in proposition.shots), proposition.name
        assert any(cue.answer for cue in proposition.cues), proposition.name
        assert proposition.doc, proposition.name
        assert proposition.question != proposition.statement, proposition.name


def test_every_class_of_every_response_type_is_tested_in_the_policy() -> None:
    tested = {(test.response, name) for test in policy().program.tests for name in test.expect}
    assert tested == {(r, name) for r in range(len(RESPONSES)) for name in CLASSES}


def test_rows_have_the_columns_of_the_data_format_and_every_label() -> None:
    names = set(policy().circuit.propositions)
    for row in rows():
        assert list(row) == [
            "id", "prompt", "completion", "response_type", "category", "class", "labels", "base_reward",
        ]  # fmt: skip
        assert row["labels"].keys() == names, row["id"]
        assert all(type(value) is bool for value in row["labels"].values()), row["id"]
        assert isinstance(row["base_reward"], float), row["id"]
        assert -5 < row["base_reward"] < 5, row["id"]
        roles = [message["role"] for message in row["prompt"]]
        assert roles[-1] == "user", row["id"]
        assert set(roles) <= {"system", "user", "assistant"}, row["id"]
        assert all(m["content"] == m["content"].strip() != "" for m in row["prompt"]), row["id"]
        assert row["completion"] == row["completion"].strip() != "", row["id"]


def test_the_class_is_the_one_that_the_rules_give_for_the_labels() -> None:
    circuit = policy().circuit
    for row in rows():
        response = circuit.responses[circuit.response_names.index(row["response_type"])]
        found = terminal(response.diagram, truths(row))
        assert found >= 0, f"{row['id']}: the labels break an axiom"
        assert response.classes[found] == row["class"], row["id"]
        assert terminal(circuit.axioms, truths(row)) == 1, row["id"]


def test_the_category_asks_for_the_response_type() -> None:
    circuit = policy().circuit
    asked = {name: circuit.response_names[number] for name, number in circuit.categories}
    assert {row["category"] for row in rows()} == asked.keys()
    assert all(asked[row["category"]] == row["response_type"] for row in rows())


def test_there_is_enough_of_everything() -> None:
    prompts = defaultdict(list[dict[str, Any]])
    for row in rows():
        prompts[json.dumps(row["prompt"])].append(row)
    kinds = Counter(group[0]["response_type"] for group in prompts.values())
    assert all(kinds[name] >= 22 for name in RESPONSES)
    assert len(rows()) >= 330
    for group in prompts.values():
        assert len(group) == 5
        assert len({(r["response_type"], r["category"]) for r in group}) == 1
        assert "ideal" in {r["class"] for r in group}
        assert len({r["class"] for r in group}) >= 3
    counts = Counter((row["response_type"], row["class"]) for row in rows())
    assert all(counts[response, name] >= 8 for response in RESPONSES for name in CLASSES)
    for name in policy().circuit.propositions:
        positives = sum(row["labels"][name] for row in rows())
        assert 8 <= positives <= len(rows()) - 8, name


def test_no_text_repeats_another() -> None:
    assert len({row["id"] for row in rows()}) == len(rows())
    runs: dict[tuple[str, ...], str] = {}
    for row in rows():
        text = words(row["completion"])
        for at in range(max(1, len(text) - 9)):
            run = tuple(text[at : at + 10])
            assert runs.setdefault(run, row["id"]) == row["id"], f"{row['id']} shares `{' '.join(run)}`"


def test_texts_are_mild() -> None:
    for row in rows():
        for text in (row["completion"], *(message["content"] for message in row["prompt"])):
            assert HARSH.search(text) is None, row["id"]


@pytest.mark.parametrize("text", ["a gun", "Suicide", "explosives"])
def test_the_mildness_check_can_fail(text: str) -> None:
    assert HARSH.search(text)


def test_cues_point_the_right_way() -> None:
    for proposition in policy().program.propositions:
        labels = [row["labels"][proposition.name] for row in rows()]
        for answer in {cue.answer for cue in proposition.cues}:
            patterns = [re2.compile(cue.pattern) for cue in proposition.cues if cue.answer == answer]
            hits = [any(p.search(row["completion"]) for p in patterns) for row in rows()]
            on_positives = sum(h for h, label in zip(hits, labels, strict=True) if label) / sum(labels)
            on_negatives = sum(h for h, label in zip(hits, labels, strict=True) if not label) / (
                len(labels) - sum(labels)
            )
            right, wrong = (on_positives, on_negatives) if answer else (on_negatives, on_positives)
            assert right >= wrong * (5 if answer else 1), (proposition.name, answer)


def base_error(response: str) -> float:
    """Share of one prompt's pairs of different rank that the base reward orders wrongly; ties count half."""
    prompts = defaultdict(list[dict[str, Any]])
    for row in rows():
        if row["response_type"] == response:
            prompts[json.dumps(row["prompt"])].append(row)
    wrong: list[float] = []
    for group in prompts.values():
        for one, two in combinations(group, 2):
            gap = CLASSES.index(two["class"]) - CLASSES.index(one["class"])
            if gap:
                better = (one["base_reward"] - two["base_reward"]) * gap
                wrong.append(0.5 if better == 0 else float(better < 0))
    return sum(wrong) / len(wrong)


def test_the_readme_gives_the_counts_and_the_base_error() -> None:
    table = [
        [cell.strip().strip("`") for cell in line.strip("| \n").split("|")]
        for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    counts = Counter((row["response_type"], row["class"]) for row in rows())
    totals = Counter(row["response_type"] for row in rows())
    expected = [
        [r, "22", str(totals[r]), *(str(counts[r, c]) for c in CLASSES), f"{base_error(r):.2f}"] for r in RESPONSES
    ] + [[name, str(sum(row["labels"][name] for row in rows()))] for name in policy().circuit.propositions]
    assert table == expected
