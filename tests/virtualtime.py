"""A clock that only waiting moves: what takes an hour of waiting takes no time, and what lasts 4 s lasts 4 s exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import httpx
from faultserver import Action, Drip, Drop, Hang, Say, Script

R = TypeVar("R")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes on to the next timer when nothing else is left to do. For what opens no socket."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0.0

    def time(self) -> float:
        return self._at

    def _run_once(self) -> None:
        waiting: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not self._ready:  # type: ignore[attr-defined]
            self._at = max(self._at, min((h.when() for h in waiting if not h.cancelled()), default=self._at))
        super()._run_once()  # type: ignore[misc]


def run(work: Coroutine[Any, Any, R], took: list[float]) -> R:
    """`asyncio.run` on such a clock; the seconds that went by are added to `took`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        try:
            return runner.run(work)
        finally:
            took.append(loop.time())


class Scripted(httpx.AsyncBaseTransport):
    """A server that does what a script says, without a network: each action as `FaultServer` has it."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.received: dict[bytes, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        before = self.received.get(body, 0)
        self.received[body] = before + 1
        action: Action = self.script(body, before)
        match action:
            case Say(said, status, headers):
                return httpx.Response(status, headers=headers, stream=httpx.ByteStream(said))
            case Drip(said, pause):
                return httpx.Response(200, content=_dripping(said, pause))
            case Hang(seconds):
                await asyncio.sleep(seconds)
                raise httpx.ReadError("closed")
            case Drop():
                raise httpx.RemoteProtocolError("closed")


async def _dripping(said: bytes, pause: float) -> AsyncIterator[bytes]:
    for at in range(len(said)):
        await asyncio.sleep(pause)
        yield said[at : at + 1]
