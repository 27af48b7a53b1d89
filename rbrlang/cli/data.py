"""Rows on the command line: reading, naming the bad ones, writing."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rbrlang.cli import options as shared
from rbrlang.cli.errors import UsageError
from rbrlang.cli.terminal import warn
from rbrlang.rows.columns import Names, names_of
from rbrlang.rows.conversation import Conversation
from rbrlang.rows.formats import SHAPES
from rbrlang.rows.kept import Kept, in_blocks
from rbrlang.rows.read import BadRow, Row, Rows, filled_in, read_blocks
from rbrlang.rows.write import Output, encoded, output_format
from rbrlang.rows.write import check_output as check_output

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from rbrlang.engines.jobs import Job
    from rbrlang.learning.preferences import Apart, PairSource
    from rbrlang.logic.circuit import Circuit
    from rbrlang.reward.numpy import NumpyReward

EXIT_SOME_INVALID = 3
FEW = 10
_AT_ONCE = 1024
REASONS = 10_000  # told apart among rows that cannot be used
OTHERS = "other reasons"


def names(options: argparse.Namespace, circuit: Circuit | None = None) -> Names:
    """What `row_arguments` say of the columns, and the policy of those with criteria. Raises `UserError`."""
    columns: dict[str, str] = {}
    for ours, theirs in options.columns:
        if columns.setdefault(ours, theirs) != theirs:
            raise UsageError(f"`--column` gives `{ours}` both `{columns[ours]}` and `{theirs}`")
    called = names_of(columns, shared.thought_marks(options), () if circuit is None else circuit.columns)
    if circuit is None:
        return called
    from rbrlang.reward.shares import every_column

    return replace(
        called,
        criteria=tuple(dict.fromkeys(rubric.column for rubric in circuit.rubrics)),
        values=every_column(circuit),
    )


def read(
    options: argparse.Namespace,
    path: str,
    circuit: Circuit | None = None,
    *,
    limit: int | None = None,
    prompts_only: bool = False,
) -> Rows:
    """The rows of a file; bad ones are named on standard error. Raises `UserError` when none is usable.

    `options` are those of `row_arguments`; rows whose criteria the policy could not use are bad.
    """
    found = read_kept(options, path, circuit, limit=limit, prompts_only=prompts_only)
    return Rows(tuple(found.rows), found.bad, tuple(found.places))


def read_kept(
    options: argparse.Namespace,
    path: str,
    circuit: Circuit | None = None,
    *,
    limit: int | None = None,
    prompts_only: bool = False,
) -> Rows:
    """`read`, with the rows on the disk."""
    called = names(options, circuit)
    rows, places = Kept[Row](), Kept[tuple[str, int]]()
    unusable: list[BadRow] = []
    bad = BadRows(every=options.all_messages)
    for block in read_blocks(path, called, limit=limit, prompts_only=prompts_only):
        rows.extend(block.rows)
        unusable += block.bad
        places.extend(block.places)
        bad.add(block.bad)
    if not rows:
        raise UsageError(bad.unreadable(path))
    bad.tell()
    return Rows(rows, unusable, places)


class Tally(Protocol):
    """What a command sums up over blocks."""

    def add(self, more: Any) -> None: ...


def through(options: argparse.Namespace, job: Job, tally: Tally, *, limit: int | None = None) -> tuple[int, int]:
    """Read, work on and write rows block by block: how many were written, and how many could not be used.

    `options` are those of `row_arguments` and `engine_arguments`, with `rows` and `output`. What could not be used, and
    what the output could not hold, is said on standard error. Raises `UserError`, OSError.
    """
    from rbrlang.engines import local, ray

    folder = Path(options.checkpoint or f"{options.output}.blocks")
    if options.engine == "ray" and options.output == "-" and options.checkpoint is None:
        raise UsageError("`--engine ray` keeps blocks beside the output; with `-o -` name a folder with `--checkpoint`")
    if options.engine == "ray":
        results = ray.run(
            options.rows, job, folder, identity=_identity(options, job), workers=options.workers, limit=limit
        )
    else:
        results = local.run(options.rows, job, workers=options.workers, limit=limit)
    bad, rows = BadRows(every=options.all_messages), 0
    try:
        with Output(options.output) as out:
            for done in results:
                bad.add(done.bad)
                rows += done.rows
                tally.add(done.tally)
                out.take(done.encoded)
            if not rows:
                raise UsageError(bad.unreadable(options.rows))
    finally:
        results.close()
    if options.engine == "ray":
        ray.forget(folder)
    bad.tell()
    for note in out.notes():
        warn(note)
    return rows, bad.count


_ELSEWHERE = {
    "run",
    "command",
    "output",
    "rows",
    "workers",
    "engine",
    "checkpoint",
    "all_messages",
    "limit",
    "cache",
    "resume",
}


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(options: argparse.Namespace, job: Job) -> str:
    """What a block's result depends on besides its rows: the version, the options, and the files that these name."""
    from rbrlang import __version__

    said = {name: value for name, value in vars(options).items() if name not in _ELSEWHERE and not callable(value)}
    files: dict[str, str] = {}
    for name, value in said.items():
        for path in (value, value.partition(":")[2]) if isinstance(value, str) else ():  # `table:FILE` names one too
            if os.path.isfile(path):
                files[name] = value.removesuffix(path) + _digest(path)
    kind = output_format(options.output).kind
    return repr(
        (__version__, job.about, kind, sorted((k, v) for k, v in said.items() if k not in files), sorted(files.items()))
    )


def read_joined(options: argparse.Namespace, path: str, more: Sequence[str], circuit: Circuit) -> Rows:
    """The rows of a file, on the disk, filled in from other files with the same completions. Raises `UserError`."""
    found = read_kept(options, path, circuit)
    rows, bad = found.rows, list(found.bad)
    for name in more:
        other = read_kept(options, name, circuit)
        table = {row.id: replace(row, conversation=Conversation((), ()), raw={}) for row in other.rows}
        bare, rows, matched = rows, Kept[Row](), 0
        for _, some in in_blocks(bare):
            filled, count = filled_in(some, [table[row.id] for row in some if row.id in table])
            rows.extend(filled)
            matched += count
        bad += other.bad
        if not matched:
            raise UsageError(f"no row of `{name}` speaks of a completion of `{path}`; rows are matched by `id` or text")
        if matched < len(rows):
            warn(f"{name}: nothing about {len(rows) - matched} of the {len(rows)} rows of {path}")
    return Rows(rows, bad, found.places)


def tell_rubrics(circuit: Circuit, rows: Sequence[Row]) -> None:
    """Say on standard error what is to be known of the rows' rubrics."""
    if circuit.rubrics:
        from rbrlang.reward.rows import response_ids
        from rbrlang.reward.rubrics import Noted, noted

        found = Noted()
        for _, some in in_blocks(rows):
            found.add(noted(circuit, response_ids(circuit, some).tolist(), some))
        for line in found.lines():
            warn(line)


def write(path: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows in the format that the name says, and say what of them it cannot hold. Raises `UserError`, OSError."""
    with Output(path) as out:
        left = iter(rows)
        while some := list(islice(left, _AT_ONCE)):
            out.take(encoded(out.kind, some, exact=False))
    for note in out.notes():
        warn(note)


def class_names(text: str) -> dict[str, str]:
    """The mapping of `--class-names "perfect refusal=ideal, …"`. Raises `UserError`."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        theirs, equals, ours = (piece.strip() for piece in part.partition("="))
        if not (theirs and equals and ours):
            raise UsageError(f'`--class-names`: `{part.strip()}` is not a pair such as "perfect refusal=ideal"')
        if found.setdefault(theirs, ours) != ours:
            raise UsageError(f"`--class-names` calls `{theirs}` both `{found[theirs]}` and `{ours}`")
    return found


def pairs_of(options: argparse.Namespace, rows: Sequence[Row]) -> tuple[PairSource, ...]:
    """What orders completions: what `--pairs` says, else what rows know: classes, and preferences where they are of pairs."""
    from rbrlang.learning.preferences import CLASSES, PAIR_SOURCES

    if options.pairs:
        asked = [one for part in options.pairs for one in part]
        return tuple(one for one in PAIR_SOURCES if one in asked)
    if not are_pairs(options, rows):
        return CLASSES
    return (
        ("classes", "preferences")
        if any(row.klass is not None or row.labels or row.value_labels for row in rows)
        else ("preferences",)
    )


def are_pairs(options: argparse.Namespace, rows: Sequence[Row]) -> bool:
    """Whether any row says that people preferred it, or did not."""
    column = columns_of(options).get("preferred", "preferred")
    return any(row.raw.get(column) is not None for row in rows)


def columns_of(options: argparse.Namespace) -> dict[str, str]:
    """What the rows call the columns that `sample_rows` reads itself."""
    from rbrlang.learning.preferences import COLUMNS

    return {ours: theirs for ours, theirs in options.columns if ours in COLUMNS}


def name_preferences(options: argparse.Namespace, apart: Sequence[Apart], places: Sequence[tuple[str, int]]) -> None:
    """Name the rows whose preference is not used, by the file and line of each row."""
    named = [BadRow(*places[one.row], f"{one.source}: {one.reason}") for one in apart]
    told = BadRows(every=options.all_messages, what="what people prefer is not used, or not all of it, of {}")
    told.add(sorted(named, key=lambda row: (row.file, row.line, row.reason)))
    told.tell()


class BadRows:
    """Rows that could not be used: named all of them where they are few or where that was asked, else by their reasons.

    `what` is said of their number in the end.
    """

    def __init__(self, *, every: bool, what: str = "{} could not be used") -> None:
        self.count = 0
        self._what = what
        self._every = every
        self._few: list[BadRow] = []
        self._first: dict[str, BadRow] = {}
        self._counts = Counter[str]()

    def add(self, bad: Sequence[BadRow]) -> None:
        """More of them."""
        for row in bad:
            self.count += 1
            if self._every:
                warn(f"{row}")
            if len(self._few) <= FEW:
                self._few.append(row)
            reason = row.reason if row.reason in self._first or len(self._first) < REASONS else OTHERS
            self._first.setdefault(reason, row)
            self._counts[reason] += 1

    def tell(self) -> None:
        """Name them on standard error."""
        if not self._every:
            if self.count <= FEW:
                for row in self._few:
                    warn(f"{row}")
            else:
                for reason, row in list(self._first.items())[:FEW]:
                    more = self._counts[reason] - 1
                    warn(f"{row}" + (f", and {more} more like it" if more else ""))
                if len(self._first) > FEW:
                    warn(f"and {len(self._first) - FEW} other reasons")
        if self.count:
            hint = "" if self._every or self.count <= FEW else "; `--all-messages` names each"
            warn(self._what.format(f"{self.count} row{'s' if self.count > 1 else ''}") + hint)

    def unreadable(self, path: str) -> str:
        """What to say of a file none of whose rows can be used."""
        if not self.count:
            return f"`{path}` has no usable row; it is empty"
        if self._every:
            self.tell()
        reasons = len(self._first)
        more = f" (and {reasons - 1} other reason{'s' * (reasons > 2)}: `--all-messages`)" if reasons > 1 else ""
        count = "its only one" if self.count == 1 else f"none of {self.count}"
        return f"`{path}` has no usable row, {count}; the first: {self._few[0]}{more}; rows are read from {SHAPES}"


def note_hidden_rules(reward: NumpyReward, ids: ArrayLike, base_reward: ArrayLike) -> None:
    """Say, once, how many base rewards [batch] are so large that nothing is left of the rules' part."""
    from rbrlang.reward.rounding import hides_rules, said

    hidden = hides_rules(reward, ids, base_reward)
    if hidden.any():
        warn(said(int(hidden.sum()), len(hidden)))


class UnknownTypes:
    """Rows whose response type the policy does not have: how many by what they say, and the first of each."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._first: dict[str, str] = {}

    @property
    def total(self) -> int:
        """How many rows that concerns."""
        return self._counts.total()

    def add(self, rows: Sequence[Row], ids: Sequence[int]) -> None:
        """More rows, with the numbers of their response types."""
        for row, number in zip(rows, ids, strict=True):
            if number < 0:
                what = f"response type `{row.response_type}`" if row.response_type else f"category `{row.category}`"
                what = what if row.response_type or row.category else "neither `response_type` nor `category`"
                self._counts[what] += 1
                self._first.setdefault(what, row.id)

    def update(self, more: UnknownTypes) -> None:
        """Those of later rows."""
        self._counts.update(more._counts)
        self._first = {**more._first, **self._first}

    def tell(self, path: str, known: Sequence[str]) -> None:
        """Name them on standard error."""
        for what, count in self._counts.items():
            warn(
                f"{path}: {count} row{'s' if count > 1 else ''} with {what}, which the policy does not map "
                f"(first: {self._first[what]}); it knows {', '.join(known)}"
            )


def check_response_types(rows: Sequence[Row], ids: Sequence[int], path: str, known: Sequence[str]) -> int:
    """Name the response types that the policy does not have; the number of rows concerned."""
    unknown = UnknownTypes()
    unknown.add(rows, ids)
    unknown.tell(path, known)
    return unknown.total
