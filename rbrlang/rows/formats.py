"""Which files does a name stand for, in which format is each, and how are its bytes opened?

| ending | read as | written |
| --- | --- | --- |
| `.jsonl`, `.ndjson` | JSON Lines; an array where the text is one | JSON Lines |
| `.json` | a JSON array, or JSON Lines where the text is that | an array |
| `.csv`, `.tsv` | a table with a header | the same |
| `.parquet`, `.pq` | Parquet | the same |
| `.arrow`, `.feather`, `.ipc` | Arrow's IPC, file or stream | IPC file |

Each may be followed by `.gz` or `.zst`. Where the name says nothing (`-`, another ending), the first bytes do. A
folder stands for its files of rows, by name; a folder that `datasets` wrote for its shards; `*` and `?` as in a shell.
"""

from __future__ import annotations

import glob
import gzip
import io
import os
import sys
import zlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from rbrlang.errors import UserError
from rbrlang.jsontext import JsonError, parse_bytes

Kind = Literal["lines", "array", "csv", "tsv", "parquet", "arrow"]
Packing = Literal["", "gzip", "zstd"]

SHAPES = (
    "JSON Lines, a JSON array, CSV with a header, Parquet or Arrow, each also .gz or .zst, or a folder of these; "
    "a row has a `completion` and usually a `prompt`, or `messages`, or `chosen` and `rejected`"
)
MAX_LINE = 64 * 2**20
_KINDS: dict[str, Kind] = {
    ".jsonl": "lines", ".ndjson": "lines", ".json": "array", ".csv": "csv", ".tsv": "tsv",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
DESCRIBED: dict[Kind, str] = {
    "lines": "JSON", "array": "JSON", "csv": "CSV", "tsv": "CSV", "parquet": "Parquet", "arrow": "Arrow",
}  # fmt: skip
_PACKINGS: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd"}
ENDINGS = tuple(_KINDS)


class RowsError(UserError):
    """A file of rows that cannot be read or written at all; the message says what to do."""


class DamagedError(Exception):
    """A file that breaks off, or is not what it says; the message is the reason."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used. `line` counts from 1: lines of a text, rows of Parquet and Arrow."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Broken:
    """What stands in a file where a row should be, and why it is none."""

    reason: str


@dataclass(frozen=True, slots=True)
class Format:
    """How a file's rows are laid out, and how its bytes are packed."""

    kind: Kind
    packing: Packing = ""


def named_format(name: str) -> Format | None:
    """The format that a file's name says; None where it says none."""
    stem, ending = os.path.splitext(name.lower())
    packing: Packing = _PACKINGS.get(ending, "")
    if packing:
        ending = os.path.splitext(stem)[1]
    kind = _KINDS.get(ending)
    return None if kind is None else Format(kind, packing)


# --- which files ------------------------------------------------------------------------------


def files_of(name: str) -> list[str]:
    """The files that a name stands for, in order. Raises `RowsError` where it is a folder or a pattern of none."""
    if os.path.isdir(name):
        return _of_folder(name)
    if glob.has_magic(name) and not os.path.exists(name):
        found = sorted(glob.glob(name, recursive=True))
        if not found:
            raise RowsError(f"no file is called like `{name}`")
        return [file for one in found for file in files_of(one)]
    return [name]


def _of_folder(folder: str) -> list[str]:
    inside = sorted(os.listdir(folder))
    if "dataset_dict.json" in inside:
        return _of_splits(folder)
    if "state.json" in inside and "dataset_info.json" in inside:
        return _of_state(folder)
    # What begins with a dot is still being written.
    found = [n for n in inside if named_format(n) is not None and not n.startswith(".")]
    if not found:
        endings = ", ".join(f"`{ending}`" for ending in ENDINGS)
        deeper = next((n for n in inside if os.path.isdir(os.path.join(folder, n))), None)
        hint = f"; name the files in its folders with `{os.path.join(folder, '**', '*.parquet')}`" if deeper else ""
        raise RowsError(f"the folder `{folder}` holds no file of rows; they end in {endings}{hint}")
    return [os.path.join(folder, n) for n in found]


def _of_splits(folder: str) -> list[str]:
    """A `DatasetDict`: rows for training and for testing are never mixed without a word."""
    splits = _json_object(folder, "dataset_dict.json").get("splits")
    names = [name for name in cast("list[Any]", splits) if isinstance(name, str)] if isinstance(splits, list) else []
    if len(names) == 1:
        return files_of(os.path.join(folder, names[0]))
    there = ", ".join(f"`{os.path.join(folder, name)}`" for name in names)
    raise RowsError(f"`{folder}` is a data set of several splits; name one: {there}" if names else _damaged(folder))


def _of_state(folder: str) -> list[str]:
    shards = _json_object(folder, "state.json").get("_data_files")
    found: list[str] = []
    for shard in cast("list[Any]", shards) if isinstance(shards, list) else []:
        name = cast("dict[str, Any]", shard).get("filename") if isinstance(shard, dict) else None
        if not isinstance(name, str) or os.path.basename(name) != name:
            raise RowsError(_damaged(folder))
        found.append(os.path.join(folder, name))
    if not found:
        raise RowsError(_damaged(folder))
    return found


def _damaged(folder: str) -> str:
    return f"`{folder}` looks like a data set of `save_to_disk`, but does not say which files it has; save it again"


def _json_object(folder: str, name: str) -> dict[str, Any]:
    try:
        found = parse_bytes(Path(folder, name).read_bytes())
    except JsonError:
        found = None
    if not isinstance(found, dict):
        raise RowsError(_damaged(folder))
    return cast("dict[str, Any]", found)


# --- bytes ------------------------------------------------------------------------------------


@contextmanager
def opened(name: str) -> Generator[tuple[Kind, BinaryIO]]:
    """A file's format and its bytes, unpacked; `-` is standard input.

    Raises `RowsError`, OSError, and `DamagedError` also where the bytes turn out to be damaged inside of the block.
    """
    with ExitStack() as stack:
        file = _peekable(sys.stdin.buffer) if name == "-" else stack.enter_context(open(name, "rb"))
        said = named_format(name)
        try:
            if said is not None:
                yield said.kind, _unpacked(name, file, said.packing)
            else:
                unpacked = _unpacked(name, file, _sniffed_packing(_peek(file)))
                yield _sniffed_kind(_peek(unpacked)), unpacked
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = str(error).splitlines()[0]
            raise DamagedError(f"{reason[:1].lower()}{reason[1:]}") from error


def _unpacked(name: str, file: BinaryIO, packing: Packing) -> BinaryIO:
    match packing:
        case "":
            return file
        case "gzip":
            return cast(BinaryIO, gzip.GzipFile(fileobj=file))
        case "zstd":
            pyarrow = needed(name, "packed with zstd")
            return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.PythonFile(file, "r"), "zstd"))


def needed(name: str, what: str) -> Any:
    """Arrow's package. Raises `RowsError` where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise RowsError(f"`{name}` is {what}; install the extra: pip install 'rbrlang[parquet]'") from None
    return pyarrow


def _peekable(file: BinaryIO) -> BinaryIO:
    return file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(Any, file))


def _peek(file: BinaryIO) -> bytes:
    return cast(io.BufferedReader, file).peek(4096)


def _sniffed_packing(head: bytes) -> Packing:
    return "gzip" if head.startswith(b"\x1f\x8b") else "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else ""


def _sniffed_kind(head: bytes) -> Kind:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    if first[:1] in (b"{", b"[", b'"') or not any(sign in first for sign in (b",", b"\t", b";")):
        return "lines"
    return "tsv" if b"\t" in first else "csv"
