"""The reward server: forms, limits, batching; and over loopback, a real process with faults around it."""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import CHECKOUT
from faultserver import Action, Drop, FaultServer, Say, answer
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_process import Server, start

import rbrlang as rbr
from rbrlang.cli.main import main
from rbrlang.grading.local import function_grader
from rbrlang.grading.trust.calibrate import Calibrated, Calibration, Platt, to_json
from rbrlang.reward.kept.artefact import artefact_bytes, read_artefact
from rbrlang.rows.read import read_rows, row_from
from rbrlang.scoring.batching import Batcher, BusyError
from rbrlang.scoring.columns import Rollout, Unusable
from rbrlang.scoring.score import Scorer, Scores
from rbrlang.writing import write_bytes

EXAMPLE = CHECKOUT / "examples" / "refusals"
TINY = """rbr 1
prop apology "It says sorry." { cue yes "(?i)\\\\bsorry\\\\b" }
response r ranks good > bad { good if apology
  bad otherwise }
category "C" -> r
reward r { features apology
  weight apology = 1 }
"""
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artefacts: the example's policy, and one whose reward is P(apology)."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "tiny.rbr").write_text(TINY)
    for name, source in (("example", EXAMPLE / "policy.rbr"), ("tiny", folder / "tiny.rbr")):
        policy = rbr.load(source)
        rbr.write(folder / f"{name}.rbrc", policy, rbr.compile(policy))
    return folder


@pytest.fixture(scope="module")
def example(folder: Path) -> Iterator[Server]:
    """The example's policy with the embedded grader and small limits."""
    with start(folder / "example.rbrc", "--max-body", "500000", "--max-batch", "60", "--body-seconds", "1.0") as server:
        yield server
        assert server.end() == 0


def post(url: str, **request: Any) -> httpx.Response:
    """A request of its own connection, without the certificates that httpx would read each time."""
    with httpx.Client(verify=False, timeout=request.pop("timeout", 30)) as http:
        return http.post(url, **request)


def get(url: str, **request: Any) -> httpx.Response:
    with httpx.Client(verify=False) as http:
        return http.get(url, **request)


def tiny(text: str) -> dict[str, Any]:
    return {"completion": text, "category": "C"}


def rewards(url: str, texts: Sequence[str], timeout: float = 30.0) -> list[float | None]:
    """Rewards of completions under the tiny policy."""
    reply = post(f"{url}/score", json={"rows": [tiny(text) for text in texts]}, timeout=timeout)
    assert reply.status_code == 200, reply.text
    return [row["reward"] for row in reply.json()["rows"]]


# --- what it says -----------------------------------------------------------------------------


def test_concurrent_requests_get_what_rbrc_score_writes(example: Server, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    file = str(EXAMPLE / "completions.jsonl")
    assert main(["score", str(folder / "example.rbrc"), file, "-o", str(out), "--grader", "embedded"]) == 0
    expected = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    rows = [dict(row.raw) for row in read_rows(file).rows]
    rng = random.Random(7)
    requests = [rng.sample(rows, rng.randint(1, 20)) for _ in range(60)]

    with httpx.Client(base_url=example.url, timeout=60, verify=False) as http, ThreadPoolExecutor(12) as pool:

        def ask(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return http.post("/score", json={"rows": some}).json()["rows"]

        replies = list(pool.map(ask, requests))
    for asked, given_back in zip(requests, replies, strict=True):
        assert [row["id"] for row in given_back] == [row["id"] for row in asked]
        for row in given_back:
            same = expected[row["id"]]
            for column in ("class", "valid", "reason"):
                assert row[column] == same[column], (row["id"], column)
            # A matrix product rounds by how many completions are graded together.
            for column in ("reward", "rule_reward", "class_probs", "probs"):
                assert row[column] == pytest.approx(same[column], abs=1e-5), (row["id"], column)


def test_the_artefacts_calibration_is_applied_as_rbrc_score_does(folder: Path, tmp_path: Path) -> None:
    """In the server and, by the same grader's name, in a trainer's scorer."""
    plain = read_artefact(folder / "tiny.rbrc")
    grader = function_grader("serve_grader.word", plain.circuit.propositions)
    made = Calibration(grader.identity, 0, (Calibrated("apology", 100, Platt(0.5, 1.0), None),))
    artefact = replace(plain, calibration=to_json(made))
    rows = [row_from(tiny(f"word {p}")) for p in (3, 400, 990)]
    corrected = [1 / (1 + math.exp(-(0.5 * math.log(p / (1 - p)) + 1))) for p in (0.003, 0.4, 0.99)]
    assert Scorer(artefact, "python:serve_grader.word")(rows).rewards.tolist() == pytest.approx(corrected, abs=1e-6)
    write_bytes(tmp_path / "c.rbrc", artefact_bytes(artefact))
    with start(tmp_path / "c.rbrc", "--grader", "python:serve_grader.word") as server:
        assert rewards(server.url, [row.completion_text for row in rows]) == pytest.approx(corrected, abs=1e-6)
        assert f"calibration {made.identity}" in get(server.url).json()["grader"]
        assert server.end() == 0


def test_what_cannot_be_scored_is_null_with_a_reason_and_costs_no_other_row(example: Server) -> None:
    good = {"prompt": "Hello?", "completion": "Hello.", "response_type": "comply"}
    rows: list[Any] = [
        good, 3, None, {"prompt": "x"}, {**good, "response_type": "comply!?"}, {**good, "response_type": "complying"},
        {**good, "base_reward": "high"}, {**good, "completion": "\ud800"}, {**good, "completion": "a" * 200_001}, good,
    ]  # fmt: skip
    body = json.dumps({"rows": rows})
    reply = post(f"{example.url}/score", content=body, headers=JSON).json()["rows"]
    assert [row["valid"] for row in reply] == [True, False, False, False, True, False, False, False, False, True]
    assert reply[0]["reward"] == reply[-1]["reward"] is not None
    for row in reply:
        assert (row["reward"] is None) == (row["reason"] is not None) == (not row["valid"])
    assert "did you mean `comply`" in reply[5]["reason"]
    assert "surrogate" in reply[7]["reason"]
    assert "200007 characters" in reply[8]["reason"]


def test_openrlhf(example: Server) -> None:
    body = {
        "query": ["<q>Hello?</q>Hello.", "<q>Hello?</q>Hello.", "other", 7],
        "prompts": ["<q>Hello?</q>"] * 4,
        "labels": ["comply", json.dumps({"category": "none"}), "comply", "comply"],
    }
    reply = post(f"{example.url}/openrlhf", json=body).json()
    assert reply["rewards"] == reply["scores"]
    assert reply["rewards"][0] == reply["rewards"][1] is not None
    assert reply["rewards"][2:] == [None, None]
    assert "does not begin with its prompt" in reply["reasons"][2]
    assert reply["extra_logs"] == {"rbr/invalid_rate": 0.5}


def test_nemo_gym(example: Server) -> None:
    body = {
        "responses_create_params": {"input": [{"role": "user", "content": "Hello?"}]},
        "response": {"output": [{"type": "message", "role": "assistant", "content": [{"text": "Hello."}]}]},
        "verifier_metadata": {"response_type": "comply"},
        "task": 17,
    }
    reply = post(f"{example.url}/verify", json=body).json()
    row = {"prompt": "Hello?", "completion": "Hello.", "response_type": "comply"}
    (same,) = post(f"{example.url}/score", json={"rows": [row]}).json()["rows"]
    assert reply["task"] == 17
    assert not reply["mask_sample"]
    assert reply["reward"] == pytest.approx(same["reward"], abs=1e-5)
    assert sum(reply["reward_components"].values()) == pytest.approx(reply["reward"], abs=1e-9)
    for broken in ({**body, "verifier_metadata": {}}, {**body, "response": {}}, {}):
        reply = post(f"{example.url}/verify", json=broken).json()
        assert reply["mask_sample"]
        assert reply["failure_reason"]


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "kind"),
    [
        ("/score", b"", JSON, 400, "not_json"),
        ("/score", b"{", JSON, 400, "not_json"),
        ("/score", b"\xff\xfe", JSON, 400, "not_utf8"),
        ("/score", b"[" * 100_000, JSON, 400, "not_json"),
        ("/score", b'{"rows": [NaN]}', JSON, 400, "not_json"),
        ("/verify", b'{"task": 1e999}', JSON, 400, "not_json"),
        ("/score", b"[]", JSON, 422, "malformed"),
        ("/score", b"{}", JSON, 422, "malformed"),
        ("/score", b'{"rows": {}}', JSON, 422, "malformed"),
        ("/openrlhf", b'{"query": ["a"], "prompts": [], "labels": []}', JSON, 422, "malformed"),
        ("/score", json.dumps({"rows": [0] * 61}).encode(), JSON, 413, "too_many"),
        ("/score", b" " * 500_001, JSON, 413, "too_large"),
        ("/score", b"{}", {}, 415, "not_json"),
        ("/score", b"{}", {**JSON, "content-encoding": "gzip"}, 415, "encoded"),
        ("/scores", b"{}", JSON, 404, "no_route"),
        ("/metrics", b"{}", JSON, 405, "no_route"),
    ],
)
def test_a_body_that_is_refused_says_what_is_wrong(
    example: Server, path: str, content: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    reply = post(f"{example.url}{path}", content=content, headers=headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (status, kind)
    assert error["message"]
    assert set(error) == {"type", "message", "where"}


def test_a_body_of_unknown_length_is_bounded(example: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 50_000

    reply = post(f"{example.url}/score", content=endless(), headers=JSON)
    assert (reply.status_code, reply.json()["error"]["type"]) == (413, "too_large")


def test_metrics_count_what_was_served(example: Server) -> None:
    def read() -> dict[str, float]:
        lines = get(f"{example.url}/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    before = read()
    row = {"prompt": "Hello?", "completion": "Hello.", "response_type": "comply"}
    post(f"{example.url}/score", json={"rows": [row, row, 3]})
    after = read()
    assert after['rbr_completions_total{outcome="valid"}'] == before['rbr_completions_total{outcome="valid"}'] + 2
    assert after['rbr_completions_total{outcome="invalid"}'] == before['rbr_completions_total{outcome="invalid"}'] + 1
    name = 'rbr_proposition_p_count{proposition="judgmental"}'
    assert after[name] == before.get(name, 0.0) + 2
    assert after["rbr_completions_waiting"] == 0


# --- faults -----------------------------------------------------------------------------------


def test_a_slow_client_is_told_and_holds_nobody_up(example: Server) -> None:
    row = {"prompt": "Hello?", "completion": "Hello.", "response_type": "comply"}
    with socket.create_connection(("127.0.0.1", example.port)) as slow:
        slow.sendall(
            b"POST /score HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            % example.port
        )
        for _ in range(3):
            assert post(f"{example.url}/score", json={"rows": [row]}).status_code == 200
        slow.settimeout(20)
        said = b""
        while piece := slow.recv(4096):
            said += piece
    assert said.startswith(b"HTTP/1.1 408")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["type"] == "slow"


def test_a_client_that_goes_away_costs_nothing(example: Server) -> None:
    row = {"prompt": "Hello?", "completion": "Hello.", "response_type": "comply"}
    body = json.dumps({"rows": [row] * 50}).encode()
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    for sent in (head + body, head + body[:100], b"POST /sc", b"\x00\x01\x02\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", example.port)) as gone:
            gone.sendall(sent)
    assert post(f"{example.url}/score", json={"rows": [row]}).json()["rows"][0]["valid"]


def test_ending_answers_everything_accepted(folder: Path) -> None:
    with start(folder / "tiny.rbrc", "--grader", "python:serve_grader.slow") as server, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(rewards, server.url, [f"word {7 * i}"]) for i in range(8)]
        deadline = time.monotonic() + 20
        while _accepted(server.url) < 8 and time.monotonic() < deadline:  # the first batch, and what waits behind it
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        for i, one in enumerate(asked):
            assert one.result() == [pytest.approx(7 * i / 1000)]
        assert server.process.wait(30) == 0
        with pytest.raises(httpx.TransportError):
            rewards(server.url, ["word 1"])


def _accepted(url: str) -> float:
    values = dict(line.rsplit(" ", 1) for line in get(f"{url}/metrics").text.splitlines() if line[0] != "#")
    return float(values["rbr_completions_waiting"]) + float(values.get("rbr_completions_grading", 0))


def test_killed_and_started_again_no_request_gets_a_wrong_number(folder: Path) -> None:
    words = ("--grader", "python:serve_grader.word")
    numbers: dict[int, float | None] = {}
    failures = 0
    ready = 0
    with start(folder / "tiny.rbrc", *words) as server, ThreadPoolExecutor(4) as pool:

        def ask(i: int) -> None:
            nonlocal failures, ready
            for _ in range(200):
                try:
                    (numbers[i],) = rewards(server.url, [f"word {i}"])
                    ready += 1
                except httpx.TransportError:
                    failures += 1
                    time.sleep(0.1)
                else:
                    return

        asked = [pool.submit(ask, i) for i in range(1, 300)]
        while ready < 40:
            time.sleep(0.005)
        server.process.kill()
        server.process.wait()
        with start(folder / "tiny.rbrc", *words, port=server.port) as again:
            for one in asked:
                one.result()
            assert again.end() == 0
    assert failures > 0
    assert numbers == {i: pytest.approx(i / 1000) for i in range(1, 300)}


def test_a_grader_that_is_down_costs_its_batches_and_no_later_one(folder: Path) -> None:
    down = True

    def script(body: bytes, _: int) -> Action:
        return Drop(0) if down else answer(body)

    options = ("--grader", "openai:m", "--patience", "0.5", "--no-discover")
    with FaultServer(script) as grader, start(folder / "tiny.rbrc", *options, "--base-url", grader.url) as server:
        body = {"rows": [tiny("Sorry, no.")]}
        for _ in range(3):
            (row,) = post(f"{server.url}/score", json=body, timeout=60).json()["rows"]
            assert row["reward"] is None
            assert not row["valid"]
            assert "`apology`" in row["reason"]
        down = False
        (row,) = post(f"{server.url}/score", json=body, timeout=60).json()["rows"]
        assert row["valid"]
        assert row["reward"] == pytest.approx(row["probs"]["apology"])
        assert server.end(signal.SIGINT) == 0


def test_a_server_that_answers_nonsense_is_no_number(folder: Path) -> None:
    options = ("--grader", "openai:m", "--patience", "0.5")
    with (
        FaultServer(lambda _, __: Say(b'{"choices": []}')) as grader,
        start(folder / "tiny.rbrc", *options, "--base-url", grader.url) as server,
    ):
        (row,) = post(f"{server.url}/score", json={"rows": [tiny("Sorry, no.")]}, timeout=60).json()["rows"]
        assert row["reward"] is None
        assert server.end() == 0


# --- who may ask ------------------------------------------------------------------------------


def test_a_token_is_needed_where_there_is_one(folder: Path) -> None:
    token = "0123456789abcdef-token"
    options = ("--grader", "python:serve_grader.word", "--host", "0.0.0.0")
    with start(folder / "tiny.rbrc", *options, RBRC_TOKEN=token) as server:
        url = f"http://127.0.0.1:{server.port}"
        body = {"rows": [tiny("word 5")]}
        for header in (
            {},
            {"authorization": token},
            {"authorization": f"Bearer {token}x"},
            {"authorization": "Bearer"},
        ):
            reply = post(f"{url}/score", json=body, headers=header)
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert get(f"{url}/metrics", headers=header).status_code == 401
            assert get(f"{url}/", headers=header).status_code == 401
        assert get(f"{url}/healthz").json() == {"status": "ok"}
        reply = post(f"{url}/score", json=body, headers={"authorization": f"bearer {token}"})
        assert reply.json()["rows"][0]["reward"] == pytest.approx(0.005)
        assert server.end() == 0


def test_on_loopback_only_its_own_names_are_answered(folder: Path) -> None:
    options = ("--grader", "python:serve_grader.word", "--allow-host", "Trainer.example", "--allow-host", "other:80")
    with start(folder / "tiny.rbrc", *options) as server:
        url, body = f"http://127.0.0.1:{server.port}", {"rows": [tiny("word 5")]}
        own = [f"{name}:{server.port}" for name in ("127.0.0.1", "localhost", "LocalHost", "[::1]")]
        for host in (*own, "trainer.example", "trainer.example:9", "other:80"):
            assert post(f"{url}/score", json=body, headers={"host": host}).status_code == 200, host
        for host in ("rebound.example", "127.0.0.1", f"127.0.0.1:{server.port + 1}", "other:81", "[::1", ""):
            for reply in (
                post(f"{url}/score", json=body, headers={"host": host}),
                get(f"{url}/healthz", headers={"host": host}),
            ):
                assert reply.status_code == 421, host
                assert reply.json()["error"]["type"] == "wrong_host"
        assert server.end() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "can be reached from elsewhere; give a token"),
        (["--host", "192.0.2.1"], "can be reached from elsewhere; give a token"),
        (["--grader", "labels"], "needs a grader that reads text"),
        (["--calibration", "{none}"], "none`: no such file"),
        (["--every", "comply"], "the policy has no response type `comply`"),
        (["--token-file", "{short}"], "holds no token: at least 16"),
        (["--token-file", "{none}"], "no such file"),
        (["--port", "{taken}"], "cannot listen on `127.0.0.1`"),
    ],
)
def test_what_does_not_start_says_why(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    (tmp_path / "short").write_text("secret\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {
            "{short}": str(tmp_path / "short"),
            "{none}": str(tmp_path / "none"),
            "{taken}": str(taken.getsockname()[1]),
        }
        assert main(["serve", str(folder / "tiny.rbrc"), *(values.get(o, o) for o in options)]) == 2
    assert said in capsys.readouterr().err.lower().replace("no such file or directory", "no such file")


# --- batching ---------------------------------------------------------------------------------


def _scorer(folder: Path) -> Scorer:
    artefact = read_artefact(folder / "tiny.rbrc")
    return Scorer(artefact, function_grader("serve_grader.word", artefact.circuit.propositions).answers)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=25),
    largest=st.integers(1, 12),
    at_once=st.integers(1, 3),
    poison=st.sets(st.integers(0, 24), max_size=3),
)
def test_each_request_gets_its_own_part_and_no_others_mistake(
    folder: Path, sizes: list[int], largest: int, at_once: int, poison: set[int]
) -> None:
    scorer = _scorer(folder)
    seen: list[int] = []

    def score(rollouts: Sequence[Rollout]) -> Scores:
        seen.append(len(rollouts))
        if any(isinstance(rollout, Unusable) for rollout in rollouts):
            raise RuntimeError("poisoned")
        return scorer(rollouts)

    requests: list[list[Rollout]] = []
    number = 0
    for at, size in enumerate(sizes):
        requests.append([row_from(tiny(f"word {number + i}")) for i in range(size)])
        if at in poison:
            requests[-1].append(Unusable("poison"))
        number += size

    async def run() -> list[Scores | BaseException]:
        async with Batcher(score, largest=largest, waiting=10_000, at_once=at_once) as batcher:
            return await asyncio.gather(*map(batcher.score, requests), return_exceptions=True)

    for at, (request, found) in enumerate(zip(requests, asyncio.run(run()), strict=True)):
        if at in poison:
            assert isinstance(found, RuntimeError)
        else:
            assert isinstance(found, Scores)
            np.testing.assert_array_equal(found.rewards, scorer(request).rewards)
    assert all(size <= max(largest, *map(len, requests)) for size in seen)


def test_what_waits_too_long_a_queue_is_turned_away(folder: Path) -> None:
    scorer = _scorer(folder)

    async def run() -> list[Scores | BaseException]:
        async with Batcher(scorer, largest=2, waiting=4) as batcher:
            one = [row_from(tiny("word 1"))]
            return await asyncio.gather(*(batcher.score(one) for _ in range(9)), return_exceptions=True)

    found = asyncio.run(run())
    assert [isinstance(one, BusyError) for one in found] == [False] * 4 + [True] * 5


def test_neither_the_server_nor_the_monitor_nor_the_store_loads_jax() -> None:
    program = "import rbrlang.monitor, rbrlang.scoring.store, rbrlang.serve.app, sys; sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
