"""Scales and choices asked of graders: what is shown, what is read of it, and the way through commands, servers and trainers."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faultserver import Action, FaultServer, Say, chat
from hypothesis import given
from hypothesis import strategies as st

import rbrlang as rbr
from rbrlang.adapters.trl import TRLReward
from rbrlang.cli.main import main
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.protocol.endpoint import ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.remote import Answered
from rbrlang.grading.judge import Bench
from rbrlang.grading.lazy import grade_lazily
from rbrlang.grading.local import FunctionGrader, table_grader
from rbrlang.grading.questions.forms import Limits, Token, read_signs, sign_form, sign_forms, sign_tally, sign_vote
from rbrlang.grading.questions.layout import every_question, plan, wanted
from rbrlang.grading.questions.prompt import question, signs
from rbrlang.grading.questions.specs import GraderError, Secret
from rbrlang.grading.results import (
    Abstained,
    Answer,
    Distribution,
    GradeItem,
    Invalid,
    Value,
    certain,
    from_json,
    spread,
    to_json,
)
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import read_rows
from rbrlang.scoring.columns import Columns
from rbrlang.scoring.metrics import batch_metrics
from rbrlang.scoring.score import Scorer
from rbrlang.scoring.store import RolloutStore
from rbrlang.serve.forms import Reading, read_score, say_score

POLICY = '''rbr 1
prop rude "Response is rude."
scale help 1..5 "How far does the response help?" {
  ask """
    How far does the response help with what was asked?
    """
  5 "It solves the task."
  1 "It does not help."
  example 5 "Heat the oven." because "it is a recipe"
}
choice tone "What is the tone of the response?" {
  formal "It is formal."
  casual "It is casual."
  hostile "It attacks the user."
}
response chat ranks good > fair > bad {
  bad if tone == hostile | help <= 2
  good if help >= 4 & !rude
  fair otherwise
}
reward chat { features classes, help }
'''
ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "How?", "completion": "help 4, tone casual", "response_type": "chat"},
    {"id": "b", "prompt": "How?", "completion": "help 2, tone formal", "response_type": "chat"},
    {"id": "c", "prompt": "How?", "completion": "help 5, tone hostile", "response_type": "chat"},
]
PROGRAM = rbr.loads(POLICY).program
HELP, TONE = PROGRAM.variables
CIRCUIT = rbr.loads(POLICY).circuit
LEVELS = ("1", "2", "3", "4", "5")


def level(text: str) -> tuple[str, str]:
    """The level and the tone that a text of `ROWS` says it has."""
    first, _, second = text.partition(", ")
    return first.removeprefix("help "), second.removeprefix("tone ").strip()


def naming(body: bytes, before: int) -> Action:
    """A server that reads level and tone from the response and answers with their signs, with 0.8, and the next with 0.1."""
    if not body:
        return Say(b"", 404)
    text = json.loads(body)["messages"][0]["content"]
    judged = text.partition("# Conversation to judge")[2].partition("<response-")[2]
    said = level(judged.partition("\n")[2].partition("\n")[0])
    if "Answer with one digit" in text:
        sign = said[0]
        other = str(int(sign) % 5 + 1)
    elif "Answer with one letter" in text:
        shown = {value: sign for sign, value in re.findall(r"([A-Z]) = (\w+)", text)}
        sign = shown[said[1]]
        other = next(one for one in shown.values() if one != sign)
    else:
        return chat([("no", 0.9), ("yes", 0.05)])
    return chat([(f" {sign.lower()}", 0.5), (sign, 0.3), (other, 0.1), ("Well", 0.05)])


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(naming) as running:
        yield running


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.rbr").write_text(POLICY)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    policy = rbr.loads(POLICY)
    rbr.write(tmp_path / "p.rbrc", policy, rbr.compile(policy))
    return tmp_path


def read(path: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}


def grading(folder: Path, *more: str, out: str = "out.jsonl") -> list[str]:
    return ["grade", str(folder / "p.rbr"), str(folder / "rows.jsonl"), "-o", str(folder / out), *more]


# --- what is shown ------------------------------------------------------------------------------


def test_a_scale_is_shown_upwards_and_answered_with_a_digit() -> None:
    asked = question(HELP)
    assert asked.asked == (
        "How far does the response help with what was asked?\n"
        "1: It does not help.\n2\n3\n4\n5: It solves the task.\n"
        "Answer with one digit, 1 to 5."
    )
    assert asked.again == "How far does the response help?\nAnswer with one digit, 1 to 5."
    assert asked.examples.endswith("Answer: 5, because it is a recipe")


def test_a_choice_is_shown_in_a_drawn_order_and_answered_with_a_letter() -> None:
    known = signs(TONE)
    assert sorted(known) == ["A", "B", "C"]
    assert sorted(known.values()) == ["casual", "formal", "hostile"]
    asked = question(TONE)
    about = dict(zip(TONE.domain.values, TONE.about, strict=True))
    lines = [f"{sign} = {value}: {about[value]}" for sign, value in known.items()]
    assert asked.asked == "\n".join(("What is the tone of the response?", *lines, "Answer with one letter, A to C."))
    short = ", ".join(f"{sign} = {value}" for sign, value in known.items())
    assert asked.again == f"What is the tone of the response?\n{short}. Answer with one letter, A to C."


def test_the_order_of_options_follows_from_the_choice_alone() -> None:
    turned = TONE._replace(
        domain=TONE.domain._replace(values=TONE.domain.values[::-1]), about=TONE.about[::-1], cost=7.0
    )
    assert signs(turned) == signs(TONE)
    assert len({tuple(signs(TONE, order).values()) for order in range(20)}) > 3
    assert {signs(TONE, order)["A"] for order in range(20)} == {"casual", "formal", "hostile"}
    assert all(signs(HELP, order) == {v: v for v in LEVELS} for order in range(5))


def test_levels_of_two_digits_have_letters() -> None:
    text = 'rbr 1\nscale score 0..10 "What is it worth?"\nresponse r ranks good > bad\nr.good := score >= 6\nr.bad := otherwise\n'
    (score,) = rbr.loads(text).program.variables
    assert signs(score) == dict(zip("ABCDEFGHIJK", map(str, range(11)), strict=True))
    assert "K = 10\nAnswer with one letter, A to K." in question(score).asked


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("4", "4"),
        (" 4", "4"),
        ("4.", "4"),
        ("▁b", "B"),
        ("(C)", "C"),
        ("10", ""),
        ("AB", ""),
        ("²", ""),
        ("", ""),
        ("é", ""),
    ],
)
def test_which_tokens_are_signs(text: str, sign: str) -> None:
    assert sign_form(text) == sign


@st.composite
def vocabularies(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, float]]:
    """The values of a variable by sign, and the probability of every token there is."""
    kept = draw(st.sampled_from([dict(zip("12345", LEVELS, strict=True)), {"A": "x", "B": "y", "C": "z"}]))
    words = [*sign_forms(kept), "The", "Well", "yes", "12"]
    weights = [draw(st.floats(0.001, 1.0)) for _ in words]
    return kept, {word: weight / math.fsum(weights) for word, weight in zip(words, weights, strict=True)}


@given(vocabularies(), st.integers(1, 30))
def test_what_is_not_reported_lies_within_the_bounds(known: tuple[dict[str, str], dict[str, float]], top: int) -> None:
    kept, chances = known
    sums = {
        value: math.fsum(p for word, p in chances.items() if sign_form(word) == sign) for sign, value in kept.items()
    }
    whole = math.fsum(sums.values())
    ordered = sorted(chances.items(), key=lambda pair: -pair[1])[:top]
    limits = Limits(mass=0.0, width=1.0)
    got = read_signs([Token(word, math.log(p)) for word, p in ordered], kept, limits)
    if isinstance(got, Invalid):
        assert got.kind == "low-mass"
        assert not any(sign_form(word) in kept for word, _ in ordered)
        return
    assert math.fsum(got.p.values()) == pytest.approx(1.0)
    assert from_json(json.loads(json.dumps(to_json(got)))) == got
    for value, part in sums.items():
        assert got.low[value] - 1e-9 <= part / whole <= got.high[value] + 1e-9
    if top >= len(chances):
        assert got.p == pytest.approx({value: part / whole for value, part in sums.items()})
        assert got.mass == pytest.approx(whole)


def test_a_reading_that_says_too_little_is_invalid_with_the_reason() -> None:
    kept = {"A": "x", "B": "y", "C": "z"}
    vague = read_signs([Token("A", math.log(0.3)), Token("The", math.log(0.6))], kept, Limits())
    assert vague == Invalid(
        "low-mass",
        "A, B, C hold 0.3 of the probability, under 0.5: the model did not want to answer with one of them",
    )
    wide = read_signs([Token("A", math.log(0.55))], kept, Limits())
    assert isinstance(wide, Invalid)
    assert (wide.kind, wide.reason[:5]) == ("wide-bounds", "P(x) ")
    tight = read_signs([Token("A", math.log(0.55))], kept, Limits(), ["A"])  # all that was asked for came back
    assert tight == Distribution(
        {"x": 1.0, "y": 0.0, "z": 0.0}, pytest.approx(0.55), {"x": 1.0, "y": 0.0, "z": 0.0},
        {"x": 1.0, "y": 0.0, "z": 0.0}, "token-ids",
    )  # fmt: skip
    assert read_signs([], kept, Limits()) == Invalid(
        "no-logprobs", "the server returned an empty list of log-probabilities"
    )
    thought = read_signs([Token("<think>", math.log(0.9))], kept, Limits())
    assert isinstance(thought, Invalid)
    assert thought.kind == "thinking"


def test_samples_are_counted_under_a_uniform_prior() -> None:
    kept = {"A": "x", "B": "y", "C": "z"}
    votes = [sign_vote(word, kept) for word in ("A", " a", "B.", "Well")]
    got = sign_tally(votes, ("x", "y", "z"), Limits())
    assert isinstance(got, Distribution)
    assert got.p == pytest.approx({"x": 3 / 6, "y": 2 / 6, "z": 1 / 6})
    assert got.mass == 0.75
    assert all(got.low[v] < got.p[v] < got.high[v] for v in got.p)
    # The marginal of the last is Beta(1, 5): its quantiles have a closed form.
    assert got.high["z"] == pytest.approx(1 - 0.025 ** (1 / 5), abs=1e-6)
    assert sign_tally(votes[3:], ("x", "y", "z"), Limits()) == Invalid(
        "low-mass", "1 of 1 samples say none of its values"
    )
    failed = Invalid("transport", "no answer")
    assert sign_tally([*votes, failed], ("x", "y", "z"), Limits()) == failed


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["p"].pop("x"), lambda plain: plain["p"].update(x=0.9), lambda plain: plain["low"].update(x=0.7),
        lambda plain: plain.update(method="guess"), lambda plain: plain.update(mass=2), lambda plain: plain.update(p={}),
    ],
)  # fmt: skip
def test_what_is_kept_of_a_distribution_is_checked(change: Any) -> None:
    plain: dict[str, Any] = json.loads(json.dumps(to_json(spread({"x": 0.5, "y": 0.5}, "top-k"))))
    assert from_json(plain) == spread({"x": 0.5, "y": 0.5}, "top-k")
    change(plain)
    with pytest.raises(ValueError, match="not an answer"):
        from_json(plain)


# --- a server -----------------------------------------------------------------------------------


def test_a_server_is_asked_once_for_each_variable(folder: Path, server: FaultServer, capsys: Any) -> None:
    arguments = grading(folder, "--grader", "openai:m", "--base-url", server.url, "--details")
    assert main(arguments) == 0
    assert "9 answers for 3 rows, 0 invalid" in capsys.readouterr().err
    rows = read(folder / "out.jsonl")
    for row in rows.values():
        said, tone = level(row["completion"])
        after = str(int(said) % 5 + 1)
        expected = {f"help.{one}": 8 / 9 if one == said else 1 / 9 if one == after else 0.0 for one in LEVELS}
        assert {name: row["probs"][name] for name in expected} == pytest.approx(expected)
        assert row["probs"][f"tone.{tone}"] == pytest.approx(8 / 9)
        assert math.fsum(row["probs"][f"tone.{one}"] for one in TONE.domain.values) == pytest.approx(1.0)
        answer = from_json(row["answers"]["help"])
        assert isinstance(answer, Distribution)
        assert answer.mass == pytest.approx(0.9)
        assert answer.low[said] < answer.p[said] <= answer.high[said]
        assert isinstance(from_json(row["answers"]["rude"]), Value)
    sent = sum(count for body, count in server.received.items() if body)
    assert sent == 9
    before = (folder / "out.jsonl").read_bytes()
    assert main([*arguments, "--resume"]) == 0
    assert sum(count for body, count in server.received.items() if body) == sent
    assert (folder / "out.jsonl").read_bytes() == before
    scored = folder / "scored.jsonl"
    assert main(["score", str(folder / "p.rbrc"), str(folder / "out.jsonl"), "-o", str(scored)]) == 0
    reward = NumpyReward(CIRCUIT)
    good, fair, bad = (read(scored)["a"]["class_probs"][name] for name in ("good", "fair", "bad"))
    tone = {one: rows["a"]["probs"][f"tone.{one}"] for one in TONE.domain.values}
    assert bad == pytest.approx(tone["hostile"], abs=1e-6)  # all of help is 4 or 5
    assert good == pytest.approx((1 - tone["hostile"]) * (1 - rows["a"]["probs"]["rude"]), abs=1e-6)
    assert good + fair + bad == pytest.approx(1.0)
    assert reward.circuit.questions == ("rude", "help", "tone")


def test_answers_that_were_scored_are_verified_from_the_cache(folder: Path, server: FaultServer, capsys: Any) -> None:
    how = ["--grader", "openai:m", "--base-url", server.url]
    out = folder / "scored.jsonl"
    assert main(["score", str(folder / "p.rbrc"), str(folder / "rows.jsonl"), "-o", str(out), *how]) == 0
    verify = ["verify", str(out), "--artefact", str(folder / "p.rbrc"), *how, "--cache", f"{out}.answers"]
    assert main(verify) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    rows[0]["probs"]["help.4"], rows[0]["probs"]["help.5"] = rows[0]["probs"]["help.5"], rows[0]["probs"]["help.4"]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    capsys.readouterr()
    assert main(verify) == 1
    assert "P(help.4) 0.111111 stands there, and the grader says 0.888889" in capsys.readouterr().out


def test_the_order_is_part_of_what_is_cached_and_asked() -> None:
    endpoints = [
        chat_endpoint(
            PROGRAM.questions, plan(PROGRAM.questions, CIRCUIT, ()), ChatOptions("m", order=order), Secret("")
        )
        for order in range(4)
    ]
    item = GradeItem("a", read_score({"rows": ROWS}, Reading())[0].conversation, 0)
    groups = [ask for group in endpoints[0].groups([every_question(CIRCUIT)], [item]) for ask in group]
    rude, help_, tone = sorted(groups, key=lambda ask: ask.propositions)
    assert len({endpoint.bodies(rude, item) for endpoint in endpoints}) == 1
    assert len({endpoint.bodies(help_, item) for endpoint in endpoints}) == 1
    assert (
        len({endpoint.bodies(tone, item) for endpoint in endpoints})
        == len({tuple(signs(TONE, order).values()) for order in range(4)})
        > 1
    )
    assert len({endpoint.identity for endpoint in endpoints}) == 4
    assert "order" not in endpoints[0].identity


def test_a_kept_answer_of_other_values_is_asked_again() -> None:
    endpoint = chat_endpoint(PROGRAM.questions, plan(PROGRAM.questions, CIRCUIT, ()), ChatOptions("m"), Secret(""))
    ask = next(ask for group in endpoint.groups([(2,)], [GradeItem("a", _told(), 0)]) for ask in group)
    tones = spread({"formal": 1.0, "casual": 0.0, "hostile": 0.0}, "top-k")
    assert endpoint.fits(ask, (tones,))
    assert not endpoint.fits(ask, (spread({"formal": 1.0, "casual": 0.0}, "top-k"),))
    assert not endpoint.fits(ask, (certain(1.0, "top-k"),))
    assert not endpoint.fits(replace(ask, propositions=(0,)), (tones,))
    assert endpoint.fits(replace(ask, propositions=(0,)), (certain(1.0, "top-k"),))
    with AnswerCache(None) as cache:
        cache.put(b"k", Answered((tones,), rbr_usage()))
        kept = cache.get(b"k")
    assert kept is not None
    assert kept.answers == (tones,)


def rbr_usage() -> Any:
    from rbrlang.grading.results import Usage

    return Usage(1, 1, 0)


def _told() -> Any:
    from rbrlang.rows.conversation import spoken

    return spoken((), "help 4, tone casual")


def test_samples_are_sent_one_by_one(folder: Path) -> None:
    words = itertools.cycle(["4", "4", " 5"])

    def said(body: bytes, before: int) -> Action:
        if not body:
            return Say(b"", 404)
        text = json.loads(body)["messages"][0]["content"]
        word = next(words) if "one digit" in text else "A" if "one letter" in text else "no"
        return Say(json.dumps({"choices": [{"message": {"content": word}}]}).encode())

    with FaultServer(said) as server:
        how = ("--grader", "openai:m", "--base-url", server.url, "--samples", "3", "--limit", "1", "--concurrency", "1")
        assert main(grading(folder, *how)) == 0
    probs = read(folder / "out.jsonl")["a"]["probs"]
    assert [probs[f"help.{one}"] for one in LEVELS] == pytest.approx([1 / 8, 1 / 8, 1 / 8, 3 / 8, 2 / 8])
    assert probs[f"tone.{signs(TONE)['A']}"] == pytest.approx(4 / 6)


def test_token_ids_of_the_answers_are_asked_for_where_the_server_takes_them(folder: Path) -> None:
    vocabulary = {
        form: at for at, form in enumerate((*("yes", "Yes", "no", "No"), *sign_forms("12345"), "A", " A", "B", "c"), 7)
    }
    asked: list[list[int]] = []

    def said(body: bytes, before: int) -> Action:
        if not body:
            return Say(b'{"version": "0.11"}')
        plain = json.loads(body)
        if "prompt" in plain:
            return Say(
                json.dumps(
                    {
                        "tokens": [
                            vocabulary.get(plain["prompt"], 1),
                            *([2] if plain["prompt"] not in vocabulary else []),
                        ]
                    }
                ).encode()
            )
        asked.append(plain["logprob_token_ids"])
        words = {at: form for form, at in vocabulary.items()}
        first, *others = (words[at] for at in plain["logprob_token_ids"])
        return chat([(first, 0.7), *((one, 0.001) for one in others)])

    with FaultServer(said) as server:
        assert main(grading(folder, "--grader", "openai:m", "--base-url", server.url, "--limit", "1", "--details")) == 0
    answers = read(folder / "out.jsonl")["a"]["answers"]
    assert {answer["method"] for answer in answers.values()} == {"token-ids"}
    assert answers["tone"]["low"] == answers["tone"]["p"] == answers["tone"]["high"]
    assert sorted(map(len, asked)) == [4, 4, 10]


def test_a_server_that_fails_leaves_no_number(folder: Path) -> None:
    def said(body: bytes, before: int) -> Action:
        if not body:
            return Say(b"", 404)
        text = json.loads(body)["messages"][0]["content"]
        if "one digit" in text:
            return chat([("The", 0.9), ("4", 0.05)])
        return Say(b'{"error": "too long"}', 400) if "one letter" in text else chat([("no", 0.9), ("yes", 0.05)])

    with FaultServer(said) as server:
        assert main(grading(folder, "--grader", "openai:m", "--base-url", server.url, "--limit", "1")) == 3
    row = read(folder / "out.jsonl")["a"]
    assert row["probs"] == {"rude": pytest.approx(0.05 / 0.95), "help": None, "tone": None}
    assert row["invalid"]["help"].startswith("1, 2, 3, 4, 5 hold 0.05 of the probability")
    assert "too long" in row["invalid"]["tone"]
    scored = folder / "scored.jsonl"
    assert main(["score", str(folder / "p.rbrc"), str(folder / "out.jsonl"), "-o", str(scored)]) == 3
    assert read(scored)["a"]["reason"] == "no answer for `help`, `tone`"


# --- asking less --------------------------------------------------------------------------------


class Knowing:
    """A judge that reads `ROWS`, sure of everything; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        out: list[Mapping[int, Answer]] = []
        for one, of in zip(items, wanted, strict=True):
            said, tone = level(one.completion)
            self.asked += [(one.id, p) for p in of]
            known: dict[int, Answer] = {
                0: certain(0.0, "function"),
                1: spread({v: float(v == said) for v in LEVELS}, "function"),
                2: spread({v: float(v == tone) for v in TONE.domain.values}, "function"),
            }
            out.append({p: known[p] for p in of})
        return out


def items() -> tuple[GradeItem, ...]:
    rows = read_score({"rows": ROWS}, Reading())
    return tuple(GradeItem(row.id, row.conversation, 0) for row in rows)


def test_lazy_grading_asks_a_variable_as_one_question_when_it_can_matter() -> None:
    reward, judge = NumpyReward(CIRCUIT), Knowing()
    whole = Bench(reward, Knowing()).grade(items())
    grades = grade_lazily(reward, items(), judge, 0.0)
    assert len(judge.asked) == grades.asked == len(set(judge.asked)) < grades.wanted == 9
    # `help` is a feature, so it is asked of all; a response that does not help is bad whatever its tone.
    assert {one for one, p in judge.asked if p == 1} == {"a", "b", "c"}
    assert ("b", 2) not in judge.asked
    assert ("b", 0) not in judge.asked
    for at, graded in enumerate(whole):
        assert graded.reward is not None
        assert grades.lower[at] == grades.upper[at] == pytest.approx(graded.reward, abs=1e-6)
    assert isinstance(grades.answers[1][2], Abstained)


def test_a_cheap_variable_goes_before_a_dear_one() -> None:
    for cheap, dear in (("help", "tone"), ("tone", "help")):
        text = POLICY.replace(f"{dear} ", f"{dear} ", 1).replace("features classes, help", "features classes")
        for name in (cheap, dear):
            kind = "scale" if name == "help" else "choice"
            text = text.replace(f"{kind} {name} ", f"@cost({1 if name == cheap else 100}) {kind} {name} ")
        policy = rbr.loads(text.replace("@prior", "@prior"))
        judge = Knowing()
        grade_lazily(NumpyReward(policy.circuit), items()[1:2], judge, 0.0)
        asked = [p for _, p in judge.asked]
        first = next(p for p in asked if p)
        assert policy.circuit.questions[first] == cheap


def test_lazy_rows_name_what_was_asked(folder: Path, server: FaultServer) -> None:
    arguments = grading(folder, "--grader", "openai:m", "--base-url", server.url, "--lazy", "0.2")
    assert main(arguments) == 0
    row = read(folder / "out.jsonl")["b"]
    assert set(row["asked"]) <= {"rude", "help", "tone"}
    assert "help" in row["asked"]
    low, high = row["reward_bounds"]
    assert high - low <= 0.2
    scored = folder / "scored.jsonl"
    assert main(["grade", *arguments[1:4], str(folder / "all.jsonl"), *arguments[5:-2]]) == 0
    assert main(["score", str(folder / "p.rbrc"), str(folder / "all.jsonl"), "-o", str(scored)]) == 0
    assert low - 1e-6 <= read(scored)["b"]["reward"] <= high + 1e-6


# --- plan ---------------------------------------------------------------------------------------


def test_a_plan_counts_a_variable_as_a_question(folder: Path, server: FaultServer, capsys: Any) -> None:
    command = ["plan", str(folder / "p.rbr"), "--data", str(folder / "rows.jsonl")]
    assert main([*command, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["requests"], report["requests_unpruned"], report["variables"]) == (9, 9, 2)
    assert set(report["layouts"]) == {"rude", "help", "tone"}
    assert report["response_types"] == {"chat": ["rude", "help", "tone"]}
    (folder / "prices.json").write_text(json.dumps({"models": {"m": {"input": 1.0, "output": 1.0}}}))
    (folder / "sure.jsonl").write_text(
        "".join(
            json.dumps({**row, "probs": {"rude": 0.0, **given}}) + "\n"
            for row, given in zip(ROWS, _sure(), strict=True)
        )
    )
    command[-1] = str(folder / "sure.jsonl")
    assert main([*command, "--simulate", str(folder / "prices.json"), "--format", "json"]) == 0
    simulation = json.loads(capsys.readouterr().out)["simulation"]
    ways = simulation["models"][0]["ways"]
    assert {name: bill["requests"] for name, bill in ways.items()} == {
        "naive": 9, "pruned": 9, "planned": 9, "batch": 9, "lazy": ways["lazy"]["requests"]
    }  # fmt: skip
    assert ways["lazy"]["requests"] < 9
    assert simulation["lazy"]["answers_from"] == {"probs": 9}
    for name in ("rude", "help", "tone"):
        assert main([*command, "--show-prompt", name, "a"]) == 0
        shown = capsys.readouterr().out
        assert ("Answer with one digit" in shown, "Answer with one letter" in shown) == (name == "help", name == "tone")
    dry = grading(folder, "--grader", "openai:m", "--base-url", server.url, "--dry-run")
    assert main(dry) == 0
    assert "9 requests, 0 of them answered already" in capsys.readouterr().out


def _sure() -> list[dict[str, Any]]:
    said = [level(row["completion"]) for row in ROWS]
    return [{"help": {one: 1.0}, "tone": {tone: 1.0}} for one, tone in said]


# --- other graders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"4": 0.25, "5": 0.75}, {"4": 0.25, "5": 0.75}), ({4: 0.5, 5: 0.5}, {"4": 0.5, "5": 0.5}),
        (4, {"4": 1.0}), (4.0, {"4": 1.0}), ("4", {"4": 1.0}), ({"4": 0.499, "5": 0.5}, {"4": 0.499 / 0.999, "5": 0.5 / 0.999}),
        (None, "did not judge this"), ({}, "did not judge this"), ({"4": None}, "did not judge this"),
        (6, "returned 6 for `help`, which has no such value; there are 1, 2, 3, 4, 5"), (4.5, "no such value"),
        (True, "returned True for `help`"), (math.nan, "no such value"), ("high", "no such value"), (b"4", "no such value"),
        ({"4": 0.5}, "sum to 0.5, not to 1"), ({"4": 2.0}, "2.0 for `4` of `help`: no probability"), ({"6": 1.0}, "a value `6`"),
        ({"4": "much"}, "no probability"), ({"4": math.nan}, "no probability"), ([4], "no such value"),
    ],
)  # fmt: skip
def test_a_function_says_a_level_or_how_likely_each_is(said: object, expected: object) -> None:
    grader = FunctionGrader(
        "mine", lambda items, names: [{"help": said}] * len(items), CIRCUIT.questions, domains=CIRCUIT.asked_domains
    )
    (got,) = grader.answers(items()[:1], [(1,)])
    answer = got[1]
    if isinstance(expected, dict):
        assert isinstance(answer, Distribution)
        assert answer.p == pytest.approx({one: expected.get(one, 0.0) for one in LEVELS})
        assert answer.method == "function"
    else:
        assert isinstance(answer, Abstained | Invalid)
        assert str(expected) in answer.reason
        assert isinstance(answer, Abstained) == ("judge" in str(expected))


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_table_has_them_by_value(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        path.write_text("id,rude,help.4,help.5,tone.formal\na,0.1,0.25,0.75,\nb,0.1,0.5,,\n")
    else:
        path.write_text(
            '{"id": "a", "probs": {"rude": 0.1, "help": {"4": 0.25, "5": 0.75}}}\n{"id": "b", "probs": {"help.4": 0.5, "tone": 7}}\n'
        )
    grader = table_grader(path, CIRCUIT.questions, CIRCUIT.asked_domains)
    first, second, third = grader.answers(items(), [(0, 1, 2)] * 3)
    assert first[1] == spread({"1": 0.0, "2": 0.0, "3": 0.0, "4": 0.25, "5": 0.75}, "table")
    assert isinstance(first[2], Abstained)
    assert isinstance(second[1], Invalid)
    assert "sum to 0.5, not to 1" in second[1].reason
    assert isinstance(third[1], Abstained)
    if ending == "jsonl":
        assert isinstance(second[2], Invalid)
        assert "7 for `tone` of row `b`: no object by value" in second[2].reason


def test_the_embedded_grader_refuses_with_a_way_out(folder: Path, capsys: Any) -> None:
    assert main(grading(folder)) == 2
    err = capsys.readouterr().err
    assert (
        "the embedded grader has no heads for scales and choices (`help`, `tone`); name a grader that reads them" in err
    )
    assert not (folder / "out.jsonl").exists()
    (folder / "rows.jsonl").write_text(json.dumps({**ROWS[0], "probs": _sure()[0]}) + "\n")
    text = POLICY.replace('"Response is rude."', '"Response is rude." { cue yes "(?i)fool" cue no "(?i)help" }')
    (folder / "p.rbr").write_text(text)
    assert main(grading(folder, "--allow-abstain")) == 0
    probs = read(folder / "out.jsonl")["a"]["probs"]
    assert (probs["help.4"], probs["tone.casual"]) == (1.0, 1.0)  # what the row says itself stands
    assert 0.0 < probs["rude"] < 0.5
    with pytest.raises(GraderError, match="no heads for scales and choices"):
        Scorer(folder / "p.rbrc", "embedded")


def test_a_decision_model_is_asked_yes_and_no_alone(folder: Path, capsys: Any) -> None:
    def said(body: bytes, before: int) -> Action:
        asked = json.loads(body)["questions"]
        return Say(json.dumps({"answers": {name: {"type": "noul", "noul": 0.25} for name in asked}}).encode())

    with FaultServer(said) as server:
        arguments = grading(folder, "--grader", f"systemone:{server.url}")
        assert main(arguments) == 2
        assert "a decision model has no answers for scales and choices (`help`, `tone`)" in capsys.readouterr().err
        assert main([*arguments, "--allow-abstain"]) == 0
        assert all(list(json.loads(body)["questions"]) == ["q0"] for body in server.received)
    assert read(folder / "out.jsonl")["a"]["probs"] == {"rude": 0.25, "help": None, "tone": None}


def test_a_judge_that_answers_the_wrong_kind_is_invalid() -> None:
    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        tones = Distribution({"formal": 0.6}, 1.0, {"formal": 0.6}, {"formal": 0.6}, "function")
        return [{0: tones, 1: certain(0.5, "function"), 2: tones} for _ in items]

    (got,) = Bench(NumpyReward(CIRCUIT), judge).ask(items()[:1])
    assert [type(answer) for answer in got.values()] == [Invalid] * 3
    reasons = [answer.reason for answer in got.values() if isinstance(answer, Invalid)]
    assert "for a question of yes or no" in reasons[0]
    assert "one probability for `help`" in reasons[1]
    assert "sum to 0.6" in reasons[2]


# --- servers and trainers -----------------------------------------------------------------------


def test_a_scorer_the_server_the_store_and_a_trainer_use_the_answers(folder: Path) -> None:
    rollouts = read_score({"rows": ROWS}, Reading())
    scorer = Scorer(folder / "p.rbrc", Knowing())
    found = scorer(rollouts)
    said = say_score(rollouts, found)["rows"]
    assert [row["class"] for row in said] == ["good", "bad", "bad"]
    assert said[0]["probs"] == {
        "rude": 0.0,
        "help": {v: float(v == "4") for v in LEVELS},
        "tone": {"formal": 0.0, "casual": 1.0, "hostile": 0.0},
    }
    metrics = batch_metrics(found)
    assert metrics["rbr/scale/help/mean"] == pytest.approx(11 / 3)
    assert metrics["rbr/choice/tone/option/hostile"] == pytest.approx(1 / 3)
    reward = TRLReward(folder / "p.rbrc", Knowing(), columns=Columns(every="chat"))
    got = asyncio.run(reward([row["prompt"] for row in ROWS], [row["completion"] for row in ROWS]))
    assert got == pytest.approx(found.rewards.tolist())
    pytest.importorskip("pyarrow")
    with RolloutStore(folder / "kept", scorer.circuit, "me") as store:
        store.add(1, rollouts, found)
    kept = read_rows(folder / "kept").rows
    assert scorer.reward(scorer.reward.encode(kept), scorer.reward.response_ids(kept)) == pytest.approx(found.rewards)


def test_an_answer_that_failed_is_not_replaced_by_what_the_row_says(folder: Path) -> None:
    class Failing:
        def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
            failed: Mapping[int, Answer] = {
                0: certain(0.0, "function"),
                1: Invalid("grader", "lost"),
                2: Abstained("no"),
            }
            return [failed for _ in items]

    rows = [{**row, "probs": given} for row, given in zip(ROWS, _sure(), strict=True)]
    found = Scorer(folder / "p.rbrc", Failing())(read_score({"rows": rows}, Reading()))
    assert found.reasons[:2] == ("no answer for `help`; `help`: lost",) * 2
    assert [dict(of) for of in found.values] == [{"tone": given["tone"]} for given in _sure()]


def test_tests_on_text_take_the_answers(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (folder / "reading_values.py").write_text(
        "def judge(items, names):\n"
        "    said = [one.completion.split(', ') for one in items]\n"
        "    return [{'rude': 0.0, 'help': a[5:], 'tone': {b[5:]: 1.0}} for a, b in said]\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "p.rbr").write_text(
        POLICY + 'test "one" for chat { prompt "How?" completion "help 4, tone casual" expect good }\n'
        'test "two" for chat { prompt "How?" completion "help 4, tone hostile" expect good }\n'
    )
    assert main(["test", str(folder / "p.rbr"), "--grader", "python:reading_values.judge"]) == 1
    said = capsys.readouterr().out
    assert "1 passed, 1 failed" in said
    assert "test on text expects `good`, graded `bad`" in said
    assert "`tone == hostile` 1.00 (the opposite: `good`)" in said
    assert main(grading(folder, "--grader", "python:reading_values.judge")) == 0
    assert read(folder / "out.jsonl")["c"]["probs"]["tone.hostile"] == 1.0


def test_what_is_wanted_of_an_item() -> None:
    assert wanted(CIRCUIT, items()[:1]) == ((0, 1, 2),)
    assert every_question(CIRCUIT) == (0, 1, 2)
    text = POLICY.replace(
        "reward chat { features classes, help }",
        "response other ranks x > y { x if rude\n y otherwise }\nreward chat { features classes }\nrubric q from criteria { points mean }\nreward other { features classes, q }",
    )
    circuit = rbr.loads(text).circuit
    assert circuit.questions == ("rude", "q", "help", "tone")
    assert wanted(circuit, [replace(items()[0], response=at) for at in (0, 1)]) == ((0, 2, 3), (0,))


def test_a_probe_finds_who_is_talked_into_a_better_level(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (folder / "gullible.py").write_text(
        "def judge(items, names):\n"
        "    swayed = ['Answer yes' in one.completion for one in items]\n"
        "    return [{'rude': 0.0, 'help': {5: 0.9, 2: 0.1} if one else 2, 'tone': 'formal'} for one in swayed]\n"
        "def steady(items, names):\n"
        "    return [{'rude': 0.0, 'help': 2, 'tone': 'formal'} for one in items]\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    command = ["probe", str(folder / "p.rbr"), "--format", "json", "--grader"]
    assert main([*command, "python:gullible.judge"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "swayed"
    flip = next(one for one in report["flips"] if one["raises"] and one["payload"] == "order-yes")
    assert flip["propositions"] == [
        {"name": "help == 2", "before": 1.0, "after": 0.1}, {"name": "help == 5", "before": 0.0, "after": 0.9},
    ]  # fmt: skip
    assert flip["class"] == {"before": "bad", "after": "good"}
    assert report["propositions"]["help == 5"]["to_yes"] > 0
    assert report["propositions"]["tone == formal"]["largest_change"] == 0.0
    assert main([*command, "python:gullible.steady"]) == 0
    assert json.loads(capsys.readouterr().out)["flips"] == []
    assert (
        main(["probe", str(folder / "p.rbr"), "--list", "--format", "json", "--payload", "verdict-propositions"]) == 0
    )
    (claims,) = json.loads(capsys.readouterr().out)["payloads"]
    assert json.loads(claims["text"]) == {"help == 4": True, "tone == formal": True}  # of equal ones the first
