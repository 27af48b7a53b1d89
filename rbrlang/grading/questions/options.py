"""How is a grader asked, whatever it is called from: the command line, a trainer's adapter, a `Scorer`?

`GraderOptions` are the options of `--grader` under the same names, `--base-url` as `base_url`. They come as plain values,
of a command line, of keyword arguments or of a trainer's configuration, and `GraderOptions.read` is the only way in:

    >>> GraderOptions.read({"base_url": "http://localhost:8000/v1", "concurrency": 32}).concurrency
    32
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from rbrlang.bounds import Number
from rbrlang.diagnostics import did_you_mean
from rbrlang.grading.questions.prompt import Layout
from rbrlang.grading.questions.request import FieldError, Request, read_request
from rbrlang.grading.questions.specs import GraderError

THOUGHT_TOKENS, MOST_THOUGHT = 2048, 32_768
"""How many tokens a judge may think where nobody says it, and at most: each comes with its alternatives, so replies are large."""
MOST_QUESTIONS = 32
"""How many questions a request may hold."""


@dataclass(frozen=True, slots=True)
class GraderOptions:
    """How a grader is asked; each kind of grader reads what it understands.

    `heads` are the embedded grader's own, `calibration` corrects probabilities, both files; `allow_abstain` goes on where the
    embedded grader can read nothing. The others are for graders
    behind an endpoint: `base_url`, how an answer is read (`samples`, fewer where `sample_risk` allows, `min_mass`, `template`, `layout`,
    `discover`, how many tokens a judge may think before, `thought_tokens`, and how many `questions` a request holds), where answers are kept (`cache`), how hard a run tries (`concurrency`, `rpm` requests and
    `tpm` tokens a minute, `timeout` seconds an exchange, `patience` seconds an answer), what a million tokens
    cost, and the `seed` of samples and waits. `order` is which of the drawn orders options are shown in. `template` None is the usual one.

    The last six only a grader file says (`graderfile`): what of a `request` is fixed, the `file_digest`, the
    variable that holds the server's key, how many `retries` a run may spend for each request, and of a model without a server
    how many tokens its `context` has and how many `threads` compute, 0 for as many as there are processors.
    """

    heads: Path | None = None
    allow_abstain: bool = False
    base_url: str | None = None
    calibration: Path | None = None
    samples: int = 0
    sample_risk: float = 0.0
    thought_tokens: int = 0
    questions: int = 1
    min_mass: float = 0.5
    template: tuple[tuple[str, bool], ...] | None = None
    discover: bool = True
    layout: Layout | None = None
    cache: Path | None = None
    concurrency: int = 8
    rpm: float | None = None
    tpm: float | None = None
    timeout: float = 60.0
    patience: float = 600.0
    price_in: float = 0.0
    price_out: float = 0.0
    seed: int = 0
    order: int = 0
    request: Request = field(default_factory=Request)
    file_digest: str = ""
    key_env: str | None = None
    retries: float = 1.0
    context: int = 8192
    threads: int = 0

    @staticmethod
    def read(given: Mapping[str, object], beside: Sequence[str] = ()) -> GraderOptions:
        """The options of plain values; None stands for the default.

        `beside` are names that the caller takes itself, for whoever misspells one. Raises `GraderError` for an
        option that there is not, and for a value that it cannot have.
        """
        read: dict[str, Any] = {}
        for name, value in given.items():
            if name not in _READERS:
                raise GraderError(f"there is no option `{name}`; " + did_you_mean(name, (*beside, *_READERS)))
            if value is None:
                continue
            try:
                read[name] = _READERS[name](value)
            except ValueError as error:
                raise GraderError(f"the option `{name}` is {value!r}, which is not {error}") from None
        return GraderOptions(**read)

    def anywhere(self) -> GraderOptions:
        """The options with files that are found from any folder, for processes that start in another."""
        heads, calibration, cache = (
            None if file is None else file.absolute() for file in (self.heads, self.calibration, self.cache)
        )
        return replace(self, heads=heads, calibration=calibration, cache=cache)

    def given(self) -> dict[str, object]:
        """What is not the default, but for the calibration: what overrides the files of a grader's members."""
        usual = GraderOptions()
        plain = {name: value for name, value in self.plain().items() if value != getattr(usual, name)}
        plain.pop("calibration", None)
        return plain

    def plain(self) -> dict[str, Any]:
        """The options as `read` takes them."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


# --- values -----------------------------------------------------------------------------------
# Each raises `ValueError` with what the value should have been.


def _text(value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise ValueError("a text")
    return value


def _file(value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not value:
        raise ValueError("the name of a file")
    return Path(cast("str | os.PathLike[str]", value))


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _request(value: object) -> Request:
    if isinstance(value, Request):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a table as `[request]` of a grader file")
    try:
        return read_request(cast("Mapping[str, object]", value))
    except FieldError as error:
        raise ValueError(f"a table as `[request]` of a grader file: {error}") from None


def _layout(value: object) -> Layout:
    if value == "question-first":
        return "question-first"
    if value == "conversation-first":
        return "conversation-first"
    raise ValueError("`question-first` or `conversation-first`")


def _template(value: object) -> tuple[tuple[str, bool], ...]:
    pairs: Sequence[object] = ()
    if isinstance(value, Mapping):
        pairs = tuple(cast("Mapping[object, object]", value).items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        pairs = cast("Sequence[object]", value)
    elif value != "none":
        raise ValueError("a mapping of names to true or false, or `none`")
    return tuple(_argument(pair) for pair in pairs)


def _argument(pair: object) -> tuple[str, bool]:
    match pair:
        case (str(name), bool(value)):
            return name, value
        case _:
            raise ValueError("a mapping of names to true or false, or `none`")


_SECONDS, _PRICE = Number(above=True).read, Number().read
_READERS: Mapping[str, Callable[[object], object]] = {
    "heads": _file,
    "base_url": _text,
    "calibration": _file,
    "samples": Number(whole=True).read,
    "sample_risk": Number(0, 0.5).read,
    "thought_tokens": Number(0, MOST_THOUGHT, whole=True).read,
    "questions": Number(1, MOST_QUESTIONS, whole=True).read,
    "min_mass": Number(0, 1.0).read,
    "template": _template,
    "discover": _switch,
    "allow_abstain": _switch,
    "layout": _layout,
    "cache": _file,
    "concurrency": Number(1, whole=True).read,
    "rpm": _SECONDS,
    "tpm": _SECONDS,
    "timeout": _SECONDS,
    "patience": _SECONDS,
    "price_in": _PRICE,
    "price_out": _PRICE,
    "seed": Number(whole=True).read,
    "order": Number(whole=True).read,
    "request": _request,
    "file_digest": partial(_text, empty=True),
    "key_env": _text,
    "retries": _PRICE,
    "context": Number(1, whole=True).read,
    "threads": Number(whole=True).read,
}
