"""One HTTP exchange: what came back, or why nothing did?

The client is httpx's. What this adds: the time limit covers the whole exchange (a server that drips one
byte a second defeats a read timeout), the reply has a size limit, redirects are not followed (they could
take the key elsewhere), and every failure becomes a sentence. `waited` is how code that is not asynchronous
waits for exchanges.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from rbrlang.grading.endpoint.pace import retry_after
from rbrlang.grading.endpoint.remote import Garbled, parsed
from rbrlang.grading.questions.specs import Secret
from rbrlang.jsontext import at

try:
    import httpx
    from anyio.from_thread import start_blocking_portal  # httpx stands on anyio
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "graders over HTTP need the extra `endpoint`; install it with `pip install 'rbrlang[endpoint]'`",
        name="httpx",
    ) from missing

MOST_BYTES = 4_000_000
BYTES_OF_A_TOKEN = 4_000  # with 20 alternatives
MOST_OF_OURS = 128_000_000
"""Of a process that we started: the probabilities of a whole vocabulary."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply. `wait` is what `Retry-After` asks for, in seconds."""

    status: int
    body: bytes
    wait: float | None


@dataclass(frozen=True, slots=True)
class Lost:
    """No complete reply, for the reason given."""

    reason: str


def clients(number: int, socket: str | None = None) -> tuple[httpx.AsyncClient, ...]:
    """Clients of one connection each, over a Unix `socket` where one is given. Close them.

    httpcore's pool looks at every connection for every request: sixteen clients of one connection took
    two fifths of the processor time that one client of sixteen did.
    """
    certificates = httpx.create_ssl_context()  # the costly part of a client
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    # `post` limits the time of each exchange as a whole.
    return tuple(
        httpx.AsyncClient(
            verify=certificates,
            timeout=None,
            limits=limits,
            follow_redirects=False,
            transport=None
            if socket is None
            else httpx.AsyncHTTPTransport(verify=certificates, limits=limits, uds=socket),
        )
        for _ in range(number)
    )


async def post(
    http: httpx.AsyncClient, url: str, key: Secret, body: bytes, seconds: float, most: int = MOST_BYTES
) -> Reply | Lost:
    """Send a JSON body and read the whole reply, of so many bytes at most, within so many seconds. Raises nothing of the network's."""
    # An unpacked reply could be far larger than what the limit below counts.
    headers = {"content-type": "application/json", "accept-encoding": "identity", **_bearer(key)}
    return await _exchange(http, httpx.Request("POST", url, headers=headers, content=body), seconds, most)


async def get(http: httpx.AsyncClient, url: str, key: Secret, seconds: float, most: int = MOST_BYTES) -> Reply | Lost:
    """Read a resource of at most `most` bytes within so many seconds."""
    return await _exchange(http, httpx.Request("GET", url, headers=_bearer(key)), seconds, most)


async def upload(
    http: httpx.AsyncClient, url: str, key: Secret, name: str, data: bytes, seconds: float
) -> Reply | Lost:
    """Send a file of requests, as a form of the kind that OpenAI's `/files` takes."""
    form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": (name, data, "application/jsonl")}}
    return await _exchange(http, httpx.Request("POST", url, headers=_bearer(key), **form), seconds)


def _bearer(key: Secret) -> dict[str, str]:
    return {"authorization": f"Bearer {key.reveal()}"} if key.reveal() else {}


async def _exchange(
    http: httpx.AsyncClient, request: httpx.Request, seconds: float, most: int = MOST_BYTES
) -> Reply | Lost:
    where = f"`{request.url.host}`"
    try:
        async with asyncio.timeout(seconds):
            response = await http.send(request, stream=True)
            try:
                chunks: list[bytes] = []
                size = 0
                async for chunk in response.aiter_raw():
                    size += len(chunk)
                    if size > most:
                        return Lost(f"{where} sent more than {most:,} bytes")
                    chunks.append(chunk)
            finally:
                await response.aclose()
    except TimeoutError:
        return Lost(f"no complete reply from {where} within {seconds:.3g} s")
    except httpx.ConnectError:
        return Lost(f"cannot connect to {where}")
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        return Lost(f"{where} closed the connection before its reply was complete")
    except httpx.HTTPError as error:
        return Lost(f"the exchange with {where} failed ({type(error).__name__})")
    wait = retry_after(response.headers.get("retry-after"), time.time())
    return Reply(response.status_code, b"".join(chunks), wait)


def waited(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """What the work returns, for a caller that is not asynchronous. Raises what the work raises.

    A notebook or an asynchronous trainer calls from a thread whose event loop is running, where no second one
    may run: there the work gets a thread and a loop of its own, and whatever interrupts the caller cancels it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with start_blocking_portal("asyncio") as portal:
        return portal.call(work)


def complaint(reply: Reply, key: Secret) -> str:
    """What a server says about a request that it rejects, on one line, short and without the key."""
    plain = parsed(reply.body)
    said: object = None
    if not isinstance(plain, Garbled):
        for path in (("error", "message"), ("message",), ("detail",), ("error",)):
            said = at(plain, *path)
            if isinstance(said, str) and said:
                break
    text = said if isinstance(said, str) else reply.body[:300].decode(errors="replace")
    text = " ".join(key.redacted(text).split())
    return f"status {reply.status}" + (f": {text[:300]}" if text else "")


def exhausted(reply: Reply) -> bool:
    """Whether a status 429 means that the account has no money left, so that waiting is in vain."""
    plain = parsed(reply.body)
    if reply.status != 429 or isinstance(plain, Garbled):
        return False
    return "insufficient_quota" in (at(plain, "error", "code"), at(plain, "error", "type"))
