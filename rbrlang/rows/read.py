"""What do the rows of a file say, and which of them cannot be used?

One row is one completion, in any of the formats of `formats`. Rows come from elsewhere and are untrusted: a row
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

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, assert_never, cast

from rbrlang.jsontext import JsonError, parse_with_constants
from rbrlang.rows.arrow import arrow_rows
from rbrlang.rows.columns import PUBLIC, Names, UnusableError, gathered, is_missing, names_of
from rbrlang.rows.conversation import Conversation, Turn, key_of
from rbrlang.rows.formats import DESCRIBED, MAX_LINE, BadRow, Broken, DamagedError, RowsError, files_of, opened
from rbrlang.rows.pairs import is_pair, pair_rows
from rbrlang.rows.shapes import ShapeError, conversation, split, transcript
from rbrlang.rows.texts import Found, csv_rows, json_rows
from rbrlang.rows.thought import THOUGHT_MARKS, Marks

__all__ = [
    "LARGEST_REWARD", "MAX_LINE", "BadRow", "Row", "Rows", "RowsError", "filled_in", "read_rows", "row_from", "snake",
    "with_labels_as_probs",
]  # fmt: skip

_TRUTHS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
LARGEST_REWARD = 3.4028234663852886e38  # of a 32-bit float
_PLAIN = Names()


@dataclass(frozen=True, slots=True)
class Row:
    """One completion and all that is known of it.

    `prompt_key` identifies the prompt: rows are compared, split and resampled by it. `klass` is the known
    class of a synthetic completion (column `class`). `labels` are human truth, None = not labelled;
    `probs` are P(yes) in [0, 1], None = unknown. `response_type` is snake-cased. `raw` is the row as read.
    """

    id: str
    conversation: Conversation
    prompt_key: str
    response_type: str | None
    category: str | None
    klass: str | None
    labels: Mapping[str, bool | None]
    probs: Mapping[str, float | None]
    base_reward: float | None
    raw: Mapping[str, Any]

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """What was said before the completion."""
        return self.conversation.context

    @property
    def completion(self) -> tuple[Turn, ...]:
        """The turns of the completion."""
        return self.conversation.completion

    @property
    def completion_text(self) -> str:
        """What the assistant says in its last turn, which is what is judged unless a policy says otherwise."""
        return self.conversation.text()


@dataclass(frozen=True, slots=True)
class Rows:
    """The usable rows of a file, in order, and the others."""

    rows: tuple[Row, ...]
    bad: tuple[BadRow, ...]


def snake(name: str) -> str:
    """A response type as the language spells it: "Hard Refuse" is `hard_refuse`."""
    return re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()).strip("_")


# --- reading ----------------------------------------------------------------------------------


def read_rows(
    path: str | os.PathLike[str],
    *,
    limit: int | None = None,
    prompts_only: bool = False,
    columns: Mapping[str, str] = MappingProxyType({}),
    thought_marks: Marks = THOUGHT_MARKS,
) -> Rows:
    """Read a file of rows in any format of `rbrlang.rows.formats`, a folder or a pattern of them; `-` is standard input.

    `columns` are names of ours with the column that has it in the file, where it is called otherwise; an assistant
    thinks between `thought_marks`. With `prompts_only` a row without `completion` is one with an empty completion. Raises `RowsError`, and OSError when
    unreadable.
    """
    names = names_of(columns, thought_marks)
    rows: list[Row] = []
    bad: list[BadRow] = []
    seen: dict[str, BadRow] = {}
    for place, item, named in _items(os.fspath(path), names, prompts_only):
        if item is None:
            bad.append(place)
            continue
        if item.id in seen:
            if named:
                bad.append(
                    replace(
                        place, reason=f"the id `{_short(item.id)}` is already that of {_where(seen[item.id], place)}"
                    )
                )
                continue
            copies = 2  # the same text twice is no mistake
            while f"{item.id}-{copies}" in seen:
                copies += 1
            item = _renamed(item, f"{item.id}-{copies}")
        seen[item.id] = place
        rows.append(item)
        if limit is not None and len(rows) >= limit:
            break
    return Rows(tuple(rows), tuple(bad))


def _where(first: BadRow, second: BadRow) -> str:
    return f"line {first.line}" if first.file == second.file else f"{first.file}:{first.line}"


def _renamed(row: Row, name: str) -> Row:
    return replace(row, id=name, raw={**row.raw, "id": name} if "id" in row.raw else row.raw)


_Item = tuple[BadRow, "Row | None", bool]


def _items(path: str, names: Names, prompts_only: bool) -> Iterator[_Item]:
    """Every row with its place, None where it is bad for the reason there, and whether it has an id of its own."""
    unseen, columns = {column for _, column in names.mapped}, ()
    for file in files_of(path):
        for line, element, data in _found(file, names):
            if isinstance(data, dict) and unseen:
                unseen, columns = unseen.difference(data), columns or tuple(data)
            for found in _read(data, names, prompts_only):
                if isinstance(found, str):
                    yield BadRow(file, line, f"element {element}: {found}" if element else found), None, False
                else:
                    yield BadRow(file, line, ""), *found
    if unseen and columns:
        raise RowsError(f"no row of `{path}` has the column `{min(unseen)}`; the first has {_listed(columns)}")


def _found(name: str, names: Names) -> Iterator[Found]:
    """What stands in a file, by line and element of an array."""
    last, what = 0, ""
    try:
        with opened(name) as (kind, file):
            what = DESCRIBED[kind]
            match kind:
                case "lines" | "array":
                    found = json_rows(file)
                case "csv" | "tsv":
                    found = csv_rows(name, file, names, tabs=kind == "tsv")
                case "parquet" | "arrow":
                    found = (
                        (at, 0, row) for at, row in enumerate(arrow_rows(name, file, parquet=kind == "parquet"), 1)
                    )
                case _:
                    assert_never(kind)
            for one in found:
                yield one
                last = one[0]
    except DamagedError as error:
        if not last:
            raise RowsError(f"`{name}` is not readable {what}: {error}") from error
        yield last + 1, 0, Broken(f"the file is damaged from here on: {error}")


def _read(data: Any, names: Names, prompts_only: bool) -> Iterator[tuple[Row, bool] | str]:
    """The rows in one value of a file, each with whether it has an id of its own; a reason in the place of one."""
    match data:
        case Broken():
            yield data.reason
        case [str(), [*completions]]:
            for one in completions:
                yield from _read_one(one, names, prompts_only)
        case _:
            yield from _read_one(data, names, prompts_only)


def _read_one(data: Any, names: Names, prompts_only: bool) -> Iterator[tuple[Row, bool] | str]:
    try:
        if not isinstance(data, dict):
            raise _bad("not an object")
        row = gathered(cast(dict[str, Any], data))
        fields = names.fields({**row, "completion": ""} if prompts_only and not _says_completion(row, names) else row)
        named = not is_missing(fields.get("id"))
        pair = pair_rows(names, row, fields) if is_pair(fields) else ()
        if not pair:
            yield _row_of(fields, row, names.marks), named
    except UnusableError as error:
        yield str(error)
        return
    for one in pair:
        try:
            yield row_from(one, names.marks), named
        except UnusableError as error:
            yield str(error)


def _says_completion(row: Mapping[str, Any], names: Names) -> bool:
    forms = (names.column("completion"), names.column("messages"), *PUBLIC["messages"], "prompt_completion", "chosen")
    return any(row.get(form) is not None for form in forms)


def row_from(data: Any, marks: Marks = THOUGHT_MARKS) -> Row:
    """A row from its JSON value; an assistant thinks between `marks`. Raises ValueError with the reason when it cannot be used."""
    if not isinstance(data, dict):
        raise _bad("not an object")
    row = gathered(cast(dict[str, Any], data))
    fields = _PLAIN.fields(row)
    if is_pair(fields):
        raise _bad("`chosen` and `rejected` are two rows; give each as one with `completion`")
    return _row_of(fields, row, marks)


def _row_of(fields: dict[str, Any], raw: Mapping[str, Any], marks: Marks) -> Row:
    if is_missing(fields.get("probs")) and _are_probabilities(fields.get("features")):
        fields = {**fields, "probs": fields["features"]}
    told = _conversation(_conversational(fields), marks)
    key = key_of(told.context)
    identifier = _identifier(fields.get("id"))
    if identifier is None:
        identifier = key_of(told.completion, key)
    response_type = _text(fields, "response_type")
    return Row(
        id=identifier, conversation=told, prompt_key=key,
        response_type=None if response_type is None else snake(response_type), category=_text(fields, "category"),
        klass=_text(fields, "class"), labels=_labels(fields.get("labels")), probs=_probs(fields.get("probs")),
        base_reward=_base_reward(fields.get("base_reward")), raw=raw,
    )  # fmt: skip


def _conversational(fields: dict[str, Any]) -> dict[str, Any]:
    """The row with NaN as null where its text is, and messages read that are JSON in a text."""
    for name in ("prompt", "completion", "messages", "prompt_completion"):
        value = fields.get(name)
        if type(value) is float and math.isnan(value):
            fields = {**fields, name: None}
        elif type(value) is str and name not in ("prompt", "completion"):
            fields = {**fields, name: _from_text(value, name)}
    if all(fields.get(name) is None for name in ("completion", "messages", "prompt_completion")):
        empty = [name for name in ("completion", "messages") if name in fields]
        if empty:
            raise _bad(f"there is no `completion`: `{empty[0]}` is null")
        raise _bad(
            f"there is no `completion`; the columns are {_listed(tuple(fields))}, and `--column completion=…` says "
            "which it is"
        )
    return fields


def _from_text(text: str, name: str) -> Any:
    if not text:
        return None
    try:
        return parse_with_constants(text)
    except JsonError as error:
        raise _bad(f"`{name}` is a text that is {error}") from None


def _identifier(value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a table with a gap makes floats of whole numbers
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise _bad("`id` is neither text nor a whole number")
    return str(value)


def _base_reward(value: Any) -> float | None:
    if is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
        raise _bad(f"`base_reward` is {_shown(value)}, not a finite number")
    if abs(value) > LARGEST_REWARD:
        raise _bad(f"`base_reward` is {_shown(value)}, more than the 32-bit floats hold that rewards are")
    return float(value)


def _listed(columns: Sequence[str]) -> str:
    named = ", ".join(f"`{_short(column)}`" for column in columns[:8])
    return (named or "none") + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return f"a number of {len(text)} digits" if isinstance(value, int) and len(text) > 40 else _short(text)


def _are_probabilities(value: Any) -> bool:
    """Whether a column `features` is that of the release; any other one is somebody's own and passes through."""
    return isinstance(value, dict) and all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and 0.0 <= p <= 1.0
        for p in cast(dict[str, Any], value).values()
    )


def _bad(reason: str) -> UnusableError:
    return UnusableError(reason)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if is_missing(value):
        return None
    if isinstance(value, str):
        return value
    raise _bad(f"`{name}` is not text")


def _conversation(fields: Mapping[str, Any], marks: Marks) -> Conversation:
    completion = fields.get("completion")
    try:
        if completion is not None:
            return conversation(fields.get("prompt"), completion, marks)
        if fields.get("messages") is not None:
            return split(fields["messages"], fields.get("prompt"), marks=marks)
        match fields.get("prompt_completion"):
            case [str() as asked, str() as answered]:
                return Conversation(transcript(asked, "user", marks), transcript(answered, "assistant", marks))
            case _:
                raise _bad("there is no `completion`")
    except ShapeError as error:
        raise _bad(str(error)) from None


def _labels(value: Any) -> Mapping[str, bool | None]:
    return {name: _label(name, label) for name, label in _object(value, "labels").items()}


def _label(name: str, value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if is_missing(value):
        return None
    if isinstance(value, (int, float)) and value in (0, 1):
        return value == 1
    found = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise _bad(f"the label of `{_short(name)}` is {_shown(value)}, not true, false or null (nor yes, no, 1 or 0)")
    return found


def _probs(value: Any) -> Mapping[str, float | None]:
    found: dict[str, float | None] = {}
    for name, p in _object(value, "probs").items():
        number = isinstance(p, (int, float)) and not isinstance(p, bool)
        # NaN is a grader's failure here, not a cell that somebody left empty.
        if p is not None and p != "" and not (number and 0.0 <= p <= 1.0):
            raise _bad(f"P(yes) of `{_short(name)}` is {_shown(p)}, not a number from 0 to 1 or null")
        found[name] = None if p is None or p == "" else float(p)
    return found


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if is_missing(value):
        return {}
    if isinstance(value, str):
        value = _from_text(value, name)
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
