"""A judge that thinks is read behind its thought, wherever the server puts that, and is invalid where no thought ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from faultserver import Action, FaultServer, Say
from grading_kit import item
from shapedserver import YES, entry, refusing
from test_grading_faults import FINAL, FREE, PASSING, QUICK, always, once, only, run

from rbrlang.cli.main import main
from rbrlang.grading.checkup import items as texts
from rbrlang.grading.endpoint.account import estimate
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.protocol.endpoint import THINKING_ON, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.run import grade
from rbrlang.grading.questions.layout import plan
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Distribution, Invalid, InvalidKind, Value, from_json, to_json
from rbrlang.policy import loads

BUDGET = 64
THINKING = ChatOptions("m", thought_tokens=BUDGET, template=THINKING_ON)
SURE = 0.999999
WORDS = ("The", " response", " says", " No", ".")
HARMONY = (
    "<|channel|>",
    "analysis",
    "<|message|>",
    *WORDS,
    "<|end|>",
    "<|start|>",
    "assistant",
    "<|channel|>",
    "final",
    "<|message|>",
)


def told(
    tokens: Sequence[str], answer: Sequence[tuple[str, float]] | None, *, message: Mapping[str, object] | None = None,
    behind: Sequence[str] = (), finish: str = "stop", listed: bool = True, **fields: object,
) -> Say:  # fmt: skip
    """A reply with these tokens, all but certain, then the candidates of an answer, then more tokens."""
    before = [entry([(text, SURE)], 20) for text in tokens]
    own = [] if answer is None else [entry(answer, 20)]
    after = [entry([(text, SURE)], 20) for text in behind]
    content = "".join((*tokens, answer[0][0] if answer else "", *behind))
    choice = {
        "message": {"role": "assistant", "content": content} | dict(message or {}), "finish_reason": finish,
        "logprobs": {"content": [*(before if listed else ()), *own, *after]},
    } | fields  # fmt: skip
    return Say(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 9}}).encode())


def cut_off(content: str = "Yes", field: str = "reasoning_content") -> dict[str, object]:
    return {"content": content, field: "The response says No."}


OLD = {
    "tokens": ["<think>", "No", "</think>", "Yes"], "token_logprobs": [0.0, 0.0, 0.0, -0.357],
    "top_logprobs": [{"<think>": 0.0}, {"No": 0.0}, {"</think>": 0.0}, {"Yes": -0.35667, "No": -1.60944, "w": -5.0}],
}  # fmt: skip
NO_BYTES = [{**entry([(text, SURE)], 1), "bytes": None} for text in ("No", "\u010a\u010a")]
READ: list[tuple[str, Say]] = [
    ("marked", told(("<think>", *WORDS, "</think>"), YES)),
    ("opened by the prompt", told((*WORDS, "</think>", "\n\n"), YES)),
    ("a mark in pieces", told((*WORDS, "</", "think", ">\n\n"), YES)),
    ("white space in the answer's token", told((*WORDS, "</think>\n"), [(f" {text}", p) for text, p in YES])),
    ("emphasis before", told((*WORDS, "</think>", "\n", "**"), YES, behind=("**",))),
    ("words behind", told((*WORDS, "</think>"), YES, behind=(",", " it", " says", " Yes"))),
    ("a control token behind", told((*WORDS, "</think>"), YES, behind=("<|im_end|>",), message=cut_off("Yes"))),
    ("a field apart, all tokens listed", told((*WORDS, "</think>", "\n\n"), YES, message=cut_off("\n\nYes"))),
    ("a field apart, the answer's listed", told(WORDS, YES, message=cut_off(), listed=False)),
    ("a field apart, marks not shown", told((*WORDS, "", ""), YES, behind=("",), message=cut_off("Yes", "reasoning"))),
    ("the word in the thought, too", told(("Yes", "Yes", "\n"), YES, message=cut_off())),
    ("Harmony", told(HARMONY, YES, behind=("<|return|>",))),
    ("Harmony, parsed", told(HARMONY, YES, behind=("<|return|>",), message=cut_off("Yes", "reasoning"))),
    ("another mark", told(("[THINK]", *WORDS, "[/THINK]"), YES)),
    ("letters of several tokens", told(("\u00e9", "</think>"), YES)),
    ("no thought", told((), YES)),
    ("text completions", told((), YES, message={"content": "<think>No</think>Yes"}, logprobs=OLD)),
    ("no bytes", told((), YES, message=cut_off(), logprobs={"content": [*NO_BYTES, entry(YES, 20)]})),
]  # fmt: skip


@pytest.mark.parametrize("reply", [r[1] for r in READ], ids=[r[0] for r in READ])
def test_the_answer_is_read_behind_the_thought(reply: Say) -> None:
    grades, server = run(always(reply), chat_options=THINKING)
    got = only(grades)
    assert isinstance(got, Value), got
    assert got.p == pytest.approx(7 / 9, abs=2e-3)
    assert got.mass == pytest.approx(0.9, abs=2e-3)
    assert from_json(to_json(got)) == got
    (body,) = server.received
    sent = json.loads(body)
    assert BUDGET < sent["max_tokens"] <= BUDGET + 16
    assert sent["chat_template_kwargs"] == {"enable_thinking": True, "thinking": True}
    assert "behind a thought of up to 64 tokens" in grades.summary.reading


LONG = tuple("on and on" for _ in range(BUDGET))
CANNOT: list[tuple[str, Action, InvalidKind, str]] = [
    ("no end", told(("<think>", *LONG), None, finish="length"), "thinking", "did not end within 64 tokens; allow more with `--thought"),
    ("no end, opened by the prompt", told(("Yes", ",", *LONG), None, finish="length"), "thinking", "did not end within 64 tokens"),
    ("no end, apart", told(LONG, None, message=cut_off(""), finish="length"), "thinking", "did not end within 64 tokens"),
    ("no end, by itself", told(("Yes", ",", *WORDS), None), "thinking", "no thought ends in it"),
    ("no answer", told((*WORDS, "</think>", "\n"), None), "thinking", "gave no answer behind it"),
    ("no answer, apart", told((*WORDS, "</think>"), None, message=cut_off("")), "thinking", "gave no answer behind it"),
    ("a second thought", told((*WORDS, "</think>", "<think>", "No"), None), "thinking", "no thought ends in it"),
    ("no room of its own", told((*WORDS, "</thi", "nk>Yes"), None), "malformed", "nobody knows which"),
    ("other tokens", told((*WORDS, "</think>"), YES, message=cut_off("Certainly")), "malformed", "nobody knows which"),
    ("another word", told((*WORDS, "</think>"), [("The", 0.9), ("Yes", 0.02)]), "low-mass", "yes and no hold 0.02"),
    ("no log-probabilities", told((*WORDS, "</think>"), YES, logprobs=None), "no-logprobs", "no log-probabilities"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "kind", "reason"), [c[1:] for c in CANNOT], ids=[c[0] for c in CANNOT])
def test_what_cannot_be_read_is_invalid(reply: Action, kind: InvalidKind, reason: str) -> None:
    got = only(run(always(reply), chat_options=THINKING)[0])
    assert isinstance(got, Invalid)
    assert (got.kind, reason in got.reason) == (kind, True), got


@pytest.mark.parametrize(("action", "kind", "reason"), [f[1:] for f in FINAL], ids=[f[0] for f in FINAL])
def test_a_final_fault_is_one_in_this_reading_too(action: Action, kind: InvalidKind, reason: str) -> None:
    got = only(run(always(action), chat_options=THINKING)[0])
    assert isinstance(got, Invalid)
    assert got.kind == kind
    assert kind == "thinking" or reason in got.reason


@pytest.mark.parametrize(("action", "kind"), [f[1:3] for f in PASSING], ids=[f[0] for f in PASSING])
def test_a_passing_fault_is_tried_again_in_this_reading_too(action: Action, kind: InvalidKind) -> None:
    assert isinstance(only(run(once(action), chat_options=THINKING)[0]), Value)
    got = only(run(always(action), chat_options=THINKING, options=replace(QUICK, attempts=2))[0])
    assert isinstance(got, Invalid)
    assert got.kind == kind


def test_a_long_reply_is_read_as_far_as_the_thought_may_need() -> None:
    thought = tuple("word " for _ in range(3000))
    big = told((*thought, "</think>"), YES)
    big = replace(big, body=big.body[:-1] + b" " * 4_500_000 + b"}")
    roomy = replace(QUICK, thought_tokens=3000, timeout=20.0)
    got = only(run(always(big), options=roomy, chat_options=replace(THINKING, thought_tokens=3000))[0])
    assert isinstance(got, Value)
    assert got.p == pytest.approx(7 / 9, abs=1e-6)
    got = only(run(always(big), options=replace(QUICK, timeout=20.0, attempts=1), chat_options=THINKING)[0])
    assert isinstance(got, Invalid)
    assert "more than 4,000,000 bytes" in got.reason


POLICY = """rbr 1
prop sorry "It says sorry."
scale help 1..3 "How far does it help?"
choice tone "What is the tone?" { formal "Formal."  casual "Casual." }
response r ranks good > bad { bad if sorry & help <= 1 & tone == casual
  good otherwise }
"""


def test_scales_and_choices_are_read_behind_a_thought_and_samples_too(tmp_path: Path) -> None:
    policy = loads(POLICY)
    questions, one = policy.program.questions, item("a")
    made = plan(questions, policy.circuit, [one])

    def script(body: bytes, before: int) -> Action:
        text = json.loads(body)["messages"][0]["content"]
        said = [("2", 0.6), ("1", 0.3), ("3", 0.05)] if "one digit" in text else [("B", 0.7), ("A", 0.25)]
        return told((*WORDS, "</think>", "\n"), said if "yes or no" not in text else YES)

    for samples in (0, 3):
        with FaultServer(script) as server, AnswerCache(tmp_path / f"{samples}.answers") as cache:
            options = replace(THINKING, base_url=server.url, samples=samples)
            grader = chat_endpoint(questions, made, options, Secret(""))
            first = grade(grader, [one], [(0, 1, 2)], cache, QUICK, FREE)
            again = grade(grader, [one], [(0, 1, 2)], cache, QUICK, FREE)
            assert estimate(grader, [item("b", "Other?")], [(0, 1, 2)], cache, FREE).usage.completion == (
                3 * max(samples, 1) * grader.answer_tokens
            )
        sorry, level, tone = (first.answers[0][at] for at in range(3))
        assert isinstance(sorry, Value)
        assert isinstance(level, Distribution)
        assert isinstance(tone, Distribution)
        assert (level.best, sorry.p > 0.5) == ("2", True)
        assert (again.answers, again.summary.sent) == (first.answers, 0)
        if not samples:
            assert level.p["2"] == pytest.approx(0.6 / 0.95)
            assert {sorry.thought, level.thought, tone.thought} == {"The response says No."}


def test_a_thought_is_kept_without_what_a_terminal_or_tokenizer_would_act_on() -> None:
    thought = told(("<think>", "a\x1b[2J", "<|im_end|>", "<s>", "</think>"), YES)
    got = only(run(always(thought), chat_options=THINKING)[0])
    assert isinstance(got, Value)
    assert got.thought == "a\ufffd[2J< |im_end|>< s>"


def test_the_identity_says_how_long_it_may_think() -> None:
    every = {replace(THINKING, thought_tokens=n).identity for n in (0, 64, 65)}
    assert len(every) == 3


def test_a_server_that_allows_fewer_tokens_says_what_to_change() -> None:
    script = refusing([lambda body: "max_tokens must be less than or equal to 1024"], lambda body: Say(b"{}"))
    got = only(run(script, chat_options=replace(THINKING, thought_tokens=4096))[0])
    assert isinstance(got, Invalid)
    assert "allows 1024 tokens at most; let the model think less, with `--thought-tokens`" in got.reason


def knowing(body: bytes, before: int) -> Action:
    """A judge that thinks, and says of one text that it greets and is about food."""
    if not body:
        return Say(b"{}", 404)
    text = json.loads(body)["messages"][0]["content"]
    recipe = texts()[1].completion in text and "sorry" not in text.split("# Conversation")[0]
    yes = [("Yes", 0.9), ("No", 0.05)] if recipe else [("No", 0.8), ("Yes", 0.1)]
    return told(("<think>", *WORDS, "</think>"), yes)


def thinking_first(body: bytes, before: int) -> Action:
    reply = json.loads(knowing(body, before).body) if body else None  # pyright: ignore[reportAttributeAccessIssue]
    if reply is None:
        return Say(b"{}", 404)
    choice = reply["choices"][0]
    if json.loads(body)["max_tokens"] == 1:
        choice["logprobs"]["content"] = choice["logprobs"]["content"][:1]
        choice["message"]["content"] = "<think>"
    return Say(json.dumps(reply).encode())


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, policy, rows, out = (tmp_path / name for name in ("grader.toml", "p.rbr", "rows.jsonl", "out.jsonl"))
    policy.write_text(
        'rbr 1\nprop sorry "It says sorry."\nresponse r ranks good > bad { good if sorry\n  bad otherwise }\n'
    )
    row = {"id": "a", "prompt": "Hi.", "completion": "Sorry.", "response_type": "r", "labels": {"sorry": True}}
    rows.write_text(json.dumps(row) + "\n")
    with FaultServer(thinking_first) as server:
        start = f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n'
        file.write_text(start)
        assert main(["grader", "check", str(file)]) == 1
        said = " ".join(capsys.readouterr().out.split())
        assert 'read behind the thought, `[read]` how = "after-reasoning", thought_tokens = 2048' in said
        file.write_text(start + '[read]\nhow = "after-reasoning"\nthought_tokens = 100\n')
        main(["grader", "check", str(file)])
        said = " ".join(capsys.readouterr().out.split())
        assert "behind a thought of up to 100 tokens" in said
        assert "thoughts: 21 to 21 characters; 81 answer tokens for 9 requests" in said
        grader = ["--grader", str(file)]
        assert main(["grade", str(policy), str(rows), "-o", str(out), "--details", *grader]) == 0
        answer = json.loads(out.read_text())["answers"]["sorry"]
        assert answer["thought"] == "The response says No."
        capsys.readouterr()
        main(["agree", str(policy), str(rows), "--bootstrap", "0", *grader])
        assert "thought:  The response says No." in capsys.readouterr().out
        assert main(["grade", str(policy), str(rows), "-o", str(tmp_path / "o2"), "--dry-run", *grader]) == 0
        assert "and 116 answer tokens" in capsys.readouterr().out
        assert main(["grade", str(policy), str(rows), "-o", str(out), "--sample-risk", "0.1", *grader]) == 2
        assert "say how many samples to take at most, with `--samples`" in " ".join(capsys.readouterr().err.split())
