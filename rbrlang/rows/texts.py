"""How are rows told apart in JSON and in CSV, and at which line does each begin?

Every reader yields `(line, element, value)`: the line where the row begins, its number in an array (0 elsewhere), and
its JSON value, or `Broken` where there is none. What follows a broken row is still read. Lines of JSON are not read yet:
they are given as their bytes, and `value_of` says what they hold.

A text that begins with `[` is an array, unless its first line is whole and another follows: OpenAI's release has
comparisons as lines of their own, `["text of the prompt", [row, row, …]]`.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from rbrlang.jsontext import JsonError, NotJsonError, element, parse_with_constants
from rbrlang.rows.columns import Names, UnusableError, typed
from rbrlang.rows.formats import MAX_LINE, Broken, RowsError

Found = tuple[int, int, Any]
_SPACE = " \t\r\n"


# --- JSON -------------------------------------------------------------------------------------


def json_rows(file: BinaryIO) -> Iterator[Found]:
    """The rows of JSON Lines, or of an array."""
    number, head = 0, b""
    while not head.strip():
        head, number = file.readline(MAX_LINE + 1), number + 1
        if not head:
            return
        if number == 1:
            head = head.removeprefix(codecs.BOM_UTF8)
    following: list[bytes] = []
    if head.lstrip()[:1] == b"[":
        following = [file.readline(MAX_LINE + 1)]
        while following[-1] and not following[-1].strip():
            following.append(file.readline(MAX_LINE + 1))
        if _is_array(head, following[-1]):
            yield from _array(b"".join((head, *following, file.read())), number)
            return
    for at, line in enumerate(_lines(file, [head, *following]), number):
        if isinstance(line, Broken) or line.strip():
            yield at, 0, line


def _lines(file: BinaryIO, first: list[bytes]) -> Iterator[bytes | Broken]:
    """Lines of bounded length, of which the first ones were read already."""
    while True:
        line = first.pop(0) if first else file.readline(MAX_LINE + 1)
        if not line:
            return
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield Broken(f"longer than {MAX_LINE // 2**20} MiB")
            continue
        yield line


def value_of(line: bytes) -> Any:
    """What a line of JSON says; `Broken` where it says nothing that can be used."""
    try:
        return parse_with_constants(line.decode())
    except UnicodeDecodeError as error:
        return Broken(f"not UTF-8 (byte {error.start})")
    except JsonError as error:
        return Broken(str(error))


def _is_array(head: bytes, following: bytes) -> bool:
    if len(head) > MAX_LINE or head.strip() == b"[":
        return True
    whole = _is_whole(head)
    if not following:
        match value_of(head):
            case [str(), [*_]]:
                return False
            case _:
                return True
    return not whole and not _is_whole(following)


def _is_whole(line: bytes) -> bool:
    try:
        parse_with_constants(line.decode())
    except (NotJsonError, UnicodeDecodeError):
        return False
    except JsonError:
        pass  # whole, but not to be used
    return True


def _array(data: bytes, line: int) -> Iterator[Found]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        # Rows before the place are still good ones.
        text = data[: error.start].decode() + "\ufffd"
    at, number, counted = text.index("[") + 1, 0, 0
    while True:
        at = _past(text, at, _SPACE)
        if text[at : at + 1] == "]" and not number:
            break
        line, counted, number = line + text.count("\n", counted, at), at, number + 1
        try:
            value, at = element(text, at)
        except NotJsonError as error:
            at = text.find("\ufffd", at) if text.endswith("\ufffd") else at
            yield line, number, Broken(f"{error}; the array cannot be read from here on")
            return
        yield line, number, Broken(str(value)) if isinstance(value, JsonError) else value
        at = _past(text, at, _SPACE)
        sign = text[at : at + 1]
        if sign == "]":
            break
        if sign != ",":
            yield line, number, Broken("the array is not continued with `,` or ended with `]` after this element")
            return
        at += 1
    if text[at + 1 :].strip():
        yield line, number, Broken("there is more text after the end of the array")


def _past(text: str, at: int, signs: str) -> int:
    while at < len(text) and text[at] in signs:
        at += 1
    return at


# --- CSV --------------------------------------------------------------------------------------


def csv_rows(name: str, file: BinaryIO, columns: Names, *, tabs: bool) -> Iterator[Found]:
    """The rows of a table with a header, `typed` by our columns. Raises `RowsError` where the header is none.

    Signs between cells are tabs, or commas or semicolons, whichever the header has more of.
    """
    head = file.readline(MAX_LINE)
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if wide:  # a spreadsheet's "Unicode text"
        text: Iterator[str] = iter(io.StringIO((head + file.read()).decode("utf-16", "surrogateescape"), newline=""))
    else:
        first = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        text = _chained(first, (line.decode("utf-8", "surrogateescape") for line in file))
    first = next(text, "")
    sign = "\t" if tabs else max(",;\t", key=first.count)
    if csv.field_size_limit() < MAX_LINE:
        csv.field_size_limit(MAX_LINE)
    reader = csv.reader(_chained(first, text), delimiter=sign, strict=True)
    names = _header(name, reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, 0, Broken(_csv_said(error))
            continue
        if cells:
            yield line, 0, _record(columns, names, cells)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _header(name: str, reader: Iterator[list[str]]) -> list[str]:
    try:
        cells = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise RowsError(f"`{name}` has no header that can be read: {_csv_said(error)}") from error
    names = [cell.strip() or f"column {at}" for at, cell in enumerate(cells, 1)]
    twice = next((cell for at, cell in enumerate(names) if cell in names[:at]), None)
    if twice is not None:
        raise RowsError(f"`{name}` has two columns `{twice}`; rename one in the first line, which names the columns")
    return names


def _record(columns: Names, names: list[str], cells: list[str]) -> Any:
    if any(map(_is_no_text, cells)):
        return Broken("not UTF-8; save the table as UTF-8")
    if len(cells) > len(names) and any(cells[len(names) :]):
        return Broken(f"it has {len(cells)} cells, and the first line names {len(names)} columns")
    try:
        return typed(columns, dict(zip(names, cells, strict=False)))
    except UnusableError as error:
        return Broken(str(error))


def _is_no_text(cell: str) -> bool:
    if cell.isascii():
        return False
    try:
        cell.encode()
    except UnicodeEncodeError:
        return True
    return False


def _csv_said(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return 'a cell begins with `"` here and never ends'
    if "field larger" in str(error):
        return f'a cell is longer than {MAX_LINE // 2**20} MiB; does it begin with a `"` that never ends?'
    return f'not CSV: {error}; a `"` inside a cell is written twice'
