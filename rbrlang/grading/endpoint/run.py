"""How do ten thousand questions get answered by a server that fails, and by a process that may die?

`grade` works through a remote grader's asks with bounded concurrency. The first ask of each group goes
alone, so that the server has computed the shared beginning before the others use it. Whatever was
answered is in the cache before it counts; a later run with the same cache asks only what is missing. A
request that fails is tried again, within its own patience and the run's budget; when nothing succeeds any
more the run stops. Whatever is left without an answer is `Invalid` with a reason, never a number, and
answers come back in the order of the items however they arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.grading.endpoint.account import (
    Grades,
    Price,
    Progress,
    RunOptions,
    Summary,
    apart,
    identified,
    limited,
    recalled,
    shape_key,
)
from rbrlang.grading.endpoint.batchfiles import BatchFolder, Replay
from rbrlang.grading.endpoint.cache import AnswerCache, cache_key
from rbrlang.grading.endpoint.exchange import Sender
from rbrlang.grading.endpoint.pace import Pace, Patience
from rbrlang.grading.endpoint.remote import Answered, Remote, Short
from rbrlang.grading.endpoint.wire import clients, waited
from rbrlang.grading.questions.layout import Ask
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, InvalidKind, Usage, Value

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger("rbrlang")

# Readings that the model itself gave; others are the server's doing and may change when it is repaired.
_KEPT: frozenset[InvalidKind] = frozenset({"low-mass", "misaligned"})
# Invalid answers that say nothing about whether the next request will succeed.
_ONE_OFF: frozenset[InvalidKind] = frozenset({"low-mass", "wide-bounds", "misaligned"})


def grade(
    remote: Remote,
    items: Sequence[GradeItem],
    wanted: Sequence[Sequence[int]],
    cache: AnswerCache,
    options: RunOptions,
    price: Price,
    on_progress: Callable[[Progress], None] | None = None,
    pace: Pace | None = None,
    batch: BatchFolder | None = None,
) -> Grades:
    """Ask `wanted[i]` about `items[i]`, for all items. `pace` is that of several runs together, None of this one. With a
    `batch` nothing is sent: its folder has the replies, and is told what it lacks.

    Raises `CacheError` where the cache cannot be used; everything that goes wrong with the server becomes
    an answer.
    """
    return waited(partial(grade_async, remote, items, wanted, cache, options, price, on_progress, pace, batch))


async def grade_async(
    remote: Remote,
    items: Sequence[GradeItem],
    wanted: Sequence[Sequence[int]],
    cache: AnswerCache,
    options: RunOptions,
    price: Price,
    on_progress: Callable[[Progress], None] | None = None,
    pace: Pace | None = None,
    batch: BatchFolder | None = None,
) -> Grades:
    """`grade`, for callers with an event loop of their own."""
    run = _Run(remote, items, limited(wanted, options.limit), cache, options, price, on_progress, pace, batch)
    try:
        async with contextlib.AsyncExitStack() as opened, asyncio.TaskGroup() as workers:
            process = remote.process
            # One model computes one answer after the other: two in turn would lose each other's beginnings.
            for http in clients(options.concurrency) if process is None else clients(1, process.socket):
                workers.create_task(run.work(await opened.enter_async_context(http)))
    except* Exception as errors:
        raise errors.exceptions[0] from None  # the workers fail alike: a cache or a caller's callback
    return run.finished(wanted)


class RemoteGrader:
    """A remote grader in the shape that all graders share: items and what is wanted, to answers.

    Each call is a run of its own; `summaries` has one for each. After a run that stopped nothing more is
    sent: every further answer is invalid, with the reason. `cache` is the file of answers, None for none;
    `pace` that of other graders too, None of this one's runs each; `batch` see `grade`.
    """

    def __init__(
        self,
        remote: Remote,
        cache: Path | None,
        options: RunOptions,
        price: Price,
        on_progress: Callable[[Progress], None] | None = None,
        pace: Pace | None = None,
        batch: BatchFolder | None = None,
    ) -> None:
        self.summaries: list[Summary] = []
        self._remote, self._cache, self._options, self._price = remote, cache, options, price
        self._on_progress, self._pace, self._batch = on_progress, pace, batch

    @property
    def identity(self) -> str:
        """The grader's, with the shape of its requests as far as that is known."""
        return identified(self._remote)

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """The answers, in the order of the items. Raises `CacheError`."""
        stopped = self.summaries[-1].stopped if self.summaries else None
        if stopped is not None:
            missing = Invalid("stopped", f"not asked: the run stopped, because {stopped}")
            return tuple(dict.fromkeys(asked, missing) for asked in wanted)
        with AnswerCache(self._cache) as cache:
            grades = grade(
                self._remote, items, wanted, cache, self._options, self._price, self._on_progress, self._pace,
                self._batch,
            )  # fmt: skip
        self.summaries.append(grades.summary)
        return grades.answers


class StandingGrader:
    """A remote grader for a process that goes on and on: an outage costs the batches that fall into it, no later one.

    Several threads may ask at once, each a run of its own; what a minute may hold, they share. What each took and
    cost is logged, as information.
    """

    def __init__(self, remote: Remote, cache: Path | None, options: RunOptions, price: Price) -> None:
        self._remote, self._cache, self._options, self._price = remote, cache, options, price
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute)

    @property
    def identity(self) -> str:
        """The grader's, with the shape of its requests as far as that is known."""
        return identified(self._remote)

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """The answers, in the order of the items. Raises `CacheError`."""
        run = RemoteGrader(self._remote, self._cache, self._options, self._price, pace=self._pace)
        found = run.answers(items, wanted)
        for summary in run.summaries:
            used = summary.usage
            _log.info(
                "%d completions graded in %.1f s: %d requests%s, %d more answered from the cache, %d + %d tokens, cost %.4f",
                len(items), summary.seconds, summary.sent, f" ({summary.request})" if summary.request else "",
                summary.from_cache, used.prompt, used.completion, summary.cost,
            )  # fmt: skip
        return found


@dataclass(slots=True)
class _Counts:
    done: int = 0
    from_cache: int = 0
    invalid: int = 0
    alone: int = 0
    usage: Usage = field(default_factory=Usage)
    reused: Usage = field(default_factory=Usage)


class _Run:
    """The state that the workers of one run share. One thread, so no locks."""

    def __init__(
        self,
        remote: Remote,
        items: Sequence[GradeItem],
        wanted: Sequence[Sequence[int]],
        cache: AnswerCache,
        options: RunOptions,
        price: Price,
        on_progress: Callable[[Progress], None] | None,
        pace: Pace | None,
        batch: BatchFolder | None,
    ) -> None:
        recalled(remote, cache)
        self.remote, self.items, self.cache, self.options = remote, items, cache, options
        self.accepted: str | None = None  # the shape of request that had an answer
        self.price, self.on_progress = price, on_progress
        self.answers: list[dict[int, Answer]] = [{} for _ in items]
        self.groups = remote.groups(wanted, items)
        self.total = sum(len(group) for group in remote.groups(wanted, items))
        self.ready: deque[Ask] = deque()
        self.following: dict[Ask, tuple[Ask, ...]] = {}
        self.waited: dict[Ask, Patience] = {}  # those that waited in vain for the first of their group
        self.changed = asyncio.Condition()
        self.sender = (
            Sender(remote.url, remote.key, options, pace, remote.process)
            if batch is None
            else Replay(remote.url, remote.key, options, batch)
        )
        self.counts = _Counts()
        self.started = time.monotonic()

    # --- which ask is next ---

    async def work(self, http: httpx.AsyncClient) -> None:
        """One worker: asks until there are no more."""
        while (ask := await self._next()) is not None:
            patience = self.waited.pop(ask, None) or self.sender.patience()
            replied = await self._ask(http, ask, patience)
            async with self.changed:
                following = self.following.pop(ask, ())
                if not replied:
                    # They waited for it in vain: a patience of their own would make the last answer take twice as long.
                    self.waited.update(dict.fromkeys(following, patience))
                self.ready.extend(following)
                self.changed.notify_all()
            await asyncio.sleep(0)  # a run from the cache alone would never yield

    async def _next(self) -> Ask | None:
        async with self.changed:
            while self.sender.stopped is None:
                if self.ready:
                    return self.ready.popleft()
                group = next(self.groups, None)
                if group is not None:
                    self.following[group[0]] = group[1:]
                    return group[0]
                if not any(self.following.values()):
                    return None
                await self.changed.wait()
        return None

    # --- one ask ---

    async def _ask(self, http: httpx.AsyncClient, ask: Ask, patience: Patience) -> bool:
        """Answer an ask; whether usable replies were had."""
        readings: list[tuple[Answer, ...]] = []
        cached = True
        shapes = self.remote.shaping
        shape = None if shapes is None else shapes.said
        bodies = self.remote.bodies(ask, self.items[ask.item])
        if len(bodies) > 1:
            self.sender.foresee(
                [body for body in bodies if self.cache.get(cache_key(self.remote.identity, body)) is None]
            )
        for number in range(len(bodies)):
            if self.remote.done(ask, readings):
                break
            if shapes is not None and shape != shapes.said:
                shape, bodies = shapes.said, self.remote.bodies(ask, self.items[ask.item])
            body = bodies[number]
            key = cache_key(self.remote.identity, body)
            known = self.cache.get(key)
            if known is not None and self.remote.fits(ask, known.answers):
                self.counts.reused += known.usage
                readings.append(known.answers)
                continue
            cached = False
            outcome, sent = await self._exchange(http, ask, number, body, patience)
            key = cache_key(self.remote.identity, sent)
            if isinstance(outcome, Invalid):
                self._finish(ask, (outcome,) * len(ask.propositions), cached)
                return False
            self.counts.usage += outcome.usage
            if not any(isinstance(a, Invalid) and a.kind not in _KEPT for a in outcome.answers):
                self.cache.put(key, outcome)
            readings.append(outcome.answers)
        answers = self.remote.combine(ask, readings)
        again = apart(ask, answers)
        self._finish(ask, answers, cached, len(again))
        for one in again:
            await self._ask(http, one, self.sender.patience())
        return True

    async def _exchange(
        self, http: httpx.AsyncClient, ask: Ask, number: int, body: bytes, patience: Patience
    ) -> tuple[Answered | Invalid, bytes]:
        """The reading of body `number` of an ask, or why there is none, and the body that was sent last.

        What a server refuses, or answers too shortly, is sent again in the shape that this leads to. Many may be refused
        before the first has led on: they are sent again in the shape that was found.
        """
        shapes = self.remote.shaping

        def reshaped(sent: bytes, why: bytes | Short) -> bytes | str | None:
            nonlocal body
            if shapes is None:
                return None
            body = self.remote.bodies(ask, self.items[ask.item])[number]
            if body != sent:
                return body
            # A shape that had an answer is right: the refusal is of this row.
            found = not (isinstance(why, bytes) and self.accepted == shapes.said) and shapes.step(sent, why)
            if isinstance(found, str) or not found:
                return found or None
            self.cache.write(shape_key(self.remote), shapes.plain())
            body = self.remote.bodies(ask, self.items[ask.item])[number]
            return None if body == sent else body

        while True:
            outcome = await self.sender.exchange(http, body, partial(self.remote.read, ask), patience, reshaped)
            if isinstance(outcome, Short):
                if isinstance(reshaped(body, outcome), bytes):
                    continue
                outcome = outcome.otherwise
            if isinstance(outcome, Answered) and shapes is not None:
                self.accepted = shapes.said
            return outcome, body

    def _finish(self, ask: Ask, answers: Sequence[Answer], cached: bool, again: int = 0) -> None:
        """Answers are there, `again` of which are to be asked for once more."""
        self.answers[ask.item].update(zip(ask.propositions, answers, strict=True))
        failures = [a for a in answers if isinstance(a, Invalid)]
        counts = self.counts
        counts.done += 1
        counts.from_cache += cached
        counts.invalid += len(failures) - again
        counts.alone += again
        self.total += again
        if len(failures) < len(answers):
            self.sender.succeeded()
        elif all(f.kind not in _ONE_OFF for f in failures):
            self.sender.failed(failures[-1].reason)
        if self.on_progress is not None:
            self.on_progress(self._progress())

    # --- what is told ---

    def _progress(self) -> Progress:
        counts = self.counts
        return Progress(
            counts.done, self.total, counts.from_cache, counts.invalid, time.monotonic() - self.started,
            self.price.of(counts.usage),
        )  # fmt: skip

    def finished(self, wanted: Sequence[Sequence[int]]) -> Grades:
        """Every wanted answer, in order, and the summary."""
        limit = len(self.items) if self.options.limit is None else self.options.limit
        beyond = Abstained("beyond the limit of items to grade")
        missing = Invalid("stopped", f"not asked: the run stopped, because {self.sender.stopped}")
        answers = tuple(
            {p: self.answers[i].get(p, missing if i < limit else beyond) for p in asked}
            for i, asked in enumerate(wanted)
        )
        every = [answer for each in answers for answer in each.values()]
        invalid: dict[InvalidKind, int] = {}
        for answer in every:
            if isinstance(answer, Invalid):
                invalid[answer.kind] = invalid.get(answer.kind, 0) + 1
        counts = self.counts
        return Grades(
            answers,
            Summary(
                reading=self.remote.reading,
                request="" if self.remote.shaping is None else self.remote.shaping.said,
                asks=self.total,
                from_cache=counts.from_cache,
                sent=self.sender.sent,
                retried=self.sender.retried,
                alone=counts.alone,
                values=sum(isinstance(answer, Value | Distribution) for answer in every),
                abstained=sum(isinstance(answer, Abstained) for answer in every),
                invalid=invalid,
                usage=counts.usage,
                reused=counts.reused,
                cost=self.price.of(counts.usage),
                cost_reused=self.price.of(counts.reused),
                seconds=time.monotonic() - self.started,
                stopped=self.sender.stopped,
                notes=self.cache.notes,
            ),
        )
