"""What is fuzzed: each target takes bytes, and raises nothing but what it catches by name."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rbrlang.cli.commands.language.formats import github, junit, sarif
from rbrlang.cli.render import pretty
from rbrlang.grading.endpoint.protocol.endpoint import ChatEndpoint, ChatOptions, chat_endpoint
from rbrlang.grading.endpoint.protocol.systemone import SystemOne
from rbrlang.grading.endpoint.remote import Answered, Garbled, Short
from rbrlang.grading.endpoint.writing import Written, read_text
from rbrlang.grading.questions.layout import Ask, plan
from rbrlang.grading.questions.prompt import Layout
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, Value, certain
from rbrlang.mend import mend
from rbrlang.policy import Policy, check, check_text, loads
from rbrlang.reward.kept.artefact import MANIFEST, Artefact, ArtefactError, artefact_bytes, read_artefact
from rbrlang.reward.kept.codec import Json
from rbrlang.reward.kept.container import pack, unpack
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.parts import ClassProbability
from rbrlang.reward.shares import DistributionError
from rbrlang.reward.weights import default_weights
from rbrlang.rows.read import RowsError, read_rows
from rbrlang.scoring.score import Scorer
from rbrlang.serve.app import Service, application

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEEDS = HERE / "seeds"
PATHS = ("/score", "/openrlhf", "/verify")
LAYOUT: Layout = "question-first"
REFUSALS = (400, 408, 413, 415, 422)


@dataclass(frozen=True)
class Target:
    """A function of bytes, and where its inputs begin."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def kept(*names: str) -> list[bytes]:
    """The seeds of these folders, in the order of their names."""
    return [path.read_bytes() for name in names for path in sorted((SEEDS / name).iterdir())]


@cache
def folder() -> Path:
    """A folder for this process's files, in memory where there is such a place."""
    memory = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="rbr-fuzz-", dir=memory if memory.is_dir() else None)
    return Path(made)


def written(name: str, data: bytes) -> Path:
    path = folder() / name
    path.write_bytes(data)
    return path


# --- policies -----------------------------------------------------------------------------------


def policy(data: bytes) -> None:
    """Everything that a user's file goes through: checked, shown in every form, mended, checked again."""
    try:
        checked = check_text(data.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        checked = check(written("policy.rbr", data))
    for diagnostic in checked.diagnostics:
        pretty(diagnostic)
    sarif(checked.diagnostics)
    github(checked.diagnostics)
    junit([("policy.rbr", checked.diagnostics)], set(checked.diagnostics))
    mended = mend(checked, check_text)
    if checked.ok:
        assert mended.checked.fingerprint == checked.fingerprint, "mending changed the meaning"
        assert default_weights(Policy(checked).circuit).ndim == 2, "what checks compiles"
    unsafe = mend(checked, check_text, unsafe=True)
    assert not checked.ok or unsafe.checked.ok, "an unsafe fix broke a sound policy"


def policies() -> list[bytes]:
    """The policies of the checkout, those that show each finding, and what was found."""
    places = (ROOT / "stdlib_rules", ROOT / "examples", ROOT / "tests" / "golden")
    return [*(path.read_bytes() for place in places for path in sorted(place.rglob("*.rbr"))), *kept("policy")]


# --- rows -----------------------------------------------------------------------------------------


@cache
def rewards() -> NumpyReward:
    return NumpyReward(small().circuit)


def rows(data: bytes) -> None:
    """A file of rows, read and scored: every row is a row or a named bad one."""
    try:
        found = read_rows(written("rows.jsonl", data))
    except RowsError:
        return
    reward = rewards()
    try:
        probs, ids = reward.encode(found.rows), reward.response_ids(found.rows)
    except DistributionError:  # the commands read with the policy's names, and set such a row apart
        return
    base = [0.0 if row.base_reward is None else row.base_reward for row in found.rows]
    values, reasons = reward(probs, ids, base), reward.reasons(probs, ids, base)
    for value, reason in zip(values.tolist(), reasons, strict=True):
        assert (abs(value) < float("inf")) == (reason is None), "a reward or a reason"
    for bad in found.bad:
        assert bad.reason, "a bad row says why"


# --- artefacts ------------------------------------------------------------------------------------


@cache
def small() -> Policy:
    """A small policy with everything in it that reaches an artefact."""
    return loads((SEEDS / "policy" / "small.rbr").read_text(encoding="utf-8"))


def made(kind: ClassProbability) -> Artefact:
    """The small policy as an artefact."""
    circuit = small().compiled(kind)
    told: dict[str, Json] = {"grader": "embedded", "seed": 1}
    return Artefact(circuit, default_weights(circuit), small().sources, None, told, small().params)


def artefact(data: bytes) -> None:
    """An artefact is refused, or its reward can be used."""
    try:
        found = read_artefact(written("policy.rbrc", packed(data) or data))
    except ArtefactError:
        return
    reward = NumpyReward.from_artefact(found)
    atoms = len(found.circuit.atoms)
    reward.bounds([[0.5] * atoms] * 2, [0, 0])


def packed(data: bytes) -> bytes | None:
    """The artefact of a recipe, members by name, with right sizes and hashes; None where the data is no recipe.

    Changed bytes of a file hardly ever get beyond its hashes: a recipe's members do.
    """
    try:
        recipe = json.loads(data)
        members = {str(name): text.encode("latin-1", "replace") for name, text in recipe.items()}
    except (ValueError, RecursionError, AttributeError):
        return None
    try:
        manifest = json.loads(members.get(MANIFEST, b""))
        manifest["members"] = [
            [name, len(held), hashlib.sha256(held).hexdigest()] for name, held in members.items() if name != MANIFEST
        ]
        members[MANIFEST] = json.dumps(manifest).encode()
    except (ValueError, RecursionError, TypeError):
        pass
    try:
        return pack(members)
    except (ValueError, UnicodeError):  # a name that no container can have
        return None


def artefacts() -> list[bytes]:
    """Artefacts of the present format, since those of an older one are refused at once; and recipes of them."""
    found: list[bytes] = []
    for kind in ("exact", "product"):
        found.append(artefact_bytes(made(kind)))
        members = {name: held.decode("latin-1") for name, held in unpack("policy.rbrc", found[-1]).items()}
        found += [json.dumps(members).encode()] * 3
    return found


# --- the server -----------------------------------------------------------------------------------


def judge(items: Sequence[GradeItem], asked: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
    """A grader without an opinion of its own: yes where the completion is long, and certain of it."""
    return [
        {p: certain(float(len(item.completion) % 3 > p), "function") for p in of}
        for item, of in zip(items, asked, strict=True)
    ]


@cache
def served() -> tuple[asyncio.Runner, Any, Any]:
    """The loop of the server's application, the application, and the lifespan in which it was started."""
    app, runner = application(Service(small().circuit, Scorer(made("exact"), judge), "fuzz")), asyncio.Runner()
    lifespan = app.router.lifespan_context(app)
    runner.run(lifespan.__aenter__())
    return runner, app, lifespan


def server(data: bytes) -> None:
    """A body of each route: scored, or refused with an error in words; never a failure of the server's own."""
    runner, app, _ = served()
    for path in PATHS:
        try:
            status, body = runner.run(_post(app, path, data))
        except BaseException:
            served.cache_clear()  # what is left of it may hold the next input up
            raise
        said = json.loads(body)
        assert status == 200 or status in REFUSALS, f"{path} answered {status}: {said}"
        if status != 200:
            assert set(said["error"]) == {"type", "message", "where"}, said
        elif path == "/score":
            for row in said["rows"]:
                assert (row["reward"] is None) == (row["reason"] is not None), row


async def _post(app: Any, path: str, data: bytes) -> tuple[int, bytes]:
    """The application's answer to one request, without a network between."""
    messages = [{"type": "http.request", "body": data, "more_body": False}]
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            body += message.get("body", b"")

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "headers": [(b"content-type", b"application/json"), (b"host", b"127.0.0.1:8000")],
    }  # fmt: skip
    await app(scope, receive, send)
    return status, body


# --- replies of graders -----------------------------------------------------------------------------


@cache
def endpoints() -> tuple[ChatEndpoint, ChatEndpoint, SystemOne]:
    program = small().program
    laid = plan(program.propositions, small().circuit, ())
    read, sampled = (
        chat_endpoint(program.propositions, laid, options, Secret(""))
        for options in (ChatOptions("m"), ChatOptions("m", samples=3))
    )
    return read, sampled, SystemOne("http://127.0.0.1:1", "m", Secret(""), program.propositions)


def replies(data: bytes) -> None:
    """A reply with status 200 is answers, each with a reason or a probability inside of its bounds, or garbled."""
    *chats, decides = endpoints()
    ask, all_of_them = Ask(0, (0,), LAYOUT), Ask(0, (0, 1, 2), LAYOUT)
    for remote, asked in (*((r, a) for r in chats for a in (ask, all_of_them)), (decides, all_of_them)):
        said = remote.read(asked, data)
        match said.otherwise if isinstance(said, Short) else said:
            case Garbled(reason):
                assert reason
            case Answered(answers):
                assert len(answers) == len(asked.propositions)
                for answer in answers:
                    if isinstance(answer, Value):
                        assert 0.0 <= answer.low <= answer.p <= answer.high <= 1.0, answer
                        assert 0.0 <= answer.mass <= 1.0, answer
                    elif isinstance(answer, Abstained | Invalid):
                        assert answer.reason, answer
                    else:
                        raise AssertionError(f"a proposition has one probability: {answer}")
    match read_text(data):
        case Garbled(reason):
            assert reason
        case Written(text):
            text.encode()


TARGETS: dict[str, Target] = {
    "policy": Target(policy, policies),
    "rows": Target(rows, lambda: kept("rows")),
    "artefact": Target(artefact, artefacts),
    "server": Target(server, lambda: kept("server", "rows")),
    "replies": Target(replies, lambda: kept("replies")),
}
