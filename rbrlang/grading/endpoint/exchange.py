"""How does one request get through to a server that fails, within what a whole run may spend?

`Sender` is what the workers of one run share, whatever they ask for: the pace, the budget of retries, the
breaker that ends a run in which nothing succeeds any more, and the count of what was sent. A request that
fails is tried again, within its own patience and the run's budget. What is left without a usable reply is
`Invalid` with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, TypeVar

from rbrlang.grading.endpoint.account import RunOptions, body_tokens
from rbrlang.grading.endpoint.llama import LocalModel
from rbrlang.grading.endpoint.pace import Breaker, Pace, Patience, RetryBudget, backoff
from rbrlang.grading.endpoint.remote import Garbled
from rbrlang.grading.endpoint.wire import (
    BYTES_OF_A_TOKEN,
    MOST_BYTES,
    MOST_OF_OURS,
    Lost,
    Reply,
    complaint,
    exhausted,
    post,
)
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Invalid

if TYPE_CHECKING:
    import httpx

TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
OF_THE_SHAPE = frozenset({400, 422})
_HOPELESS = frozenset({401, 402, 403, 404, 405, 501})  # no other request would fare better

R = TypeVar("R")


class Sender:
    """Sends bodies to one address. One thread, so no locks. Made inside the event loop that uses it.

    `stopped` is why the run ended early, None while it goes on. `pace` is that of several runs, None of this one. A
    `process` that answers is started here, also when it has died.
    """

    def __init__(
        self, url: str, key: Secret, options: RunOptions, pace: Pace | None = None, process: LocalModel | None = None
    ) -> None:
        self.stopped: str | None = None
        self.sent = 0
        self.retried = 0
        self._url, self._key, self._options, self._process = url, key, options, process
        self._stopping = asyncio.Event()
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute) if pace is None else pace
        self._budget = RetryBudget(options.retries, at_once=2 * options.concurrency + 10)
        self._breaker = Breaker(options.stop_after)
        self._random = Random(options.seed)

    def stop(self, reason: str) -> None:
        """Nothing more is sent."""
        if self.stopped is None:
            self.stopped = reason
            self._stopping.set()

    def succeeded(self) -> None:
        """A usable answer came."""
        self._breaker.succeeded()

    def failed(self, reason: str) -> None:
        """No usable answer came after all retries; one too many of these in a row stops the run."""
        if self._breaker.failed():
            self.stop(f"{self._options.stop_after} requests in a row failed, the last because {reason}")

    def foresee(self, bodies: Sequence[bytes]) -> None:
        """All that an ask will send and the cache does not have; who waits for nothing need not know."""

    def patience(self) -> Patience:
        """The patience of an ask that begins now."""
        return Patience(self._options.patience, _now())

    async def exchange(
        self,
        http: httpx.AsyncClient,
        body: bytes,
        read: Callable[[bytes], R | Garbled],
        patience: Patience,
        reshaped: Callable[[bytes, bytes], bytes | str | None] | None = None,
    ) -> R | Invalid:
        """What `read` makes of the reply to a body, or why there is none.

        `reshaped` gives another body in the place of one that was refused with a reply, a sentence where none is left, None
        where it has nothing to say. No attempt outlasts `patience`, which those of the same ask share.
        """
        options = self._options
        failure = Invalid("stopped", "the run stopped before this was asked")
        attempt = 0
        while attempt < options.attempts:
            if attempt == 0:
                self._budget.sent()
            elif self._budget.take():
                self.retried += 1
            else:
                return Invalid(failure.kind, f"{failure.reason} (the run has no retries left)")
            await self._turn(body_tokens(body) + options.thought_tokens, patience)
            if self.stopped is not None:
                return failure
            if self._process is not None and (why := await asyncio.to_thread(self._process.ready)) is not None:
                self.stop(why)
                return Invalid("grader", why)
            left = patience.left(_now())
            if left <= 0:
                return _late(failure, attempt)
            self.sent += 1
            most = (MOST_BYTES if self._process is None else MOST_OF_OURS) + options.thought_tokens * BYTES_OF_A_TOKEN
            reply = await post(http, self._url, self._key, body, min(options.timeout, left), most)
            if isinstance(reply, Reply) and reply.status == 200:
                reading = read(reply.body)
                if not isinstance(reading, Garbled):
                    return reading
                failure, again = Invalid("malformed", reading.reason), True
            else:
                failure, again = self._failure(reply)
                if reshaped is not None and isinstance(reply, Reply) and reply.status in OF_THE_SHAPE:
                    other = reshaped(body, reply.body)
                    if isinstance(other, bytes):
                        body = other
                        continue
                    failure = failure if other is None else Invalid("refused", f"{failure.reason} ({other})")
            if not again:
                return failure
            wait = backoff(attempt, options.first_wait, options.longest_wait, self._random)
            if isinstance(reply, Reply) and reply.wait is not None:
                wait = max(wait, reply.wait)
                if wait > max(options.longest_wait, patience.left(_now())):
                    return Invalid(failure.kind, f"{failure.reason} (and asks to wait {reply.wait:.0f} s)")
                self._pace.hold(_now() + wait)
            if attempt + 1 < options.attempts and wait < patience.left(_now()):
                await self._sleep(wait)
            else:
                return Invalid(failure.kind, f"{failure.reason} (tried {attempt + 1} times)")
            attempt += 1
        return failure

    def _failure(self, reply: Reply | Lost) -> tuple[Invalid, bool]:
        """What a reply without a reading means, and whether to try again."""
        if isinstance(reply, Lost):
            return Invalid("transport", reply.reason), True
        said = complaint(reply, self._key)
        if reply.status in _HOPELESS or exhausted(reply):
            self.stop(f"the server at `{self._url}` answers every request with {said}")
            return Invalid("refused", said), False
        if reply.status in TRY_AGAIN:
            return Invalid("transport", said), True
        return Invalid("refused", said), False

    async def _turn(self, tokens: int, patience: Patience) -> None:
        """Wait for this request's place in the minute, and, while patience lasts, for whatever holds everybody back."""
        now = _now()
        own = self._pace.reserve(now, tokens) - now
        patience.give_back(own)
        await self._sleep(own)
        while (wait := min(self._pace.held(now := _now()), patience.left(now))) > 0 and self.stopped is None:
            await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops."""
        if seconds > 0 and self.stopped is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)


def _now() -> float:
    """Seconds on the clock of the loop that waits: whatever limits a wait counts as the wait itself does."""
    return asyncio.get_running_loop().time()


def _late(failure: Invalid, attempts: int) -> Invalid:
    """Why an ask has no reply whose patience was over before its next attempt."""
    if attempts == 0:
        return Invalid("transport", "no time was left to ask: what it had to wait for took all of its patience")
    return Invalid(failure.kind, f"{failure.reason} (tried {attempts} time{'s' if attempts > 1 else ''})")
