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
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, assert_never, cast

from rbrlang.jsonfast import NotFastError, fast
from rbrlang.rows import answers, criteria
from rbrlang.rows.answers import SUM_TOLERANCE, from_text, short, shown, unusable
from rbrlang.rows.arrow import rows_of
from rbrlang.rows.cells import Cell, cell, missing
from rbrlang.rows.columns import PUBLIC, Names, OfValues, UnusableError, gathered, is_missing, names_of
from rbrlang.rows.conversation import Conversation, Turn, key_of
from rbrlang.rows.formats import MAX_LINE, BadRow, Broken, RowsError
from rbrlang.rows.ids import Ids, Packed, Taken, packed
from rbrlang.rows.pairs import is_pair, pair_rows
from rbrlang.rows.pieces import Piece, Table, Texts, pieces
from rbrlang.rows.shapes import ShapeError, conversation, split, transcript
from rbrlang.rows.texts import Found, value_of
from rbrlang.rows.thought import THOUGHT_MARKS, Marks

__all__ = [
    "LARGEST_REWARD", "MAX_LINE", "BadRow", "Row", "Rows", "RowsError", "filled_in", "read_rows", "row_from", "snake",
    "with_labels_as_probs",
]  # fmt: skip

LARGEST_REWARD = 3.4028234663852886e38  # of a 32-bit float
_PLAIN = Names()
_AT_ONCE = 1024  # rows of a table whose cells are made values of Python at once


@dataclass(frozen=True, slots=True)
class Row:
    """One completion and all that is known of it.

    `klass` is the known class of a synthetic completion (column `class`). `labels` are human truth, None = not
    labelled; `probs` are P(yes) in [0, 1], None = unknown, and under `variable.value` those of a scale's or a choice's values.
    `response_type` is snake-cased. `raw` is the row as read. `rubrics` are P(met) of the criteria of each rubric, in the order in
    which the row has them. `value_labels` are human labels of scales and choices: the name of the value.
    """

    id: str
    conversation: Conversation
    response_type: str | None
    category: str | None
    klass: str | None
    labels: Mapping[str, bool | None]
    probs: Mapping[str, float | None]
    base_reward: float | None
    raw: Mapping[str, Any]
    rubrics: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict[str, tuple[float | None, ...]])
    value_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    _criteria: dict[str, tuple[object, tuple[criteria.Criterion, ...]]] = field(
        default_factory=dict[str, tuple[object, tuple[criteria.Criterion, ...]]], repr=False, compare=False
    )

    def __reduce__(self) -> tuple[Any, ...]:  # dataclasses' own way takes several times as long
        return Row, _FIELDS(self)

    @property
    def prompt_key(self) -> str:
        """What identifies the prompt: rows are compared, split and resampled by it."""
        return key_of(self.conversation.context)

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

    def cell(self, column: str) -> Cell:
        """What it says in a column that a policy names."""
        return cell(column, self.raw[column]) if column in self.raw else missing(column)

    def criteria(self, column: str) -> tuple[criteria.Criterion, ...]:
        """The criteria in a column, at least one; they are read once, for all rows made of this one. Raises `CriteriaError`."""
        value = self.raw.get(column)
        known = self._criteria.get(column)
        if known is None or known[0] is not value:
            known = self._criteria[column] = value, criteria.read(self.raw, column)
        return known[1]


_FIELDS = attrgetter(*(one.name for one in fields(Row) if one.compare))


@dataclass(frozen=True, slots=True)
class Rows:
    """The usable rows of a file, in order, and the others. `places`: the file and line of each usable row."""

    rows: Sequence[Row]
    bad: Sequence[BadRow]
    places: Sequence[tuple[str, int]]


@lru_cache(maxsize=1024)
def snake(name: str) -> str:
    """A response type as the language spells it: "Hard Refuse" is `hard_refuse`."""
    return re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()).strip("_")


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """The usable rows of one piece of a file, in order, and the others.

    `lines` and `named` have an entry a row: where it begins, and whether its id is its own and not made from its text.
    `exact` says that all values are JSON's own, without NaN and halves of surrogate pairs. `columns` are those of the
    first object; `lacking` are mapped ones that no object has.
    """

    file: str
    rows: tuple[Row, ...]
    lines: tuple[int, ...]
    named: tuple[bool, ...]
    bad: tuple[BadRow, ...]
    exact: bool
    columns: tuple[str, ...]
    lacking: frozenset[str]

    @property
    def places(self) -> list[tuple[str, int]]:
        """The file and line of each row."""
        return [(self.file, line) for line in self.lines]

    def ids(self) -> Packed:
        """The rows' ids."""
        return packed([row.id for row in self.rows])

    def first(self, count: int) -> Block:
        """The block of the first usable rows, and what was read before them that cannot be used."""
        last = self.lines[count - 1]
        bad = tuple(one for one in self.bad if one.line <= last)
        return replace(self, rows=self.rows[:count], lines=self.lines[:count], named=self.named[:count], bad=bad)

    def without(self, taken: Mapping[int, Taken]) -> Block:
        """The block where these rows' ids are those of others: they are refused, or get another name."""
        if not taken:
            return self
        bad = list(self.bad)
        kept: list[tuple[Row, int, bool]] = []
        for at, one in enumerate(zip(self.rows, self.lines, self.named, strict=True)):
            row, line, named = one
            first = taken.get(at)
            if first is None:
                kept.append(one)
            elif named:
                where = f"line {first.line}" if first.file == self.file else f"{first.file}:{first.line}"
                bad.append(BadRow(self.file, line, f"the id `{short(row.id)}` is already that of {where}"))
            else:
                raw = {**row.raw, "id": first.name} if "id" in row.raw else row.raw
                kept.append((replace(row, id=first.name, raw=raw), line, named))
        rows, lines, names = zip(*kept, strict=True) if kept else ((), (), ())
        bad.sort(key=lambda one: one.line)
        return replace(self, rows=rows, lines=lines, named=names, bad=tuple(bad))


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
    rows: list[Row] = []
    bad: list[BadRow] = []
    places: list[tuple[str, int]] = []
    for block in read_blocks(os.fspath(path), names_of(columns, thought_marks), limit=limit, prompts_only=prompts_only):
        rows += block.rows
        bad += block.bad
        places += block.places
    return Rows(tuple(rows), tuple(bad), tuple(places))


def read_blocks(path: str, names: Names, *, limit: int | None = None, prompts_only: bool = False) -> Iterator[Block]:
    """The rows of a file block by block, no two of them with the same id. Raises `RowsError`, OSError."""
    left = limit
    mapped = Mapped(path, names)
    with Ids() as ids:
        for piece in pieces(path, names):
            for block in blocks(piece, names, prompts_only=prompts_only):
                mapped.saw(block.columns, block.lacking)
                kept = block.without(ids.take(block.ids(), block.named, block.file, block.lines))
                if left is not None and len(kept.rows) >= left:
                    yield kept.first(left)
                    return
                yield kept
                left = None if left is None else left - len(kept.rows)
    mapped.check()


class Mapped:
    """Whether each column that `--column` names is in some row."""

    def __init__(self, path: str, names: Names) -> None:
        self._path = path
        self._unseen = frozenset(column for _, column in names.mapped)
        self._columns: tuple[str, ...] = ()

    def saw(self, columns: tuple[str, ...], lacking: frozenset[str]) -> None:
        """A block was read, see `Block`."""
        if self._unseen:
            self._unseen &= lacking
            self._columns = self._columns or columns

    def check(self) -> None:
        """All blocks were read. Raises `RowsError` where a column was in none."""
        if self._unseen and self._columns:
            raise RowsError(
                f"no row of `{self._path}` has the column `{min(self._unseen)}`; the first has {_listed(self._columns)}"
            )


def blocks(piece: Piece, names: Names, *, prompts_only: bool = False) -> Iterator[Block]:
    """The rows of a piece; those of a large table in several blocks. Raises `RowsError`."""
    match piece:
        case Texts(file, found):
            yield _block(file, found, names, prompts_only, exact=True)
        case Table(file, first, batch):
            for at in range(0, batch.num_rows, _AT_ONCE):
                rows = enumerate(rows_of(file, batch.slice(at, _AT_ONCE), names.reads), first + at)
                yield _block(file, ((line, 0, row) for line, row in rows), names, prompts_only, exact=False)
        case _:
            assert_never(piece)


def _block(file: str, found: Iterable[Found], names: Names, prompts_only: bool, *, exact: bool) -> Block:
    rows: list[Row] = []
    lines: list[int] = []
    named: list[bool] = []
    bad: list[BadRow] = []
    lacking, columns = frozenset(column for _, column in names.mapped), tuple[str, ...]()
    for line, element, data in found:
        if type(data) is bytes:
            try:
                data = fast(data)
            except NotFastError:
                data, exact = value_of(data), False
        elif exact:
            exact = False
        if isinstance(data, dict) and (lacking or not columns):
            lacking, columns = lacking.difference(data), columns or tuple(data)
        for one in _read(data, names, prompts_only):
            if isinstance(one, str):
                bad.append(BadRow(file, line, f"element {element}: {one}" if element else one))
            else:
                rows.append(one[0])
                lines.append(line)
                named.append(one[1])
    return Block(file, tuple(rows), tuple(lines), tuple(named), tuple(bad), exact, columns, lacking)


def _read(data: Any, names: Names, prompts_only: bool) -> Iterator[tuple[Row, bool] | str]:
    """The rows in one value of a file, each with whether it has an id of its own; a reason in the place of one."""
    match data:
        case dict():
            yield from _read_one(data, names, prompts_only)
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
            raise unusable("not an object")
        row = names.renamed(gathered(cast(dict[str, Any], data)))
        fields = names.fields({**row, "completion": ""} if prompts_only and not _says_completion(row, names) else row)
        named = not is_missing(fields.get("id"))
        pair = pair_rows(names, row, fields) if is_pair(fields) else ()
        if not pair:
            yield _checked(_row_of(fields, row, names.marks, names.values), names), named
    except UnusableError as error:
        yield str(error)
        return
    for one in pair:
        try:
            yield _checked(row_from(one, names.marks, names.values), names), named
        except UnusableError as error:
            yield str(error)


def _checked(row: Row, names: Names) -> Row:
    """The row, whose criteria can be used where it has any, and whose answers to one question sum to 1."""
    for column in names.criteria:
        if not is_missing(row.raw.get(column)):
            try:
                row.criteria(column)
            except criteria.CriteriaError as error:
                raise unusable(str(error)) from None
    for name, values in names.values:
        others = (said for said in row.probs if said.startswith(f"{name}.") and said not in values)
        other = next((value for value in others if row.probs[value] is not None), None)
        if other is not None:
            there = ", ".join(value.removeprefix(f"{name}.") for value in values)
            raise unusable(f"`{name}` has no value `{short(other.removeprefix(f'{name}.'))}`; there are {there}")
        said = [p for value in values if (p := row.probs.get(value)) is not None]
        if said and not abs(sum(said) - 1.0) <= SUM_TOLERANCE:
            raise unusable(f"the probabilities of `{name}` sum to {sum(said):.4g}, not to 1")
    return row


def _says_completion(row: Mapping[str, Any], names: Names) -> bool:
    forms = (names.column("completion"), names.column("messages"), *PUBLIC["messages"], "prompt_completion", "chosen")
    return any(row.get(form) is not None for form in forms)


def row_from(data: Any, marks: Marks = THOUGHT_MARKS, values: OfValues = ()) -> Row:
    """A row from its JSON value; an assistant thinks between `marks`, `values` are those of `Names`. Raises ValueError with the reason when it cannot be used."""
    if not isinstance(data, dict):
        raise unusable("not an object")
    row = gathered(cast(dict[str, Any], data))
    fields = _PLAIN.fields(row)
    if is_pair(fields):
        raise unusable("`chosen` and `rejected` are two rows; give each as one with `completion`")
    return _row_of(fields, row, marks, values)


def _row_of(fields: dict[str, Any], raw: Mapping[str, Any], marks: Marks, values: OfValues) -> Row:
    if is_missing(fields.get("probs")) and answers.are_probabilities(fields.get("features")):
        fields = {**fields, "probs": fields["features"]}
    told = _conversation(_conversational(fields), marks)
    identifier = _identifier(fields.get("id"))
    if identifier is None:
        identifier = key_of(told.completion, key_of(told.context))
    response_type = _text(fields, "response_type")
    labels, value_labels = answers.labels(fields.get("labels"), values)
    return Row(
        id=identifier, conversation=told,
        response_type=None if response_type is None else snake(response_type), category=_text(fields, "category"),
        klass=_text(fields, "class"), labels=labels, probs=answers.probs(fields.get("probs")),
        base_reward=_base_reward(fields.get("base_reward")), raw=raw, rubrics=answers.rubrics(fields),
        value_labels=value_labels,
    )  # fmt: skip


def _conversational(fields: dict[str, Any]) -> dict[str, Any]:
    """The row with NaN as null where its text is, and messages read that are JSON in a text."""
    for name in ("prompt", "completion", "messages", "prompt_completion"):
        value = fields.get(name)
        if type(value) is float and math.isnan(value):
            fields = {**fields, name: None}
        elif type(value) is str and name not in ("prompt", "completion"):
            fields = {**fields, name: from_text(value, name)}
    if all(fields.get(name) is None for name in ("completion", "messages", "prompt_completion")):
        empty = [name for name in ("completion", "messages") if name in fields]
        if empty:
            raise unusable(f"there is no `completion`: `{empty[0]}` is null")
        raise unusable(
            f"there is no `completion`; the columns are {_listed(tuple(fields))}, and `--column completion=…` says "
            "which it is"
        )
    return fields


def _identifier(value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a table with a gap makes floats of whole numbers
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise unusable("`id` is neither text nor a whole number")
    return str(value)


def _base_reward(value: Any) -> float | None:
    if is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
        raise unusable(f"`base_reward` is {shown(value)}, not a finite number")
    if abs(value) > LARGEST_REWARD:
        raise unusable(f"`base_reward` is {shown(value)}, more than the 32-bit floats hold that rewards are")
    return float(value)


def _listed(columns: Sequence[str]) -> str:
    named = ", ".join(f"`{short(column)}`" for column in columns[:8])
    return (named or "none") + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if is_missing(value):
        return None
    if isinstance(value, str):
        return value
    raise unusable(f"`{name}` is not text")


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
                raise unusable("there is no `completion`")
    except ShapeError as error:
        raise unusable(str(error)) from None


# --- changing -------------------------------------------------------------------------------


def with_labels_as_probs(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows graded by their human labels: true is 1, false is 0, not labelled stays unknown; a labelled value has all of it."""
    return tuple(
        replace(
            row,
            probs={name: None if label is None else float(label) for name, label in row.labels.items()}
            | {f"{name}.{value}": 1.0 for name, value in row.value_labels.items()},
        )
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
                value_labels={**other.value_labels, **row.value_labels},
                probs={**other.probs, **row.probs},
                rubrics={**other.rubrics, **row.rubrics},
                base_reward=other.base_reward if row.base_reward is None else row.base_reward,
            )
        out.append(row)
    return tuple(out), found
