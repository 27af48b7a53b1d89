"""Rows on the command line: reading, naming the bad ones, writing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn
from rbrlang.rows.formats import SHAPES
from rbrlang.rows.read import BadRow, Row, Rows, RowsError, filled_in, read_rows
from rbrlang.rows.write import check_output as check
from rbrlang.rows.write import fitted as fit_output
from rbrlang.rows.write import write_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from rbrlang.reward.numpy import NumpyReward

EXIT_SOME_INVALID = 3
FEW = 10


def read(options: argparse.Namespace, path: str, *, limit: int | None = None, prompts_only: bool = False) -> Rows:
    """The rows of a file; bad ones are named on standard error. Raises `UsageError` when none is usable.

    `options` are those of `row_arguments`.
    """
    columns: dict[str, str] = {}
    for ours, theirs in options.columns:
        if columns.setdefault(ours, theirs) != theirs:
            raise UsageError(f"`--column` gives `{ours}` both `{columns[ours]}` and `{theirs}`")
    try:
        found = read_rows(
            path, limit=limit, prompts_only=prompts_only, columns=columns, thought_marks=shared.thought_marks(options)
        )
    except RowsError as error:
        raise UsageError(str(error)) from error
    if found.rows:
        name_bad(found.bad, every=options.all_messages)
        return found
    if not found.bad:
        raise UsageError(f"`{path}` has no usable row; it is empty")
    if options.all_messages:
        name_bad(found.bad, every=True)
    raise UsageError(_unreadable(path, found.bad))


def read_joined(options: argparse.Namespace, path: str, more: Sequence[str]) -> Rows:
    """The rows of a file, filled in from other files with the same completions. Raises `UsageError`."""
    found = read(options, path)
    rows, bad = found.rows, list(found.bad)
    for name in more:
        other = read(options, name)
        rows, matched = filled_in(rows, other.rows)
        bad += other.bad
        if not matched:
            raise UsageError(f"no row of `{name}` speaks of a completion of `{path}`; rows are matched by `id` or text")
        if matched < len(rows):
            warn(f"{name}: nothing about {len(rows) - matched} of the {len(rows)} rows of {path}")
    return Rows(rows, tuple(bad))


def fitted(path: str, found: Rows) -> Rows:
    """The rows as the output can hold them; what of them it cannot is said on standard error. Raises `UsageError`, OSError."""
    try:
        rows, notes = fit_output(path, found.rows)
    except RowsError as error:
        raise UsageError(str(error)) from error
    for note in notes:
        warn(f"{note}")
    return Rows(rows, found.bad)


def check_output(path: str) -> None:
    """Whether rows can be written there. Raises `UsageError`, OSError."""
    try:
        check(path)
    except RowsError as error:
        raise UsageError(str(error)) from error


def write(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows in the format that the name says. Raises `UsageError`, OSError."""
    try:
        write_rows(path, rows)
    except RowsError as error:
        raise UsageError(str(error)) from error


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


def name_bad(bad: Sequence[BadRow], *, every: bool = False) -> None:
    """Name rows that could not be used: all of them where they are few, else the first one of each reason."""
    if every or len(bad) <= FEW:
        for row in bad:
            warn(f"{row}")
    else:
        first: dict[str, BadRow] = {}
        for row in bad:
            first.setdefault(row.reason, row)
        counts = Counter(row.reason for row in bad)
        for row in list(first.values())[:FEW]:
            more = counts[row.reason] - 1
            warn(f"{row}" + (f", and {more} more like it" if more else ""))
        if len(first) > FEW:
            warn(f"and {len(first) - FEW} other reasons")
    if bad:
        hint = "" if every or len(bad) <= FEW else "; `--all-messages` names each"
        warn(f"{len(bad)} row{'s' if len(bad) > 1 else ''} could not be used{hint}")


def _unreadable(path: str, bad: Sequence[BadRow]) -> str:
    reasons = len({row.reason for row in bad})
    more = f" (and {reasons - 1} other reason{'s' * (reasons > 2)}: `--all-messages`)" if reasons > 1 else ""
    count = "its only one" if len(bad) == 1 else f"none of {len(bad)}"
    return f"`{path}` has no usable row, {count}; the first: {bad[0]}{more}; rows are read from {SHAPES}"


def note_hidden_rules(reward: NumpyReward, ids: ArrayLike, base_reward: ArrayLike) -> None:
    """Say, once, how many base rewards [batch] are so large that nothing is left of the rules' part."""
    from rbrlang.reward.rounding import hides_rules, said

    hidden = hides_rules(reward, ids, base_reward)
    if hidden.any():
        warn(said(int(hidden.sum()), len(hidden)))


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
