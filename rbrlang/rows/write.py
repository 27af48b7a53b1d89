"""How are rows written, so that what nobody changed stays as it was read?"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rbrlang.rows.read import Row, RowsError
from rbrlang.writing import write_bytes

_HALF = re.compile("[\ud800-\udfff]")


def with_columns(row: Row, **columns: Any) -> dict[str, Any]:
    """The row as read, with some columns set."""
    return {**row.raw, **columns}


def write_rows(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows in order, at once or not at all; `-` is standard output. Raises `RowsError`, OSError."""
    name = os.fspath(path)
    if name.endswith((".parquet", ".pq")):
        write_bytes(name, _parquet_bytes(name, rows))
        return
    try:
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    except ValueError as error:
        raise RowsError(f"a row for `{name}` holds NaN or infinity, which JSON has not") from error
    # Half a surrogate pair has no place in UTF-8, but it has an escape in JSON.
    text = _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
    if name == "-":
        sys.stdout.write(text)
    else:
        write_bytes(name, text.encode())


def _parquet_bytes(name: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise RowsError(f"`{name}` is Parquet; install the extra: pip install 'rbrlang[parquet]'") from None
    sink = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), sink)
    except pyarrow.ArrowException as error:
        raise RowsError(f"the rows do not fit Parquet's columns: {error}; write JSON Lines instead") from error
    return sink.getvalue()
