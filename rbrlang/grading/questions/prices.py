"""What does a model cost, how fast is its server, and how much of a prompt's beginning does that keep?

A price list is the user's own file, TOML or JSON, with a table a model:

    currency = "USD"
    [models.small]
    input = 0.10             # a million prompt tokens
    cached_input = 0.01      # a million of them that the server had kept
    output = 0.40            # a million answer tokens

`FIELDS` has every field with its meaning; `examples/refusals/prices.toml` is a list to fill in.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from rbrlang.bounds import Number
from rbrlang.diagnostics import did_you_mean
from rbrlang.errors import UserError
from rbrlang.grading.results import Usage
from rbrlang.jsontext import JsonError, NotJsonError, parse_bytes

BYTES_PER_TOKEN = 4.0
FIELDS: Mapping[str, str] = {
    "input": "price of a million prompt tokens",
    "cached_input": "price of a million prompt tokens that the server had kept (default: `input`)",
    "output": "price of a million answer tokens",
    "tokens": "how tokens are counted: bytes a token (default: 4), a `tokenizer.json`, or the address of a vLLM or "
    "llama.cpp server, which counts them itself",
    "template_tokens": "what the chat template adds to a prompt, where no server counts (default: 0)",
    "answer_tokens": "tokens of one answer (default: 1)",
    "questions": "how many questions of yes and no a request holds, `questions` of a grader file (default: 1)",
    "cache_tokens": "how many tokens of prompts the server keeps; 0: none (default: without limit)",
    "cache_block": "a beginning is kept in whole blocks of so many tokens (default: 1)",
    "cache_minimum": "a shorter beginning is not kept (default: 0)",
    "input_per_second": "prompt tokens that the server computes in a second",
    "cached_per_second": "prompt tokens that it takes from its cache in a second (default: without limit)",
    "output_per_second": "answer tokens that it makes in a second",
    "seconds_per_request": "what a request takes beside its tokens (default: 0)",
    "concurrency": "requests at a time, which share that (default: 8)",
    "requests_per_minute": "requests that the host allows in a minute (default: without limit)",
    "tokens_per_minute": "tokens that the host allows in a minute (default: without limit)",
}
_WHOLE, _SOME = Number(whole=True), Number(above=True)
_NUMBERS: Mapping[str, Number] = {
    "tokens": _SOME, "cache_tokens": _WHOLE, "cache_block": Number(1, whole=True), "cache_minimum": _WHOLE,
    "concurrency": Number(1, whole=True), "questions": Number(1, whole=True), "input_per_second": _SOME,
    "cached_per_second": _SOME, "output_per_second": _SOME, "requests_per_minute": _SOME, "tokens_per_minute": _SOME,
}  # fmt: skip
"""Which numbers a field may have; any of 0 or more where it is not named."""


class PriceError(UserError, ValueError):
    """A price list that cannot be used. The message names the file, the place and the next step."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a price list; see `FIELDS`. Prices are of a million tokens, None where nothing was said."""

    name: str
    input: float
    output: float
    cached_input: float | None = None
    tokens: float | str = BYTES_PER_TOKEN
    template_tokens: float = 0.0
    answer_tokens: float = 1.0
    questions: int = 1
    cache_tokens: float = math.inf
    cache_block: int = 1
    cache_minimum: int = 0
    input_per_second: float | None = None
    cached_per_second: float = math.inf
    output_per_second: float | None = None
    seconds_per_request: float = 0.0
    concurrency: int = 8
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf

    def cost(self, used: Usage) -> float:
        """What so many tokens cost, in the list's currency."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = used.prompt - used.cached
        return (fresh * self.input + used.cached * cached + used.completion * self.output) / 1e6

    def seconds(self, requests: int, used: Usage) -> float | None:
        """How long the server takes, no sooner than the host's limits allow; None where no speed was given.

        The work of all requests one after the other, `concurrency` of them sharing what a request takes beside
        its tokens: `input_per_second` and the others are of the whole server under such a load.
        """
        if self.input_per_second is None or self.output_per_second is None:
            return None
        work = (
            (used.prompt - used.cached) / self.input_per_second
            + used.cached / self.cached_per_second
            + used.completion / self.output_per_second
            + requests * self.seconds_per_request / self.concurrency
        )
        allowed = max(
            requests / self.requests_per_minute, (used.prompt + used.completion) / self.tokens_per_minute
        )  # fmt: skip
        return max(work, 60.0 * allowed)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Models with their prices in one currency, whose name is only ever shown."""

    currency: str
    models: tuple[Model, ...]


def read_prices(path: Path) -> PriceList:
    """The list in a file, JSON by its ending `.json`, else TOML. Raises `PriceError`, OSError."""
    data = path.read_bytes()
    try:
        if path.suffix == ".json":
            plain = parse_bytes(data)
        else:
            plain = tomllib.loads(data.decode("utf-8-sig"))
    except JsonError as error:
        raise PriceError(f"`{path}` is {error}" if isinstance(error, NotJsonError) else f"`{path}`: {error}") from error
    except UnicodeDecodeError as error:
        raise PriceError(f"`{path}` is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        raise PriceError(f"`{path}` is not TOML: {message[:1].lower() + message[1:]}") from error
    table = _table(path, plain, "the file")
    beside = [name for name in table if name not in ("currency", "models")]
    if beside:
        raise PriceError(
            f"`{path}`: there is no field `{beside[0]}` beside `currency` and `models`; a model's prices stand in "
            "a table of its own, `[models.NAME]`"
        )
    currency = table.get("currency", "")
    if not isinstance(currency, str):
        raise PriceError(f"`{path}`: `currency` is not a text")
    models = _table(path, table.get("models", {}), "`models`")
    if not models:
        raise PriceError(f"`{path}` names no model; write a table such as `[models.small]` with `input` and `output`")
    return PriceList(currency, tuple(_model(path, name, value) for name, value in models.items()))


def _model(path: Path, name: str, value: object) -> Model:
    where = f"`{path}`, model `{name}`"
    given: dict[str, Any] = {}
    for field, plain in _table(path, value, f"the model `{name}`").items():
        if field not in FIELDS:
            there = did_you_mean(field, FIELDS)
            raise PriceError(f"{where}: there is no field `{field}`; {there}")
        given[field] = _text(where, path, plain) if isinstance(plain, str) and field == "tokens" else None
        if given[field] is None:
            given[field] = _number(where, field, plain)
    for needed in ("input", "output"):
        if needed not in given:
            raise PriceError(f"{where} has no `{needed}`: the {FIELDS[needed]}")
    assert set(given) <= {field.name for field in fields(Model)}
    return Model(name, **given)


def _text(where: str, path: Path, text: str) -> str:
    """Where tokens are counted: an address as it is, a file beside the list."""
    if text.startswith(("http://", "https://")):
        return text.rstrip("/")
    file = path.parent / text
    if not file.is_file():
        raise PriceError(
            f"{where}: `tokens` is `{text}`, which is no file there; give bytes a token, a `tokenizer.json` or a "
            "server's address"
        )
    return str(file)


def _number(where: str, field: str, plain: object) -> float | int:
    try:
        return _NUMBERS.get(field, Number()).read(plain)
    except ValueError as error:
        raise PriceError(f"{where}: `{field}` is {json.dumps(plain, default=str)}, which is not {error}") from None


def _table(path: Path, plain: object, what: str) -> Mapping[str, object]:
    if not isinstance(plain, dict):
        raise PriceError(f"`{path}`: {what} is not a table of names and values")
    return cast("Mapping[str, object]", plain)
