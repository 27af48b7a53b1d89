"""Whatever a server does, the answer has the right state, says why, and comes in bounded time."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import virtualtime
from faultserver import Action, Drip, Drop, FaultServer, Hang, Say, Script, answer, chat, truth
from grading_kit import item, proposition, reaching
from virtualtime import Scripted

from rbrlang.grading.endpoint import run as runs
from rbrlang.grading.endpoint.account import Estimate, Grades, Price, Progress, RunOptions, estimate, together
from rbrlang.grading.endpoint.cache import AnswerCache, CacheError
from rbrlang.grading.endpoint.protocol.endpoint import ChatEndpoint, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.protocol.systemone import SystemOne
from rbrlang.grading.endpoint.run import RemoteGrader, grade
from rbrlang.grading.questions.forms import FORMS, Limits, settled, tally, vote
from rbrlang.grading.questions.layout import plan
from rbrlang.grading.questions.prompt import Layout
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, InvalidKind, Usage, Value, from_json, to_json

QUICK = RunOptions(concurrency=4, timeout=0.4, attempts=3, first_wait=0.01, longest_wait=0.2, patience=5.0)
FREE = Price()
KEY = "sk-test-0123456789"


def endpoint(
    server: FaultServer, items: list[GradeItem], propositions: int = 1, options: ChatOptions | None = None
) -> ChatEndpoint:
    made = [proposition(f"p{n}", question=f"Question {n}? " + "Long. " * 40 * n) for n in range(propositions)]
    circuit = reaching(made, [tuple(range(propositions))])
    options = replace(options or ChatOptions("m"), base_url=server.url)
    return chat_endpoint(made, plan(made, circuit, items), options, Secret(KEY))


def run(
    script: Script,
    number: int = 1,
    propositions: int = 1,
    options: RunOptions = QUICK,
    chat_options: ChatOptions | None = None,
) -> tuple[Grades, FaultServer]:
    items = [item(f"i{n}", f"Question {n}?", f"Answer {n}.") for n in range(number)]
    with FaultServer(script) as server, AnswerCache(None) as cache:
        remote = endpoint(server, items, propositions, chat_options)
        wanted = [tuple(range(propositions))] * number
        return grade(remote, items, wanted, cache, options, FREE), server


def only(grades: Grades) -> Answer:
    (answers,) = grades.answers
    (one,) = answers.values()
    return one


def always(action: Action) -> Script:
    return lambda body, before: action


def once(action: Action) -> Script:
    return lambda body, before: action if before == 0 else answer(body)


WORDS = chat([("Yes", 0.02), ("The", 0.9), *((f"w{n}", 1e-3) for n in range(18))])
NAN = chat([("Yes", 0.5), ("No", 0.4)]).body.replace(b"-0.6931471805599453", b"NaN")
NO_TOP = chat([("Yes", 0.6), ("No", 0.3)]).body.replace(b'"top_logprobs"', b'"other"')
LISTED = [("Yes", 0.6), ("No", 0.3), *((f"w{n}", 1e-4) for n in range(18))]

FINAL: list[tuple[str, Action, InvalidKind, str]] = [
    ("no logprobs", chat([("Yes", 1.0)], logprobs=None), "no-logprobs", "returned no log-probabilities"),
    ("no token", chat([("Yes", 1.0)], logprobs={"content": []}), "no-logprobs", "of no token"),
    ("capped at one", chat([("Yes", 0.6)]), "wide-bounds", "between 0.6 and 1: too few"),
    ("top missing", Say(NO_TOP), "wide-bounds", "too few"),
    ("NaN", Say(NAN), "malformed", "positive or not a number"),
    ("text for a number", Say(NAN.replace(b"NaN", b'"-0.1"')), "malformed", "not a number"),
    ("huge number", Say(NAN.replace(b"NaN", b"1" + b"0" * 400)), "malformed", "positive or not a number"),
    ("positive", Say(NAN.replace(b"NaN", b"0.3")), "malformed", "positive or not a number"),
    ("over one", chat([("Yes", 0.9), ("No", 0.8)]), "malformed", "sum to 1.7"),
    ("low mass", WORDS, "low-mass", "yes and no hold 0.02"),
    ("think token", chat([("<think>", 0.9), ("Yes", 0.05)]), "thinking", "train of thought"),
    ("harmony", chat([("<|channel|>", 0.9), ("Yes", 0.05)]), "thinking", "train of thought"),
    (
        "reasoning apart",
        chat([("Yes", 1.0)], message={"content": None, "reasoning_content": "Let me"}),
        "thinking",
        "turn thinking off",
    ),
    ("too long", Say(b'{"error": {"message": "context is 512 tokens"}}', 400), "refused", "context is 512"),
    ("bad request", Say(b'{"detail": "n must be 1"}', 422), "refused", "status 422: n must be 1"),
    ("redirect", Say(b"", 307, {"location": "http://127.0.0.1:9/"}), "refused", "status 307"),
]


@pytest.mark.parametrize(("action", "kind", "reason"), [f[1:] for f in FINAL], ids=[f[0] for f in FINAL])
def test_an_answer_that_cannot_be_used_is_invalid_at_once(action: Action, kind: InvalidKind, reason: str) -> None:
    grades, server = run(always(action))
    got = only(grades)
    assert isinstance(got, Invalid)
    assert got.kind == kind
    assert reason in got.reason
    assert grades.summary.invalid == {kind: 1}
    assert sum(server.received.values()) == 1


PASSING: list[tuple[str, Action, InvalidKind, str]] = [
    ("500", Say(b"oops", 500), "transport", "status 500: oops"),
    ("503", Say(b'{"error": "loading model"}', 503), "transport", "status 503: loading model"),
    ("429", Say(b"{}", 429, {"retry-after": "0.02"}), "transport", "status 429"),
    ("hang", Hang(30.0), "transport", "no complete reply from `127.0.0.1` within 0.4 s"),
    ("drip", Drip(b"{" * 4000, 0.02), "transport", "within 0.4 s"),
    ("dropped at once", Drop(0), "transport", "closed the connection"),
    ("dropped in the head", Drop(20), "transport", "closed the connection"),
    ("dropped in the body", Drop(600), "transport", "closed the connection"),
    ("truncated JSON", Say(answer(b"x").body[:-20]), "malformed", "not complete JSON"),
    ("deep JSON", Say(b"[" * 200_000), "malformed", "not complete JSON"),
    ("not JSON", Say(b"<html>busy</html>"), "malformed", "not complete JSON"),
    ("not UTF-8", Say(b'{"a": "\xff\xfe"}'), "malformed", "not complete JSON"),
    ("other schema", Say(b'{"result": "yes"}'), "malformed", "no `choices`"),
    ("a list", Say(b"[1]"), "malformed", "not a JSON object"),
    ("no message", Say(b'{"choices": [{"text": "yes"}]}'), "malformed", "no `message`"),
    ("endless", Say(b" " * 4_100_000), "transport", "more than 4,000,000 bytes"),
]


@pytest.mark.parametrize(("action", "kind", "reason"), [f[1:] for f in PASSING], ids=[f[0] for f in PASSING])
def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_invalid(
    action: Action, kind: InvalidKind, reason: str
) -> None:
    started = time.monotonic()
    grades, server = run(once(action))
    assert isinstance(only(grades), Value)
    assert (grades.summary.sent, grades.summary.retried) == (2, 1)
    grades, server = run(always(action))
    got = only(grades)
    assert isinstance(got, Invalid)
    assert got.kind == kind
    assert reason in got.reason
    assert "tried 3 times" in got.reason
    assert sum(server.received.values()) == 3
    assert time.monotonic() - started < 2 * QUICK.patience


LATE: list[tuple[str, Script]] = [
    ("silence", always(Hang(30.0))),
    ("a drip", always(Drip(b"{" * 4000, 0.02))),
    ("answers, then silence", lambda body, before: Hang(30.0) if b"Long." in body else answer(body)),
    ("errors, then silence", lambda body, before: Hang(30.0) if before else Say(b"oops", 500)),
    ("come back later", always(Say(b"{}", 429, {"retry-after": "0.9"}))),
]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script, RunOptions, ChatOptions], tuple[Grades, float]]:
    """A run of three asks on a clock that only waiting moves, and the seconds that it waited."""

    def ask(script: Script, options: RunOptions, chat_options: ChatOptions) -> tuple[Grades, float]:
        server, took = Scripted(script), list[float]()

        def clients(number: int) -> tuple[httpx.AsyncClient, ...]:
            return tuple(httpx.AsyncClient(transport=server) for _ in range(number))

        def run_virtually(work: Coroutine[Any, Any, Grades]) -> Grades:
            return virtualtime.run(work, took)

        monkeypatch.setattr(asyncio, "run", run_virtually)
        monkeypatch.setattr(runs, "clients", clients)
        made = [proposition(f"p{n}", question=f"Question {n}? " + "Long. " * 40 * n) for n in range(3)]
        items = [item("i0", "Question 0?", "Answer 0.")]
        laid = plan(made, reaching(made, [(0, 1, 2)]), items)
        remote = chat_endpoint(made, laid, replace(chat_options, base_url="http://scripted.invalid"), Secret(KEY))
        with AnswerCache(None) as cache:
            return grade(remote, items, [(0, 1, 2)], cache, options, FREE), took[0]

    return ask


@pytest.mark.parametrize("patience", [1.0, 4.0, 25.0])
@pytest.mark.parametrize("layout", ["question-first", "conversation-first"])
@pytest.mark.parametrize(("name", "script"), LATE, ids=[late[0] for late in LATE])
def test_patience_is_what_an_answer_takes_at_most(
    name: str, script: Script, layout: Layout, patience: float,
    waited: Callable[[Script, RunOptions, ChatOptions], tuple[Grades, float]],
) -> None:  # fmt: skip
    # A timeout far beyond the patience, and asks that wait for the first of their group: neither may add to it.
    options = replace(QUICK, timeout=10_000.0, attempts=6, patience=patience)
    grades, seconds = waited(script, options, ChatOptions("m", layout=layout))
    assert seconds <= patience + 1e-6
    if "silence" in name:
        assert seconds == pytest.approx(patience), "all of it, while nothing comes"
    answers = list(grades.answers[0].values())
    assert len(answers) == 3
    assert any(isinstance(got, Invalid) for got in answers)
    assert all(got.kind == "transport" for got in answers if isinstance(got, Invalid))


def test_the_own_pace_does_not_wear_out_the_patience() -> None:
    options = replace(QUICK, requests_per_minute=120.0, patience=0.3)
    grades, _ = run(lambda body, before: answer(body), number=4, options=options)
    assert all(isinstance(got, Value) for answers in grades.answers for got in answers.values())


def test_the_value_is_the_share_of_all_forms_of_yes() -> None:
    grades, server = run(lambda body, before: answer(body), number=3)
    for body in server.received:
        index = re.search(rb"Question (\d)\?\\n</user", body)
        assert index is not None
        got = grades.answers[int(index[1])][0]
        assert isinstance(got, Value)
        assert got.p == pytest.approx(truth(body), abs=1e-12)
        assert got.mass == pytest.approx(0.9, abs=1e-12)
        assert got.low <= got.p <= got.high
        assert got.high - got.low < 1e-6
        assert got.method == "top-k"
    assert grades.summary.usage == Usage(300, 3, 180)


def test_a_missing_form_widens_the_bounds_by_what_it_may_hold() -> None:
    got = only(run(always(chat([("Yes", 0.9), *((f"w{n}", 0.002) for n in range(19))])))[0])
    assert isinstance(got, Value)
    assert (got.p, got.high) == (1.0, 1.0)
    assert got.low == pytest.approx(0.9 / (0.9 + 6 * 0.002))


def test_older_shapes_of_logprobs_are_read() -> None:
    old = {"tokens": [" Yes"], "token_logprobs": [-0.2], "top_logprobs": [{" Yes": -0.2, " No": -1.8}]}
    got = only(run(always(chat([(" Yes", 1.0)], logprobs=old)))[0])
    assert isinstance(got, Value)
    assert got.p == pytest.approx(1 / (1 + 2.718281828 ** (-1.6)), rel=1e-6)


def test_token_ids_leave_nothing_to_bound_and_a_server_that_ignores_them_is_read_as_top_k() -> None:
    ids = tuple((form, 100 + n) for n, form in enumerate(FORMS))
    options = ChatOptions("m", token_ids=ids)
    every = [(form, 0.9 / len(FORMS)) for form in FORMS]
    grades, server = run(always(chat(every)), chat_options=options)
    got = only(grades)
    assert isinstance(got, Value)
    assert got.method == "token-ids"
    assert got.low == got.p == got.high == pytest.approx(0.5)
    (body,) = server.received
    assert json.loads(body)["logprob_token_ids"] == [number for _, number in ids]
    got = only(run(always(chat(LISTED)), chat_options=options)[0])
    assert isinstance(got, Value)
    assert got.method == "top-k"
    assert got.low < got.p < got.high


def test_what_is_sent_in_each_layout_byte_for_byte() -> None:
    grades, server = run(lambda body, before: answer(body), propositions=2)
    assert len(grades.answers[0]) == 2
    for body in server.received:
        plain = json.loads(body)
        text = plain.pop("messages")[0]["content"]
        assert text.startswith("You check one statement")
        assert plain == {
            "model": "m",
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 20,
            "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
        }
    hosted = ChatOptions("m", "https://api.openai.com/v1").for_host()
    assert hosted.template == ()
    assert ChatOptions("m", "https://openai.com.example.org/v1").for_host().template != ()


# --- samples ---


@pytest.mark.parametrize(("yes", "no", "low", "high"), [(8, 0, 0.6637, 0.9972), (3, 5, 0.1370, 0.7007)])
def test_samples_give_a_posterior(yes: int, no: int, low: float, high: float) -> None:
    def script(body: bytes, before: int) -> Action:
        plain = json.loads(body)
        assert (plain["temperature"], plain["max_tokens"]) == (1, 1)
        assert "logprobs" not in plain
        return chat([("Yes" if plain["seed"] < yes else "No", 1.0)], logprobs=None)

    grades, server = run(script, chat_options=ChatOptions("m", samples=yes + no))
    got = only(grades)
    assert isinstance(got, Value)
    assert got.method == "samples"
    assert got.p == pytest.approx((1 + yes) / (2 + yes + no))
    assert (got.low, got.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert len(server.received) == yes + no


@pytest.mark.parametrize("risk", [0.2, 0.05])
@pytest.mark.parametrize("p", [0.5, 0.47, 0.3, 0.04])
def test_samples_stop_on_the_wrong_side_no_more_often_than_the_risk(p: float, risk: float) -> None:
    """By exact enumeration of what may be drawn, 60 samples at most, for planted P(yes) of at most one half."""
    yes, no = vote("yes"), vote("no")
    reached, wrong, missed, stopped = {0: 1.0}, 0.0, 0.0, 0.0
    for n in range(61):
        going: dict[int, float] = {}
        for k, chance in reached.items():
            votes = [yes] * k + [no] * (n - k)
            over = settled(votes, risk)
            if over or n == 60:
                got = tally(votes, Limits(), risk)
                assert isinstance(got, Value)
                assert got.low <= got.p <= got.high
                missed += 0.0 if got.low <= p <= got.high else chance
                wrong += chance if over and got.p > 0.5 else 0.0
                stopped += chance * over
            else:
                going[k] = going.get(k, 0.0) + chance * (1 - p)
                going[k + 1] = going.get(k + 1, 0.0) + chance * p
        reached = going
    assert 0 < wrong <= risk
    assert missed <= 0.05
    assert stopped > 0.99 or p > 0.04


def test_samples_stop_once_the_side_is_known(tmp_path: Path) -> None:
    options = ChatOptions("m", samples=32, risk=0.05)
    grades, server = run(always(chat([("No", 1.0)], logprobs=None)), chat_options=options)
    got = only(grades)
    assert isinstance(got, Value)
    assert (got.p, sum(server.received.values())) == (pytest.approx(1 / 9), 7)
    assert 0.0 == got.low < got.p < got.high < 0.52
    assert grades.summary.reading == "up to 32 sampled answers, at risk 0.05"

    def torn(body: bytes, before: int) -> Action:
        return chat([("Yes" if json.loads(body)["seed"] % 2 else "No", 1.0)], logprobs=None)

    grades, server = run(torn, chat_options=options)
    assert (only(grades), sum(server.received.values())) == (tally([vote("yes"), vote("no")] * 16, Limits(), 0.05), 32)
    assert len({replace(options, risk=one).identity for one in (0.0, 0.05, 0.1)}) == 3


def test_samples_that_say_neither_are_low_mass() -> None:
    options = ChatOptions("m", samples=4)
    got = only(run(always(chat([("Perhaps", 1.0)], logprobs=None)), chat_options=options)[0])
    assert got == Invalid("low-mass", "4 of 4 samples say neither yes nor no")
    got = only(run(always(chat([("<think>", 1.0)], logprobs=None)), chat_options=options)[0])
    assert isinstance(got, Invalid)
    assert got.kind == "thinking"


# --- the run as a whole ---


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_can_survive_stops_the_run_without_showing_the_key(status: int) -> None:
    said = json.dumps({"error": {"message": f"invalid key {KEY}\nfor model m"}}).encode()
    grades, server = run(always(Say(said, status)), number=40)
    assert sum(server.received.values()) <= QUICK.concurrency
    assert grades.summary.stopped is not None
    assert f"status {status}: invalid key … for model m" in grades.summary.stopped
    assert KEY not in repr(grades)
    assert {a.kind for each in grades.answers for a in each.values() if isinstance(a, Invalid)} == {
        "refused",
        "stopped",
    }
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers in server.headers)


def test_an_empty_account_is_not_waited_for() -> None:
    said = b'{"error": {"message": "you exceeded your quota", "code": "insufficient_quota"}}'
    grades, server = run(always(Say(said, 429, {"retry-after": "20"})), number=20)
    assert sum(server.received.values()) <= QUICK.concurrency
    assert grades.summary.stopped is not None


def test_the_breaker_opens_when_nothing_succeeds_and_not_before() -> None:
    grades, server = run(always(Say(b"down", 500)), number=300)
    assert grades.summary.stopped is not None
    assert "25 requests in a row failed, the last because status 500: down" in grades.summary.stopped
    assert sum(server.received.values()) < 100
    assert grades.summary.invalid["stopped"] > 200
    assert grades.summary.values == 0

    def half(body: bytes, before: int) -> Action:
        return Say(b"", 500) if truth(body) < 0.5 else answer(body)

    grades, server = run(half, number=120, options=replace(QUICK, attempts=1))
    assert grades.summary.stopped is None
    assert grades.summary.values + grades.summary.invalid["transport"] == 120


def test_a_proposition_that_the_model_will_not_answer_does_not_stop_the_others() -> None:
    grades, _ = run(always(WORDS), number=60)
    assert grades.summary.stopped is None
    assert grades.summary.invalid == {"low-mass": 60}


def test_retries_stay_in_proportion_to_requests() -> None:
    options = replace(QUICK, attempts=6, retries=0.1, stop_after=10_000)
    grades, server = run(always(Say(b"", 503)), number=100, options=options)
    assert grades.summary.retried <= 2 * QUICK.concurrency + 10 + 0.1 * 100
    assert sum(server.received.values()) == grades.summary.sent == 100 + grades.summary.retried
    assert any(
        "no retries left" in a.reason for each in grades.answers for a in each.values() if isinstance(a, Invalid)
    )


def test_retry_after_holds_everybody_back() -> None:
    seen: list[float] = []

    def script(body: bytes, before: int) -> Action:
        seen.append(time.monotonic())
        return Say(b"", 429, {"retry-after": "0.3"}) if len(seen) == 1 else answer(body)

    grades, _ = run(script, number=30, options=replace(QUICK, concurrency=1))
    assert grades.summary.values == 30
    assert seen[1] - seen[0] >= 0.3


def test_a_server_that_asks_for_more_time_than_there_is_gets_none() -> None:
    started = time.monotonic()
    got = only(run(always(Say(b"", 503, {"retry-after": "86400"})))[0])
    assert isinstance(got, Invalid)
    assert "asks to wait 86400 s" in got.reason
    assert time.monotonic() - started < 3.0


def test_concurrency_is_bounded_and_used() -> None:
    grades, server = run(lambda body, before: answer(body), number=200, options=replace(QUICK, concurrency=3))
    assert grades.summary.values == 200
    assert server.most_open <= 3


def test_requests_per_minute_are_kept() -> None:
    started = time.monotonic()
    grades, _ = run(lambda body, before: answer(body), number=7, options=replace(QUICK, requests_per_minute=600))
    assert grades.summary.values == 7
    assert time.monotonic() - started >= 0.6


def test_the_first_of_a_group_is_answered_before_the_others_are_sent() -> None:
    items = [item(f"i{n}", f"Question {n}?", f"Answer {n}. " * 20) for n in range(10)]
    leaders: dict[bytes, bytes] = {}
    early: list[bytes] = []

    def script(body: bytes, before: int) -> Action:
        leader = leaders[body]
        if leader != body and not server.answered[leader]:
            early.append(body)
        return answer(body)

    with FaultServer(script) as server, AnswerCache(None) as cache:
        remote = endpoint(server, items, propositions=3)
        for group in remote.groups([(0, 1, 2)] * 10, items):
            bodies = [remote.bodies(ask, items[ask.item])[0] for ask in group]
            leaders.update(dict.fromkeys(bodies, bodies[0]))
        grades = grade(remote, items, [(0, 1, 2)] * 10, cache, replace(QUICK, concurrency=8), FREE)
    assert grades.summary.values == 30
    assert 1 < len(set(leaders.values())) < 30
    assert early == []


def test_limit_grades_the_first_items_and_says_so() -> None:
    grades, server = run(lambda body, before: answer(body), number=5, options=replace(QUICK, limit=2))
    assert [type(a[0]) for a in grades.answers] == [Value, Value, Abstained, Abstained, Abstained]
    assert sum(server.received.values()) == 2


def test_a_remote_grader_as_a_judge_remembers_that_it_stopped() -> None:
    items = [item("a"), item("b", answered="Bye.")]
    down = False

    def script(body: bytes, before: int) -> Action:
        return Say(b"", 401) if down else answer(body)

    with FaultServer(script) as server:
        grader = RemoteGrader(endpoint(server, items), None, QUICK, FREE)
        first = grader.answers(items[:1], [(0,)])
        down = True
        second, third = grader.answers(items[1:], [(0,)]), grader.answers(items[1:], [(0,)])
    assert isinstance(first[0][0], Value)
    assert [s.sent for s in grader.summaries] == [1, 1]
    whole = together(grader.summaries)
    assert whole is not None
    assert (whole.sent, whole.values, whole.invalid) == (2, 1, {"refused": 1})
    assert whole.stopped == grader.summaries[-1].stopped is not None
    assert second[0][0] == Invalid("refused", "status 401")
    got = third[0][0]
    assert isinstance(got, Invalid)
    assert got.kind == "stopped"


def test_progress_counts_up_and_estimates_the_cost() -> None:
    told: list[Progress] = []
    items = [item(f"i{n}", f"Question {n}?", "Yes.") for n in range(10)]
    with FaultServer(lambda body, before: answer(body)) as server, AnswerCache(None) as cache:
        remote = endpoint(server, items)
        price = Price(prompt=2.0, completion=8.0, cached=0.5)
        grades = grade(remote, items, [(0,)] * 10, cache, QUICK, price, told.append)
        again = grade(remote, items, [(0,)] * 10, cache, QUICK, price)
    each = (40 * 2.0 + 60 * 0.5 + 8.0) / 1e6
    assert [p.done for p in told] == list(range(1, 11))
    assert all(p.total == 10 and p.cost_estimate == pytest.approx(10 * each) for p in told)
    assert grades.summary.cost == pytest.approx(10 * each)
    assert again.summary.cost == 0.0
    assert again.summary.reused == grades.summary.usage
    assert again.answers == grades.answers


def test_an_estimate_sends_nothing_and_knows_the_cache(tmp_path: Path) -> None:
    items = [item(f"i{n}", f"Question {n}?", "Yes.") for n in range(4)]
    with FaultServer(lambda body, before: answer(body)) as server, AnswerCache(tmp_path / "c") as cache:
        remote = endpoint(server, items)
        before = estimate(remote, items, [(0,)] * 4, cache, Price(prompt=1e6))
        assert sum(server.received.values()) == 0
        grade(remote, items, [(0,)] * 4, cache, replace(QUICK, limit=3), FREE)
        after = estimate(remote, items, [(0,)] * 4, cache, Price(prompt=1e6))
    sizes = [sum((len(b) + 3) // 4 for b in server.received), before.usage.prompt]
    assert (before.requests, before.from_cache) == (4, 0)
    assert before.cost == before.usage.prompt
    assert after == Estimate(4, 3, Usage(sizes[1] - sizes[0], 1), float(sizes[1] - sizes[0]))


# --- the cache ---


def test_what_differs_in_anything_that_matters_is_asked_again(tmp_path: Path) -> None:
    items = [item("a")]

    def asks(change: Callable[[ChatOptions], ChatOptions]) -> int:
        with AnswerCache(tmp_path / "cache") as cache:
            remote = endpoint(server, items, options=change(ChatOptions("m")))
            return grade(remote, items, [(0,)], cache, QUICK, FREE).summary.sent

    with FaultServer(lambda body, before: answer(body)) as server:
        assert asks(lambda o: o) == 1
        assert asks(lambda o: o) == 0
        assert asks(lambda o: replace(o, model="n")) == 1
        assert asks(lambda o: replace(o, top_logprobs=5)) == 1
        assert asks(lambda o: replace(o, limits=replace(o.limits, mass=0.6))) == 1
        assert asks(lambda o: replace(o, template=())) == 1
        items = [item("a", answered="Hello. ")]
        assert asks(lambda o: o) == 1
    assert KEY.encode() not in (tmp_path / "cache").read_bytes()


def test_server_faults_are_not_remembered_and_low_mass_is(tmp_path: Path) -> None:
    items = [item("a")]
    for action, again in ((chat([("Yes", 1.0)], logprobs=None), 1), (WORDS, 0), (Say(b"", 400), 1)):
        with FaultServer(always(action)) as server, AnswerCache(tmp_path / f"{again}{id(action)}") as cache:
            remote = endpoint(server, items)
            first = grade(remote, items, [(0,)], cache, QUICK, FREE)
            second = grade(remote, items, [(0,)], cache, QUICK, FREE)
        assert second.answers == first.answers
        assert second.summary.sent == again


def test_a_file_that_is_no_cache_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, not a cache, and long enough to be one\n" * 20)
    with pytest.raises(CacheError, match=r"cannot use the answer cache .*not a database"):
        AnswerCache(text)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    content = other.read_bytes()
    with pytest.raises(CacheError, match="is not an answer cache; name another file"):
        AnswerCache(other)
    assert other.read_bytes() == content
    with pytest.raises(CacheError, match="check the folder"):
        AnswerCache(tmp_path / "no" / "folder")


def test_a_damaged_row_counts_as_absent(tmp_path: Path) -> None:
    items = [item("a")]
    with FaultServer(lambda body, before: answer(body)) as server:
        with AnswerCache(tmp_path / "c") as cache:
            first = grade(endpoint(server, items), items, [(0,)], cache, QUICK, FREE)
        for damage in ("", "{", "[]", '{"answers": [{"p": 2}]}', '{"answers": [{"invalid": "so"}]}'):
            database = sqlite3.connect(tmp_path / "c")
            with database:
                database.execute("UPDATE answers SET reading = ?", (damage,))
            database.close()
            with AnswerCache(tmp_path / "c") as cache:
                again = grade(endpoint(server, items), items, [(0,)], cache, QUICK, FREE)
            assert again.summary.sent == 1
            assert again.answers == first.answers


def test_an_altered_answer_is_asked_again_and_said(tmp_path: Path) -> None:
    items = [item("a"), item("b", answered="Bye.")]
    file = tmp_path / "c"

    def asked() -> Grades:
        with AnswerCache(file) as cache:
            return grade(endpoint(server, items), items, [(0,), (0,)], cache, QUICK, FREE)

    def alter(statement: str, *values: object) -> None:
        database = sqlite3.connect(file)
        with database:
            database.execute(statement, values)
        database.close()

    with FaultServer(lambda body, before: answer(body)) as server:
        first = asked()
        assert first.summary.notes == ()
        database = sqlite3.connect(file)
        (one, said), (other, _) = database.execute("SELECT key, reading FROM answers").fetchall()
        database.close()
        changed = said.replace('"p": ', '"p": 0.5, "was": ')
        assert changed != said
        for statement, values in (
            ("UPDATE answers SET reading = ? WHERE key = ?", (changed, one)),
            ("UPDATE answers SET reading = (SELECT reading FROM answers WHERE key = ?) WHERE key = ?", (other, one)),
            ("UPDATE answers SET reading = ? WHERE key = ?", (b"\xff\xfe", one)),
            ("UPDATE answers SET reading = NULL WHERE key = ?", (one,)),
            ("UPDATE answers SET digest = NULL WHERE key = ?", (one,)),
        ):
            alter(statement, *values)
            again = asked()
            assert again.answers == first.answers
            assert (again.summary.sent, again.summary.from_cache) == (1, 1)
            assert again.summary.notes == (
                f"answers in the cache `{file}` that are not as they were stored were asked again: 1",
            )
        assert asked().summary.notes == ()


def test_a_cache_without_digests_gets_them_once(tmp_path: Path) -> None:
    items = [item("a")]
    file = tmp_path / "c"
    with FaultServer(lambda body, before: answer(body)) as server:
        with AnswerCache(file) as cache:
            first = grade(endpoint(server, items), items, [(0,)], cache, QUICK, FREE)
        database = sqlite3.connect(file)
        with database:  # as version 1 wrote it
            database.execute("ALTER TABLE answers DROP COLUMN digest")
            database.execute("PRAGMA user_version=1")
        database.close()
        for notes in (1, 0):
            with AnswerCache(file) as cache:
                again = grade(endpoint(server, items), items, [(0,)], cache, QUICK, FREE)
            assert again.answers == first.answers
            assert again.summary.sent == 0
            assert len(again.summary.notes) == notes
            assert all(note.endswith("(answers: 1)") for note in again.summary.notes)


def test_an_answer_outside_of_its_own_bounds_is_none() -> None:
    plain = to_json(Value(0.5, 0.9, 0.4, 0.6, "top-k"))
    assert from_json(plain) == Value(0.5, 0.9, 0.4, 0.6, "top-k")
    for p in (0.3, 0.7):
        with pytest.raises(ValueError, match="not an answer"):
            from_json(plain | {"p": p})


# --- decision models ---


def test_a_decision_model_is_asked_everything_at_once() -> None:
    items = [item("a"), item("b", answered="Bye.")]
    made = tuple(proposition(f"p{n}") for n in range(3))

    def script(body: bytes, before: int) -> Action:
        plain = json.loads(body)
        assert set(plain) == {"model", "state", "questions"}
        assert all(set(q) == {"type", "instructions"} and q["type"] == "noul" for q in plain["questions"].values())
        answers = {name: {"type": "noul", "noul": 0.25} for name in plain["questions"]}
        answers["q1"] = {"type": "noul", "noul": 1.5}
        return Say(json.dumps({"answers": answers, "usage": {"input_tokens": 9, "output_tokens": 0}}).encode())

    with FaultServer(script) as server, AnswerCache(None) as cache:
        remote = SystemOne(server.url, "d", Secret(""), made)
        grades = grade(remote, items, [(0, 1, 2), (2,)], cache, QUICK, FREE)
    assert server.paths == {"/v1/systemone": 2}
    assert all("authorization" not in headers for headers in server.headers)
    assert grades.answers[0][0] == Value(0.25, 1.0, 0.25, 0.25, "decision-model")
    bad = grades.answers[0][1]
    assert isinstance(bad, Invalid)
    assert bad.kind == "malformed"
    assert list(grades.answers[1]) == [2]
    assert grades.summary.usage == Usage(18, 0)


def test_a_server_without_a_decision_model_stops_the_run() -> None:
    items = [item(str(n)) for n in range(20)]
    said = Say(b'{"error": {"message": "not a decision model"}}', 501)
    with FaultServer(always(said)) as server, AnswerCache(None) as cache:
        remote = SystemOne(server.url, "", Secret(""), (proposition("p"),))
        grades = grade(remote, items, [(0,)] * 20, cache, QUICK, FREE)
    assert "not a decision model" in (grades.summary.stopped or "")


def test_many_questions_go_in_several_requests() -> None:
    made = tuple(proposition(f"p{n}") for n in range(130))
    groups = list(SystemOne("http://h", "", Secret(""), made).groups([tuple(range(130))], [item("i")]))
    assert [len(group[0].propositions) for group in groups] == [64, 64, 2]


# --- at length ---


@pytest.mark.slow
def test_three_thousand_answers_with_a_fifth_of_the_requests_failing() -> None:
    number, propositions = 150, 20
    faults: list[Action] = [
        Say(b"", 429, {"retry-after": "0.001"}),
        Say(b"", 500),
        Say(b"", 503),
        Drop(0),
        Drop(100),
        Say(b'{"choices": [{'),
        Say(b"{}"),
        Hang(0.01),
    ]

    def script(body: bytes, before: int) -> Action:
        draw = truth(body + before.to_bytes(2, "big"))
        return faults[int(draw * 1e6) % len(faults)] if draw < 0.2 else answer(body)

    items = [item(f"i{n}", f"Question {n}?", f"Answer {n}.") for n in range(number)]
    wanted = [tuple(range(propositions))] * number
    options = RunOptions(concurrency=16, timeout=60.0, first_wait=0.001, longest_wait=0.05, attempts=4)
    with FaultServer(script) as server, AnswerCache(None) as cache:
        remote = endpoint(server, items, propositions)
        grades = grade(remote, items, wanted, cache, options, FREE)
        bodies = {
            (ask.item, ask.propositions[0]): remote.bodies(ask, items[ask.item])[0]
            for group in remote.groups(wanted, items)
            for ask in group
        }
    assert grades.summary.stopped is None
    assert sum(len(each) for each in grades.answers) == number * propositions
    missing = 0
    for i, each in enumerate(grades.answers):
        for p, got in each.items():
            if isinstance(got, Value):
                assert got.p == pytest.approx(truth(bodies[i, p]), abs=1e-9)
            else:
                assert isinstance(got, Invalid)
                assert "tried 4 times" in got.reason
                missing += 1
    # Four failures in a row of one request in five: about 5 of 3,000.
    assert 0 < missing < 20
    assert max(server.answered.values()) == 1
