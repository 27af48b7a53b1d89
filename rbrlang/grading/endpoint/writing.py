"""How is an OpenAI-compatible chat server asked to write, many times, without paying twice?

An `Order` is a conversation that ends with the user's turn, and a seed. `ModelWriter` sends orders with the
same care as a grading run (`exchange.Sender`: concurrency, pace, retries, breaker) and keeps every text in
the same kind of cache as answers, before it counts. A later run with the same cache sends only what is
missing, and gets the same texts.

What comes back is an adversary's as much as any completion: it stays data, and only what JSON and UTF-8
cannot carry is replaced. A model that writes nothing has written the empty text, which was paid for too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from rbrlang.grading.endpoint.account import Price, Progress, RunOptions, Summary, body_tokens
from rbrlang.grading.endpoint.cache import AnswerCache, cache_key
from rbrlang.grading.endpoint.exchange import Sender
from rbrlang.grading.endpoint.protocol.endpoint import THINKING_OFF, usage_of
from rbrlang.grading.endpoint.remote import Garbled, encoded, parsed
from rbrlang.grading.endpoint.wire import clients, waited
from rbrlang.grading.questions.specs import OPENAI_URL, Secret
from rbrlang.grading.results import Invalid, InvalidKind, Json, Usage
from rbrlang.jsontext import at, mapping, whole
from rbrlang.rows.conversation import Turn

if TYPE_CHECKING:
    import httpx

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written: the conversation, whose last turn is the user's, and the seed of the sampling."""

    messages: tuple[Turn, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Written:
    """A text, and why the server stopped there (`stop`, or `length` for a text that was cut off)."""

    text: str
    finish: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Which server and model write, and how freely. `template` goes to the chat template, as for graders."""

    model: str
    base_url: str = OPENAI_URL
    temperature: float = 1.0
    max_tokens: int = 300
    template: tuple[tuple[str, bool], ...] = THINKING_OFF

    def for_host(self) -> WriterOptions:
        """The options without what the server at `base_url` is known to refuse."""
        host = urlsplit(self.base_url).hostname or ""
        return replace(self, template=()) if host == "openai.com" or host.endswith(".openai.com") else self

    @property
    def identity(self) -> str:
        """What can change a text beside the body of its request."""
        return f"write:{self.model} {self.base_url}"

    def body(self, order: Order) -> bytes:
        """Exactly what is sent."""
        messages: list[Json] = [_message(turn) for turn in order.messages]
        plain: dict[str, Json] = {
            "model": self.model, "messages": messages, "max_tokens": self.max_tokens,
            "temperature": self.temperature, "seed": order.seed,
        }  # fmt: skip
        return encoded(plain | ({"chat_template_kwargs": dict(self.template)} if self.template else {}))


def _message(turn: Turn) -> dict[str, Json]:
    """A turn as any chat template takes it: calls and results of tools as text, for they need ids that are not kept."""
    said = "\n".join((*([turn.text] if turn.text else []), *(f"(calls {call})" for call in turn.calls)))
    match turn.role:
        case "tool":
            return {"role": "user", "content": f"(result of {turn.name or 'the tool'}) {said}"}
        case "developer":
            return {"role": "system", "content": said}
        case "system" | "user" | "assistant":
            return {"role": turn.role, "content": said}
        case _:
            assert_never(turn.role)


def read_text(reply: bytes) -> Written | Garbled:
    """The text of a reply with status 200."""
    plain = parsed(reply)
    if isinstance(plain, Garbled):
        return plain
    choice = mapping(at(plain, "choices", 0))
    message = mapping(at(choice, "message"))
    if choice is None or message is None:
        return Garbled("the server's reply has no `choices` with a `message`")
    text = message.get("content")
    finish = choice.get("finish_reason")
    if text is not None and not isinstance(text, str):
        return Garbled("the server's reply has a `content` that is no text")
    sendable = _UNSENDABLE.sub("\ufffd", text or "").strip()
    return Written(sendable, finish if isinstance(finish, str) else "", usage_of(plain))


class ModelWriter:
    """A model behind an endpoint that writes orders; `summaries` has one for each call.

    `cache` is the file of texts, None for none. After a run that stopped nothing more is sent.
    """

    def __init__(
        self,
        writer: WriterOptions,
        key: Secret,
        cache: Path | None,
        options: RunOptions,
        price: Price,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.writer = writer
        self.summaries: list[Summary] = []
        self._key, self._cache, self._options, self._price = key, cache, options, price
        self._on_progress = on_progress

    def write(self, orders: Sequence[Order]) -> tuple[Written | Invalid, ...]:
        """A text, or why there is none, for each order. Raises `CacheError`."""
        stopped = self.summaries[-1].stopped if self.summaries else None
        if stopped is not None:
            return (Invalid("stopped", f"not asked: the run stopped, because {stopped}"),) * len(orders)
        with AnswerCache(self._cache) as cache:
            texts, summary = waited(partial(self._write, orders, cache))
        self.summaries.append(summary)
        return texts

    async def _write(
        self, orders: Sequence[Order], cache: AnswerCache
    ) -> tuple[tuple[Written | Invalid, ...], Summary]:
        run = _Writing(self.writer, self._key, orders, cache, self._options, self._price, self._on_progress)
        try:
            async with contextlib.AsyncExitStack() as opened, asyncio.TaskGroup() as workers:
                for http in clients(min(self._options.concurrency, max(1, len(orders)))):
                    workers.create_task(run.work(await opened.enter_async_context(http)))
        except* Exception as errors:
            raise errors.exceptions[0] from None  # the workers fail alike: a cache or a caller's callback
        return run.finished()


class _Writing:
    """The state that the workers of one run share. One thread, so no locks."""

    def __init__(
        self,
        writer: WriterOptions,
        key: Secret,
        orders: Sequence[Order],
        cache: AnswerCache,
        options: RunOptions,
        price: Price,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.writer, self.orders, self.cache, self.price, self.on_progress = writer, orders, cache, price, on_progress
        self.sender = Sender(writer.base_url.rstrip("/") + "/chat/completions", key, options)
        self.left = iter(range(len(orders)))
        self.texts: dict[int, Written | Invalid] = {}
        self.from_cache = 0
        self.usage, self.reused = Usage(), Usage()
        self.started = time.monotonic()

    async def work(self, http: httpx.AsyncClient) -> None:
        for at_ in self.left:
            if self.sender.stopped is not None:
                return
            body = self.writer.body(self.orders[at_])
            key = cache_key(self.writer.identity, body)
            known = _from_json(self.cache.read(key))
            if known is not None:
                self.from_cache += 1
                self.reused += known.usage
                self.texts[at_] = known
            else:
                self.texts[at_] = await self._ask(http, key, body)
            if self.on_progress is not None:
                self.on_progress(self._progress())
            await asyncio.sleep(0)  # a run from the cache alone would never yield

    async def _ask(self, http: httpx.AsyncClient, key: bytes, body: bytes) -> Written | Invalid:
        outcome = await self.sender.exchange(http, body, read_text, self.sender.patience())
        if isinstance(outcome, Invalid):
            if outcome.kind != "stopped":
                self.sender.failed(outcome.reason)
            return outcome
        self.cache.write(key, _to_json(outcome))
        self.usage += outcome.usage
        self.sender.succeeded()
        return outcome

    def _progress(self) -> Progress:
        invalid = sum(isinstance(text, Invalid) for text in self.texts.values())
        return Progress(
            len(self.texts), len(self.orders), self.from_cache, invalid, time.monotonic() - self.started,
            self.price.of(self.usage),
        )  # fmt: skip

    def finished(self) -> tuple[tuple[Written | Invalid, ...], Summary]:
        missing = Invalid("stopped", f"not asked: the run stopped, because {self.sender.stopped}")
        texts = tuple(self.texts.get(at_, missing) for at_ in range(len(self.orders)))
        invalid: Counter[InvalidKind] = Counter(text.kind for text in texts if isinstance(text, Invalid))
        return texts, Summary(
            reading="texts", request="", asks=len(texts), from_cache=self.from_cache, sent=self.sender.sent,
            retried=self.sender.retried, alone=0, values=len(texts) - invalid.total(), abstained=0, invalid=invalid,
            usage=self.usage, reused=self.reused, cost=self.price.of(self.usage), cost_reused=self.price.of(self.reused),
            seconds=time.monotonic() - self.started, stopped=self.sender.stopped, notes=self.cache.notes,
        )  # fmt: skip


def order_tokens(writer: WriterOptions, orders: Sequence[Order]) -> Usage:
    """About what orders would take: four bytes a token in, at most `max_tokens` out."""
    prompt = sum(body_tokens(writer.body(order)) for order in orders)
    return Usage(prompt, writer.max_tokens * len(orders))


def _to_json(text: Written) -> Json:
    usage = [text.usage.prompt, text.usage.completion, text.usage.cached]
    return {"text": text.text, "finish": text.finish, "usage": usage}


def _from_json(plain: object) -> Written | None:
    text, finish = at(plain, "text"), at(plain, "finish")
    if not isinstance(text, str) or not isinstance(finish, str):
        return None
    prompt, completion, cached = (whole(at(plain, "usage", place)) for place in range(3))
    return Written(text, finish, Usage(prompt, completion, cached))
