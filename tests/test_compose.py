"""A model writes completions of known class: verified, counted, resumed, and never paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from faultserver import Action, FaultServer, Hang, Say
from llama_server import LlamaServer

import rbrlang
from rbrlang.cli.main import main
from rbrlang.grading.endpoint.account import Price, RunOptions
from rbrlang.grading.endpoint.remote import Garbled
from rbrlang.grading.endpoint.writing import ModelWriter, Order, WriterOptions, Written, read_text
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Answer, GradeItem, Invalid, certain
from rbrlang.learning.synthesis.compose import Composed, Provenance, planned_orders, synth_from_model
from rbrlang.learning.synthesis.synth import class_of
from rbrlang.rows.conversation import Turn
from rbrlang.rows.read import Row, read_rows, row_from

WORDS = ("alpha", "beta", "gamma")
POLICY = "".join(
    f'prop {word} "Says {word}." {{ instruct yes "Say {word.upper()}." instruct no "Never say {word.upper()}." }}\n'
    for word in WORDS
) + (
    "response chat ranks good > fair > bad {\n"
    "  bad if gamma | words > 12\n  fair if !alpha | beta\n  good otherwise\n}\n"
)  # fmt: skip
PROMPTS = [
    row_from({"prompt": f"Question {n}?", "completion": "", "response_type": "chat", "category": "c"}) for n in range(8)
]


def digest(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") / 2**32


def text_for(body: Mapping[str, object], obeys: float) -> str:
    """What the scripted model writes: it follows each instruction with this probability, by the seed."""
    messages = body["messages"]
    assert isinstance(messages, list)
    told = messages[-1]["content"]
    said = [w for w in WORDS if (f"- Say {w.upper()}." in told) == (digest(body["seed"], w) < obeys)]
    length = 15 if "- Use more than 12 words." in told else 1
    return " ".join([w.upper() for w in said] + ["word"] * length)


def reply(text: str | None, finish: str = "stop") -> Say:
    """A chat completion, paid for."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 50, "completion_tokens": 5}
    return Say(
        json.dumps({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}).encode(), paid=True
    )


def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
    """Reads the words; sees the prompt without the notes."""
    assert all("Notes for the writer" not in message.text for item in items for message in item.prompt)
    return [
        {p: certain(0.95 if WORDS[p].upper() in item.completion else 0.05, "function") for p in asked}
        for item, asked in zip(items, wanted, strict=True)
    ]


def composed(
    server: FaultServer, cache: Path | None = None, prompts: Sequence[Row] = PROMPTS, seed: int = 0
) -> Composed:
    """A run against a scripted server."""
    policy = rbrlang.loads(POLICY)
    options = RunOptions(first_wait=0.01, longest_wait=0.05, stop_after=5, patience=5.0)
    writer = ModelWriter(WriterOptions("m", server.url), Secret(""), cache, options, Price())
    return synth_from_model(
        policy.circuit, policy.program.propositions, prompts, 1, writer.write, judge, Provenance("m", "words", seed),
        attempts=3, threshold=0.6,
    )  # fmt: skip


def scripted(obeys: float, fails: float = 0.0) -> FaultServer:
    """A model that obeys so often, on a server that fails so often."""

    def script(body: bytes, before: int) -> Action:
        if digest(body, before) < fails:
            return Say(b"", 503)
        return reply(text_for(json.loads(body), obeys))

    return FaultServer(script)


def test_an_obedient_model_gives_every_class_at_once() -> None:
    policy = rbrlang.loads(POLICY)
    (response,) = policy.circuit.responses
    with scripted(1.0) as server:
        made = composed(server)
    assert len(made.rows) == 24
    assert made.rejected == ()
    assert {(t.places, t.accepted, t.open, t.attempts) for t in made.tallies} == {(8, 8, 0, 8)}
    assert all(kept.followed == kept.told > 0 for kept in made.literals)
    for row in made.rows:
        truth = [w.upper() in row.completion_text for w in WORDS] + [len(row.completion_text.split()) > 12]
        assert response.classes[class_of(response, truth)] == row.klass
        assert row.labels == {}
        origin = row.raw["synthetic"]
        assert (origin["model"], origin["attempt"], row.raw["grader"], row.category) == ("m", 1, "words", "c")
        assert origin["class_probs"][row.klass] >= 0.6
        assert sum(origin["class_probs"].values()) == pytest.approx(1.0, abs=1e-5)


def test_what_a_disobedient_model_fails_at_is_counted_and_tried_again() -> None:
    with scripted(0.8) as server:
        made = composed(server)
        assert sum(server.answered.values()) == sum(t.attempts for t in made.tallies)
    assert len(made.rejected) > 0
    assert all(t.accepted <= t.places <= t.attempts <= 3 * t.places for t in made.tallies)
    assert sum(t.attempts for t in made.tallies) == len(made.rows) + len(made.rejected)
    for row in made.rejected:
        assert row.raw["synthetic"]["class_probs"][row.klass] < 0.6
    # Followed and told, counted again from the rows.
    told: dict[tuple[str, bool], list[bool]] = {}
    for row in (*made.rows, *made.rejected):
        for name, answer in row.raw["synthetic"]["specification"].items():
            holds = len(row.completion_text.split()) > 12 if name not in WORDS else name.upper() in row.completion_text
            told.setdefault((name, answer), []).append(holds == answer)
    assert {(k.proposition, k.answer): (k.told, k.followed) for k in made.literals} == {
        literal: (len(kept), sum(kept)) for literal, kept in told.items()
    }
    assert any(k.followed < k.told for k in made.literals)


def test_a_flaky_server_changes_nothing_and_more_prompts_change_nothing_before_them() -> None:
    with scripted(0.8) as steady:
        calm = composed(steady)
        first = composed(steady, prompts=PROMPTS[:3])
        other = composed(steady, seed=1)
    with scripted(0.8, fails=0.3) as flaky:
        assert composed(flaky) == calm
    assert list(first.rows) == [row for row in calm.rows if row.prompt_key in {p.prompt_key for p in PROMPTS[:3]}]
    assert [r.raw for r in other.rows] != [r.raw for r in calm.rows]


def test_a_dead_server_leaves_places_open_and_the_same_run_goes_on_there(tmp_path: Path) -> None:
    with scripted(0.8) as server:
        whole = composed(server, tmp_path / "whole")
        alive = [10]

        def dying(body: bytes, before: int) -> Action:
            alive[0] -= 1
            return reply(text_for(json.loads(body), 0.8)) if alive[0] >= 0 else Say(b"", 503)

        usual, server.script = server.script, dying
        broken = composed(server, tmp_path / "cache")
        assert sum(t.open for t in broken.tallies) > 0
        assert sum(broken.failures.values()) == sum(t.open for t in broken.tallies)
        assert len(broken.rows) < len(whole.rows)
        assert {r.id for r in broken.rows} <= {r.id for r in whole.rows}
        server.script = usual
        before = server.answered.copy()
        assert composed(server, tmp_path / "cache") == whole
        assert max((server.answered - before).values()) == 1
        again = server.answered.copy()
        assert composed(server, tmp_path / "cache") == whole
        assert server.answered == again


def test_empty_texts_and_failing_graders_are_no_numbers() -> None:
    with FaultServer(lambda body, before: reply(None if before % 2 else "  ", "length")) as server:
        made = composed(server)
    assert made.rows == made.rejected == ()
    assert made.empty == sum(t.attempts for t in made.tallies) == 72
    policy = rbrlang.loads(POLICY)

    def run(answer: Answer) -> Composed:
        return synth_from_model(
            policy.circuit, policy.program.propositions, PROMPTS[:1], 1,
            lambda orders: [Written("word", "stop", read.usage) for _ in orders],
            lambda items, wanted: [dict.fromkeys(asked, answer) for asked in wanted], Provenance("m", "g", 0),
        )  # fmt: skip

    read = read_text(reply("x").body)
    assert isinstance(read, Written)
    unsure = run(Invalid("low-mass", "the model said something else"))
    assert (len(unsure.rows), len(unsure.rejected)) == (0, 12)
    assert unsure.rejected[0].raw["invalid"].keys() <= set(WORDS)
    assert unsure.rejected[0].raw["synthetic"]["class_probs"] == {}
    assert {k.unknown for k in unsure.literals if k.proposition in WORDS} == {
        k.told for k in unsure.literals if k.proposition in WORDS
    }
    away = run(Invalid("transport", "no reply"))
    assert (len(away.rejected), {t.open for t in away.tallies}) == (0, {1})
    assert away.failures == {"no reply": 3}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"choices": []}', None),
        (b'{"choices": [{"message": {"content": 5}}]}', None),
        (b'{"choices": [{"message": {"content": "a\\u0000b\\ud800c "}, "finish_reason": 7}]}', "a\ufffdb\ufffdc"),
        (b'{"choices": [{"message": {"content": null}}]}', ""),
    ],
)
def test_any_reply_is_read_or_refused(body: bytes, text: str | None) -> None:
    read = read_text(body)
    assert isinstance(read, Garbled) if text is None else isinstance(read, Written) and read.text == text


def test_what_is_sent() -> None:
    order = Order((Turn("user", "Hi"),), 7)
    body = json.loads(WriterOptions("m", "http://x/v1", 0.5, 40).body(order))
    assert body == {
        "model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 40, "temperature": 0.5, "seed": 7,
        "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
    }  # fmt: skip
    assert "chat_template_kwargs" not in json.loads(WriterOptions("m").for_host().body(order))


JUDGE = (
    "def judge(items, names):\n"
    "    return [{p: 0.95 if p.upper() in item.completion else 0.05 for p in names} for item in items]\n"
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a policy, prompts and a grader, as the current one."""
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(POLICY)
    Path("word_judge.py").write_text(JUDGE)
    lines = [{"prompt": f"Question {n}?", "response_type": "chat"} for n in range(8)]
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def command(url: str, out: str, *more: str) -> list[str]:
    """`rbrc synth --from llm`."""
    return [
        "synth", "p.rbr", "-o", out, "--from", "llm", "--base-url", url, "--model", "m", "--prompts", "prompts.jsonl",
        "--grader", "python:word_judge.judge", "--threshold", "0.6", "--attempts", "3", *more,
    ]  # fmt: skip


def test_the_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(0.8) as server:
        assert main(command(server.url, "out.jsonl", "--keep-rejected", "no.jsonl", "--format", "json")) == 0
        report = json.loads(capsys.readouterr().out)
        rows, rejected = read_rows("out.jsonl").rows, read_rows("no.jsonl").rows
        assert (report["rows"], report["rejected"]) == (len(rows), len(rejected))
        assert (
            sum(c["attempts"] for c in report["classes"]) == sum(server.answered.values()) == len(rows) + len(rejected)
        )
        assert main(command(server.url, "again.jsonl", "--cache", "out.jsonl.answers", "--resume")) == 0
        told = capsys.readouterr().err
        assert "chat.good" in told
        assert "alpha" in told
        assert "sent 0 requests" in told
        assert Path("again.jsonl").read_bytes() == Path("out.jsonl").read_bytes()
        before = sum(server.received.values())
        assert main(command(server.url, "dry.jsonl", "--dry-run")) == 0
        assert "24 texts in the first of at most 3 rounds" in capsys.readouterr().out
        assert sum(server.received.values()) == before


def test_usage_mistakes_are_named_before_anything_is_sent(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.jsonl").write_text('{"prompt": "Hi", "response_type": "elsewhere"}\n')
    with scripted(1.0) as server:
        url = server.url
        for arguments, message in (
            (command(url, "x.jsonl", "--resume"), "nothing to resume: `x.jsonl.answers` is not there"),
            (command(url, "-", "--format", "json"), "cannot both go to standard output"),
            (
                command(url, "x.jsonl", "--grader", "labels"),
                "knows no text but its own; verifying texts needs a grader",
            ),
            (command(url, "x.jsonl", "--prompts", "other.jsonl"), "no prompt in `other.jsonl` has a response type"),
            (command(url, "x.jsonl", "--prompts", "gone.jsonl"), "`gone.jsonl`: no such file"),
            (command("nowhere", "x.jsonl"), "`nowhere` is no web address"),
            (["synth", "p.rbr", "-o", "x.jsonl", "--from", "llm"], "`--from llm` needs `--model`"),
            (["synth", "p.rbr", "-o", "x.jsonl", "--format", "json"], "`--format json` is the report of `--from llm`"),
        ):
            assert main(arguments) == 2
            assert message in capsys.readouterr().err
        assert not server.received
    assert not Path("x.jsonl").exists()
    with FaultServer(lambda body, before: Say(b'{"error": {"message": "no such key"}}', 401)) as closed:
        assert main(command(closed.url, "x.jsonl")) == 3
    told = capsys.readouterr().err
    assert "the run ended early: " in told
    assert "nothing was written" in told
    assert not Path("x.jsonl").exists()


@pytest.mark.slow
def test_killed_and_resumed_pays_for_nothing_twice(files: Path) -> None:
    def slow(body: bytes, before: int) -> Action:
        time.sleep(0.01)
        return reply(text_for(json.loads(body), 0.7)) if digest(body, before) > 0.1 else Hang(0.01)

    run = [sys.executable, "-m", "rbrlang.cli"]
    environment = {**os.environ, "NO_COLOR": "1"}
    with FaultServer(slow) as server:
        for at in (5, 14, 22):
            process = subprocess.Popen([*run, *command(server.url, "out.jsonl", "--concurrency", "2")], env=environment,
                                       stderr=subprocess.DEVNULL)  # fmt: skip
            while sum(server.answered.copy().values()) < at and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not Path("out.jsonl").exists()
        resumed = subprocess.run(
            [*run, *command(server.url, "out.jsonl", "--resume")], env=environment, capture_output=True
        )
        assert resumed.returncode == 0, resumed.stderr
        # All that a killed process can have been paid for in vain is what was under way: two texts.
        assert sum(server.answered.values()) <= len(server.answered) + 3 * 2
        assert main(command(server.url, "fresh.jsonl")) == 0
    assert Path("fresh.jsonl").read_bytes() == Path("out.jsonl").read_bytes()


@pytest.mark.llama
def test_a_real_small_model_is_measured_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(
        'prop question "Response ends with a question." { cue yes "\\\\?$" cue no "[.!]$" }\n'
        "response chat ranks good > bad\nchat.good := !question\nchat.bad := question\n"
    )
    Path("prompts.jsonl").write_text('{"prompt": "Name a fruit.", "response_type": "chat"}\n')
    run = [
        "synth", "p.rbr", "--from", "llm", "--model", "smollm2", "--prompts", "prompts.jsonl", "--attempts", "2",
        "--max-tokens", "16", "--concurrency", "1", "--timeout", "300", "--format", "json", "--cache", "texts",
    ]  # fmt: skip
    with LlamaServer() as server:
        first = main([*run, "-o", "out.jsonl", "--base-url", server.url])
        report = json.loads(capsys.readouterr().out)
        assert first in (0, 1)  # 1: it never wrote one of the two classes
        assert 2 <= sum(c["attempts"] for c in report["classes"]) <= 4
        assert sum(c["accepted"] for c in report["classes"]) == report["rows"]
        assert main([*run, "-o", "again.jsonl", "--base-url", server.url, "--resume"]) == first
        assert "sent 0 requests" in capsys.readouterr().err
    assert Path("again.jsonl").read_bytes() == Path("out.jsonl").read_bytes()


def test_the_first_round_is_what_is_planned() -> None:
    policy = rbrlang.loads(POLICY)
    orders = planned_orders(policy.circuit, policy.program.propositions, PROMPTS, 1, 0)
    with scripted(1.0) as server:
        composed(server)
        assert {WriterOptions("m", server.url).body(order) for order in orders} == set(server.received)
