"""What did the user mean by `--grader`?

A grader is named by one word, with what it needs after a colon. Parsing says what was meant and does
nothing: no file is opened, nothing imported, no server asked.

    >>> parse_grader("openai:Qwen/Qwen3-8B", {"OPENAI_BASE_URL": "http://localhost:8000/v1/"}, None)
    OpenAISpec(model='Qwen/Qwen3-8B', base_url='http://localhost:8000/v1')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rbrlang.diagnostics import suggest
from rbrlang.errors import UserError

OPENAI_URL = "https://api.openai.com/v1"
KINDS = (
    "rows", "labels", "table:FILE", "embedded", "openai:MODEL", "local:FILE.gguf", "systemone:URL", "python:module.function",
    "FILE.toml",
)  # fmt: skip


class Secret:
    """A key that goes into a header and nowhere else: it does not print, compare, pickle or hash."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself, for the header."""
        return self._text

    def redacted(self, text: str) -> str:
        """A text from outside without the key in it (servers echo keys in their error messages)."""
        return text.replace(self._text, "…") if self._text else text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class GraderError(UserError, ValueError):
    """A grader that cannot be used at all. The message names it, says why, and what to do."""


@dataclass(frozen=True, slots=True)
class RowsSpec:
    """The probabilities that the rows carry."""


@dataclass(frozen=True, slots=True)
class EmbeddedSpec:
    """The grader that needs nothing."""


@dataclass(frozen=True, slots=True)
class OpenAISpec:
    """A chat server."""

    model: str
    base_url: str


@dataclass(frozen=True, slots=True)
class SystemOneSpec:
    """A decision model; `model` is empty where the server has only one."""

    base_url: str
    model: str


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A language model without a server: a GGUF file."""

    path: Path


@dataclass(frozen=True, slots=True)
class LabelsSpec:
    """Human labels of the rows."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A file of probabilities."""

    path: Path


@dataclass(frozen=True, slots=True)
class PythonSpec:
    """The user's own function."""

    target: str


@dataclass(frozen=True, slots=True)
class SeveralSpec:
    """A grader made of graders, as its grader file says."""

    path: Path


RemoteSpec = OpenAISpec | SystemOneSpec | LocalSpec
"""Graders that are asked by requests: of a server, or of a process that is started here."""

TextSpec = EmbeddedSpec | RemoteSpec | PythonSpec | SeveralSpec
"""Graders that read the text, whatever it is."""

GraderSpec = RowsSpec | LabelsSpec | TableSpec | TextSpec


_BARE = {"rows": RowsSpec, "labels": LabelsSpec, "embedded": EmbeddedSpec}


def parse_grader(text: str, environment: Mapping[str, str], base_url: str | None) -> GraderSpec:
    """The grader that a `--grader` value names; `base_url` is `--base-url`.

    `systemone:URL#MODEL` names one of several models. Raises `GraderError`.
    """
    kind, colon, rest = text.partition(":")
    if kind in _BARE:
        if colon:
            raise GraderError(f"`{kind}` takes nothing after a colon")
        return _BARE[kind]()
    if kind == "several":  # what `graderfile` makes of a jury or a cascade
        return SeveralSpec(Path(rest))
    if kind not in ("openai", "local", "systemone", "table", "python"):
        near = suggest(kind, [k.partition(":")[0] for k in KINDS])
        hint = f"did you mean `{near}`? " if near else ""
        raise GraderError(f"no grader `{text}`; {hint}there are " + ", ".join(f"`{k}`" for k in KINDS))
    if not rest:
        (form,) = (k for k in KINDS if k.startswith(f"{kind}:"))
        raise GraderError(f"`{text}` is not complete; write `{form}`")
    match kind:
        case "openai":
            url = base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
            return OpenAISpec(rest, _checked(url))
        case "systemone":
            url, _, model = rest.partition("#")
            return SystemOneSpec(_checked(url), model)
        case "local":
            return LocalSpec(Path(rest))
        case "table":
            return TableSpec(Path(rest))
        case _:
            return PythonSpec(rest)


def api_key(environment: Mapping[str, str], variable: str | None = None) -> Secret:
    """The key in a variable, which has to be set; in `OPENAI_API_KEY`, which local servers do not need, for None.

    Raises `GraderError`.
    """
    found = environment.get(variable or "OPENAI_API_KEY", "").strip()
    if variable is not None and not found:
        raise GraderError(
            f"the variable `{variable}`, which `key_env` names, is not set; set it, or leave out `key_env`"
        )
    return Secret(found)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number
        usable, parts = False, None
    if not usable or parts is None:
        raise GraderError(f"`{url}` is no web address; write it like `http://localhost:8000/v1`")
    if parts.username or parts.password:
        raise GraderError("the address holds a user name or password; set `OPENAI_API_KEY` instead")
    return url.rstrip("/")
