"""Which JSON value is a cell of Parquet or Arrow?

Cells become what JSON has, so that every later step and every output takes them: a moment, a day or a time is ISO
8601 text (moments with a zone in UTC; one beyond any calendar is its count, as in `9999999999999 s since 1970-01-01`), a duration ISO text in seconds (`PT1.5S`), a decimal of up to 15 digits a
number and a longer one text, bytes their text where they are UTF-8 and a `data:` address otherwise. Dictionaries,
runs and extension types are what they stand for; a cell of a mixed column is its own value. A cell that has none,
such as text that is not UTF-8, is `Broken`. It makes its row unusable where the column is read, and no other row.

Files are read in small batches, so that memory holds few rows at a time.
"""

from __future__ import annotations

import gzip
import io
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from rbrlang.jsontext import JsonError, parse_with_constants
from rbrlang.rows.formats import Broken, DamagedError, RowsError, needed
from rbrlang.rows.values import json_value, seconds_text

ENCODED = b"rbrlang.json"
"""Metadata of a column of ours whose cells are JSON text, because no type of Arrow's holds them all."""

_ROWS, _BYTES = 2**13, 2**23


def batches(name: str, file: BinaryIO, *, parquet: bool) -> Iterator[Any]:
    """The record batches of a Parquet file, or of an Arrow file or stream: up to 8192 rows, fewer where rows are large.

    Raises `RowsError`, and `DamagedError` where the file breaks off.
    """
    pyarrow = needed(name, "Parquet" if parquet else "Arrow")
    try:
        for batch in (_parquet if parquet else _ipc)(name, _seekable(file)):
            rows = _fitting(batch.nbytes, batch.num_rows)
            for at in range(0, batch.num_rows, rows):
                yield batch.slice(at, rows)
    except pyarrow.ArrowException as error:
        raise DamagedError(str(error).splitlines()[0]) from error


def schema(name: str, file: BinaryIO, *, parquet: bool) -> Any:
    """The schema of a Parquet file, or of an Arrow file or stream. Raises `RowsError`, `DamagedError`."""
    pyarrow = needed(name, "Parquet" if parquet else "Arrow")
    source = _seekable(file)
    try:
        if parquet:
            import pyarrow.parquet as parquet_

            return parquet_.read_schema(source).remove_metadata()
        first = next(_ipc(name, source), None)
        return None if first is None else first.schema.remove_metadata()
    except pyarrow.ArrowException as error:
        raise DamagedError(str(error).splitlines()[0]) from error


def sent(batch: Any) -> bytes:
    """A record batch as bytes for another process: what it shows of a larger one, and no more."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as out:
        out.write_batch(batch)
    return sink.getvalue().to_pybytes()


def arrived(data: bytes) -> Any:
    """The batch that was `sent`."""
    import pyarrow

    with pyarrow.ipc.open_stream(data) as found:
        return found.read_next_batch()


def _fitting(size: int, rows: int) -> int:
    """How many rows at once, where so many have this size."""
    return max(1, min(_ROWS, _BYTES * rows // size if size else _ROWS))


def _parquet(_: str, source: BinaryIO) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    # Pages are read one after the other: a whole group of rows may be larger than all that is held otherwise.
    with parquet.ParquetFile(source, pre_buffer=False, buffer_size=2**16) as found:
        groups = [found.metadata.row_group(at) for at in range(found.metadata.num_row_groups)]
        rows = min((_fitting(group.total_byte_size, group.num_rows) for group in groups), default=_ROWS)
        yield from found.iter_batches(batch_size=rows, use_threads=False)


def _ipc(name: str, source: BinaryIO) -> Iterator[Any]:
    import pyarrow.ipc as ipc

    head = source.read(8)
    source.seek(0)
    if head.startswith(b"FEA1"):
        raise RowsError(f"`{name}` is Feather of version 1; write it again with version 2")
    if head.startswith(b"ARROW1"):
        with ipc.open_file(source) as found:
            for number in range(found.num_record_batches):
                yield found.get_batch(number)
        return
    with ipc.open_stream(source) as found:
        yield from found


def _seekable(file: BinaryIO) -> BinaryIO:
    """The file where its parts can be found at once, else its bytes: a pipe, or one that was packed."""
    if not file.seekable() or isinstance(file, gzip.GzipFile):
        return io.BytesIO(file.read())
    file.seek(0)
    return file


def rows_of(name: str, batch: Any, reads: Callable[[str, Mapping[str, Any]], bool]) -> Iterator[Any]:
    """The rows of a batch as JSON values. Raises `RowsError`.

    A cell that has no such value is `Broken`, and so is its row where it `reads` the column.
    """
    names = cast("list[str]", batch.schema.names)
    twice = next((column for at, column in enumerate(names) if column in names[:at]), None)
    if twice is not None:
        raise RowsError(f"`{name}` has two columns `{twice}`; rename one")
    columns = [
        _decoded(cells(column)) if ENCODED in (batch.schema.field(at).metadata or {}) else cells(column)
        for at, column in enumerate(batch.columns)
    ]
    if not columns:
        yield from ({} for _ in range(batch.num_rows))
    for row in zip(*columns, strict=True):
        told = dict(zip(names, row, strict=True))
        broken = [column for column, cell in told.items() if isinstance(cell, Broken)]
        lost = next((column for column in broken if reads(column, told)), None)
        yield told if lost is None else Broken(f"`{lost}`: {told[lost].reason}")


def _decoded(texts: list[Any]) -> list[Any]:
    return [_from_json(text) if isinstance(text, str) else text for text in texts]


def _from_json(text: str) -> Any:
    try:
        return parse_with_constants(text)
    except JsonError as error:
        return Broken(str(error))


# --- cells ------------------------------------------------------------------------------------


def cells(array: Any) -> list[Any]:
    """The cells of an array as JSON values, None where null, `Broken` where there is no such value."""
    import pyarrow
    import pyarrow.compute
    import pyarrow.types as types

    compute: Any = pyarrow.compute  # its functions are made when it is loaded
    kind = array.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        found = cells(array.storage) if str(kind) != "extension<arrow.uuid>" else array.storage.to_pylist()
        return _each(found, lambda v: str(uuid.UUID(bytes=v)) if isinstance(v, bytes) else v)
    if types.is_dictionary(kind):
        return cells(array.dictionary_decode())
    if types.is_run_end_encoded(kind):
        return cells(compute.run_end_decode(array))
    if types.is_struct(kind):
        return _structs(array)
    if types.is_map(kind):
        return _maps(array)
    if types.is_nested(kind) and not types.is_union(kind):
        return _lists(array, compute.list_value_length(array))
    if types.is_timestamp(kind):
        zone = "" if kind.tz is None else "Z"
        texts = array.cast(pyarrow.timestamp(kind.unit)).cast(pyarrow.string()).to_pylist()
        return _each(texts, _moment(zone, f"{kind.unit} since 1970-01-01"))
    if types.is_date(kind) or types.is_time(kind):
        unit = "days" if types.is_date32(kind) else "ms" if types.is_date(kind) else kind.unit
        since = "since 1970-01-01" if types.is_date(kind) else "since midnight"
        return _each(array.cast(pyarrow.string()).to_pylist(), _moment("", f"{unit} {since}"))
    if types.is_duration(kind):
        places = {"s": 0, "ms": 3, "us": 6, "ns": 9}[kind.unit]
        return _each(array.cast(pyarrow.int64()).to_pylist(), lambda n: seconds_text(n, places))
    if types.is_float16(kind):
        return cells(array.cast(pyarrow.float32()))
    if types.is_decimal(kind):
        short = kind.precision <= 15
        return _each(array.to_pylist(), lambda d: float(d) if short else str(d))
    return _one_by_one(array)


def _one_by_one(array: Any) -> list[Any]:
    try:
        return _each(array.to_pylist(), _value)
    except (ValueError, OverflowError):  # one of them; `UnicodeDecodeError` is a ValueError
        return [_scalar(scalar) for scalar in array]


def _scalar(scalar: Any) -> Any:
    try:
        found = scalar.as_py()
    except UnicodeDecodeError:
        return Broken("its text is not UTF-8")
    except (ValueError, OverflowError) as error:
        return Broken(f"no JSON value is {str(error).splitlines()[0]}")
    return None if found is None else _value(found)


def _value(value: Any) -> Any:
    if type(value).__name__ == "MonthDayNano":
        months, days, nanoseconds = value
        return f"P{months}M{days}D{seconds_text(nanoseconds, 9).removeprefix('P')}"
    return json_value(value)


def _moment(zone: str, counted: str) -> Callable[[str], str]:
    def of(text: str) -> str:
        if text.startswith("<"):  # beyond any calendar; nothing reads it, so it is passed on as it is counted
            return f"{text.strip('<>').rpartition(' ')[2]} {counted}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace(" ", "T", 1) + zone

    return of


def _each(values: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else change(value) for value in values]


def _structs(array: Any) -> list[Any]:
    names = [array.type.field(at).name for at in range(array.type.num_fields)]
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        return [Broken(f"the key `{twice}` appears twice")] * len(array)
    fields = [cells(array.field(at)) for at in range(len(names))]
    rows = zip(*fields, strict=True) if fields else ((),) * len(array)
    return [
        _whole(dict(zip(names, row, strict=True)), row) if there else None
        for row, there in zip(rows, array.is_valid().to_pylist(), strict=True)
    ]


def _maps(array: Any) -> list[Any]:
    starts = array.offsets.to_pylist()
    names, items = cells(array.keys), cells(array.items)
    # `keys` and `items` are those of the whole array that this one may be a part of, as `offsets` count.
    out: list[Any] = []
    for at, there in enumerate(array.is_valid().to_pylist()):
        low, high = starts[at], starts[at + 1]
        pairs = list(zip(names[low:high], items[low:high], strict=True))
        found = {str(key): item for key, item in pairs}
        if len(found) < len(pairs):
            out.append(Broken("a key of a map appears twice"))
        else:
            out.append(_whole(found, found.values()) if there else None)
    return out


def _lists(array: Any, lengths: Any) -> list[Any]:
    inner, at, out = cells(array.flatten()), 0, list[Any]()
    for length in lengths.to_pylist():
        if length is None:
            out.append(None)
        else:
            out.append(_whole(inner[at : at + length], inner[at : at + length]))
            at += length
    return out


def _whole(value: Any, parts: Any) -> Any:
    """A value of parts, or the first part that is `Broken`."""
    return next((part for part in parts if isinstance(part, Broken)), value)
