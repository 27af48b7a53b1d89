"""Scales, choices and rubrics while training: their curves, their alarms, and what the server counts of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.random import Generator
from serve_process import start

import rbrlang as rbr
from rbrlang.grading.results import Abstained, Answer, GradeItem, certain, spread
from rbrlang.monitor import Alarm, Monitor
from rbrlang.monitor.answers import answers, apart, spreads
from rbrlang.rows.read import row_from
from rbrlang.scoring.metrics import batch_metrics, one_metrics
from rbrlang.scoring.score import Scorer, Scores

POLICY = """rbr 1
prop rude "Response is rude."
scale help 1..5 "How far does the response help?"
choice tone "What is the tone?" { formal "It is formal."  casual "It is casual."  hostile "It is hostile." }
rubric quality from criteria { points over positive  by tag facts "facts", style "style" }
response chat ranks good > bad { bad if rude | tone == hostile | help <= 2  good otherwise }
response other ranks fine > poor { poor if rude  fine otherwise }
reward chat { features classes, help, quality  weight quality >= 0 }
"""
QUESTIONS = ("rude", "quality", "help", "tone")
CRITERIA = [
    {"criterion": "Names the river.", "points": 3, "tags": ["facts"]},
    {"criterion": "Names the sea.", "points": 1, "tags": ["facts"]},
    {"criterion": "Is short.", "points": 4, "tags": ["style"]},
    {"criterion": "Rhymes.", "points": 2, "tags": ["verse"]},
]
SIZE = 32
TEXTS = tuple(
    row_from({"id": str(at), "completion": f"A text, number {at}.", "response_type": "chat", "criteria": CRITERIA})
    for at in range(SIZE)
)


class Says:
    """A judge that says what it holds of each completion: by question, an answer, or the answers to criteria."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Any]] = {}

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        return [{q: self.answer(item, QUESTIONS[q]) for q in asked} for item, asked in zip(items, wanted, strict=True)]

    def answer(self, item: GradeItem, name: str) -> Answer:
        found = self.of[item.id.partition("#")[0]].get(name)
        if isinstance(found, dict) and name == "quality":
            found = found.get(str(item.cell("criterion")))
        if found is None:
            return Abstained("it was not looked at")
        return spread(found, "function") if isinstance(found, dict) else certain(float(found), "function")


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("questions") / "p.rbr"
    file.write_text(POLICY)
    policy = rbr.load(file)
    rbr.write(file.with_suffix(".rbrc"), policy, rbr.compile(policy))
    assert policy.circuit.questions == QUESTIONS
    return file.with_suffix(".rbrc")


def level(mean: float) -> dict[str, float]:
    """A distribution over the levels with this mean, moved to [0, 1]."""
    low, part = divmod(min(max(mean, 0.0), 1.0) * 4, 1)
    return {str(at): {low: 1 - part, low + 1: part}.get(at - 1, 0.0) for at in range(1, 6)}


def tone(formal: float, hostile: float) -> dict[str, float]:
    return {"formal": formal, "casual": 1.0 - formal - hostile, "hostile": hostile}


def drawn(rng: Generator) -> dict[str, Any]:
    """What a grader says of one completion of a run in good health."""
    return {
        "rude": rng.choice([0.05, 0.95], p=[0.8, 0.2]), "help": level(rng.choice([0.2, 0.5, 0.9])),
        "tone": tone(*rng.choice([[0.9, 0.05], [0.1, 0.1], [0.05, 0.8]])),
        "quality": {str(one["criterion"]): rng.choice([0.1, 0.9]) for one in CRITERIA},
    }  # fmt: skip


def shaken(said: dict[str, Any], rng: Generator, **moved: float) -> dict[str, Any]:
    """The same graded again: a little otherwise, and some questions moved."""
    by = {name: moved.get(name, 0.0) + rng.normal(0, 0.01) for name in QUESTIONS}
    formal, hostile = said["tone"]["formal"], said["tone"]["hostile"]
    shift = min(max(by["tone"], -hostile), 1.0 - formal - hostile)
    return {
        "rude": min(max(said["rude"] + by["rude"], 0.0), 1.0),
        "help": level(sum((int(v) - 1) / 4 * p for v, p in said["help"].items()) + by["help"]),
        "tone": tone(formal, hostile + shift),
        "quality": {name: min(max(p + by["quality"], 0.0), 1.0) for name, p in said["quality"].items()},
    }  # fmt: skip


# --- curves -------------------------------------------------------------------------------------


def test_every_question_has_its_curves(artefact: Path) -> None:
    judge = Says()
    met = {"Names the river.": 1.0, "Names the sea.": 0.0, "Is short.": 0.5}
    judge.of = {
        "0": {"rude": 0.0, "help": level(0.75), "tone": tone(0.5, 0.25), "quality": met},
        "1": {"rude": 0.0, "help": level(0.25), "quality": {**met, "Is short.": None}},
        "2": {"rude": 1.0, "tone": tone(0.0, 1.0), "quality": met}, "3": {"rude": None},
    }  # fmt: skip
    other = row_from({"id": "3", "completion": "A text.", "response_type": "other"})
    scores = Scorer(artefact, judge)([*TEXTS[:3], other])
    found = batch_metrics(scores)
    assert {name: value for name, value in found.items() if not name.startswith(("rbr/class", "rbr/contr", "rbr/re", "rbr/rud", "rbr/rules", "rbr/a"))} == {
        "rbr/scale/help/mean": pytest.approx(3.0), "rbr/choice/tone/option/formal": pytest.approx(0.25),
        "rbr/choice/tone/option/casual": pytest.approx(0.125), "rbr/choice/tone/option/hostile": pytest.approx(0.625),
        "rbr/rubric/quality/tag/facts": pytest.approx(3 / 8), "rbr/rubric/quality/tag/style": pytest.approx(2 / 8),
        "rbr/scale/help/unknown_rate": pytest.approx(1 / 3), "rbr/choice/tone/unknown_rate": pytest.approx(1 / 3),
        "rbr/rubric/quality/unknown_rate": pytest.approx(1 / 3), "rbr/invalid_rate": 0.5,
    }  # fmt: skip
    assert found["rbr/rude/unknown_rate"] == 0.25
    assert found["rbr/rude/p"] == pytest.approx(1 / 3)
    last = one_metrics(scores, 3)
    assert last.keys() == one_metrics(scores, 0).keys() > found.keys()
    assert last["rbr/rude/unknown_rate"] == 1.0
    assert np.isnan(
        [
            last["rbr/scale/help/unknown_rate"],
            last["rbr/rubric/quality/unknown_rate"],
            last["rbr/choice/tone/option/formal"],
        ]
    ).all()


AWKWARD = """rbr 1
prop class "A."
prop rules "B."
prop scale "C."
prop choice "D."
prop rubric_ "E."
prop prop_ "F."
prop contribution "G."
prop alarm "H."
scale mean 1..3 "How far?"
scale answer_mass 1..3 "How far?"
scale unknown_rate 1..3 "How far?"
choice p "Which?" { drift "d."  spread "s."  divergence "v."  unknown_rate "u."  mean "m."  min "n."  p "p."  option "o." }
choice tag "Which?" { class "c."  rules "r." }
rubric good from criteria { points over positive  by tag p "p", unknown_rate "u", mean "m", spread "s", drift "d", tag "t" }
response chat ranks p > spread > unknown_rate > drift > divergence > low {
  low if class | p == drift | mean == 1
  drift if rules | answer_mass == 1
  spread if scale | choice | unknown_rate == 1
  divergence if rubric_ | prop_ | tag == class
  unknown_rate if contribution | alarm
  p otherwise
}
reward chat { features classes, mean, good }
"""


class Keeps:
    """A sink that holds every curve, and finds one that is told twice in a step of its kind."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, float]] = []

    def start(self, circuit: Any, false_alarms: float) -> None:
        pass

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.told.append(values)

    def alarm(self, alarm: Alarm) -> None:
        pass

    def close(self) -> None:
        pass


def test_no_curve_has_the_name_of_another_whatever_a_policy_calls_its_parts(tmp_path: Path) -> None:
    (tmp_path / "p.rbr").write_text(AWKWARD)
    policy = rbr.load(tmp_path / "p.rbr")
    rbr.write(tmp_path / "p.rbrc", policy, rbr.compile(policy))
    circuit = policy.circuit
    tags = ("p", "unknown_rate", "mean", "spread", "drift", "tag")
    criteria = [{"criterion": f"Has {tag}.", "points": 1, "tags": [tag[0]]} for tag in tags]

    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        def answer(q: int) -> Answer:
            domain = circuit.asked_domains.get(q)
            if domain is None:
                return certain(0.25, "function")
            return spread(dict.fromkeys(domain.values, 1 / len(domain.values)), "function")

        return [{q: answer(q) for q in asked} for asked in wanted]

    rows = [
        row_from({"id": str(at), "completion": f"A text, number {at}.", "response_type": "chat", "criteria": criteria})
        for at in range(SIZE)
    ]
    scores = Scorer(tmp_path / "p.rbrc", judge)(rows)
    scales = [d for d in circuit.asked_domains.values() if d.kind == "scale"]
    options = [v for d in circuit.asked_domains.values() if d.kind == "choice" for v in d.values]
    of_rewards = {"rbr/invalid_rate", "rbr/answer_mass/min", "rbr/reward/mean", "rbr/rules/mean"}
    (chat,) = circuit.responses
    of_policy = (
        len(circuit.propositions) + len(scales) + len(options) + len(tags) + len(chat.classes) + len(chat.features)
    )
    measured = of_policy + len(circuit.questions) + len(of_rewards)
    every = one_metrics(scores, 0)
    assert len(every) == measured
    assert of_rewards < every.keys()
    assert {
        "rbr/prop/class/p",
        "rbr/rules/p",
        "rbr/class/p",
        "rbr/choice/p/option/p",
        "rbr/rubric/good/tag/p",
    } < every.keys()
    assert every["rbr/class/unknown_rate"] == pytest.approx(scores.class_probs[0][chat.classes.index("unknown_rate")])
    kept = Keeps()
    monitor = Monitor(circuit, [kept])
    monitor.observe(0, rows, scores)
    monitor.observe_anchors(0, scores)
    monitor.observe_anchors(1, scores)
    monitor.observe_second(1, scores, scores)
    names = [name for values in kept.told for name in values]
    assert len(names) == len(set(names))
    batch = len(batch_metrics(scores))
    assert [len(values) for values in kept.told] == [batch + 2 + len(circuit.questions), *[len(circuit.questions)] * 2]


def test_a_choice_of_two_is_as_far_apart_and_varies_as_a_proposition_does(tmp_path: Path) -> None:
    (tmp_path / "p.rbr").write_text(
        'prop a "A."\nchoice b "B?" { high "Yes."  low "No." }\nscale c 0..4 "C?"\nresponse r ranks good > bad\n'
        "r.bad := a | b == high | c >= 4\nr.good := otherwise\n"
    )
    policy = rbr.load(tmp_path / "p.rbr")
    rbr.write(tmp_path / "p.rbrc", policy, rbr.compile(policy))

    def graded(ps: Sequence[float | None]) -> Scores:
        def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
            return [
                {q: answer(p, q) for q in asked}
                for p, asked in zip(ps, wanted, strict=True)
            ]  # fmt: skip

        return Scorer(tmp_path / "p.rbrc", judge)(
            [row_from({"completion": f"Text {at}.", "response_type": "r"}) for at in range(len(ps))]
        )

    def answer(p: float | None, question: int) -> Answer:
        if p is None:
            return Abstained("it was not looked at")
        values = {"high": p, "low": 1.0 - p}, {str(at): {0: 1.0 - p, 4: p}.get(at, 0.0) for at in range(5)}
        return certain(p, "function") if question == 0 else spread(values[question - 1], "function")

    first, second = graded([0.1, 0.9, 0.5, None]), graded([0.3, 0.6, None, 0.5])
    differences = apart(first, answers(first), answers(second))
    expected = np.array([0.2, 0.3, np.nan, np.nan])
    np.testing.assert_allclose(differences, np.stack([expected] * 3, 1), atol=1e-6)
    np.testing.assert_allclose(spreads(first)[:3], [np.std([0.1, 0.9, 0.5])] * 3, atol=1e-6)


# --- alarms -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_grader_that_drifts_is_found_whatever_it_is_asked(artefact: Path, name: str) -> None:
    """The rule that propositions have: a shift by 0.1 is found within four looks, and only where it is."""
    judge = Says()
    scorer = Scorer(artefact, judge)
    for seed in range(2):
        rng, found = np.random.default_rng(seed), list[Alarm]()
        fixed = [drawn(rng) for _ in TEXTS]
        monitor = Monitor(scorer.circuit)
        for look in range(14):
            judge.of = {
                row.id: shaken(said, rng, **({name: 0.1} if look >= 8 else {}))
                for row, said in zip(TEXTS, fixed, strict=True)
            }
            found += monitor.observe_anchors(look, scorer(TEXTS))
        (alarm,) = found
        assert (alarm.kind, alarm.about) == ("drift", name)
        assert 8 <= alarm.step <= 12
        assert f"`{name}` of the anchors moved by 0." in alarm.message


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_hardly_varies_any_more_is_named(artefact: Path, name: str) -> None:
    judge, rng, found = Says(), np.random.default_rng(2), list[Alarm]()
    scorer = Scorer(artefact, judge)
    monitor = Monitor(scorer.circuit)
    same = drawn(rng)[name]
    for step in range(110):
        judge.of = {row.id: {**drawn(rng), **({name: same} if step >= 40 else {})} for row in TEXTS}
        found += monitor.observe(step, TEXTS, scorer(TEXTS))
    assert [(alarm.kind, alarm.about) for alarm in found] == [("saturated", name)]
    assert 45 < found[0].step < 100


def test_a_second_grader_that_counts_criteria_otherwise(artefact: Path) -> None:
    judge, rng, found = Says(), np.random.default_rng(4), list[Alarm]()
    scorer, some = Scorer(artefact, judge), TEXTS[:6]
    monitor = Monitor(scorer.circuit)
    for step in range(70):
        judge.of = {row.id: drawn(rng) for row in some}
        first, said = scorer(some), judge.of
        judge.of = {at: shaken(of, rng, **({"quality": -0.6} if step >= 40 else {})) for at, of in said.items()}
        found += monitor.observe_second(step, first, scorer(some))
    assert [(alarm.kind, alarm.about) for alarm in found] == [("divergence", "quality")]
    assert 40 <= found[0].step < 65


def test_anchors_are_as_many_as_at_first(artefact: Path) -> None:
    judge = Says()
    judge.of = {row.id: drawn(np.random.default_rng(1)) for row in TEXTS}
    scores = Scorer(artefact, judge)(TEXTS)
    monitor = Monitor(scores.circuit)
    assert monitor.observe_anchors(0, scores) == ()
    with pytest.raises(ValueError, match="there are 3 anchors, and at first there were 32"):
        monitor.observe_anchors(1, scores.part(0, 3))
    with pytest.raises(ValueError, match="the second grader has 3 completions, the first 32"):
        monitor.observe_second(1, scores, scores.part(0, 3))


# --- the server ---------------------------------------------------------------------------------


def test_the_server_counts_scales_choices_and_rubrics(artefact: Path) -> None:
    def one(**said: Any) -> dict[str, Any]:
        return {"prompt": "A?", "completion": json.dumps(said), "response_type": "chat", "criteria": CRITERIA}

    rows = [
        one(rude=0.0, help=4, tone={"formal": 0.25, "casual": 0.5, "hostile": 0.25}, met=["Names the river."]),
        one(rude=0.0, help=2, met=["Is short."]), one(rude=0.0, tone="hostile"),
    ]  # fmt: skip
    with start(artefact, "--grader", "python:serve_grader.told") as server, httpx.Client(verify=False) as http:
        reply = http.post(f"{server.url}/score", json={"rows": rows}, timeout=30)
        assert [row["valid"] for row in reply.json()["rows"]] == [True, True, False]
        text = http.get(f"{server.url}/metrics").text
    found = {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}
    assert found['rbr_scale_level_sum{scale="help"}'] == 6.0
    assert found['rbr_scale_level_count{scale="help"}'] == 2.0
    assert found['rbr_option_p_sum{choice="tone",option="hostile"}'] == 1.25
    assert found['rbr_option_p_count{choice="tone",option="formal"}'] == 2.0
    assert found['rbr_rubric_value_sum{rubric="quality.facts"}'] == pytest.approx(3 / 8)
    assert found['rbr_rubric_value_sum{rubric="quality.style"}'] == pytest.approx(4 / 8)
    assert found['rbr_rubric_value_count{rubric="quality.style"}'] == 2.0
    outcomes = {
        (name, outcome): found[f'rbr_questions_total{{outcome="{outcome}",question="{name}"}}']
        for name in QUESTIONS for outcome in ("known", "unknown")
    }  # fmt: skip
    assert outcomes == {
        ("rude", "known"): 3, ("rude", "unknown"): 0, ("quality", "known"): 2, ("quality", "unknown"): 1,
        ("help", "known"): 2, ("help", "unknown"): 1, ("tone", "known"): 2, ("tone", "unknown"): 1,
    }  # fmt: skip
