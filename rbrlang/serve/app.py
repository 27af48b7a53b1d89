"""Which requests does the reward server take, and what does it say to those that it does not?

An ASGI application on Starlette. Every answer is JSON (but for `/metrics`); every refusal has the form
`{"error": {"type", "message", "where"}}`. A request is accepted when its body has been read whole and is of its
form; what is accepted is scored, also while the server shuts down.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import rbrlang
from rbrlang.jsontext import JsonError, NotJsonError, parse
from rbrlang.logic.circuit import Circuit
from rbrlang.scoring.batching import Batcher, BusyError, Score
from rbrlang.scoring.columns import Rollout
from rbrlang.scoring.score import Scores
from rbrlang.serve import forms
from rbrlang.serve.forms import FormError, Reading
from rbrlang.serve.meters import Meters

_log = logging.getLogger("rbrlang")

_PORT = re.compile(r":\d*\Z")
_INLINE = 1 << 16  # bodies up to here are parsed on the event loop: a thread would cost more than it saves


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and all that wait, may take: bytes of a body, completions, seconds to send a body in.

    `batch` bounds a request and what is graded together.
    """

    body: int = 16 << 20
    batch: int = 512
    waiting: int = 8192
    seconds: float = 30.0
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """What is served: a policy, its scoring, who grades, and the token that requests have to bear, if any.

    `hosts` are the values of the `Host` header that are answered, each with its port or for any port; None answers all.
    """

    circuit: Circuit
    score: Score
    grader: str
    token: str | None = None
    reading: Reading = field(default_factory=Reading)
    limits: Limits = field(default_factory=Limits)
    hosts: frozenset[str] | None = None


class _Json(JSONResponse):
    """JSON in ASCII, since a text that was sent may hold what UTF-8 cannot; never NaN."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


class RefusedError(Exception):
    """A request that is not served, with the status and the error's type, message and place."""

    def __init__(self, status: int, kind: str, message: str, where: str = "") -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.where = status, kind, message, where


Read = Callable[[object], list[Rollout]]
Say = Callable[[object, Sequence[Rollout], Scores], dict[str, Any]]


def application(service: Service) -> Starlette:
    """The ASGI application of a service."""
    server = _Server(service)
    reading, circuit = service.reading, service.circuit
    # OpenRLHF posts to the address that it was given, without a path of its own.
    posts: Mapping[str, tuple[Read, Say]] = {
        "/score": (
            lambda body: forms.read_score(body, reading),
            lambda _, rollouts, scores: forms.say_score(rollouts, scores),
        ),
        "/openrlhf": (
            lambda body: forms.read_openrlhf(body, reading, circuit),
            lambda _, __, scores: forms.say_openrlhf(scores, reading),
        ),
        "/verify": (
            lambda body: forms.read_verify(body, reading),
            lambda body, _, scores: forms.say_verify(body, scores, reading),
        ),
    }
    return Starlette(
        routes=[
            Route("/", server.guarded("/", server.about), methods=["GET"]),
            Route("/healthz", server.guarded("/healthz", server.health, open_to_all=True), methods=["GET"]),
            Route("/metrics", server.guarded("/metrics", server.metrics), methods=["GET"]),
            *(
                Route(path, server.guarded(path, server.scoring(read, say)), methods=["POST"])
                for path, (read, say) in posts.items()
            ),
        ],
        exception_handlers={HTTPException: _no_route},
        lifespan=server.lifespan,
    )


Handler = Callable[[Request], Awaitable[Response]]


class _Server:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._batcher: Batcher | None = None
        self._meters = Meters(
            service.circuit,
            lambda: 0 if self._batcher is None else self._batcher.waiting,
            lambda: 0 if self._batcher is None else self._batcher.grading,
        )
        self._token = None if service.token is None else service.token.encode()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        limits = self._service.limits
        async with Batcher(
            self._measured, largest=limits.batch, waiting=limits.waiting, at_once=limits.at_once
        ) as self._batcher:
            yield

    def _measured(self, rollouts: Sequence[Rollout]) -> Scores:
        began = time.monotonic()
        scores = self._service.score(rollouts)
        self._meters.scored(scores, time.monotonic() - began)
        return scores

    def guarded(self, route: str, handler: Handler, *, open_to_all: bool = False) -> Handler:
        """A handler behind the token, with every failure as an answer, counted."""

        async def handle(request: Request) -> Response:
            began = time.monotonic()
            try:
                self._check_host(request)
                if not open_to_all:
                    self._check_token(request)
                response = await handler(request)
            except RefusedError as refused:
                response = _refusal(refused)
            except ClientDisconnect:
                response = _refusal(RefusedError(400, "disconnected", "the body ended early"))
            except Exception:
                _log.exception("no answer to a request of %s", route)
                response = _refusal(
                    RefusedError(500, "internal", "the completions could not be scored; the server's log says why")
                )
            self._meters.answered(route, response.status_code, time.monotonic() - began)
            return response

        return handle

    def scoring(self, read: Read, say: Say) -> Handler:
        """The handler of a form."""

        async def handle(request: Request) -> Response:
            data = await self._body(request)
            if len(data) <= _INLINE:
                body, rollouts = _parsed(data, read)
            else:
                body, rollouts = await run_in_threadpool(_parsed, data, read)
            if len(rollouts) > self._service.limits.batch:
                raise RefusedError(
                    413, "too_many",
                    f"there are {len(rollouts)} completions, more than the {self._service.limits.batch} of one request",
                )  # fmt: skip
            scores = await self._scores(rollouts)
            if len(rollouts) <= 16:
                return _Json(say(body, rollouts, scores))
            return await run_in_threadpool(lambda: _Json(say(body, rollouts, scores)))

        return handle

    async def _scores(self, rollouts: Sequence[Rollout]) -> Scores:
        if self._batcher is None:
            raise RuntimeError("the application was not started: run it with its lifespan")
        try:
            return await self._batcher.score(rollouts)
        except BusyError:
            raise RefusedError(503, "busy", "too many completions wait; ask again later") from None

    async def _body(self, request: Request) -> bytes:
        limits = self._service.limits
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # Also what keeps pages in a browser from asking a server without a token.
            raise RefusedError(
                415, "not_json", f"the content type is `{kind or 'missing'}`; send `application/json`", "content-type"
            )
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RefusedError(415, "encoded", "the body is compressed; send it as it is", "content-encoding")
        too_large = RefusedError(413, "too_large", f"the body is larger than {limits.body} bytes")
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > limits.body:
            raise too_large
        data = bytearray()
        try:
            async with asyncio.timeout(limits.seconds):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > limits.body:
                        raise too_large
        except TimeoutError:
            raise RefusedError(408, "slow", f"the body took longer than {limits.seconds:g} s") from None
        return bytes(data)

    def _check_host(self, request: Request) -> None:
        """Turn away what a page in a browser asks under a name of its own that leads to this machine (DNS rebinding)."""
        hosts = self._service.hosts
        if hosts is None:
            return
        given = request.headers.get("host", "").strip().lower()
        if given not in hosts and _PORT.sub("", given) not in hosts:
            raise RefusedError(
                421, "wrong_host", f"this server does not answer for `{given[:100]}`; start it with `--allow-host NAME`",
                "host",
            )  # fmt: skip

    def _check_token(self, request: Request) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() != "bearer" or not right:
            raise RefusedError(
                401, "unauthorised", "send `Authorization: Bearer` and the server's token", "authorization"
            )

    async def health(self, _: Request) -> Response:
        """Whether the process answers; says nothing of the grader, whose failures are reasons of completions."""
        return _Json({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        """Prometheus's text format."""
        return Response(self._meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def about(self, _: Request) -> Response:
        """What is served."""
        service = self._service
        return _Json(
            {
                "rbrlang": rbrlang.__version__,
                "fingerprint": service.circuit.fingerprint,
                "grader": service.grader,
                "response_types": list(service.circuit.response_names),
                "propositions": list(service.circuit.propositions),
                "limits": {
                    "body_bytes": service.limits.body,
                    "completions": service.limits.batch,
                    "characters": service.reading.longest,
                },
            }
        )


def _parsed(data: bytes, read: Read) -> tuple[object, list[Rollout]]:
    try:
        body: object = parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError(400, "not_utf8", f"the body is not UTF-8 (byte {error.start})") from None
    except JsonError as error:
        what = f"the body is {error}" if isinstance(error, NotJsonError) else f"the body cannot be used: {error}"
        raise RefusedError(400, "not_json", what) from None
    try:
        return body, read(body)
    except FormError as error:
        raise RefusedError(422, "malformed", str(error), error.where) from None


def _refusal(refused: RefusedError) -> Response:
    headers = {"Retry-After": "1"} if refused.status == 503 else {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not wanted
    error = {"type": refused.kind, "message": refused.message, "where": refused.where or None}
    return _Json({"error": error}, refused.status, headers)


async def _no_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = {404: "there is no such route", 405: "the route does not take this method"}.get(status, "refused")
    response = _refusal(RefusedError(status, "no_route", message))
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})  # `Allow`
    return response
