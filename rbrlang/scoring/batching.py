"""How do many small requests reach the grader together, and none of them gets another's answer?

While a batch is graded, what arrives waits; when the grader is free it takes everything that waits, up to
a limit. So an idle grader answers at once, and a busy one grades larger batches: nothing waits for a timer.
Requests stay whole, and each gets its own part of the batch's scores by position. Grading runs in a
thread, off the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType
from typing import cast

from rbrlang.scoring.columns import Rollout
from rbrlang.scoring.score import Scores

Score = Callable[[Sequence[Rollout]], Scores]
"""Rollouts to their scores, in order; called in a thread. A `Scorer` is one."""


class BusyError(Exception):
    """More completions wait than the server keeps; nothing of the request was accepted."""


@dataclass(frozen=True, slots=True)
class _Request:
    rollouts: Sequence[Rollout]
    scores: asyncio.Future[Scores]


class Batcher:
    """Scores requests in batches of up to `largest` completions, `at_once` batches at a time.

    At most `waiting` completions wait, None for any number; a request is larger than `largest` only if it comes so.
    It belongs to one event loop. As an asynchronous context it finishes, when left, what was accepted.
    """

    def __init__(self, score: Score, *, largest: int, waiting: int | None = None, at_once: int = 1) -> None:
        self._score = score
        self._largest, self._limit = largest, waiting
        self._queue: deque[_Request] = deque()
        self._waiting = self._grading = 0
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="rbr-grade")
        self._at_once = at_once
        self._workers: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Completions that wait for a batch."""
        return self._waiting

    @property
    def grading(self) -> int:
        """Completions that are graded at this moment."""
        return self._grading

    async def score(self, rollouts: Sequence[Rollout]) -> Scores:
        """The scores of a request's completions. Raises `BusyError`, and whatever scoring them raises."""
        if self._limit is not None and self._waiting and self._waiting + len(rollouts) > self._limit:
            raise BusyError
        request = _Request(rollouts, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self._waiting += len(rollouts)
        if len(self._workers) < self._at_once:
            self._workers.add(asyncio.create_task(self._work()))
        return await request.scores

    async def __aenter__(self) -> Batcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._workers)
        self._threads.shutdown()

    async def _work(self) -> None:
        try:
            while batch := self._take():
                size = sum(len(request.rollouts) for request in batch)
                self._grading += size
                await self._run(batch)
                self._grading -= size
        finally:  # with nothing awaited since there was nothing to take: what comes now starts another worker
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> list[_Request]:
        batch: list[_Request] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].rollouts) <= self._largest):
            request = self._queue.popleft()
            self._waiting -= len(request.rollouts)
            if not request.scores.cancelled():  # whoever asked has gone
                batch.append(request)
                size += len(request.rollouts)
        return batch

    async def _run(self, batch: Sequence[_Request]) -> None:
        everything = [rollout for request in batch for rollout in request.rollouts]
        try:
            scores = await asyncio.get_running_loop().run_in_executor(self._threads, self._score, everything)
            if len(scores) != len(everything):
                raise RuntimeError(f"{len(scores)} scores for {len(everything)} completions; this is a bug in rbrlang")
            ends = list(accumulate(len(request.rollouts) for request in batch))
            parts = [scores.part(end - len(request.rollouts), end) for request, end in zip(batch, ends, strict=True)]
        except Exception as error:
            if len(batch) > 1:  # one request's mistake is not another's
                for request in batch:
                    await self._run([request])
            else:
                with suppress(asyncio.InvalidStateError):
                    batch[0].scores.set_exception(error)
            return
        for request, part in zip(batch, parts, strict=True):
            if not request.scores.cancelled():
                request.scores.set_result(part)
