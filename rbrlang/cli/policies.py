"""Which policy files does a command line name? Files, folders of them, and standard input."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rbrlang.cli.errors import UsageError
from rbrlang.lang.load import MAX_BYTES, read_file

STDIN = "-"


def files_arguments(parser: argparse.ArgumentParser, stdin: str = "`-` is standard input") -> None:
    """`FILE…` and `--stdin-filename`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=f".rbr files, or folders of them; {stdin}")
    parser.add_argument(
        "--stdin-filename", metavar="NAME", default="<stdin>",
        help="what `-` is called in messages; imports are looked up beside it",
    )  # fmt: skip


def named(files: Sequence[str]) -> list[str]:
    """The files, each once; for a folder all `.rbr` files below it, sorted, hidden folders left out. Raises `UserError`."""
    found: list[str] = []
    for file in files:
        if file == STDIN or not Path(file).is_dir():
            found.append(file)
            continue
        inside = _below(file)
        if not inside:
            raise UsageError(f"`{file}` is a folder without a .rbr file")
        found += inside
    if STDIN in found and len(set(found)) > 1:
        raise UsageError("`-` stands alone: standard input is one file")
    return list(dict.fromkeys(found))


def _below(folder: str) -> list[str]:
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(root, name) for name in files if name.endswith(".rbr") and not name.startswith(".")]
    return sorted(found)


def shown_name(options: argparse.Namespace, file: str) -> str:
    """What a file is called in messages."""
    return str(options.stdin_filename) if file == STDIN else file


class Reader:
    """Reads files, standard input in the place of the one it is called after."""

    def __init__(self, name: str) -> None:
        self.path, self._data = Path(name), sys.stdin.buffer.read(MAX_BYTES + 1)

    def __call__(self, path: Path) -> bytes:
        """The bytes of a file. Raises OSError."""
        return self._data if path == self.path else read_file(path)
