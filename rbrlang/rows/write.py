"""How are rows written, so that what nobody changed stays as it was read, and memory holds few of them?

The format follows the ending (`formats`); a name that says none, and `-`, are JSON Lines. Rows come block by block, each
as lines of JSON (`encoded`), or as record batches where the output is Arrow's too and nothing was changed. JSON is
written as it comes. A table's columns, and the types of Parquet's, are those of all rows: so the lines wait in a
temporary file until the last one is there. What the output cannot hold becomes what it can, and is counted:

| value | JSON | CSV | Parquet, Arrow |
| --- | --- | --- | --- |
| NaN, infinity | null | empty | as it is |
| half a surrogate pair | its escape | U+FFFD | U+FFFD |
| a cell of a table that no value is (`arrow`) | null | empty | null |
| values of several types in a column | as they are | JSON text where nested | JSON text, and read as what it says |
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, assert_never, cast

from rbrlang.jsonfast import NotFastError, dumped, dumped_lines, fast
from rbrlang.jsontext import carefully_dumped, parse_with_constants
from rbrlang.jsontext import without_constants as without_nan
from rbrlang.rows.arrow import ENCODED, arrived, sent
from rbrlang.rows.columns import SPREAD
from rbrlang.rows.formats import Broken, Format, Kind, RowsError, named_format, needed
from rbrlang.rows.values import json_value, without_halves
from rbrlang.writing import replacing

_WIDE = 256  # more keys than this in one column are no fields of a table
_AT_ONCE = 2048  # rows of a table that are made at once
_GROUP = 2**16  # rows of a group of Parquet's, and
_GROUP_BYTES = 2**24
_SPREAD = (*SPREAD, "class_probs")
_SAID = {"lines": "JSON", "array": "JSON", "csv": "CSV", "tsv": "CSV", "parquet": "Parquet", "arrow": "Arrow"}
_Row = Mapping[str, Any]


def write_rows(path: str | os.PathLike[str], rows: Iterable[_Row]) -> None:
    """Write rows in order, at once or not at all; `-` is standard output. Raises `RowsError`, OSError."""
    name = os.fspath(path)
    with Output(name) as out:
        try:
            for row in rows:
                lost = next((column for column, value in row.items() if isinstance(value, Broken)), None)
                if lost is not None:
                    raise RowsError(f"`{lost}` of a row for `{name}` cannot be told: {row[lost].reason}; leave it out")
                plain = without_halves(json_value(dict(row))) if out.kind in ("parquet", "arrow") else row
                constants = out.kind not in ("lines", "array")
                out.write(carefully_dumped(plain, json_value, constants=constants) + b"\n")
        except ValueError as error:
            raise RowsError(f"a row for `{name}` holds NaN or infinity, which JSON has not") from error


def output_format(name: str) -> Format:
    """The format in which a file of this name is written. Raises `RowsError` where what writes it is not installed."""
    form = named_format(name) or Format("lines")
    if form.kind in ("parquet", "arrow"):
        needed(name, "Parquet" if form.kind == "parquet" else "Arrow")
    if form.packing == "zstd":
        needed(name, "packed with zstd")
    return form


def check_output(path: str) -> None:
    """Whether rows can be written there, asked before the work. Raises `RowsError`, OSError."""
    output_format(path)
    if path == "-":
        return
    folder = os.path.dirname(os.path.realpath(path))
    code = (
        errno.EISDIR if os.path.isdir(path)
        else errno.ENOENT if not os.path.isdir(folder)
        else errno.EACCES if not os.access(path if os.path.exists(path) else folder, os.W_OK)
        else 0
    )  # fmt: skip
    if code:
        raise OSError(code, os.strerror(code), path)


# --- blocks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as an output takes them: lines of JSON, or a record batch; `notes` count what it could not hold, by column."""

    data: Any
    notes: Counter[tuple[str, str]]

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.data, bytes):
            return Encoded, (self.data, self.notes)
        return _unsent, (sent(self.data), self.notes)


def _unsent(data: bytes, notes: Counter[tuple[str, str]]) -> Encoded:
    return Encoded(arrived(data), notes)


def encoded(kind: Kind, rows: Sequence[_Row], *, exact: bool) -> Encoded:
    """Rows of JSON values as lines; `exact` ones hold neither NaN nor halves of surrogate pairs."""
    if exact:
        return Encoded(dumped_lines(rows), Counter())
    changes: list[tuple[Callable[[Any], Any], str]] = []
    tables = kind in ("parquet", "arrow")
    if not tables:
        as_what = "empty" if kind in ("csv", "tsv") else "null"
        changes.append((without_nan, f"NaN or an infinity, which {_SAID[kind]} has not: written as {as_what}"))
    if kind not in ("lines", "array"):
        changes.append((without_halves, f"half a surrogate pair, which {_SAID[kind]} has not: written as U+FFFD"))
    notes = Counter[tuple[str, str]]()
    out: list[bytes] = []
    for row in rows:
        plain = _told(row, notes, "empty" if kind in ("csv", "tsv") else "null")
        for change, what in changes:
            for column, value in plain.items():
                changed = change(value)
                if changed is not value:
                    notes[column, what] += 1
                    plain[column] = changed
        out.append(carefully_dumped(plain, constants=True) if tables else dumped(plain))
    return Encoded(b"".join(line + b"\n" for line in out), notes)


def _told(row: _Row, notes: Counter[tuple[str, str]], as_what: str) -> dict[str, Any]:
    """A row with null in the place of cells that no value is, which are counted."""
    plain = dict(row)
    for column, value in row.items():
        if isinstance(value, Broken):
            notes[column, f"a cell that cannot be told ({value.reason}): written as {as_what}"] += 1
            plain[column] = None
    return plain


def fitting(schema: Any, rows: Sequence[_Row]) -> Encoded:
    """Rows as a record batch, whose values are those of the schema."""
    import pyarrow

    notes = Counter[tuple[str, str]]()
    told = [_told(row, notes, "null") for row in rows]
    arrays = [pyarrow.array([row.get(field.name) for row in told], field.type) for field in schema]
    return Encoded(pyarrow.RecordBatch.from_arrays(arrays, schema=schema), notes)


class Output:
    """A file of rows that is written block by block, and is there when the block of `with` ends, or not at all.

    `-` is standard output, written to as rows come. Raises `RowsError`, OSError.
    """

    def __init__(self, path: str) -> None:
        check_output(path)
        self.path = path
        self.form = output_format(path)
        self.kind: Kind = self.form.kind
        self._stack = ExitStack()
        self._notes = Counter[tuple[str, str]]()
        self._encoded: list[str] = []
        self._begun = False

    def __enter__(self) -> Output:
        self._stack.__enter__()
        try:
            match self.kind:
                case "lines" | "array":
                    self._sink = self._opened()
                case "csv" | "tsv" | "parquet" | "arrow":
                    folder = os.path.dirname(os.path.realpath(self.path))
                    self._sink = cast(IO[bytes], self._stack.enter_context(tempfile.TemporaryFile(dir=folder)))
                case _:
                    assert_never(self.kind)
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        self._batches: _Batches | None = None
        return self

    def write(self, data: Any) -> None:
        """The next rows: lines of JSON, or a record batch, the same of the two each time."""
        if not isinstance(data, bytes):
            if self._batches is None:
                self._batches = _Batches(self.path, self._opened(), data.schema, parquet=self.kind == "parquet")
            self._batches.write(data)
        elif self.kind == "array" and data:
            lines = data.removesuffix(b"\n").replace(b"\n", b",\n")
            self._sink.write((b",\n" if self._begun else b"[\n") + lines)
            self._begun = True
        else:
            self._sink.write(data)

    def take(self, block: Encoded) -> None:
        """`write`, and count what could not be held."""
        self.write(block.data)
        self._notes.update(block.notes)

    def notes(self) -> tuple[str, ...]:
        """A note on each column where what was read is not all that was written, when all is."""
        notes = [
            f"`{self.path}`: {n} row{'s' * (n > 1)} with {what}, in the column `{column}`"
            for (column, what), n in self._notes.items()
        ]
        more = (f"`{self.path}`: no type holds all of the column `{c}`; its cells are JSON text" for c in self._encoded)
        return (*notes, *more)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> bool | None:
        try:
            if kind is None:
                self._finish()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        return self._stack.__exit__(kind, error, at)

    def _finish(self) -> None:
        match self.kind:
            case "lines":
                pass
            case "array":
                self._sink.write(b"\n]\n" if self._begun else b"[]\n")
            case "csv" | "tsv":
                _write_table(self._sink, self._opened(), "," if self.kind == "csv" else "\t")
            case "parquet" | "arrow":
                if self._batches is None:
                    self._encoded = _write_arrow(self.path, self._sink, self._opened(), parquet=self.kind == "parquet")
                else:
                    self._batches.close()
            case _:
                assert_never(self.kind)

    def _opened(self) -> IO[bytes]:
        """What the output's bytes are written to, packed as its name says."""
        if self.path == "-":
            return cast(IO[bytes], _Standard())
        file = self._stack.enter_context(replacing(self.path))
        match self.form.packing:
            case "":
                return file
            case "gzip":
                packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
                return cast(IO[bytes], self._stack.enter_context(packed))
            case "zstd":
                pyarrow = needed(self.path, "packed with zstd")
                sink = pyarrow.PythonFile(_Lent(file), "w")
                return self._stack.enter_context(pyarrow.CompressedOutputStream(sink, "zstd"))


class _Standard:
    """Standard output, which is text."""

    def write(self, data: bytes) -> None:
        sys.stdout.write(data.decode())


class _Lent:
    """A file that whoever writes to it cannot close."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write
        self.flush = file.flush

    def close(self) -> None:
        pass


def _rows(sink: IO[bytes]) -> Iterator[list[dict[str, Any]]]:
    """What was written to a temporary file, a part of it at a time."""
    sink.seek(0)
    some: list[dict[str, Any]] = []
    for line in sink:
        try:
            some.append(fast(line))
        except NotFastError:
            some.append(parse_with_constants(line.decode()))
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


# --- CSV --------------------------------------------------------------------------------------


def _write_table(rows: IO[bytes], sink: IO[bytes], sign: str) -> None:
    names: dict[str, None] = {}
    for some in _rows(rows):
        for row in some:
            names.update(dict.fromkeys(_spread(row)))
    # Both signs of the line's end are quoted in a cell only where the end has both.
    text = io.StringIO()
    out = csv.writer(text, delimiter=sign, lineterminator="\r\n")
    out.writerow(map(without_halves, names))
    for some in _rows(rows):
        out.writerows([_cell(flat.get(column)) for column in names] for flat in map(_spread, some))
        sink.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()
    sink.write(text.getvalue().encode())


def _spread(row: _Row) -> dict[str, Any]:
    """A row with a column for each proposition, as tables have it."""
    flat: dict[str, Any] = {}
    for column, value in row.items():
        if column in _SPREAD and isinstance(value, Mapping) and value:
            flat |= {f"{column}.{name}": inner for name, inner in cast("Mapping[str, Any]", value).items()}
        elif column not in _SPREAD or value:
            flat[column] = value
    return flat


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str() as text:
            return cast(str, without_halves(text))
        case plain:
            return json.dumps(without_nan(plain), ensure_ascii=True) if without_nan(plain) is not None else ""


# --- Parquet and Arrow --------------------------------------------------------------------------


class _Batches:
    """A file of Parquet or Arrow, written a group of rows at a time."""

    def __init__(self, name: str, sink: IO[bytes], schema: Any, *, parquet: bool) -> None:
        pyarrow = needed(name, "Parquet" if parquet else "Arrow")
        self._name, self._schema = name, schema
        self._waiting: list[Any] = []
        self._error = pyarrow.ArrowException
        self._parquet, self._sink = parquet, sink
        self._out: Any = None

    def write(self, batch: Any) -> None:
        self._waiting.append(batch)
        if (
            sum(one.num_rows for one in self._waiting) >= _GROUP
            or sum(one.nbytes for one in self._waiting) >= _GROUP_BYTES
        ):
            self._flush()

    def close(self) -> None:
        self._flush()
        with self._told():
            self._out.close()

    def _flush(self) -> None:
        import pyarrow

        table = pyarrow.Table.from_batches(self._waiting, self._schema)
        with self._told():
            if self._out is None:
                self._out = self._opened(table)
            if table.num_rows:
                self._out.write_table(table)
        self._waiting = []
        del table
        # Holes between what is kept grow with the rows, ten bytes for each, unless they are given back now and then.
        for pool in (pyarrow.default_memory_pool(), pyarrow.system_memory_pool()):
            pool.release_unused()

    def _opened(self, first: Any) -> Any:
        if self._parquet:
            import pyarrow.parquet as parquet
            import pyarrow.types as types

            numbered: Any = _repeating(first.slice(0, _AT_ONCE))
            # Byte by byte: digits of floats are noise, on which packing takes longer than all else.
            split: Any = [
                path
                for field in self._schema
                for path, leaf in _leaves(field.name, field.type)
                if types.is_floating(leaf)
            ]
            return parquet.ParquetWriter(self._sink, self._schema, use_dictionary=numbered, use_byte_stream_split=split)
        import pyarrow.ipc as ipc

        return ipc.new_file(self._sink, self._schema)

    def _told(self) -> _Told:
        return _Told(self._name, self._error)


def _repeating(first: Any) -> list[str]:
    """The columns of texts and numbers that occur again and again, which Parquet is to number; never floats.

    To number a column in which each value is another takes as long as all the rest.
    """
    import pyarrow.compute
    import pyarrow.types as types

    compute: Any = pyarrow.compute
    found: list[str] = []
    for name, column in zip(first.column_names, first.columns, strict=True):
        kind = column.type
        if types.is_nested(kind):
            found += [path for path, leaf in _leaves(name, kind) if not types.is_floating(leaf)]
        elif (
            types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind)
        ) and compute.count_distinct(column).as_py() * 2 <= len(column):  # fmt: skip
            found.append(name)
    return found


def _leaves(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    import pyarrow.types as types

    if types.is_struct(kind):
        for at in range(kind.num_fields):
            yield from _leaves(f"{path}.{kind.field(at).name}", kind.field(at).type)
    elif types.is_list(kind) or types.is_large_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path, kind


@dataclass(frozen=True, slots=True)
class _Told:
    """Arrow's errors as ours."""

    name: str
    kind: type[Exception]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        if isinstance(error, self.kind) and not isinstance(error, OSError):
            raise RowsError(f"the rows do not fit `{self.name}`: {error}; write JSON Lines instead") from error


def _write_arrow(name: str, rows: IO[bytes], sink: IO[bytes], *, parquet: bool) -> list[str]:
    """Write all rows; the columns whose cells are JSON text because no type holds them all."""
    pyarrow = needed(name, "Parquet" if parquet else "Arrow")
    types, mixed = _types(pyarrow, rows)
    # A number that fits its own part's type may not fit the one of all: then that column is text too.
    while (unfit := _unfit(pyarrow, rows, {column: types[column] for column in mixed if types[column]})) is not None:
        types[unfit] = None
    fields = [
        pyarrow.field(without_halves(column), kind or pyarrow.string(), metadata=None if kind else {ENCODED: b"1"})
        for column, kind in types.items()
    ]
    schema = pyarrow.schema(fields)
    out = _Batches(name, sink, schema, parquet=parquet)
    for some in _rows(rows):
        arrays = [_array(pyarrow, _values(some, column), kind) for column, kind in types.items()]
        out.write(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))
    out.close()
    return [column for column, kind in types.items() if kind is None]


def _types(pyarrow: Any, rows: IO[bytes]) -> tuple[dict[str, Any], set[str]]:
    """The type of each column, in the order of its first row; None where no type holds all of its values.

    And the columns whose type is not that of every part.
    """
    types: dict[str, Any] = {}
    mixed: set[str] = set()
    keys: dict[str, set[str]] = {}
    for some in _rows(rows):
        for column in dict.fromkeys(name for row in some for name in row):
            types.setdefault(column, pyarrow.null())
            if types[column] is None:
                continue
            values = _values(some, column)
            inner = keys.setdefault(column, set())
            for value in values:
                if isinstance(value, dict) and len(inner) <= _WIDE:
                    inner.update(cast("dict[str, Any]", value))
            array = _inferred(pyarrow, values) if len(inner) <= _WIDE else None
            found = None if array is None else _common(pyarrow, types[column], array.type)
            if array is not None and not pyarrow.types.is_null(types[column]) and array.type != types[column]:
                mixed.add(column)
            types[column] = found
    # Parquet has no object without a key.
    held = {column: None if kind is None or "struct<>" in str(kind) else kind for column, kind in types.items()}
    return held, mixed


def _values(rows: Sequence[_Row], column: str) -> list[Any]:
    return [row.get(column) for row in rows]


def _inferred(pyarrow: Any, values: list[Any]) -> Any:
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _common(pyarrow: Any, one: Any, other: Any) -> Any:
    """The type that holds the values of both, None where there is none."""
    types = pyarrow.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    numbers = {str(one), str(other)}
    if numbers == {"int64", "double"}:
        return pyarrow.float64()
    if types.is_list(one) and types.is_list(other):
        inner = _common(pyarrow, one.value_type, other.value_type)
        return None if inner is None else pyarrow.list_(inner)
    if types.is_struct(one) and types.is_struct(other):
        fields = {one.field(at).name: one.field(at).type for at in range(one.num_fields)}
        for at in range(other.num_fields):
            name = other.field(at).name
            fields[name] = _common(pyarrow, fields.get(name, pyarrow.null()), other.field(at).type)
        return None if None in fields.values() else pyarrow.struct(list(fields.items()))
    return None


def _unfit(pyarrow: Any, rows: IO[bytes], types: Mapping[str, Any]) -> str | None:
    """A column with a value that its type does not hold: a whole number that no float is."""
    floats = {column: kind for column, kind in types.items() if "double" in str(kind)}
    for some in _rows(rows) if floats else ():
        for column, kind in floats.items():
            try:
                pyarrow.array(_values(some, column), kind)
            except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
                return column
    return None


def _array(pyarrow: Any, values: list[Any], kind: Any) -> Any:
    if kind is not None:
        return pyarrow.array(values, kind)
    texts = [None if value is None else json.dumps(without_nan(value)) for value in values]
    return pyarrow.array(texts, pyarrow.string())
