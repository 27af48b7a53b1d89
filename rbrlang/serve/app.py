"""Which requests does the reward server take, and what does it say to those that it does not?

An ASGI application on Starlette. Every answer is JSON (but for `/metrics`); every refusal has the form
`{"error": {"type", "message", "where"}}`. A request is accepted when its body has been read whole and is of its
form; what is accepted is scored, also while the server shuts down.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

import rbrlang
from rbrlang.logic.circuit import Circuit
from rbrlang.scoring.batching import Batcher, BusyError, Score
from rbrlang.scoring.columns import Rollout
from rbrlang.scoring.score import Scores
from rbrlang.serve import forms
from rbrlang.serve.forms import FormError, Reading
from rbrlang.serve.meters import Meters
from rbrlang.serve.requests import (
    Json,
    RefusedError,
    body_of,
    check_host,
    check_token,
    no_route,
    parsed,
    refusal,
)

_log = logging.getLogger("rbrlang")

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
        exception_handlers={HTTPException: no_route},
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
                check_host(request, self._service.hosts, "start it with `--allow-host NAME`")
                if not open_to_all:
                    check_token(request, self._service.token)
                response = await handler(request)
            except RefusedError as refused:
                response = refusal(refused)
            except ClientDisconnect:
                response = refusal(RefusedError(400, "disconnected", "the body ended early"))
            except Exception:
                _log.exception("no answer to a request of %s", route)
                response = refusal(
                    RefusedError(500, "internal", "the completions could not be scored; the server's log says why")
                )
            self._meters.answered(route, response.status_code, time.monotonic() - began)
            return response

        return handle

    def scoring(self, read: Read, say: Say) -> Handler:
        """The handler of a form."""

        async def handle(request: Request) -> Response:
            data = await body_of(request, self._service.limits.body, self._service.limits.seconds)
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
                return Json(say(body, rollouts, scores))
            return await run_in_threadpool(lambda: Json(say(body, rollouts, scores)))

        return handle

    async def _scores(self, rollouts: Sequence[Rollout]) -> Scores:
        if self._batcher is None:
            raise RuntimeError("the application was not started: run it with its lifespan")
        try:
            return await self._batcher.score(rollouts)
        except BusyError:
            raise RefusedError(503, "busy", "too many completions wait; ask again later") from None

    async def health(self, _: Request) -> Response:
        """Whether the process answers; says nothing of the grader, whose failures are reasons of completions."""
        return Json({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        """Prometheus's text format."""
        return Response(self._meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def about(self, _: Request) -> Response:
        """What is served."""
        service = self._service
        return Json(
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
    body = parsed(data)
    try:
        return body, read(body)
    except FormError as error:
        raise RefusedError(422, "malformed", str(error), error.where) from None
