"""Whatever shape of request a server takes, it is found once a run, and what comes back is the right value or has a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from faultserver import Action, FaultServer, Say, Script
from grading_kit import item, proposition, reaching
from shapedserver import (
    YES,
    Refusal,
    at_least,
    at_most,
    entry,
    no_max_completion_tokens,
    no_max_tokens,
    no_temperature,
    no_template,
    positions,
    refusing,
    reply,
)

from rbrlang.cli.main import main
from rbrlang.grading.endpoint.account import Grades, Price, RunOptions, estimate, identified
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.protocol.endpoint import ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.protocol.shape import Shape, Shaping
from rbrlang.grading.endpoint.run import grade
from rbrlang.grading.judge import same
from rbrlang.grading.questions.layout import plan
from rbrlang.grading.questions.request import Request
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Answer, Invalid, InvalidKind, Value

QUICK = RunOptions(concurrency=8, timeout=5.0, attempts=2, first_wait=0.01, longest_wait=0.1, patience=20.0)
POLICY = """rbr 1
prop apology "The response says sorry."
prop thanks "The response thanks the user."
response r ranks good > bad {
  bad if apology & thanks
  good otherwise
}
"""


def run(
    script: Script, number: int = 1, fixed: Request | None = None, options: ChatOptions | None = None,
    cache: Path | None = None,
) -> tuple[Grades, FaultServer, str]:  # fmt: skip
    made = [proposition("p0", question="Is it so?")]
    items = [item(f"i{n}", f"Question {n}?", f"Answer {n}.") for n in range(number)]
    with FaultServer(script) as server, AnswerCache(cache) as kept:
        chat = options or ChatOptions("m", request=fixed or Request())
        chat = ChatOptions(
            "m", server.url if cache is None else "http://127.0.0.1:9/v1", samples=chat.samples, request=chat.request,
            template=chat.template, top_logprobs=chat.top_logprobs, token_ids=chat.token_ids,
        )  # fmt: skip
        remote = chat_endpoint(made, plan(made, reaching(made, [(0,)]), items), chat, Secret(""))
        return grade(remote, items, [(0,)] * number, kept, QUICK, Price()), server, identified(remote)


def only(grades: Grades) -> Answer:
    return grades.answers[0][0]


SHAPES: list[tuple[str, list[Refusal], str, int]] = [
    ("max_completion_tokens", [no_max_tokens], "max_completion_tokens", 1),
    ("no temperature", [no_temperature], "no temperature", 1),
    ("openai's limit", [at_most(5, "Invalid value for 'top_logprobs': must be less than or equal to 5.")], "top_logprobs 5", 1),
    ("openai's other words", [at_most(8, "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 8, but got 20 instead.")], "top_logprobs 8", 1),
    ("vllm's limit", [at_most(10, "Requested sample logprobs of 20, which is greater than max allowed: 10")], "top_logprobs 10", 1),
    ("no limit told", [at_most(5, "top_logprobs is out of range")], "top_logprobs 5", 1),
    ("a wrong limit told", [at_most(5, "top_logprobs must be at most 8")], "top_logprobs 5", 2),
    ("no template", [no_template], "no template", 1),
    ("at least 16", [at_least(16, "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.")], "16 answer tokens", 1),
    ("at least 16, by name", [at_least(16, "max_tokens must be at least 16")], "16 answer tokens", 1),
    ("too few for the answer", [at_least(16, "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.")], "16 answer tokens", 1),
    (
        "all at once",
        [no_template, no_max_tokens, no_temperature, at_most(5, "top_logprobs must be <= 5"), at_least(16, "max_completion_tokens must be at least 16")],
        "max_completion_tokens, 16 answer tokens, no temperature, top_logprobs 5, no template",
        5,
    ),
]  # fmt: skip


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("refusals", "shape", "steps"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_a_refusal_that_names_a_field_leads_to_the_next_shape(
    refusals: list[Refusal], shape: str, steps: int, status: int
) -> None:
    grades, server, identity = run(refusing(refusals, positions(YES), status))
    got = only(grades)
    assert isinstance(got, Value)
    assert got.p == pytest.approx(7 / 9)
    assert got.low <= got.p <= got.high
    assert grades.summary.request == shape
    assert grades.summary.sent == steps + 1 == sum(server.received.values())
    assert grades.summary.retried == 0
    assert identity.endswith(f" request {shape}")
    assert same(identity, identity.partition(" request ")[0])


def test_a_server_that_takes_the_usual_shape_is_asked_as_ever() -> None:
    grades, server, identity = run(refusing([], positions(YES)))
    (body,) = server.received
    assert list(json.loads(body)) == [
        "model", "messages", "max_tokens", "temperature", "logprobs", "top_logprobs", "chat_template_kwargs"
    ]  # fmt: skip
    assert grades.summary.request == ""
    assert " request " not in identity


def test_many_that_are_refused_at_once_find_one_shape() -> None:
    """Eight at a time: each is refused for the shape it was sent in, none steps twice, and all others go through."""
    refusals: list[Refusal] = [no_template, no_max_tokens, at_most(5, "top_logprobs must be <= 5")]
    grades, server, _ = run(refusing(refusals, positions(YES)), number=60)
    assert all(isinstance(answers[0], Value) for answers in grades.answers)
    assert grades.summary.request == "max_completion_tokens, top_logprobs 5, no template"
    assert grades.summary.sent <= 60 + 8 * 3
    assert len([body for body in server.received if "chat_template_kwargs" in json.loads(body)]) <= 8


def test_endless_refusals_end_with_one_sentence() -> None:
    """Each field in turn, whatever is sent."""

    def script(body: bytes, before: int) -> Action:
        names = [name for name in ("chat_template_kwargs", "temperature", "top_logprobs", "max_tokens", "max_completion_tokens") if name in json.loads(body)]  # fmt: skip
        return Say(
            json.dumps({"error": {"message": f"'{names[0]}' is not supported", "param": names[0]}}).encode(), 400
        )

    grades, server, _ = run(script)
    got = only(grades)
    assert isinstance(got, Invalid)
    assert got.kind == "refused"
    assert got.reason == (
        "status 400: 'max_completion_tokens' is not supported (no other shape of request is known for a server that "
        "refuses `max_completion_tokens`; `rbrc grader check` says what it takes)"
    )
    assert sum(server.received.values()) == 7  # 20, 5, 1 and no alternatives among them


ECHO = "temperature is not supported; the prompt is too long for the context; max_tokens must be at least 9000. " * 400


@pytest.mark.parametrize("form", ["detail", "message", "text"])
def test_what_a_server_repeats_of_the_request_names_nothing(form: str) -> None:
    """The conversation speaks of fields and lengths, and each refusal repeats it."""

    def refusal(body: Mapping[str, Any]) -> bytes | None:
        if "chat_template_kwargs" not in body:
            return None
        said = f"[{{'type': 'extra_forbidden', 'loc': ('body', 'chat_template_kwargs'), 'msg': 'Extra inputs are not permitted', 'input': {body['messages']}"
        detail = {"loc": ["body", "chat_template_kwargs"], "input": dict(body), "msg": "Extra inputs are not permitted"}
        return {
            "detail": json.dumps({"detail": [{"input": ECHO, "loc": ["query"]}, detail]}),
            "message": json.dumps({"object": "error", "message": said}),
            "text": said,
        }[form].encode()

    made = [proposition("p0", question=f"Is it so: {ECHO}")]
    items = [item("i0", ECHO, ECHO)]
    with FaultServer(refusing([refusal], positions(YES))) as server, AnswerCache(None) as kept:
        chat = ChatOptions("m", server.url)
        remote = chat_endpoint(made, plan(made, reaching(made, [(0,)]), items), chat, Secret(""))
        grades = grade(remote, items, [(0,)], kept, QUICK, Price())
    assert isinstance(only(grades), Value)
    assert grades.summary.request == "no template"


def test_a_field_that_is_refused_though_it_is_not_sent_any_more() -> None:
    grades, server, _ = run(refusing([lambda body: "max_tokens is refused"], positions(YES)))
    got = only(grades)
    assert isinstance(got, Invalid)
    assert got.reason.startswith("status 400: max_tokens is refused (no other shape of request is known")
    assert sum(server.received.values()) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("This model's maximum context length is 512 tokens; 'max_tokens' is too large: 1.", "context length is 512"),
        ("the prompt was flagged", "flagged"),
        ("n must be 1", "n must be 1"),
        ("'logprobs' is not supported with this model", "sample answers with `--samples`"),
        (
            "max_tokens must be at least 5000",
            "no other shape of request is known for a server that refuses `max_tokens`",
        ),
        ("logit_bias is not supported", "logit_bias is not"),
    ],
)
def test_other_refusals_are_of_the_row(said: str, reason: str) -> None:
    grades, server, _ = run(refusing([lambda body: said], positions(YES)))
    got = only(grades)
    assert isinstance(got, Invalid)
    assert got.kind == "refused"
    assert reason in got.reason
    assert sum(server.received.values()) == 1


def test_a_shape_that_had_an_answer_stays() -> None:
    """What a server refuses later is that row's: its words may have come from the row."""
    refusal: Refusal = lambda body: "temperature is not supported" if "Answer 7." in json.dumps(body) else None  # noqa: E731
    grades, _, _ = run(
        refusing([refusal], positions(YES)), number=12, options=ChatOptions("m", request=Request(max_tokens=2))
    )
    reasons = [a[0].reason for a in grades.answers if isinstance(a[0], Invalid)]
    # The first eight are asked at once: the refused one may come before any answer, and is then asked without.
    assert len(reasons) <= 1
    assert sum(isinstance(a[0], Value) for a in grades.answers) >= 11


@pytest.mark.parametrize(
    ("fixed", "refusal", "reason"),
    [
        (Request(max_tokens_field="max_tokens"), no_max_tokens, "`request.max_tokens_field` in the grader file fixes it: write \"auto\""),
        (Request(max_tokens_field="max_completion_tokens"), no_max_completion_tokens, "`request.max_tokens_field` in the grader file"),
        (Request(temperature=0.0), no_temperature, "`request.temperature` in the grader file fixes it"),
        (Request(top_logprobs=20), at_most(5, "top_logprobs must be <= 5"), "`request.top_logprobs` in the grader file fixes"),
        (Request(max_tokens=1), at_least(16, "max_tokens must be at least 16"), "`request.max_tokens` in the grader file"),
    ],
)  # fmt: skip
def test_what_is_fixed_is_not_changed(fixed: Request, refusal: Refusal, reason: str) -> None:
    grades, server, _ = run(refusing([refusal], positions(YES)), fixed=fixed)
    got = only(grades)
    assert isinstance(got, Invalid)
    assert reason in got.reason
    assert sum(server.received.values()) == 1


def test_a_template_of_ones_own_is_not_given_up() -> None:
    own = ChatOptions("m", template=(("enable_thinking", True),))
    grades, _, _ = run(refusing([no_template], positions(YES)), options=own)
    got = only(grades)
    assert isinstance(got, Invalid)
    assert "`--template`, fixes it" in got.reason


def test_what_is_fixed_is_sent() -> None:
    fixed = Request("max_completion_tokens", 16, 3, "none", json.dumps({"service_tier": "flex"}))
    _, server, _ = run(
        refusing([], positions(YES)), fixed=fixed, options=ChatOptions("m", request=fixed, top_logprobs=3)
    )
    (body,) = server.received
    sent = json.loads(body)
    del sent["messages"]
    assert sent == {
        "model": "m", "max_completion_tokens": 16, "logprobs": True, "top_logprobs": 3, "service_tier": "flex",
        "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
    }  # fmt: skip


def test_samples_are_reshaped_too() -> None:
    refusals: list[Refusal] = [
        no_max_tokens,
        lambda body: "'temperature' is not supported" if "temperature" in body else None,
    ]
    grades, server, _ = run(refusing(refusals, positions(YES)), options=ChatOptions("m", samples=3))
    got = only(grades)
    assert isinstance(got, Value)
    assert got.p == 0.8  # three times yes
    assert grades.summary.request == "max_completion_tokens, no temperature"
    assert sum(server.received.values()) == 5


def test_the_shape_is_kept_with_the_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run sends nothing, though the server is gone."""
    policy, rows, cache = tmp_path / "p.rbr", tmp_path / "r.jsonl", tmp_path / "a.answers"
    policy.write_text(POLICY)
    rows.write_text('{"prompt": "Hi?", "completion": "Sorry.", "response_type": "r"}\n')
    call = ["grade", str(policy), str(rows), "-o", str(tmp_path / "o.jsonl"), "--cache", str(cache), "--no-discover"]
    with FaultServer(refusing([no_max_tokens], positions(YES))) as server:
        named = ["--grader", "openai:m", "--base-url", server.url]
        assert main([*call, *named]) == 0
        first = (tmp_path / "o.jsonl").read_bytes()
        assert sum(server.received.values()) == 3
        assert "asked as the server takes it: max_completion_tokens" in capsys.readouterr().err
    assert main([*call, *named]) == 0
    assert "asked as the server takes it: max_completion_tokens" in capsys.readouterr().err
    assert (tmp_path / "o.jsonl").read_bytes() == first
    row = json.loads(first)
    assert row["grader"].endswith(" request max_completion_tokens")
    assert row["probs"]["apology"] == pytest.approx(7 / 9)


def test_a_kept_shape_is_left_again_where_it_is_refused(tmp_path: Path) -> None:
    """The server behind the address is another by now."""
    cache = tmp_path / "a.answers"
    made, items = [proposition("p0")], [item("i0")]
    refusals: list[Refusal] = [no_max_tokens]
    with FaultServer(lambda body, before: refusing(refusals, positions(YES))(body, before)) as server:
        for shape in ("max_completion_tokens", ""):
            remote = chat_endpoint(
                made, plan(made, reaching(made, [(0,)]), items), ChatOptions("m", server.url), Secret("")
            )
            with AnswerCache(cache) as kept:
                found = grade(remote, items if shape else [item("i1", "Another?")], [(0,)], kept, QUICK, Price())
            assert isinstance(only(found), Value)
            assert found.summary.request == shape
            refusals[:] = [no_max_completion_tokens]


def test_a_dry_run_knows_the_shape(tmp_path: Path) -> None:
    cache = tmp_path / "a.answers"
    made = [proposition("p0")]
    items = [item("i0")]
    with FaultServer(refusing([no_max_tokens], positions(YES))) as server, AnswerCache(cache) as kept:
        chat = ChatOptions("m", server.url)
        made_plan = plan(made, reaching(made, [(0,)]), items)
        grade(chat_endpoint(made, made_plan, chat, Secret("")), items, [(0,)], kept, QUICK, Price())
        again = chat_endpoint(made, made_plan, chat, Secret(""))
        assert estimate(again, items, [(0,)], kept, Price()).from_cache == 1


@pytest.mark.parametrize(
    "plain",
    [None, [], {}, {"tokens": 1}, *(
        {"tokens_field": "max_tokens", "tokens": 1, "temperature": True, "top": None, "template": True, "token_ids": True, "texts": False, **wrong}
        for wrong in ({"tokens": 10**9}, {"tokens": True}, {"top": -1}, {"tokens_field": "n"}, {"template": 1}, {"more": 1})
    )],
)  # fmt: skip
def test_a_kept_shape_that_is_none_is_not_taken(plain: object) -> None:
    shaping = Shaping(Request(), own_template=False)
    shaping.recall(plain)
    assert shaping.shape == Shape()


# --- what comes back --------------------------------------------------------------------------


def old(top: Sequence[tuple[str, float]]) -> Say:
    return reply({"tokens": [top[0][0]], "token_logprobs": [math.log(top[0][1])], "top_logprobs": None})


def by_bytes() -> Say:
    one = entry(YES, 20)
    for each in (one, *one["top_logprobs"]):
        del each["token"]
    return reply({"content": [one]})


REPLIES: list[tuple[str, Action, float, float, float]] = [
    ("tokens and token_logprobs", old([("Yes", 0.95)]), 0.95, 0.95, 1.0),
    ("no at its own probability", old([("No", 0.95)]), 0.05, 0.0, 0.05),
    ("with old alternatives", reply({"tokens": ["Yes"], "token_logprobs": [math.log(0.7)], "top_logprobs": [{t: math.log(p) for t, p in YES}]}), 7 / 9, 7 / 9, 7 / 9),
    ("bytes alone", by_bytes(), 7 / 9, 7 / 9, 7 / 9),
    ("no alternatives", reply({"content": [entry([("Yes", 0.97)], 0)]}), 0.97, 0.97, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("action", "p", "low", "high"), [r[1:] for r in REPLIES], ids=[r[0] for r in REPLIES])
def test_a_reply_in_another_shape_has_its_value(action: Action, p: float, low: float, high: float) -> None:
    grades, server, _ = run(lambda body, before: action)
    got = only(grades)
    assert isinstance(got, Value)
    assert (got.p, got.low, got.high) == pytest.approx((p, low, high), abs=1e-9)
    assert sum(server.received.values()) == 1


LEADS = [("**", 0.9), ("Yes", 0.04), ("No", 0.02), *((f"w{n}", 0.04 / 17) for n in range(17))]
BEHIND = 0.04 + 0.9 * 0.7, 0.02 + 0.9 * 0.2


@pytest.mark.parametrize("sign", ["**", " ", "\n", "\n\n", '"', "“", "`", "\u0120"])
def test_an_answer_is_read_behind_white_space_and_emphasis(sign: str) -> None:
    """Yes and no of both positions, the second weighted by what was chosen before it; known from the full lists."""
    lead = [(sign, 0.9), *LEADS[1:]]
    grades, server, _ = run(refusing([], positions(lead, YES)))
    yes, no = BEHIND
    got = only(grades)
    assert isinstance(got, Value)
    assert got.p == pytest.approx(yes / (yes + no))
    assert got.mass == pytest.approx(yes + no)
    assert got.low == pytest.approx(got.p, abs=1e-6)
    assert got.high == pytest.approx(got.p, abs=1e-6)
    assert grades.summary.request == "4 answer tokens"
    assert [json.loads(body)["max_tokens"] for body in server.received] == [1, 4]


def test_what_is_not_known_behind_white_space_bounds_the_value() -> None:
    lead = [("\n", 0.88), (" ", 0.06), ("Yes", 0.04), ("No", 0.02)]
    grades, _, _ = run(refusing([], positions(lead, [("Yes", 0.95), ("No", 0.05)])))
    yes, no = 0.04 + 0.88 * 0.95, 0.02 + 0.88 * 0.05
    got = only(grades)
    assert isinstance(got, Value)  # 0.06 behind another space may be either answer
    assert got.p == pytest.approx(yes / (yes + no))
    assert got.low == pytest.approx(yes / (yes + no + 0.06))
    assert got.high == pytest.approx((yes + 0.06) / (yes + no + 0.06))


def test_of_the_chosen_token_alone_the_value_is_its_bound() -> None:
    refusals: list[Refusal] = [at_most(0, "top_logprobs is not supported")]
    grades, _, _ = run(refusing(refusals, positions([("**", 0.99)], [("Yes", 0.97)])))
    got = only(grades)
    assert isinstance(got, Value)
    assert (got.p, got.low, got.high) == pytest.approx((0.99 * 0.97, 0.99 * 0.97, 1.0))
    assert grades.summary.request == "4 answer tokens, no top_logprobs"
    assert grades.summary.reading == "the chosen token"


INVALID: list[tuple[str, Callable[[Mapping[str, Any]], Action], InvalidKind, str]] = [
    ("white space for ever", positions(*[[(" ", 0.99)]] * 4), "low-mass", "yes and no hold 0"),
    ("another word behind it", positions(LEADS, [("Well", 0.9), ("Yes", 0.1)]), "low-mass", "yes and no hold 0.15"),
    ("a thought behind it", positions(LEADS, [("<think>", 0.9)]), "thinking", "train of thought"),
    ("nothing behind it", lambda body: positions(LEADS)({**body, "max_tokens": 1}), "low-mass", "yes and no hold 0.06"),
    ("tokens by number", lambda body: reply({"content": [entry([("token_id:9642", 0.9), ("token_id:3", 0.1)], 20)]}), "no-logprobs", "names tokens by number"),
    ("no number", lambda body: reply({"tokens": ["Yes"], "token_logprobs": [None]}), "malformed", "not a number"),
    ("no bytes", lambda body: reply({"content": [{"logprob": -0.1, "bytes": [300]}]}), "malformed", "not a number"),
    ("nothing", lambda body: reply({"tokens": [], "token_logprobs": []}), "no-logprobs", "of no token"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "reason"), [i[1:] for i in INVALID], ids=[i[0] for i in INVALID])
def test_what_cannot_be_read_is_invalid_with_the_reason(
    answer: Callable[[Mapping[str, Any]], Action], kind: InvalidKind, reason: str
) -> None:
    grades, server, _ = run(refusing([], answer))
    got = only(grades)
    assert isinstance(got, Invalid)
    assert got.kind == kind
    assert reason in got.reason
    assert sum(server.received.values()) <= 2


def test_tokens_by_number_are_asked_for_as_texts() -> None:
    def answer(body: Mapping[str, Any]) -> Action:
        numbers = body.get("return_tokens_as_token_ids") is not False
        top = [(f"token_id:{n}" if numbers else text, p) for n, (text, p) in enumerate(YES)]
        return reply({"content": [entry(top, 20)]})

    grades, _, _ = run(refusing([], answer))
    got = only(grades)
    assert isinstance(got, Value)
    assert got.p == pytest.approx(7 / 9)
    assert grades.summary.request == "tokens as texts"


def test_numbers_that_are_known_are_read() -> None:
    ids = (("Yes", 0), ("No", 1))
    top = [(f"token_id:{n}", p) for n, (_, p) in enumerate(YES)]
    grades, _, _ = run(
        lambda body, before: reply({"content": [entry(top, 20)]}), options=ChatOptions("m", token_ids=ids)
    )
    got = only(grades)
    assert isinstance(got, Value)
    assert (got.p, got.method) == (pytest.approx(7 / 9), "token-ids")
    assert grades.summary.request == ""
