"""Prompts that bring their own criteria: HealthBench and Rubrics as Rewards, read as they are published."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbrlang.cli.main import main
from rbrlang.imports.imported import ImportFormatError
from rbrlang.imports.per_prompt import import_healthbench, import_rar
from rbrlang.policy import load
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rubrics import noted, values
from rbrlang.rows.read import read_rows


def prompt(number: int, *points: int, met: tuple[bool, ...] = (), **more: object) -> dict[str, Any]:
    criteria = [
        {
            "criterion": f"Says {n}.",
            "points": p,
            "tags": ["level:example", f"axis:{('accuracy', 'completeness')[n % 2]}"],
        }
        for n, p in enumerate(points)
    ]
    for one, was in zip(criteria, met, strict=False):
        one["criteria_met"] = was
    return {
        "example_tags": ["theme:hedging"], "prompt": [{"role": "user", "content": f"Question {number}?"}],
        "prompt_id": f"p{number}", "rubrics": criteria, "canary": "not to be trained on", **more,
    }  # fmt: skip


def healthbench_score(rows: list[dict[str, Any]]) -> float:
    """The score as the paper defines it, written down once more: per prompt over its positive points, then the clipped mean."""
    scores: list[float] = []
    for one in rows:
        total = sum(c["points"] for c in one["rubrics"] if c["points"] > 0)
        scores.append(sum(c["points"] for c in one["rubrics"] if c["criteria_met"]) / total)
    return min(max(sum(scores) / len(scores), 0.0), 1.0)


def written(folder: Path, rows: list[dict[str, Any]], name: str = "source.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_score_of_healthbench_comes_out(tmp_path: Path, sign: int, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(7)
    rows: list[dict[str, Any]] = []
    for number in range(200):
        points = (draw.randint(1, 10), *(draw.choice([-10, -7, -3, 1, 4, 9]) for _ in range(draw.randint(1, 11))))
        met = tuple((p > 0) == (draw.random() < 0.5 + 0.45 * sign) for p in points)
        rows.append(prompt(number, *points, met=met, completion=f"Answer {number}."))
    out = tmp_path / "out"
    assert main(["import", "healthbench", written(tmp_path, rows), "-o", str(out)]) == 0
    policy = load(str(out / "policy.rbr"))
    found = read_rows(out / "rows.jsonl")
    assert not found.bad
    labelled = [
        replace(row, rubrics={"quality": tuple(float(c["criteria_met"]) for c in row.raw["rubrics"])})
        for row in found.rows
    ]
    known = values(policy.circuit, labelled)[:, 0]
    assert min(max(float(np.mean(known)), 0.0), 1.0) == pytest.approx(healthbench_score(rows), abs=1e-9)
    mean = noted(policy.circuit, [0] * len(rows), labelled).means["quality"]
    assert min(max(mean, 0.0), 1.0) == pytest.approx(healthbench_score(rows), abs=1e-9)
    capsys.readouterr()
    # And through the commands, with the people's verdicts as the grader.
    assert main(["compile", str(out / "policy.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    scored = tmp_path / "scored.jsonl"
    assert (
        main(["score", str(tmp_path / "p.rbrc"), str(out / "rows.jsonl"), "--grader", "labels", "-o", str(scored)]) == 0
    )
    rewards = [json.loads(line)["reward"] for line in scored.read_text().splitlines()]
    np.testing.assert_allclose(rewards, known, rtol=1e-6, atol=1e-7)
    assert f"`quality` is {mean:.6g} on average of 200 rows" in capsys.readouterr().err


def test_tags_canaries_and_completions_of_physicians_are_kept(tmp_path: Path) -> None:
    ideal = {"ideal_completion": "Best.", "ideal_completions_ref_completions": ["First.", "Second."]}
    made = import_healthbench(
        "\n".join(json.dumps(r) for r in (prompt(1, 5, -2, ideal_completions_data=ideal), prompt(2, 5), prompt(3, -5))), "hb.jsonl"
    )  # fmt: skip
    assert [row["id"] for row in made.rows] == ["p1-ideal", "p1-reference-1", "p1-reference-2", "p2"]
    assert made.rows[0]["completion"] == "Best."
    assert "completion" not in made.rows[3]
    assert made.rows[0]["rubrics"][0]["tags"] == ["level:example", "axis:accuracy"]
    assert made.rows[0]["example_tags"] == ["theme:hedging"]
    assert made.rows[0]["canary"]
    assert [(n.verdict, n.what) for n in made.notes] == [
        ("dropped", "the prompt `p3`"), ("approximated", "1 prompts without a completion"), ("approximated", "the score of a data set"),
    ]  # fmt: skip
    assert 'by tag accuracy "axis:accuracy", completeness "axis:completeness"' in made.policy
    policy = tmp_path / "p.rbr"
    policy.write_text(
        made.policy.replace("points over positive", 'points over positive\n  by tag accuracy "axis:accuracy"')
    )
    assert main(["check", str(policy)]) == 0


def test_healthbench_professional_is_read_by_its_own_names(tmp_path: Path) -> None:
    items = [
        {"criterion_text": "Says when to ask again.", "points": 7, "rubric_id": "r1"},
        {"criterion_text": "Invents.", "points": -3},
    ]
    asked = [{"role": "user", "content": "Which dose?"}]
    one = {"id": "c1", "conversation": {"messages": asked}, "rubric_items": items, "use_case": "consult"}
    made = import_healthbench(json.dumps({**one, "response": "Ask again."}), "professional.jsonl")
    (row,) = made.rows
    assert (row["id"], row["prompt"], row["use_case"], row["completion"]) == ("c1", asked, "consult", "Ask again.")
    assert row["rubrics"] == [
        {"criterion": "Says when to ask again.", "points": 7, "rubric_id": "r1"},
        {"criterion": "Invents.", "points": -3},
    ]
    out = tmp_path / "out"
    assert main(["import", "healthbench", written(tmp_path, [{**one, "response": "Ask again."}]), "-o", str(out)]) == 0
    reward = NumpyReward(load(str(out / "policy.rbr")).circuit)
    answered = {**row, "rubric_probs": {"quality": [1.0, 1.0]}}
    assert reward(reward.encode([answered]), reward.response_ids([answered]))[0] == pytest.approx((7 - 3) / 7)


def test_rar_becomes_a_rubric_with_the_kinds_as_tags(tmp_path: Path) -> None:
    rows = [{
        "question": "Which river?", "reference_answer": "The Loire.", "question_source": "x",
        "rubric": [
            {"title": "Names it", "description": "Essential Criteria: Names the Loire.", "weight": 5},
            {"title": "No town", "description": "Pitfall Criteria: Invents a town.", "weight": -1},
            {"title": "Plain", "description": "Says it in one sentence", "weight": 2},
        ],
    }]  # fmt: skip
    out = tmp_path / "out"
    assert main(["import", "rar", written(tmp_path, rows, "rar.json"), "-o", str(out)]) == 0
    (row,) = read_rows(out / "rows.jsonl").rows
    assert [(c["criterion"], c["points"], c["tags"]) for c in row.raw["criteria"]] == [
        ("Names the Loire.", 5, ["essential"]), ("Invents a town.", -1, ["pitfall"]), ("Says it in one sentence", 2, []),
    ]  # fmt: skip
    assert row.raw["criteria"][0]["title"] == "Names it"
    assert row.completion_text == "The Loire."
    reward = NumpyReward(load(str(out / "policy.rbr")).circuit)
    answered = {**row.raw, "rubric_probs": {"quality": [1.0, 1.0, 0.5]}}
    assert reward(reward.encode([answered]), reward.response_ids([answered]))[0] == pytest.approx((5 - 1 + 1) / 7)
    assert json.loads((out / "import.json").read_text())["approximated"]


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (import_healthbench, '{"prompt": "q"}', "line 1, `prompt_id` is not a text"),
        (import_healthbench, json.dumps({**prompt(1, 5), "rubrics": {}}), "line 1, `rubrics` is not a list"),
        (import_healthbench, json.dumps({**prompt(1, 5), "rubrics": [{"criterion": "a", "points": "5"}]}), "criterion 1, `points`"),
        (import_healthbench, json.dumps(prompt(1, 5)) + "\n{", "line 2"),
        (import_healthbench, '{"id": "a", "conversation": [], "rubric_items": [{}]}', "line 1 has no `prompt`"),
        (import_healthbench, '{"id": "a", "conversation": {"messages": ["q"]}, "rubric_items": [{}]}', "criterion 1, `criterion`"),
        (import_healthbench, '{"id": "a", "rubric_items": ["q"]}', "line 1, criterion 1"),
        (import_healthbench, json.dumps(prompt(1, -5)), "no prompt whose criteria"),
        (import_rar, '[{"rubric": []}]', "element 1 has no `question`"),
        (import_rar, '[{"question": "q", "rubric": [{"description": "a"}]}]', "criterion 1, `weight`"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_by_its_place(read: Any, text: str, said: str) -> None:
    with pytest.raises(ImportFormatError, match=said):
        read(text, "source.jsonl")
