"""Rows on the command line: reading, naming the bad ones, writing."""

from __future__ import annotations

from collections.abc import Sequence

from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn
from rbrlang.rows.read import BadRow, Row, Rows, RowsError, filled_in, read_rows

EXIT_SOME_INVALID = 3


def read(path: str, *, limit: int | None = None, prompts_only: bool = False) -> Rows:
    """The rows of a file; every bad one is named on standard error. Raises `UsageError` when none is usable."""
    try:
        found = read_rows(path, limit=limit, prompts_only=prompts_only)
    except RowsError as error:
        raise UsageError(str(error)) from error
    name_bad(found.bad)
    if not found.rows:
        raise UsageError(f"`{path}` has no usable row" + ("" if found.bad else "; it is empty"))
    return found


def read_joined(path: str, more: Sequence[str]) -> Rows:
    """The rows of a file, filled in from other files with the same completions. Raises `UsageError`."""
    found = read(path)
    rows, bad = found.rows, list(found.bad)
    for name in more:
        other = read(name)
        rows, matched = filled_in(rows, other.rows)
        bad += other.bad
        if not matched:
            raise UsageError(f"no row of `{name}` speaks of a completion of `{path}`; rows are matched by `id` or text")
        if matched < len(rows):
            warn(f"{name}: nothing about {len(rows) - matched} of the {len(rows)} rows of {path}")
    return Rows(rows, tuple(bad))


def class_names(text: str) -> dict[str, str]:
    """The mapping of `--class-names "perfect refusal=ideal, …"`. Raises `UsageError`."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        theirs, equals, ours = (piece.strip() for piece in part.partition("="))
        if not (theirs and equals and ours):
            raise UsageError(f'`--class-names`: `{part.strip()}` is not a pair such as "perfect refusal=ideal"')
        if found.setdefault(theirs, ours) != ours:
            raise UsageError(f"`--class-names` calls `{theirs}` both `{found[theirs]}` and `{ours}`")
    return found


def name_bad(bad: Sequence[BadRow]) -> None:
    """Name rows that could not be used."""
    for row in bad:
        warn(f"{row}")
    if bad:
        warn(f"{len(bad)} row{'s' if len(bad) > 1 else ''} could not be used")


def check_response_types(rows: Sequence[Row], ids: Sequence[int], path: str, known: Sequence[str]) -> int:
    """Name the response types that the policy does not have; the number of rows concerned."""
    unknown: dict[str, list[str]] = {}
    for row, number in zip(rows, ids, strict=True):
        if number < 0:
            what = f"response type `{row.response_type}`" if row.response_type else f"category `{row.category}`"
            what = what if row.response_type or row.category else "neither `response_type` nor `category`"
            unknown.setdefault(what, []).append(row.id)
    for what, found in unknown.items():
        warn(
            f"{path}: {len(found)} row{'s' if len(found) > 1 else ''} with {what}, which the policy does not map "
            f"(first: {found[0]}); it knows {', '.join(known)}"
        )
    return sum(len(found) for found in unknown.values())
