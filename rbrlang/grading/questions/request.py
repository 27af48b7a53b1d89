"""Which fields of a chat request has the user fixed, and which are found out from the server?

>>> read_request({"max_tokens_field": "max_completion_tokens", "top_logprobs": "auto"}).max_tokens_field
'max_completion_tokens'
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from rbrlang.diagnostics import did_you_mean

NO_TEMPERATURE = "none"
_OURS = (
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "logprobs", "top_logprobs", "seed", "stream",
    "n", "chat_template_kwargs", "logprob_token_ids", "return_tokens_as_token_ids",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is fixed of a request; None is found out. `top_logprobs` 0 asks for the chosen token alone.

    `temperature` is a number, or `none` to send none. `extra` is the JSON of an object with more fields, empty for none.
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    max_tokens: int | None = None
    top_logprobs: int | None = None
    temperature: float | Literal["none"] | None = None
    extra: str = ""

    @property
    def more(self) -> dict[str, Any]:
        """The fields of `extra`."""
        return cast("dict[str, Any]", json.loads(self.extra)) if self.extra else {}


class FieldError(ValueError):
    """A key that there is not, or a value that it cannot have; the message says which, without where."""


def read_request(plain: Mapping[str, object], more: tuple[str, ...] = ()) -> Request:
    """The request of plain values, `auto` and what is missing to be found out. Raises `FieldError`.

    `more` are keys of the same table that the caller reads, for whoever misspells one.
    """
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if key not in _READERS:
            raise FieldError(unknown(key, (*_READERS, *more)))
        if value != "auto" and value is not None:
            try:
                found[key] = _READERS[key](value)
            except ValueError as error:
                raise FieldError(f"`{key}` is {shown(value)}, which is not {error}") from None
    return Request(**found)


def unknown(key: str, known: tuple[str, ...]) -> str:
    """What is said of a key that there is not."""
    return f"there is no key `{key[:60]}`; " + did_you_mean(key, known)


def shown(value: object) -> str:
    """A value as it may be shown: short, on one line."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


# --- values; each raises `ValueError` with what the value should have been -------------------------


def _field(value: object) -> str:
    if value not in ("max_tokens", "max_completion_tokens"):
        raise ValueError('"auto", "max_tokens" or "max_completion_tokens"')
    return cast(str, value)


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f'"auto" or a whole number from {least} to {most}')
        return value

    return read


def _temperature(value: object) -> float | str:
    if value == NO_TEMPERATURE:
        return NO_TEMPERATURE
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0.0 <= number <= 2.0:
        raise ValueError('"auto", "none" or a number from 0 to 2')
    return number


def _extra(value: object) -> str:
    if isinstance(value, str):  # as `Request` keeps it
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a table of fields to send")
    table = cast("Mapping[str, object]", value)
    ours = [name for name in table if name in _OURS]
    if ours:
        raise ValueError(f"a table of further fields: `{ours[0]}` is written by rbrc itself")
    try:
        return json.dumps(table, sort_keys=True, allow_nan=False) if table else ""
    except (TypeError, ValueError):
        raise ValueError("a table that can be written as JSON") from None


_READERS: Mapping[str, Callable[[object], object]] = {
    "max_tokens_field": _field,
    "max_tokens": _whole(1, 256),
    "top_logprobs": _whole(0, 1_000_000),
    "temperature": _temperature,
    "extra": _extra,
}
