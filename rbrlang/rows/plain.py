"""Can the rows of a piece be read column by column, because it is plain what each of them says?

Most files are of one kind: an id, a text or messages as prompt, a text as completion, numbers and names. Such a piece is
held as it came, a record batch or JSON objects, and no row is made of it; what it says is asked for by column, as arrays.
Here it is only ever shown that nothing needs care: names of columns, types, ranges, UTF-8, all of them. A piece in which
one cell is anything else is read row by row (`read.blocks`), which decides what that means and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, assert_never, cast

import numpy as np
from numpy.typing import NDArray

from rbrlang.jsonfast import NotFastError, fast
from rbrlang.rows.answers import SUM_TOLERANCE
from rbrlang.rows.arrow import ENCODED
from rbrlang.rows.called import turn_of
from rbrlang.rows.columns import OWN, PUBLIC, Names
from rbrlang.rows.conversation import Turn
from rbrlang.rows.ids import Packed, Taken, packed
from rbrlang.rows.pieces import Piece, Table, Texts
from rbrlang.rows.read import LARGEST_REWARD, Block, Row, blocks, snake
from rbrlang.rows.shapes import ROLES

_OTHERWISE = {"messages", "chosen", "rejected", "prompt_completion", "features", *PUBLIC["messages"]}
_NONE = type(None)
_CALL = "<tool_call>"


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different texts: `codes` [rows] are numbers into `values`, −1 for none."""

    codes: NDArray[np.int64]
    values: tuple[str, ...]

    def mapped(self, numbers: Mapping[str, int], missing: int) -> NDArray[np.int64]:
        """The number of each row's text; `missing` where there is none, or none that has a number."""
        table = np.array([*(numbers.get(value, missing) for value in self.values), missing], np.int64)
        return table[self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """The rows of a piece by columns, see `read.Block` for the first ones.

    `held` is a record batch, or a list of objects. `base` [rows] is NaN where there is none; `probs` are columns [rows] by
    proposition, NaN where unknown; `completions` is an Arrow array or a list.
    """

    piece: Piece
    names: Names
    held: Any
    file: str
    lines: NDArray[np.int64]
    columns: tuple[str, ...]
    types: Coded
    categories: Coded
    base: NDArray[np.float64]
    probs: Mapping[str, NDArray[np.float64]]
    completions: Any
    ids_of: Callable[[], Packed]

    @property
    def named(self) -> NDArray[np.bool_]:
        """All of them have an id of their own."""
        return np.ones(len(self.lines), np.bool_)

    @property
    def lacking(self) -> frozenset[str]:
        """No column is mapped."""
        return frozenset()

    def __len__(self) -> int:
        return len(self.lines)

    def ids(self) -> Packed:
        """The rows' ids."""
        return self.ids_of()

    def block(self) -> Block:
        """The same rows one by one."""
        return _joined(list(blocks(self.piece, self.names)))

    def rows(self, at: NDArray[np.intp]) -> list[Row]:
        """Some of them, one by one."""
        if not len(at):
            return []
        match self.piece:
            case Texts(file, found):
                some: Piece = Texts(file, tuple(found[i] for i in at.tolist()))
            case Table(file, first, batch):
                some = Table(file, first, batch.take(_positions(at)))
            case _:
                assert_never(self.piece)
        return [row for block in blocks(some, self.names) for row in block.rows]

    def without(self, taken: Mapping[int, Taken]) -> Plain | Block:
        """See `Block`."""
        return self.block().without(taken) if taken else self

    def first(self, count: int) -> Block:
        """See `Block`."""
        return self.block().first(count)

    @property
    def exact(self) -> bool:
        """Whether no number is NaN, or an infinity."""
        return isinstance(self.held, list) or all(map(_is_finite, self.held.columns))

    def objects(self) -> list[dict[str, Any]]:
        """The rows as JSON objects."""
        return self.held if isinstance(self.held, list) else self.held.to_pylist()

    def texts(self, at: NDArray[np.intp] | None = None) -> list[str]:
        """The completions, or some of them, as they are in the file."""
        if isinstance(self.completions, list):
            every = cast("list[str]", self.completions)
            return every if at is None else [every[i] for i in at.tolist()]
        if at is None:
            return self.completions.to_pylist()
        return self.completions.take(_positions(at)).to_pylist()

    def turn(self, text: str) -> Turn:
        """A completion as the turn that it is."""
        return turn_of("assistant", text, self.names.marks)

    def marked(self) -> NDArray[np.bool_]:
        """Which completions may hold more than what is said: thoughts, or calls."""
        marks = [_CALL, *(mark for pair in self.names.marks for mark in pair if mark)]
        if isinstance(self.completions, list):
            every = cast("list[str]", self.completions)
            whole = "\n".join(every)
            marks = [mark for mark in marks if mark in whole]  # hardly ever any, and quick to see
            if not marks:
                return np.zeros(len(every), np.bool_)
            return np.array([any(mark in text for mark in marks) for text in every], np.bool_)
        import pyarrow.compute

        compute: Any = pyarrow.compute
        found = np.zeros(len(self), np.bool_)
        data = packed_array(self.completions).data
        first = {mark.encode()[0] for mark in marks}
        there = {one for one in first if (data == one).any()}  # hardly ever, and quick to see
        for mark in marks:
            if mark.encode()[0] in there:
                found |= _bits(compute.match_substring(self.completions, mark), 1)
        return found


def _joined(parts: list[Block]) -> Block:
    first = parts[0]
    return Block(
        first.file, tuple(row for part in parts for row in part.rows), tuple(n for part in parts for n in part.lines),
        tuple(n for part in parts for n in part.named), tuple(bad for part in parts for bad in part.bad),
        all(part.exact for part in parts), first.columns, first.lacking,
    )  # fmt: skip


def plain(piece: Piece, names: Names) -> Plain | None:
    """The piece by columns, or None where it has to be read row by row."""
    if names.mapped:
        return None
    try:
        return _objects(piece, names) if isinstance(piece, Texts) else _batch(piece, names)
    except _CareError:
        return None


class _CareError(Exception):
    """Something that is not plain."""


def _show(holds: bool) -> None:
    if not holds:
        raise _CareError


def _known(columns: Sequence[str]) -> None:
    """Whether columns are called as here, so that nothing has to be looked for under another name."""
    there = set(columns)
    _show("completion" in there and "id" in there and there.isdisjoint(_OTHERWISE))
    _show(not any(column.startswith(("labels.", "probs.")) for column in columns))
    for own, public in PUBLIC.items():
        _show(own in there or there.isdisjoint(public))


# --- objects ----------------------------------------------------------------------------------


def _objects(piece: Texts, names: Names) -> Plain:
    try:
        data: list[dict[str, Any]] = [fast(line) for _, _, line in piece.found if type(line) is bytes]
    except NotFastError:
        raise _CareError from None
    _show(len(data) == len(piece.found) and set(map(type, data)) == {dict})
    shapes = set(map(tuple, data))
    there = set(chain.from_iterable(shapes))
    for shape in shapes:
        _known(shape)
    if len(shapes) == 1:
        every = dict(zip(data[0], zip(*map(dict.values, data), strict=True), strict=True))
        column = {own: list(every[own]) for own in OWN if own in there}
    else:
        column = {own: [row.get(own) for row in data] for own in OWN if own in there}
    kinds = {own: set(map(type, values)) for own, values in column.items()}
    for own, public in PUBLIC.items():
        _show(there.isdisjoint(public) or _NONE not in kinds.get(own, {_NONE}))
    _show(kinds["completion"] == {str})
    ids = column["id"]
    _show(kinds["id"] in ({str}, {int}) and "" not in ids)
    if "prompt" in column and not kinds["prompt"] <= {str, _NONE}:
        for value in column["prompt"]:
            _show(type(value) is str or value is None or (type(value) is list and all(map(_is_message, value))))
    if "labels" in column:
        _show(kinds["labels"] <= {dict, _NONE})
        inside = chain.from_iterable(value.values() for value in column["labels"] if value is not None)
        _show(set(map(type, inside)) <= {bool, _NONE})
        _show(not any(name in value for value in column["labels"] if value for name, _ in names.values))
    for name in ("response_type", "category", "class"):
        _show(kinds.get(name, {_NONE}) <= {str, _NONE})
    _show(kinds.get("base_reward", {_NONE}) <= {float, int, _NONE})
    base = _base(np.array(column.get("base_reward", [None] * len(data)), np.float64))
    return Plain(
        piece, names, data, piece.file, np.array([line for line, _, _ in piece.found], np.int64), tuple(data[0]),
        _coded(column.get("response_type"), len(data), snake), _coded(column.get("category"), len(data)), base,
        _summing(names, _probs_of(column.get("probs"), len(data))), column["completion"],
        lambda: packed(cast("list[str]", ids) if kinds["id"] == {str} else [str(one) for one in ids]),
    )  # fmt: skip


def _is_message(value: Any) -> bool:
    if type(value) is not dict:
        return False
    message = cast("dict[str, Any]", value)
    role = message.get("role")
    return len(message) == 2 and type(message.get("content")) is str and type(role) is str and role.lower() in ROLES


def _base(base: NDArray[np.float64]) -> NDArray[np.float64]:
    _show(not (np.abs(base) > LARGEST_REWARD).any())
    return base


def _coded(values: list[Any] | None, rows: int, spelt: Callable[[str], str] = str) -> Coded:
    if values is None:
        return Coded(np.full(rows, -1, np.int64), ())
    numbers = {value: at for at, value in enumerate(dict.fromkeys(value for value in values if value))}
    codes = np.fromiter(map(numbers.get, values, repeat(-1)), np.int64, rows)
    return Coded(codes, tuple(spelt(value) for value in numbers))


def _probs_of(values: list[Any] | None, rows: int) -> dict[str, NDArray[np.float64]]:
    if values is None:
        return {}
    given = [{} if value is None else value for value in values]
    _show(set(map(type, given)) == {dict})
    shapes: dict[tuple[str, ...], list[int]] = {}
    for at, one in enumerate(given):
        shapes.setdefault(tuple(one), []).append(at)
    found: dict[str, NDArray[np.float64]] = {}
    for shape, at in shapes.items():
        of_shape = given if len(shapes) == 1 else [given[i] for i in at]
        cells = list(chain.from_iterable(map(dict.values, of_shape)))
        kinds = set(map(type, cells))
        _show(kinds <= {float, _NONE})
        table = np.array(cells, np.float64).reshape(len(at), len(shape))
        missing = cells.count(None) if _NONE in kinds else 0
        _in_range(table, missing)
        for number, name in enumerate(shape):
            found.setdefault(name, np.full(rows, np.nan))[at] = table[:, number]
    return found


def _summing(names: Names, probs: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The probabilities, where those of each scale's or choice's values sum to 1 and there are no others of it."""
    for name, values in names.values:
        others = (p for said, p in probs.items() if said.startswith(f"{name}.") and said not in values)
        _show(all(np.isnan(p).all() for p in others))
        said = [probs[value] for value in values if value in probs]
        if said:
            table = np.array(said)
            near = np.abs(np.nansum(table, 0) - 1.0) <= SUM_TOLERANCE
            _show(bool((near | np.isnan(table).all(0)).all()))
    return probs


def _in_range(table: NDArray[np.float64], missing: int) -> None:
    """Whether all are probabilities, but those that are `missing`."""
    within = (table >= 0.0) & (table <= 1.0)
    _show(table.size - int(np.count_nonzero(within)) == missing and int(np.isnan(table).sum()) == missing)


# --- batches ----------------------------------------------------------------------------------


def is_plain_schema(schema: Any) -> bool:
    """Whether a table's cells are values of JSON as they are, so that its columns can be written as they came."""
    return all(
        _is_plain(field.type) and ENCODED not in (field.metadata or {}) for field in schema
    ) and len(set(schema.names)) == len(schema.names)  # fmt: skip


def _is_plain(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        names = {field.name for field in fields}
        return bool(fields) and len(names) == len(fields) and all(_is_plain(field.type) for field in fields)
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    return (
        types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind) or types.is_integer(kind)
        or types.is_float32(kind) or types.is_float64(kind) or types.is_null(kind)
    )  # fmt: skip


def _batch(piece: Table, names: Names) -> Plain:
    import pyarrow
    import pyarrow.compute
    import pyarrow.types as types

    compute: Any = pyarrow.compute
    batch = piece.batch
    _show(batch.num_rows > 0 and is_plain_schema(batch.schema))
    _known(batch.schema.names)
    try:
        batch.validate(full=True)  # UTF-8 besides
    except pyarrow.ArrowException:
        raise _CareError from None
    rows = batch.num_rows
    column = {own: batch.column(own) for own in OWN if own in batch.schema.names}
    for own, public in PUBLIC.items():
        _show(set(public).isdisjoint(batch.schema.names) or column[own].null_count == 0)
    completion, ids = column["completion"], column["id"]
    _show(_is_text(completion.type) and completion.null_count == 0)
    _show(ids.null_count == 0 and (_is_text(ids.type) or types.is_integer(ids.type)))
    if types.is_integer(ids.type):
        ids = ids.cast(pyarrow.string())
    _show(compute.min(compute.binary_length(ids)).as_py() > 0)
    if "prompt" in column:
        _prompt(column["prompt"])
    if "labels" in column and not types.is_null(column["labels"].type):
        kind = column["labels"].type
        _show(types.is_struct(kind))
        _show(
            all(
                types.is_boolean(f.type) or types.is_null(f.type)
                for f in (kind.field(i) for i in range(kind.num_fields))
            )
        )
        _show(not any(kind.get_field_index(name) >= 0 for name, _ in names.values))
    base = np.full(rows, np.nan)
    if "base_reward" in column and not types.is_null(column["base_reward"].type):
        kind = column["base_reward"].type
        _show(types.is_floating(kind) or (types.is_integer(kind) and kind.bit_width <= 32))
        base = _base(_numbers(column["base_reward"].cast(pyarrow.float64())))
    if "class" in column:
        _show(_is_text(column["class"].type) or types.is_null(column["class"].type))
    return Plain(
        piece, names, batch, piece.file, np.arange(piece.first, piece.first + rows), tuple(batch.schema.names),
        _coded_array(column.get("response_type"), rows, snake), _coded_array(column.get("category"), rows), base,
        _summing(names, _probs_array(column.get("probs"))), completion, lambda: packed_array(ids),
    )  # fmt: skip


def _is_finite(array: Any) -> bool:
    import pyarrow.compute
    import pyarrow.types as types

    compute: Any = pyarrow.compute
    if types.is_struct(array.type):
        return all(map(_is_finite, array.flatten()))
    if types.is_nested(array.type):
        return _is_finite(array.flatten())
    return not types.is_floating(array.type) or compute.all(compute.is_finite(array)).as_py() is not False


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _prompt(array: Any) -> None:
    import pyarrow.types as types

    kind = array.type
    if _is_text(kind) or types.is_null(kind):
        return
    _show((types.is_list(kind) or types.is_large_list(kind)) and types.is_struct(kind.value_type))
    fields = {
        kind.value_type.field(at).name: kind.value_type.field(at).type for at in range(kind.value_type.num_fields)
    }
    _show(set(fields) == {"role", "content"} and all(map(_is_text, fields.values())))
    turns = array.flatten()
    _show(turns.null_count == 0)
    roles = dict(zip(fields, turns.flatten(), strict=True))["role"].unique().to_pylist()
    _show(all(role is not None and role.lower() in ROLES for role in roles))


def _coded_array(array: Any, rows: int, spelt: Callable[[str], str] = str) -> Coded:
    import pyarrow.types as types

    if array is None or types.is_null(array.type):
        return Coded(np.full(rows, -1, np.int64), ())
    _show(_is_text(array.type))
    found = array.dictionary_encode()
    codes = _values(found.indices).astype(np.int64)
    if array.null_count:
        codes[~_bits(found.indices, 0)] = -1
    values = found.dictionary.to_pylist()
    if "" in values:  # says nothing
        codes = np.where(codes == values.index(""), -1, codes)
    return Coded(codes, tuple(spelt(value) for value in values))


def _probs_array(array: Any) -> dict[str, NDArray[np.float64]]:
    import pyarrow.types as types

    if array is None or types.is_null(array.type):
        return {}
    _show(types.is_struct(array.type))
    found: dict[str, NDArray[np.float64]] = {}
    for at, part in enumerate(array.flatten()):
        _show(types.is_float32(part.type) or types.is_float64(part.type))
        column = _numbers(part)
        _in_range(column, part.null_count)
        found[array.type.field(at).name] = column
    return found


def packed_array(array: Any) -> Packed:
    """The texts of an array, in the memory where they are."""
    import pyarrow.types as types

    width = np.dtype(np.int64 if types.is_large_string(array.type) else np.int32)
    _, ends, data = array.buffers()
    ends = np.frombuffer(ends, width, len(array) + 1, array.offset * width.itemsize).astype(np.int64)
    return Packed(np.frombuffer(data, np.uint8)[ends[0] : ends[-1]], ends - ends[0])


# --- numbers in and out -------------------------------------------------------------------------

# Arrow's own `to_numpy`, `array` and `scalar` load pandas where that is installed: half a second, and 50 MiB.

_KINDS = {"double": np.dtype(np.float64), "float": np.dtype(np.float32), "int32": np.dtype(np.int32)}


def _values(array: Any) -> NDArray[Any]:
    """The numbers of an array, whatever stands where they are null."""
    kind = _KINDS[str(array.type)]
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize)


def _numbers(array: Any) -> NDArray[np.float64]:
    """The numbers of an array, NaN where null."""
    found = _values(array).astype(np.float64)
    if array.null_count:
        found[~_bits(array, 0)] = np.nan
    return found


def _bits(array: Any, buffer: int) -> NDArray[np.bool_]:
    """The bits of a buffer of an array: 0 says which are not null, 1 has the values of truths."""
    found = np.unpackbits(np.frombuffer(array.buffers()[buffer], np.uint8), bitorder="little")
    return found[array.offset : array.offset + len(array)].astype(np.bool_)


def made(kind: Any, rows: int, there: NDArray[np.bool_] | None, *parts: NDArray[Any]) -> Any:
    """An Arrow array of this type of its buffers, null where `there` [rows] is false."""
    import pyarrow

    valid = None if there is None or there.all() else pyarrow.py_buffer(np.packbits(there, bitorder="little"))
    return pyarrow.Array.from_buffers(
        kind, rows, [valid, *(pyarrow.py_buffer(np.ascontiguousarray(part)) for part in parts)]
    )


def numbers_made(values: NDArray[Any]) -> Any:
    """An Arrow array of floats, null where they are not finite."""
    import pyarrow

    return made(pyarrow.float64(), len(values), np.isfinite(values), values.astype(np.float64))


def texts_made(texts: Sequence[str | None]) -> Any:
    """An Arrow array of texts."""
    return sparse_texts_made(len(texts), {at: text for at, text in enumerate(texts) if text is not None})


def sparse_texts_made(rows: int, texts: Mapping[int, str]) -> Any:
    """An Arrow array of texts, of which only some rows, in ascending order, have any."""
    import pyarrow

    held = packed(list(texts.values()))
    at = np.fromiter(texts, np.int64, len(texts))
    lengths, there = np.zeros(rows + 1, np.int64), np.zeros(rows, np.bool_)
    lengths[at + 1], there[at] = np.diff(held.ends), True
    return made(pyarrow.string(), rows, there, np.cumsum(lengths).astype(np.int32), held.data)


def _positions(at: NDArray[np.intp]) -> Any:
    import pyarrow

    return made(pyarrow.int64(), len(at), None, at.astype(np.int64))
