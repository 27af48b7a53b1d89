"""How are rows written, so that what nobody changed stays as it was read?

The format follows the ending (`formats`); a name that says none, and `-`, are JSON Lines. Before any work is done,
`fitted` says what of the rows' own columns the output cannot hold, and makes it what it can:

| value | JSON | CSV | Parquet, Arrow |
| --- | --- | --- | --- |
| NaN, infinity | null | empty | as it is |
| half a surrogate pair | its escape | U+FFFD | U+FFFD |
| values of several types in a column | as they are | JSON text where nested | JSON text, and read as what it says |
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never, cast

from rbrlang.rows.arrow import ENCODED
from rbrlang.rows.columns import SPREAD
from rbrlang.rows.formats import Format, RowsError, named_format, needed
from rbrlang.rows.read import Row
from rbrlang.rows.values import json_value, without_halves, without_nan
from rbrlang.writing import write_bytes

_HALF = re.compile("[\ud800-\udfff]")
_WIDE = 256  # more keys than this in one column are no fields of a table
_SPREAD = (*SPREAD, "class_probs")
_Rows = Sequence[Mapping[str, Any]]


def with_columns(row: Row, **columns: Any) -> dict[str, Any]:
    """The row as read, with some columns set."""
    return {**row.raw, **columns}


def write_rows(path: str | os.PathLike[str], rows: _Rows) -> None:
    """Write rows in order, at once or not at all; `-` is standard output. Raises `RowsError`, OSError."""
    name = os.fspath(path)
    form = output_format(name)
    match form.kind:
        case "lines":
            data = b"".join(_json(name, row) + b"\n" for row in rows)
        case "array":
            data = b"[" + b",".join(b"\n" + _json(name, row) for row in rows) + b"\n]\n"
        case "csv" | "tsv":
            data = _table(rows, "," if form.kind == "csv" else "\t").encode()
        case "parquet" | "arrow":
            data = _arrow_bytes(name, rows, parquet=form.kind == "parquet")
        case _:
            assert_never(form.kind)
    if name == "-":
        sys.stdout.write(data.decode())
    else:
        write_bytes(name, _packed(name, data, form))


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


def fitted(path: str, rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Rows as the output can hold them, and a note on each column where that is not all that was read.

    Raises `RowsError` and OSError where nothing can be written there at all.
    """
    check_output(path)
    kind = output_format(path).kind
    changes: list[tuple[Callable[[Any], Any], str]] = []
    if kind not in ("parquet", "arrow"):
        as_what = "empty" if kind in ("csv", "tsv") else "null"
        changes.append((without_nan, f"NaN or an infinity, which {_SAID[kind]} has not: written as {as_what}"))
    if kind not in ("lines", "array"):
        changes.append((without_halves, f"half a surrogate pair, which {_SAID[kind]} has not: written as U+FFFD"))
    counts: dict[tuple[str, str], int] = {}
    out: list[Row] = []
    for row in rows:
        raw = dict(row.raw)
        for change, what in changes:
            for column in row.raw:
                changed = change(raw[column])
                if changed is not raw[column]:
                    counts[column, what] = counts.get((column, what), 0) + 1
                    raw[column] = changed
        out.append(replace(row, raw=raw) if any(raw[c] is not v for c, v in row.raw.items()) else row)
    notes = [f"`{path}`: {n} row{'s' * (n > 1)} with {what}, in the column `{c}`" for (c, what), n in counts.items()]
    if kind in ("parquet", "arrow"):
        _, encoded = _arrow_table(path, [row.raw for row in out])
        notes += [f"`{path}`: no type holds all of the column `{c}`; its cells are JSON text" for c in encoded]
    return tuple(out), tuple(notes)


_SAID = {"lines": "JSON", "array": "JSON", "csv": "CSV", "tsv": "CSV", "parquet": "Parquet", "arrow": "Arrow"}


def _packed(name: str, data: bytes, form: Format) -> bytes:
    match form.packing:
        case "":
            return data
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "zstd":
            return cast(bytes, needed(name, "packed with zstd").compress(data, codec="zstd", asbytes=True))


def _json(name: str, row: Any) -> bytes:
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=json_value)
    except ValueError as error:
        raise RowsError(f"a row for `{name}` holds NaN or infinity, which JSON has not") from error
    # Half a surrogate pair has no place in UTF-8, but it has an escape in JSON.
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def _names(rows: _Rows) -> list[str]:
    """The columns of all rows, in the order of their first row."""
    return list(dict.fromkeys(column for row in rows for column in row))


# --- CSV --------------------------------------------------------------------------------------


def _table(rows: _Rows, sign: str) -> str:
    flat = [_spread(row) for row in rows]
    names = _names(flat)
    text = io.StringIO()
    # Both signs of the line's end are quoted in a cell only where the end has both.
    out = csv.writer(text, delimiter=sign, lineterminator="\r\n")
    out.writerow(map(without_halves, names))
    out.writerows([_cell(row.get(column)) for column in names] for row in flat)
    return text.getvalue()


def _spread(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with a column for each proposition, as tables have it."""
    flat: dict[str, Any] = {}
    for column, value in row.items():
        if column in _SPREAD and isinstance(value, Mapping) and value:
            flat |= {f"{column}.{name}": inner for name, inner in cast("Mapping[str, Any]", value).items()}
        elif column not in _SPREAD or value:
            flat[column] = value
    return flat


def _cell(value: Any) -> str:
    match json_value(value):
        case None:
            return ""
        case str() as text:
            return cast(str, without_halves(text))
        case plain:
            return json.dumps(without_nan(plain), ensure_ascii=True) if without_nan(plain) is not None else ""


# --- Parquet and Arrow --------------------------------------------------------------------------


def _arrow_bytes(name: str, rows: _Rows, *, parquet: bool) -> bytes:
    pyarrow = needed(name, "Parquet" if parquet else "Arrow")
    table, _ = _arrow_table(name, rows)
    sink = io.BytesIO()
    try:
        if parquet:
            import pyarrow.parquet as writer

            writer.write_table(table, sink)
        else:
            import pyarrow.ipc as ipc

            with ipc.new_file(sink, table.schema) as out:
                out.write_table(table)
    except pyarrow.ArrowException as error:
        raise RowsError(f"the rows do not fit `{name}`: {error}; write JSON Lines instead") from error
    return sink.getvalue()


def _arrow_table(name: str, rows: _Rows) -> tuple[Any, list[str]]:
    """A table of the rows, and the columns whose cells are JSON text because no type holds them all."""
    pyarrow = needed(name, "Arrow")
    fields: list[Any] = []
    arrays: list[Any] = []
    encoded: list[str] = []
    for column in _names(rows):
        values = [without_halves(json_value(row.get(column))) for row in rows]
        array = None if _is_wide(values) else _array(pyarrow, values)
        if array is None:
            encoded.append(column)
            texts = [None if value is None else json.dumps(without_nan(value)) for value in values]
            array = pyarrow.array(texts, pyarrow.string())
        metadata = {ENCODED: b"1"} if encoded[-1:] == [column] else None
        fields.append(pyarrow.field(without_halves(column), array.type, metadata=metadata))
        arrays.append(array)
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields)), encoded


def _array(pyarrow: Any, values: list[Any]) -> Any:
    try:
        array = pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return None if "struct<>" in str(array.type) else array  # Parquet has no object without a key


def _is_wide(values: list[Any]) -> bool:
    names: set[str] = set()
    for value in values:
        if isinstance(value, dict):
            names.update(cast("dict[str, Any]", value))
    return len(names) > _WIDE
