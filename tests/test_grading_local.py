"""Graders without a server, the `--grader` word, and what a server offers beyond the protocol."""

from __future__ import annotations

import doctest
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from faultserver import Action, FaultServer, Say
from grading_kit import item

from rbrlang.grading.endpoint.protocol.discover import discovered
from rbrlang.grading.endpoint.protocol.endpoint import ChatOptions
from rbrlang.grading.local import FunctionGrader, LabelGrader, function_grader, table_grader
from rbrlang.grading.questions import specs
from rbrlang.grading.questions.forms import FORMS
from rbrlang.grading.questions.specs import (
    EmbeddedSpec,
    GraderError,
    GraderSpec,
    LabelsSpec,
    OpenAISpec,
    PythonSpec,
    Secret,
    SystemOneSpec,
    TableSpec,
    api_key,
    parse_grader,
)
from rbrlang.grading.results import Abstained, GradeItem, Invalid, Value, certain

NAMES = ("apology", "refusal")
ITEMS = [item("a"), item("b"), item("c")]
WANTED = [(0, 1), (1,), (0,)]


def test_labels_are_zero_or_one_and_a_missing_one_is_an_abstention() -> None:
    grader = LabelGrader(NAMES, ["b", "a"], [{"refusal": False}, {"apology": True, "refusal": None}])
    assert grader.answers(ITEMS, WANTED) == (
        {0: certain(1.0, "label"), 1: Abstained("no label")},
        {1: certain(0.0, "label")},
        {0: Abstained("no label")},
    )


def test_a_table_in_either_form(tmp_path: Path) -> None:
    lines = [
        {"id": "a", "probs": {"apology": 0.25, "refusal": None, "other": 1}},
        {"id": "b", "probs": {"refusal": 1.5}},
    ]
    jsonl, table = tmp_path / "t.jsonl", tmp_path / "t.csv"
    jsonl.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    table.write_text("id,apology,refusal\na,0.25,\nb,,1.5\n")
    for path in (jsonl, table):
        first, second, third = table_grader(path, NAMES).answers(ITEMS, WANTED)
        assert first == {0: certain(0.25, "table"), 1: Abstained(f"`table:{path}` has no `refusal` for row `a`")}
        assert second[1] == Invalid("grader", f"`table:{path}` has 1.5 for `refusal` of row `b`: no probability")
        assert third[0] == Abstained(f"`table:{path}` has no row `c`")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-0.1", '"0.5"', "true", "[0.5]", "1" + "0" * 400])
def test_a_table_value_that_is_no_probability_is_invalid(tmp_path: Path, value: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "a", "probs": {"apology": ' + value + "}}\n")
    got = table_grader(path, NAMES).answers(ITEMS[:1], [(0,)])[0][0]
    assert isinstance(got, Invalid)
    assert "no probability" in got.reason


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.jsonl", "{}\n", "line 1: not an object with an `id` and an object `probs`"),
        ("t.jsonl", '{"id": "a", "probs": {}}\n{"id": "a", "probs": {}}', "line 2: the id `a` occurs twice"),
        ("t.jsonl", "[" * 100_000, "line 1: not usable: nested more than 100 deep"),
        ("t.jsonl", '{"id": "a", "probs": {"apologie": 1}}', "no probability for any proposition"),
        ("t.csv", "name,apology\na,1\n", "has no column `id`"),
        ("t.csv", "id,apology\na,1\na,0\n", "line 3: the id `a` occurs twice"),
    ],
)
def test_a_table_that_cannot_be_used_says_where(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(GraderError, match=message):
        table_grader(tmp_path / name, NAMES)
    with pytest.raises(GraderError, match=r"cannot read `.*`: no such file"):
        table_grader(tmp_path / "absent", NAMES)


def test_a_function_is_called_in_batches_with_what_is_needed() -> None:
    calls: list[tuple[int, Sequence[str]]] = []

    def judge(items: Sequence[GradeItem], names: Sequence[str]) -> list[dict[str, float | None]]:
        calls.append((len(items), names))
        return [{"apology": 0.5, "refusal": None} for _ in items]

    got = FunctionGrader("mine", judge, NAMES, batch=2).answers(ITEMS, WANTED)
    assert calls == [(2, ["apology", "refusal"]), (1, ["apology"])]
    assert got[0] == {0: Value(0.5, 1.0, 0.5, 0.5, "function"), 1: Abstained("`mine` did not judge this")}


@pytest.mark.parametrize("bad", [math.nan, -0.1, 2, "high", True, [0.5], np.float32(1.5)])
def test_a_function_that_returns_no_probability_makes_one_answer_invalid(bad: object) -> None:
    def judge(items: Sequence[GradeItem], names: Sequence[str]) -> list[Mapping[str, object]]:
        return [{"apology": bad, "refusal": 0.25}]

    got = FunctionGrader("mine", judge, NAMES).answers(ITEMS[:1], WANTED[:1])[0]  # pyright: ignore[reportArgumentType]
    assert isinstance(got[0], Invalid)
    assert "no probability" in got[0].reason
    assert got[1] == certain(0.25, "function")


@pytest.mark.parametrize(
    ("result", "reason"),
    [(None, "did not return a list of 1"), ([], "did not return a list of 1"), ([3], "returned a int for one item")],
)
def test_a_function_that_returns_something_else_makes_the_batch_invalid(result: object, reason: str) -> None:
    judge = FunctionGrader("mine", lambda items, names: result, NAMES)  # pyright: ignore[reportArgumentType]
    got = judge.answers(ITEMS[:1], [(0,)])[0][0]
    assert isinstance(got, Invalid)
    assert reason in got.reason


def test_a_function_that_raises_is_invalid_and_is_found_by_name() -> None:
    grader = function_grader("math.sqrt", NAMES)  # takes other arguments, so it raises
    got = grader.answers(ITEMS[:1], [(0,)])[0][0]
    assert isinstance(got, Invalid)
    assert "`python:math.sqrt` raised TypeError" in got.reason
    for target, message in [
        ("sqrt", "names no function"),
        ("math.root", "has no function `root`"),
        ("no_such_module.f", "cannot import `no_such_module`"),
        ("math.pi", "has no function `pi`"),
    ]:
        with pytest.raises(GraderError, match=message):
            function_grader(target, NAMES)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("embedded", EmbeddedSpec()),
        ("labels", LabelsSpec()),
        ("openai:gpt", OpenAISpec("gpt", "https://api.openai.com/v1")),
        ("openai:a/b:c", OpenAISpec("a/b:c", "https://api.openai.com/v1")),
        ("systemone:http://h:1/#d", SystemOneSpec("http://h:1", "d")),
        ("table:a/b.csv", TableSpec(Path("a/b.csv"))),
        ("python:a.b.c", PythonSpec("a.b.c")),
    ],
)
def test_what_the_grader_word_means(text: str, meant: GraderSpec) -> None:
    assert parse_grader(text, {}, None) == meant


@pytest.mark.parametrize(
    ("text", "url", "message"),
    [
        ("gpt", None, "no grader `gpt`; there are `rows`, `labels`"),
        ("embeded", None, "did you mean `embedded`\\? there are"),
        ("openai:", None, "write `openai:MODEL`"),
        ("table", None, "write `table:FILE`"),
        ("labels:x", None, "takes nothing after a colon"),
        ("openai:m", "localhost:8000", "is no web address; write it like"),
        ("openai:m", "ftp://h", "is no web address"),
        ("openai:m", "http://h:port", "is no web address"),
        ("openai:m", "http://[", "is no web address"),
        ("openai:m", "https://user:pass@h/v1", "set `OPENAI_API_KEY` instead"),
        ("systemone:host", None, "is no web address"),
    ],
)
def test_a_grader_word_that_means_nothing_says_what_to_write(text: str, url: str | None, message: str) -> None:
    with pytest.raises(GraderError, match=message) as failure:
        parse_grader(text, {}, url)
    assert "pass@" not in str(failure.value)


def test_where_the_address_and_the_key_come_from() -> None:
    environment = {"OPENAI_BASE_URL": "http://env/v1", "OPENAI_API_KEY": " sk-1 "}
    assert parse_grader("openai:m", environment, None) == OpenAISpec("m", "http://env/v1")
    assert parse_grader("openai:m", environment, "http://flag/v1/") == OpenAISpec("m", "http://flag/v1")
    key = api_key(environment)
    assert key.reveal() == "sk-1"
    assert "sk-1" not in f"{key!r} {key}"
    assert key.redacted("key sk-1 is wrong") == "key … is wrong"
    assert api_key({}).reveal() == ""
    assert doctest.testmod(specs).failed == 0


def test_vllm_is_asked_for_the_ids_of_the_forms() -> None:
    vocabulary = {form: [number] for number, form in enumerate(FORMS) if form.strip() != "YES"}

    def script(body: bytes, before: int) -> Action:
        if not body:
            return Say(b'{"version": "0.15.0"}')
        plain = json.loads(body)
        assert plain["add_special_tokens"] is False
        return Say(json.dumps({"tokens": vocabulary.get(plain["prompt"], [7, 8])}).encode())

    with FaultServer(script) as server:
        found = discovered(ChatOptions("m", server.url), Secret("k"))
    assert dict(found.token_ids) == {form: ids[0] for form, ids in vocabulary.items()}
    assert set(server.paths) == {"/version", "/tokenize"}


def test_llama_cpp_returns_more_tokens_and_others_are_left_as_they_are() -> None:
    replies = [Say(b"", 404), Say(b'{"default_generation_settings": {"n_ctx": 512}}')]
    with FaultServer(lambda body, before: replies[min(before, 1)]) as server:
        assert discovered(ChatOptions("m", server.url), Secret("")).top_logprobs == 200
    for reply in (Say(b"", 404), Say(b"[]"), Say(b"<html>")):
        with FaultServer(lambda body, before, reply=reply: reply) as server:
            options = ChatOptions("m", server.url)
            assert discovered(options, Secret("")) == options
    assert discovered(options, Secret("")) == options  # nobody listens there any more
