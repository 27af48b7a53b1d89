"""Writing files so that nothing is ever half-written."""

from __future__ import annotations

import codecs
from pathlib import Path

from rbrlang.cli.terminal import write_data
from rbrlang.writing import write_bytes


def write_text(path: str, text: str) -> None:
    """Write a text file at once; `-` is standard output. Raises OSError."""
    if path == "-":
        write_data(text.encode("utf-8", "surrogatepass"))
    else:
        write_bytes(path, text.encode())


def replace_text(path: str, before: str, after: str) -> bool:
    """Give a file another text, unless it no longer holds the text `before`. Links are followed. Raises OSError."""
    target = Path(path).resolve()
    data = target.read_bytes()
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    if data != mark + before.encode():
        return False
    write_text(str(target), mark.decode() + after)
    return True
