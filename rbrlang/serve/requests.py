"""May this request ask at all, and what is said where it may not?

Every refusal has the form `{"error": {"type", "message", "where"}}`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rbrlang.jsontext import JsonError, NotJsonError, parse

_PORT = re.compile(r":\d*\Z")


class Json(JSONResponse):
    """JSON in ASCII, since a text that was sent may hold what UTF-8 cannot; never NaN."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


class RefusedError(Exception):
    """A request that is not served, with the status and the error's type, message and place."""

    def __init__(self, status: int, kind: str, message: str, where: str = "") -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.where = status, kind, message, where


async def body_of(request: Request, most: int, seconds: float) -> bytes:
    """The body of a request of JSON, of at most so many bytes within so many seconds. Raises `RefusedError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Also what keeps pages in a browser from asking a server without a token.
        raise RefusedError(
            415, "not_json", f"the content type is `{kind or 'missing'}`; send `application/json`", "content-type"
        )
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(415, "encoded", "the body is compressed; send it as it is", "content-encoding")
    too_large = RefusedError(413, "too_large", f"the body is larger than {most} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > most:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise too_large
    except TimeoutError:
        raise RefusedError(408, "slow", f"the body took longer than {seconds:g} s") from None
    return bytes(data)


def parsed(data: bytes) -> object:
    """The JSON of a body. Raises `RefusedError`."""
    try:
        return parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError(400, "not_utf8", f"the body is not UTF-8 (byte {error.start})") from None
    except JsonError as error:
        what = f"the body is {error}" if isinstance(error, NotJsonError) else f"the body cannot be used: {error}"
        raise RefusedError(400, "not_json", what) from None


def check_host(request: Request, hosts: frozenset[str] | None, instead: str) -> None:
    """Turn away what a page in a browser asks under a name of its own that leads to this machine (DNS rebinding).

    `instead` is the next step of somebody who is no such page. Raises `RefusedError`.
    """
    if hosts is None:
        return
    given = request.headers.get("host", "").strip().lower()
    if given not in hosts and _PORT.sub("", given) not in hosts:
        raise RefusedError(421, "wrong_host", f"this server does not answer for `{given[:100]}`; {instead}", "host")


def check_token(request: Request, token: str | None) -> None:
    """Turn away what does not bear the token, if there is one. Raises `RefusedError`."""
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise RefusedError(401, "unauthorised", "send `Authorization: Bearer` and the server's token", "authorization")


def refusal(refused: RefusedError) -> Response:
    """The answer to a request that is refused."""
    headers = {"Retry-After": "1"} if refused.status == 503 else {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not wanted
    error = {"type": refused.kind, "message": refused.message, "where": refused.where or None}
    return Json({"error": error}, refused.status, headers)


async def no_route(_: Request, error: Exception) -> Response:
    """The answer where there is no such route."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = {404: "there is no such route", 405: "the route does not take this method"}.get(status, "refused")
    response = refusal(RefusedError(status, "no_route", message))
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})  # `Allow`
    return response
