"""What do the rows of a file say, and which of them cannot be used?

One row is one completion, as JSON Lines or Parquet. Rows come from elsewhere and are untrusted: a row
that cannot be read becomes a `BadRow` with its line and reason, all others are kept, in order. Columns
that mean nothing here pass through untouched, and so does what was read: a row that nobody changed is
written back with the same values.

Rows of OpenAI's release (https://github.com/openai/safety-rbr-code-and-data) are read as they are:
`propositions` are labels, `completion_type` is the class, `rm_score` the base reward, `features` are P(yes)
where they are numbers from 0 to 1, and "Hard Refuse" is `hard_refuse`. Its comparisons have one prompt a line,
`[text of the prompt, [row, row, …]]`; its tables name a completion by `prompt_completion`, two transcripts
(`|USER|: …`). Such rows have the same id as the completion they speak of, so that `filled_in` can join them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal, cast

from rbrlang.lang.program import Message

MAX_LINE = 64 * 2**20
_ROLES = ("system", "user", "assistant")
_SPEAKER = re.compile(r"(?:\A|\n)\|(SYSTEM|USER|ASSISTANT)\|: ")
# What the same thing is called in OpenAI's release.
_ALIASES = {
    "labels": "propositions",
    "class": "completion_type",
    "base_reward": "rm_score",
}


class RowsError(Exception):
    """A file of rows that cannot be read or written at all; the message says what to do."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used. `line` counts from 1 (rows, in Parquet)."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Row:
    """One completion and all that is known of it.

    `prompt_key` identifies the prompt: rows are compared, split and resampled by it. `klass` is the known
    class of a synthetic completion (column `class`). `labels` are human truth, None = not labelled;
    `probs` are P(yes) in [0, 1], None = unknown. `response_type` is snake-cased. `raw` is the row as read.
    """

    id: str
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    prompt_key: str
    response_type: str | None
    category: str | None
    klass: str | None
    labels: Mapping[str, bool | None]
    probs: Mapping[str, float | None]
    base_reward: float | None
    raw: Mapping[str, Any]

    @property
    def completion_text(self) -> str:
        """The text that is judged: the completion's messages, joined by a blank line."""
        return "\n\n".join(message.content for message in self.completion)


@dataclass(frozen=True, slots=True)
class Rows:
    """The usable rows of a file, in order, and the others."""

    rows: tuple[Row, ...]
    bad: tuple[BadRow, ...]


class _Unusable(ValueError):
    pass


def snake(name: str) -> str:
    """A response type as the language spells it: "Hard Refuse" is `hard_refuse`."""
    return re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()).strip("_")


# --- reading ----------------------------------------------------------------------------------


def read_rows(path: str | os.PathLike[str], *, limit: int | None = None, prompts_only: bool = False) -> Rows:
    """Read a file of rows, or a folder of such files; `-` is standard input. Raises `RowsError`, and OSError when unreadable.

    With `prompts_only` a row without `completion` is one with an empty completion.
    """
    rows: list[Row] = []
    bad: list[BadRow] = []
    seen: dict[str, int] = {}
    for line, item in iterate_rows(path, prompts_only=prompts_only):
        if isinstance(item, BadRow):
            bad.append(item)
            continue
        if item.id in seen:
            if item.raw.get("id") is not None:
                first = seen[item.id]
                bad.append(BadRow(os.fspath(path), line, f"the id `{_short(item.id)}` is already that of line {first}"))
                continue
            copies = 2  # the same text twice is no mistake
            while f"{item.id}-{copies}" in seen:
                copies += 1
            item = replace(item, id=f"{item.id}-{copies}")
        seen[item.id] = line
        rows.append(item)
        if limit is not None and len(rows) >= limit:
            break
    return Rows(tuple(rows), tuple(bad))


def iterate_rows(
    path: str | os.PathLike[str], *, prompts_only: bool = False
) -> Iterator[tuple[int, Row | BadRow]]:  # fmt: skip
    """The rows of a file, or of a folder's files by name, one after the other, with their line; ids may repeat."""
    name = os.fspath(path)
    if os.path.isdir(name):
        for part in _parts(name):
            yield from iterate_rows(part, prompts_only=prompts_only)
        return
    if name.endswith((".parquet", ".pq")):
        for number, data in enumerate(_parquet(name), 1):
            yield number, _row(name, number, data, prompts_only)
        return
    with _opened(name) as file:
        for number, line in enumerate(_lines(file), 1):
            if isinstance(line, str):
                yield number, BadRow(name, number, line)
            elif line.strip():
                for item in _parsed(name, number, line, prompts_only):
                    yield number, item


def _parts(folder: str) -> list[str]:
    """The files of rows in a folder, by name; what begins with a dot is still being written."""
    endings = (".parquet", ".pq", ".jsonl")
    found = sorted(n for n in os.listdir(folder) if n.endswith(endings) and not n.startswith("."))
    if not found:
        raise RowsError(
            f"the folder `{folder}` holds no file of rows; they end in " + ", ".join(f"`{e}`" for e in endings)
        )
    return [os.path.join(folder, n) for n in found]


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return cast(BinaryIO, sys.stdin.buffer)
    return open(name, "rb")


def _lines(file: BinaryIO) -> Iterator[bytes | str]:
    """Lines of bounded length; one that is too long is a reason instead."""
    while True:
        line = file.readline(MAX_LINE + 1)
        if not line:
            return
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield f"longer than {MAX_LINE // 2**20} MiB"
            continue
        yield line


def _parsed(name: str, number: int, line: bytes, prompts_only: bool) -> Iterator[Row | BadRow]:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        data: Any = json.loads(text, parse_constant=float)
    except UnicodeDecodeError as error:
        yield BadRow(name, number, f"not UTF-8 (byte {error.start})")
        return
    except ValueError as error:
        yield BadRow(name, number, f"not JSON: {error}")
        return
    except RecursionError:
        yield BadRow(name, number, "not usable: nested too deeply")
        return
    match data:
        case [str(), [*completions]]:
            for one in completions:
                yield _row(name, number, one, prompts_only)
        case _:
            yield _row(name, number, data, prompts_only)


def _parquet(name: str) -> Iterator[Any]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise RowsError(f"`{name}` is Parquet; install the extra: pip install 'rbrlang[parquet]'") from None
    from pyarrow.lib import ArrowException

    try:
        with parquet.ParquetFile(name) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist(maps_as_pydicts="strict")
    except ArrowException as error:
        raise RowsError(f"`{name}` is not readable Parquet: {str(error).splitlines()[0]}") from error


def _row(name: str, number: int, data: Any, prompts_only: bool) -> Row | BadRow:
    if prompts_only and isinstance(data, dict) and data.get("completion") is None and data.get("messages") is None:
        data = {**data, "completion": ""}
    try:
        return row_from(data)
    except _Unusable as error:
        return BadRow(name, number, str(error))


def row_from(data: Any) -> Row:
    """A row from its JSON value. Raises ValueError with the reason when it cannot be used."""
    if not isinstance(data, dict):
        raise _bad("not an object")
    fields = cast(dict[str, Any], data)
    for plain, alias in _ALIASES.items():
        if fields.get(plain) is None and fields.get(alias) is not None:
            fields = {**fields, plain: fields[alias]}
    if fields.get("probs") is None and _are_probabilities(fields.get("features")):
        fields = {**fields, "probs": fields["features"]}
    prompt, completion = _conversation(fields)
    key = _digest([[m.role, m.content] for m in prompt])
    identifier = fields.get("id")
    if identifier is None:
        identifier = _digest([key, [[m.role, m.content] for m in completion]])
    if not isinstance(identifier, (str, int)) or isinstance(identifier, bool):
        raise _bad("`id` is neither text nor a whole number")
    response_type = _text(fields, "response_type")
    base = fields.get("base_reward")
    if base is not None and (isinstance(base, bool) or not isinstance(base, (int, float)) or not math.isfinite(base)):
        raise _bad(f"`base_reward` is {base!r}, not a finite number")
    return Row(
        id=str(identifier), prompt=prompt, completion=completion, prompt_key=key,
        response_type=None if response_type is None else snake(response_type), category=_text(fields, "category"),
        klass=_text(fields, "class"), labels=_labels(fields.get("labels")), probs=_probs(fields.get("probs")),
        base_reward=None if base is None else float(base), raw=cast(dict[str, Any], data),
    )  # fmt: skip


def _are_probabilities(value: Any) -> bool:
    """Whether a column `features` is that of the release; any other one is somebody's own and passes through."""
    return isinstance(value, dict) and all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and 0.0 <= p <= 1.0
        for p in cast(dict[str, Any], value).values()
    )


def _bad(reason: str) -> _Unusable:
    return _Unusable(reason)


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _bad(f"`{name}` is not text")


def _conversation(fields: Mapping[str, Any]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    if fields.get("completion") is None and fields.get("messages") is not None:
        messages = _messages(fields["messages"], "messages", "user")
        turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
        if not turns or turns[-1] != len(messages) - 1:
            raise _bad("`messages` does not end with the assistant's turn")
        return messages[: turns[-1]], messages[turns[-1] :]
    match fields.get("prompt_completion"):
        case [str() as prompt, str() as completion] if fields.get("completion") is None:
            return _transcript(prompt, "user"), _transcript(completion, "assistant")
        case _:
            pass
    if fields.get("completion") is None:
        raise _bad("there is no `completion`")
    return _messages(fields.get("prompt") or "", "prompt", "user"), _messages(
        fields["completion"], "completion", "assistant"
    )


def _messages(value: Any, name: str, role: Literal["user", "assistant"]) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message(role, value),) if value or role == "assistant" else ()
    if not isinstance(value, list):
        raise _bad(f"`{name}` is neither text nor a list of messages")
    messages: list[Message] = []
    for item in cast(list[Any], value):
        turn = cast(dict[str, Any], item) if isinstance(item, dict) else {}
        if turn.get("role") not in _ROLES or not isinstance(turn.get("content"), str):
            raise _bad(f"`{name}` holds a message without a role of {', '.join(_ROLES)} and a text `content`")
        messages.append(Message(turn["role"], turn["content"]))
    return tuple(messages)


def _transcript(text: str, role: Literal["user", "assistant"]) -> tuple[Message, ...]:
    """The messages of a transcript with a line `|USER|: …` for each; text without such a line is one message."""
    parts = _SPEAKER.split(text)
    if len(parts) < 3 or parts[0]:
        return (Message(role, text),)
    speakers = cast(list[Literal["system", "user", "assistant"]], [name.lower() for name in parts[1::2]])
    return tuple(Message(speaker, said) for speaker, said in zip(speakers, parts[2::2], strict=True))


def _labels(value: Any) -> Mapping[str, bool | None]:
    found: dict[str, bool | None] = {}
    for name, label in _object(value, "labels").items():
        if label is not None and not isinstance(label, bool):
            raise _bad(f"the label of `{_short(name)}` is {label!r}, not true, false or null")
        found[name] = label
    return found


def _probs(value: Any) -> Mapping[str, float | None]:
    found: dict[str, float | None] = {}
    for name, p in _object(value, "probs").items():
        number = isinstance(p, (int, float)) and not isinstance(p, bool)
        if p is not None and not (number and 0.0 <= p <= 1.0):
            raise _bad(f"P(yes) of `{_short(name)}` is {p!r}, not a number from 0 to 1 or null")
        found[name] = None if p is None else float(p)
    return found


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(f"`{name}` is not an object")
    return cast(dict[str, Any], value)


# --- changing -------------------------------------------------------------------------------


def with_labels_as_probs(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows graded by their human labels: true is 1, false is 0, not labelled stays unknown."""
    return tuple(
        replace(row, probs={name: None if label is None else float(label) for name, label in row.labels.items()})
        for row in rows
    )


def filled_in(rows: Iterable[Row], others: Iterable[Row]) -> tuple[tuple[Row, ...], int]:
    """Rows with what they lack from the rows of the same id, and how many found one.

    Probabilities and labels are added by name, the base reward as a whole; what a row says itself stays.
    """
    table = {other.id: other for other in others}
    out: list[Row] = []
    found = 0
    for row in rows:
        other = table.get(row.id)
        if other is not None:
            found += 1
            row = replace(
                row,
                labels={**other.labels, **row.labels},
                probs={**other.probs, **row.probs},
                base_reward=other.base_reward if row.base_reward is None else row.base_reward,
            )
        out.append(row)
    return tuple(out), found
