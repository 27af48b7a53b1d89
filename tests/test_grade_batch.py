"""Batches: each request is submitted once whatever happens, and the output is that of asking directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from batchserver import BatchServer, Line, failure, result
from faultserver import answer

from rbrlang.cli.main import main
from rbrlang.grading.endpoint import batches, batchfiles
from rbrlang.grading.endpoint.remote import encoded

POLICY = """rbr 1
prop apology "The response says sorry."
prop greeting "The response opens with a greeting."
response r ranks good > bad { bad if apology & greeting
  good otherwise }
"""
ROWS = 6
REQUESTS = 2 * ROWS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batches, "backoff", lambda *_: 0.01)  # looks are half a second apart at first, later a minute
    Path("p.rbr").write_text(POLICY)
    rows = [{"id": f"r{i}", "prompt": "Hello?", "completion": f"Hello {i}.", "response_type": "r"} for i in range(ROWS)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("grader.toml").write_text(
        'kind = "openai"\nmodel = "m"\n[read]\nmin_mass = 0\n[limits]\nretries = 1.0\n[price]\ninput = 10\noutput = 0\n'
    )
    return tmp_path


def grade(url: str, *more: str, out: str = "out.jsonl") -> list[str]:
    return ["grade", "p.rbr", "rows.jsonl", "-o", out, "--details", "--grader", "grader.toml", "--base-url", url, *more]


def direct(request: Line) -> Any:
    """What the server says when it is asked directly."""
    return json.loads(answer(encoded(request["body"])).body)


def as_asked(request: Line, batch: int) -> Line:
    return result(request, direct(request))


def graded(name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def asked(folder: str = "out.jsonl.batch") -> Counter[str]:
    """How often each request stands in request files."""
    files = sorted(Path(folder).glob("requests-*.jsonl"))
    return Counter(json.loads(line)["custom_id"] for file in files for line in file.read_text().splitlines())


def test_the_output_is_that_of_asking_directly(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer(as_asked) as server:
        assert main(grade(server.url, out="direct.jsonl")) == 0
        capsys.readouterr()
        assert main(grade(server.url, "--engine", "batch")) == 0
        said = capsys.readouterr().err
        assert main(grade(server.url, "--engine", "batch")) == 0  # all of it is in the cache
        assert main(grade(server.url, "--engine", "batch", "--dry-run")) == 0
    assert Path("out.jsonl").read_bytes() == Path("direct.jsonl").read_bytes()
    assert server.steps == ["upload", "create", "look", "look", "look", "content"]
    assert asked() == dict.fromkeys(asked(), 1)
    assert len(asked()) == REQUESTS
    assert "batch_1 (requests-0001.jsonl): in_progress" in said
    # Each reply says 100 prompt tokens: 1200 at 10 for a million, halved.
    assert "read from batches: 1200 prompt tokens, 12 answer tokens, cost 0.0060 at half price" in said
    assert "12 of them answered already" in capsys.readouterr().out


def test_files_keep_to_the_limits_of_hosts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batchfiles, "MOST_REQUESTS", 5)
    with BatchServer(as_asked) as server:
        assert main(grade(server.url, "--engine", "batch")) == 0
        assert main(grade(server.url, out="direct.jsonl")) == 0
    assert Path("out.jsonl").read_bytes() == Path("direct.jsonl").read_bytes()
    assert [len(server.files[one["input_file_id"]].splitlines()) for one in server.batches.values()] == [5, 5, 2]
    monkeypatch.setattr(batchfiles, "MOST_FILE", 2500)
    assert main(grade("http://localhost:9", "--engine", "batch", "--batch-by-hand", out="small.jsonl")) == 3
    sizes = [file.stat().st_size for file in Path("small.jsonl.batch").glob("*.jsonl")]
    assert len(sizes) > 3
    assert max(sizes) <= 2500


def test_what_failed_is_asked_again_and_what_fails_for_good_is_invalid(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first batch expires; of its lines some fail in each way there is, and one never comes back."""
    places: dict[str, int] = {}

    def script(request: Line, batch: int) -> Line | None:
        place = places.setdefault(request["custom_id"], len(places))
        if place == 0:
            return result(request, {"error": {"message": "no such thing"}}, 400)
        if place == 1:
            return failure(request, "This request could not be executed before the batch expired.")
        if batch == 1 and place < 6:
            ways = (
                None,
                failure(request, "expired"),
                result(request, {"error": {"message": "busy"}}, 503),
                result(request, "?"),
            )
            return ways[place - 2]
        return as_asked(request, batch)

    with BatchServer(script, lambda number: ("in_progress", "expired" if number == 1 else "completed")) as server:
        assert main(grade(server.url, "--engine", "batch")) == 3
    assert [len(server.files[one["input_file_id"]].splitlines()) for one in server.batches.values()] == [REQUESTS, 5, 1]
    reasons = [reason for row in graded() for reason in row.get("invalid", {}).values()]
    assert sorted(reasons) == [
        "This request could not be executed before the batch expired.",
        "status 400: no such thing",
    ]
    assert sum(p is not None for row in graded() for p in row["probs"].values()) == REQUESTS - 2


def test_a_refused_field_leads_to_the_next_shape_in_the_next_batch(here: Path) -> None:
    def script(request: Line, batch: int) -> Line:
        if "max_tokens" in request["body"]:
            said = {"error": {"message": "Unsupported parameter: 'max_tokens'", "param": "max_tokens"}}
            return result(request, said, 400)
        return as_asked(request, batch)

    with BatchServer(script) as server:
        assert main(grade(server.url, "--engine", "batch")) == 0
    assert len(server.batches) == 2
    assert all("max_completion_tokens" in row["grader"] for row in graded())


@pytest.mark.slow
def test_killed_at_every_step_and_nothing_is_submitted_twice(here: Path) -> None:
    """The server has done its work and its client is killed before it hears of it: at the upload too, which costs nothing."""
    left = ["upload", "create", "look", "content"]
    victim: list[subprocess.Popen[bytes]] = []

    def hook(step: str) -> int | None:
        if left and step == left[0]:
            left.pop(0)
            victim[-1].kill()
            victim[-1].wait()
        return None

    with BatchServer(as_asked, hook=hook) as server:
        command = [sys.executable, "-c", "import sys; from rbrlang.cli.main import main; sys.exit(main(sys.argv[1:]))"]
        code = -9
        for _ in range(8):
            victim.append(subprocess.Popen([*command, *grade(server.url, "--engine", "batch")], env=dict(os.environ)))
            code = victim[-1].wait()
            if code != -9:
                break
        assert (code, left) == (0, [])
        assert main(grade(server.url, out="direct.jsonl")) == 0
    assert len(server.batches) == 1
    assert server.steps.count("list") == 1
    assert Path("out.jsonl").read_bytes() == Path("direct.jsonl").read_bytes()


def test_without_a_list_nothing_is_submitted_twice_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BatchServer(as_asked, hook=lambda step: {"create": 503, "list": 404}.get(step)) as server:
        for said in (
            "it is not known whether the batch of `requests-0001.jsonl` was created: status 503: no; the same command looks",
            "a batch of `requests-0001.jsonl` may have been created, and the server does not list its batches",
        ):
            assert main(grade(server.url, "--engine", "batch")) == 2
            assert said in capsys.readouterr().err
    assert len(server.batches) == 1
    assert not Path("out.jsonl").exists()


def test_a_batch_that_failed_says_why_and_is_submitted_by_the_same_command(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BatchServer(as_asked, lambda number: ("failed",) if number == 1 else ("completed",)) as server:
        assert main(grade(server.url, "--engine", "batch")) == 2
        assert (
            "the batch of `requests-0001.jsonl` failed before a request of it was answered; the same"
            in capsys.readouterr().err
        )
        assert main(grade(server.url, "--engine", "batch")) == 0
    assert len(server.batches) == 2


def test_by_hand_where_the_server_takes_no_batches(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Result files are anybody's: what is none, or answers nothing that was asked, is counted and changes nothing."""
    with BatchServer(as_asked, hook=lambda step: 404 if step == "upload" else None) as server:
        assert main(grade(server.url, "--engine", "batch")) == 3
        said = capsys.readouterr().err
        assert f"`{server.url}` takes no batches (status 404: no)" in said
        assert "`out.jsonl.batch/requests-0001.jsonl`: 12 requests without a result" in said
        assert "submit the files named above as batches, put their output and error files (`*.jsonl`)" in said
        assert not Path("out.jsonl").exists()
        assert main(grade(server.url, "--engine", "batch")) == 3  # as before, and nothing is written twice
        assert len(asked()) == REQUESTS
        requests = [json.loads(line) for line in Path("out.jsonl.batch/requests-0001.jsonl").read_text().splitlines()]
        lines = [json.dumps(as_asked(one, 1)) for one in requests]
        strange = [
            "[]",
            "{",
            json.dumps({"custom_id": "rbrc-other", "response": None, "error": None}),
            '{"custom_id": 7}',
            "\udcff",
        ]
        Path("out.jsonl.batch/some.jsonl").write_bytes("\n".join(lines[:5] + strange).encode(errors="surrogateescape"))
        capsys.readouterr()
        assert main(grade(server.url, "--engine", "batch", "--batch-by-hand")) == 3
        said = capsys.readouterr().err
        assert "7 requests without a result" in said
        assert "left out of the results in `out.jsonl.batch`: 4 not lines of a result file" in said
        assert "1 about requests of nobody here" in said
        Path("out.jsonl.batch/more.jsonl").write_text("\n".join(lines[5:]))
        assert main(grade(server.url, "--engine", "batch", "--batch-by-hand")) == 0
        assert main(grade(server.url, out="direct.jsonl")) == 0
    assert Path("out.jsonl").read_bytes() == Path("direct.jsonl").read_bytes()
    assert asked() == dict.fromkeys(asked(), 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--lazy", "0"], "`--lazy` asks in many rounds, and a batch may take a day for each; leave out one of them"),
        (["--grader", "embedded"], "`--engine batch` is for `openai:MODEL`, and `--grader embedded` takes no batches"),
        (["-o", "-"], "`--engine batch` needs a place for answers: with `-o -` name a file with `--cache`"),
        (["--engine", "local", "--batch-by-hand"], "`--batch-by-hand` is for `--engine batch`"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    here: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*grade("http://localhost:9", "--engine", "batch"), *more]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.llama
def test_the_lines_are_requests_that_a_real_server_answers(here: Path) -> None:
    from llama_server import LlamaServer

    rows = Path("rows.jsonl").read_text().splitlines()[:1]
    Path("rows.jsonl").write_text(rows[0] + "\n")
    with LlamaServer(1024) as server:
        how = ("--engine", "batch", "--batch-by-hand")
        assert main(grade(server.url, *how)) == 3
        requests = [json.loads(line) for line in Path("out.jsonl.batch/requests-0001.jsonl").read_text().splitlines()]
        replies = [httpx.post(server.root + one["url"], json=one["body"], timeout=300) for one in requests]
        lines = [
            json.dumps(result(one, reply.json(), reply.status_code))
            for one, reply in zip(requests, replies, strict=True)
        ]
        Path("out.jsonl.batch/results.jsonl").write_text("\n".join(lines))
        assert main(grade(server.url, *how)) == 0
    (row,) = graded()
    read = {name: answer["p"] for name, answer in row["answers"].items()}
    for one, reply in zip(requests, replies, strict=True):
        name = "apology" if "sorry" in one["body"]["messages"][0]["content"] else "greeting"
        top = reply.json()["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        assert len(top) == 200
        assert 0.0 < read[name] < 1.0
