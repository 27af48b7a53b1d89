"""What does a run need to know of a grader that is reached over HTTP?

A `Remote` turns an `Ask` into request bodies and replies into readings. It does no I/O and keeps no
state but the shape that a run has found for its requests, so the same bytes are sent, cached, counted and shown. One ask may take several exchanges (sampled
answers); each is cached by itself, and `combine` makes one answer a proposition of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from rbrlang.grading.endpoint.llama import LocalModel
from rbrlang.grading.questions.layout import Ask
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Answer, GradeItem, Json, Usage
from rbrlang.jsontext import mapping


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply that could be read: one answer for each proposition of the ask. Some may be invalid."""

    answers: tuple[Answer, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Garbled:
    """A reply with status 200 that does not follow the protocol; worth another try."""

    reason: str


Reading = Answered | Garbled


@dataclass(frozen=True, slots=True)
class Short:
    """A reply that another shape of request would make readable: with more answer tokens, or with tokens as texts.

    `otherwise` is what it says as it is.
    """

    lacks: Literal["tokens", "texts"]
    otherwise: Answered


class Shapes(Protocol):
    """The shape of a grader's requests, which changes while a run finds out what the server takes."""

    @property
    def said(self) -> str:
        """What of it is not as usual; empty where all is."""
        ...

    def step(self, sent: bytes, why: bytes | Short) -> bool | str:
        """Go to the shape that a refusal of a body, or a short reply to it, leads to; whether there is one, or why not."""
        ...

    def plain(self) -> Json:
        """The shape as it is kept."""
        ...

    def recall(self, plain: object) -> None:
        """Take up a shape that was kept."""
        ...


class Remote(Protocol):
    """A grader behind an HTTP endpoint."""

    @property
    def identity(self) -> str:
        """Whatever can change an answer beside the body: endpoint, reading, prompt version. No secret."""
        ...

    @property
    def reading(self) -> str:
        """How P(yes) is read, for people: from which numbers, and how many of them."""
        ...

    @property
    def answer_tokens(self) -> int:
        """How many tokens a reply may hold."""
        ...

    @property
    def url(self) -> str:
        """Where bodies are posted."""
        ...

    @property
    def key(self) -> Secret:
        """The bearer token; empty for none."""
        ...

    @property
    def process(self) -> LocalModel | None:
        """The process of ours that answers; None for a server of somebody's."""
        ...

    @property
    def shaping(self) -> Shapes | None:
        """The shape of its requests, which a run finds out; None where there is but one."""
        ...

    def groups(self, wanted: Sequence[Sequence[int]], items: Sequence[GradeItem]) -> Iterator[tuple[Ask, ...]]:
        """The asks in order; the first of each group warms the server's cache for the rest."""
        ...

    def bodies(self, ask: Ask, item: GradeItem) -> tuple[bytes, ...]:
        """Exactly what is sent, one body an exchange."""
        ...

    def read(self, ask: Ask, reply: bytes) -> Reading | Short:
        """What a reply with status 200 says."""
        ...

    def fits(self, ask: Ask, answers: Sequence[Answer]) -> bool:
        """Whether answers that were kept can be those to an exchange of this ask; a cache may be anybody's."""
        ...

    def done(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> bool:
        """Whether an ask needs no exchange beyond those that were read."""
        ...

    def combine(self, ask: Ask, readings: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """One answer for each proposition of the ask, from those of its exchanges."""
        ...


# --- JSON from strangers ----------------------------------------------------------------------


def parsed(reply: bytes) -> Mapping[str, object] | Garbled:
    """The JSON object of a reply. Python's parser lets NaN pass, and so do servers: readers check."""
    try:
        plain = cast(object, json.loads(reply))
    except (ValueError, RecursionError):
        return Garbled("the server's reply is not complete JSON")
    found = mapping(plain)
    return found if found is not None else Garbled("the server's reply is not a JSON object")


def encoded(plain: object) -> bytes:
    """Compact UTF-8 JSON with keys in the order given: the same object, the same bytes."""
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
