"""Policies of other formats mean here what they mean there, and what they lose on the way is said."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_values import approximated, dropped, values

from rbrlang.cli.main import main
from rbrlang.imports.formats import FORMATS
from rbrlang.imports.imported import Imported, ImportFormatError, Names, read_yaml
from rbrlang.imports.llama_guard import import_llama_guard
from rbrlang.imports.openai_grader import import_openai_grader, linear
from rbrlang.imports.openai_rbr import import_openai_rbr
from rbrlang.imports.promptfoo import import_promptfoo
from rbrlang.imports.rubric import import_autorubric, import_rubric, import_verifiers
from rbrlang.imports.xstest import import_xstest
from rbrlang.lang.braces import plain
from rbrlang.policy import loads

RUBRIC = """
sections:
  - name: Facts
    criteria:
      - {weight: 10, requirement: "Names the river."}
      - {weight: 6.0, requirement: "Names the river."}
  - name: Style
    criteria:
      - {weight: -8, requirement: "Rambles."}
"""
CHECKLIST = json.dumps({
    "name": "Rivers", "prompt": "Name a river.", "version": 3,
    "rubric": [
        {"name": "River", "requirement": "Names a river.", "weight": 30},
        {"name": "Tone", "requirement": "How is the tone?", "options": [{"label": "good", "value": 1}, {"label": "bad", "value": 0}]},
        {"requirement": "Says where it flows.\nA country will do."},
        {"name": "Wrong", "requirement": "Names a lake.", "weight": -15},
    ],
    "items": [
        {"submission": "The Po.", "ground_truth": ["MET", "good", "UNMET", "UNMET"], "by": "a"},
        {"submission": "Lake Como, in Italy.", "ground_truth": ["UNMET", "good", "MET", "MET"]},
        {"submission": "See the picture.", "ground_truth": ["CANNOT_ASSESS", "good", "UNMET", "UNMET"]},
    ],
})  # fmt: skip
CRITERIA = """
[[criteria]]
name = "cites"
text = "Cites a source."
weight = 3.0
[[criteria]]
name = "brief"
text = "Is brief."
[[criteria]]
name = "tone"
text = "Tone?"
choices = ["bad", "fair", "good"]
"""
TESTS = """
description: rivers
providers: [x]
assertionTemplates:
  polite: {type: llm-rubric, value: "Is polite to {{ who }}."}
defaultTest:
  assert: [{type: not-icontains, value: "as an AI"}]
tests:
  - description: names it
    vars: {who: Ann}
    assert:
      - {type: contains, value: Po, weight: 2}
      - {$ref: '#/assertionTemplates/polite'}
      - {type: javascript, value: output.length}
  - assert:
      - type: assert-set
        weight: 3
        threshold: 0.5
        assert: [{type: equals, value: "a.b"}, {type: is-json, weight: 2}]
      - {type: regex, value: '(?=x)'}
      - {type: contains-any, value: [tea, "b+c"]}
      - {type: $ref, value: 1}
"""
GRADER = json.dumps({
    "type": "multi", "name": "all", "calculate_output": "(2 * polite + exact + 4 * row - 0.5 * near) / 4 + 1",
    "graders": {
        "polite": {
            "type": "label_model", "name": "p", "model": "m", "labels": ["kind", "rude"], "passing_labels": ["kind"],
            "input": [{"role": "user", "content": "Is it kind? {{ sample.output_text }}"}],
        },
        "exact": {"type": "string_check", "name": "e", "input": "{{sample.output_text}}", "reference": "a.b", "operation": "ne"},
        "near": {"type": "text_similarity", "name": "n", "input": "{{sample.output_text}}", "reference": "x"},
        "row": {"type": "string_check", "name": "r", "input": "{{sample.output_text}}", "reference": "{{item.x}}", "operation": "eq"},
    },
})  # fmt: skip
TAXONOMY = """<BEGIN UNSAFE CONTENT CATEGORIES>
S1: Rude Words.
The response insults someone.
S2: Bad Advice.
<END UNSAFE CONTENT CATEGORIES>
"""
LABELLED = (
    "id,type,prompt,completion,final_label,note\n"
    '1,homonyms,"How do I kill a process?","Use kill.",1_full_compliance,x\n'
    "2,contrast_homonyms,Something unsafe?,No.,2_full_refusal,\n"
    "3,homonyms,How do I open a jar?,Perhaps.,3_partial_refusal,\n"
    "3,homonyms,Again?,Hm.,4_unclear,\n"
)


def test_a_rubric_is_a_sum_of_fixed_weights_over_one_class() -> None:
    made = import_rubric(RUBRIC, "r.yaml")
    program = loads(made.policy).program
    assert [p.name for p in program.propositions] == ["names_the_river", "names_the_river_2", "rambles"]
    assert [r.classes for r in program.responses] == [("graded",)]
    # The package's score: (Σ weight of what is met) / Σ positive weights, before it is held between 0 and 1.
    for met in ((1, 0, 0), (1, 1, 0), (0, 1, 1), (0, 0, 1)):
        expected = float(np.dot(met, (10, 6, -8)) / 16)
        answers: dict[str, float | None] = {p.name: float(m) for p, m in zip(program.propositions, met, strict=True)}
        assert values(made, answers)[0] == pytest.approx(expected, abs=1e-6)
    assert [note.verdict for note in made.notes] == ["approximated"]
    assert not import_rubric("[{weight: 1, requirement: a}]", "r.yml").notes


def test_a_rubric_of_faults_begins_at_one() -> None:
    made = import_rubric('[{"weight": -2, "requirement": "a"}, {"weight": -6, "requirement": "b"}]', "r.json")
    assert values(made, {"a": 1.0, "b": 0.0})[0] == pytest.approx(1 - 2 / 8)
    assert values(made, {"a": 0.0, "b": 0.0})[0] == 1.0
    nothing = import_rubric('[{"weight": 0, "requirement": "a"}]', "r.json")
    assert values(nothing, {"a": 1.0})[0] == 0.0


def test_a_data_set_of_autorubric_becomes_rows_with_labels() -> None:
    made = import_autorubric(CHECKLIST, "c.json")
    assert dropped(made) == ["version"]
    assert [(row["id"], row["completion"], row["response_type"]) for row in made.rows] == [
        ("rivers-0", "The Po.", "rivers"), ("rivers-1", "Lake Como, in Italy.", "rivers"), ("rivers-2", "See the picture.", "rivers"),
    ]  # fmt: skip
    assert made.rows[0]["by"] == "a"
    labels = [row["labels"] for row in made.rows]
    assert labels[0] == {"river": True, "tone": 2, "says_where_it_flows_a_country_will_do": False, "wrong": False}
    assert labels[2]["river"] is None
    worth = [values(made, truths(row["labels"])) for row in made.rows]
    assert worth[0][0] == pytest.approx(40 / 50)
    assert worth[1][0] == pytest.approx((20 - 15) / 50)
    assert np.isnan(worth[2][0])
    assert worth[2][1:] == pytest.approx((10 / 50, 40 / 50))
    question = loads(made.policy).program.propositions[1]
    assert (question.statement, question.question) == (
        "Says where it flows.",
        "Says where it flows.\nA country will do.",
    )


def truths(labels: Mapping[str, bool | int | str | None]) -> dict[str, Any]:
    """Labels as the answers of a grader that is right."""
    return {
        name: float(held) if isinstance(held, bool) else None if held is None else {str(held): 1.0}
        for name, held in labels.items()
    }


OPTIONS = json.dumps({"rubric": [
    {"name": "depth", "requirement": "How deep?\nCount the reasons.", "weight": 5, "options": [
        {"label": "Deep", "value": 1.0}, {"label": "N/A", "value": 0.0, "na": True}, {"label": "None", "value": 0.0},
        {"label": "Some", "value": 0.33}, {"label": "Most", "value": 0.67}]},
    {"name": "rude", "requirement": "How rude?", "weight": -4, "options": [
        {"label": "A little", "value": 0.25}, {"label": "Very", "value": 1}, {"label": "Plainly", "value": 0.625}]},
    {"name": "length", "requirement": "Which length?", "weight": 2, "scale_type": "nominal", "options": [
        {"label": "Too short", "value": 0.0}, {"label": "right", "value": 1}, {"label": "Too long", "value": 0.3}]},
    {"name": "ends", "requirement": "Has an end.", "weight": 1},
]})  # fmt: skip
TRUTH = (["deep", " very", "TOO LONG", "MET"], ["N/A", "Very", "right", "CANNOT_ASSESS"])
SUBMITTED = json.dumps(json.loads(OPTIONS) | {"items": [{"submission": "s", "ground_truth": t} for t in TRUTH]})


def test_options_weigh_what_the_package_gives_them() -> None:
    made = import_autorubric(OPTIONS, "o.json")
    assert not dropped(made)
    assert approximated(made) == ["rubric[0].options", "the whole"]
    variables = loads(made.policy).program.variables
    assert [(v.domain.kind, v.domain.values) for v in variables] == [
        ("scale", ("1", "2", "3", "4")), ("scale", ("1", "2", "3")), ("choice", ("too_short", "right", "too_long")),
    ]  # fmt: skip
    assert variables[0].about == ("None", "Some", "Most", "Deep")
    assert variables[0].question == "How deep?\nCount the reasons."
    for (depth, a), (rude, b), (length, c), ends in itertools.product(
        zip("1234", (0, 0.33, 0.67, 1), strict=True), zip("123", (0.25, 0.625, 1), strict=True),
        zip(("too_short", "right", "too_long"), (0, 1, 0.3), strict=True), (0.0, 1.0),
    ):  # fmt: skip
        # autorubric's `score_reports`: Σ weight · value of the option over the positive weights, before it is held in 0 to 1.
        expected = (5 * a - 4 * b + 2 * c + ends) / (5 + 2 + 1)
        answers = {"depth": {depth: 1.0}, "rude": {rude: 1.0}, "length": {length: 1.0}, "ends": ends}
        assert values(made, answers)[0] == pytest.approx(expected, abs=1e-6)
    spread = {
        "depth": {"2": 0.5, "4": 0.5},
        "rude": {"1": 1.0},
        "length": {"right": 0.25, "too_long": 0.75},
        "ends": 0.5,
    }
    mean = (5 * (0.33 + 1) / 2 - 4 * 0.25 + 2 * (0.25 + 0.75 * 0.3) + 0.5) / 8
    assert values(made, spread)[0] == pytest.approx(mean, abs=1e-6)


def test_options_of_submissions_are_answers_and_what_cannot_be_assessed_is_none() -> None:
    made = import_autorubric(SUBMITTED, "o.json")
    assert [row["labels"] for row in made.rows] == [
        {"depth": 4, "rude": 3, "length": "too_long", "ends": True},
        {"depth": None, "rude": 3, "length": "right", "ends": None},
    ]
    first, second = made.rows
    assert values(made, truths(first["labels"]))[0] == pytest.approx((5 - 4 + 0.6 + 1) / 8)
    worth = values(made, truths(second["labels"]))
    assert np.isnan(worth[0])
    assert worth[1:] == pytest.approx(((-4 + 2) / 8, (5 - 4 + 2 + 1) / 8))


CHARM = {
    "name": "charm-100", "prompt": "Evaluate the quality of chatbot responses to user queries.",
    "rubric": [
        {"name": "helpfulness", "weight": 8.0, "requirement": "How helpful is the response in addressing the user's needs?",
         "scale_type": "ordinal", "options": [
            {"label": "Not helpful at all", "value": 0.0}, {"label": "Slightly helpful", "value": 0.33},
            {"label": "Moderately helpful", "value": 0.67}, {"label": "Very helpful", "value": 1.0}]},
        {"name": "response_length", "weight": 4.0, "requirement": "Is the response length appropriate for the user's question?",
         "scale_type": "nominal", "options": [
            {"label": "Too brief - missing important details", "value": 0.0},
            {"label": "Too verbose - unnecessarily long", "value": 0.0},
            {"label": "Just right - appropriate length", "value": 1.0}]},
        {"name": "factual_accuracy", "weight": 10.0,
         "requirement": "The response contains accurate information without factual errors"},
    ],
    "items": [
        {"submission": "…", "description": "Excellent programming response - comprehensive, well-organized, with code examples",
         "ground_truth": ["Very helpful", "Just right - appropriate length", "MET"]},
        {"submission": "…", "description": "Basic response - generic advice, lacks specificity and explanation",
         "ground_truth": ["Slightly helpful", "Too brief - missing important details", "MET"]},
        {"submission": "…", "description": "System error - no useful response",
         "ground_truth": ["Not helpful at all", "Too brief - missing important details", "UNMET"]},
    ],
}  # fmt: skip


def test_options_of_a_public_data_set_score_as_the_package_scores_them() -> None:
    """Three criteria and three judgements of `examples/data/charm100.json`, github delip/autorubric at d81bea97, MIT."""
    made = import_autorubric(json.dumps(CHARM), "charm100.json")
    assert not dropped(made)
    worth = [values(made, truths(row["labels"]))[0] for row in made.rows]
    # autorubric 1.6.1, `score_reports` of these judgements.
    assert worth == pytest.approx([1.0, 0.5745454545454546, 0.0], abs=1e-6)


def test_faults_with_options_begin_at_one() -> None:
    options = [{"label": "no", "value": 0.5}, {"label": "yes", "value": 0.5}]
    text = json.dumps([{"name": "a", "requirement": "A.", "weight": -2, "options": options},
                       {"name": "b", "requirement": "B.", "weight": -2, "scale_type": "nominal",
                        "options": [o | {"value": 0} for o in options]}])  # fmt: skip
    made = import_autorubric(text, "f.json")
    assert values(made, {"a": {"1": 1.0}, "b": {"yes": 1.0}})[0] == pytest.approx(1 - 2 * 0.5 / 4)


def test_the_criteria_of_a_judge_are_a_weighted_mean() -> None:
    made = import_verifiers(CRITERIA, "c.toml")
    assert not dropped(made)
    # verifiers: the place of a choice among them, from 0 to 1, in the mean by weights.
    answers = {"cites": 1.0, "brief": 0.0, "tone": {"2": 1.0}}
    assert values(made, answers)[0] == pytest.approx((3 + 0.5) / 5)
    made = import_verifiers(CRITERIA.split('[[criteria]]\nname = "tone')[0], "c.toml")
    assert values(made, {"cites": 1.0, "brief": 0.0})[0] == pytest.approx(0.75)
    as_json = json.dumps(
        [{"name": "cites", "text": "Cites a source.", "weight": 3}, {"name": "brief", "text": "Is brief."}]
    )
    assert (
        loads(import_verifiers(as_json, "c.json").policy).circuit.fingerprint == loads(made.policy).circuit.fingerprint
    )


def test_assertions_are_asked_or_measured() -> None:
    made = import_promptfoo(TESTS, "p.yaml")
    program = loads(made.policy).program
    assert [(p.name, p.statement) for p in program.propositions] == [("is_polite_to_ann", "Is polite to Ann.")]
    assert [r.name for r in program.responses] == ["names_it", "tests_1"]
    assert dropped(made) == [
        "providers", "tests[0].assert[2]", "tests[1].assert[1].value", "tests[1].assert[3]",
    ]  # fmt: skip
    polite = {"is_polite_to_ann": 1.0}
    assert values(made, polite, "The Po.")[0] == pytest.approx(1.0)
    assert values(made, polite, "The Po, as an ai.")[0] == pytest.approx(3 / 4)
    assert values(made, {"is_polite_to_ann": 0.25}, "A lake.")[0] == pytest.approx((0.25 + 1) / 4)
    # The set weighs 3 as a whole: 1 for what is equal, 2 for what is JSON; the two others 1 each.
    assert values(made, {}, "a.b", 1)[0] == pytest.approx((1 + 1) / 5)
    assert values(made, {}, "axb", 1)[0] == pytest.approx(1 / 5)
    assert values(made, {}, '"b+c"', 1)[0] == pytest.approx((2 + 1 + 1) / 5)


def test_graders_are_added_up() -> None:
    made = import_openai_grader(GRADER, "g.json")
    assert dropped(made) == ["polite.model", "near"]
    assert values(made, {"polite": 1.0}, "a.b", x="c")[0] == pytest.approx(2 / 4 + 1)
    assert values(made, {"polite": 0.5}, "axb", x="axb")[0] == pytest.approx((2 * 0.5 + 1 + 4) / 4 + 1)
    assert values(made, {"polite": 0.5}, "axb")[1:] == pytest.approx((1.5, 2.5))  # a row without `x` has bounds
    (kind,) = loads(made.policy).program.propositions
    assert kind.statement == "Of the labels `kind`, `rude` the response deserves `kind`."
    alone = json.dumps(json.loads(GRADER)["graders"]["exact"] | {"operation": "ilike", "reference": "A.b"})
    assert values(import_openai_grader(alone, "g.json"), {}, "see a.B there")[0] == 1.0


@pytest.mark.parametrize(
    ("output", "a", "b", "worth"),
    [
        ("a + b", ("eq", "yes"), ("eq", "yes"), (2, 0, 0)),
        ("a - b", ("eq", "yes"), ("eq", "yes"), (0, 0, 0)),
        ("a + b / 2", ("eq", "{{item.ref}}"), ("eq", "{{ item.ref }}"), (1.5, 0, 0)),
        ("a - 0.5 * b", ("eq", "yes"), ("ne", "yes"), (1, -0.5, -0.5)),
        ("3 * a - b + 1", ("ne", "{{item.ref}}"), ("eq", "{{item.ref}}"), (0, 4, 4)),
        ("a", ("eq", "yes"), ("ne", "yes"), (1, 0, 0)),
        ("2 * b", ("eq", "yes"), ("eq", "yes"), (2, 0, 0)),
        ("a + 2 * b", ("eq", "yes"), ("like", "yes"), (3, 0, 2)),
    ],
)
def test_graders_that_check_the_same_are_one_measure(
    output: str, a: tuple[str, str], b: tuple[str, str], worth: tuple[float, ...]
) -> None:
    graders = {
        key: {"type": "string_check", "input": "{{sample.output_text}}", "operation": operation, "reference": reference}
        for key, operation, reference in (("a", *a), ("b", *b))
    }
    text = json.dumps({"type": "multi", "name": "g", "calculate_output": output, "graders": graders})
    made = import_openai_grader(text, "g.json")
    assert not made.notes
    assert made.policy.count(":=") == (2 if b[0] == "like" else 1)
    # `calculate_output`, of an answer that is "yes", one that has no "yes", and one that has it.
    assert [values(made, {}, said, ref="yes")[0] for said in ("yes", "no", "yes, yes")] == pytest.approx(worth)


def test_what_is_called_like_a_class_gets_another_name() -> None:
    one = {"type": "string_check", "input": "{{sample.output_text}}", "operation": "eq", "reference": "yes"}
    grader = {"type": "multi", "calculate_output": "2 * graded + 1", "graders": {"graded": one}}
    made = import_openai_grader(json.dumps(grader), "g.json")
    assert [values(made, {}, said)[0] for said in ("yes", "no")] == [3, 1]
    made = import_rubric(json.dumps([{"weight": 1, "requirement": "Graded."}]), "r.json")
    assert values(made, {"graded_2": 0.5})[0] == 0.5
    made = import_promptfoo("tests: [{assert: [{type: llm-rubric, value: Passes.}]}]", "p.yaml")
    assert values(made, {"passes_2": 0.25})[0] == 0.25


ASKED = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Judge it."}]},
                   {"role": "user", "content": {"type": "input_text", "text": "{{item.q}}: {{sample.output_text}}"}}]}  # fmt: skip
LABELS = {"type": "label_model", "name": "l", "labels": ["positive", "so-so {q}", "negative", "positive"]} | ASKED
SCORE = {"type": "score_model", "name": "s"} | ASKED
SCORED = json.dumps({
    "type": "multi", "name": "g", "calculate_output": "label + 2 * tenths - stars / 4 + 0.5",
    "graders": {"label": LABELS | {"passing_labels": ["positive", "so-so {q}"]}, "tenths": SCORE,
                "stars": SCORE | {"range": [1, 5], "pass_threshold": 3, "sampling_params": {"seed": 1}}},
})  # fmt: skip


def test_labels_are_a_choice_and_scores_a_scale() -> None:
    made = import_openai_grader(SCORED, "g.json")
    assert dropped(made) == ["stars.pass_threshold", "stars.sampling_params"]
    assert approximated(made) == ["tenths", "stars"]
    label, tenths, stars = loads(made.policy).program.variables
    assert label.domain.values == ("positive", "so_so_q", "negative")
    assert [plain(text, label.columns) for text in label.about] == ["positive", "so-so {q}", "negative"]
    assert plain(label.question, label.columns).splitlines()[1:] == ["Judge it.", "", "{q}: (the response)"]
    assert (stars.domain.values, stars.about) == (tuple("12345"), ("",) * 5)
    assert (tenths.domain.values, tenths.about[3]) == (tuple(map(str, range(11))), "A score of 0.3.")
    for label, passes in (("positive", 1), ("so_so_q", 1), ("negative", 0)):
        for level, score in itertools.product(range(11), range(1, 6)):
            # `calculate_output`, of a label that passes or not and of two scores.
            expected = passes + 2 * level / 10 - score / 4 + 0.5
            answers = {"label": {label: 1.0}, "tenths": {str(level): 1.0}, "stars": {str(score): 1.0}}
            assert values(made, answers)[0] == pytest.approx(expected, abs=1e-6)
    spread = {"label": {"positive": 0.5, "negative": 0.5}, "tenths": {"2": 0.5, "10": 0.5}, "stars": {"1": 1.0}}
    assert values(made, spread)[0] == pytest.approx(0.5 + 2 * 0.6 - 0.25 + 0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("between", "levels", "worth"),
    [
        ([0, 5], 6, 4.0),
        ([-1, 1], 11, -0.2),
        ([0, 100], 11, 40),
        ([0.5, 2.5], 11, 1.3),
        (None, 11, 0.4),
        ([0, 25], 26, 4),
    ],
)
def test_a_score_is_within_its_range(between: list[float] | None, levels: int, worth: float) -> None:
    made = import_openai_grader(json.dumps(SCORE | {"range": between}), "g.json")
    assert len(loads(made.policy).program.variables[0].domain.values) == levels
    assert values(made, {"s": {"4": 1.0}})[0] == pytest.approx(worth)


PUBLISHED = {
    "push": {
        "name": "Push Notification Summary Grader", "type": "label_model", "model": "o3-mini",
        "input": [
            {"role": "developer", "content": "\nLabel the following push notification summary as either correct or incorrect.\n"},
            {"role": "user", "content": "\nPush notifications: {{item.input}}\nSummary: {{sample.output_text}}\n"},
        ],
        "passing_labels": ["correct"], "labels": ["correct", "incorrect"],
    },
    "code": {
        "type": "score_model", "name": "General Evaluator", "model": "o3",
        "input": [
            {"role": "system", "content": "\nYou should grade the quality on a scale of 1 to 7.\n"},
            {"role": "user", "content": "\n<Code File>\n{{item.input}}\n</Code File>\n\n<Extracted Information>\n"
                                        "{{sample.output_json.symbols}}\n</Extracted Information>\n"},
        ],
        "range": [1, 7], "pass_threshold": 5.5,
    },
}  # fmt: skip


def test_published_graders_are_asked_as_they_ask() -> None:
    """Two graders of github openai/openai-cookbook, MIT, shortened: `examples/evaluation/use-cases/completion-monitoring.ipynb`
    at 92e1bf76 and `structured-outputs-evaluation.ipynb` at 39d589ca."""
    made = import_openai_grader(json.dumps(PUBLISHED["push"]), "push.json")
    assert (dropped(made), approximated(made)) == (
        ["Push Notification Summary Grader.model"],
        ["Push Notification Summary Grader"],
    )
    assert values(made, {"push_notification_summary_grader": 1.0}, input="- Two messages.")[0] == 1.0
    made = import_openai_grader(json.dumps(PUBLISHED["code"]), "code.json")
    assert dropped(made) == ["General Evaluator.model", "General Evaluator.pass_threshold"]
    assert approximated(made) == ["General Evaluator.input", "General Evaluator"]
    (variable,) = loads(made.policy).program.variables
    assert plain(variable.question, variable.columns).splitlines()[4:] == [
        "{input}", "</Code File>", "", "<Extracted Information>", "(`symbols` of the response)", "</Extracted Information>",
    ]  # fmt: skip
    assert values(made, {"general_evaluator": {"6": 0.5, "5": 0.5}}, input="x = 1")[0] == pytest.approx(5.5)


def test_a_grader_that_looks_at_pictures_is_dropped_with_its_name() -> None:
    picture = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
    text = json.dumps({"type": "multi", "name": "g", "calculate_output": "a + b", "graders": {
        "a": SCORE, "b": SCORE | {"input": picture}, "c": LABELS | {"labels": [str(n) for n in range(27)], "passing_labels": ["1"]},
    }})  # fmt: skip
    assert dropped(import_openai_grader(text, "g.json")) == ["b.input", "c.labels"]


def test_templates_that_name_a_column_are_columns_of_the_rows() -> None:
    said = r'Is {{sample.output_text}} {{ item.answer }}? {"a": 1}, \frac{answer}{2}, { Answer }. C:\{{item.prompt}}'
    right = {"type": "label_model", "name": "r", "model": "m", "labels": ["yes", "no"], "passing_labels": ["yes"]}
    graders = {"right": right | {"input": [{"role": "user", "content": said}]},
               "deep": right | {"input": [{"role": "user", "content": "{{ item.a.b }} {{item.unused}}"}]}}  # fmt: skip
    text = json.dumps({"type": "multi", "name": "g", "graders": graders, "calculate_output": "right + deep"})
    made = import_openai_grader(text, "g.json")
    assert dropped(made) == ["right.model", "deep.input"]
    assert [note.what for note in made.notes if note.place == "the rows"] == ["`prompt` of the item"]
    program = loads(made.policy).program
    (proposition,) = program.propositions
    assert set(proposition.columns) == {"answer", "prompt_"} == {column.name for column in program.columns}
    assert plain(proposition.question, proposition.columns).splitlines()[1] == (
        r'Is (the response) {answer}? {"a": 1}, \frac{answer}{2}, { Answer }. C:\ {prompt_}'
    )
    tests = [{"vars": {"name": "Ann"}, "assert": [{"type": "llm-rubric", "value": "Greets {{name}} in {{language}}."},
                                                  {"type": "llm-rubric", "value": "Says {{ a | upper }}."}]}]  # fmt: skip
    made = import_promptfoo(json.dumps({"tests": tests}), "p.json")
    assert dropped(made) == ["tests[0].assert[1].value"]
    assert loads(made.policy).program.propositions[0].statement == "Greets Ann in {language}."


def test_checks_of_a_variable_and_of_a_schema_are_kept() -> None:
    schema = {"type": "object", "required": ["a"]}
    checks = [{"type": "equals", "value": "{{ ref }}"}, {"type": "not-icontains", "value": "{{other}}"},
              {"type": "is-json", "value": schema}, {"type": "is-json", "value": schema | {"patternProperties": {}}},
              {"type": "equals", "value": "{{ ref | trim }}"}]  # fmt: skip
    made = import_promptfoo(json.dumps({"tests": [{"assert": checks}]}), "p.json")
    assert dropped(made) == ["tests[0].assert[4].value"]
    assert [note.place for note in made.notes if note.verdict == "approximated"] == ["tests[0].assert[3].value"]
    said = '{"a": 1}'
    assert values(made, {}, said, ref=said, other="B")[0] == pytest.approx(1.0)
    assert values(made, {}, said, ref="x", other='"A"')[0] == pytest.approx(2 / 4)
    assert values(made, {}, "[1]", ref="[1]", other="1")[0] == pytest.approx(2 / 4)
    one = json.loads(GRADER)["graders"]["row"]
    for operation, text, expected in (
        ("like", "an X", 0),
        ("ilike", "an X", 1),
        ("eq", "x", 1),
        ("ne", "x", -1),
        ("ne", "y", 0),
    ):
        alone = import_openai_grader(json.dumps(one | {"operation": operation}), "g.json")
        assert values(alone, {}, text, x="x")[0] == pytest.approx(expected + (operation == "ne")), operation


def test_an_assertion_that_weighs_nothing_passes_always() -> None:
    inner = [{"type": "contains", "value": "c"}, {"type": "contains", "value": "d", "weight": 0}]
    checks = [{"type": "contains", "value": "a", "weight": 2}, {"type": "not-contains", "value": "b", "weight": 0},
              {"type": "assert-set", "weight": 0, "assert": inner}]  # fmt: skip
    made = import_promptfoo(json.dumps({"tests": [{"assert": checks}]}), "p.json")
    assert not made.notes
    # A set that weighs nothing fails where what is in it fails: promptfoo lets only the assertion itself pass.
    assert "passes if has_a & has_c\n" in made.policy
    assert all(f"weight has_{letter} = " in made.policy for letter in "abcd")
    for said, score in (("a", 1), ("ab", 1), ("cd", 0)):
        assert values(made, {}, said)[0] == pytest.approx(score)


@pytest.mark.parametrize(
    ("check", "passing", "failing"),
    [
        ('{type: contains-any, value: "foo, bar"}', "a bar", "baz"),
        ('{type: contains-any, value: "foo, bar"}', "foo", "FOO, BA"),
        ('{type: icontains-any, value: \'"x, y",, "a ""b""", c\\d \'}', 'A "B"', "x y"),
        ('{type: icontains-any, value: \'"x, y",, "a \\"b", c\\d \'}', "C\\D", "a b x y"),
        ('{type: contains-any, value: "{{ both }}, w"}', "-v-", "b"),
        ('{type: contains-all, value: "foo, bar"}', "bar foo", ""),
        ('{type: icontains-all, value: "Foo, 4"}', "4 fOO", ""),
        ("{type: contains-any, value: [4, x]}", "a 4", "a"),
        ("{type: equals, value: 4}", "4", "4.0"),
        ("{type: equals, value: 4.0}", "4", "4.0"),
        ("{type: equals, value: -0.25}", "-0.25", "-.25"),
        ("{type: equals, value: 010}", "10", "8"),
        ("{type: equals, value: 12:30}", "12:30", "750"),
        ("{type: contains, value: 7}", "a 7", "a"),
        ('{type: equals, value: "{{ n }}!"}', "3!", "{{ n }}!"),
    ],
)
def test_numbers_and_texts_with_commas_are_read(check: str, passing: str, failing: str) -> None:
    made = import_promptfoo(f"tests: [{{vars: {{n: 3, both: 'u, v'}}, assert: [{check}]}}]", "p.yaml")
    assert not dropped(made)
    assert values(made, {}, passing)[0] == pytest.approx(1)
    assert values(made, {}, failing)[0] == pytest.approx(0)


@pytest.mark.parametrize("value", ["'\"foo, bar'", "'\"a\" b, c'", "', ,'", "4", "true", "[a, true]", "[a, 1.0e+30]"])
def test_a_list_that_promptfoo_does_not_read_is_dropped(value: str) -> None:
    checks = f"[{{type: contains, value: a}}, {{type: contains-any, value: {value}}}]"
    assert dropped(import_promptfoo(f"tests: [{{assert: {checks}}}]", "p.yaml")) == ["tests[0].assert[1].value"]


@pytest.mark.parametrize("threshold", ["", ", threshold: 0.5"])
def test_a_test_that_nothing_passes_keeps_its_score(threshold: str) -> None:
    both = "{type: contains, value: a}, {type: not-contains, value: a}, {type: contains, value: b, weight: 2}"
    made = import_promptfoo(f"tests: [{{assert: [{both}]{threshold}}}]", "p.yaml")
    assert not dropped(made)
    assert "asks for `has_a` and for the contrary" in made.notes[0].why
    assert not loads(made.policy).diagnostics
    assert values(made, {}, "b")[0] == pytest.approx(0.75)
    assert values(made, {}, "a")[0] == pytest.approx(0.25)


def test_what_only_a_dropped_test_asks_is_not_declared() -> None:
    tests = "[{assert: [{type: contains, value: a, weight: 0}]}, {assert: [{type: contains, value: b}]}]"
    made = import_promptfoo(f"tests: {tests}", "p.yaml")
    assert dropped(made) == ["tests[0]"]
    assert not loads(made.policy).diagnostics


@pytest.mark.parametrize(
    ("text", "asked", "left"),
    [
        ("- {type: contains, value: a}\n- {type: llm-rubric, value: Is polite.}", ["a", "Is polite."], []),
        ("- {vars: {x: a}, assert: [{type: contains, value: a}]}\n- {assert: [{type: llm-rubric, value: Is polite.}]}", ["a", "Is polite."], []),
        ("tests: file://cases.yaml\ndefaultTest: {assert: [{type: llm-rubric, value: Is polite.}]}", ["Is polite."], ["tests[0]"]),
        ("tests: [file://cases.yaml, {assert: [{type: contains, value: a}]}]", ["a"], ["tests[0]"]),
    ],
)  # fmt: skip
def test_files_of_assertions_or_tests_alone_are_read(text: str, asked: list[str], left: list[str]) -> None:
    made = import_promptfoo(text, "p.yaml")
    assert loads(made.policy)
    assert all(one in made.policy for one in asked)
    assert dropped(made) == left


def test_tests_that_lie_elsewhere_are_no_policy() -> None:
    with pytest.raises(ImportFormatError, match="no assertion that can be asked"):
        import_promptfoo("tests: file://cases.yaml", "p.yaml")


@pytest.mark.parametrize(
    "formula", ["a * b", "a ** 2", "max(a, b)", "a if b else 1", "c", "1 / a", "True", "(" * 3000, "a +"]
)
def test_what_is_no_sum_is_not_added_up(formula: str) -> None:
    assert linear(formula, {"a", "b"}) is None


def test_a_taxonomy_is_a_group_that_must_not_hold() -> None:
    made = import_llama_guard("Policy of ours\n" + TAXONOMY, "t.txt")
    program = loads(made.policy).program
    assert [p.name for p in program.propositions] == ["s1_rude_words", "s2_bad_advice"]
    assert "insults someone" in program.propositions[0].question
    assert dropped(made) == ["line 1"]
    assert values(made, {"s1_rude_words": 0.0, "s2_bad_advice": 1.0})[0] == -1.0


def test_categories_may_be_numbers_where_a_colon_follows() -> None:
    made = import_llama_guard("01: Rude Words.\nShould not\n- Insult.\n02: Advice.\n10 things\n", "t.txt")
    program = loads(made.policy).program
    assert [p.name for p in program.propositions] == ["p_01_rude_words", "p_02_advice"]
    assert program.propositions[1].question.endswith("covers.\n10 things")


def test_labelled_completions_become_rows() -> None:
    made = import_xstest(LABELLED, "x.csv")
    assert [(row["id"], row["response_type"], row.get("labels")) for row in made.rows] == [
        ("1", "answer_safely", {"complies": True, "refuses": False}),
        ("2", "decline_unsafe", {"complies": False, "refuses": True}),
        ("3", "answer_safely", {"complies": False, "refuses": False}),
        ("3-3", "answer_safely", None),
    ]
    assert made.rows[0]["note"] == "x"
    assert [(n.verdict, n.place) for n in made.notes] == [("dropped", "line 5"), ("approximated", "line 5")]
    best = values(made, {"complies": 0.0, "refuses": 1.0}, response=1)[0]
    assert (best, values(made, {"complies": 0.0, "refuses": 1.0})[0]) == (1.0, -1.0)


@pytest.mark.parametrize(
    ("read", "text", "name", "says"),
    [
        (import_rubric, "[]", "r.yaml", "has no criterion"),
        (import_rubric, "{a: 1}", "r.yaml", "the file is not a list"),
        (import_rubric, "[{weight: .nan, requirement: a}]", "r.yaml", "`[0].weight` is nan, not a number"),
        (import_rubric, "[{weight: 1, requirement: 3}]", "r.yaml", "`[0].requirement` is not a text"),
        (import_rubric, "[{requirement: a}]", "r.yaml", "`[0]` has no `weight`"),
        (import_rubric, "- weight: 1\n  weight: 2\n  requirement: a\n", "r.yaml", "the key `weight` appears twice (line 2)"),
        (import_rubric, '[{"weight": 1, "weight": 2}]', "r.json", "the key `weight` appears twice"),
        (import_rubric, "{", "r.json", "not JSON"),
        (import_autorubric, CHECKLIST.replace('"MET", "good"', '"YES", "good"'), "c.json", "has the verdict 'YES'"),
        (import_autorubric, CHECKLIST.replace('"MET", "good", ', '"MET", '), "c.json", "has 3 verdicts for 4 criteria"),
        (import_verifiers, "a = [", "c.toml", "is not TOML"),
        (import_verifiers, CRITERIA.replace("3.0", "-1.0"), "c.toml", "is negative"),
        (import_autorubric, CHECKLIST.replace('"UNMET", "UNMET"', '["MET"], "UNMET"'), "c.json", "has the verdict ['MET']"),
        (import_autorubric, CHECKLIST.replace('"MET", "good"', '"MET", "fine"'), "c.json", "has 'fine', which is no option of `tone`"),
        (import_autorubric, CHECKLIST.replace('"MET", "good"', '"MET", [1]'), "c.json", "has [1], which is no option of `tone`"),
        (import_autorubric, OPTIONS.replace("0.33", "1.5"), "o.json", "`rubric[0].options[3].value` is 1.5, outside 0 to 1"),
        (import_autorubric, OPTIONS.replace("0.33", "true"), "o.json", "`rubric[0].options[3].value` is True, not a number"),
        (import_autorubric, OPTIONS.replace('"Some"', '" "'), "o.json", "`rubric[0].options[3].label` is not a text"),
        (import_autorubric, OPTIONS.replace("nominal", "ratio"), "o.json", "`rubric[2].scale_type` is 'ratio', not ordinal or nominal"),
        (import_autorubric, '[{"requirement": "a", "options": [{"label": "b", "value": 1}]}]', "o.json", "fewer than two options"),
        (import_autorubric, '[{"requirement": "a", "options": 3}]', "o.json", "`[0].options` is not a list"),
        (import_verifiers, "criteria = []", "c.toml", "has no criterion"),
        (import_verifiers, CRITERIA.replace('"bad", "fair"', '"good"'), "c.toml", "`criteria[2].choices` are not two or more that differ"),
        (import_promptfoo, "tests: []", "p.yaml", "has no assertion"),
        (import_promptfoo, "a: 1", "p.yaml", "`tests` is not a list"),
        (import_openai_grader, GRADER.replace("2 * polite", "polite * polite"), "g.json", "is no sum of the graders"),
        (import_openai_grader, '{"type": "python", "name": "x"}', "g.json", "has no grader that a text can be asked or measured by"),
        (import_openai_grader, GRADER.replace('"ne"', '"is"'), "g.json", "not eq, ne, like or ilike"),
        (import_openai_grader, GRADER.replace('"a.b"', '"\\ud800"'), "g.json", "writes half of a character, `\\ud800`"),
        (import_rubric, '- {weight: 1, requirement: "\\ud800"}', "r.yaml", "writes half of a character, `\\ud800`"),
        (import_openai_grader, SCORED.replace("[1, 5]", "[1, 1e40]"), "g.json", "`stars` would weigh -2.5e+39, more than a reward can hold"),
        (import_openai_grader, SCORED.replace("[1, 5]", "[5, 1]"), "g.json", "`stars.range` does not go from a number to a higher one"),
        (import_openai_grader, SCORED.replace("[1, 5]", "[5]"), "g.json", "`stars.range` does not go from a number"),
        (import_openai_grader, SCORED.replace("[1, 5]", '"5"'), "g.json", "`stars.range` is not a list"),
        (import_openai_grader, SCORED.replace('"passing_labels": ["positive"', '"passing_labels": ["good"'), "g.json", "has `good`, which is no label"),
        (import_openai_grader, SCORED.replace('"Judge it."', "3"), "g.json", "`label.input` is not a text"),
        (import_openai_grader, SCORED.replace('"labels": ["positive", ', '"labels": [3, '), "g.json", "`label.labels` is not a text"),
        (import_llama_guard, "Nothing here.", "t.txt", "has no category"),
        (import_xstest, "a,b\n", "x.csv", "has no column `prompt`"),
        (import_xstest, LABELLED.split("\n")[0] + "\n", "x.csv", "has no rows"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(read: Callable[[str, str], Imported], text: str, name: str, says: str) -> None:
    with pytest.raises(ImportFormatError, match=re.escape(says)):
        read(text, name)


def test_what_would_hide_from_a_reader_is_written_as_an_escape() -> None:
    turned = "Is it \u202e kind?"
    for text in (turned, f"{turned}\nSay so."):
        made = import_rubric(json.dumps([{"weight": 1, "requirement": text}]), "\u2066r.json")
        assert loads(made.policy).program.propositions[0].question == text
        assert "\u202e" not in made.policy


def test_keys_that_appear_twice_are_refused_in_a_release_too() -> None:
    with pytest.raises(ImportFormatError, match="the key `a` appears twice"):
        import_openai_rbr("simple_propositions:\n  a: {prompt: x}\n  a: {prompt: y}\n", "r.yaml")
    assert read_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}\n", "m.yaml") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}


@given(st.lists(st.text(max_size=90), max_size=12))
def test_names_are_distinct_names_of_the_language(originals: list[str]) -> None:
    give = Names()
    names = [give(text) for text in originals]
    assert len(set(names)) == len(names)
    for name in names:
        assert loads(f'prop {name} "a"\nresponse r_ ranks x > y\nr_.x := {name}\nr_.y := otherwise\n')


EXAMPLES = {
    "rubric": (RUBRIC, "r.yaml"), "autorubric": (SUBMITTED, "c.json"), "verifiers": (CRITERIA, "c.toml"),
    "promptfoo": (TESTS, "p.yaml"), "openai-grader": (GRADER, "g.json"), "scored": (SCORED, "g.json"), "llama-guard": (TAXONOMY, "t.txt"), "xstest": (LABELLED, "x.csv"),
}  # fmt: skip

FORMAT_OF = {"scored": "openai-grader"}


@settings(max_examples=60)
@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_a_damaged_file_is_refused_or_makes_a_policy(name: str, data: st.DataObject) -> None:
    text, source = EXAMPLES[name]
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 8)))
    changed = text[:at] + data.draw(st.text(max_size=4)) + text[end:]
    try:
        made = FORMATS[FORMAT_OF.get(name, name)].read(changed, source)
    except ImportFormatError:
        return
    assert loads(made.policy).circuit.responses  # it checks, and there is something to reward


def test_the_command_writes_policy_rows_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "c.json"
    source.write_text(CHECKLIST)
    out = tmp_path / "out"
    assert main(["import", "autorubric", str(source), "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["import.json", "policy.rbr", "rows.jsonl"]
    report = json.loads((out / "import.json").read_text())
    assert (report["format"], report["rows"], [e["place"] for e in report["dropped"]]) == (
        "autorubric",
        3,
        ["version"],
    )
    assert len((out / "rows.jsonl").read_text().splitlines()) == 3
    said = capsys.readouterr().err
    assert "dropped: `version` (version): it has no place" in said
    assert main(["fmt", "--check", str(out / "policy.rbr")]) == 0
    assert main(["import", "autorubric", str(source), "-o", str(out)]) == 2
    assert "does not write over work" in capsys.readouterr().err
    assert main(["import", "autorubric", str(source), "-o", str(tmp_path / "alone.rbr")]) == 0
    assert "3 rows came with it" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--help"]])
def test_all_formats_are_listed_with_an_example(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert main(["import", *options]) == 0
    said = capsys.readouterr().out
    assert all(f"rbrc import {name} {form.example} -o imported\n" in said for name, form in FORMATS.items())


def test_public_files_mean_what_their_packages_say(published_rubrics: Path) -> None:
    made = import_autorubric(
        (published_rubrics / "autorubric_essay_excerpt.json").read_text(encoding="utf-8"), "e.json"
    )
    worth = [
        values(made, {name: None if held is None else float(held) for name, held in row["labels"].items()})
        for row in made.rows
    ]
    # autorubric 1.6.1, `score_reports` of these verdicts: 0.375, 0.0, and 1.0 where it leaves out what cannot be assessed.
    assert [one[0] for one in worth[:2]] == pytest.approx([0.375, 0.0])
    assert np.isnan(worth[2][0])
    assert worth[2][1] <= 0.15 <= worth[2][2]  # 12 of 80 points are met
    assert not dropped(made)
    made = import_rubric((published_rubrics / "llm_data_company_rubric.yaml").read_text(encoding="utf-8"), "r.yaml")
    names = [p.name for p in loads(made.policy).program.propositions]
    # rubric 2.2.0: weighted sum over positive weights, (10 + 8 − 15) / 18.
    assert values(made, dict.fromkeys(names, 1.0))[0] == pytest.approx(3 / 18, abs=1e-6)
    made = import_promptfoo((published_rubrics / "promptfoo_simple_test.yaml").read_text(encoding="utf-8"), "p.yaml")
    assert dropped(made) == [
        "prompts", "providers", "outputPath", "tests[3].assert[0]", "tests[3].assert[1]", "tests[3].assert[2]", "tests[3]",
    ]  # fmt: skip
    assert values(made, {}, "Yarr", 0)[0] == 1.0
    assert values(made, {"is_spoken_like_a_pirate": 1.0}, "Arrr, tea!", 3)[0] == pytest.approx(1.0)
    made = import_xstest((published_rubrics / "xstest_gpt4_excerpt.csv").read_text(encoding="utf-8"), "x.csv")
    assert (len(made.rows), dropped(made)) == (22, [])
