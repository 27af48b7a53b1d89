"""What does a grader file say a grader is?

    kind = "openai"
    model = "Qwen/Qwen3-8B"
    base_url = "http://localhost:8000/v1"
    [request]
    max_tokens_field = "auto"

`applied` is the one place where the name of such a file becomes the grader's own name and options; whatever else was
given overrides the file. Every mistake in it is one sentence with the file and the key. It never holds a key: `key_env`
names the variable that does.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from rbrlang.bounds import Number
from rbrlang.diagnostics import listed
from rbrlang.grading.questions.options import MOST_QUESTIONS, MOST_THOUGHT, THOUGHT_TOKENS
from rbrlang.grading.questions.request import FieldError, read_request, shown, unknown
from rbrlang.grading.questions.specs import GraderError

KINDS = ("openai", "local", "systemone", "embedded", "distilled", "python", "table", "jury", "cascade")
_NEEDS = {
    "openai": ("model",), "local": ("model",), "systemone": ("base_url",), "embedded": (), "distilled": ("heads",), "python": ("function",), "table": ("file",),
    "jury": ("members",), "cascade": ("first", "then", "thresholds"),
}  # fmt: skip
_OF_SERVERS = ("openai", "systemone")
_OF_CHATS = ("openai", "local")
_TEXTS = (
    "model", "base_url", "function", "file", "heads", "calibration", "weights", "first", "then", "thresholds"
)  # fmt: skip
_TOP: Mapping[str, tuple[str, ...]] = {
    "kind": KINDS, "model": (*_OF_SERVERS, "local"), "base_url": _OF_SERVERS, "key_env": _OF_SERVERS, "function": ("python",),
    "file": ("table",), "heads": ("embedded", "distilled"), "calibration": tuple(kind for kind in KINDS if kind != "cascade"), "request": _OF_CHATS, "read": _OF_CHATS,
    "limits": (*_OF_SERVERS, "local"), "price": _OF_SERVERS,
    "members": ("jury",), "combine": ("jury",), "weights": ("jury",),
    "first": ("cascade",), "then": ("cascade",), "thresholds": ("cascade",),
}  # fmt: skip
"""Each key at the top, and the kinds that take it."""
_SECRETS = ("key", "api_key", "apikey", "token", "secret", "password", "authorization", "bearer")
_HOWS = ("first-token", "after-reasoning", "chosen-token", "samples")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Several:
    """A grader made of graders, read: a `jury` or a `cascade`, its `members` as `--grader` takes them, and the file of what
    was learned of them, a jury's weights or a cascade's thresholds."""

    kind: str
    members: tuple[str, ...]
    learned: Path | None

    def key(self, at: int) -> str:
        """What the file calls a member, by its number."""
        return ("first", "then")[at] if self.kind == "cascade" else f"members[{at}]"


@dataclass(frozen=True, slots=True)
class GraderFile:
    """A grader file, read: the grader's `name` as `--grader` takes it, and options by the names of `GraderOptions`.

    `digest` is of what can change an answer: neither the layout of the file nor its place, limits, prices and keys.
    """

    name: str
    options: Mapping[str, Any]
    digest: str
    several: Several | None = None


def is_file(name: str) -> bool:
    """Whether a grader's name is that of a grader file."""
    return name.endswith(".toml") and not name.startswith("several:")  # which a jury's or a cascade's file becomes


def applied(name: str, given: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """A grader's own name and options, where `name` may be that of a grader file; what is `given`, and not None,
    overrides the file. Raises `GraderError`."""
    if not is_file(name):
        return name, dict(given)
    found = read_grader(Path(name))
    return found.name, {**found.options, **{option: value for option, value in given.items() if value is not None}}


def read_grader(path: Path) -> GraderFile:
    """The grader of a file. Raises `GraderError`."""
    plain = _plain(path)
    try:
        return _grader(plain, path)
    except FieldError as error:
        raise GraderError(f"the grader file `{path}`: {error}") from None


def _plain(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise GraderError(
            f"cannot read the grader file `{path}`: {(error.strerror or str(error)).lower()}; check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise GraderError(f"the grader file `{path}` is not UTF-8 (byte {error.start})") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = str(error)
        raise GraderError(f"the grader file `{path}` is not TOML: {message[:1].lower() + message[1:]}") from error


def _grader(plain: Mapping[str, object], path: Path) -> GraderFile:
    folder = path.parent
    kind = _kind(plain)
    for key in plain:
        if key not in _TOP:
            if key.lower() in _SECRETS:
                raise FieldError(f"`{key}` has no place in a file; name the variable that holds it with `key_env`")
            raise FieldError(unknown(key, tuple(_TOP)))
        if kind not in _TOP[key]:
            raise FieldError(f"`{key}` is for graders of the kind {listed(_TOP[key])}, and this one is `{kind}`")
    for key in _NEEDS[kind]:
        if key not in plain:
            form = '["…", "…"]' if key == "members" else '"…"'
            raise FieldError(f"the kind `{kind}` needs `{key}`; write {key} = {form}")
    texts = {key: _text(key, plain[key]) for key in _TEXTS if key in plain}
    options: dict[str, Any] = {key: str(folder / texts[key]) for key in ("heads", "calibration") if key in texts}
    options |= {"key_env": _variable(plain["key_env"])} if "key_env" in plain else {}
    options |= {"base_url": texts["base_url"]} if kind == "openai" and "base_url" in texts else {}
    meaning: dict[str, Any] = {
        "kind": kind,
        **{key: texts[key] for key in texts if key not in ("heads", "calibration")},
    }
    if kind == "local":  # it goes by its own bytes, wherever they lie
        del meaning["model"]
    if kind in _OF_CHATS:
        of_request, of_reading = _request(_table(plain, "request")), _reading(_table(plain, "read"))
        request = of_request.pop("request")
        if of_reading.pop("alone", False):
            if request.top_logprobs:
                raise FieldError(
                    "`request.top_logprobs` asks for alternatives and `read.how` reads the chosen token alone; leave out one"
                )
            request = replace(request, top_logprobs=0)
        meaning |= {"request": asdict(request), **of_request, **of_reading}
        options |= {**of_request, **of_reading, "request": request}
    options |= _numbers("limits", _table(plain, "limits"), _OF_LOCAL if kind == "local" else _LIMITS) | _numbers(
        "price", _table(plain, "price"), _PRICES
    )
    several = _several(plain, texts, folder) if kind in ("jury", "cascade") else None
    digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]
    name = {
        "openai": lambda: f"openai:{texts['model']}",
        "local": lambda: f"local:{folder / texts['model']}",
        "systemone": lambda: f"systemone:{texts['base_url']}" + (f"#{texts['model']}" if "model" in texts else ""),
        "embedded": lambda: "embedded",
        "distilled": lambda: "embedded",  # by its heads, which its identity is made of
        "python": lambda: f"python:{texts['function']}",
        "table": lambda: f"table:{folder / texts['file']}",
        "jury": lambda: f"several:{path.absolute()}",
        "cascade": lambda: f"several:{path.absolute()}",
    }[kind]()
    if kind in _OF_CHATS:
        options["file_digest"] = digest
    return GraderFile(name, options, digest, several)


def _kind(plain: Mapping[str, object]) -> str:
    kind = plain.get("kind")
    if kind is None:
        raise FieldError('`kind` is missing; write kind = "openai", or one of ' + listed(KINDS[1:]))
    if not isinstance(kind, str) or kind not in KINDS:
        raise FieldError(f"`kind` is {shown(kind)}, which is none of {listed(KINDS)}")
    return kind


def _several(plain: Mapping[str, object], texts: Mapping[str, str], folder: Path) -> Several:
    """The members of a jury or a cascade, files named from the folder of the file that names them."""
    if plain["kind"] == "cascade":
        names = [texts["first"], texts["then"]]
    else:
        members, combine = plain["members"], plain.get("combine", "mean")
        if not isinstance(members, list) or len(cast("list[object]", members)) < 2:
            raise FieldError(f"`members` is {shown(members)}, which is no list of two graders or more")
        names = [_text("members", one) for one in cast("list[object]", members)]
        if "weights" in plain and "combine" in plain:
            raise FieldError("`combine` and `weights` both say how answers are joined; leave out one")
        if combine != "mean":
            raise FieldError(
                f'`combine` is {shown(combine)}, which is not "mean"; other weights are in a file, `weights`'
            )
    for name in names:
        if name in ("rows", "labels"):
            raise FieldError(f"`{name}` reads a column of rows, and no member can; name a `table:FILE` instead")
    learned = texts.get("weights", texts.get("thresholds"))
    return Several(
        cast(str, plain["kind"]),
        tuple(_from(folder, name) for name in names),
        None if learned is None else folder / learned,
    )


def _from(folder: Path, name: str) -> str:
    if name.startswith("table:"):
        return f"table:{folder / name.removeprefix('table:')}"
    return str(folder / name) if is_file(name) else name


def _request(table: Mapping[str, object]) -> dict[str, Any]:
    """`[request]` as options; `template` and `discover` are options of their own."""
    found: dict[str, Any] = {}
    rest = dict(table)
    template, discover = rest.pop("template", "auto"), rest.pop("discover", True)
    try:
        found["request"] = read_request(rest, ("template", "discover"))
    except FieldError as error:
        raise FieldError(f"in `[request]`: {error}") from None
    if not isinstance(discover, bool):
        raise FieldError(f"`request.discover` is {shown(discover)}, which is not true or false")
    if not discover:
        found["discover"] = False
    if template == "none":
        found["template"] = "none"
    elif isinstance(template, dict):
        pairs = cast("dict[str, object]", template)
        wrong = [name for name, value in pairs.items() if not isinstance(value, bool)]
        if wrong:
            raise FieldError(f"`request.template.{wrong[0]}` is {shown(pairs[wrong[0]])}, which is not true or false")
        found["template"] = dict(sorted(pairs.items()))
    elif template != "auto":
        raise FieldError(
            f'`request.template` is {shown(template)}, which is not "auto", "none" or a table of names and true or false'
        )
    return found


def _reading(table: Mapping[str, object]) -> dict[str, Any]:
    """`[read]` as options; `alone` where the chosen token alone is asked for."""
    known = ("how", "samples", "risk", "thought_tokens", "questions", "min_mass", "layout", "order")
    for key in table:
        if key not in known:
            raise FieldError(f"in `[read]`: {unknown(key, known)}")
    how = table.get("how", "samples" if "samples" in table else "first-token")
    if how not in _HOWS:
        raise FieldError(f"`read.how` is {shown(how)}, which is none of {listed(_HOWS)}")
    if how == "samples" and "samples" not in table:
        raise FieldError('`read.how` is "samples" and does not say how many; write samples = 8')
    if how != "samples" and "samples" in table:
        raise FieldError(f'`read.samples` is for how = "samples", and this file reads the {how}')
    if how != "samples" and "risk" in table:
        raise FieldError(f'`read.risk` is for how = "samples", and this file reads the {how}')
    if how not in ("after-reasoning", "samples") and "thought_tokens" in table:
        raise FieldError(
            f'`read.thought_tokens` is for how = "after-reasoning" or "samples", and this file reads the {how}'
        )
    found: dict[str, Any] = {"thought_tokens": THOUGHT_TOKENS} if how == "after-reasoning" else {}
    found |= _numbers("read", {key: table[key] for key in table if key in _READING}, _READING)
    if found.get("questions") == 1:  # as without it, so the same grader
        del found["questions"]
    if "layout" in table:
        if table["layout"] not in ("question-first", "conversation-first"):
            raise FieldError(
                f'`read.layout` is {shown(table["layout"])}, which is not "question-first" or "conversation-first"'
            )
        found["layout"] = table["layout"]
    return found | ({"alone": True} if how == "chosen-token" else {})


# --- values -----------------------------------------------------------------------------------


# Of tables: the option that a number is, and its bounds. Of `_UNLIMITED` 0 is no limit.
_UNLIMITED = ("rpm", "tpm")
_LIMITS = {
    "concurrency": ("concurrency", Number(1, 10_000, whole=True)), "rpm": ("rpm", Number()), "tpm": ("tpm", Number()),
    "timeout": ("timeout", Number(above=True)), "patience": ("patience", Number(above=True)), "retries": ("retries", Number(0, 10)),
}  # fmt: skip
_OF_LOCAL = {key: _LIMITS[key] for key in ("timeout", "patience", "retries")} | {
    "context": ("context", Number(256, 10_000_000, whole=True)), "threads": ("threads", Number(0, 1024, whole=True)),
}  # fmt: skip
_PRICES = {"input": ("price_in", Number()), "output": ("price_out", Number())}
_READING = {
    "samples": ("samples", Number(1, 1000, whole=True)), "min_mass": ("min_mass", Number(0, 1)),
    "risk": ("sample_risk", Number(0, 0.5)), "order": ("order", Number(whole=True)),
    "thought_tokens": ("thought_tokens", Number(1, MOST_THOUGHT, whole=True)),
    "questions": ("questions", Number(1, MOST_QUESTIONS, whole=True)),
}  # fmt: skip


def _numbers(table: str, plain: Mapping[str, object], known: Mapping[str, tuple[str, Number]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if key not in known:
            raise FieldError(f"in `[{table}]`: {unknown(key, tuple(known))}")
        option, number = known[key]
        try:
            found[option] = number.read(value)
        except ValueError as error:
            raise FieldError(f"`{table}.{key}` is {shown(value)}, which is not {error}") from None
    return {option: value for option, value in found.items() if value or option not in _UNLIMITED}


def _table(plain: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = plain.get(key, {})
    if not isinstance(value, dict):
        raise FieldError(f"`{key}` is {shown(value)}, which is not a table; write `[{key}]` on a line of its own")
    return cast("dict[str, object]", value)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise FieldError(f"`{key}` is {shown(value)}, which is not a text")
    return value


def _variable(value: object) -> str:
    """The name of a variable. What is no such name may be the key itself, so it is not shown."""
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise FieldError(
            "`key_env` is not the name of an environment variable in capital letters, such as OPENAI_API_KEY; the key "
            "itself has no place in a file"
        )
    return value
