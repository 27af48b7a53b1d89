"""Which shape of request does this server take?

Servers that speak one protocol refuse each other's fields. A refusal (status 400 or 422) that names a field leads to the
next shape that is known for it, and to the next after that, until a request goes through or none is left; the run then keeps
to that shape. Each step gives up something and none is taken back, so the steps end whatever a server says.

| what is refused | what is sent then |
| --- | --- |
| `max_tokens` | `max_completion_tokens`, and the other way round |
| so few answer tokens | as many as it demands, 256 at most |
| `temperature` | none |
| `top_logprobs` | as many as it says that it allows, else 5, 1, and then the chosen token alone |
| `chat_template_kwargs`, `logprob_token_ids` | none |

Refusals as OpenAI, vLLM, TGI and pydantic word them: https://platform.openai.com/docs/guides/error-codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, cast

from rbrlang.grading.endpoint.remote import Garbled, Short, parsed
from rbrlang.grading.questions.request import Request
from rbrlang.grading.results import Json
from rbrlang.jsontext import at, listed, mapping

LONGER = 4
"""Answer tokens that are asked for where the first is white space or emphasis."""
_MOST_TOKENS = 256
_MOST_READ = 400  # what a server says itself comes first; behind it, it may repeat the request
_TOKENS = ("max_tokens", "max_completion_tokens")
_FIELDS = (*_TOKENS, "temperature", "top_logprobs", "logprobs", "chat_template_kwargs", "logprob_token_ids")
_NAMES = re.compile(r"(?<![a-z_])(?:" + "|".join(sorted(_FIELDS, key=len, reverse=True)) + r")(?![a-z_])")
_TOO_LONG = re.compile(r"context|too large|too long|prompt is|reduce the length", re.IGNORECASE)
_AT_LEAST = re.compile(
    r"(?:>=|≥|at least|minimum(?: value)?(?: of| is|:)?|greater than or equal to)\s*(\d{1,6})(?!\d)", re.I
)
_BELOW = re.compile(r"minimum|at least|too small|higher max_tokens|output limit was reached", re.IGNORECASE)
_AT_MOST = re.compile(
    r"(?:<=|≤|less than or equal to|at most|up to|maximum(?: value)?(?: of| is|:)?|max(?:imum)? allowed:?|limit(?: of| is|:)?"
    r"|between \d+ and|\[\s*\d+\s*,|\d+\s*(?:to|-|–))\s*(\d{1,6})(?!\d)",
    re.IGNORECASE,
)


_NO_OTHER, _SEE = (
    "no other shape of request is known for a server that refuses {}; ",
    "`rbrc grader check` says what it takes",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked for in which fields, where the user has fixed nothing. `top` bounds `top_logprobs`, 0 for none of them."""

    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    tokens: int = 1
    temperature: bool = True
    top: int | None = None
    template: bool = True
    token_ids: bool = True
    texts: bool = False

    def __str__(self) -> str:
        """What is not as usual; empty where all is."""
        said = [
            self.tokens_field if self.tokens_field != "max_tokens" else "",
            f"{self.tokens} answer tokens" if self.tokens != 1 else "",
            "" if self.temperature else "no temperature",
            "" if self.top is None else f"top_logprobs {self.top}" if self.top else "no top_logprobs",
            "" if self.template else "no template",
            "" if self.token_ids else "no token ids",
            "tokens as texts" if self.texts else "",
        ]
        return ", ".join(one for one in said if one)


class Shaping:
    """The shape that a grader's requests have by now; `fixed` and a template of the user's own never change.

    Shared by all runs of the grader, in any thread: a step is one assignment.
    """

    def __init__(self, fixed: Request, *, own_template: bool) -> None:
        self.shape = Shape()
        self._fixed, self._own_template = fixed, own_template
        self._refused = set[str]()  # of the two names of one field

    @property
    def said(self) -> str:
        """What of the shape is not as usual."""
        return str(self.shape)

    def longer(self) -> bool:
        """Whether more answer tokens can be asked for."""
        return self._fixed.max_tokens is None and self.shape.tokens < LONGER

    def step(self, sent: bytes, why: bytes | Short) -> bool | str:
        """Go to the shape that a refusal of a body, or a short reply to it, leads to; whether there is one.

        A sentence where a field is refused for which no other shape is known.
        """
        if isinstance(why, Short):
            if why.lacks == "tokens" and self.longer():
                self.shape = replace(self.shape, tokens=LONGER)
                return True
            if why.lacks == "texts" and not self.shape.texts:
                self.shape = replace(self.shape, texts=True)
                return True
            return False
        body, refusal = parsed(sent), why.decode(errors="replace")
        if isinstance(body, Garbled):
            return False
        named, said = _named(refusal, body)
        if named is None:
            again = self.shape != Shape() and _NAMES.search(said) and not _TOO_LONG.search(said)
            return _NO_OTHER.format("what it names") + _SEE if again else False
        found = self._without(named, said, body)
        if isinstance(found, Shape):
            self.shape = found
            return True
        return found

    def _without(self, named: str, said: str, body: Mapping[str, object]) -> Shape | str:
        """The next shape after a refusal of a field that was sent."""
        shape, fixed = self.shape, self._fixed
        key = "max_tokens" if named in _TOKENS and _BELOW.search(said) else named
        own = {
            "max_tokens": fixed.max_tokens, "temperature": fixed.temperature, "top_logprobs": fixed.top_logprobs,
            "chat_template_kwargs": self._own_template or None,
        }  # fmt: skip
        if named in _TOKENS and _BELOW.search(said):
            sent = cast(int, body[named])
            told = [int(number) for number in _AT_LEAST.findall(said) if int(number) > sent]
            wish = told[0] if told else 16
            if own["max_tokens"] is None and sent < wish <= _MOST_TOKENS:
                return replace(shape, tokens=wish)
        elif named in _TOKENS:
            allowed = [int(number) for number in _AT_MOST.findall(said)]
            if allowed and _MOST_TOKENS < allowed[0] < cast(int, body[named]):
                return (
                    f"the server allows {allowed[0]} tokens at most; let the model think less, with `--thought-tokens`"
                )
            other = _TOKENS[1 - _TOKENS.index(named)]
            self._refused.add(named)
            if fixed.max_tokens_field is None and other not in self._refused:
                return replace(shape, tokens_field=other)
            key = "max_tokens_field"
        elif named == "logprob_token_ids":
            return replace(shape, token_ids=False)
        elif own.get(named) is None:
            match named:
                case "temperature":
                    return replace(shape, temperature=False)
                case "chat_template_kwargs":
                    return replace(shape, template=False)
                case "top_logprobs":
                    sent = cast(int, body[named])
                    return replace(shape, top=_fewer(sent, said))
                case _:
                    return (
                        "the server refuses log-probabilities; sample answers with `--samples`, or name another server"
                    )
        fix = {
            "chat_template_kwargs": "`request.template` in the grader file, or `--template`,",
            "top_logprobs": "`request.top_logprobs` in the grader file", "temperature": "`request.temperature` in the grader file",
            "max_tokens": "`request.max_tokens` in the grader file", "max_tokens_field": "`request.max_tokens_field` in the grader file",
        }[key]  # fmt: skip
        return _NO_OTHER.format(f"`{named}`") + (f'{fix} fixes it: write "auto"' if self._is_fixed(key) else _SEE)

    def _is_fixed(self, key: str) -> bool:
        if key == "chat_template_kwargs":
            return self._own_template
        return getattr(self._fixed, key) is not None

    # --- kept with the answers ---

    def plain(self) -> Json:
        """The shape as it is kept."""
        return asdict(self.shape)

    def recall(self, plain: object) -> None:
        """Take up a shape that was kept; one that is none, whoever wrote it, is not taken."""
        found = mapping(plain)
        if found is None or set(found) != {field.name for field in fields(Shape)}:
            return
        match found:
            case {
                "tokens_field": "max_tokens" | "max_completion_tokens", "tokens": int(tokens), "temperature": bool(),
                "top": None | int() as top, "template": bool(), "token_ids": bool(), "texts": bool(),
            } if 1 <= tokens <= _MOST_TOKENS and (top is None or top >= 0):  # fmt: skip
                self.shape = Shape(**cast("dict[str, bool]", dict(found)))  # pyright: ignore[reportArgumentType]
            case _:
                return


def _fewer(sent: int, said: str) -> int:
    """How many log-probabilities to ask for after so many were refused; 0 for the chosen token alone."""
    allowed = [int(number) for number in _AT_MOST.findall(said) if 0 < int(number) < sent]
    return allowed[0] if allowed else max(number for number in (20, 5, 1, 0) if number < sent)


def _named(refusal: str, body: Mapping[str, object]) -> tuple[str | None, str]:
    """Which field of the body a refusal names, and what it says of it. None where that is no matter of the shape.

    A server may repeat the whole request in its refusal, and with it any text: what names the field by itself comes first,
    and of a message's names the first that was sent.
    """
    plain = parsed(refusal.encode())
    message = refusal[:_MOST_READ]
    if not isinstance(plain, Garbled):
        texts = (at(plain, *path) for path in (("error", "message"), ("message",), ("detail",), ("error",)))
        message = next((text for text in texts if isinstance(text, str) and text), refusal)
        message = message[:_MOST_READ]
        for one in listed(plain.get("detail")):
            place = [step for step in listed(at(one, "loc")) if isinstance(step, str) and step in _FIELDS]
            if place and place[-1] in body:
                text = at(one, "msg")
                return place[-1], text[:_MOST_READ] if isinstance(text, str) else ""
    if _TOO_LONG.search(message):  # of this row alone
        return None, message
    names: Sequence[str] = [*_NAMES.findall(message)]
    param = at(plain, "error", "param") if not isinstance(plain, Garbled) else None
    for name in [*([param] if isinstance(param, str) else []), *names]:
        if name == "logprobs" and body.get("top_logprobs") and _AT_MOST.search(message):
            return "top_logprobs", message
        if name in _FIELDS and name in body:
            return name, message
    if (
        _BELOW.search(message) and "output" in message
    ):  # `max_output_tokens`, as another interface of the same host has it
        sent = [name for name in _TOKENS if name in body]
        return (sent[0] if sent else None), message
    return None, message
