"""Which command comes next? One line on standard error, with the user's own file names, after a command that went well.

A wrong suggestion is worse than none: a command is named only where what it needs was seen, as labels in the rows.
`RBR_NEXT=0` turns the lines off; programs, which read `--format json` or rows on standard output, are never shown any.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
from collections.abc import Generator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rbrlang.cli.terminal import warn

if TYPE_CHECKING:
    from rbrlang.lang.program import Program
    from rbrlang.rows.read import Row

ROWS = "rows.jsonl"
"""What `rbrc new` and `rbrc import` call the rows beside a policy."""
HEADS, JUDGED, GRADED = "heads.safetensors", "judged.jsonl", "graded.jsonl"
_FEW = 1000
_quiet = False


def line(*command: str) -> str:
    """`next: rbrc …`, to be pasted into a shell."""
    return f"next: {shlex.join(('rbrc', *command))}"


@contextlib.contextmanager
def silence() -> Generator[None]:
    """Nothing is suggested: somebody knows what comes next."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def wanted(options: argparse.Namespace) -> bool:
    """Whether a person reads along, as far as anybody can tell."""
    written = (options.output,) if "output" in options else ()
    return not (
        _quiet
        or os.environ.get("RBR_NEXT") == "0"
        or ("format" in options and options.format != "pretty")
        or "-" in (*written, *_read(options))
    )


def _read(options: argparse.Namespace) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    for name in ("file", "files", "rows", "gold", "data"):
        value = vars(options).get(name)
        found += (value,) if isinstance(value, str) else tuple(value or ())
    return found


def suggest(options: argparse.Namespace, *command: str) -> None:
    """Name the next command."""
    if wanted(options):
        warn(line(*command))


# --- about a policy ---------------------------------------------------------------------------


def after_check(options: argparse.Namespace, program: Program) -> None:
    """What can grade it, where nothing here can, and its tests."""
    if not wanted(options):
        return
    if unread(program):
        from rbrlang.grading.embedded.names import WAYS_OUT

        (file,) = options.files
        ways = WAYS_OUT.replace("FILE", shlex.quote(file))
        warn(f"note: the grader that needs no server cannot read any of its questions yet: {ways}")
    about = (*options.files, *_given(options, "params", "roots"))
    suggest(options, "test", *about, "--coverage" if program.tests else "--suggest")


def unread(program: Program) -> bool:
    """Whether the embedded grader would abstain on all that the policy asks; told without numpy, which a check does not load."""
    from rbrlang.grading.embedded.names import shipped_names

    asked = program.propositions
    return bool(asked or program.variables) and not any(
        one.cues or len({shot.answer for shot in one.shots}) == 2 or one.name in shipped_names() for one in asked
    )


def after_test(options: argparse.Namespace, program: Program, share: float | None) -> None:
    """Coverage, the missing cases, then rows; `share` is what the tests cover, None where nobody asked."""
    if not wanted(options):
        return
    (file,), given = options.files, _given(options, "params", "roots")
    beside = Path(file).with_name(ROWS)
    rows = _first(beside)
    if share is None:
        suggest(options, "test", file, *given, "--coverage")
    elif share < 1 and not options.suggest:
        suggest(options, "test", file, *given, "--suggest")
    elif any(_labelled(row) for row in rows):
        learn = ("--train", str(beside.with_name(HEADS)), "-o", str(beside.with_name(JUDGED)))
        suggest(options, "agree", file, str(beside), *given, *(learn if unread(program) else ()))
    elif rows and unread(program):
        if find_spec("uvicorn"):
            suggest(options, "label", file, str(beside), *given, "-o", str(beside.with_name("labels.jsonl")))
    elif rows:
        suggest(options, "grade", file, str(beside), *given, "-o", str(beside.with_name(GRADED)))
    else:
        suggest(options, "synth", file, *given, "-o", str(beside.with_name("synthetic.jsonl")))


# --- about rows -------------------------------------------------------------------------------


def after_grade(options: argparse.Namespace) -> None:
    """How good the answers are, where there are labels; else the fit."""
    if not wanted(options):
        return
    given = _given(options, "params", "roots", "columns")
    if any(_labelled(row) for row in _first(options.output, options)):
        suggest(options, "agree", options.file, options.output, *given, "--grader", "rows")
    else:
        suggest(options, "fit", options.file, options.output, *given, "-o", _artefact(options.file))


def after_label(options: argparse.Namespace, program: Program, labelled: int) -> None:
    """How far a grader agrees, or heads that learn to, from labels enough."""
    from rbrlang.grading.embedded.train import FEWEST_LABELS

    given, beside = _given(options, "params", "roots", "columns"), Path(options.output)
    if not labelled:
        return
    if not unread(program):
        suggest(options, "agree", options.file, options.output, *given)
    elif labelled >= FEWEST_LABELS:
        learn = ("--train", str(beside.with_name(HEADS)), "-o", str(beside.with_name(JUDGED)))
        suggest(options, "agree", options.file, options.output, *given, *learn)


def after_agree(options: argparse.Namespace, labelled: int, *, values: bool, fits: bool) -> None:
    """The fit to what was judged, or how the embedded grader judges better.

    `values`: scales or choices were judged; `fits`: of a response type all that is asked has a value in some row.
    """
    given = _given(options, "params", "roots", "columns")
    judged = options.output or (options.gold if options.grader == "rows" else None)
    if judged:
        how = ("--class-source", "labels", "-o", _artefact(options.file))
        if fits:
            suggest(options, "fit", options.file, judged, *given, *how)
    elif options.grader == "embedded" and not options.heads and not values:
        from rbrlang.grading.embedded.train import FEWEST_LABELS

        beside = Path(options.gold)
        learn = ("--cross-validate", "5") if options.train else ("--train", str(beside.with_name(HEADS)))
        if labelled >= FEWEST_LABELS:
            keep = ("-o", str(beside.with_name(JUDGED)))
            suggest(options, "agree", options.file, options.gold, *given, *learn, *keep)


def after_distil(options: argparse.Namespace) -> None:
    """Grades by what was learned."""
    given = _given(options, "params", "roots", "columns")
    graded = str(Path(options.rows).with_name(GRADED))
    suggest(options, "grade", options.file, options.rows, *given, "--grader", options.output, "-o", graded)


def after_synth(options: argparse.Namespace, program: Program) -> None:
    """The fit; texts of known truth are read first, where something here can read them."""
    given, text = _given(options, "params", "roots"), options.origin == "templates"
    if text and not unread(program):
        graded = str(Path(options.output).with_name(GRADED))
        suggest(options, "grade", options.file, options.output, *given, "-o", graded)
    else:
        known = ("--grader", "labels") if text else ()
        suggest(options, "fit", options.file, options.output, *given, *known, "-o", _artefact(options.file))


# --- about a reward ---------------------------------------------------------------------------

_RANKING = ("columns", "more", "class_names", "base_reward", "class_source", "pairs", "grader", "heads", "calibration")


def after_fit(options: argparse.Namespace) -> None:
    """How often it ranks wrongly, on the same rows where they are one file."""
    if len(options.rows) == 1:
        suggest(options, "eval", options.output, options.rows[0], *_given(options, *_RANKING))


def after_eval(options: argparse.Namespace) -> None:
    """The same as a page, where it can be drawn."""
    if find_spec("jinja2") and find_spec("matplotlib"):
        page = str(Path(options.artefact).with_suffix(".html"))
        suggest(options, "report", options.artefact, options.rows, *_given(options, *_RANKING), "-o", page)
    else:
        after_report(options)


def after_report(options: argparse.Namespace) -> None:
    """Rewards."""
    if not options.more:
        given = _given(options, "columns", "grader", "heads", "calibration")
        scored = str(Path(options.rows).with_name("scored.jsonl"))
        suggest(options, "score", options.artefact, options.rows, *given, "-o", scored)


def after_probe(options: argparse.Namespace) -> None:
    """Grades by a grader that was not swayed; or its rewards, where they were what was probed."""
    given = _given(options, "grader", "heads", "calibration", default="embedded")
    if options.data:
        about = (options.file, options.data, *_given(options, "params", "roots", "columns"), *given)
        suggest(options, "grade", *about, "-o", str(Path(options.data).with_name(GRADED)))
    elif (options.weights or "").endswith(".rbrc") and find_spec("uvicorn"):
        suggest(options, "serve", options.weights, *given)


def after_score(options: argparse.Namespace) -> None:
    """A server for trainers, where the grader is one that reads."""
    if options.grader not in ("rows", "labels") and not options.grader.startswith("table:") and find_spec("uvicorn"):
        suggest(
            options, "serve", options.artefact, *_given(options, "grader", "heads", "calibration", default="embedded")
        )


# --- words of a command line ------------------------------------------------------------------


def _given(options: argparse.Namespace, *names: str, default: str = "rows") -> tuple[str, ...]:
    """These options as they were given; of graders those that are not the next command's `default`."""
    words: list[str] = []
    for name in names:
        value = vars(options).get(name)
        match name:
            case "params":
                words += [word for key, number in value or () for word in ("-D", f"{key}={number:g}")]
            case "roots":
                words += [word for root in value or () for word in ("--root", str(root))]
            case "columns":
                words += [word for ours, theirs in value or () for word in ("--column", f"{ours}={theirs}")]
            case "more":
                words += [word for file in value or () for word in ("--with", file)]
            case "pairs":
                words += [word for some in value or () for word in ("--pairs", ",".join(some))]
            case "grader":
                asked = vars(options).get("grader_file") or value
                words += ["--grader", asked] if asked and asked != default else []
            case _:
                usual = {"base_reward": "base_reward", "class_source": "auto"}.get(name)
                words += [f"--{name.replace('_', '-')}", str(value)] if value and value != usual else []
    return tuple(words)


def _artefact(file: str) -> str:
    return str(Path(file).with_suffix(".rbrc"))


def _first(path: str | Path, options: argparse.Namespace | None = None) -> Sequence[Row]:
    """The first rows of a file, none where it is none or cannot be read."""
    from rbrlang.rows.columns import names_of
    from rbrlang.rows.read import RowsError, read_blocks

    if not Path(path).is_file():
        return ()
    try:
        called = names_of(dict(options.columns) if options is not None else {})
        return [row for block in read_blocks(str(path), called, limit=_FEW) for row in block.rows]
    except (RowsError, OSError):
        return ()


def _labelled(row: Row) -> bool:
    return any(label is not None for label in row.labels.values()) or bool(row.value_labels)
