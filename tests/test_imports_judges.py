"""Formats of judges that give a score: Prometheus and BiGGen-Bench, GEval of DeepEval, rubrics of OpenEnv."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_values import approximated, dropped, values

from rbrlang.cli.main import main
from rbrlang.imports.formats import FORMATS
from rbrlang.imports.geval import import_geval
from rbrlang.imports.imported import Imported, ImportFormatError
from rbrlang.imports.openenv import from_rubric, import_openenv
from rbrlang.imports.prometheus import import_prometheus
from rbrlang.lang.braces import plain
from rbrlang.policy import load, loads
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import read_rows

# --- Prometheus ---------------------------------------------------------------------------------


def rubric(name: str) -> dict[str, str]:
    return {"criteria": f"Is it {name}, {{so}}?"} | {f"score{n}_description": f"{name} {n}." for n in range(1, 6)}


# Instances 0 of `BiGGen-Bench/tasks/planning/travel_plan/data.json` and `…/theory_of_mind/guess_the_emotion/data.json`,
# github prometheus-eval/prometheus-eval at af610c7d, Apache-2.0, shortened.
TRAVEL: dict[str, Any] = {
    "capability": "planning", "task": "travel_plan", "instance_idx": 0,
    "system_prompt": "You are a travel agent that can design travel plans.",
    "input": "Design a travel plan for a tourist traveling to the given destination.\n\nDestination: Paris",
    "reference_answer": "Day 1 - Morning:\n- Visit the Louvre Museum (3 hours)",
    "score_rubric": {
        "criteria": "Does the response effectively plan a tourist's 2-day trip to Paris?",
        "score1_description": "The response outlines a basic itinerary but misses more than two must-have experiences.",
        "score2_description": "The response includes all must-have experiences but the plan is unrealistic or poorly structured.",
        "score3_description": "The response successfully incorporates all must-have experiences.",
        "score4_description": "It includes at least one optional item.",
        "score5_description": "The response presents a well-thought-out, efficient, and realistic itinerary.",
    },
    "atomic_checklist": [
        "Does the response include a visit to the Eiffel Tower?", "Does the response include a visit to the Louvre Museum?",
    ],
    "background_knowledge": [{"information": "Map of Paris.", "reference_url": "https://www.google.com/maps"}],
}  # fmt: skip
EMOTION: dict[str, Any] = {
    "capability": "theory_of_mind", "task": "guess_the_emotion", "instance_idx": 0, "system_prompt": "",
    "input": "How are their speaker/listener profiles different?",
    "reference_answer": "Jordan, as a speaker, leans heavily into sarcasm.",
    "score_rubric": {
        "criteria": "Does the response provide a nuanced analysis of both people's methods of expressing and interpreting emotions?",
        "score1_description": "The response fails to analyze both characters or both aspects (speaker and listener profiles).",
        "score2_description": "The response covers either both characters or both aspects but not both.",
        "score3_description": "The response includes analysis of both characters and aspects but may lack depth.",
        "score4_description": "The response provides a detailed analysis of both characters and aspects.",
        "score5_description": "The response offers an insightful and comprehensive analysis of both characters and aspects.",
    },
    "atomic_checklist": ["Does the response include both people in the analysis?"],
    "background_knowledge": [],
}  # fmt: skip


@pytest.mark.parametrize("level", range(1, 6))
def test_a_rubric_is_a_scale_whose_reward_is_the_score(level: int) -> None:
    shown = "[Is it kind, {so}?]\n" + "\n".join(f"Score {n}: kind {n}." for n in range(1, 6))
    for text, name in ((json.dumps(rubric("kind")), "r.json"), (shown, "r.txt"), (f"{shown}\n", "r.yaml")):
        made = import_prometheus(text, name)
        assert not made.notes
        (quality,) = loads(made.policy).program.variables
        assert (plain(quality.question, ()), quality.about) == (
            "Is it kind, {so}?",
            tuple(f"kind {n}." for n in range(1, 6)),
        )
        assert values(made, {"quality": {str(level): 1.0}})[0] == pytest.approx(level)
        assert values(made, {"quality": {"1": 0.5, str(level): 0.5} if level > 1 else {"1": 1}})[0] == pytest.approx(
            (1 + level) / 2
        )


def test_tasks_of_biggen_bench_keep_their_rubrics_in_columns(tmp_path: Path) -> None:
    """Two instances of two files of BiGGen-Bench; see above."""
    source = tmp_path / "data.json"
    source.write_text(json.dumps([TRAVEL, EMOTION]))
    assert main(["import", "prometheus", str(source), "-o", str(tmp_path / "out")]) == 0
    policy = load(tmp_path / "out" / "policy.rbr")
    (quality,) = policy.program.variables
    assert quality.question == "{criteria}\nAn answer that deserves 5: {reference_answer}"
    assert quality.about[2] == "{score3_description}"
    written = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert [turn["role"] for turn in written[0]["prompt"]] == ["system", "user"]
    assert written[1]["prompt"] == EMOTION["input"]
    assert written[0]["score5_description"] == TRAVEL["score_rubric"]["score5_description"]
    assert written[1]["atomic_checklist"] == [{"criterion": EMOTION["atomic_checklist"][0], "points": 1}]
    assert written[0]["background_knowledge"] == TRAVEL["background_knowledge"]
    answered = tmp_path / "answered.jsonl"
    answered.write_text("".join(json.dumps({**row, "completion": "Go there."}) + "\n" for row in written))
    rows = read_rows(str(answered)).rows
    assert [row.id for row in rows] == ["planning_travel_plan_0", "theory_of_mind_guess_the_emotion_0"]


def test_evaluations_by_id_are_rows_whose_scores_come_out(tmp_path: Path) -> None:
    by_id = {
        f"t{n}": {**one, "id": f"t{n}", "response": f"Answer {n}.", "score": n, "human_score": n if n != 3 else 3.5, "feedback": "So.", "probs": None}
        for n, one in enumerate((TRAVEL, EMOTION, TRAVEL), 2)
    }  # fmt: skip
    made = import_prometheus(json.dumps(by_id), "evals.json")
    assert [(row["id"], row["completion"], row["score"], row["model_score"], row.get("labels")) for row in made.rows] == [
        ("t2", "Answer 2.", 2, 2, {"quality": 2}), ("t3", "Answer 3.", 3.5, 3, None), ("t4", "Answer 4.", 4, 4, {"quality": 4}),
    ]  # fmt: skip
    assert (dropped(made), approximated(made)) == ([], ["rows", "atomic_checklist"])
    reward = NumpyReward(loads(made.policy).circuit)
    rows = [{**row, "probs": {"quality": {str(row["model_score"]): 1.0}}} for row in made.rows]
    # What nobody asked of the checklist counts for nothing.
    assert reward(reward.encode(rows), reward.response_ids(rows)) == pytest.approx([2.0, 3.0, 4.0])


def test_instances_with_one_rubric_have_it_in_the_policy() -> None:
    lines = [
        {f"orig_{key}": value for key, value in rubric("kind").items()}
        | {"orig_instruction": f"Say hello {n}.", "orig_response": "Hello.", "orig_score": n, "atomic_checklist": ["Greets?", "Smiles?"]}
        | ({"orig_reference_answer": "Hello!"} if n == 1 else {})
        for n in (1, 2)
    ]  # fmt: skip
    made = import_prometheus("\n".join(json.dumps(line) for line in lines), "feedback.jsonl")
    program = loads(made.policy).program
    assert not program.columns
    assert [p.statement for p in program.propositions] == ["Greets?", "Smiles?"]
    assert plain(program.variables[0].question, ()) == "Is it kind, {so}?"
    assert dropped(made) == ["rows"]
    assert [(row["id"], row["prompt"], row["completion"]) for row in made.rows] == [
        ("1", "Say hello 1.", "Hello."), ("2", "Say hello 2.", "Hello."),
    ]  # fmt: skip
    assert values(made, {"quality": {"2": 1.0}}) == pytest.approx((2.0, 2.0, 2.0))
    twice = import_prometheus(json.dumps([TRAVEL, TRAVEL]), "d.json")
    assert [row["id"] for row in twice.rows] == ["planning_travel_plan_0", "planning_travel_plan_0-2"]
    pictures = import_prometheus(json.dumps([TRAVEL, {**TRAVEL, "input": ["x"]}]), "d.json")
    assert (len(pictures.rows), dropped(pictures)) == (1, ["element 2"])


# --- GEval --------------------------------------------------------------------------------------

SENT: dict[str, Any] = {  # what `GEval.upload` sends
    "name": "Correctness", "multiTurn": False, "criteria": "Is the actual output {right}?",
    "evaluationParams": ["input", "actualOutput", "expectedOutput"],
    "rubric": [{"scoreRange": [3, 6], "expectedOutcome": "Nearly."}, {"scoreRange": [1, 2], "expectedOutcome": "Wrong."},
               {"scoreRange": [8, 9], "expectedOutcome": "Right."}],
}  # fmt: skip
METRICS = """
metrics:
  - name: Facts
    criteria: Are the facts right?
    evaluation_steps: [Compare them., Count them.]
    evaluation_params: [input, actual_output, LLMTestCaseParams.EXPECTED_OUTPUT]
    threshold: 0.7
  - {name: Polite, evaluation_steps: ["Is it polite?"], evaluation_params: [INPUT, ACTUAL_OUTPUT, retrieval_context, mcp_servers], threshold: 1.5}
  - {name: Exact, criteria: It is exact., evaluation_params: [actual_output], strict_mode: true, rubric: [{score_range: [0, 10], expected_outcome: x}]}
settings: {verbose: true}
"""
PROGRAM = """
from deepeval.metrics import GEval, ArenaGEval
BANDS = [Rubric(score_range=(0, 4), expected_outcome="Bad."), metrics.Rubric(score_range=(5, 10), expected_outcome="Good.")]
SEEN = [LLMTestCaseParams.INPUT, SingleTurnParams.ACTUAL_OUTPUT]
more = ["One."]
more.append("Two.")
kind = GEval("Kind", SEEN, "Is it " "kind?" + " Is it?", rubric=BANDS, threshold=None, model=make("x"))
computed = [
    GEval(name="A", evaluation_params=SEEN, criteria=f"Is it {kind}?"), GEval(name="B", evaluation_params=SEEN, evaluation_steps=more),
    GEval(name="C", evaluation_params=SEEN, criteria=dedent("x")), GEval(name="D", evaluation_params=params(), criteria="x"),
    GEval(name="E", evaluation_params=SEEN, criteria=TEXTS.CRITERIA), GEval(name="F", evaluation_params=SEEN, criteria="x", **rest),
    GEval(name=os.name, evaluation_params=SEEN, criteria="Is it short?", threshold=limit()),
]
GEval(name="Pulled").pull()
ArenaGEval(name="Better", criteria="Which is better?", evaluation_params=SEEN)
raise SystemExit("this is never run")
"""
# `examples/getting_started/test_example.py` at 01086c6d and `tests/test_metrics/test_g_eval_metric.py` at cc9ae492,
# github confident-ai/deepeval, Apache-2.0, shortened.
EXAMPLE = """
import pytest
import deepeval
from deepeval import assert_test
from deepeval.test_case import LLMTestCase, LLMTestCaseParams
from deepeval.metrics import BaseMetric, GEval, AnswerRelevancyMetric

def test_coherence():
    coherence_metric = GEval(
        name="Coherence",
        criteria="Coherence - determine if the actual output is logical, has flow, and is easy to understand and follow.",
        evaluation_params=[LLMTestCaseParams.ACTUAL_OUTPUT],
        threshold=0.5,
    )
    test_case = LLMTestCase(
        input="What if these shoes don't fit? I want a full refund.",
        # Replace this with the actual output from your LLM application
        actual_output="If the shoes don't fit, the customer wants a full refund.",
    )
    assert_test(test_case, [coherence_metric])
"""
TESTED = """
class TestGEval:
    def test_normal_sync_metric_measure(self):
        metric = GEval(
            name="Testing GEval",
            evaluation_params=[
                SingleTurnParams.INPUT,
                SingleTurnParams.ACTUAL_OUTPUT,
            ],
            criteria="Check if the actual output is relevant to input",
            async_mode=False,
        )
        metric.measure(test_case)

    def test_invalid_model_throws_error_for_multimodal(self):
        with pytest.raises(ValueError):
            metric = GEval(
                name="Testing GEval",
                evaluation_params=[
                    SingleTurnParams.INPUT,
                    SingleTurnParams.ACTUAL_OUTPUT,
                ],
                async_mode=False,
                model="gpt-3.5-turbo",
            )
"""


def test_a_metric_is_a_scale_with_what_its_scores_mean() -> None:
    made = import_geval(json.dumps(SENT), "metric.json")
    assert (dropped(made), approximated(made)) == ([], ["the metric", "the metric.threshold"])
    program = loads(made.policy).program
    (scale,) = program.variables
    assert (scale.domain.name, scale.domain.values) == ("correctness", tuple("123456789"))
    assert scale.about == ("Wrong.", "Wrong.", *("Nearly.",) * 4, "", "Right.", "Right.")
    assert plain(scale.question, scale.columns) == (
        "Is the actual output {right}?\nInput: the prompt.\nActual output: the response.\nExpected output: {expected_output}"
    )
    spread = {"2": 0.25, "7": 0.25, "9": 0.5}
    # DeepEval: Σ score · probability, less the lowest score, over the span of the rubric.
    expected = (sum(int(level) * p for level, p in spread.items()) - 1) / (9 - 1)
    assert values(made, {"correctness": spread}, expected_output="4")[0] == pytest.approx(expected)
    pulled = {key: value for key, value in SENT.items() if key not in ("name", "evaluationParams", "multiTurn")}
    made = import_geval(json.dumps(pulled | {"id": "1", "requiredParameters": SENT["evaluationParams"]}), "metric.json")
    assert values(made, {"geval": {"9": 1.0}}, expected_output="4")[0] == 1.0


def test_several_metrics_pass_together_and_count_alike() -> None:
    made = import_geval(METRICS, "metrics.yaml")
    assert dropped(made) == ["settings", "metrics[1].evaluation_params", "metrics[1].threshold", "metrics[2].rubric"]
    assert approximated(made) == [
        "metrics[0].threshold", "metrics[1].evaluation_params", "metrics[2]", "metrics[2].evaluation_params", "the whole",
    ]  # fmt: skip
    policy = loads(made.policy)
    (response,) = policy.program.responses
    assert response.ranks == (("passes",), ("fails",))
    row: dict[str, Any] = {"expected_output": "x", "retrieval_context": "y"}
    for facts, polite, exact in ((7, 3, 1.0), (6, 10, 1.0), (10, 0, 0.0)):
        answers = {"facts": {str(facts): 1.0}, "polite": {str(polite): 1.0}, "exact": exact}
        assert values(made, answers, **row)[0] == pytest.approx((facts / 10 + polite / 10 + exact) / 3, abs=1e-6)
        reward = NumpyReward(policy.circuit)
        encoded = reward.encode(
            [{"prompt": "p", "completion": "c", "response_type": "answer", "probs": answers, **row}]
        )
        assert reward.class_probs(
            encoded, reward.response_ids([{"response_type": "answer", "prompt": "p", "completion": "c"}])
        )[0][0] == (facts >= 7 and exact)


def test_metrics_are_read_from_a_program_that_is_not_run() -> None:
    made = import_geval(PROGRAM, "metrics.py")
    program = loads(made.policy).program
    scales = {v.domain.name: v for v in program.variables}
    assert {name: scale.statement for name, scale in scales.items()} == {
        "kind": "Is it kind? Is it?", "f": "x", "geval": "Is it short?",
    }  # fmt: skip
    assert scales["kind"].about == (*("Bad.",) * 5, *("Good.",) * 6)
    assert dropped(made) == [
        "line 7.model", "line 9.criteria", "line 9.evaluation_steps", "line 10.criteria", "line 10.evaluation_params",
        "line 11.criteria", "line 11.**", "line 12.name", "line 12.threshold", "line 14", "line 15",
    ]  # fmt: skip


def test_published_programs_are_read() -> None:
    """Two files of DeepEval; see above."""
    made = import_geval(EXAMPLE, "test_example.py")
    assert (dropped(made), approximated(made)) == ([], ["line 9", "line 9.evaluation_params", "line 9.threshold"])
    assert "passes if coherence >= 5" in made.policy
    assert values(made, {"coherence": {"5": 0.5, "10": 0.5}})[0] == pytest.approx(0.75)
    made = import_geval(TESTED, "test_g_eval_metric.py")
    assert dropped(made) == ["line 4.async_mode", "line 17.async_mode", "line 17.model", "line 17"]


# --- OpenEnv ------------------------------------------------------------------------------------


class Rubric:
    """What rubrics of OpenEnv hold and give, as its `containers.py` has it, of the scores of judges."""

    def gives(self, scores: Mapping[str, float]) -> float:
        raise NotImplementedError


class LLMJudge(Rubric):
    def __init__(self, prompt_template: str, client: object = None, *, normalize: bool = True) -> None:
        self.prompt_template, self.normalize, self.default_score = prompt_template, normalize, 0.0
        self._score_pattern = re.compile(r"(\d+\.?\d*)")

    def gives(self, scores: Mapping[str, float]) -> float:
        return scores[self.prompt_template]


class Gate(Rubric):
    def __init__(self, rubric: Rubric, threshold: float = 1.0) -> None:
        self.rubric, self.threshold = rubric, threshold

    def gives(self, scores: Mapping[str, float]) -> float:
        score = self.rubric.gives(scores)
        return 0.0 if score < self.threshold else score


class WeightedSum(Rubric):
    def __init__(self, rubrics: list[Rubric], weights: list[float]) -> None:
        self._rubric_list, self._weights = rubrics, weights

    def gives(self, scores: Mapping[str, float]) -> float:
        return sum(
            weight * rubric.gives(scores) for rubric, weight in zip(self._rubric_list, self._weights, strict=True)
        )


class Sequential(Rubric):
    def __init__(self, *rubrics: Rubric) -> None:
        self._rubric_list = list(rubrics)

    def gives(self, scores: Mapping[str, float]) -> float:
        result = 1.0
        for rubric in self._rubric_list:
            result = rubric.gives(scores)
            if result == 0.0:
                return 0.0
        return result


class Compiles(Rubric):
    def gives(self, scores: Mapping[str, float]) -> float:
        return 1.0


class Strict(LLMJudge):
    def _parse_score(self, response: str) -> float:
        return 0.0


A, B, C = LLMJudge("a"), LLMJudge("b"), LLMJudge("c")
EXACT = {
    "a judge": A,
    "a sum": WeightedSum([A, Gate(B, 0.7), Gate(C)], [0.5, 0.25, 0.25]),
    "sums of sums": WeightedSum([WeightedSum([A, B], [0.5, 0.5]), WeightedSum([Gate(A, 0.35), C], [0.9, 0.1])], [0.5, 0.5]),
    "a gate": Gate(Gate(A, 0.3), 0.6),
    "a sequence": Sequential(A, Gate(B, 0.5), C),
    "gates to a gate": Sequential(WeightedSum([A, Gate(B)], [0.5, 0.5]), Gate(C)),
    "in each other": Sequential(Sequential(A, Gate(B, 0.2)), Gate(Sequential(Compiles(), C), 0.4)),
    "nothing": Sequential(Sequential(), A),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_rubrics_of_judges_give_what_they_give(name: str) -> None:
    made = from_rubric(EXACT[name])
    circuit = loads(made.policy).circuit
    reward = NumpyReward(circuit)
    asked = [v.domain.name for v in loads(made.policy).program.variables]
    scores = [dict(zip("abc", levels, strict=True)) for levels in itertools.product((0, 1, 3, 4, 5, 7, 10), repeat=3)]
    rows = [
        {"prompt": "p", "completion": "c", "response_type": "rubric", "probs": {n: {str(one[n]): 1.0} for n in asked}}
        for one in scores
    ]
    expected = [EXACT[name].gives({judge: level / 10 for judge, level in one.items()}) for one in scores]
    assert reward(reward.encode(rows), reward.response_ids(rows)) == pytest.approx(expected, abs=1e-6)
    spread = {n: {"2": 0.5, "10": 0.5} for n in asked}
    mean = [
        EXACT[name].gives(dict(zip("abc", levels, strict=True))) for levels in itertools.product((0.2, 1.0), repeat=3)
    ]
    assert values(made, spread)[0] == pytest.approx(sum(mean) / 8, abs=1e-6)


def test_a_sequence_that_ends_in_a_sum_ranks_what_stops_below_what_passes() -> None:
    made = from_rubric(Sequential(Gate(A, 0.5), WeightedSum([B, C], [0.5, 0.5])))
    assert approximated(made).count("rubric") == 1
    for a, b, c in itertools.product((0, 4, 5, 10), repeat=3):
        worth = values(made, {"a": {str(a): 1.0}, "b": {str(b): 1.0}, "c": {str(c): 1.0}})[0]
        assert worth == pytest.approx((b + c) / 20 - (a < 5), abs=1e-6)


def test_what_programs_compute_is_dropped_by_its_place() -> None:
    made = from_rubric(WeightedSum([A, Compiles(), Strict("s"), LLMJudge("n", normalize=False), Gate(WeightedSum([B, C], [0.5, 0.5]), 0.5),
                                    Sequential(B, C)], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]))  # fmt: skip
    assert dropped(made) == [
        "rubric.rubric_1",
        "rubric.rubric_2",
        "rubric.rubric_3",
        "rubric.rubric_4",
        "rubric.rubric_5",
        "client",
    ]
    answers = {"a": {"10": 1.0}, "b": {"4": 1.0}, "c": {"2": 1.0}}
    assert values(made, answers)[0] == pytest.approx(0.5 + 0.1 * 0.3 + 0.1 * 0.2)
    with pytest.raises(ImportFormatError, match="has no rubric of judges that can be asked"):
        from_rubric(Sequential(A, Compiles()))


ENVIRONMENT = """
from openenv.core.rubrics import Gate, LLMJudge, Sequential, WeightedSum
WEIGHTS = [0.7, 0.3]
class Env(Environment):
    def __init__(self, client, limit):
        self.safe = LLMJudge("Is it safe? {action}", client)
        style = LLMJudge(prompt_template="Rate {action.text!r}\\n after {observation} and {observation.log[0]}: {{0-1}} {!", client=client)
        fine = LLMJudge(prompt_template="How fine is {action:>10}, {observation}? {{reference}}", client=client, score_pattern="x", default_score=0.5)
        self.rubric = Sequential(Gate(self.safe, threshold=0.7), Gate(Compiles()), fine)
        other = WeightedSum([self.safe, fine], weights=WEIGHTS)
        WeightedSum([Gate(fine, limit), Gate(fine, 0.2), LLMJudge(PROMPTS[0], client), LLMJudge("{state}", client)], [0.25] * 4)
        Sequential(*judges)
        WeightedSum(judges, [0.5, 0.5])
"""
# In the way of `tests/core/test_rubrics/test_llm_judge.py` and of `rfcs/004-rubrics.md` at aff758b3 of github meta-pytorch/OpenEnv
# (BSD-3-Clause), in words of our own.
TESTED_JUDGES = """
class TestJudges:
    async def test_two_in_a_sum(self):
        first = LLMJudge(prompt_template="{action}", client=Canned("0.8"))
        second = LLMJudge(prompt_template="{action}", client=Canned("0.6"))
        both = WeightedSum([first, second], weights=[0.7, 0.3])
        assert await both("an act", "seen") == approx(0.74)
"""
PROPOSED = """
reward = Sequential(Gate(Builds()), Gate(Tests(), threshold=0.5), WeightedSum([Tests(), Style()], weights=[0.7, 0.3]))
"""


def test_rubrics_are_read_from_a_program_that_is_not_run() -> None:
    text = ENVIRONMENT.replace(" {!", "")
    made = import_openenv(text, "env.py")
    program = loads(made.policy).program
    assert [r.name for r in program.responses] == [
        "rubric",
        "rubric_2",
        "rubric_3",
    ]  # a judge that nothing uses is the first
    scales = {v.domain.name: plain(v.question, v.columns).partition("\n")[2] for v in program.variables}
    assert scales == {
        "rate": "Rate (the response)\n after {observation} and {observation_log_0}: {0-1}",
        "is_it_safe": "Is it safe? (the response)",
        "how_fine_is": "How fine is (the response), {observation}? {reference}",
    }
    assert dropped(made) == [
        "line 9", "line 8", "line 8", "line 11", "line 12", "line 13", "client",
    ]  # fmt: skip
    answers = {"is_it_safe": {"7": 1.0}, "how_fine_is": {"4": 1.0}}
    assert values(made, answers, response=1, observation="x")[0] == pytest.approx(0.4)
    assert values(made, answers, response=2, observation="x")[0] == pytest.approx(0.7 * 0.7 + 0.3 * 0.4)


def test_rubrics_as_the_project_writes_them_are_read() -> None:
    """In the way of two files of OpenEnv; see above."""
    made = import_openenv(TESTED_JUDGES, "test_llm_judge.py")
    assert (dropped(made), approximated(made)) == (["client"], ["line 4", "line 5"])
    # The scores of that test, and what it expects: 0.8 · 0.7 + 0.6 · 0.3.
    assert values(made, {"judged": {"8": 1.0}, "judged_2": {"6": 1.0}})[0] == pytest.approx(0.8 * 0.7 + 0.6 * 0.3)
    with pytest.raises(ImportFormatError, match="has no rubric of judges that can be asked"):
        import_openenv(PROPOSED, "rubrics.py")


# --- what is no such file -----------------------------------------------------------------------

JUDGED = json.dumps([{**TRAVEL, "response": "Go there.", "score": 4}, EMOTION])
EXAMPLES: Mapping[str, tuple[str, str, str]] = {
    "biggen": ("prometheus", JUDGED, "data.json"),
    "rubric": ("prometheus", json.dumps(rubric("kind")), "r.json"),
    "sent": ("geval", json.dumps(SENT), "m.json"),
    "metrics": ("geval", METRICS, "m.yaml"),
    "program": ("geval", PROGRAM, "m.py"),
    "openenv": ("openenv", ENVIRONMENT, "e.py"),
    "openenv-tested": ("openenv", TESTED_JUDGES, "e.py"),
}


@pytest.mark.parametrize(
    ("name", "text", "source", "says"),
    [
        ("prometheus", "[]", "d.json", "has no instance that can be used"),
        ("prometheus", "{}", "d.json", "has no instance that can be used"),
        ("prometheus", "3", "d.json", "the file is not a mapping from names"),
        ("prometheus", "[3]", "d.json", "element 1 is not a mapping from names"),
        ("prometheus", '{"a": 3}', "d.json", "`a` is not a mapping from names"),
        ("prometheus", "{", "d.json", "line 1: not JSON"),
        ("prometheus", JUDGED.replace("score3_description", "score6_description"), "d.json", "element 1, `score3_description` is not a text"),
        ("prometheus", JUDGED.replace('"Go there."', "[]"), "d.json", "element 1, `response` is not a text"),
        ("prometheus", json.dumps([{**TRAVEL, "atomic_checklist": "x"}]), "d.json", "element 1, `atomic_checklist` is not a list"),
        ("prometheus", json.dumps([{**TRAVEL, "atomic_checklist": [3]}]), "d.json", "element 1, `atomic_checklist` is not a text"),
        ("prometheus", json.dumps({**rubric("kind"), "score1_description": None}), "d.json", "the rubric, `score1_description` is not a text"),
        ("openenv", "x = 1", "e.py", "has no rubric of judges that can be asked"),
        ("openenv", "def f(:", "e.py", "is not Python"),
        ("openenv", ENVIRONMENT, "e.py", "the prompt of line 7 is no template"),
        ("openenv", 'WeightedSum([LLMJudge("a"), LLMJudge("b")], [0.5])', "e.py", "the WeightedSum of line 1 has not one weight for each rubric"),
        ("openenv", 'WeightedSum([LLMJudge("a"), LLMJudge("b")], [0.5, 0.6])', "e.py", "the weights of line 1 do not sum to 1"),
        ("openenv", 'WeightedSum([LLMJudge("a"), LLMJudge("b")], [0.5, "x"])', "e.py", "a weight of line 1 is 'x', not a number"),
        ("openenv", 'Gate(LLMJudge("a"), "x")', "e.py", "the threshold of line 1 is 'x', not a number"),
        ("openenv", 'Gate(LLMJudge("a"), 1.5)', "e.py", "the Gate of line 1 is never passed"),
        ("geval", "[]", "m.json", "has no GEval metric that can be asked"),
        ("geval", "3", "m.json", "`the metric` is not a mapping from names"),
        ("geval", json.dumps({**SENT, "multiTurn": True}), "m.json", "has no GEval metric that can be asked"),
        ("geval", json.dumps({**SENT, "criteria": 3}), "m.json", "`the metric.criteria` is not a text"),
        ("geval", json.dumps({**SENT, "evaluationParams": "input"}), "m.json", "`the metric.evaluation_params` is not a list"),
        ("geval", json.dumps({**SENT, "threshold": "high"}), "m.json", "`the metric.threshold` is 'high', not a number"),
        ("geval", json.dumps(SENT).replace("[3, 6]", "[2, 6]"), "m.json", "`the metric.rubric[1].score_range` overlaps with another"),
        ("geval", json.dumps(SENT).replace("[3, 6]", "[3.5, 6]"), "m.json", "`the metric.rubric[0].score_range` is no range of whole scores"),
        ("geval", json.dumps(SENT).replace("[3, 6]", "[6]"), "m.json", "`the metric.rubric[0].score_range` is no range"),
        ("geval", json.dumps({**SENT, "rubric": SENT["rubric"][:1]}).replace("[3, 6]", "[3, 3]"), "m.json", "has one score"),
        ("geval", 'GEval(criteria="\\ud800")', "m.py", "writes half of a character, `\\ud800`"),
        ("prometheus", JUDGED.replace("Go there.", "\\ud800"), "d.json", "writes half of a character, `\\ud800`"),
        ("geval", "def f(:", "m.py", "is not Python: invalid syntax (line 1)"),
        ("geval", "x = 1", "m.py", "has no GEval metric that can be asked"),
        ("geval", "(" * 5000, "m.py", "is not Python"),
        ("geval", "\0", "m.py", "is not Python"),
        ("geval", "#" * (2**20 + 1), "m.py", "too large for a program"),
        ("geval", f"a = [{'b,' * 99}]\nb = [{'c,' * 99}]\nc = [{'d,' * 99}]\nGEval(criteria=a)", "m.py", "over and over"),
        ("geval", f"b = {'x' * 9000!r}\nc = {' + '.join(['b'] * 30)}\nd = {' + '.join(['c'] * 30)}\nGEval(criteria=d)", "m.py", "over and over"),
        ("geval", "a = [a, a]\nGEval(criteria=a)", "m.py", "over and over"),
        ("prometheus", '{"criteria": "a", "criteria": "b"}', "d.json", "the key `criteria` appears twice"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(name: str, text: str, source: str, says: str) -> None:
    with pytest.raises(ImportFormatError, match=re.escape(says)):
        FORMATS[name].read(text, source)


@settings(max_examples=60)
@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_a_damaged_file_is_refused_or_makes_a_policy(name: str, data: st.DataObject) -> None:
    form, text, source = EXAMPLES[name]
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 8)))
    changed = text[:at] + data.draw(st.text(max_size=4)) + text[end:]
    try:
        made: Imported = FORMATS[form].read(changed, source)
    except ImportFormatError:
        return
    assert loads(made.policy).circuit.responses
