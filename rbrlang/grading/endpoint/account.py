"""What may a run spend, what has it spent, and what would it spend?

Plain data for both ends of a run: the options that go in, the progress and summary that come out, and
the estimate that is made without sending anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rbrlang.grading.endpoint.cache import AnswerCache, cache_key
from rbrlang.grading.endpoint.remote import Remote
from rbrlang.grading.judge import shaped
from rbrlang.grading.questions.layout import Ask
from rbrlang.grading.questions.options import GraderOptions
from rbrlang.grading.results import Answer, GradeItem, Invalid, InvalidKind, Usage


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How hard a run tries. Times are in seconds.

    `timeout` limits one exchange, `patience` one ask with all its requests and attempts. `retries` is how many
    retries the run may spend for each request, on average. `stop_after` failures in a row end the run.
    `limit` grades only the first items. `seed` is for the jitter of the waits. A reply may hold `thought_tokens` more than an
    answer, which counts in what a minute holds.
    """

    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout: float = 60.0
    patience: float = 600.0
    attempts: int = 6
    retries: float = 1.0
    first_wait: float = 0.5
    longest_wait: float = 60.0
    stop_after: int = 25
    limit: int | None = None
    seed: int = 0
    thought_tokens: int = 0


def run_options(options: GraderOptions) -> RunOptions:
    """How hard a run tries by these options."""
    return RunOptions(
        concurrency=options.concurrency, requests_per_minute=options.rpm, tokens_per_minute=options.tpm,
        timeout=options.timeout, patience=options.patience, retries=options.retries, seed=options.seed,
        thought_tokens=options.thought_tokens,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in any currency; cached ones cost as much as others unless said."""

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """What so many tokens cost."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt - usage.cached
        return (fresh * self.prompt + usage.cached * cached + usage.completion * self.completion) / 1e6


def price_of(options: GraderOptions) -> Price:
    """What tokens cost by these options."""
    return Price(options.price_in, options.price_out)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, after so many seconds and at what cost so far."""

    done: int
    total: int
    from_cache: int
    invalid: int
    seconds: float
    cost: float

    @property
    def rate(self) -> float:
        """Asks done in a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def cost_estimate(self) -> float:
        """What all will cost, by what those cost that were paid for."""
        paid = self.done - self.from_cache
        return self.cost + (self.cost / paid * (self.total - self.done) if paid else 0.0)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did. Answers count propositions of items; `asks` counts requests that were needed.

    `usage` and `cost` are this run's; `reused` and `cost_reused` are what the answers from the cache took when they were
    first given. `alone` counts the questions that were asked again by themselves. `stopped` is why the run ended early. `reading` is how P(yes) was read, `request` what of the
    requests is not as usual (empty: nothing), and `notes` are of the cache, all for people.
    """

    reading: str
    request: str
    asks: int
    from_cache: int
    sent: int
    retried: int
    alone: int
    values: int
    abstained: int
    invalid: Mapping[InvalidKind, int]
    usage: Usage
    reused: Usage
    cost: float
    cost_reused: float
    seconds: float
    stopped: str | None
    notes: tuple[str, ...]


def together(summaries: Sequence[Summary]) -> Summary | None:
    """One summary for several runs, of one grader or of several; None where there was none."""
    if not summaries:
        return None
    invalid: Counter[InvalidKind] = Counter()
    for summary in summaries:
        invalid.update(summary.invalid)
    return Summary(
        reading=" and ".join(dict.fromkeys(s.reading for s in summaries)),
        request=" and ".join(dict.fromkeys(s.request for s in summaries if s.request)),
        asks=sum(s.asks for s in summaries),
        from_cache=sum(s.from_cache for s in summaries),
        sent=sum(s.sent for s in summaries),
        retried=sum(s.retried for s in summaries),
        alone=sum(s.alone for s in summaries),
        values=sum(s.values for s in summaries),
        abstained=sum(s.abstained for s in summaries),
        invalid=dict(invalid),
        usage=sum((s.usage for s in summaries), Usage()),
        reused=sum((s.reused for s in summaries), Usage()),
        cost=sum(s.cost for s in summaries),
        cost_reused=sum(s.cost_reused for s in summaries),
        seconds=sum(s.seconds for s in summaries),
        stopped=next((s.stopped for s in summaries if s.stopped), None),
        notes=tuple(dict.fromkeys(note for summary in summaries for note in summary.notes)),
    )


@dataclass(frozen=True, slots=True)
class Grades:
    """For each item, in input order, the answer to each proposition that was wanted; and the summary."""

    answers: tuple[Mapping[int, Answer], ...]
    summary: Summary


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would send: requests, those of them in the cache, tokens and cost at four bytes a token.

    An upper estimate: no prefix is assumed cached by the server, every request takes all the output that it may. Of several
    questions in a request it is not known which will have to be asked again alone, but for answers that are in the cache.
    """

    requests: int
    from_cache: int
    usage: Usage
    cost: float


def estimate(
    remote: Remote,
    items: Sequence[GradeItem],
    wanted: Sequence[Sequence[int]],
    cache: AnswerCache,
    price: Price,
    limit: int | None = None,
) -> Estimate:
    """What grading would take, without sending anything."""
    recalled(remote, cache)
    requests = known = tokens = 0
    for group in remote.groups(limited(wanted, limit), items):
        for ask in group:
            for one in (ask, *_known_apart(remote, ask, items[ask.item], cache)):
                for body in remote.bodies(one, items[ask.item]):
                    requests += 1
                    if cache.get(cache_key(remote.identity, body)) is not None:
                        known += 1
                    else:
                        tokens += body_tokens(body)
    usage = Usage(tokens, (requests - known) * remote.answer_tokens)
    return Estimate(requests, known, usage, price.of(usage))


def apart(ask: Ask, answers: Sequence[Answer]) -> tuple[Ask, ...]:
    """The questions of an ask to be asked again alone: those of several whose answer nobody can tell from the others'."""
    if len(ask.propositions) == 1:
        return ()
    pairs = zip(ask.propositions, answers, strict=True)
    return tuple(replace(ask, propositions=(p,)) for p, a in pairs if isinstance(a, Invalid) and a.kind == "misaligned")


def _known_apart(remote: Remote, ask: Ask, item: GradeItem, cache: AnswerCache) -> tuple[Ask, ...]:
    """`apart` of an ask as far as the cache has its answers."""
    if len(ask.propositions) == 1:
        return ()
    kept = [cache.get(cache_key(remote.identity, body)) for body in remote.bodies(ask, item)]
    readings = [reading.answers for reading in kept if reading is not None and remote.fits(ask, reading.answers)]
    return apart(ask, remote.combine(ask, readings)) if readings else ()


def limited(wanted: Sequence[Sequence[int]], limit: int | None) -> Sequence[Sequence[int]]:
    """What is wanted of the first `limit` items; nothing of the others."""
    return wanted if limit is None else [asked if i < limit else () for i, asked in enumerate(wanted)]


def shape_key(remote: Remote) -> bytes:
    """Where the shape of a grader's requests is kept with its answers."""
    return cache_key("shape", remote.identity.encode())


def recalled(remote: Remote, cache: AnswerCache) -> None:
    """Let the grader ask as it did when the answers of a cache were given, so that they are found again."""
    if remote.shaping is not None and not remote.shaping.said:
        remote.shaping.recall(cache.read(shape_key(remote)))


def identified(remote: Remote) -> str:
    """The identity of a grader with the shape of its requests as far as it is known."""
    return shaped(remote.identity, "" if remote.shaping is None else remote.shaping.said)


def body_tokens(body: bytes) -> int:
    """Estimated tokens of a request, at four bytes a token, its JSON included."""
    return (len(body) + 3) // 4
