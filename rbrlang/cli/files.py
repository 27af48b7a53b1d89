"""Writing files so that nothing is ever half-written."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from rbrlang.cli.terminal import write_data
from rbrlang.source import Source
from rbrlang.writing import write_bytes

_LINE_END = re.compile(r"\r\n|\n|\r")


def write_text(path: str, text: str) -> None:
    """Write a text file at once; `-` is standard output. Raises OSError."""
    if path == "-":
        write_data(text.encode("utf-8", "surrogatepass"))
    else:
        write_bytes(path, text.encode())


def replace_text(path: str, before: str, after: str) -> bool:
    """Give a file another text, unless it no longer holds the text `before`. Links are followed. Raises OSError.

    Both texts are as a `Source` has them; where all lines of the file end in `\\r\\n` or in `\\r`, they do so afterwards.
    """
    target = Path(path).resolve()
    data = target.read_bytes()
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    raw = data[len(mark) :].decode("utf-8", "surrogateescape")
    if Source(path, raw).text != Source(path, before).text:
        return False
    ends = set(_LINE_END.findall(raw))
    if len(ends) == 1:
        after = _LINE_END.sub(lambda _: next(iter(ends)), after)
    write_text(str(target), mark.decode() + after)
    return True
